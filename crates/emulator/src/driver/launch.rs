//! Launches and occupancy.

use std::ffi::{c_int, c_uint, c_void};
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Instant;

use super::errors::code;
use super::state::*;
use crate::exec::launch::{Launch, run};
use crate::mem::Map;

fn function(handle: usize) -> Res<Arc<Function>> {
    driver()?.functions.lock().get(&handle).cloned().ok_or(code::INVALID_HANDLE)
}

/// Copies the parameters out of the caller's arrays: a pointer to each value, or one packed buffer.
unsafe fn parameters(f: &Function, params: *const *const c_void, extra: *const *const c_void) -> Res<Vec<u8>> {
    let p = &f.program;
    let mut out = vec![0u8; p.param_bytes as usize];
    if p.params.is_empty() {
        return Ok(out);
    }
    if !params.is_null() {
        for (i, (at, size)) in p.params.iter().enumerate() {
            // SAFETY: the array has an entry for each parameter, by the API's contract.
            let value = unsafe { *params.add(i) };
            if value.is_null() {
                return Err(code::INVALID_VALUE);
            }
            let to = &mut out[*at as usize..(*at + *size) as usize];
            // SAFETY: each entry points to a value of the parameter's size.
            unsafe { std::ptr::copy_nonoverlapping(value.cast(), to.as_mut_ptr(), to.len()) };
        }
        return Ok(out);
    }
    if extra.is_null() {
        return Err(code::INVALID_VALUE);
    }
    let (mut buffer, mut size) = (std::ptr::null::<u8>(), 0usize);
    let mut i = 0;
    loop {
        // SAFETY: the list ends in CU_LAUNCH_PARAM_END, which is 0.
        match unsafe { *extra.add(i) } as usize {
            0 => break,
            // SAFETY: each name is followed by its value.
            1 => buffer = unsafe { *extra.add(i + 1) }.cast(),
            // SAFETY: the value is a pointer to the size.
            2 => size = unsafe { (*extra.add(i + 1)).cast::<usize>().read() },
            _ => return Err(code::INVALID_VALUE),
        }
        i += 2;
    }
    if buffer.is_null() || size < out.len() {
        return Err(code::INVALID_VALUE);
    }
    // SAFETY: the buffer has `size` bytes, at least as many as are copied.
    unsafe { std::ptr::copy_nonoverlapping(buffer, out.as_mut_ptr(), out.len()) };
    Ok(out)
}

/// Refuses what a device refuses.
fn limits(f: &Function, grid: [u32; 3], block: [u32; 3], shared: u32) -> Res {
    let p = &f.program;
    let threads = block.iter().map(|b| *b as u64).product::<u64>();
    if grid.contains(&0) || block.contains(&0) || grid[0] > i32::MAX as u32 || grid[1] > 65535 || grid[2] > 65535 {
        return Err(code::INVALID_VALUE);
    }
    if threads > 1024 || block[2] > 64 {
        return Err(code::INVALID_VALUE);
    }
    if p.max_threads != 0 && threads > p.max_threads as u64 {
        say(&format!("kernel {} is bound to {} threads, launched with {threads}", p.name, p.max_threads));
        return Err(code::INVALID_VALUE);
    }
    if p.required != [0; 3] && p.required != block {
        return Err(code::INVALID_VALUE);
    }
    let allowed = f.max_dynamic.load(Ordering::Acquire).max((48 << 10) - p.shared.min(48 << 10));
    if shared > allowed {
        return Err(code::INVALID_VALUE);
    }
    Ok(())
}

#[allow(clippy::too_many_arguments)]
unsafe fn launch(
    handle: usize,
    grid: [u32; 3],
    block: [u32; 3],
    shared: u32,
    stream: usize,
    params: *const *const c_void,
    extra: *const *const c_void,
    cooperative: bool,
) -> Res {
    let d = driver()?;
    let f = function(handle)?;
    let (context, stream) = d.stream(stream)?;
    if !Arc::ptr_eq(&f.context, &context) {
        return Err(code::INVALID_HANDLE);
    }
    limits(&f, grid, block, shared)?;
    let blocks = grid.iter().map(|g| *g as u64).product::<u64>();
    let threads = block.iter().product::<u32>();
    if cooperative && blocks > occupancy(d, &f, threads, shared) as u64 * d.config.threads as u64 {
        return Err(code::COOPERATIVE_LAUNCH_TOO_LARGE);
    }
    // SAFETY: passed on.
    let params = unsafe { parameters(&f, params, extra)? };
    let count = d.counting();
    let c = context.clone();
    d.enqueue(&context, &stream, move || {
        let bits = (d.arena.end() - d.arena.base()) as usize / 32 / 8 + 64;
        let sectors = if count { Map::new(bits).and_then(|a| Some([a, Map::new(bits)?])) } else { None };
        let job = Launch {
            program: f.program.clone(),
            arena: d.arena.clone(),
            grid,
            block,
            dynamic_shared: shared,
            params,
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
        if let Some(f) = failure {
            c.fail(f.fault.kind.code() as i32, &f.report);
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
    });
    Ok(())
}

/// Blocks of a kernel that a multiprocessor can hold at a time.
fn occupancy(d: &Driver, f: &Function, threads: u32, dynamic: u32) -> u32 {
    let cc = d.config.cc;
    let by_threads = super::device::threads_per_sm(cc) / threads.next_multiple_of(32).max(32);
    let shared = f.program.shared + dynamic;
    let by_shared = (super::device::shared_opt_in(cc) + 1024).checked_div(shared).unwrap_or(16);
    by_threads.min(by_shared).min(16)
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
        launch(f, [gx, gy, gz], [bx, by, bz], shared, stream, params, extra, false)
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
        launch(f, [gx, gy, gz], [bx, by, bz], shared, stream, params, std::ptr::null(), true)
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
        let most = super::device::shared_opt_in(driver()?.config.cc) / blocks as u32;
        put(out, most.saturating_sub(f.program.shared) as usize)
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
