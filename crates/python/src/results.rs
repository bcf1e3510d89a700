//! What the functions return.

use arrow::array::{Array, ArrayRef, AsArray};
use arrow::datatypes::Field;
use arrow::ffi::{FFI_ArrowArray, FFI_ArrowSchema};
use pyo3::exceptions::{PyBufferError, PyIndexError};
use pyo3::prelude::*;
use pyo3::types::{PyCapsule, PyDict};
use warpline::Column;
use warpline::column::interop::export_column;
use warpline::image::{self, DType, TensorSpec};

use crate::error::raise;
use crate::memory::Block;

/// A row of the input that could not be decoded.
#[pyclass(frozen, get_all, module = "warpline")]
#[derive(Clone, Debug)]
pub struct RowError {
    /// Its place in the input.
    pub row: usize,
    /// Short stable code.
    pub code: String,
    /// What was wrong, in one line.
    pub message: String,
}

#[pymethods]
impl RowError {
    fn __repr__(&self) -> String {
        format!("RowError(row={}, code={:?}, message={:?})", self.row, self.code, self.message)
    }
}

impl From<image::jpeg_decode::RowError> for RowError {
    fn from(error: image::jpeg_decode::RowError) -> Self {
        RowError { row: error.row, code: error.code.as_str().to_owned(), message: error.message }
    }
}

/// The DLPack device of memory on the host.
const HOST: (i32, i32) = (1, 0);

/// Answers `__dlpack__`.
fn dlpack(
    py: Python<'_>,
    block: &Block,
    max_version: Option<(u32, u32)>,
    dl_device: Option<(i32, i32)>,
    copy: Option<bool>,
) -> PyResult<Py<PyAny>> {
    if dl_device.is_some_and(|device| device != HOST) {
        return Err(PyBufferError::new_err("the result is on the host (device type 1)"));
    }
    block.dlpack(py, max_version, copy.unwrap_or(false))
}

/// Answers `__arrow_c_array__`.
fn arrow<'py>(
    py: Python<'py>,
    column: &Column,
    field: &Field,
) -> PyResult<(Bound<'py, PyCapsule>, Bound<'py, PyCapsule>)> {
    let (array, schema): (FFI_ArrowArray, FFI_ArrowSchema) = export_column(column, field).map_err(raise)?;
    let schema = PyCapsule::new_with_value(py, schema, c"arrow_schema")?;
    Ok((schema, PyCapsule::new_with_value(py, array, c"arrow_array")?))
}

/// numpy.asarray(object).
fn to_numpy<'py>(object: &Bound<'py, PyAny>) -> PyResult<Bound<'py, PyAny>> {
    object.py().import("numpy")?.call_method1("asarray", (object,))
}

/// Images of one size and type, as a model takes them.
///
///     >>> tensor = warpline.image_to_tensor([files[0], None], crop=32, dtype="f16")
///     >>> tensor.shape, tensor.dtype, tensor.layout, tensor.valid
///     ([2, 3, 32, 32], 'f16', 'nchw', [True, False])
///
/// `numpy.asarray(tensor)` and `torch.from_dlpack(tensor)` share its memory; `pyarrow.array(tensor)` gives an
/// arrow.fixed_shape_tensor array, which must not be changed through the others.
#[pyclass(frozen, module = "warpline")]
pub struct Tensor {
    column: Column,
    field: Field,
    block: Block,
    layout: String,
    valid: Vec<bool>,
    rows: Vec<usize>,
    errors: Vec<RowError>,
}

impl Tensor {
    /// A host column of tensors; `rows` are the rows of the input that it holds.
    pub fn new(column: Column, spec: &TensorSpec, rows: Vec<usize>, errors: Vec<RowError>) -> warpline::Result<Self> {
        let array: ArrayRef = column.to_array()?;
        let list = array.as_fixed_size_list();
        let values = list.values().to_data();
        let size = spec.dtype.size();
        let bytes = values.buffers()[0].slice_with_length(values.offset() * size, values.len() * size);
        let mut shape = vec![list.len()];
        shape.extend(spec.shape());
        let valid = (0..list.len()).map(|row| list.is_valid(row)).collect();
        let block = Block { bytes, dtype: spec.dtype, shape, writable: true };
        let layout = spec.layout.to_string();
        Ok(Tensor { column, field: spec.field("tensor"), block, layout, valid, rows, errors })
    }
}

#[pymethods]
impl Tensor {
    /// Lengths of the axes: images first, then those of the layout.
    #[getter]
    fn shape(&self) -> Vec<usize> {
        self.block.shape.clone()
    }

