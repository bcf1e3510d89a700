//! Keys of both tables brought to common types and made comparable bytes, and the index of the built table by them.

use std::collections::HashMap;
use std::collections::hash_map::Entry;
use std::sync::Arc;

use arrow::array::{Array, ArrayRef, AsArray, RecordBatch};
use arrow::compute::{CastOptions, can_cast_types, cast_with_options};
use arrow::datatypes::{ArrowPrimitiveType, DataType, Float16Type, Float32Type, Float64Type, Schema};
use arrow::row::{RowConverter, Rows, SortField};

use super::OP;
use crate::error::{Error, Result};

/// End of a chain of equal keys.
pub(super) const END: u32 = u32::MAX;

/// Built rows by key: the first row of a key, and for each row the next one with the same key.
#[derive(Debug, Default)]
pub(super) struct Index {
    first: HashMap<Box<[u8]>, u32>,
    next: Vec<u32>,
    /// Bytes of the keys.
    key_bytes: usize,
}

impl Index {
    /// Indexes rows from the last to the first, so that chains run in row order.
    pub(super) fn new(keys: &Keys, len: usize) -> Self {
        let mut index = Index { first: HashMap::new(), next: vec![END; len], key_bytes: 0 };
        for row in (0..len).rev() {
            let Some(key) = keys.get(row) else { continue };
            match index.first.entry(key.into()) {
                Entry::Occupied(mut head) => index.next[row] = head.insert(row as u32),
                Entry::Vacant(slot) => {
                    index.key_bytes += slot.key().len();
                    slot.insert(row as u32);
                }
            }
        }
        index
    }

    pub(super) fn nbytes(&self) -> usize {
        // A slot and its control byte; the map keeps an eighth free and grows by doubling.
        let slots = self.first.capacity() * 8 / 7 * (size_of::<(Box<[u8]>, u32)>() + 1);
        slots + self.key_bytes + 4 * self.next.len()
    }

    /// Whether no two rows have the same key.
    pub(super) fn is_unique(&self) -> bool {
        self.next.iter().all(|next| *next == END)
    }

    /// The built rows with this key, ascending; none for no key.
    pub(super) fn matches(&self, key: Option<&[u8]>) -> impl Iterator<Item = u32> {
        let mut row = key.and_then(|key| self.first.get(key)).copied().unwrap_or(END);
        std::iter::from_fn(move || {
            let this = (row != END).then_some(row)?;
            row = self.next[this as usize];
            Some(this)
        })
    }
}

/// Key columns in row format.
pub(super) struct Keys {
    /// In the compared types.
    pub(super) columns: Vec<ArrayRef>,
    rows: Rows,
    /// Whether null keys match each other.
    null_equals_null: bool,
}

impl Keys {
    pub(super) fn new(
        batch: &RecordBatch,
        positions: &[usize],
        types: &[DataType],
        null_equals_null: bool,
    ) -> Result<Self> {
        let columns = positions
            .iter()
            .zip(types)
            .map(|(at, to)| {
                let name = batch.schema_ref().field(*at).name();
                cast_key(batch.column(*at), to, name)
            })
            .collect::<Result<Vec<_>>>()?;
        let fields = types.iter().cloned().map(SortField::new).collect();
        let compared: Vec<ArrayRef> = columns.iter().map(one_zero_one_nan).collect();
        let rows = RowConverter::new(fields).and_then(|converter| converter.convert_columns(&compared));
        Ok(Keys { rows: rows.map_err(|e| Error::arrow(OP, e))?, columns, null_equals_null })
    }

    /// The row's keys as bytes that are equal where the keys are; none for a row that matches nothing.
    pub(super) fn get(&self, row: usize) -> Option<&[u8]> {
        // An array of the null type has no bitmap that would say so.
        let is_null = |column: &ArrayRef| column.is_null(row) || *column.data_type() == DataType::Null;
        let matchable = self.null_equals_null || !self.columns.iter().any(is_null);
        matchable.then(|| self.rows.row(row).data())
    }
}

/// A key column in another type.
pub(super) fn cast_key(column: &ArrayRef, to: &DataType, name: &str) -> Result<ArrayRef> {
    let options = CastOptions { safe: false, ..Default::default() };
    cast_with_options(column, to, &options)
        .map_err(|e| Error::invalid_column(OP, name, format!("a key does not fit {to}: {e}")))
}

/// Floats with one zero and one NaN, since -0.0 joins 0.0 and NaN joins NaN, as in DataFusion; anything else as it is.
fn one_zero_one_nan(column: &ArrayRef) -> ArrayRef {
    fn map<T: ArrowPrimitiveType>(column: &ArrayRef, f: impl Fn(T::Native) -> T::Native) -> ArrayRef {
        Arc::new(column.as_primitive::<T>().unary::<_, T>(f))
    }
    match column.data_type() {
        // Adding 0.0 turns -0.0 into 0.0 and leaves the rest.
        DataType::Float64 => map::<Float64Type>(column, |v| if v.is_nan() { f64::NAN } else { v + 0.0 }),
        DataType::Float32 => map::<Float32Type>(column, |v| if v.is_nan() { f32::NAN } else { v + 0.0 }),
        DataType::Float16 => map::<Float16Type>(column, |v| match v.to_f32() {
            wide if wide.is_nan() => half::f16::NAN,
            0.0 => half::f16::ZERO,
            _ => v,
        }),
        _ => column.clone(),
    }
}

pub(super) fn positions(schema: &Schema, on: &[&str], side: &str) -> Result<Vec<usize>> {
    let missing = |name: &str| Error::missing_column(OP, name, &format!("not in the {side} table"), schema);
    let find = |name: &&str| schema.index_of(name).map_err(|_| missing(name));
    on.iter().map(find).collect()
}

/// The type in which each pair of keys compares: a common one where both sides fit, never a lossy one.
pub(super) fn key_types(
    left: &Schema,
    right: &Schema,
    left_keys: &[usize],
    right_keys: &[usize],
) -> Result<Vec<DataType>> {
    let value_type = |data_type: &DataType| match data_type {
        DataType::Dictionary(_, value) => (**value).clone(),
        other => other.clone(),
    };
    let pair = |(l, r): (&usize, &usize)| {
        let (a, b) = (value_type(left.field(*l).data_type()), value_type(right.field(*r).data_type()));
        let common = common_key(&a, &b).filter(|to| can_cast_types(&a, to) && can_cast_types(&b, to));
        common.ok_or_else(|| {
            let why = format!("the key is {a} on the left and {b} in the joined table: cast one of them");
            Error::invalid_column(OP, left.field(*l).name(), why)
        })
    };
    left_keys.iter().zip(right_keys).map(pair).collect()
}

fn common_key(a: &DataType, b: &DataType) -> Option<DataType> {
    use DataType::*;
    let text = |t: &DataType| matches!(t, Utf8 | LargeUtf8 | Utf8View);
    let binary = |t: &DataType| matches!(t, Binary | LargeBinary | BinaryView);
    match (a, b) {
        _ if a.is_nested() => None,
        _ if a == b => Some(a.clone()),
        _ if a.is_integer() && b.is_integer() => match (a.is_unsigned_integer(), b.is_unsigned_integer()) {
            (true, true) => Some(UInt64),
            _ if *a == UInt64 || *b == UInt64 => Some(Decimal128(20, 0)),
            _ => Some(Int64),
        },
        _ if text(a) && text(b) => Some(LargeUtf8),
        _ if binary(a) && binary(b) => Some(LargeBinary),
        _ => None,
    }
}
