//! The driver library: is it there, how many devices, and how its errors become ours.

use std::sync::OnceLock;

use cudarc::driver::{DriverError, result, sys};

use crate::error::{Error, Result};

/// Whether a CUDA driver library can be opened. Asked once: cudarc's own calls panic without one.
pub fn is_present() -> bool {
    static PRESENT: OnceLock<bool> = OnceLock::new();
    // SAFETY: opening libcuda runs only the initialisers of the driver that the user installed.
    *PRESENT.get_or_init(|| unsafe { sys::is_culib_present() })
}

/// Number of CUDA devices; 0 where there is no driver or its initialisation fails.
pub fn device_count() -> usize {
    static COUNT: OnceLock<usize> = OnceLock::new();
    *COUNT.get_or_init(|| {
        if !is_present() || result::init().is_err() {
            return 0;
        }
        result::device::get_count().map_or(0, |n| n.max(0) as usize)
    })
}

/// The CUDA version that the driver supports, as (major, minor); `None` without a driver.
pub fn cuda_version() -> Option<(u32, u32)> {
    if !is_present() {
        return None;
    }
    let mut version = 0;
    // SAFETY: the pointer is to a live integer; the call needs no context.
    unsafe { sys::cuDriverGetVersion(&mut version) }.result().ok()?;
    Some((version as u32 / 1000, version as u32 % 1000 / 10))
}

/// Runs something that works on a device, and makes current again the CUDA context that was current on this thread. For
/// libraries that are called from other people's threads: the CUDA runtime takes the current context for the device that
/// its user has chosen.
///
/// ```
/// assert_eq!(warpline::device::keep_context(|| 1 + 1), 2);
/// ```
pub fn keep_context<T>(work: impl FnOnce() -> T) -> T {
    let before = is_present().then(result::ctx::get_current);
    let done = work();
    if let Some(Ok(before)) = before {
        // SAFETY: the context was current before, or there was none, which null says.
        let _ = unsafe { result::ctx::set_current(before.unwrap_or(std::ptr::null_mut())) };
    }
    done
}

/// Turns a driver result into ours, with the operator or call that it belongs to.
pub(crate) fn check<T>(op: &str, result: std::result::Result<T, DriverError>) -> Result<T> {
    result.map_err(|error| cuda_error(op, error))
}

/// Our error for a driver error.
pub(crate) fn cuda_error(op: &str, error: DriverError) -> Error {
    let text = |part: std::result::Result<&std::ffi::CStr, DriverError>| {
        part.map_or_else(|_| "unknown".to_owned(), |s| s.to_string_lossy().into_owned())
    };
    let message = format!("{} ({})", text(error.error_name()), text(error.error_string()));
    Error::Cuda { op: op.to_owned(), code: error.0 as u32, message }
}