    /// Element type.
    #[getter]
    fn dtype(&self) -> &'static str {
        self.block.dtype.name()
    }

    /// Order of the axes behind the first.
    #[getter]
    fn layout(&self) -> &str {
        &self.layout
    }

    /// For each image whether there is one; the elements of the others are zero.
    #[getter]
    fn valid(&self) -> Vec<bool> {
        self.valid.clone()
    }

    /// For each image the row of the input that it came from.
    #[getter]
    fn rows(&self) -> Vec<usize> {
        self.rows.clone()
    }

    /// The rows of the input that could not be decoded.
    #[getter]
    fn errors(&self) -> Vec<RowError> {
        self.errors.clone()
    }

    /// The tensor as a NumPy array, without a copy. bfloat16 comes as its bits, in uint16.
    fn numpy<'py>(slf: &Bound<'py, Self>) -> PyResult<Bound<'py, PyAny>> {
        to_numpy(slf.as_any())
    }

    #[getter]
    fn __array_interface__<'py>(&self, py: Python<'py>) -> PyResult<Bound<'py, PyDict>> {
        self.block.array_interface(py)
    }

    #[pyo3(signature = (*, stream=None, max_version=None, dl_device=None, copy=None))]
    fn __dlpack__(
        &self,
        py: Python<'_>,
        stream: Option<Py<PyAny>>,
        max_version: Option<(u32, u32)>,
        dl_device: Option<(i32, i32)>,
        copy: Option<bool>,
    ) -> PyResult<Py<PyAny>> {
        drop(stream); // memory of the host is ready whatever the stream
        dlpack(py, &self.block, max_version, dl_device, copy)
    }

    fn __dlpack_device__(&self) -> (i32, i32) {
        HOST
    }

    #[pyo3(signature = (requested_schema=None))]
    fn __arrow_c_array__<'py>(
        &self,
        py: Python<'py>,
        requested_schema: Option<Py<PyAny>>,
    ) -> PyResult<(Bound<'py, PyCapsule>, Bound<'py, PyCapsule>)> {
        drop(requested_schema); // a wish, which the interface lets us ignore
        arrow(py, &self.column, &self.field)
    }

    fn __len__(&self) -> usize {
        self.valid.len()
    }

    fn __repr__(&self) -> String {
        let (shape, dtype) = (&self.block.shape, self.dtype());
        format!("<warpline.Tensor {shape:?} {dtype} {}, {} failed>", self.layout, self.errors.len())
    }
}

/// Decoded RGB images of any sizes; a sequence of `Pixels`, None where an image is missing.
///
///     >>> images = warpline.decode_image([files[0], b"no image"], on_error="null")
///     >>> len(images), images[1], images.errors[0].code
///     (2, None, 'not_an_image')
///     >>> pyarrow.array(images).type.names
///     ['data', 'width', 'height']
#[pyclass(frozen, sequence, module = "warpline")]
pub struct Images {
    images: image::Images,
    errors: Vec<RowError>,
}

impl Images {
    /// Images on the host.
    pub fn new(images: image::Images, errors: Vec<RowError>) -> Self {
        Images { images, errors }
    }
}

#[pymethods]
impl Images {
    /// Height and width of each image; None where there is none.
    #[getter]
    fn sizes(&self) -> Vec<Option<(u32, u32)>> {
        (0..self.images.len()).map(|row| self.images.size(row).map(|(width, height)| (height, width))).collect()
    }

    /// The rows of the input that could not be decoded.
    #[getter]
    fn errors(&self) -> Vec<RowError> {
        self.errors.clone()
    }

    fn __len__(&self) -> usize {
        self.images.len()
    }

    fn __getitem__(&self, row: usize) -> PyResult<Option<Pixels>> {
        let images = &self.images;
        if row >= images.len() {
            return Err(PyIndexError::new_err(format!("row {row} of {} images", images.len())));
        }
        let Some(place) = images.rows()[row] else { return Ok(None) };
        let array = images.column().to_array().map_err(raise)?;
        let data = array.as_struct().column(0).to_data();
        let bytes = data.buffers()[1].slice_with_length(place.offset, place.nbytes());
        let shape = vec![place.height as usize, place.width as usize, 3];
        Ok(Some(Pixels { block: Block { bytes, dtype: DType::U8, shape, writable: false } }))
    }

    #[pyo3(signature = (requested_schema=None))]
    fn __arrow_c_array__<'py>(
        &self,
        py: Python<'py>,
        requested_schema: Option<Py<PyAny>>,
    ) -> PyResult<(Bound<'py, PyCapsule>, Bound<'py, PyCapsule>)> {
        drop(requested_schema);
        arrow(py, self.images.column(), &Field::new("images", image::Images::data_type(), true))
    }

    fn __repr__(&self) -> String {
        format!("<warpline.Images, {} of them, {} failed>", self.images.len(), self.errors.len())
    }
}

/// The pixels of one image: height x width x 3 bytes, read-only.
#[pyclass(frozen, module = "warpline")]
pub struct Pixels {
    block: Block,
}

#[pymethods]
impl Pixels {
    /// Height, width and 3.
    #[getter]
    fn shape(&self) -> (usize, usize, usize) {
        (self.block.shape[0], self.block.shape[1], self.block.shape[2])
    }

    /// The pixels as a NumPy array, without a copy and read-only.
    fn numpy<'py>(slf: &Bound<'py, Self>) -> PyResult<Bound<'py, PyAny>> {
        to_numpy(slf.as_any())
    }

    #[getter]
    fn __array_interface__<'py>(&self, py: Python<'py>) -> PyResult<Bound<'py, PyDict>> {
        self.block.array_interface(py)
    }

    #[pyo3(signature = (*, stream=None, max_version=None, dl_device=None, copy=None))]
    fn __dlpack__(
        &self,
        py: Python<'_>,
        stream: Option<Py<PyAny>>,
        max_version: Option<(u32, u32)>,
        dl_device: Option<(i32, i32)>,
        copy: Option<bool>,
    ) -> PyResult<Py<PyAny>> {
        drop(stream);
        dlpack(py, &self.block, max_version, dl_device, copy)
    }

    fn __dlpack_device__(&self) -> (i32, i32) {
        HOST
    }

    fn __len__(&self) -> usize {
        self.block.shape[0]
    }

    fn __repr__(&self) -> String {
        format!("<warpline.Pixels {:?}>", self.block.shape)
    }
}
