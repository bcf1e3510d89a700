//! The operator: a column of encoded images to a column of RGB images.

use arrow::array::{Array, ArrayRef, AsArray};
use arrow::datatypes::{BinaryType, DataType, LargeBinaryType};
use rayon::prelude::*;

use super::{DecodeCode, DecodeError, DecodeOptions, RgbImage, decode};
use crate::column::{Column, Placement};
use crate::device::ExecCtx;
use crate::error::{Error, Result};
use crate::image::ImagesBuilder;

const OP: &str = "jpeg_decode";

/// A row that could not be decoded.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RowError {
    /// The row in the input column.
    pub row: usize,
    /// The short stable code.
    pub code: DecodeCode,
    /// What was wrong, in one line.
    pub message: String,
}

/// The result of [`jpeg_decode`].
#[derive(Clone, Debug)]
pub struct Decoded {
    /// `Struct{data: LargeBinary, width: UInt32, height: UInt32}` of as many rows as the input: RGB8, row-major, three
    /// bytes a pixel. Null where the input is null or could not be decoded.
    pub images: Column,
    /// The rows that could not be decoded, ascending.
    pub errors: Vec<RowError>,
}

/// Decodes a column of JPEGs, rows in parallel on the context's threads.
///
/// `images` is `Binary`, `LargeBinary` or `BinaryView`. A null row is null in the result and no error; an image that
/// cannot be decoded is null and listed in [`Decoded::errors`], and its neighbours are unaffected.
///
/// # Errors
/// `InvalidInput` for another type, `WrongDevice` when the column is not where the context is, `Unsupported` on a CUDA
/// context: decode on a host context and copy the pixels.
///
/// # Example
/// ```
/// use std::sync::Arc;
/// use warpline::arrow::array::BinaryArray;
/// use warpline::image::jpeg_decode::{DecodeOptions, jpeg_decode};
/// use warpline::{Column, ExecCtx};
///
/// let column = Column::from_array(Arc::new(BinaryArray::from_opt_vec(vec![Some(b"text".as_slice()), None])));
/// let decoded = jpeg_decode(&ExecCtx::host(2)?, &column, &DecodeOptions::default())?;
/// assert_eq!(decoded.images.len(), 2);
/// assert_eq!(decoded.errors[0].code.as_str(), "not_an_image");
/// # Ok::<(), warpline::Error>(())
/// ```
pub fn jpeg_decode(ctx: &ExecCtx, images: &Column, options: &DecodeOptions) -> Result<Decoded> {
    if let Placement::Cuda(_) = ctx.placement() {
        return Err(Error::unsupported(OP, "decoding JPEG on a CUDA device", "decode with ExecCtx::host and copy"));
    }
    if images.placement() != Placement::Host {
        return Err(Error::WrongDevice { op: OP, expected: Placement::Host, found: images.placement() });
    }
    let array = images.to_array()?;
    let rows = encoded_rows(&array)?;
    let one = |bytes: &Option<&[u8]>| bytes.map(|bytes| decode(bytes, options));
    let results: Vec<_> = ctx.pool().install(|| rows.par_iter().with_max_len(1).map(one).collect());
    assemble(results)
}

/// The bytes of each row.
pub(crate) fn encoded_rows(array: &ArrayRef) -> Result<Vec<Option<&[u8]>>> {
    match array.data_type() {
        DataType::Binary => Ok(array.as_bytes::<BinaryType>().iter().collect()),
        DataType::LargeBinary => Ok(array.as_bytes::<LargeBinaryType>().iter().collect()),
        DataType::BinaryView => Ok(array.as_binary_view().iter().collect()),
        other => Err(Error::invalid(OP, format!("images must be Binary, LargeBinary or BinaryView, not {other}"))),
    }
}

/// Builds the image column; pixels are released as they are copied.
pub(crate) fn assemble(results: Vec<Option<std::result::Result<RgbImage, DecodeError>>>) -> Result<Decoded> {
    let bytes = results.iter().flatten().flatten().map(|image| image.data.len()).sum();
    let mut images = ImagesBuilder::with_capacity(results.len(), bytes);
    let mut errors = Vec::new();
    for (row, result) in results.into_iter().enumerate() {
        match result {
            Some(Ok(image)) => images.push(image.width, image.height, &image.data)?,
            Some(Err(DecodeError { code, message })) => {
                errors.push(RowError { row, code, message });
                images.push_null();
            }
            None => images.push_null(),
        }
    }
    Ok(Decoded { images: images.finish()?.into_column(), errors })
}
