//! Devices and their attributes.

use std::ffi::{c_char, c_int, c_uint};

use super::errors::code;
use super::state::{Driver, Res, driver, exports, init, put};

/// Name of the emulated device.
const NAME: &str = "Warpline emulator";
/// Driver version that programs see: CUDA 12.8.
pub(super) const VERSION: c_int = 12080;

pub(super) fn device(ordinal: c_int) -> Res<(&'static Driver, u32)> {
    let d = driver()?;
    match u32::try_from(ordinal) {
        Ok(n) if (n as usize) < d.devices.len() => Ok((d, n)),
        _ => Err(code::INVALID_DEVICE),
    }
}

/// Shared memory that a block may have when a kernel opts in, by compute capability (CUDA C++ Programming Guide,
/// table of technical specifications).
pub(super) fn shared_opt_in(cc: (u32, u32)) -> u32 {
    match cc {
        (7, 0 | 2) => 96 << 10,
        (7, _) => 64 << 10,
        (8, 0 | 7) => 163 << 10,
        (8, _) | (12, _) => 99 << 10,
        (9 | 10, _) => 227 << 10,
        _ => 48 << 10,
    }
}

/// Blocks that a multiprocessor can hold.
pub(super) fn blocks_per_sm(cc: (u32, u32)) -> u32 {
    match cc {
        (7, 5) | (8, 6 | 7) => 16,
        (8, 9) | (12, _) => 24,
        _ => 32,
    }
}

/// Threads that a multiprocessor can hold.
pub(super) fn threads_per_sm(cc: (u32, u32)) -> u32 {
    match cc {
        (7, 5) => 1024,
        (8, 6 | 7 | 9) | (12, _) => 1536,
        _ => 2048,
    }
}

/// Attributes by their number in `CUdevice_attribute`: limits as the CUDA C++ Programming Guide gives them for the
/// compute capability, what the emulator supports, and plausible figures for clocks and sizes that nothing depends on.
fn attribute(d: &Driver, device: u32, attribute: c_int) -> Res<c_int> {
    let cc = d.config.cc;
    Ok(match attribute {
        // Threads of a block, and its x, y and z.
        1..=3 => 1024,
        4 => 64,
        // Blocks of a grid.
        5 => i32::MAX,
        6 | 7 => 65535,
        // Shared memory of a block, constant memory, threads of a warp, pitch of copies, registers of a block.
        8 => 48 << 10,
        9 => 64 << 10,
        10 => 32,
        11 => i32::MAX,
        12 => 65536,
        // Clock rates in kHz of the cores and the memory, and the bus width in bits.
        13 => 1_500_000,
        36 => 5_000_000,
        37 => 256,
        // Alignments of textures, surfaces, texture rows.
        14 | 30 => 512,
        51 => 32,
        // Multiprocessors: the host's threads.
        16 => d.config.threads as c_int,
        // PCI bus.
        33 => 1 + device as c_int,
        // L2 cache.
        38 => 4 << 20,
        39 => threads_per_sm(cc) as c_int,
        // Copy engines.
        40 => 3,
        // Largest textures and surfaces in one, two and three dimensions, layered, cube maps, linear, mipmapped.
        21 | 23 | 42 | 45 | 46 | 52 | 53 | 55..=61 | 63 | 64 | 66 | 67 | 73 | 74 | 77 => 32768,
        22 | 72 => 131_072,
        24..=26 | 47..=49 => 16384,
        27 | 28 => 32768,
        29 | 43 | 54 | 62 | 65 | 68 => 2046,
        69 => 1 << 27,
        70 | 71 => 131_072,
        75 => cc.0 as c_int,
        76 => cc.1 as c_int,
        // Shared memory and registers of a multiprocessor, shared memory of a block that opts in, what the system takes.
        81 => shared_opt_in(cc) as c_int + if cc.0 >= 8 { 1024 } else { 0 },
        82 => 65536,
        97 => shared_opt_in(cc) as c_int,
        111 => {
            if cc.0 >= 8 {
                1024
            } else {
                0
            }
        }
        // Single to double precision speed.
        87 => {
            if matches!(cc, (7, 0 | 2) | (8, 0) | (9 | 10, _)) {
                2
            } else {
                32
            }
        }
        106 => blocks_per_sm(cc) as c_int,
        // Memory domains.
        126 => 1,
        // A CPU has no NUMA node here.
        131 | 134 => -1,
        // What there is: overlap of copies, mapped host memory, concurrent kernels, unified addresses, gathers,
        // priorities, L1 caches, managed memory from both sides, preemption, cooperative launches, registered host
        // memory, memory pools.
        15 | 19 | 31 | 41 | 44 | 78 | 79 | 80 | 83 | 89 | 90 | 95 | 99 | 101 | 115 => 1,
        // What there is not: a display's time limit, ECC, TCC, stream memory operations, pageable memory in kernels,
        // virtual memory management, handles for other processes, clusters, tensor maps, multicast.
        17..=145 => 0,
        _ => return Err(code::INVALID_VALUE),
    })
}

