//! Launches and occupancy.

use std::ffi::{c_int, c_uint, c_void};
use std::sync::Arc;
use std::time::Instant;

use super::errors::code;
use super::graph::NodeKind;
use super::module::{function, function_in};
use super::state::*;
use crate::exec::launch::{Launch, run};
use crate::mem::Map;

/// Copies bytes of the caller by way of the system, so that a pointer that leads nowhere is an error and no crash.
fn read_caller(from: *const c_void, to: &mut [u8]) -> Res {
    let local = libc::iovec { iov_base: to.as_mut_ptr().cast(), iov_len: to.len() };
    let remote = libc::iovec { iov_base: from.cast_mut(), iov_len: to.len() };
    // SAFETY: the system checks the range that is read, and the range that is written is ours.
    let n = unsafe { libc::process_vm_readv(libc::getpid(), &local, 1, &remote, 1, 0) };
    if n == to.len() as isize {
        return Ok(());
    }
    let denied = std::io::Error::last_os_error().raw_os_error().is_some_and(|e| e == libc::EPERM || e == libc::ENOSYS);
    if n < 0 && denied && !from.is_null() {
        // SAFETY: a sandbox forbids the call above; what remains is the API's contract.
        unsafe { std::ptr::copy_nonoverlapping(from.cast(), to.as_mut_ptr(), to.len()) };
        return Ok(());
    }
    Err(code::INVALID_VALUE)
}

fn read_word(from: *const c_void) -> Res<usize> {
    let mut word = [0; size_of::<usize>()];
    read_caller(from, &mut word)?;
    Ok(usize::from_ne_bytes(word))
}

/// Copies the parameters out of the caller's arrays: a pointer to each value, or one packed buffer.
fn parameters(f: &Function, params: *const *const c_void, extra: *const *const c_void) -> Res<Vec<u8>> {
    let p = &f.program;
    let mut out = vec![0u8; p.param_bytes as usize];
    if !params.is_null() && !extra.is_null() {
        return Err(code::INVALID_VALUE);
    }
    if !params.is_null() {
        for (i, (at, size)) in p.params.iter().enumerate() {
            let value = read_word(params.wrapping_add(i).cast())?;
            read_caller(value as *const c_void, &mut out[*at as usize..(*at + *size) as usize]).inspect_err(|_| {
                say(&format!("kernel {}: parameter {i} of {} points nowhere", p.name, p.params.len()));
            })?;
        }
        return Ok(out);
    }
    if extra.is_null() {
        return if p.params.is_empty() { Ok(out) } else { Err(code::INVALID_VALUE) };
    }
    let (mut buffer, mut size) = (0, 0);
    // The list ends in CU_LAUNCH_PARAM_END, which is 0; each name is followed by its value.
    for i in (0..).step_by(2) {
        let value = || read_word(extra.wrapping_add(i + 1).cast());
        match read_word(extra.wrapping_add(i).cast())? {
            0 => break,
            1 => buffer = value()?,
            2 => size = read_word(value()? as *const c_void)?,
            _ => return Err(code::INVALID_VALUE),
        }
    }
    if p.params.is_empty() && size == 0 {
        return Ok(out);
    }
    if buffer == 0 {
        return Err(code::INVALID_VALUE);
    }
    // Callers may leave out the padding behind the last parameter, or round up.
    let end = p.params.iter().map(|(at, n)| (at + n) as usize).max().unwrap_or(0);
    if size < end || size > end.next_multiple_of(16) {
        say(&format!("kernel {} takes {end} bytes of parameters, not {size}", p.name));
        return Err(code::LAUNCH_OUT_OF_RESOURCES);
    }
    let n = size.min(out.len());
    read_caller(buffer as *const c_void, &mut out[..n])?;
    Ok(out)
}

/// Refuses what a device refuses.
fn limits(f: &Function, grid: [u32; 3], block: [u32; 3], shared: u32) -> Res {
    let p = &f.program;
    if grid.contains(&0) || block.contains(&0) || grid[0] > i32::MAX as u32 || grid[1] > 65535 || grid[2] > 65535 {
        return Err(code::INVALID_VALUE);
    }
    // One by one before their product, which could wrap.
    if block.iter().any(|n| *n > 1024) || block[2] > 64 {
        return Err(code::INVALID_VALUE);
    }
    let threads = block.iter().product::<u32>();
    if threads > 1024 {
        return Err(code::INVALID_VALUE);
    }
    if p.max_threads != 0 && threads > p.max_threads {
        say(&format!("kernel {} is bound to {} threads, launched with {threads}", p.name, p.max_threads));
        return Err(code::INVALID_VALUE);
    }
    if p.required != [0; 3] && p.required != block {
        return Err(code::INVALID_VALUE);
    }
    let allowed = f.max_dynamic().max((48 << 10) - p.shared.min(48 << 10));
    if shared > allowed {
        return Err(code::INVALID_VALUE);
    }
    Ok(())
}

