//! The package's functions.

use arrow::array::{Array, BooleanArray};
use arrow::compute::filter;
use pyo3::exceptions::PyValueError;
use pyo3::prelude::*;
use warpline::image::image_decode::image_decode;
use warpline::image::jpeg_decode::DecodeOptions;
use warpline::image::{self, DType, Layout, Normalize, Preprocess, Resize, preprocess};
use warpline::{Column, ExecCtx};

use crate::error::{image_error, raise};
use crate::results::{Images, RowError, Tensor};
use crate::{context, input};

/// Pillow's limit.
const MAX_PIXELS: u64 = 178_956_970;

/// What happens to rows that cannot be decoded; the words of the command line.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum OnError {
    Fail,
    Null,
    Skip,
}

impl OnError {
    fn parse(text: &str) -> PyResult<Self> {
        match text {
            "fail" => Ok(OnError::Fail),
            "null" => Ok(OnError::Null),
            "skip" => Ok(OnError::Skip),
            _ => Err(PyValueError::new_err(format!("on_error {text:?} is none of fail, null, skip"))),
        }
    }
}

/// One length for both sides, or height and width.
#[derive(Clone, Copy, Debug, FromPyObject)]
pub enum Lengths {
    /// An integer.
    One(u32),
    /// A pair.
    Two(u32, u32),
}

/// One number for all channels, or red, green and blue.
#[derive(Clone, Copy, Debug, FromPyObject)]
pub enum Channels {
    /// A number.
    One(f64),
    /// Three numbers.
    Three(f64, f64, f64),
}

impl Channels {
    fn array(self) -> [f64; 3] {
        match self {
            Channels::One(value) => [value; 3],
            Channels::Three(red, green, blue) => [red, green, blue],
        }
    }
}

/// A name, or mean and standard deviation.
#[derive(Clone, Debug, FromPyObject)]
pub enum How {
    /// "imagenet", "clip", "none", or the form of the command line.
    Name(String),
    /// Mean and standard deviation of values from 0 to 1.
    Numbers(Channels, Channels),
}

/// Decoded images where `ctx` runs, and the rows that failed.
fn decode(
    py: Python<'_>,
    ctx: &ExecCtx,
    column: Column,
    options: &DecodeOptions,
) -> PyResult<(image::Images, Vec<RowError>)> {
    let decoded = py.detach(|| {
        let decoded = image_decode(ctx, &column, options)?;
        Ok((image::Images::try_new(decoded.images)?, decoded.errors))
    });
    let (images, errors) = decoded.map_err(raise)?;
    Ok((images, errors.into_iter().map(RowError::from).collect()))
}

/// Raises for the first row that failed.
fn refuse(py: Python<'_>, errors: &[RowError], on_error: OnError) -> PyResult<()> {
    match errors.first() {
        Some(first) if on_error == OnError::Fail => Err(image_error(py, first.row, &first.code, &first.message)),
        _ => Ok(()),
    }
}

/// Decodes JPEG, PNG and WebP images to RGB, equal to Pillow's `Image.open(f).convert("RGB")`.
#[pyfunction]
#[pyo3(signature = (array, *, device="auto", on_error="fail", exif_orientation=false, max_pixels=MAX_PIXELS))]
pub fn decode_image(
    array: &Bound<'_, PyAny>,
    device: &str,
    on_error: &str,
    exif_orientation: bool,
    max_pixels: u64,
) -> PyResult<Images> {
    let py = array.py();
    let on_error = OnError::parse(on_error)?;
    if on_error == OnError::Skip {
        return Err(PyValueError::new_err("on_error 'skip' is for tensors: images that cannot be decoded are None"));
    }
    let (ctx, host) = (context::open(device)?, context::open("host")?);
    let options = DecodeOptions { exif_orientation, max_pixels, ..DecodeOptions::default() };
    let (images, errors) = decode(py, &ctx, input::column(array)?, &options)?;
    refuse(py, &errors, on_error)?;
    let images = py.detach(|| images.to(&host)).map_err(raise)?;
    Ok(Images::new(images, errors))
}

/// Decodes images, resizes, crops and normalises them into one tensor, equal to Pillow and torchvision.
#[pyfunction]
#[pyo3(signature = (
    array, *, resize=None, crop=None, interpolation="bilinear", normalize=None, dtype="f32", layout="nchw",
    on_error="fail", device="auto", exif_orientation=false, max_pixels=MAX_PIXELS
))]
#[allow(clippy::too_many_arguments, reason = "Python's keyword arguments")]
pub fn image_to_tensor(
    array: &Bound<'_, PyAny>,
    resize: Option<Lengths>,
    crop: Option<Lengths>,
    interpolation: &str,
    normalize: Option<How>,
    dtype: &str,
    layout: &str,
    on_error: &str,
    device: &str,
    exif_orientation: bool,
    max_pixels: u64,
) -> PyResult<Tensor> {
    let py = array.py();
    let on_error = OnError::parse(on_error)?;
    let dtype: DType = dtype.parse().map_err(raise)?;
    let layout: Layout = layout.parse().map_err(raise)?;
    let normalize = normalization(normalize, dtype).map_err(raise)?;
    let mut geometry = match resize {
        None => Resize::keep(),
        Some(Lengths::One(shorter)) => Resize::shorter(shorter),
        Some(Lengths::Two(height, width)) => Resize::exact(width, height),
    };
    geometry = match crop {
        None => geometry,
        Some(Lengths::One(side)) => geometry.crop(side),
        Some(Lengths::Two(height, width)) => geometry.crop_to(width, height),
    };
    let resize = geometry.interpolation(interpolation.parse().map_err(raise)?);
    let what = Preprocess { resize, normalize, dtype, layout };
    let ctx = context::open(device)?;
    let options = DecodeOptions { exif_orientation, max_pixels, ..DecodeOptions::default() };
    let (images, errors) = decode(py, &ctx, input::column(array)?, &options)?;
    refuse(py, &errors, on_error)?;
    py.detach(|| tensor(&ctx, &images, &what, errors, on_error)).map_err(raise)
}

fn normalization(how: Option<How>, dtype: DType) -> warpline::Result<Normalize> {
    match how {
        None if dtype == DType::U8 => Ok(Normalize::NONE),
        None => Ok(Normalize::IMAGENET),
        Some(How::Name(name)) => name.parse(),
        Some(How::Numbers(mean, std)) => Normalize::new(mean.array(), std.array()),
    }
}

/// Resizes and the rest where `ctx` runs; the result on the host.
fn tensor(
    ctx: &ExecCtx,
    images: &image::Images,
    what: &Preprocess,
    errors: Vec<RowError>,
    on_error: OnError,
) -> warpline::Result<Tensor> {
    let made = preprocess(ctx, &images.to(ctx)?, what)?;
    let column = made.column.to_host()?;
    let mut rows: Vec<usize> = (0..column.len()).collect();
    if on_error != OnError::Skip || errors.is_empty() {
        return Tensor::new(column, &made.spec, rows, errors);
    }
    let failed = |row: &usize| errors.binary_search_by_key(row, |error| error.row).is_ok();
    let kept: BooleanArray = rows.iter().map(|row| Some(!failed(row))).collect();
    rows.retain(|row| !failed(row));
    let array = filter(column.to_array()?.as_ref(), &kept).map_err(|error| warpline::Error::arrow("skip", error))?;
    debug_assert_eq!(array.len(), rows.len());
    Tensor::new(Column::from_array(array), &made.spec, rows, errors)
}
