//! A column in device memory: Arrow's buffers, one device buffer each.

use std::fmt;

use arrow::array::{Array, ArrayRef};
use arrow::buffer::{BooleanBuffer, Buffer, NullBuffer};
use arrow::datatypes::DataType;

use crate::column::Placement;
use crate::column::layout::{Layout, OffsetWidth, bit_bytes};
use crate::column::parts::Parts;
use crate::device::staging::Download;
use crate::device::{CudaCtx, DeviceBuffer};
use crate::error::{Error, Result};

/// A column whose buffers are on a device: Arrow's layout from row 0, each buffer 64-byte aligned with zeros up to the
/// next 64 bytes. Cheap to clone.
///
/// Buffers in order: fixed-width values; or bits; or offsets and bytes; or 16-byte views and their data buffers;
/// or a list's offsets; or a dictionary's keys. Children: a list's items (a map's entries), a struct's fields, a
/// dictionary's values.
#[derive(Clone)]
pub struct DeviceColumn {
    ctx: CudaCtx,
    data_type: DataType,
    len: usize,
    null_count: Option<usize>,
    validity: Option<DeviceBuffer>,
    buffers: Vec<DeviceBuffer>,
    children: Vec<DeviceColumn>,
}

impl fmt::Debug for DeviceColumn {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let nulls = self.null_count().map_or_else(|| "?".to_owned(), |count| count.to_string());
        write!(f, "DeviceColumn({}, {} rows, {nulls} null, {})", self.data_type, self.len, self.placement())
    }
}

impl DeviceColumn {
    /// A column over buffers that are already on the device of `ctx`, for operators.
    ///
    /// Checks what can be checked without reading device memory: number of buffers and children, their lengths, and
    /// the length of the bitmap. Offsets, keys and views are trusted, and so is the padding: kernels read bitmaps by
    /// words of 4 bytes and copy strings by words, so memory up to the next 64 bytes must be there.
    pub(crate) fn from_parts(
        ctx: &CudaCtx,
        data_type: DataType,
        len: usize,
        validity: Option<DeviceBuffer>,
        buffers: Vec<DeviceBuffer>,
        children: Vec<DeviceColumn>,
    ) -> Result<Self> {
        let null_count = if validity.is_none() { Some(0) } else { None };
        let column = DeviceColumn { ctx: ctx.clone(), data_type, len, null_count, validity, buffers, children };
        column.check()?;
        Ok(column)
    }

    /// A column of a fixed-width type over values written on the device: `len` values of the type's width, and a
    /// bitmap of `len` bits, least significant first, or none when no row is null. For stages with kernels of their
    /// own.
    ///
    /// # Errors
    /// `InvalidInput` when the type is not of fixed width or a buffer has another length than the rows need.
    pub fn fixed(
        ctx: &CudaCtx,
        data_type: DataType,
        len: usize,
        validity: Option<DeviceBuffer>,
        values: DeviceBuffer,
    ) -> Result<Self> {
        match Layout::of(&data_type)? {
            Layout::Fixed(_) | Layout::Bits => {
                Self::from_parts(ctx, data_type, len, validity, vec![values], Vec::new())
            }
            _ => Err(Error::invalid("device column", format!("{data_type} is not of fixed width"))),
        }
    }

    /// Copies a host array to the device of `ctx`.
    pub(crate) fn upload(ctx: &CudaCtx, array: &dyn Array) -> Result<Self> {
        Self::upload_parts(ctx, &Parts::of(array)?)
    }

    fn upload_parts(ctx: &CudaCtx, parts: &Parts) -> Result<Self> {
        const OP: &str = "upload column";
        let bitmap = |nulls: &NullBuffer| ctx.upload(OP, nulls.buffer());
        Ok(DeviceColumn {
            ctx: ctx.clone(),
            data_type: parts.data_type.clone(),
            len: parts.len,
            null_count: Some(parts.nulls.as_ref().map_or(0, NullBuffer::null_count)),
            validity: parts.nulls.as_ref().map(bitmap).transpose()?,
            buffers: parts.buffers.iter().map(|buffer| ctx.upload(OP, buffer)).collect::<Result<_>>()?,
            children: parts.children.iter().map(|child| Self::upload_parts(ctx, child)).collect::<Result<_>>()?,
        })
    }

    /// Copies the column to the host.
    ///
    /// # Synchronization
    /// Waits once, for the stream of the context that made the column.
    pub(crate) fn download(&self) -> Result<ArrayRef> {
        let mut download = Download::new(&self.ctx, "download column");
        self.start_download(&mut download)?;
        Ok(self.downloaded(&mut download.finish()?.into_iter())?.into_array())
    }

    /// Adds the buffers of the column in the order in which [`Self::downloaded`] takes them.
    fn start_download(&self, download: &mut Download<'_>) -> Result<()> {
        self.validity.iter().chain(&self.buffers).try_for_each(|buffer| download.add(buffer))?;
        self.children.iter().try_for_each(|child| child.start_download(download))
    }

