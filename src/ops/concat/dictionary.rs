//! One dictionary out of several, for keys that cannot tell all of their values.

use std::collections::HashMap;

use arrow::array::{Array, ArrayRef};
use arrow::compute::interleave;
use arrow::datatypes::DataType;
use arrow::row::{RowConverter, SortField};

use crate::error::{Error, Result};

/// How many dictionary values the keys of a dictionary type can tell apart.
pub(in crate::ops) fn most_keys(data_type: &DataType) -> u64 {
    let DataType::Dictionary(key, _) = data_type else { return 0 };
    let bits = 8 * key.primitive_width().unwrap_or_default() as u32;
    let bits = if key.is_signed_integer() { bits.saturating_sub(1) } else { bits };
    1u64.checked_shl(bits).unwrap_or(u64::MAX)
}

/// The different values of these dictionaries in the order of their first appearance, and what each key of each dictionary
/// becomes. Floats are equal when their bits are.
pub(in crate::ops) fn unify(op: &'static str, dictionaries: &[ArrayRef]) -> Result<(ArrayRef, Vec<Vec<u64>>)> {
    let failed = |e| Error::arrow(op, e);
    let data_type = dictionaries.first().map_or(DataType::Null, |values| values.data_type().clone());
    let converter = RowConverter::new(vec![SortField::new(data_type)]).map_err(failed)?;
    let mut found: HashMap<Box<[u8]>, u64> = HashMap::new();
    let mut kept = Vec::new();
    let mut keys = Vec::with_capacity(dictionaries.len());
    for (i, values) in dictionaries.iter().enumerate() {
        let rows = converter.convert_columns(std::slice::from_ref(values)).map_err(failed)?;
        let key = |(row, value): (usize, arrow::row::Row<'_>)| {
            let next = found.len() as u64;
            *found.entry(value.as_ref().into()).or_insert_with(|| {
                kept.push((i, row));
                next
            })
        };
        keys.push(rows.iter().enumerate().map(key).collect());
    }
    let values: Vec<&dyn Array> = dictionaries.iter().map(|values| values.as_ref()).collect();
    Ok((interleave(&values, &kept).map_err(failed)?, keys))
}

/// The error for more different values than the keys can tell.
pub(in crate::ops) fn too_many(data_type: &DataType, values: u64) -> String {
    let most = most_keys(data_type);
    format!("{values} different dictionary values, the keys of {data_type} can tell {most}: cast it to wider keys")
}