/// What a launch asks for beside its parameters.
struct Geometry {
    grid: [u32; 3],
    block: [u32; 3],
    shared: u32,
    cooperative: bool,
}

fn launch(handle: usize, g: Geometry, stream: usize, params: *const *const c_void, extra: *const *const c_void) -> Res {
    let d = driver()?;
    current()?;
    let on = d.stream(stream)?;
    let f = function_in(handle, &on.0)?;
    if !Arc::ptr_eq(&f.context, &on.0) {
        return Err(code::INVALID_HANDLE);
    }
    let Geometry { grid, block, shared, cooperative } = g;
    limits(&f, grid, block, shared)?;
    let blocks = grid.iter().map(|g| *g as u64).product::<u64>();
    let threads = block.iter().product::<u32>();
    if cooperative && blocks > occupancy(d, &f, threads, shared) as u64 * d.config.threads as u64 {
        return Err(code::COOPERATIVE_LAUNCH_TOO_LARGE);
    }
    let params = parameters(&f, params, extra)?;
    let count = d.counting();
    let c = on.0.clone();
    d.submit(&on, NodeKind::Kernel, move || {
        let bits = (d.arena.end() - d.arena.base()) as usize / 32 / 8 + 64;
        let sectors = if count { Map::new(bits).and_then(|a| Some([a, Map::new(bits)?])) } else { None };
        let job = Launch {
            program: f.program.clone(),
            arena: d.arena.clone(),
            grid,
            block,
            dynamic_shared: shared,
            params: params.clone(),
            checks: d.config.checks,
            count,
            sectors,
            seed: d.config.seed,
            cooperative,
            workers: 1,
            started: Instant::now(),
        };
        let started = Instant::now();
        let (counters, failure) = run(job, &d.pool);
        if let Some(failure) = failure {
            c.fail(failure.fault.kind.code() as i32, &failure.report);
        }
        if count {
            d.count(&serde_json::json!({
                "kernel": f.program.name,
                "grid": grid,
                "block": block,
                "shared": f.program.shared + shared,
                "seconds": started.elapsed().as_secs_f64(),
                "counters": counters,
            }));
        }
    })
    .map(|_| ())
}

/// `CUlaunchConfig`.
#[repr(C)]
pub struct LaunchConfig {
    grid: [c_uint; 3],
    block: [c_uint; 3],
    shared: c_uint,
    stream: usize,
    attributes: *const LaunchAttribute,
    count: c_uint,
}

/// `CUlaunchAttribute`: a number, padding, and a value of 64 bytes.
#[repr(C)]
pub struct LaunchAttribute {
    id: c_uint,
    padding: c_uint,
    value: [c_uint; 16],
}

/// Reads the attributes of a launch; those that change no result are taken as they are. Gives whether it is cooperative.
fn attributes(list: &[LaunchAttribute]) -> Res<bool> {
    const COOPERATIVE: c_uint = 2;
    const CLUSTER_DIMENSION: c_uint = 4;
    let mut cooperative = false;
    for a in list {
        match a.id {
            COOPERATIVE => cooperative = a.value[0] != 0,
            CLUSTER_DIMENSION if a.value[..3] == [1; 3] => {}
            // Ignore, L2 window, how the host waits, cluster scheduling, overlap with the kernel before (which may
            // always be none), priority, memory domains, shared memory carveout.
            0 | 1 | 3 | 5 | 6 | 8 | 9 | 10 | 14 => {}
            id => {
                say(&format!("launch attribute {id} is not supported"));
                return Err(code::NOT_SUPPORTED);
            }
        }
    }
    Ok(cooperative)
}

/// Blocks of a kernel that a multiprocessor can hold at a time.
fn occupancy(d: &Driver, f: &Function, threads: u32, dynamic: u32) -> u32 {
    let cc = d.config.cc;
    let by_threads = super::device::threads_per_sm(cc) / threads.next_multiple_of(32).max(32);
    let shared = f.program.shared + dynamic;
    // From 8.0 the system takes 1 KiB of each block.
    let (whole, each) = if cc.0 >= 8 { (1024, 1024) } else { (0, 0) };
    let most = super::device::blocks_per_sm(cc);
    let by_shared = (super::device::shared_opt_in(cc) + whole).checked_div(shared + each).unwrap_or(most);
    by_threads.min(by_shared).min(most)
}

type DynamicShared = Option<unsafe extern "C" fn(c_int) -> usize>;

