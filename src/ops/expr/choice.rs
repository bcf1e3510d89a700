//! CASE and COALESCE: each row takes its value from one of several expressions; and the lengths of texts.

use std::sync::Arc;

use arrow::array::{
    Array, ArrayRef, AsArray, BooleanArray, Datum, Int32Array, Int64Array, RecordBatch, new_null_array,
};
use arrow::buffer::{BooleanBuffer, Buffer, MutableBuffer, NullBuffer};
use arrow::compute::{self, filter_record_batch};
use arrow::datatypes::DataType;
use arrow::error::ArrowError;

use super::bind::Bound;
use super::eval::{Value, as_boolean, evaluate, holds};
use crate::column::parts::{Parts, fixed};

/// The values of an expression for some rows of a batch.
enum Part {
    /// Of every row.
    All(ArrayRef),
    /// Of the rows asked for, one behind another.
    Asked(ArrayRef),
    /// The same for every row.
    One(ArrayRef),
}

impl Part {
    /// Evaluates for the rows in `asked`; for all where that cannot fail.
    fn of(bound: &Bound, batch: &RecordBatch, asked: &BooleanBuffer) -> Result<Part, ArrowError> {
        let all = !bound.fallible() || asked.count_set_bits() == batch.num_rows();
        let value = if all {
            evaluate(bound, batch)?
        } else {
            evaluate(bound, &filter_record_batch(batch, &BooleanArray::new(asked.clone(), None))?)?
        };
        Ok(match value {
            Value::Scalar(scalar) => Part::One(scalar.into_inner()),
            Value::Array(array) if all => Part::All(array),
            Value::Array(array) => Part::Asked(array),
        })
    }

    fn array(&self) -> &ArrayRef {
        let (Part::All(array) | Part::Asked(array) | Part::One(array)) = self;
        array
    }

    /// Where the value of a row is, which is the `nth` that was asked for.
    fn place(&self, row: usize, nth: usize) -> usize {
        match self {
            Part::All(_) => row,
            Part::Asked(_) => nth,
            Part::One(_) => 0,
        }
    }
}

/// For each row an array and a place in it. The first array is one null.
struct Picks {
    arrays: Vec<ArrayRef>,
    at: Vec<(usize, usize)>,
}

impl Picks {
    fn new(data_type: &DataType, rows: usize) -> Self {
        Picks { arrays: vec![new_null_array(data_type, 1)], at: vec![(0, 0); rows] }
    }

    fn finish(self) -> Result<Value, ArrowError> {
        if self.at.is_empty() {
            return Ok(Value::Array(self.arrays[0].slice(0, 0)));
        }
        let arrays: Vec<&dyn Array> = self.arrays.iter().map(AsRef::as_ref).collect();
        compute::interleave(&arrays, &self.at).map(Value::Array)
    }
}

pub(super) fn case(branches: &[(Bound, Bound)], otherwise: &Bound, batch: &RecordBatch) -> Result<Value, ArrowError> {
    let mut bounds = branches.iter().flat_map(|(when, then)| [when, then]).chain([otherwise]);
    if otherwise.data_type().is_primitive() && !bounds.any(Bound::fallible) {
        return selections(branches, otherwise, batch);
    }
    let rows = batch.num_rows();
    let mut picks = Picks::new(otherwise.data_type(), rows);
    let mut open = BooleanBuffer::new_set(rows);
    let mut take = |value: &Bound, chosen: &BooleanBuffer| -> Result<(), ArrowError> {
        if chosen.count_set_bits() > 0 {
            let part = Part::of(value, batch, chosen)?;
            for (nth, row) in chosen.set_indices().enumerate() {
                picks.at[row] = (picks.arrays.len(), part.place(row, nth));
            }
            picks.arrays.push(part.array().clone());
        }
        Ok(())
    };
    for (when, then) in branches {
        if open.count_set_bits() == 0 {
            break;
        }
        let part = Part::of(when, batch, &open)?;
        let truth = as_boolean(part.array())?;
        let mut chosen = vec![false; rows];
        for (nth, row) in open.set_indices().enumerate() {
            let place = part.place(row, nth);
            chosen[row] = truth.is_valid(place) && truth.value(place);
        }
        let chosen = BooleanBuffer::from(chosen);
        take(then, &chosen)?;
        open = &open & &!&chosen;
    }
    take(otherwise, &open)?;
    picks.finish()
}

/// CASE over numbers where nothing can fail, so that everything is evaluated for all rows.
fn selections(branches: &[(Bound, Bound)], otherwise: &Bound, batch: &RecordBatch) -> Result<Value, ArrowError> {
    let mut value = evaluate(otherwise, batch)?;
    for (when, then) in branches.iter().rev() {
        let when = evaluate(when, batch)?.into_array(batch.num_rows())?;
        value = Value::Array(selected(&holds(as_boolean(&when)?, true), &evaluate(then, batch)?, &value));
    }
    Ok(value)
}

