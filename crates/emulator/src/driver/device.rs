//! Devices and their attributes.

use std::ffi::{c_char, c_int, c_uint};

use super::errors::code;
use super::state::{Driver, Res, driver, exports, init, put};

/// Name of the emulated device.
const NAME: &str = "Warpline emulator";
/// Driver version that programs see: CUDA 12.8.
const VERSION: c_int = 12080;

fn device(ordinal: c_int) -> Res<(&'static Driver, u32)> {
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

/// Threads that a multiprocessor can hold.
pub(super) fn threads_per_sm(cc: (u32, u32)) -> u32 {
    match cc {
        (7, 5) => 1024,
        (8, 6 | 7 | 9) | (12, _) => 1536,
        _ => 2048,
    }
}

fn attribute(d: &Driver, device: u32, attribute: c_int) -> Res<c_int> {
    let cc = d.config.cc;
    Ok(match attribute {
        1..=3 => 1024,
        4 => 64,
        5 => i32::MAX,
        6 | 7 => 65535,
        8 => 48 << 10,
        9 => 64 << 10,
        10 => 32,
        11 => i32::MAX,
        12 | 82 => 65536,
        13 | 36 => 1_000_000,
        14 | 30 => 512,
        15 | 19 | 31 | 41 | 78 | 79 | 80 | 83 | 89 | 90 | 91 | 95 | 99 | 115 => 1,
        16 => d.config.threads as c_int,
        33 => 1 + device as c_int,
        37 => 256,
        38 => 4 << 20,
        39 => threads_per_sm(cc) as c_int,
        40 => 2,
        75 => cc.0 as c_int,
        76 => cc.1 as c_int,
        81 => shared_opt_in(cc) as c_int + 1024,
        87 => 32,
        97 => shared_opt_in(cc) as c_int,
        106 => 16,
        // Limits of textures, surfaces and other parts that are not there, and flags that are off.
        17..=150 => 0,
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

    /// `cuDeviceCanAccessPeer`
    fn cuDeviceCanAccessPeer(out: *mut c_int, dev: c_int, peer: c_int) {
        device(dev)?;
        device(peer)?;
        put(out, (dev != peer) as c_int)
    }
}