exports! {
    /// `cuInit`
    fn cuInit(flags: c_uint) {
        if flags != 0 {
            return Err(code::INVALID_VALUE);
        }
        init()
    }

    /// `cuDriverGetVersion`
    fn cuDriverGetVersion(out: *mut c_int) {
        put(out, VERSION)
    }

    /// `cuDeviceGet`
    fn cuDeviceGet(out: *mut c_int, ordinal: c_int) {
        device(ordinal)?;
        put(out, ordinal)
    }

    /// `cuDeviceGetCount`
    fn cuDeviceGetCount(out: *mut c_int) {
        put(out, driver()?.devices.len() as c_int)
    }

    /// `cuDeviceGetName`
    fn cuDeviceGetName(out: *mut c_char, len: c_int, dev: c_int) {
        device(dev)?;
        if out.is_null() || len <= 0 {
            return Err(code::INVALID_VALUE);
        }
        let n = NAME.len().min(len as usize - 1);
        std::ptr::copy_nonoverlapping(NAME.as_ptr().cast(), out, n);
        out.add(n).write(0);
        Ok(())
    }

    /// `cuDeviceGetUuid`
    fn cuDeviceGetUuid(out: *mut [u8; 16], dev: c_int) {
        let (_, n) = device(dev)?;
        let mut uuid = *b"warpline-emu-000";
        uuid[15] += n as u8;
        put(out, uuid)
    }

    /// `cuDeviceGetUuid_v2`
    fn cuDeviceGetUuid_v2(out: *mut [u8; 16], dev: c_int) {
        match cuDeviceGetUuid(out, dev) {
            0 => Ok(()),
            e => Err(e),
        }
    }

    /// `cuDeviceTotalMem_v2`
    fn cuDeviceTotalMem_v2(out: *mut usize, dev: c_int) {
        let (d, _) = device(dev)?;
        put(out, d.config.memory as usize)
    }

    /// `cuDeviceGetAttribute`
    fn cuDeviceGetAttribute(out: *mut c_int, attrib: c_int, dev: c_int) {
        let (d, n) = device(dev)?;
        put(out, attribute(d, n, attrib)?)
    }

    /// `cuDeviceComputeCapability`
    fn cuDeviceComputeCapability(major: *mut c_int, minor: *mut c_int, dev: c_int) {
        let (d, _) = device(dev)?;
        put(major, d.config.cc.0 as c_int)?;
        put(minor, d.config.cc.1 as c_int)
    }

    /// `cuDeviceGetPCIBusId`
    fn cuDeviceGetPCIBusId(out: *mut c_char, len: c_int, dev: c_int) {
        let (_, n) = device(dev)?;
        let id = format!("0000:{:02x}:00.0\0", n + 1);
        if out.is_null() || (len as usize) < id.len() {
            return Err(code::INVALID_VALUE);
        }
        std::ptr::copy_nonoverlapping(id.as_ptr().cast(), out, id.len());
        Ok(())
    }

    /// `cuDeviceGetByPCIBusId`
    fn cuDeviceGetByPCIBusId(out: *mut c_int, id: *const c_char) {
        let d = driver()?;
        if id.is_null() {
            return Err(code::INVALID_VALUE);
        }
        let id = std::ffi::CStr::from_ptr(id).to_string_lossy();
        // domain:bus:device.function, in hexadecimal.
        let bus = id.split(':').nth(1).and_then(|b| c_int::from_str_radix(b, 16).ok()).ok_or(code::INVALID_VALUE)?;
        if bus < 1 || bus as usize > d.devices.len() {
            return Err(code::INVALID_DEVICE);
        }
        put(out, bus - 1)
    }

    /// `cuDeviceGetP2PAttribute`: rank, access, atomics, arrays.
    fn cuDeviceGetP2PAttribute(out: *mut c_int, attribute: c_int, from: c_int, to: c_int) {
        device(from)?;
        device(to)?;
        if from == to {
            return Err(code::INVALID_DEVICE);
        }
        match attribute {
            1 | 4 => put(out, 0),
            2 | 3 => put(out, 1),
            _ => Err(code::INVALID_VALUE),
        }
    }

    /// `cuDeviceCanAccessPeer`
    fn cuDeviceCanAccessPeer(out: *mut c_int, dev: c_int, peer: c_int) {
        device(dev)?;
        device(peer)?;
        put(out, (dev != peer) as c_int)
    }
}
