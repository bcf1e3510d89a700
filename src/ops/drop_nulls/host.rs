//! Host twin: the union of arrow-rs's logical nulls.

use std::sync::Arc;

use arrow::array::{Array, BooleanArray};
use arrow::buffer::NullBuffer;

use crate::column::Column;
use crate::error::Result;

/// The rows in which no column is null; at least one of them can have nulls.
pub(super) fn mask(columns: &[&Column]) -> Result<Column> {
    let mut all: Option<NullBuffer> = None;
    for column in columns {
        all = NullBuffer::union(all.as_ref(), column.to_array()?.logical_nulls().as_ref());
    }
    let rows = columns.first().map_or(0, |column| column.len());
    let valid = all.unwrap_or_else(|| NullBuffer::new_valid(rows)).into_inner();
    Ok(Column::from_array(Arc::new(BooleanArray::new(valid, None))))
}
