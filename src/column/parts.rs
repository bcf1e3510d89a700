//! A host column as plain buffers from row 0: what an upload copies, a download fills and an operator builds.

use std::sync::Arc;

use arrow::array::{Array, ArrayRef, AsArray, make_array};
use arrow::buffer::{BooleanBuffer, Buffer, NullBuffer};
use arrow::datatypes::DataType;

use crate::column::interop::assemble;
use crate::column::layout::{Layout, OffsetWidth, bit_bytes};
use crate::column::views;
use crate::error::Result;

/// Buffers of one column, without slack: every buffer starts at row 0 and ends at the last row, offsets start at 0,
/// bits past the end are 0, a validity bitmap is there only when some row is null.
#[derive(Clone, Debug)]
pub(crate) struct Parts {
    pub(crate) data_type: DataType,
    pub(crate) len: usize,
    pub(crate) nulls: Option<NullBuffer>,
    pub(crate) buffers: Vec<Buffer>,
    pub(crate) children: Vec<Parts>,
}

impl Parts {
    /// The parts of `array`. Buffers are shared where the slice allows it; bitmaps that start inside a byte and
    /// offsets that do not start at 0 are copied.
    pub(crate) fn of(array: &dyn Array) -> Result<Parts> {
        let data_type = array.data_type().clone();
        let layout = Layout::of(&data_type)?;
        let (len, nulls) = (array.len(), rebased_nulls(array));
        let (buffers, children) = match layout {
            Layout::Null | Layout::Struct | Layout::FixedList(_) => (Vec::new(), nested(array, 0, len)?),
            Layout::Bits => (vec![rebased_bits(array.as_boolean().values())], Vec::new()),
            Layout::Fixed(width) => (vec![fixed(array, width)], Vec::new()),
            Layout::Dictionary(width) => {
                let dictionary = array.as_any_dictionary();
                (vec![fixed(dictionary.keys(), width)], vec![Parts::of(dictionary.values().as_ref())?])
            }
            Layout::Bytes(width) => {
                let (offsets, first, last) = rebased_offsets(array, width);
                let bytes = array.to_data().buffers()[1].slice_with_length(first, last - first);
                (vec![offsets, bytes], Vec::new())
            }
            Layout::List(width) => {
                let (offsets, first, last) = rebased_offsets(array, width);
                (vec![offsets], nested(array, first, last - first)?)
            }
            Layout::Views => (views::compact(array), Vec::new()),
        };
        Ok(Parts { data_type, len, nulls, buffers, children })
    }

    /// The arrow array over these buffers; copies nothing.
    pub(crate) fn into_array(self) -> ArrayRef {
        make_array(assemble(self))
    }
}

/// Bytes that the rows of `array` take in Arrow's layout: what [`Parts::of`] would hold, computed without a copy.
pub(crate) fn nbytes(array: &dyn Array) -> Result<usize> {
    let len = array.len();
    let own = match Layout::of(array.data_type())? {
        Layout::Null => 0,
        Layout::Bits => bit_bytes(len),
        Layout::Fixed(width) => len * width,
        Layout::Views => views::nbytes(array),
        Layout::Bytes(width) => {
            let (first, last) = offset_range(array, width);
            (len + 1) * width.bytes() + (last - first)
        }
        Layout::List(width) => {
            let (first, last) = offset_range(array, width);
            let below = list_values(array).slice(first, last - first);
            (len + 1) * width.bytes() + nbytes(below.as_ref())?
        }
        Layout::FixedList(size) => nbytes(array.as_fixed_size_list().values().slice(0, len * size).as_ref())?,
        Layout::Struct => array.as_struct().columns().iter().map(|child| nbytes(child.as_ref())).sum::<Result<_>>()?,
        Layout::Dictionary(width) => len * width + nbytes(array.as_any_dictionary().values().as_ref())?,
    };
    Ok(own + if array.null_count() > 0 && !array.data_type().is_null() { bit_bytes(len) } else { 0 })
}

/// The first and the last offset of `array`'s rows.
pub(crate) fn offset_range(array: &dyn Array, width: OffsetWidth) -> (usize, usize) {
    let offset = |row| match width {
        OffsetWidth::W32 => offsets_of::<i32>(array)[row] as usize,
        OffsetWidth::W64 => offsets_of::<i64>(array)[row] as usize,
    };
    (offset(0), offset(array.len()))
}

