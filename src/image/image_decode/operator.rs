//! The operator: a column of encoded images of any of the formats to a column of RGB images.

use super::{ImageFormat, decode};
use crate::column::Column;
use crate::device::{ExecCtx, MemoryPlan};
use crate::error::Result;
use crate::image::Images;
use crate::image::jpeg_decode::{DecodeOptions, Decoded, Formats, RowError, column_plan, decode_column};

const OP: &str = "image_decode";

/// Decodes a column of JPEG, PNG and WebP images in any mixture, rows in parallel on the context's threads.
///
/// `images` is `Binary`, `LargeBinary` or `BinaryView`. A null row is null in the result and no error; an image that
/// cannot be decoded is null and listed in [`Decoded::errors`], and its neighbours are unaffected.
///
/// On a CUDA context the column is on the host or on that device, and the images come to be on the device: JPEG as
/// [`jpeg_decode`](crate::image::jpeg_decode::jpeg_decode) does it; PNG and WebP are decoded on the host, and their pixels
/// copied.
///
/// # Errors
/// Those of [`jpeg_decode`](crate::image::jpeg_decode::jpeg_decode); the device memory is what [`image_decode_plan`] says.
///
/// # Synchronization
/// On a CUDA context it waits once, to learn which files the device could not decode.
///
/// # Example
/// ```
/// use std::sync::Arc;
/// use warpline::arrow::array::BinaryArray;
/// use warpline::image::Images;
/// use warpline::image::image_decode::image_decode;
/// use warpline::image::jpeg_decode::DecodeOptions;
/// use warpline::{Column, ExecCtx};
///
/// let white = b"\x89PNG\r\n\x1a\n\0\0\0\rIHDR\0\0\0\x01\0\0\0\x01\x08\0\0\0\0:~\x9bU\
///     \0\0\0\nIDATx\x9cc\xf8\x0f\0\x01\x01\x01\0\xb18\xf6\x14\0\0\0\0IEND\xaeB`\x82";
/// let column = Column::from_array(Arc::new(BinaryArray::from_opt_vec(vec![Some(white.as_slice()), None])));
/// let decoded = image_decode(&ExecCtx::host(2)?, &column, &DecodeOptions::default())?;
/// let images = Images::try_new(decoded.images)?;
/// assert_eq!((images.pixels(0), images.pixels(1)), (Some(&[255; 3][..]), None));
/// # Ok::<(), warpline::Error>(())
/// ```
pub fn image_decode(ctx: &ExecCtx, images: &Column, options: &DecodeOptions) -> Result<Decoded> {
    let (images, errors) = decode_images(ctx, images, options)?;
    Ok(Decoded { images: images.into_column(), errors })
}

/// [`image_decode`], keeping what the host knows of the images.
pub(crate) fn decode_images(
    ctx: &ExecCtx,
    images: &Column,
    options: &DecodeOptions,
) -> Result<(Images, Vec<RowError>)> {
    decode_column(OP, &ALL, ctx, images, options)
}

/// The device memory that [`image_decode`] takes on a CUDA context, from the headers: the workspace at most, and the
/// output at most.
///
/// # Errors
/// As [`image_decode`], without those of device memory.
pub fn image_decode_plan(ctx: &ExecCtx, images: &Column, options: &DecodeOptions) -> Result<MemoryPlan> {
    column_plan(OP, &ALL, ctx, images, options)
}

/// All formats: the host decodes what does not begin as a JPEG does.
const ALL: Formats = Formats {
    is_foreign: |bytes| ImageFormat::of(bytes) != Some(ImageFormat::Jpeg),
    pixels: ImageFormat::declared_pixels,
    decode,
};
