//! One column of Arrow data.

use arrow::array::{Array, ArrayRef};
use arrow::datatypes::DataType;

use crate::column::{Placement, parts};
use crate::device::ExecCtx;
use crate::error::{Error, Result};

/// An immutable Arrow column, cheap to clone.
#[derive(Clone, Debug)]
pub struct Column {
    array: ArrayRef,
}

impl Column {
    /// Wraps a host array without copying.
    pub fn from_array(array: ArrayRef) -> Self {
        Column { array }
    }

    /// The Arrow type.
    pub fn data_type(&self) -> &DataType {
        self.array.data_type()
    }

    /// Number of rows.
    pub fn len(&self) -> usize {
        self.array.len()
    }

    /// Whether there are no rows.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// Where the buffers are.
    pub fn placement(&self) -> Placement {
        Placement::Host
    }

    /// Bytes that the column's rows take in Arrow's layout: of a slice, only its own rows, without padding. For views
    /// this is 16 bytes a row and the smaller of the shared data buffers and the bytes referred to.
    pub fn nbytes(&self) -> usize {
        // Types without a layout here (unions, run-end encoding, list views) count as arrow-rs counts them.
        parts::nbytes(self.array.as_ref()).unwrap_or_else(|_| self.array.get_buffer_memory_size())
    }

    /// The column where `ctx` runs: itself when it is there already, otherwise a copy.
    pub fn to(&self, ctx: &ExecCtx) -> Result<Column> {
        match ctx.placement() {
            Placement::Host => self.to_host(),
            found => Err(Error::WrongDevice { op: "to", expected: Placement::Host, found }),
        }
    }

    /// The column in host memory: itself when it is there already, otherwise a copy.
    pub fn to_host(&self) -> Result<Column> {
        Ok(self.clone())
    }

    /// The host array; `WrongDevice` when the column is on a device.
    pub fn to_array(&self) -> Result<ArrayRef> {
        Ok(self.array.clone())
    }
}