/// The offsets of a binary, string, list or map array: one more than rows.
pub(crate) fn offsets_of<O: arrow::array::OffsetSizeTrait>(array: &dyn Array) -> OffsetSlice<O> {
    let data = array.to_data();
    // Arrow allows an array of no rows to have no offsets at all.
    if data.buffers()[0].is_empty() {
        return OffsetSlice(arrow::buffer::ScalarBuffer::from(vec![O::zero()]));
    }
    OffsetSlice(arrow::buffer::ScalarBuffer::new(data.buffers()[0].clone(), data.offset(), array.len() + 1))
}

/// Offsets, owned, so that no array has to outlive them.
pub(crate) struct OffsetSlice<O: arrow::datatypes::ArrowNativeType>(arrow::buffer::ScalarBuffer<O>);

impl<O: arrow::datatypes::ArrowNativeType> std::ops::Deref for OffsetSlice<O> {
    type Target = [O];
    fn deref(&self) -> &[O] {
        &self.0
    }
}

/// The child of a list or map, whole.
pub(crate) fn list_values(array: &dyn Array) -> ArrayRef {
    match array.data_type() {
        DataType::Map(_, _) => Arc::new(array.as_map().entries().clone()),
        DataType::LargeList(_) => array.as_list::<i64>().values().clone(),
        _ => array.as_list::<i32>().values().clone(),
    }
}

/// Children of a nested array; `first` and `count` are child rows and matter to lists only.
fn nested(array: &dyn Array, first: usize, count: usize) -> Result<Vec<Parts>> {
    match array.data_type() {
        DataType::Null => Ok(Vec::new()),
        DataType::Struct(_) => array.as_struct().columns().iter().map(|child| Parts::of(child.as_ref())).collect(),
        DataType::FixedSizeList(_, size) => {
            let values = array.as_fixed_size_list().values().slice(0, array.len() * *size as usize);
            Ok(vec![Parts::of(values.as_ref())?])
        }
        _ => Ok(vec![Parts::of(list_values(array).slice(first, count).as_ref())?]),
    }
}

/// Values of a fixed-width array, of its rows only.
pub(crate) fn fixed(array: &dyn Array, width: usize) -> Buffer {
    let data = array.to_data();
    data.buffers()[0].slice_with_length(data.offset() * width, array.len() * width)
}

fn rebased_nulls(array: &dyn Array) -> Option<NullBuffer> {
    let nulls = array.nulls().filter(|nulls| nulls.null_count() > 0)?;
    let bits = BooleanBuffer::new(rebased_bits(nulls.inner()), 0, nulls.len());
    Some(NullBuffer::new(bits))
}

/// Bits from bit 0 of byte 0, exactly as many bytes as they need, bits past the end 0.
pub(crate) fn rebased_bits(bits: &BooleanBuffer) -> Buffer {
    let bytes = bit_bytes(bits.len());
    let tail = bits.len() % 8;
    let buffer = bits.sliced();
    if tail == 0 || buffer.as_slice()[bytes - 1] >> tail == 0 {
        return buffer.slice_with_length(0, bytes);
    }
    let mut owned = buffer.as_slice()[..bytes].to_vec();
    owned[bytes - 1] &= (1 << tail) - 1;
    Buffer::from_vec(owned)
}

/// Offsets that start at 0, with the range of child rows or bytes that they cover.
fn rebased_offsets(array: &dyn Array, width: OffsetWidth) -> (Buffer, usize, usize) {
    let (first, last) = offset_range(array, width);
    let buffer = match width {
        OffsetWidth::W32 => rebase(&offsets_of::<i32>(array), first as i32),
        OffsetWidth::W64 => rebase(&offsets_of::<i64>(array), first as i64),
    };
    (buffer, first, last)
}

fn rebase<O>(offsets: &OffsetSlice<O>, first: O) -> Buffer
where
    O: arrow::datatypes::ArrowNativeType + std::ops::Sub<Output = O> + Default + PartialEq,
{
    if first == O::default() {
        return offsets.0.inner().clone();
    }
    Buffer::from_vec(offsets.iter().map(|&offset| offset - first).collect::<Vec<O>>())
}
