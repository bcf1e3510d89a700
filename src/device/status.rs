//! The status word: the lowest failing row of an operator, written by its kernels.

use crate::device::buffer::DeviceBufferMut;
use crate::device::context::CudaCtx;
use crate::error::Result;

/// A device word that kernels lower to a failing row by `atomicMin`.
#[derive(Debug)]
pub(crate) struct StatusWord {
    /// The 64-bit word, for the kernel's `status` argument.
    pub(crate) word: DeviceBufferMut,
}

impl StatusWord {
    /// A word that says "no row failed".
    pub(crate) fn new(ctx: &CudaCtx, op: &str) -> Result<Self> {
        Ok(StatusWord { word: ctx.upload_mut(op, &u64::MAX.to_le_bytes())? })
    }

    /// The lowest failing row. Waits for the stream.
    pub(crate) fn first_failure(self, ctx: &CudaCtx, op: &str) -> Result<Option<u64>> {
        let mut bytes = [0; 8];
        ctx.download_into(op, &self.word.freeze(), &mut bytes)?;
        Ok(Some(u64::from_le_bytes(bytes)).filter(|&row| row != u64::MAX))
    }
}
