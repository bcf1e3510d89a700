//! Failures as Python exceptions.

use pyo3::create_exception;
use pyo3::exceptions::{PyMemoryError, PyNotImplementedError, PyOSError, PyRuntimeError, PyValueError};
use pyo3::prelude::*;
use warpline::Error;

create_exception!(warpline, ImageError, PyValueError, "An image that cannot be decoded, under on_error=\"fail\".");

/// A failure of the library as the exception that fits.
pub fn raise(error: Error) -> PyErr {
    let text = error.to_string();
    match error {
        Error::InvalidInput { .. } | Error::Arrow { .. } => PyValueError::new_err(text),
        Error::Unsupported { .. } => PyNotImplementedError::new_err(text),
        Error::OutOfMemory { .. } => PyMemoryError::new_err(text),
        Error::Io { .. } => PyOSError::new_err(text),
        _ => PyRuntimeError::new_err(text),
    }
}

/// The exception for a row that could not be decoded.
pub fn image_error(py: Python<'_>, row: usize, code: &str, message: &str) -> PyErr {
    let error = ImageError::new_err(format!("row {row}: {code}: {message}"));
    let value = error.value(py);
    let set = value
        .setattr("row", row)
        .and_then(|()| value.setattr("code", code))
        .and_then(|()| value.setattr("message", message));
    match set {
        Ok(()) => error,
        Err(other) => other,
    }
}
