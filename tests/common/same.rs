//! "The same bytes": when two results are equal.

use arrow::array::{Array, ArrayRef, AsArray};
use arrow::datatypes::DataType;
use warpline::{Batch, Column};

/// Fails unless both batches, wherever they are, have one schema and the same bytes in every column: values equal bit
/// for bit where valid, validity equal (absent being all valid), offsets and row order equal. Views count by the bytes
/// that they show, dictionary keys by the value that they stand for. Also checks both against Arrow's own rules.
#[track_caller]
pub fn assert_same(left: &Batch, right: &Batch) {
    assert_eq!(left.schema(), right.schema(), "schemas");
    assert_eq!(left.num_rows(), right.num_rows(), "rows");
    for ((field, left), right) in left.schema().fields().iter().zip(left.columns()).zip(right.columns()) {
        if let Err(why) = same(left, right) {
            panic!("column '{}' ({}): {why}", field.name(), field.data_type());
        }
    }
}

fn same(left: &Column, right: &Column) -> Result<(), String> {
    let host = |column: &Column| {
        let array = column.to_host().and_then(|column| column.to_array()).map_err(|e| e.to_string())?;
        array.to_data().validate_full().map_err(|e| format!("not valid Arrow: {e}"))?;
        Ok::<ArrayRef, String>(array)
    };
    arrays(host(left)?.as_ref(), host(right)?.as_ref())
}

fn arrays(left: &dyn Array, right: &dyn Array) -> Result<(), String> {
    if left.data_type() != right.data_type() {
        return Err(format!("types {} and {}", left.data_type(), right.data_type()));
    }
    if left.len() != right.len() {
        return Err(format!("lengths {} and {}", left.len(), right.len()));
    }
    if let Some(row) = (0..left.len()).find(|&row| left.is_null(row) != right.is_null(row)) {
        return Err(format!("row {row}: null {} and {}", left.is_null(row), right.is_null(row)));
    }
    match left.data_type() {
        DataType::Null => Ok(()),
        DataType::Struct(fields) => {
            for (field, (left, right)) in
                fields.iter().zip(left.as_struct().columns().iter().zip(right.as_struct().columns()))
            {
                arrays(left, right).map_err(|why| format!("field '{}': {why}", field.name()))?;
            }
            Ok(())
        }
        DataType::FixedSizeList(_, size) => {
            let rows = left.len() * *size as usize;
            let child = |array: &dyn Array| array.as_fixed_size_list().values().slice(0, rows);
            arrays(&child(left), &child(right)).map_err(|why| format!("items: {why}"))
        }
        DataType::List(_) => {
            let (a, b) = (left.as_list::<i32>(), right.as_list::<i32>());
            lists(a.value_offsets(), a.values(), b.value_offsets(), b.values())
        }
        DataType::LargeList(_) => {
            let (a, b) = (left.as_list::<i64>(), right.as_list::<i64>());
            lists(a.value_offsets(), a.values(), b.value_offsets(), b.values())
        }
        DataType::Map(_, _) => {
            let (a, b) = (left.as_map(), right.as_map());
            lists(a.value_offsets(), a.entries(), b.value_offsets(), b.entries())
        }
        _ => {
            for row in 0..left.len() {
                let (a, b) = (super::cells::stored_length(left, row), super::cells::stored_length(right, row));
                if a != b {
                    return Err(format!("row {row}: lengths {a:?} and {b:?}"));
                }
                let (a, b) = (super::cells::cell(left, row), super::cells::cell(right, row));
                if a != b {
                    return Err(format!("row {row}: {a:?} and {b:?}"));
                }
            }
            Ok(())
        }
    }
}

fn lists<O: Copy + Into<i128>>(a: &[O], a_child: &dyn Array, b: &[O], b_child: &dyn Array) -> Result<(), String> {
    let from_zero = |offsets: &[O]| {
        let first: i128 = offsets.first().map_or(0, |&first| first.into());
        offsets.iter().map(|&offset| offset.into() - first).collect::<Vec<i128>>()
    };
    let (a_offsets, b_offsets) = (from_zero(a), from_zero(b));
    if a_offsets != b_offsets {
        return Err("offsets differ".into());
    }
    let child = |child: &dyn Array, offsets: &[O]| match offsets {
        [] => child.slice(0, 0),
        [first, .., last] => {
            let (first, last): (i128, i128) = ((*first).into(), (*last).into());
            child.slice(first as usize, (last - first) as usize)
        }
        [_] => child.slice(0, 0),
    };
    arrays(&child(a_child, a), &child(b_child, b)).map_err(|why| format!("items: {why}"))
}
