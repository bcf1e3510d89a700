//! Values of Python's arguments, with messages that name the argument and say what it takes.

use std::fmt::Display;
use std::str::FromStr;

use pyo3::exceptions::{PyOverflowError, PyTypeError, PyValueError};
use pyo3::prelude::*;
use pyo3::types::{PyBool, PyInt, PySequence, PyString};
use warpline::Error;
use warpline::image::{Centering, Normalize};

/// Height and width.
pub type Size = (u32, u32);

/// The length of the shorter side, or height and width.
#[derive(Clone, Copy, Debug)]
pub enum Lengths {
    /// One integer.
    Shorter(u32),
    /// A pair of them.
    Exact(Size),
}

const LENGTHS: &str = "a number of pixels above 0, or (height, width)";

/// A value of the wrong kind.
fn kind(name: &str, value: &Bound<'_, PyAny>, takes: &str) -> PyErr {
    let found = value.get_type().name().map_or_else(|_| "object".into(), |name| name.to_string());
    PyTypeError::new_err(format!("{name}: {found} is not {takes}"))
}

/// A value of the right kind that does not fit.
fn unfit(name: &str, value: impl Display, takes: &str) -> PyErr {
    PyValueError::new_err(format!("{name}: {value} is not {takes}"))
}

/// The items of a tuple, a list, an array; `None` for anything else, strings too.
fn items<'py>(value: &Bound<'py, PyAny>) -> PyResult<Option<Vec<Bound<'py, PyAny>>>> {
    if value.is_instance_of::<PyString>() || value.cast::<PySequence>().is_err() && !value.hasattr("__len__")? {
        return Ok(None);
    }
    value.try_iter()?.collect::<PyResult<_>>().map(Some)
}

/// An integer in the range of `T`: Python's, NumPy's, anything with `__index__` but truth values.
fn integer<'py, T>(name: &str, value: &Bound<'py, PyAny>, takes: &str) -> PyResult<T>
where
    T: for<'a> FromPyObject<'a, 'py, Error = PyErr>,
{
    if value.is_instance_of::<PyBool>() {
        return Err(kind(name, value, takes));
    }
    value.extract::<T>().map_err(|error| {
        // Python's integers say OverflowError for one that is too large, or below 0.
        let py = value.py();
        let misfit = error.is_instance_of::<PyOverflowError>(py) || value.is_instance_of::<PyInt>();
        if misfit { unfit(name, value, takes) } else { kind(name, value, takes) }
    })
}

/// An integer from 0 to below 2^64.
pub fn unsigned(name: &str, value: &Bound<'_, PyAny>) -> PyResult<u64> {
    integer(name, value, "an integer from 0 to below 2**64")
}

/// One integer of that kind for each row.
pub fn row_ids(value: &Bound<'_, PyAny>) -> PyResult<Vec<u64>> {
    let rows = items(value)?.ok_or_else(|| kind("row_ids", value, "a sequence of integers"))?;
    rows.iter().map(|id| unsigned("row_ids", id)).collect()
}

fn length(name: &str, value: &Bound<'_, PyAny>, takes: &str) -> PyResult<u32> {
    let length = integer(name, value, takes)?;
    if length == 0 { Err(unfit(name, value, takes)) } else { Ok(length) }
}

/// The length of the shorter side, or height and width.
pub fn lengths(name: &str, value: &Bound<'_, PyAny>) -> PyResult<Lengths> {
    match items(value)?.as_deref() {
        None => length(name, value, LENGTHS).map(Lengths::Shorter),
        Some([height, width]) => Ok(Lengths::Exact((length(name, height, LENGTHS)?, length(name, width, LENGTHS)?))),
        Some(_) => Err(unfit(name, value, LENGTHS)),
    }
}

/// One length for both sides, or height and width.
pub fn size(name: &str, value: &Bound<'_, PyAny>) -> PyResult<Size> {
    Ok(match lengths(name, value)? {
        Lengths::Shorter(side) => (side, side),
        Lengths::Exact(size) => size,
    })
}

