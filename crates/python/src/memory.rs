//! Results' memory, on the host or a device, and the host's as NumPy and Pillow see it: the array interface.

use arrow::buffer::Buffer;
use pyo3::exceptions::{PyAttributeError, PyTypeError};
use pyo3::prelude::*;
use pyo3::types::{PyDict, PyTuple};
use warpline::device::DeviceBuffer;
use warpline::image::DType;
use warpline::{ExecCtx, Placement, Result};

/// Bytes, and how to get at those on a device.
#[derive(Clone, Debug)]
pub enum Memory {
    Host(Buffer),
    /// In the memory of the context's device.
    Device(DeviceBuffer, ExecCtx),
}

/// Elements in row-major order.
#[derive(Clone, Debug)]
pub struct Block {
    pub memory: Memory,
    pub dtype: DType,
    pub shape: Vec<usize>,
    /// Whether nothing else reads these bytes, so that a consumer may change them.
    pub writable: bool,
}

impl Block {
    pub fn placement(&self) -> Placement {
        match &self.memory {
            Memory::Host(_) => Placement::Host,
            Memory::Device(_, ctx) => ctx.placement(),
        }
    }

    /// The same elements on the host: a copy, for which it waits, where they are on a device.
    pub fn to_host(&self) -> Result<Block> {
        match &self.memory {
            Memory::Host(_) => Ok(self.clone()),
            Memory::Device(buffer, ctx) => {
                // Without a device side there is no buffer on a device.
                let cuda = ctx.as_cuda().ok_or(warpline::Error::NoDriver)?;
                Ok(Block { memory: Memory::Host(cuda.download("to_host", buffer)?), ..self.clone() })
            }
        }
    }

    /// A copy where the elements are, which nobody else has.
    pub fn copy(&self) -> Result<Block> {
        let memory = match &self.memory {
            Memory::Host(bytes) => Memory::Host(Buffer::from(bytes.as_slice())),
            Memory::Device(buffer, ctx) => {
                let cuda = ctx.as_cuda().ok_or(warpline::Error::NoDriver)?;
                Memory::Device(cuda.duplicate("copy", buffer)?, ctx.clone())
            }
        };
        Ok(Block { memory, writable: true, ..self.clone() })
    }

    /// The array interface, version 3. bfloat16, which NumPy lacks, is told as its bits, unsigned 16-bit integers.
    ///
    /// On a device there is no such attribute, so that NumPy goes on to `__array__`, which says why.
    pub fn array_interface<'py>(&self, py: Python<'py>) -> PyResult<Bound<'py, PyDict>> {
        let Memory::Host(bytes) = &self.memory else {
            return Err(PyAttributeError::new_err("__array_interface__: not on the host"));
        };
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
        interface.set_item("data", (bytes.as_ptr() as usize, !self.writable))?;
        Ok(interface)
    }
}

/// Refuses what would copy from a device without being asked to.
pub fn refuse_device(placement: Placement) -> PyResult<()> {
    match placement {
        Placement::Host => Ok(()),
        Placement::Cuda(_) => {
            let why = format!("the result is on {placement}: copy it with to_host() or numpy(), or share it by DLPack");
            Err(PyTypeError::new_err(why))
        }
    }
}
