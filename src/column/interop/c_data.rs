//! The Arrow C Data and C Stream interfaces for host batches, over arrow-rs's structures.
//!
//! Export is zero copy: the consumer's `release` drops our reference. Import is zero copy too, but reads every
//! buffer once to check it, because a wrong offset from a stranger must not become a wild read here.

use arrow::array::ffi_stream::{ArrowArrayStreamReader, FFI_ArrowArrayStream};
use arrow::array::{Array, ArrayData, ArrayRef, RecordBatchIterator, RecordBatchReader, StructArray, make_array};
use arrow::datatypes::{Field, Schema, SchemaRef};
use arrow::error::ArrowError;
use arrow::ffi::{FFI_ArrowArray, FFI_ArrowSchema, from_ffi};

use crate::column::layout::Layout;
use crate::column::{Batch, Column, Placement};
use crate::error::{Error, Result};

/// Exports a host column with its field (name, nullability, metadata). Copies nothing.
///
/// # Errors
/// `WrongDevice` when the column is on a device, `InvalidInput` when the field has another type.
pub fn export_column(column: &Column, field: &Field) -> Result<(FFI_ArrowArray, FFI_ArrowSchema)> {
    const OP: &str = "export_column";
    if column.data_type() != field.data_type() {
        let why = format!("type {}, the field says {}", column.data_type(), field.data_type());
        return Err(Error::invalid_column(OP, field.name(), why));
    }
    let array = column.to_array()?;
    let schema = FFI_ArrowSchema::try_from(field).map_err(|e| Error::arrow(OP, e))?;
    Ok((FFI_ArrowArray::new(&array.to_data()), schema))
}

/// Exports a host batch as one struct array, the C Data interface's form of a record batch. Copies nothing.
///
/// # Errors
/// `WrongDevice` when the batch is on a device.
///
/// ```
/// # use std::sync::Arc;
/// # use arrow::array::{ArrayRef, Int32Array, RecordBatch};
/// use warpline::Batch;
/// use warpline::column::interop::{export_batch, import_batch};
///
/// let numbers: ArrayRef = Arc::new(Int32Array::from(vec![Some(1), None, Some(3)]));
/// let batch = Batch::from_record_batch(&RecordBatch::try_from_iter([("n", numbers)])?);
/// let (array, schema) = export_batch(&batch)?;
/// // SAFETY: the structures come from `export_batch`.
/// let back = unsafe { import_batch(array, &schema) }?;
/// assert_eq!(back.to_record_batch()?, batch.to_record_batch()?);
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
pub fn export_batch(batch: &Batch) -> Result<(FFI_ArrowArray, FFI_ArrowSchema)> {
    let records = batch.to_record_batch()?;
    let schema = FFI_ArrowSchema::try_from(records.schema().as_ref()).map_err(|e| Error::arrow("export_batch", e))?;
    let array = StructArray::from(records);
    Ok((FFI_ArrowArray::new(&array.to_data()), schema))
}

/// Exports host batches as a C stream; each batch must have this schema. Batches are handed over as they are asked
/// for, and errors of the iterator reach the consumer through `get_last_error`.
pub fn export_stream<I>(schema: SchemaRef, batches: I) -> FFI_ArrowArrayStream
where
    I: IntoIterator<Item = Result<Batch>>,
    I::IntoIter: Send + 'static,
{
    let expected = schema.clone();
    let records = batches.into_iter().map(move |batch| {
        let records = batch.and_then(|batch| batch.to_record_batch()).map_err(ArrowError::from)?;
        if records.schema().fields() != expected.fields() {
            return Err(ArrowError::SchemaError("a batch of the stream has another schema".into()));
        }
        Ok(records)
    });
    FFI_ArrowArrayStream::new(Box::new(RecordBatchIterator::new(records, schema)))
}

