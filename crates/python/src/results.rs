//! What the functions return.

use arrow::array::AsArray;
use arrow::datatypes::Field;
use arrow::ffi::{FFI_ArrowArray, FFI_ArrowSchema};
use pyo3::exceptions::PyIndexError;
use pyo3::prelude::*;
use pyo3::types::{PyCapsule, PyDict};
use warpline::column::interop::export_column;
use warpline::image::{self, DType, ImageRow, TensorSpec};
use warpline::{Column, Error, ExecCtx, Placement};

use crate::context::{self, detached};
use crate::dlpack::{self, Request};
use crate::error::raise;
use crate::memory::{Block, Memory, refuse_device};

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

/// Answers `__arrow_c_array__`.
fn arrow<'py>(
    py: Python<'py>,
    column: &Column,
    field: &Field,
) -> PyResult<(Bound<'py, PyCapsule>, Bound<'py, PyCapsule>)> {
    refuse_device(column.placement())?;
    let (array, schema): (FFI_ArrowArray, FFI_ArrowSchema) = export_column(column, field).map_err(raise)?;
    let schema = PyCapsule::new_with_value(py, schema, c"arrow_schema")?;
    Ok((schema, PyCapsule::new_with_value(py, array, c"arrow_array")?))
}

/// Answers `__array__`, which NumPy calls where there is no array interface: on a device, where there is no array.
fn array<'py>(
    object: &Bound<'py, PyAny>,
    placement: Placement,
    dtype: Option<Bound<'py, PyAny>>,
    copy: Option<bool>,
) -> PyResult<Bound<'py, PyAny>> {
    refuse_device(placement)?;
    let options = PyDict::new(object.py());
    options.set_item("dtype", dtype)?;
    options.set_item("copy", copy)?;
    object.py().import("numpy")?.call_method("array", (object,), Some(&options))
}

/// numpy.asarray(object), which must be on the host.
fn to_numpy<'py>(object: Bound<'py, PyAny>) -> PyResult<Bound<'py, PyAny>> {
    object.py().import("numpy")?.call_method1("asarray", (object,))
}

/// Images of one size and type, as a model takes them.
///
///     >>> tensor = warpline.image_to_tensor([files[0], None], crop=32, dtype="f16")
///     >>> tensor.shape, tensor.dtype, tensor.layout, tensor.valid
///     ([2, 3, 32, 32], 'f16', 'nchw', [True, False])
///
/// On the host `numpy.asarray(tensor)` and `torch.from_dlpack(tensor)` share its memory; `pyarrow.array(tensor)`
/// gives an arrow.fixed_shape_tensor array, which must not be changed through the others. On a device libraries for
/// it share its memory by DLPack, and `numpy()` and `to_host()` copy; what would copy unasked raises TypeError.
#[pyclass(frozen, module = "warpline")]
pub struct Tensor {
    column: Column,
    spec: TensorSpec,
    block: Block,
    layout: String,
    rows: Rows,
}

/// What became of the rows of the input.
#[derive(Clone, Debug)]
pub struct Rows {
    /// For each row of the result whether there is an image.
    pub valid: Vec<bool>,
    /// The row of the input that it came from.
    pub numbers: Vec<usize>,
    /// Those that could not be decoded.
    pub errors: Vec<RowError>,
}

impl Tensor {
    /// A column of tensors where `ctx` runs.
    pub fn new(ctx: &ExecCtx, column: Column, spec: TensorSpec, rows: Rows) -> warpline::Result<Self> {
        let memory = match column.as_device() {
            Some(device) => {
                let values = device.children().first().and_then(|values| values.buffers().first());
                let why = || "a tensor column without values".to_owned();
                let values = values.ok_or_else(|| Error::Internal { op: "tensor", why: why() })?;
                Memory::Device(values.clone(), ctx.clone())
            }
            None => {
                let array = column.to_array()?;
                let values = array.as_fixed_size_list().values().to_data();
                let size = spec.dtype.size();
                let bytes = values.buffers()[0].slice_with_length(values.offset() * size, values.len() * size);
                Memory::Host(bytes)
            }
        };
        let mut shape = vec![column.len()];
        shape.extend(spec.shape());
        let block = Block { memory, dtype: spec.dtype, shape, writable: true };
        Ok(Tensor { column, spec, block, layout: spec.layout.to_string(), rows })
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
        self.rows.valid.clone()
    }