/// What the sides are multiples of, and the least and the greatest area.
pub fn multiple(name: &str, value: &Bound<'_, PyAny>) -> PyResult<(u32, u64, u64)> {
    const TAKES: &str = "(factor, min_pixels, max_pixels), as (28, 3136, 1003520)";
    match items(value)?.as_deref() {
        None => Err(kind(name, value, TAKES)),
        Some([factor, least, most]) => {
            let area = |area: &Bound<'_, PyAny>| length(name, area, TAKES).map(u64::from);
            let (least, most) = (area(least)?, area(most)?);
            if least > most {
                return Err(unfit(name, value, TAKES));
            }
            Ok((length(name, factor, TAKES)?, least, most))
        }
        Some(_) => Err(unfit(name, value, TAKES)),
    }
}

/// A number.
pub fn number(name: &str, value: &Bound<'_, PyAny>) -> PyResult<f64> {
    value.extract().map_err(|_| kind(name, value, "a number"))
}

/// The least and the greatest of a range.
pub fn number_pair(name: &str, value: &Bound<'_, PyAny>) -> PyResult<(f64, f64)> {
    const TAKES: &str = "two numbers above 0, the lesser first";
    match items(value)?.as_deref() {
        None => Err(kind(name, value, TAKES)),
        Some([least, most]) => {
            let range = (number(name, least)?, number(name, most)?);
            let fits = range.0 > 0.0 && range.0 <= range.1 && range.1.is_finite();
            if fits { Ok(range) } else { Err(unfit(name, value, TAKES)) }
        }
        Some(_) => Err(unfit(name, value, TAKES)),
    }
}

/// True, False, or how often something is true.
pub fn probability(name: &str, value: &Bound<'_, PyAny>) -> PyResult<f64> {
    const TAKES: &str = "True, False or a probability from 0 to 1";
    let probability = value.extract().map_err(|_| kind(name, value, TAKES))?;
    if (0.0..=1.0).contains(&probability) { Ok(probability) } else { Err(unfit(name, value, TAKES)) }
}

/// Red, green and blue from one number or three.
pub fn color(name: &str, value: &Bound<'_, PyAny>) -> PyResult<[u8; 3]> {
    const TAKES: &str = "an integer from 0 to 255, or (red, green, blue)";
    let byte = |value: &Bound<'_, PyAny>| integer(name, value, TAKES);
    match items(value)?.as_deref() {
        None => Ok([byte(value)?; 3]),
        Some([red, green, blue]) => Ok([byte(red)?, byte(green)?, byte(blue)?]),
        Some(_) => Err(unfit(name, value, TAKES)),
    }
}

/// Text that names one of a few things.
pub fn word<T: FromStr<Err = Error>>(name: &str, value: &Bound<'_, PyAny>) -> PyResult<T> {
    let text: String = value.extract().map_err(|_| kind(name, value, "a string"))?;
    text.parse().map_err(|error| match error {
        Error::InvalidInput { why, .. } => PyValueError::new_err(format!("{name}: {why}")),
        error => crate::error::raise(error),
    })
}

/// How a centre crop rounds.
pub fn centering(name: &str, value: &Bound<'_, PyAny>) -> PyResult<Centering> {
    const TAKES: &str = "'torchvision' or 'transformers'";
    match value.extract::<String>().map_err(|_| kind(name, value, TAKES))?.as_str() {
        "torchvision" => Ok(Centering::Torchvision),
        "transformers" => Ok(Centering::Transformers),
        other => Err(unfit(name, format_args!("'{other}'"), TAKES)),
    }
}

/// A name, or mean and standard deviation.
pub fn normalization(name: &str, value: &Bound<'_, PyAny>) -> PyResult<Normalize> {
    const TAKES: &str = "'imagenet', 'clip', 'none' or (mean, std)";
    match items(value)?.as_deref() {
        None if value.is_instance_of::<PyString>() => word(name, value),
        None => Err(kind(name, value, TAKES)),
        Some([mean, std]) => {
            let (mean, std) = (channels(name, mean)?, channels(name, std)?);
            let why = "two lists of finite numbers, no deviation of which is 0";
            Normalize::new(mean, std).map_err(|_| unfit(name, value, why))
        }
        Some(_) => Err(unfit(name, value, TAKES)),
    }
}

/// One number for all channels, or red, green and blue.
fn channels(name: &str, value: &Bound<'_, PyAny>) -> PyResult<[f64; 3]> {
    match items(value)?.as_deref() {
        None => Ok([number(name, value)?; 3]),
        Some([red, green, blue]) => Ok([number(name, red)?, number(name, green)?, number(name, blue)?]),
        Some(_) => Err(unfit(name, value, "one number or three, of red, green and blue")),
    }
}
