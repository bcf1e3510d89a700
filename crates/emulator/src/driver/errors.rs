//! Error codes of the driver API, their names and texts.

use std::ffi::{c_char, c_int};

/// Codes as in `cuda.h`.
#[allow(missing_docs)]
pub mod code {
    pub const SUCCESS: i32 = 0;
    pub const INVALID_VALUE: i32 = 1;
    pub const OUT_OF_MEMORY: i32 = 2;
    pub const NOT_INITIALIZED: i32 = 3;
    pub const DEINITIALIZED: i32 = 4;
    pub const NO_DEVICE: i32 = 100;
    pub const INVALID_DEVICE: i32 = 101;
    pub const INVALID_IMAGE: i32 = 200;
    pub const INVALID_CONTEXT: i32 = 201;
    pub const NO_BINARY_FOR_GPU: i32 = 209;
    pub const INVALID_PTX: i32 = 218;
    pub const UNSUPPORTED_PTX_VERSION: i32 = 222;
    pub const FILE_NOT_FOUND: i32 = 301;
    pub const INVALID_HANDLE: i32 = 400;
    pub const ILLEGAL_STATE: i32 = 401;
    pub const NOT_FOUND: i32 = 500;
    pub const NOT_READY: i32 = 600;
    pub const ILLEGAL_ADDRESS: i32 = 700;
    pub const LAUNCH_OUT_OF_RESOURCES: i32 = 701;
    pub const LAUNCH_TIMEOUT: i32 = 702;
    pub const ASSERT: i32 = 710;
    pub const HARDWARE_STACK_ERROR: i32 = 714;
    pub const ILLEGAL_INSTRUCTION: i32 = 715;
    pub const MISALIGNED_ADDRESS: i32 = 716;
    pub const INVALID_PC: i32 = 718;
    pub const LAUNCH_FAILED: i32 = 719;
    pub const COOPERATIVE_LAUNCH_TOO_LARGE: i32 = 720;
    pub const NOT_PERMITTED: i32 = 800;
    pub const NOT_SUPPORTED: i32 = 801;
    pub const UNKNOWN: i32 = 999;
}

/// Name and text of a code, NUL-terminated.
fn texts(code: c_int) -> Option<(&'static str, &'static str)> {
    Some(match code {
        0 => ("CUDA_SUCCESS\0", "no error\0"),
        1 => ("CUDA_ERROR_INVALID_VALUE\0", "invalid argument\0"),
        2 => ("CUDA_ERROR_OUT_OF_MEMORY\0", "out of memory\0"),
        3 => ("CUDA_ERROR_NOT_INITIALIZED\0", "initialization error\0"),
        4 => ("CUDA_ERROR_DEINITIALIZED\0", "driver shutting down\0"),
        100 => ("CUDA_ERROR_NO_DEVICE\0", "no CUDA-capable device is detected\0"),
        101 => ("CUDA_ERROR_INVALID_DEVICE\0", "invalid device ordinal\0"),
        200 => ("CUDA_ERROR_INVALID_IMAGE\0", "device kernel image is invalid\0"),
        201 => ("CUDA_ERROR_INVALID_CONTEXT\0", "invalid device context\0"),
        209 => ("CUDA_ERROR_NO_BINARY_FOR_GPU\0", "no kernel image is available for execution on the device\0"),
        218 => ("CUDA_ERROR_INVALID_PTX\0", "a PTX JIT compilation failed\0"),
        222 => {
            ("CUDA_ERROR_UNSUPPORTED_PTX_VERSION\0", "the provided PTX was compiled with an unsupported toolchain\0")
        }
        301 => ("CUDA_ERROR_FILE_NOT_FOUND\0", "file not found\0"),
        400 => ("CUDA_ERROR_INVALID_HANDLE\0", "invalid resource handle\0"),
        401 => ("CUDA_ERROR_ILLEGAL_STATE\0", "the operation cannot be performed in the present state\0"),
        500 => ("CUDA_ERROR_NOT_FOUND\0", "named symbol not found\0"),
        600 => ("CUDA_ERROR_NOT_READY\0", "device not ready\0"),
        700 => ("CUDA_ERROR_ILLEGAL_ADDRESS\0", "an illegal memory access was encountered\0"),
        701 => ("CUDA_ERROR_LAUNCH_OUT_OF_RESOURCES\0", "too many resources requested for launch\0"),
        702 => ("CUDA_ERROR_LAUNCH_TIMEOUT\0", "the launch timed out and was terminated\0"),
        710 => ("CUDA_ERROR_ASSERT\0", "device-side assert triggered\0"),
        714 => ("CUDA_ERROR_HARDWARE_STACK_ERROR\0", "hardware stack error\0"),
        715 => ("CUDA_ERROR_ILLEGAL_INSTRUCTION\0", "an illegal instruction was encountered\0"),
        716 => ("CUDA_ERROR_MISALIGNED_ADDRESS\0", "misaligned address\0"),
        718 => ("CUDA_ERROR_INVALID_PC\0", "invalid program counter\0"),
        719 => ("CUDA_ERROR_LAUNCH_FAILED\0", "unspecified launch failure\0"),
        720 => ("CUDA_ERROR_COOPERATIVE_LAUNCH_TOO_LARGE\0", "too many blocks in cooperative launch\0"),
        800 => ("CUDA_ERROR_NOT_PERMITTED\0", "operation not permitted\0"),
        801 => ("CUDA_ERROR_NOT_SUPPORTED\0", "operation not supported\0"),
        999 => ("CUDA_ERROR_UNKNOWN\0", "unknown error\0"),
        _ => return None,
    })
}

unsafe fn give(out: *mut *const c_char, text: Option<&'static str>) -> c_int {
    if out.is_null() {
        return code::INVALID_VALUE;
    }
    // SAFETY: the caller passes a place for a pointer.
    unsafe { *out = text.map_or(std::ptr::null(), |t| t.as_ptr().cast()) };
    if text.is_some() { code::SUCCESS } else { code::INVALID_VALUE }
}

/// `cuGetErrorName`
///
/// # Safety
/// As the driver API says: `out` points to a place for a pointer.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn cuGetErrorName(error: c_int, out: *mut *const c_char) -> c_int {
    // SAFETY: passed on.
    unsafe { give(out, texts(error).map(|t| t.0)) }
}

/// `cuGetErrorString`
///
/// # Safety
/// As the driver API says: `out` points to a place for a pointer.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn cuGetErrorString(error: c_int, out: *mut *const c_char) -> c_int {
    // SAFETY: passed on.
    unsafe { give(out, texts(error).map(|t| t.1)) }
}
