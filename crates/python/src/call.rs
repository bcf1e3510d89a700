//! The package's functions.

use arrow::array::{Array, BooleanArray};
use arrow::compute::filter;
use pyo3::exceptions::PyValueError;
use pyo3::prelude::*;
use pyo3::types::PyDict;
use warpline::image::image_decode::image_decode;
use warpline::image::jpeg_decode::DecodeOptions;
use warpline::image::{self, preprocess};
use warpline::{Column, ExecCtx};

use crate::error::{image_error, raise};
use crate::preprocess::Preprocess;
use crate::results::{Images, RowError, Tensor};
use crate::{arguments, context, input};

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
///
///     >>> images = warpline.decode_image(files[:2])
///     >>> images[0].numpy().shape, images.sizes
///     ((48, 64, 3), [(48, 64), (48, 64)])
///
/// array: a pyarrow binary, large_binary or binary_view array (chunked too), anything with `__arrow_c_array__`, or
///     bytes objects; None and nulls give None. The encoded bytes are not copied.
/// device: where to decode: "auto" (the first GPU, or the host), "host" or "cuda:N". A device decodes sequential
///     JPEGs, the host the rest; the result comes back to the host, and is the same.
/// on_error: "fail" raises ImageError for the first image that cannot be decoded; "null" gives None and lists it in
///     `errors`.
/// exif_orientation: turn images upright, as `PIL.ImageOps.exif_transpose`.
/// max_pixels: larger images are errors (`too_large`), before anything is allocated.
///
/// The interpreter's lock is released; images are decoded by all cores (RAYON_NUM_THREADS sets their number).
#[pyfunction]
#[pyo3(signature = (array, *, device="auto", on_error="fail", exif_orientation=false, max_pixels=178_956_970))]
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

/// Decodes images, resizes, crops and normalises them into one tensor, equal to Pillow 12 and torchvision.
///
///     >>> tensor = warpline.image_to_tensor(files[:2], resize=40, crop=32)
///     >>> tensor.numpy().shape
///     (2, 3, 32, 32)
///     >>> train = dict(random_resized_crop=32, horizontal_flip=0.5)
///     >>> epochs = [warpline.image_to_tensor(files, seed=epoch, **train) for epoch in range(2)]
///     >>> boxed = warpline.image_to_tensor(files, letterbox=(32, 48), fill=114, dtype="u8", layout="nhwc")
///     >>> boxed.shape[1:]
///     [32, 48, 3]
///
/// array, exif_orientation, max_pixels: as in `decode_image`.
/// options: those of `Preprocess`: random_resized_crop, scale, ratio, resize, fit, letterbox, smart_resize, crop,
///     centering, pad, place, fill, horizontal_flip, vertical_flip, seed, interpolation, normalize, rescale_factor,
///     dtype, layout. Without a size for all, images must come out at one size.
/// preprocess: a `Preprocess` to start from; options change it for this call.
/// row_ids: an integer for each row, by which random choices know it: a row keeps its choices in any batch and
///     order if its id and the seed stay. By default the row's number in `array`.
/// on_error: "fail" raises ImageError for the first image that cannot be decoded; "null" gives zeros, with False in
///     `valid`; "skip" leaves the row out, and `rows` tells which are there. Nulls of the input stay, as zeros. The
///     words are those of the command `warpline run`.
/// device: where to decode, resize and normalise: "auto" (the first GPU, or the host), "host" or "cuda:N". The
///     result comes back to the host, and is the same.
///
/// The interpreter's lock is released; all cores work (RAYON_NUM_THREADS sets their number).
///
/// Raises ImageError as above, ValueError for arguments that do not fit, TypeError for a value or an array of
/// another kind, RuntimeError where a device is missing, MemoryError where its memory does not suffice.
#[pyfunction]
#[pyo3(signature = (
    array, *, preprocess=None, row_ids=None, on_error="fail", device="auto", exif_orientation=false,
    max_pixels=178_956_970, **options
))]
#[allow(clippy::too_many_arguments, reason = "Python's keyword arguments")]
pub fn image_to_tensor(
    array: &Bound<'_, PyAny>,
    preprocess: Option<PyRef<'_, Preprocess>>,
    row_ids: Option<&Bound<'_, PyAny>>,
    on_error: &str,
    device: &str,
    exif_orientation: bool,
    max_pixels: u64,
    options: Option<&Bound<'_, PyDict>>,
) -> PyResult<Tensor> {
    let py = array.py();
    let on_error = OnError::parse(on_error)?;
    let what = crate::preprocess::preprocess(preprocess.as_deref(), options)?;
    let row_ids = row_ids.map(arguments::row_ids).transpose()?;
    let ctx = context::open(device)?;
    let options = DecodeOptions { exif_orientation, max_pixels, ..DecodeOptions::default() };
    let (mut images, errors) = decode(py, &ctx, input::column(array)?, &options)?;
    refuse(py, &errors, on_error)?;
    if let Some(ids) = row_ids {
        images = images.with_row_ids(&ids).map_err(raise)?;
    }
    py.detach(|| tensor(&ctx, &images, &what, errors, on_error)).map_err(raise)
}

/// Resizes and the rest where `ctx` runs; the result on the host.
fn tensor(
    ctx: &ExecCtx,
    images: &image::Images,
    what: &image::Preprocess,
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