/// The values of one side where the mask is set and of the other where it is not, of one primitive type. arrow-rs's `zip`
/// copies runs, which are short where data is not sorted.
fn selected(mask: &BooleanBuffer, set: &Value, unset: &Value) -> ArrayRef {
    let (sides, rows) = ([set, unset].map(Value::datum).map(Datum::get), mask.len());
    let nulls = sides.map(|(array, is_one)| match (array.nulls(), is_one) {
        (Some(nulls), false) => Some(nulls.inner().clone()),
        (Some(nulls), true) if nulls.null_count() > 0 => Some(BooleanBuffer::new_unset(rows)),
        _ => None,
    });
    let nulls = match nulls {
        [None, None] => None,
        sides => {
            let [set, unset] = sides.map(|valid| valid.unwrap_or_else(|| BooleanBuffer::new_set(rows)));
            Some(NullBuffer::new(&(mask & &set) | &(&!mask & &unset))).filter(|nulls| nulls.null_count() > 0)
        }
    };
    let data_type = sides[0].0.data_type().clone();
    let width = data_type.primitive_width().unwrap_or(0);
    let buffer = match width {
        1 => selected_values::<1>(mask, sides),
        2 => selected_values::<2>(mask, sides),
        4 => selected_values::<4>(mask, sides),
        8 => selected_values::<8>(mask, sides),
        16 => selected_values::<16>(mask, sides),
        _ => selected_values::<32>(mask, sides),
    };
    Parts { data_type, len: rows, nulls, buffers: vec![buffer], children: Vec::new() }.into_array()
}

fn selected_values<const WIDTH: usize>(mask: &BooleanBuffer, sides: [(&dyn Array, bool); 2]) -> Buffer {
    let [(set, set_is_one), (unset, unset_is_one)] = sides.map(|(array, is_one)| (fixed(array, WIDTH), is_one));
    let (set, unset) = (set.as_chunks::<WIDTH>().0, unset.as_chunks::<WIDTH>().0);
    let mut values = MutableBuffer::from_len_zeroed(mask.len() * WIDTH);
    let out = values.as_slice_mut().as_chunks_mut::<WIDTH>().0;
    let place = |is_one: bool, row: usize| if is_one { 0 } else { row };
    for (row, (to, bit)) in out.iter_mut().zip(mask).enumerate() {
        let (set, unset) = (set[place(set_is_one, row)], unset[place(unset_is_one, row)]);
        *to = if bit { set } else { unset };
    }
    values.into()
}

pub(super) fn coalesce(inputs: &[Bound], batch: &RecordBatch) -> Result<Value, ArrowError> {
    let rows = batch.num_rows();
    let mut picks = Picks::new(inputs.first().map_or(&DataType::Null, Bound::data_type), rows);
    let mut open = BooleanBuffer::new_set(rows);
    for input in inputs {
        if open.count_set_bits() == 0 {
            break;
        }
        let part = Part::of(input, batch, &open)?;
        let mut missing = vec![false; rows];
        for (nth, row) in open.set_indices().enumerate() {
            let place = part.place(row, nth);
            if part.array().is_valid(place) {
                picks.at[row] = (picks.arrays.len(), place);
            } else {
                missing[row] = true;
            }
        }
        picks.arrays.push(part.array().clone());
        open = BooleanBuffer::from(missing);
    }
    picks.finish()
}

/// Bytes or characters of each text.
pub(super) fn lengths(array: &ArrayRef, bytes: bool) -> Result<ArrayRef, ArrowError> {
    // Every character has one byte that does not continue another.
    let count = |text: &[u8]| if bytes { text.len() } else { text.iter().filter(|b| **b & 0xC0 != 0x80).count() };
    let text = |text: &str| count(text.as_bytes());
    // The lengths of these types are 32-bit by their layout.
    let short = |lengths: &mut dyn Iterator<Item = Option<usize>>| -> ArrayRef {
        Arc::new(lengths.map(|n| n.map(|n| n as i32)).collect::<Int32Array>())
    };
    let long = |lengths: &mut dyn Iterator<Item = Option<usize>>| -> ArrayRef {
        Arc::new(lengths.map(|n| n.map(|n| n as i64)).collect::<Int64Array>())
    };
    Ok(match array.data_type() {
        DataType::Utf8 => short(&mut array.as_string::<i32>().iter().map(|v| v.map(text))),
        DataType::LargeUtf8 => long(&mut array.as_string::<i64>().iter().map(|v| v.map(text))),
        DataType::Utf8View => short(&mut array.as_string_view().iter().map(|v| v.map(text))),
        DataType::Binary => short(&mut array.as_binary::<i32>().iter().map(|v| v.map(count))),
        DataType::LargeBinary => long(&mut array.as_binary::<i64>().iter().map(|v| v.map(count))),
        DataType::BinaryView => short(&mut array.as_binary_view().iter().map(|v| v.map(count))),
        DataType::FixedSizeBinary(_) => short(&mut array.as_fixed_size_binary().iter().map(|v| v.map(count))),
        other => return Err(ArrowError::ComputeError(format!("{other} has no length"))),
    })
}