/// Imports a column with its field. Takes ownership of `array`, whose `release` runs when the last clone of the
/// column is dropped. Zero copy; reads every buffer once to check it.
///
/// # Errors
/// `Arrow` when the structures or the data break Arrow's rules, `Unsupported` for types that Warpline lacks.
///
/// # Safety
/// Both structures must follow the Arrow C Data interface: pointers and lengths of all buffers true, not written to
/// while the column lives.
pub unsafe fn import_column(array: FFI_ArrowArray, schema: &FFI_ArrowSchema) -> Result<(Column, Field)> {
    const OP: &str = "import_column";
    let field = Field::try_from(schema).map_err(|e| Error::arrow(OP, e))?;
    Layout::check(field.data_type())?;
    // SAFETY: the caller vouches for both structures.
    let data = checked(OP, unsafe { from_ffi(array, schema) }.map_err(|e| Error::arrow(OP, e))?)?;
    Ok((Column::from_array(make_array(data)), field))
}

/// Imports a batch exported as one struct array. Takes ownership of `array`, whose `release` runs when the last
/// column is dropped. Zero copy; reads every buffer once to check it.
///
/// # Errors
/// `InvalidInput` when the array is no struct or has null rows (a batch cannot); otherwise as [`import_column`].
///
/// # Safety
/// As [`import_column`].
pub unsafe fn import_batch(array: FFI_ArrowArray, schema: &FFI_ArrowSchema) -> Result<Batch> {
    const OP: &str = "import_batch";
    let root = Schema::try_from(schema).map_err(|e| Error::arrow(OP, e))?;
    root.fields().iter().try_for_each(|field| Layout::check(field.data_type()))?;
    // SAFETY: the caller vouches for both structures.
    let data = checked(OP, unsafe { from_ffi(array, schema) }.map_err(|e| Error::arrow(OP, e))?)?;
    if data.null_count() > 0 {
        return Err(Error::invalid(OP, "the struct has null rows: import it as a column instead"));
    }
    let rows = data.len();
    let columns = StructArray::from(data).columns().iter().cloned().map(Column::from_array).collect();
    Batch::try_new(root.into(), columns, rows, Placement::Host)
}

/// Imports a C stream as its schema and an iterator of batches, each checked as in [`import_batch`].
///
/// # Errors
/// `Arrow` when the stream cannot tell its schema; later errors come through the iterator.
///
/// # Safety
/// `stream` must follow the Arrow C Stream interface, and each of its arrays the C Data interface.
pub unsafe fn import_stream(
    stream: FFI_ArrowArrayStream,
) -> Result<(SchemaRef, impl Iterator<Item = Result<Batch>> + Send)> {
    const OP: &str = "import_stream";
    let reader = ArrowArrayStreamReader::try_new(stream).map_err(|e| Error::arrow(OP, e))?;
    let schema = reader.schema();
    schema.fields().iter().try_for_each(|field| Layout::check(field.data_type()))?;
    let batches = reader.map(|records| {
        let records = records.map_err(|e| Error::arrow(OP, e))?;
        let column = |array: &ArrayRef| Ok(Column::from_array(make_array(checked(OP, array.to_data())?)));
        let columns = records.columns().iter().map(column).collect::<Result<_>>()?;
        Batch::try_new(records.schema(), columns, records.num_rows(), Placement::Host)
    });
    Ok((schema, batches))
}

/// Aligned data that keeps all of Arrow's rules.
fn checked(op: &'static str, data: ArrayData) -> Result<ArrayData> {
    let mut data = tidied(data);
    data.align_buffers();
    data.validate_full().map_err(|e| Error::arrow(op, e))?;
    Ok(data)
}

/// Arrays of no rows without their buffers: a slice of no rows may have offsets that start anywhere, and arrow-rs,
/// which reads the length of the bytes out of the offsets, then takes them for too short.
fn tidied(data: ArrayData) -> ArrayData {
    if data.is_empty() {
        return ArrayData::new_empty(data.data_type());
    }
    let children = data.child_data().iter().cloned().map(tidied).collect();
    // SAFETY: the children keep types and lengths; nobody reads the data before the caller validates it.
    unsafe { data.into_builder().child_data(children).build_unchecked() }
}
