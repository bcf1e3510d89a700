//! Keys of both tables brought to common types and made comparable: words, or bytes.

use std::sync::Arc;

use arrow::array::{Array, ArrayRef, AsArray, RecordBatch};
use arrow::buffer::{BooleanBuffer, NullBuffer, ScalarBuffer};
use arrow::compute::can_cast_types;
use arrow::datatypes::{ArrowPrimitiveType, DataType, Float16Type, Float32Type, Float64Type, Schema};
use arrow::row::{RowConverter, Rows, SortField};

use super::OP;
use crate::column::parts::fixed;
use crate::error::{Error, Result};
use crate::ops::expr::cast;
use crate::ops::hash::algorithms::xxhash64;
use crate::ops::keys::widen;

/// Keys of rows, which are equal where these are. Both sides of a join have the same form.
pub(super) struct Keys {
    pub(super) form: Form,
    pub(super) matchable: Matchable,
}

/// The rows whose key may equal one; all where there is no bitmap.
pub(super) struct Matchable(Option<BooleanBuffer>);

impl Matchable {
    pub(super) fn contains(&self, row: usize) -> bool {
        self.0.as_ref().is_none_or(|rows| rows.value(row))
    }
}

/// How keys are compared.
pub(super) enum Form {
    /// Keys of one column of at most eight bytes, by their value; signed integers are extended.
    Words(ScalarBuffer<u64>),
    /// Any others, in arrow-rs's row format.
    Rows(Rows),
}

impl Keys {
    pub(super) fn new(
        batch: &RecordBatch,
        positions: &[usize],
        types: &[DataType],
        null_equals_null: bool,
    ) -> Result<Self> {
        let columns: Vec<_> = positions.iter().map(|at| batch.column(*at).clone()).collect();
        let name = |key: usize| batch.schema_ref().field(positions[key]).name().as_str();
        Self::of(&columns, name, types, null_equals_null)
    }

    /// Keys in columns of their own; `name` tells their names for errors.
    pub(super) fn of<'n>(
        columns: &[ArrayRef],
        name: impl Fn(usize) -> &'n str,
        types: &[DataType],
        null_equals_null: bool,
    ) -> Result<Self> {
        let columns = columns.iter().zip(types).enumerate().map(|(key, (column, to))| cast_key(column, to, name(key)));
        let columns = columns.collect::<Result<Vec<_>>>()?;
        let compared: Vec<ArrayRef> = columns.iter().map(one_zero_one_nan).collect();
        let width = compared.first().and_then(|key| key.data_type().primitive_width());
        let form = match (compared.as_slice(), width) {
            // A null that matches would need a word that no value has.
            ([key], Some(width @ ..=8)) if !null_equals_null => Form::Words(words(key, width)),
            _ => {
                let fields = types.iter().cloned().map(SortField::new).collect();
                let rows = RowConverter::new(fields).and_then(|converter| converter.convert_columns(&compared));
                Form::Rows(rows.map_err(|e| Error::arrow(OP, e))?)
            }
        };
        let nulls = columns.iter().fold(None, |all, column| {
            // An array of the null type has no bitmap that would say so.
            NullBuffer::union(all.as_ref(), column.logical_nulls().as_ref())
        });
        let matchable = nulls.filter(|_| !null_equals_null).map(NullBuffer::into_inner);
        Ok(Keys { form, matchable: Matchable(matchable) })
    }

    /// A hash of a row's key with this seed, the same for both sides; none for a row that matches nothing.
    pub(super) fn hash(&self, row: usize, seed: u64) -> Option<u64> {
        self.matchable.contains(row).then(|| match &self.form {
            Form::Words(words) => xxhash64(&words[row].to_le_bytes(), seed),
            Form::Rows(rows) => xxhash64(rows.row(row).data(), seed),
        })
    }
}

/// The values of an array of at most eight bytes each as words; those of eight are shared.
fn words(column: &ArrayRef, width: usize) -> ScalarBuffer<u64> {
    let values = fixed(column.as_ref(), width);
    if width == size_of::<u64>() {
        return values.into();
    }
    let mut words = vec![0; column.len()];
    widen(&values, width, column.data_type().is_signed_integer(), &mut words);
    words.into()
}

/// A key column in another type.
pub(super) fn cast_key(column: &ArrayRef, to: &DataType, name: &str) -> Result<ArrayRef> {
    cast::cast(column, to, false).map_err(|e| Error::invalid_column(OP, name, format!("a key does not fit {to}: {e}")))
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
