//! The operator: a column of encoded images of any of the formats to a column of RGB images.

use arrow::datatypes::DataType;
use rayon::prelude::*;

use super::{ImageFormat, decode};
use crate::column::{Column, Placement};
use crate::device::ExecCtx;
use crate::error::{Error, Result};
use crate::image::Images;
use crate::image::jpeg_decode::operator::{assemble, encoded_rows};
use crate::image::jpeg_decode::{DecodeOptions, Decoded, jpeg_decode};

const OP: &str = "image_decode";

/// Decodes a column of JPEG, PNG and WebP images in any mixture, rows in parallel on the context's threads.
///
/// `images` is `Binary`, `LargeBinary` or `BinaryView`. A null row is null in the result and no error; an image that
/// cannot be decoded is null and listed in [`Decoded::errors`], and its neighbours are unaffected.
///
/// PNG and WebP are decoded on the host. A CUDA context takes a column on the host, decodes it there as a whole if any
/// row is PNG or WebP, and copies the pixels; it hands every other column to
/// [`jpeg_decode`](crate::image::jpeg_decode::jpeg_decode).
///
/// # Errors
/// `InvalidInput` for another type, `WrongDevice` when the column is on a device and the context is not there; on a CUDA
/// context also those of [`jpeg_decode`](crate::image::jpeg_decode::jpeg_decode), and `OutOfMemory`.
///
/// # Synchronization
/// None on the host. A copy of pixels to a device is queued.
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
    if images.placement() != Placement::Host {
        return jpeg_decode(ctx, images, options);
    }
    if !matches!(images.data_type(), DataType::Binary | DataType::LargeBinary | DataType::BinaryView) {
        let why = format!("images must be Binary, LargeBinary or BinaryView, not {}", images.data_type());
        return Err(Error::invalid(OP, why));
    }
    let array = images.to_array()?;
    let rows = encoded_rows(&array)?;
    let foreign = |bytes: &[u8]| matches!(ImageFormat::of(bytes), Some(ImageFormat::Png | ImageFormat::WebP));
    if ctx.as_cuda().is_some() && !rows.iter().flatten().any(|bytes| foreign(bytes)) {
        return jpeg_decode(ctx, images, options);
    }
    let one = |bytes: &Option<&[u8]>| bytes.map(|bytes| decode(bytes, options));
    let results: Vec<_> = ctx.pool().install(|| rows.par_iter().with_max_len(1).map(one).collect());
    let Decoded { images, errors } = assemble(results)?;
    Ok(Decoded { images: Images::try_new(images)?.to(ctx)?.into_column(), errors })
}
