//! The operator: a column of encoded images to a column of RGB images.

use std::sync::Arc;

use arrow::array::{
    Array, ArrayRef, BinaryViewArray, LargeBinaryArray, StructArray, UInt32Array, cast::AsArray, types::BinaryType,
    types::LargeBinaryType,
};
use arrow::buffer::{Buffer, NullBuffer, OffsetBuffer, ScalarBuffer};
use arrow::datatypes::{DataType, Field, Fields};
use rayon::prelude::*;

use super::{DecodeCode, DecodeError, DecodeOptions, RgbImage, decode};
use crate::column::{Column, Placement};
use crate::device::ExecCtx;
use crate::error::{Error, Result};

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
fn encoded_rows(array: &ArrayRef) -> Result<Vec<Option<&[u8]>>> {
    match array.data_type() {
        DataType::Binary => Ok(array.as_bytes::<BinaryType>().iter().collect()),
        DataType::LargeBinary => Ok(array.as_bytes::<LargeBinaryType>().iter().collect()),
        DataType::BinaryView => {
            let view: &BinaryViewArray = array.as_binary_view();
            Ok(view.iter().collect())
        }
        other => Err(Error::invalid(OP, format!("images must be Binary, LargeBinary or BinaryView, not {other}"))),
    }
}

/// Builds the image column; pixels are released as they are copied.
fn assemble(results: Vec<Option<std::result::Result<RgbImage, DecodeError>>>) -> Result<Decoded> {
    let rows = results.len();
    let bytes = results.iter().flatten().flatten().map(|image| image.data.len()).sum();
    let mut data = Vec::with_capacity(bytes);
    let mut offsets = Vec::with_capacity(rows + 1);
    let (mut widths, mut heights, mut valid) = (Vec::with_capacity(rows), Vec::with_capacity(rows), Vec::new());
    let mut errors = Vec::new();
    offsets.push(0i64);
    for (row, result) in results.into_iter().enumerate() {
        let image = match result {
            Some(Ok(image)) => Some(image),
            Some(Err(DecodeError { code, message })) => {
                errors.push(RowError { row, code, message });
                None
            }
            None => None,
        };
        valid.push(image.is_some());
        let RgbImage { width, height, data: pixels } = image.unwrap_or(RgbImage { width: 0, height: 0, data: vec![] });
        widths.push(width);
        heights.push(height);
        data.extend_from_slice(&pixels);
        offsets.push(data.len() as i64);
    }
    let offsets = OffsetBuffer::new(ScalarBuffer::from(offsets));
    let children: Vec<ArrayRef> = vec![
        Arc::new(LargeBinaryArray::new(offsets, Buffer::from_vec(data), None)),
        Arc::new(UInt32Array::from(widths)),
        Arc::new(UInt32Array::from(heights)),
    ];
    let fields = Fields::from(vec![
        Field::new("data", DataType::LargeBinary, false),
        Field::new("width", DataType::UInt32, false),
        Field::new("height", DataType::UInt32, false),
    ]);
    let nulls = valid.contains(&false).then(|| NullBuffer::from(valid));
    let images = StructArray::try_new(fields, children, nulls).map_err(|e| Error::arrow(OP, e))?;
    Ok(Decoded { images: Column::from_array(Arc::new(images)), errors })
}