    /// For each image the row of the input that it came from.
    #[getter]
    fn rows(&self) -> Vec<usize> {
        self.rows.numbers.clone()
    }

    /// The rows of the input that could not be decoded.
    #[getter]
    fn errors(&self) -> Vec<RowError> {
        self.rows.errors.clone()
    }

    /// Where the elements are: "host" or "cuda:N".
    #[getter]
    fn device(&self) -> String {
        self.block.placement().to_string()
    }

    /// The tensor on the host: itself, or a copy from the device.
    fn to_host<'py>(slf: &Bound<'py, Self>) -> PyResult<Bound<'py, Self>> {
        let this = slf.get();
        if this.column.as_device().is_none() {
            return Ok(slf.clone());
        }
        let (py, host) = (slf.py(), context::open("host")?);
        let copy = detached(py, || Tensor::new(&host, this.column.to_host()?, this.spec, this.rows.clone()))?;
        Bound::new(py, copy)
    }

    /// The tensor as a NumPy array, without a copy on the host, with one from a device. bfloat16 comes as its
    /// bits, in uint16.
    fn numpy<'py>(slf: &Bound<'py, Self>) -> PyResult<Bound<'py, PyAny>> {
        to_numpy(Self::to_host(slf)?.into_any())
    }

    #[pyo3(signature = (dtype=None, copy=None))]
    fn __array__<'py>(
        slf: &Bound<'py, Self>,
        dtype: Option<Bound<'py, PyAny>>,
        copy: Option<bool>,
    ) -> PyResult<Bound<'py, PyAny>> {
        array(slf.as_any(), slf.get().block.placement(), dtype, copy)
    }

    #[getter]
    fn __array_interface__<'py>(&self, py: Python<'py>) -> PyResult<Bound<'py, PyDict>> {
        self.block.array_interface(py)
    }

    #[pyo3(signature = (*, stream=None, max_version=None, dl_device=None, copy=None))]
    fn __dlpack__(
        &self,
        py: Python<'_>,
        stream: Option<Bound<'_, PyAny>>,
        max_version: Option<(u32, u32)>,
        dl_device: Option<(i32, i32)>,
        copy: Option<bool>,
    ) -> PyResult<Py<PyAny>> {
        dlpack::export(py, &self.block, &Request { stream, max_version, dl_device, copy })
    }

    fn __dlpack_device__(&self) -> (i32, i32) {
        dlpack::device(self.block.placement())
    }

    #[pyo3(signature = (requested_schema=None))]
    fn __arrow_c_array__<'py>(
        &self,
        py: Python<'py>,
        requested_schema: Option<Py<PyAny>>,
    ) -> PyResult<(Bound<'py, PyCapsule>, Bound<'py, PyCapsule>)> {
        drop(requested_schema); // a wish, which the interface lets us ignore
        arrow(py, &self.column, &self.spec.field("tensor"))
    }

    fn __len__(&self) -> usize {
        self.block.shape[0]
    }

    fn __repr__(&self) -> String {
        let (shape, dtype, device, failed) = (&self.block.shape, self.dtype(), self.device(), self.rows.errors.len());
        format!("<warpline.Tensor {shape:?} {dtype} {} on {device}, {failed} failed>", self.layout)
    }
}

/// Decoded RGB images of any sizes; a sequence of `Pixels`, None where an image is missing.
///
///     >>> images = warpline.decode_image([files[0], b"no image"], on_error="null")
///     >>> len(images), images[1], images.errors[0].code
///     (2, None, 'not_an_image')
///     >>> pyarrow.array(images).type.names
///     ['data', 'width', 'height']
///
/// On a device each item is there too: `to_host()` copies all of them at once.
#[pyclass(frozen, sequence, module = "warpline")]
pub struct Images {
    images: image::Images,
    ctx: ExecCtx,
    errors: Vec<RowError>,
}