    fn downloaded(&self, buffers: &mut impl Iterator<Item = Buffer>) -> Result<Parts> {
        let mut next = || {
            let why = "a buffer is missing".to_owned();
            buffers.next().ok_or(Error::Internal { op: "download column", why })
        };
        let nulls = match &self.validity {
            Some(_) => Some(NullBuffer::new(BooleanBuffer::new(next()?, 0, self.len))),
            None => None,
        };
        let own = self.buffers.iter().map(|_| next()).collect::<Result<_>>()?;
        Ok(Parts {
            data_type: self.data_type.clone(),
            len: self.len,
            nulls: nulls.filter(|nulls| nulls.null_count() > 0),
            buffers: own,
            children: self.children.iter().map(|child| child.downloaded(buffers)).collect::<Result<_>>()?,
        })
    }

    /// The Arrow type.
    pub fn data_type(&self) -> &DataType {
        &self.data_type
    }

    /// Number of rows.
    pub fn len(&self) -> usize {
        self.len
    }

    /// Whether there are no rows.
    pub fn is_empty(&self) -> bool {
        self.len == 0
    }

    /// Rows that are null; `None` when nobody has counted them yet.
    pub fn null_count(&self) -> Option<usize> {
        // A column of type Null has no bitmap to count.
        if self.data_type.is_null() { Some(self.len) } else { self.null_count }
    }

    /// The device.
    pub fn placement(&self) -> Placement {
        Placement::Cuda(self.ctx.info().ordinal)
    }

    /// The context that made the column, for operators that read some of it on the host.
    pub(crate) fn ctx(&self) -> &CudaCtx {
        &self.ctx
    }

    /// The validity bitmap, least significant bit first; `None` when no row is null.
    pub fn validity(&self) -> Option<&DeviceBuffer> {
        self.validity.as_ref()
    }

    /// The buffers, in the order that [`DeviceColumn`] tells.
    pub fn buffers(&self) -> &[DeviceBuffer] {
        &self.buffers
    }

    /// The children, in the order that [`DeviceColumn`] tells.
    pub fn children(&self) -> &[DeviceColumn] {
        &self.children
    }

    /// Bytes of all buffers, without padding.
    pub fn nbytes(&self) -> usize {
        let own = self.buffers.iter().chain(&self.validity).map(DeviceBuffer::len).sum::<usize>();
        own + self.children.iter().map(DeviceColumn::nbytes).sum::<usize>()
    }

    /// Whether both are the same buffers, and not just equal ones.
    pub(crate) fn is_same(&self, other: &Self) -> bool {
        let mut pairs = self.validity.iter().chain(&self.buffers).zip(other.validity.iter().chain(&other.buffers));
        self.len == other.len
            && self.data_type == other.data_type
            && self.validity.is_some() == other.validity.is_some()
            && self.buffers.len() == other.buffers.len()
            && pairs.all(|(left, right)| left.is_same(right))
            && self.children.len() == other.children.len()
            && self.children.iter().zip(&other.children).all(|(left, right)| left.is_same(right))
    }

    fn check(&self) -> Result<()> {
        let bytes: Vec<usize> = self.buffers.iter().map(DeviceBuffer::len).collect();
        let offsets = |width: OffsetWidth| (self.len + 1) * width.bytes();
        let buffers_fit = match (Layout::of(&self.data_type)?, bytes.as_slice()) {
            (Layout::Null | Layout::Struct | Layout::FixedList(_), []) => true,
            (Layout::Bits, [bits]) => *bits == bit_bytes(self.len),
            (Layout::Fixed(width) | Layout::Dictionary(width), [values]) => *values == self.len * width,
            (Layout::Bytes(width), [offset_bytes, _]) => *offset_bytes == offsets(width),
            (Layout::List(width), [offset_bytes]) => *offset_bytes == offsets(width),
            (Layout::Views, [views, ..]) => *views == self.len * 16,
            _ => false,
        };
        let types = Layout::children(&self.data_type);
        let children_fit = types.len() == self.children.len()
            && types.iter().zip(&self.children).all(|(data_type, child)| *data_type == child.data_type())
            && match Layout::of(&self.data_type)? {
                Layout::Struct => self.children.iter().all(|child| child.len == self.len),
                Layout::FixedList(size) => self.children[0].len == self.len * size,
                _ => true,
            };
        let bitmap_fits = self.validity.as_ref().is_none_or(|bits| bits.len() == bit_bytes(self.len));
        if buffers_fit && children_fit && bitmap_fits {
            return Ok(());
        }
        let why = format!("{} rows of {} over buffers of {bytes:?} bytes", self.len, self.data_type);
        Err(Error::invalid("device column", why))
    }
}
