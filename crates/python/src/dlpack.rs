//! Results as DLPack capsules: PyTorch, JAX, CuPy and NumPy take them without a copy.

use std::ffi::{CStr, c_void};

use arrow::buffer::Buffer;
use pyo3::exceptions::{PyBufferError, PyTypeError, PyValueError};
use pyo3::ffi;
use pyo3::prelude::*;
use pyo3::types::PyBool;
use warpline::Placement;
use warpline::device::{ForeignStream, Loan};
use warpline::image::DType;

use crate::context::detached;
use crate::error::raise;
use crate::memory::{Block, Memory};

/// What a consumer asks of `__dlpack__`.
pub struct Request<'py> {
    pub stream: Option<Bound<'py, PyAny>>,
    pub max_version: Option<(u32, u32)>,
    pub dl_device: Option<(i32, i32)>,
    pub copy: Option<bool>,
}

/// Memory on the host, in DLPack's numbers.
const HOST: (i32, i32) = (1, 0);

/// Where the elements are, in DLPack's numbers: type and number of the device.
pub fn device(placement: Placement) -> (i32, i32) {
    match placement {
        Placement::Host => HOST,
        Placement::Cuda(ordinal) => (2, ordinal as i32),
    }
}

/// A capsule as it was asked for: of version 1 where the consumer takes that, else of the older form, which cannot say
/// that bytes must not be changed.
///
/// Device memory is ready for work that the consumer gives to its stream from here on; a copy to the host is complete.
pub fn export(py: Python<'_>, block: &Block, request: &Request<'_>) -> PyResult<Py<PyAny>> {
    let (block, copied) = placed(py, block, request)?;
    let stream = match block.memory {
        Memory::Host(_) => ForeignStream::Unknown,
        Memory::Device(..) => stream(request.stream.as_ref())?,
    };
    let versioned = request.max_version.is_some_and(|(major, _)| major >= 1);
    if !versioned && !block.writable {
        let why = "these pixels are read-only: take DLPack 1 (max_version=(1, 0)), copy=True, or numpy.array(pixels)";
        return Err(PyBufferError::new_err(why));
    }
    let flags = (u64::from(!block.writable) * FLAG_READ_ONLY) | (u64::from(copied) * FLAG_IS_COPIED);
    // SAFETY: `__dlpack__` is called with a stream that is the consumer's during the call.
    let owner = unsafe { Owner::new(block, stream)? };
    if versioned {
        let managed =
            Versioned { version: [1, 0], manager: owner.manager, deleter: drop_versioned, flags, tensor: owner.tensor };
        capsule(py, managed, c"dltensor_versioned", destroy_versioned)
    } else {
        let managed = Legacy { tensor: owner.tensor, manager: owner.manager, deleter: drop_legacy };
        capsule(py, managed, c"dltensor", destroy_legacy)
    }
}

/// The elements on the device that was asked for, and whether that took a copy.
fn placed(py: Python<'_>, block: &Block, request: &Request<'_>) -> PyResult<(Block, bool)> {
    let here = device(block.placement());
    let there = request.dl_device.unwrap_or(here);
    let copies = there != here;
    if copies && there != HOST {
        let why = format!("the result is on {}: dl_device may be {here:?} or (1, 0), the host", block.placement());
        return Err(PyBufferError::new_err(why));
    }
    if copies && request.copy == Some(false) {
        let why = format!("a copy from {} to the host was asked for with copy=False", block.placement());
        return Err(PyBufferError::new_err(why));
    }
    if !copies && request.copy != Some(true) {
        return Ok((block.clone(), false));
    }
    let copy = detached(py, || if copies { block.to_host() } else { block.copy() })?;
    Ok((Block { writable: true, ..copy }, true))
}

/// The consumer's stream; without one the legacy default stream, as the array API standard has it.
fn stream(stream: Option<&Bound<'_, PyAny>>) -> PyResult<ForeignStream> {
    let Some(stream) = stream else { return Ok(ForeignStream::Legacy) };
    let number = if stream.is_instance_of::<PyBool>() { None } else { stream.extract::<i64>().ok() };
    let number =
        number.ok_or_else(|| PyTypeError::new_err(format!("stream: {stream} is neither None nor an integer")))?;
    ForeignStream::try_from(number).map_err(|error| PyValueError::new_err(error.to_string()))
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
    _memory: Lent,
    /// Lengths of the axes, then their strides.
    axes: Vec<i64>,
}

/// Memory in a consumer's hands. Its end may come on any thread, with the interpreter's lock or without it.
enum Lent {
    Host(Buffer),
    Device(Loan),
}

impl Lent {
    fn pointer(&self) -> *mut c_void {
        match self {
            Lent::Host(bytes) => bytes.as_ptr().cast_mut().cast(),
            Lent::Device(loan) => std::ptr::with_exposed_provenance_mut(loan.pointer() as usize),
        }
    }
}

struct Owner {
    tensor: Tensor,
    manager: *mut Kept,
}

impl Owner {
    /// Leaks the block into a manager that one of the deleters takes back.
    ///
    /// # Safety
    /// A handle must be a live stream of the device's context.
    unsafe fn new(block: Block, stream: ForeignStream) -> PyResult<Self> {
        let (kind, number) = device(block.placement());
        let memory = match block.memory {
            Memory::Host(bytes) => Lent::Host(bytes),
            // SAFETY: forwarded to the caller.
            Memory::Device(buffer, _) => Lent::Device(unsafe { buffer.lend(stream) }.map_err(raise)?),
        };
        let ndim = block.shape.len();
        let mut axes: Vec<i64> = block.shape.iter().map(|length| *length as i64).collect();
        let strides = (0..ndim).map(|axis| block.shape[axis + 1..].iter().product::<usize>() as i64);
        axes.extend(strides.collect::<Vec<_>>());
        let data = memory.pointer();
        let mut kept = Box::new(Kept { _memory: memory, axes });
        let (code, bits) = match block.dtype {
            DType::F32 => (2, 32),
            DType::F16 => (2, 16),
            DType::BF16 => (4, 16),
            DType::U8 => (1, 8),
        };
        let shape = kept.axes.as_mut_ptr();
        let strides = shape.wrapping_add(ndim);
        let device = [kind, number];
        let tensor = Tensor { data, device, ndim: ndim as i32, code, bits, lanes: 1, shape, strides, byte_offset: 0 };
        Ok(Owner { tensor, manager: Box::into_raw(kept) })
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
