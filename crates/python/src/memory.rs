//! Results as other libraries see them: the array interface (NumPy, Pillow) and DLPack (PyTorch, JAX, CuPy, NumPy).

use std::ffi::{CStr, c_void};

use arrow::buffer::Buffer;
use pyo3::exceptions::PyBufferError;
use pyo3::ffi;
use pyo3::prelude::*;
use pyo3::types::{PyDict, PyTuple};
use warpline::image::DType;

/// Elements in row-major order on the host.
#[derive(Clone, Debug)]
pub struct Block {
    pub bytes: Buffer,
    pub dtype: DType,
    pub shape: Vec<usize>,
    /// Whether nothing else reads these bytes, so that a consumer may change them.
    pub writable: bool,
}

impl Block {
    /// The array interface, version 3. bfloat16, which NumPy lacks, is told as its bits, unsigned 16-bit integers.
    pub fn array_interface<'py>(&self, py: Python<'py>) -> PyResult<Bound<'py, PyDict>> {
        let kind = match self.dtype {
            DType::F32 => "<f4",
            DType::F16 => "<f2",
            DType::BF16 => "<u2",
            DType::U8 => "|u1",
        };
        let interface = PyDict::new(py);
        interface.set_item("version", 3)?;
        interface.set_item("shape", PyTuple::new(py, &self.shape)?)?;
        interface.set_item("typestr", kind)?;
        interface.set_item("data", (self.bytes.as_ptr() as usize, !self.writable))?;
        Ok(interface)
    }

    /// A DLPack capsule: of version 1 where the consumer takes that, else of the older form, which cannot say that bytes
    /// must not be changed.
    pub fn dlpack(&self, py: Python<'_>, max_version: Option<(u32, u32)>, copy: bool) -> PyResult<Py<PyAny>> {
        let versioned = max_version.is_some_and(|(major, _)| major >= 1);
        let block = if copy {
            Block { bytes: Buffer::from(self.bytes.as_slice()), writable: true, ..self.clone() }
        } else {
            self.clone()
        };
        if !versioned && !block.writable {
            let why =
                "these pixels are read-only: take DLPack 1 (max_version=(1, 0)), copy=True, or numpy.array(pixels)";
            return Err(PyBufferError::new_err(why));
        }
        let flags = (u64::from(!block.writable) * FLAG_READ_ONLY) | (u64::from(copy) * FLAG_IS_COPIED);
        let owner = Owner::new(block);
        if versioned {
            let managed = Versioned {
                version: [1, 0],
                manager: owner.manager,
                deleter: drop_versioned,
                flags,
                tensor: owner.tensor,
            };
            capsule(py, managed, c"dltensor_versioned", destroy_versioned)
        } else {
            let managed = Legacy { tensor: owner.tensor, manager: owner.manager, deleter: drop_legacy };
            capsule(py, managed, c"dltensor", destroy_legacy)
        }
    }
}

const FLAG_READ_ONLY: u64 = 1;
const FLAG_IS_COPIED: u64 = 2;

/// `DLTensor` of dlpack.h.
#[repr(C)]
struct Tensor {
    data: *mut c_void,
    device: [i32; 2],
    ndim: i32,
    code: u8,
    bits: u8,
    lanes: u16,
    shape: *mut i64,
    strides: *mut i64,
    byte_offset: u64,
}

/// `DLManagedTensor`.
#[repr(C)]
struct Legacy {
    tensor: Tensor,
    manager: *mut Kept,
    deleter: unsafe extern "C" fn(*mut Legacy),
}

/// `DLManagedTensorVersioned`.
#[repr(C)]
struct Versioned {
    version: [u32; 2],
    manager: *mut Kept,
    deleter: unsafe extern "C" fn(*mut Versioned),
    flags: u64,
    tensor: Tensor,
}

/// What a consumer keeps alive.
struct Kept {
    _bytes: Buffer,
    /// Lengths of the axes, then their strides.
    axes: Vec<i64>,
}

