//! One column of Arrow data.

use arrow::array::{Array, ArrayRef};
use arrow::datatypes::DataType;

use crate::column::Placement;
use crate::error::Result;

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

    /// Bytes that the column's rows take in Arrow's layout.
    pub fn nbytes(&self) -> usize {
        self.array.get_buffer_memory_size()
    }

    /// The host array; `WrongDevice` when the column is on a device.
    pub fn to_array(&self) -> Result<ArrayRef> {
        Ok(self.array.clone())
    }
}