impl Images {
    /// Images where `ctx` runs.
    pub fn new(ctx: ExecCtx, images: image::Images, errors: Vec<RowError>) -> Self {
        Images { images, ctx, errors }
    }

    /// The pixels' bytes of one row.
    fn pixels(&self, place: ImageRow) -> warpline::Result<Memory> {
        let column = self.images.column();
        if let Some(device) = column.as_device() {
            let data = device.children().first().and_then(|data| data.buffers().get(1));
            let why = || "images on a device without pixels".to_owned();
            let data = data.ok_or_else(|| Error::Internal { op: "images", why: why() })?;
            return Ok(Memory::Device(data.slice(place.offset, place.nbytes()), self.ctx.clone()));
        }
        let data = column.to_array()?.as_struct().column(0).to_data();
        Ok(Memory::Host(data.buffers()[1].slice_with_length(place.offset, place.nbytes())))
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

    /// Where the pixels are: "host" or "cuda:N".
    #[getter]
    fn device(&self) -> String {
        self.images.placement().to_string()
    }

    /// The images on the host: themselves, or a copy of all from the device.
    fn to_host<'py>(slf: &Bound<'py, Self>) -> PyResult<Bound<'py, Self>> {
        let this = slf.get();
        if this.images.column().as_device().is_none() {
            return Ok(slf.clone());
        }
        let (py, host) = (slf.py(), context::open("host")?);
        let images = detached(py, || this.images.to(&host))?;
        Bound::new(py, Images::new(host, images, this.errors.clone()))
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
        let memory = self.pixels(place).map_err(raise)?;
        let shape = vec![place.height as usize, place.width as usize, 3];
        Ok(Some(Pixels { block: Block { memory, dtype: DType::U8, shape, writable: false } }))
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
        format!("<warpline.Images, {} of them on {}, {} failed>", self.images.len(), self.device(), self.errors.len())
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

    /// Where the pixels are: "host" or "cuda:N".
    #[getter]
    fn device(&self) -> String {
        self.block.placement().to_string()
    }

    /// The pixels on the host: themselves, or a copy from the device.
    fn to_host<'py>(slf: &Bound<'py, Self>) -> PyResult<Bound<'py, Self>> {
        let (py, block) = (slf.py(), &slf.get().block);
        match block.memory {
            Memory::Host(_) => Ok(slf.clone()),
            Memory::Device(..) => Bound::new(py, Pixels { block: detached(py, || block.to_host())? }),
        }
    }

    /// The pixels as a NumPy array, read-only; without a copy on the host, with one from a device.
    fn numpy<'py>(slf: &Bound<'py, Self>) -> PyResult<Bound<'py, PyAny>> {
        to_numpy(Self::to_host(slf)?.into_any())
    }

    #[pyo3(signature = (dtype=None, copy=None))]
    fn __array__<'py>(
        slf: &Bound<'py, Self>,
        dtype: Option<Bound<'py, PyAny>>,
        copy: Option<bool>,
    ) -> PyResult<Bound<'py, PyAny>> {
        array(slf.as_any(), slf.get().block.placement(), dtype, copy)
    }

    #[getter]
    fn __array_interface__<'py>(&self, py: Python<'py>) -> PyResult<Bound<'py, PyDict>> {
        self.block.array_interface(py)
    }

    #[pyo3(signature = (*, stream=None, max_version=None, dl_device=None, copy=None))]
    fn __dlpack__(
        &self,
        py: Python<'_>,
        stream: Option<Bound<'_, PyAny>>,
        max_version: Option<(u32, u32)>,
        dl_device: Option<(i32, i32)>,
        copy: Option<bool>,
    ) -> PyResult<Py<PyAny>> {
        dlpack::export(py, &self.block, &Request { stream, max_version, dl_device, copy })
    }

    fn __dlpack_device__(&self) -> (i32, i32) {
        dlpack::device(self.block.placement())
    }

    fn __len__(&self) -> usize {
        self.block.shape[0]
    }

    fn __repr__(&self) -> String {
        format!("<warpline.Pixels {:?} on {}>", self.block.shape, self.device())
    }
}