struct Owner {
    tensor: Tensor,
    manager: *mut Kept,
}

impl Owner {
    /// Leaks the block into a manager that one of the deleters takes back.
    fn new(block: Block) -> Self {
        let ndim = block.shape.len();
        let mut axes: Vec<i64> = block.shape.iter().map(|length| *length as i64).collect();
        let strides = (0..ndim).map(|axis| block.shape[axis + 1..].iter().product::<usize>() as i64);
        axes.extend(strides.collect::<Vec<_>>());
        let data = block.bytes.as_ptr().cast_mut().cast();
        let mut kept = Box::new(Kept { _bytes: block.bytes, axes });
        let (code, bits) = match block.dtype {
            DType::F32 => (2, 32),
            DType::F16 => (2, 16),
            DType::BF16 => (4, 16),
            DType::U8 => (1, 8),
        };
        let shape = kept.axes.as_mut_ptr();
        let strides = shape.wrapping_add(ndim);
        let ndim = ndim as i32;
        let tensor = Tensor { data, device: [1, 0], ndim, code, bits, lanes: 1, shape, strides, byte_offset: 0 };
        Owner { tensor, manager: Box::into_raw(kept) }
    }
}

unsafe extern "C" fn drop_legacy(managed: *mut Legacy) {
    // SAFETY: DLPack calls the deleter once, with the pointer that `capsule` leaked.
    let managed = unsafe { Box::from_raw(managed) };
    // SAFETY: the manager was leaked by `Owner::new` for this tensor alone.
    drop(unsafe { Box::from_raw(managed.manager) });
}

unsafe extern "C" fn drop_versioned(managed: *mut Versioned) {
    // SAFETY: as in `drop_legacy`.
    let managed = unsafe { Box::from_raw(managed) };
    // SAFETY: as in `drop_legacy`.
    drop(unsafe { Box::from_raw(managed.manager) });
}

/// Wraps a managed tensor; `destroy` runs when the capsule goes.
fn capsule<T>(py: Python<'_>, managed: T, name: &'static CStr, destroy: Destructor) -> PyResult<Py<PyAny>> {
    let pointer = Box::into_raw(Box::new(managed));
    // SAFETY: the pointer is not null, the name is static, and the interpreter is attached.
    let object = unsafe { ffi::PyCapsule_New(pointer.cast(), name.as_ptr(), Some(destroy)) };
    // SAFETY: a new reference, or null with an exception set (out of memory; the tensor then leaks).
    unsafe { Bound::from_owned_ptr_or_err(py, object) }.map(Bound::unbind)
}

type Destructor = unsafe extern "C" fn(*mut ffi::PyObject);

/// The pointer of a capsule that nobody consumed: a consumer renames it.
///
/// # Safety
/// `object` is a capsule, and the interpreter is attached.
unsafe fn unconsumed<T>(object: *mut ffi::PyObject, name: &'static CStr) -> Option<*mut T> {
    // SAFETY: the caller vouches for the object.
    if unsafe { ffi::PyCapsule_IsValid(object, name.as_ptr()) } == 0 {
        return None;
    }
    // SAFETY: valid under this name, as just asked.
    Some(unsafe { ffi::PyCapsule_GetPointer(object, name.as_ptr()) }.cast())
}

unsafe extern "C" fn destroy_legacy(object: *mut ffi::PyObject) {
    // SAFETY: Python calls it with the capsule that `capsule` made, attached.
    if let Some(managed) = unsafe { unconsumed::<Legacy>(object, c"dltensor") } {
        // SAFETY: the capsule holds what `capsule` leaked, and nobody else took it.
        unsafe { drop_legacy(managed) };
    }
}

unsafe extern "C" fn destroy_versioned(object: *mut ffi::PyObject) {
    // SAFETY: as in `destroy_legacy`.
    if let Some(managed) = unsafe { unconsumed::<Versioned>(object, c"dltensor_versioned") } {
        // SAFETY: as in `destroy_legacy`.
        unsafe { drop_versioned(managed) };
    }
}
