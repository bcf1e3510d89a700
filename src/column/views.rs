//! The data buffers behind string and binary views: which of them a slice needs.
//!
//! Views of a slice may point into a small part of large shared buffers (a Parquet page, say), or many views may share
//! few bytes (repeated values). [`compact`] keeps whichever is smaller: the shared buffers as they are, or one copy of
//! the bytes that the slice refers to, and [`nbytes`] counts accordingly.

use arrow::array::{Array, AsArray, BinaryViewArray, ByteView};
use arrow::buffer::Buffer;
use arrow::datatypes::DataType;

/// The longest value that a view holds inline.
pub(crate) const INLINE: u32 = 12;

/// Bytes that the views of `array` and their data take.
pub(crate) fn nbytes(array: &dyn Array) -> usize {
    let array = as_binary_views(array);
    array.len() * 16 + referred(&array).min(shared(&array))
}

/// The views, then all data buffers, none of them copied.
pub(crate) fn all(array: &dyn Array) -> Vec<Buffer> {
    let array = as_binary_views(array);
    let views = array.views().inner().slice_with_length(0, array.len() * 16);
    std::iter::once(views).chain(array.data_buffers().iter().cloned()).collect()
}

/// The views, then the data buffers that they point into, or copies of the bytes where that is less.
///
/// Rows that are null get an empty view when bytes are copied: what lies under them may point nowhere.
pub(crate) fn compact(array: &dyn Array) -> Vec<Buffer> {
    let array = as_binary_views(array);
    let views = array.views();
    let bytes = referred(&array);
    if bytes >= shared(&array) {
        return all(&array);
    }
    let mut data: Vec<Vec<u8>> = Vec::new();
    let mut moved = Vec::with_capacity(views.len());
    for (row, &view) in views.iter().enumerate() {
        let (length, view) = (view as u32, ByteView::from(view));
        if array.is_null(row) {
            moved.push(0);
        } else if length <= INLINE {
            moved.push(view.as_u128());
        } else {
            // A view's offset is 32 bits wide; a new buffer starts before it would overflow.
            if data.last().is_none_or(|last| last.len() + length as usize > i32::MAX as usize) {
                data.push(Vec::with_capacity(bytes.min(i32::MAX as usize)));
            }
            let index = data.len() - 1;
            let target = &mut data[index];
            let offset = target.len() as u32;
            target.extend_from_slice(array.value(row));
            moved.push(view.with_buffer_index(index as u32).with_offset(offset).as_u128());
        }
    }
    std::iter::once(Buffer::from_vec(moved)).chain(data.into_iter().map(Buffer::from_vec)).collect()
}

/// Bytes of the values that are not inline, counting a value once for each view.
fn referred(array: &BinaryViewArray) -> usize {
    let long = |row: usize| {
        let length = array.views()[row] as u32;
        if length > INLINE && array.is_valid(row) { length as usize } else { 0 }
    };
    (0..array.len()).map(long).sum()
}

/// Bytes of all data buffers.
fn shared(array: &BinaryViewArray) -> usize {
    array.data_buffers().iter().map(Buffer::len).sum()
}

/// A string view array read as binary: the layouts are one.
fn as_binary_views(array: &dyn Array) -> BinaryViewArray {
    match array.data_type() {
        DataType::Utf8View => array.as_string_view().clone().to_binary_view(),
        _ => array.as_binary_view().clone(),
    }
}