unsafe fn potential(
    grid: *mut c_int,
    block: *mut c_int,
    handle: usize,
    of_block: DynamicShared,
    dynamic: usize,
    limit: c_int,
) -> Res {
    let d = driver()?;
    let f = function(handle)?;
    let most = if f.program.max_threads == 0 { 1024 } else { f.program.max_threads.min(1024) };
    let most = if limit > 0 { most.min(limit as u32) } else { most };
    let mut best = (0, 0);
    for size in (1..=most.div_ceil(32)).rev().map(|w| (w * 32).min(most)) {
        // SAFETY: the caller's function, which takes a block size.
        let shared = of_block.map_or(dynamic, |g| unsafe { g(size as c_int) });
        let blocks = occupancy(d, &f, size, shared.min(u32::MAX as usize / 2) as u32);
        if blocks * size > best.0 {
            best = (blocks * size, size);
        }
    }
    // SAFETY: places of the caller.
    unsafe {
        put(block, best.1 as c_int)?;
        put(grid, (best.0 / best.1.max(1) * d.config.threads) as c_int)
    }
}

exports! {
    /// `cuLaunchKernel`
    #[allow(clippy::too_many_arguments)]
    fn cuLaunchKernel(
        f: usize,
        gx: c_uint,
        gy: c_uint,
        gz: c_uint,
        bx: c_uint,
        by: c_uint,
        bz: c_uint,
        shared: c_uint,
        stream: usize,
        params: *const *const c_void,
        extra: *const *const c_void,
    ) {
        let g = Geometry { grid: [gx, gy, gz], block: [bx, by, bz], shared, cooperative: false };
        launch(f, g, stream, params, extra)
    }

    /// `cuLaunchCooperativeKernel`
    #[allow(clippy::too_many_arguments)]
    fn cuLaunchCooperativeKernel(
        f: usize,
        gx: c_uint,
        gy: c_uint,
        gz: c_uint,
        bx: c_uint,
        by: c_uint,
        bz: c_uint,
        shared: c_uint,
        stream: usize,
        params: *const *const c_void,
    ) {
        let g = Geometry { grid: [gx, gy, gz], block: [bx, by, bz], shared, cooperative: true };
        launch(f, g, stream, params, std::ptr::null())
    }

    /// `cuLaunchKernelEx`
    fn cuLaunchKernelEx(
        config: *const LaunchConfig,
        f: usize,
        params: *const *const c_void,
        extra: *const *const c_void,
    ) {
        if config.is_null() {
            return Err(code::INVALID_VALUE);
        }
        let c = &*config;
        let list = match c.count {
            0 => &[],
            _ if c.attributes.is_null() => return Err(code::INVALID_VALUE),
            n => std::slice::from_raw_parts(c.attributes, n as usize),
        };
        let cooperative = attributes(list)?;
        launch(f, Geometry { grid: c.grid, block: c.block, shared: c.shared, cooperative }, c.stream, params, extra)
    }

    /// `cuOccupancyMaxActiveBlocksPerMultiprocessor`
    fn cuOccupancyMaxActiveBlocksPerMultiprocessor(out: *mut c_int, f: usize, threads: c_int, dynamic: usize) {
        if threads <= 0 {
            return Err(code::INVALID_VALUE);
        }
        let f = function(f)?;
        put(out, occupancy(driver()?, &f, threads as u32, dynamic.min(1 << 30) as u32) as c_int)
    }

    /// `cuOccupancyMaxActiveBlocksPerMultiprocessorWithFlags`
    fn cuOccupancyMaxActiveBlocksPerMultiprocessorWithFlags(
        out: *mut c_int,
        f: usize,
        threads: c_int,
        dynamic: usize,
        _flags: c_uint,
    ) {
        match cuOccupancyMaxActiveBlocksPerMultiprocessor(out, f, threads, dynamic) {
            0 => Ok(()),
            e => Err(e),
        }
    }

    /// `cuOccupancyAvailableDynamicSMemPerBlock`
    fn cuOccupancyAvailableDynamicSMemPerBlock(out: *mut usize, f: usize, blocks: c_int, threads: c_int) {
        if blocks <= 0 || threads <= 0 {
            return Err(code::INVALID_VALUE);
        }
        let f = function(f)?;
        let cc = driver()?.config.cc;
        let (whole, each) = if cc.0 >= 8 { (1024, 1024) } else { (0, 0) };
        let most = (super::device::shared_opt_in(cc) + whole) / blocks as u32;
        put(out, most.saturating_sub(f.program.shared + each) as usize)
    }

    /// `cuOccupancyMaxPotentialBlockSize`
    fn cuOccupancyMaxPotentialBlockSize(
        grid: *mut c_int,
        block: *mut c_int,
        f: usize,
        of_block: DynamicShared,
        dynamic: usize,
        limit: c_int,
    ) {
        potential(grid, block, f, of_block, dynamic, limit)
    }

    /// `cuOccupancyMaxPotentialBlockSizeWithFlags`
    fn cuOccupancyMaxPotentialBlockSizeWithFlags(
        grid: *mut c_int,
        block: *mut c_int,
        f: usize,
        of_block: DynamicShared,
        dynamic: usize,
        limit: c_int,
        _flags: c_uint,
    ) {
        potential(grid, block, f, of_block, dynamic, limit)
    }
}
