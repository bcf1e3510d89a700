//! What the executor itself does to the rows of host batches: measure, cut, join, drop, blank.

use std::ops::Range;
use std::sync::Arc;

use arrow::array::{
    Array, ArrayData, ArrayRef, BooleanArray, MutableArrayData, RecordBatch, RecordBatchOptions, make_array,
    new_null_array,
};
use arrow::buffer::{BooleanBuffer, NullBuffer};
use arrow::compute::{concat_batches, filter_record_batch};
use arrow::datatypes::{DataType, FieldRef, SchemaRef};

use crate::column::Batch;
use crate::error::{Error, Result};

const OP: &str = "pipeline";

/// Bytes that the rows of a batch take, wherever they are.
pub(super) fn bytes(batch: &Batch) -> u64 {
    batch.nbytes() as u64
}

/// Rows `range` in buffers of their own, so that what is left out can be freed.
pub(super) fn cut(batch: &Batch, range: Range<usize>) -> Result<Batch> {
    let host = batch.to_record_batch()?;
    let columns = host.columns().iter().map(|array| copy(array, range.clone())).collect::<Result<_>>()?;
    from_columns(batch.schema(), columns, range.len())
}

fn copy(array: &ArrayRef, range: Range<usize>) -> Result<ArrayRef> {
    let data = array.to_data();
    let mut rows = MutableArrayData::new(vec![&data], false, range.len());
    rows.try_extend(0, range.start, range.end).map_err(|e| Error::arrow(OP, e))?;
    Ok(make_array(rows.freeze()))
}

/// All rows of some host batches under one schema.
pub(super) fn concat(schema: &SchemaRef, batches: &[Batch]) -> Result<Batch> {
    let host = batches.iter().map(|batch| relabel(schema, batch)?.to_record_batch()).collect::<Result<Vec<_>>>()?;
    let rows = host.iter().map(RecordBatch::num_rows).sum();
    if schema.fields().is_empty() {
        return from_columns(schema, Vec::new(), rows);
    }
    let whole = concat_batches(schema, &host).map_err(|e| Error::arrow(OP, e))?;
    Ok(Batch::from_record_batch(&whole))
}

/// The host batch without these rows; places are sorted.
pub(super) fn without(batch: &Batch, places: &[usize]) -> Result<(Batch, BooleanBuffer)> {
    let mut dropped = places.iter().copied().peekable();
    let keep = BooleanBuffer::collect_bool(batch.num_rows(), |row| dropped.next_if_eq(&row).is_none());
    let host = batch.to_record_batch()?;
    if host.num_columns() == 0 {
        return Ok((from_columns(batch.schema(), Vec::new(), keep.count_set_bits())?, keep));
    }
    let mask = BooleanArray::new(keep.clone(), None);
    let kept = filter_record_batch(&host, &mask).map_err(|e| Error::arrow(OP, e))?;
    Ok((Batch::from_record_batch(&kept), keep))
}

/// The same columns under `schema`, which may differ in nullability and metadata only.
pub(super) fn relabel(schema: &SchemaRef, batch: &Batch) -> Result<Batch> {
    Batch::try_new(schema.clone(), batch.columns().to_vec(), batch.num_rows(), batch.placement())
}

/// No rows under a schema.
pub(super) fn empty(schema: &SchemaRef) -> Batch {
    Batch::from_record_batch(&RecordBatch::new_empty(schema.clone()))
}

/// The rows of `input` under the schema of a stage that failed on them: columns that the stage passes on keep their
/// values, all others are null. The schema's fields must be nullable where the stage makes them.
pub(super) fn blank(input: &Batch, schema: &SchemaRef) -> Result<Batch> {
    let host = input.to_record_batch()?;
    let columns = schema
        .fields()
        .iter()
        .map(|field| match host.column_by_name(field.name()) {
            Some(column) if column.data_type() == field.data_type() => column.clone(),
            _ => nulls(field.data_type(), host.num_rows()),
        })
        .collect();
    from_columns(schema, columns, host.num_rows())
}

