//! The operator: a column of encoded images to a column of RGB images.

use arrow::array::{Array, ArrayRef, AsArray};
use arrow::datatypes::{BinaryType, DataType, LargeBinaryType};

use super::{DecodeCode, DecodeError, DecodeOptions, RgbImage, cuda, decode, host};
use crate::column::{Column, Placement};
use crate::device::{ExecCtx, MemoryPlan};
use crate::error::{Error, Result};
use crate::image::Images;

pub(super) const OP: &str = "jpeg_decode";

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
/// On a CUDA context the column is on the host or on that device, and the images come to be on the device. From the host
/// the entropy-coded data and about 500 bytes of descriptors for an image are copied. Of a column on the device, headers
/// of at most 2 KB come to the host, and whole files where those do not tell enough: tables that do not fit,
/// Photoshop's resources. Files are decoded in a fixed number of launches; those that break the format, and progressive
/// ones unless there are eight and more for each thread of the host, are decoded by the host twin and their pixels copied.
/// Either way the result is the same, bit for bit.
///
/// # Errors
/// `InvalidInput` for another type, `WrongDevice` when the column is on a device and the context is not there,
/// `OutOfMemory` when the device budget has less than [`jpeg_decode_plan`] says.
///
/// # Synchronization
/// On a CUDA context it waits once, to learn which files the device could not decode; for a column there also for its
/// headers.
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
    let (images, errors) = decode_column(OP, &JPEG, ctx, images, options)?;
    Ok(Decoded { images: images.into_column(), errors })
}

/// What a column may hold beside the JPEGs that the kernels decode.
pub(crate) struct Formats {
    /// Whether a file is no JPEG, so that the host decodes it.
    pub is_foreign: fn(&[u8]) -> bool,
    /// Pixels of such a file at most, from its header.
    pub pixels: fn(&[u8]) -> Option<u64>,
    /// Decodes any file on the host.
    pub decode: fn(&[u8], &DecodeOptions) -> std::result::Result<RgbImage, DecodeError>,
}

/// JPEG and nothing else.
const JPEG: Formats = Formats { is_foreign: |_| false, pixels: |_| None, decode };

/// Decodes a column, rows in parallel, keeping what the host knows of the images.
pub(crate) fn decode_column(
    op: &'static str,
    formats: &Formats,
    ctx: &ExecCtx,
    images: &Column,
    options: &DecodeOptions,
) -> Result<(Images, Vec<RowError>)> {
    if let (Some(cuda), Some(column)) = (ctx.as_cuda(), images.as_device()) {
        ctx.expect(op, images.placement())?;
        return cuda::decode_resident(cuda, ctx.pool(), column, formats, options);
    }
    let array = host_array(op, images)?;
    let rows = encoded_rows(op, &array)?;
    if let Some(cuda) = ctx.as_cuda() {
        return cuda::decode_rows(cuda, ctx.pool(), &rows, formats, options);
    }
    host::decode_rows(ctx.pool(), &rows, formats, options)
}

/// The device memory that [`jpeg_decode`] takes on a CUDA context, from the headers: the workspace at most, the output
/// exactly but for the bitmap, which is only there when a row is null.
///
/// The column is on the host. On the device its headers take 2,072 bytes a row, but no copy of the data is made.
///
/// # Errors
/// As [`jpeg_decode`], without those of device memory; `WrongDevice` for a column on a device.
pub fn jpeg_decode_plan(ctx: &ExecCtx, images: &Column, options: &DecodeOptions) -> Result<MemoryPlan> {
    column_plan(OP, &JPEG, ctx, images, options)
}

/// The device memory that [`decode_column`] takes.
pub(crate) fn column_plan(
    op: &'static str,
    formats: &Formats,
    ctx: &ExecCtx,
    images: &Column,
    options: &DecodeOptions,
) -> Result<MemoryPlan> {
    let array = host_array(op, images)?;
    Ok(cuda::memory(ctx.pool(), &encoded_rows(op, &array)?, formats, options))
}

fn host_array(op: &'static str, images: &Column) -> Result<ArrayRef> {
    match images.placement() {
        Placement::Host => images.to_array(),
        found => Err(Error::WrongDevice { op, expected: Placement::Host, found }),
    }
}

/// The bytes of each row.
fn encoded_rows<'a>(op: &'static str, array: &'a ArrayRef) -> Result<Vec<Option<&'a [u8]>>> {
    match array.data_type() {
        DataType::Binary => Ok(array.as_bytes::<BinaryType>().iter().collect()),
        DataType::LargeBinary => Ok(array.as_bytes::<LargeBinaryType>().iter().collect()),
        DataType::BinaryView => Ok(array.as_binary_view().iter().collect()),
        other => Err(not_images(op, other)),
    }
}

/// What a column of another type is told.
pub(super) fn not_images(op: &'static str, found: &DataType) -> Error {
    Error::invalid(op, format!("images must be Binary, LargeBinary or BinaryView, not {found}"))
}
