//! A naive reading of Arrow arrays, cell by cell: the reference that operators which move rows are judged by.

use arrow::array::{Array, ArrayRef, AsArray};
use arrow::datatypes::{DataType, IntervalUnit};

/// One value of any type.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Cell {
    Null,
    Bit(bool),
    /// The value's bytes, so that NaN and -0.0 compare by their bits.
    Bytes(Vec<u8>),
    /// Items of a list, or fields of a struct.
    Cells(Vec<Cell>),
}

/// The value at `row`; a dictionary's is the value that the key stands for.
pub fn cell(array: &dyn Array, row: usize) -> Cell {
    use DataType::*;
    if array.is_null(row) {
        return Cell::Null;
    }
    let items = |values: ArrayRef| Cell::Cells(cells(&values));
    match array.data_type() {
        Null => Cell::Null,
        Boolean => Cell::Bit(array.as_boolean().value(row)),
        Utf8 => Cell::Bytes(array.as_string::<i32>().value(row).as_bytes().to_vec()),
        LargeUtf8 => Cell::Bytes(array.as_string::<i64>().value(row).as_bytes().to_vec()),
        Binary => Cell::Bytes(array.as_binary::<i32>().value(row).to_vec()),
        LargeBinary => Cell::Bytes(array.as_binary::<i64>().value(row).to_vec()),
        Utf8View => Cell::Bytes(array.as_string_view().value(row).as_bytes().to_vec()),
        BinaryView => Cell::Bytes(array.as_binary_view().value(row).to_vec()),
        FixedSizeBinary(_) => Cell::Bytes(array.as_fixed_size_binary().value(row).to_vec()),
        List(_) => items(array.as_list::<i32>().value(row)),
        LargeList(_) => items(array.as_list::<i64>().value(row)),
        FixedSizeList(_, _) => items(array.as_fixed_size_list().value(row)),
        Map(_, _) => items(std::sync::Arc::new(array.as_map().value(row))),
        Struct(_) => Cell::Cells(array.as_struct().columns().iter().map(|field| cell(field, row)).collect()),
        Dictionary(_, _) => {
            let dictionary = array.as_any_dictionary();
            cell(dictionary.values(), dictionary.normalized_keys()[row])
        }
        _ => {
            let (data, width) = (array.to_data(), width(array.data_type()));
            Cell::Bytes(data.buffers()[0].as_slice()[(data.offset() + row) * width..][..width].to_vec())
        }
    }
}

/// All values of an array.
pub fn cells(array: &dyn Array) -> Vec<Cell> {
    (0..array.len()).map(|row| cell(array, row)).collect()
}

/// The bytes that a string or binary row takes between its offsets, also under a null.
pub fn stored_length(array: &dyn Array, row: usize) -> Option<i64> {
    match array.data_type() {
        DataType::Utf8 => Some(array.as_string::<i32>().value_length(row).into()),
        DataType::Binary => Some(array.as_binary::<i32>().value_length(row).into()),
        DataType::LargeUtf8 => Some(array.as_string::<i64>().value_length(row)),
        DataType::LargeBinary => Some(array.as_binary::<i64>().value_length(row)),
        _ => None,
    }
}

fn width(data_type: &DataType) -> usize {
    match data_type {
        DataType::Interval(IntervalUnit::YearMonth) => 4,
        DataType::Interval(IntervalUnit::DayTime) => 8,
        DataType::Interval(IntervalUnit::MonthDayNano) => 16,
        other => other.primitive_width().unwrap_or_else(|| panic!("no width for {other}")),
    }
}
