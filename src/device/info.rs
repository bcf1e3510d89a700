//! What a device is and offers.

use std::sync::Arc;

use cudarc::driver::{CudaContext, sys};
use serde::Serialize;

use crate::device::driver::check;
use crate::error::Result;

/// Properties of a CUDA device, read once when it is opened.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct DeviceInfo {
    /// The driver's index of the device.
    pub ordinal: usize,
    /// Product name.
    pub name: String,
    /// Compute capability, major and minor.
    pub compute_capability: (u32, u32),
    /// Streaming multiprocessors.
    pub multiprocessors: u32,
    /// Device memory in bytes.
    pub total_memory: u64,
    /// L2 cache in bytes.
    pub l2_cache: u64,
    /// Shared memory that one block may opt into, in bytes.
    pub shared_memory_per_block: u32,
    /// Core clock in kHz, as the driver rates it.
    pub clock_khz: u32,
    /// Whether this is Warpline's emulator, a test device: `auto` never chooses it, and benchmarks refuse it.
    pub emulated: bool,
}

impl DeviceInfo {
    pub(crate) fn query(context: &Arc<CudaContext>) -> Result<Self> {
        use sys::CUdevice_attribute as A;
        const OP: &str = "device properties";
        let attribute = |which| check(OP, context.attribute(which)).map(|value| value.max(0) as u32);
        let name = check(OP, context.name())?;
        Ok(DeviceInfo {
            ordinal: context.ordinal(),
            emulated: name.starts_with("Warpline emulator"),
            name,
            compute_capability: (
                attribute(A::CU_DEVICE_ATTRIBUTE_COMPUTE_CAPABILITY_MAJOR)?,
                attribute(A::CU_DEVICE_ATTRIBUTE_COMPUTE_CAPABILITY_MINOR)?,
            ),
            multiprocessors: attribute(A::CU_DEVICE_ATTRIBUTE_MULTIPROCESSOR_COUNT)?,
            total_memory: check(OP, context.total_mem())? as u64,
            l2_cache: attribute(A::CU_DEVICE_ATTRIBUTE_L2_CACHE_SIZE)?.into(),
            shared_memory_per_block: attribute(A::CU_DEVICE_ATTRIBUTE_MAX_SHARED_MEMORY_PER_BLOCK_OPTIN)?,
            clock_khz: attribute(A::CU_DEVICE_ATTRIBUTE_CLOCK_RATE)?,
        })
    }
}
