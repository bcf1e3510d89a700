//! Keys of both tables brought to common types and made comparable bytes, and the index of the built table by them.

use std::sync::Arc;

use arrow::array::{Array, ArrayRef, AsArray, RecordBatch};
use arrow::buffer::{BooleanBuffer, NullBuffer};
use arrow::compute::can_cast_types;
use arrow::datatypes::{ArrowPrimitiveType, DataType, Float16Type, Float32Type, Float64Type, Schema};
use arrow::row::{RowConverter, Rows, SortField};

use super::OP;
use crate::error::{Error, Result};
use crate::ops::expr::cast;

/// End of a chain of equal keys.
pub(super) const END: u32 = u32::MAX;

/// Built rows by key: a table of the first row of each key, with linear probing, and for each row the next one with the
/// same key.
#[derive(Debug)]
pub(super) struct Index {
    /// As many as a power of two, half of them free at least.
    slots: Vec<Slot>,
    next: Vec<u32>,
    /// How many rows a chain has from this row on; empty where no key comes twice.
    chains: Vec<u32>,
    keys: Rows,
}

/// The upper half of a key's hash, which saves most looks at other keys, and its first row; [`END`] in a free slot.
#[derive(Clone, Copy, Debug)]
struct Slot {
    tag: u32,
    row: u32,
}

impl Index {
    /// Indexes rows from the last to the first, so that chains run in row order.
    pub(super) fn new(keys: Keys, len: usize) -> Self {
        let slots = vec![Slot { tag: 0, row: END }; (2 * len).next_power_of_two()];
        let mut index = Index { slots, next: vec![END; len], chains: Vec::new(), keys: keys.rows };
        for row in (0..len).rev() {
            if !keys.matchable.as_ref().is_none_or(|matchable| matchable.value(row)) {
                continue;
            }
            let hash = hash(index.keys.row(row).data());
            let at = index.find(index.keys.row(row).data(), hash);
            index.next[row] = index.slots[at].row;
            index.slots[at] = Slot { tag: (hash >> 32) as u32, row: row as u32 };
        }
        if index.next.iter().any(|next| *next != END) {
            index.chains = vec![1; len];
            for row in (0..len).rev().filter(|row| index.next[*row] != END) {
                index.chains[row] += index.chains[index.next[row] as usize];
            }
        }
        index
    }

    /// The slot that a key has or would get.
    fn find(&self, key: &[u8], hash: u64) -> usize {
        let (mask, tag) = (self.slots.len() - 1, (hash >> 32) as u32);
        let mut at = hash as usize & mask;
        loop {
            let slot = self.slots[at];
            if slot.row == END || (slot.tag == tag && self.keys.row(slot.row as usize).data() == key) {
                return at;
            }
            at = (at + 1) & mask;
        }
    }

    pub(super) fn nbytes(&self) -> usize {
        self.slots.len() * size_of::<Slot>() + 4 * (self.next.len() + self.chains.len()) + self.keys.size()
    }

    /// Whether no two rows have the same key.
    pub(super) fn is_unique(&self) -> bool {
        self.chains.is_empty()
    }

    /// How many built rows have this key.
    pub(super) fn count(&self, key: Option<&[u8]>) -> u32 {
        match key.map_or(END, |key| self.slots[self.find(key, hash(key))].row) {
            END => 0,
            row => self.chains.get(row as usize).copied().unwrap_or(1),
        }
    }

    /// The built rows with this key, ascending; none for no key.
    pub(super) fn matches(&self, key: Option<&[u8]>) -> impl Iterator<Item = u32> {
        let mut row = key.map_or(END, |key| self.slots[self.find(key, hash(key))].row);
        std::iter::from_fn(move || {
            let this = (row != END).then_some(row)?;
            row = self.next[this as usize];
            Some(this)
        })
    }
}

/// A hash of a key's bytes: the finalizer of MurmurHash3_x64_128 (Appleby, smhasher) after each word.
fn hash(key: &[u8]) -> u64 {
    let mix = |hash: u64, word: u64| {
        let hash = (hash ^ word).wrapping_mul(0xff51_afd7_ed55_8ccd);
        let hash = (hash ^ hash >> 33).wrapping_mul(0xc4ce_b9fe_1a85_ec53);
        hash ^ hash >> 33
    };
    let (words, tail) = key.as_chunks::<8>();
    let hash = words.iter().fold(key.len() as u64, |hash, word| mix(hash, u64::from_le_bytes(*word)));
    match tail {
        [] => hash,
        _ => mix(hash, tail.iter().rev().fold(0, |word, byte| word << 8 | u64::from(*byte))),
    }
}

/// Key columns in row format.
pub(super) struct Keys {
    rows: Rows,
    /// Rows that may match one; all where there is none.
    matchable: Option<BooleanBuffer>,
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
        let fields = types.iter().cloned().map(SortField::new).collect();
        let compared: Vec<ArrayRef> = columns.iter().map(one_zero_one_nan).collect();
        let rows = RowConverter::new(fields).and_then(|converter| converter.convert_columns(&compared));
        let rows = rows.map_err(|e| Error::arrow(OP, e))?;
        let nulls = columns.iter().fold(None, |all, column| {
            // An array of the null type has no bitmap that would say so.
            NullBuffer::union(all.as_ref(), column.logical_nulls().as_ref())
        });
        let matchable = nulls.filter(|_| !null_equals_null).map(NullBuffer::into_inner);
        Ok(Keys { rows, matchable })
    }

    /// The row's keys as bytes that are equal where the keys are; none for a row that matches nothing.
    pub(super) fn get(&self, row: usize) -> Option<&[u8]> {
        let matchable = self.matchable.as_ref().is_none_or(|matchable| matchable.value(row));
        matchable.then(|| self.rows.row(row).data())
    }
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
