//! The package's functions.

use std::sync::Arc;

use arrow::array::BooleanArray;
use arrow::datatypes::Schema;
use pyo3::exceptions::PyValueError;
use pyo3::prelude::*;
use pyo3::types::PyDict;
use warpline::image::image_decode::image_decode;
use warpline::image::jpeg_decode::DecodeOptions;
use warpline::image::{self, TensorSpec, Tensors, preprocess};
use warpline::ops::filter;
use warpline::{Batch, Column, ExecCtx};

use crate::context::{self, detached};
use crate::error::{image_error, raise};
use crate::preprocess::Preprocess;
use crate::results::{Images, RowError, Rows, Tensor};
use crate::{arguments, input};

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
    let (images, errors) = detached(py, || {
        let decoded = image_decode(ctx, &column, options)?;
        Ok((image::Images::try_new(decoded.images)?, decoded.errors))
    })?;
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
/// device: where to decode, and where the images are: "auto" (the first GPU, or the host), "host" or "cuda:N". A
///     device decodes sequential JPEGs, the host the rest, whose pixels are copied there. The pixels are the same.
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
    let ctx = context::open(device)?;
    let options = DecodeOptions { exif_orientation, max_pixels, ..DecodeOptions::default() };
    let (images, errors) = decode(py, &ctx, input::column(array)?, &options)?;
    refuse(py, &errors, on_error)?;
    let images = detached(py, || images.to(&ctx))?;
    Ok(Images::new(ctx, images, errors))
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
/// device: where to decode, resize and normalise, and where the tensor is: "auto" (the first GPU, or the host),
///     "host" or "cuda:N". The elements are the same. Work on a device goes on when this returns; whoever takes the
///     tensor waits for it.
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
    detached(py, || tensor(&ctx, &images, &what, errors, on_error))
}

/// Resizes and the rest where `ctx` runs.
fn tensor(
    ctx: &ExecCtx,
    images: &image::Images,
    what: &image::Preprocess,
    errors: Vec<RowError>,
    on_error: OnError,
) -> warpline::Result<Tensor> {
    let Tensors { column, spec } = preprocess(ctx, &images.to(ctx)?, what)?;
    let numbers: Vec<usize> = (0..column.len()).collect();
    let valid = images.rows().iter().map(Option::is_some).collect();
    let rows = Rows { valid, numbers, errors };
    match on_error == OnError::Skip && !rows.errors.is_empty() {
        true => skip(ctx, column, spec, rows),
        false => Tensor::new(ctx, column, spec, rows),
    }
}

/// Without the rows that failed.
fn skip(ctx: &ExecCtx, column: Column, spec: TensorSpec, rows: Rows) -> warpline::Result<Tensor> {
    let Rows { valid, numbers, errors } = rows;
    let failed = |row: &usize| errors.binary_search_by_key(row, |error| error.row).is_ok();
    let kept: Vec<usize> = numbers.into_iter().filter(|row| !failed(row)).collect();
    let mut mask = vec![false; column.len()];
    kept.iter().for_each(|row| mask[*row] = true);
    let mask = Column::from_array(Arc::new(BooleanArray::from(mask))).to(ctx)?;
    let (schema, len) = (Schema::new(vec![spec.field("tensor")]), column.len());
    let batch = Batch::try_new(Arc::new(schema), vec![column], len, ctx.placement())?;
    let column = filter(ctx, &batch, &mask)?.columns()[0].clone();
    let valid = kept.iter().map(|row| valid[*row]).collect();
    Tensor::new(ctx, column, spec, Rows { valid, numbers: kept, errors })
}
