//! Arrays of Python to columns, without copying the images.

use std::sync::Arc;

use arrow::array::BinaryViewArray;
use arrow::array::builder::make_view;
use arrow::buffer::{Buffer, NullBuffer, ScalarBuffer};
use arrow::ffi::{FFI_ArrowArray, FFI_ArrowSchema};
use pyo3::exceptions::{PyTypeError, PyValueError};
use pyo3::prelude::*;
use pyo3::pybacked::PyBackedBytes;
use pyo3::types::{PyByteArray, PyBytes, PyCapsule, PyMemoryView, PyString};
use warpline::Column;
use warpline::column::interop::import_column;

use crate::error::raise;

/// The column behind the `array` argument: anything with `__arrow_c_array__`, a chunked array, or a sequence of bytes
/// and `None`.
pub fn column(array: &Bound<'_, PyAny>) -> PyResult<Column> {
    if array.hasattr("__arrow_c_array__")? {
        return from_capsules(array);
    }
    if array.hasattr("__arrow_c_stream__")? {
        let pyarrow = array.py().import("pyarrow")?;
        let chunked = pyarrow.call_method1("chunked_array", (array,))?;
        let chunks = chunked.getattr("chunks")?;
        let one = if chunks.len()? == 1 { chunks.get_item(0)? } else { combined(&pyarrow, &chunked)? };
        return from_capsules(&one);
    }
    from_sequence(array)
}

/// One array of all chunks: copies the encoded bytes, with 64-bit offsets so that any size fits.
fn combined<'py>(pyarrow: &Bound<'py, PyModule>, chunked: &Bound<'py, PyAny>) -> PyResult<Bound<'py, PyAny>> {
    let large = chunked.call_method1("cast", (pyarrow.call_method0("large_binary")?,))?;
    pyarrow.call_method1("concat_arrays", (large.getattr("chunks")?,)).or_else(|_| large.call_method0("combine_chunks"))
}

/// Zero copy: the column keeps the array alive.
fn from_capsules(array: &Bound<'_, PyAny>) -> PyResult<Column> {
    let capsules = array.call_method0("__arrow_c_array__")?;
    let (schema, array): (Bound<'_, PyCapsule>, Bound<'_, PyCapsule>) = capsules.extract()?;
    let schema = schema.pointer_checked(Some(c"arrow_schema"))?.cast::<FFI_ArrowSchema>();
    let array = array.pointer_checked(Some(c"arrow_array"))?.cast::<FFI_ArrowArray>();
    // SAFETY: capsules of these names hold these structures (Arrow PyCapsule interface), and they outlive this call.
    // Moving the array out marks it as released, so that the capsule does not release it a second time.
    let (schema, array) = unsafe { (schema.as_ref(), FFI_ArrowArray::from_raw(array.as_ptr())) };
    // SAFETY: the structures come from an exporter of the interface, whose data do not change while the column lives.
    let (column, _) = unsafe { import_column(array, schema) }.map_err(raise)?;
    Ok(column)
}

/// One view a row into the bytes objects themselves; other objects of bytes are copied.
fn from_sequence(rows: &Bound<'_, PyAny>) -> PyResult<Column> {
    let wrong = || {
        let kind = rows.get_type().name().map_or_else(|_| "object".into(), |name| name.to_string());
        let hint = "a pyarrow binary array, anything with __arrow_c_array__, or a list of bytes and None";
        PyTypeError::new_err(format!("{kind} is not {hint}"))
    };
    if rows.is_instance_of::<PyBytes>() || rows.is_instance_of::<PyByteArray>() || rows.is_instance_of::<PyString>() {
        return Err(wrong());
    }
    let (mut views, mut buffers, mut valid) = (Vec::new(), Vec::new(), Vec::new());
    for (row, item) in rows.try_iter().map_err(|_| wrong())?.enumerate() {
        let item = item?;
        valid.push(!item.is_none());
        if item.is_none() {
            views.push(0);
            continue;
        }
        let bytes = bytes_of(&item).map_err(|_| {
            let kind = item.get_type().name().map_or_else(|_| "object".into(), |name| name.to_string());
            PyTypeError::new_err(format!("row {row}: {kind} is neither bytes nor None"))
        })?;
        if bytes.len() > i32::MAX as usize {
            return Err(PyValueError::new_err(format!("row {row}: an image of 2 GiB or more")));
        }
        views.push(make_view(&bytes, buffers.len() as u32, 0));
        if bytes.len() > 12 {
            buffers.push(Buffer::from(bytes::Bytes::from_owner(bytes)));
        }
    }
    let nulls = Some(NullBuffer::from(valid)).filter(|nulls| nulls.null_count() > 0);
    let array = BinaryViewArray::try_new(ScalarBuffer::from(views), buffers, nulls)
        .map_err(|error| PyValueError::new_err(error.to_string()))?;
    Ok(Column::from_array(Arc::new(array)))
}

fn bytes_of(item: &Bound<'_, PyAny>) -> PyResult<PyBackedBytes> {
    if let Ok(bytes) = item.extract::<PyBackedBytes>() {
        return Ok(bytes);
    }
    // A view first, because bytes() also takes integers and lists of them.
    let view = PyMemoryView::from(item)?;
    let copy = item.py().get_type::<PyBytes>().call1((view,))?;
    Ok(copy.cast_into::<PyBytes>()?.into())
}