fn from_columns(schema: &SchemaRef, columns: Vec<ArrayRef>, rows: usize) -> Result<Batch> {
    let options = RecordBatchOptions::new().with_row_count(Some(rows));
    let host = RecordBatch::try_new_with_options(schema.clone(), columns, &options).map_err(|e| Error::arrow(OP, e))?;
    Ok(Batch::from_record_batch(&host))
}

/// Null rows of any type. arrow's own `new_null_array` fills children that must not be null with nulls; these get
/// zeros and empty values.
fn nulls(data_type: &DataType, rows: usize) -> ArrayRef {
    match data_type {
        DataType::Struct(_) | DataType::FixedSizeList(_, _) => {
            let filled = fill(data_type, rows).into_builder().nulls(Some(NullBuffer::new_null(rows)));
            filled.build().map_or_else(|_| new_null_array(data_type, rows), make_array)
        }
        other => new_null_array(other, rows),
    }
}

/// Rows of zeros and empty values, none of them null unless a child may be.
fn fill(data_type: &DataType, rows: usize) -> ArrayData {
    let child = |field: &FieldRef, rows: usize| match field.is_nullable() {
        true => nulls(field.data_type(), rows).to_data(),
        false => fill(field.data_type(), rows),
    };
    let builder = ArrayData::builder(data_type.clone()).len(rows);
    let built = match data_type {
        DataType::Struct(fields) => builder.child_data(fields.iter().map(|field| child(field, rows)).collect()).build(),
        DataType::FixedSizeList(field, size) => {
            builder.add_child_data(child(field, rows * (*size).max(0) as usize)).build()
        }
        other => new_null_array(other, rows).into_data().into_builder().nulls(None).build(),
    };
    built.unwrap_or_else(|_| new_null_array(data_type, rows).into_data())
}

/// The schema of a stage's output under `OnError::Null`: what the stage makes may be null.
pub(super) fn nullable_where_made(input: &SchemaRef, output: &SchemaRef) -> SchemaRef {
    let fields = output.fields().iter().map(|field| match input.field_with_name(field.name()) {
        Ok(before) if before.data_type() == field.data_type() => {
            Arc::new(field.as_ref().clone().with_nullable(field.is_nullable() || before.is_nullable()))
        }
        _ => Arc::new(field.as_ref().clone().with_nullable(true)),
    });
    let fields: Vec<FieldRef> = fields.collect();
    Arc::new(arrow::datatypes::Schema::new_with_metadata(fields, output.metadata().clone()))
}

#[cfg(test)]
mod tests {
    use arrow::array::{Int32Array, StringArray};
    use arrow::datatypes::{Field, Fields};

    use super::*;

    #[test]
    fn a_cut_holds_only_its_rows() {
        let batch = RecordBatch::try_from_iter([
            ("a", Arc::new(Int32Array::from_iter_values(0..1000)) as ArrayRef),
            ("b", Arc::new(StringArray::from_iter_values((0..1000).map(|i| "x".repeat(i)))) as ArrayRef),
        ]);
        let batch = Batch::from_record_batch(&batch.unwrap());
        let some = cut(&batch, 10..20).unwrap();
        assert_eq!(bytes(&some), 40 + 44 + (10..20).sum::<u64>());
        let held: usize = some.to_record_batch().unwrap().columns().iter().map(|c| c.get_buffer_memory_size()).sum();
        assert!(held < 4096);
        let sliced = Batch::from_record_batch(&batch.to_record_batch().unwrap().slice(10, 10));
        assert_eq!(bytes(&sliced), bytes(&some));
        assert_eq!(sliced.to_record_batch().unwrap(), some.to_record_batch().unwrap());
    }

    #[test]
    fn nulls_of_an_image_column_keep_children_that_must_not_be_null() {
        let image = DataType::Struct(Fields::from(vec![
            Field::new("data", DataType::LargeBinary, false),
            Field::new("width", DataType::UInt32, false),
        ]));
        let tensor = DataType::FixedSizeList(Arc::new(Field::new("item", DataType::Float32, false)), 12);
        for data_type in [image, tensor, DataType::Utf8, DataType::Float16] {
            let array = nulls(&data_type, 3);
            assert_eq!((array.len(), array.null_count()), (3, 3));
            array.to_data().validate_full().unwrap();
        }
    }
}
