//! One column of Arrow data.

use arrow::array::{Array, ArrayRef};
use arrow::datatypes::DataType;

use crate::column::{DeviceColumn, Placement, parts};
use crate::device::ExecCtx;
use crate::error::{Error, Result};

/// An immutable Arrow column on the host or on a device, cheap to clone.
///
/// ```
/// # use std::sync::Arc;
/// use arrow::array::StringArray;
/// use warpline::{Column, ExecCtx};
///
/// let ctx = ExecCtx::auto()?;
/// let names = Column::from_array(Arc::new(StringArray::from(vec!["ada", "grace"])));
/// let there = names.to(&ctx)?; // a copy when `ctx` runs on a device
/// assert_eq!(there.placement(), ctx.placement());
/// assert_eq!(there.nbytes(), 3 * 4 + 8);
/// assert_eq!(there.to_host()?.to_array()?.as_ref(), names.to_array()?.as_ref());
/// # Ok::<(), warpline::Error>(())
/// ```
#[derive(Clone, Debug)]
pub struct Column(Values);

#[derive(Clone, Debug)]
enum Values {
    Host(ArrayRef),
    Device(DeviceColumn),
}

impl From<DeviceColumn> for Column {
    fn from(column: DeviceColumn) -> Self {
        Column(Values::Device(column))
    }
}

impl Column {
    /// Wraps a host array without copying.
    pub fn from_array(array: ArrayRef) -> Self {
        Column(Values::Host(array))
    }

    /// The Arrow type.
    pub fn data_type(&self) -> &DataType {
        match &self.0 {
            Values::Host(array) => array.data_type(),
            Values::Device(column) => column.data_type(),
        }
    }

    /// Number of rows.
    pub fn len(&self) -> usize {
        match &self.0 {
            Values::Host(array) => array.len(),
            Values::Device(column) => column.len(),
        }
    }

    /// Whether there are no rows.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// Where the buffers are.
    pub fn placement(&self) -> Placement {
        match &self.0 {
            Values::Host(_) => Placement::Host,
            Values::Device(column) => column.placement(),
        }
    }

    /// Bytes that the column's rows take in Arrow's layout: of a slice, only its own rows, without padding. For views
    /// this is 16 bytes a row and the smaller of the shared data buffers and the bytes referred to.
    pub fn nbytes(&self) -> usize {
        match &self.0 {
            // Types without a layout here (unions, run-end encoding, list views) count as arrow-rs counts them.
            Values::Host(array) => parts::nbytes(array.as_ref()).unwrap_or_else(|_| array.get_buffer_memory_size()),
            Values::Device(column) => column.nbytes(),
        }
    }

    /// The column where `ctx` runs: itself when it is there already, otherwise a copy.
    ///
    /// # Errors
    /// `Unsupported` for types without an Arrow layout here (unions, run-end encoding, list views), `OutOfMemory` when
    /// the budget of `ctx` is too small.
    ///
    /// # Synchronization
    /// A copy to the host waits for the device; a copy to a device is queued.
    pub fn to(&self, ctx: &ExecCtx) -> Result<Column> {
        if self.placement() == ctx.placement() {
            return Ok(self.clone());
        }
        let host = self.to_host()?;
        match ctx.as_cuda() {
            Some(cuda) => Ok(DeviceColumn::upload(cuda, host.to_array()?.as_ref())?.into()),
            None => Ok(host),
        }
    }

    /// The column in host memory: itself when it is there already, otherwise a copy, for which it waits.
    pub fn to_host(&self) -> Result<Column> {
        match &self.0 {
            Values::Host(_) => Ok(self.clone()),
            Values::Device(column) => Ok(Column::from_array(column.download()?)),
        }
    }

    /// The host array; `WrongDevice` when the column is on a device.
    pub fn to_array(&self) -> Result<ArrayRef> {
        match &self.0 {
            Values::Host(array) => Ok(array.clone()),
            Values::Device(column) => {
                Err(Error::WrongDevice { op: "to_array", expected: Placement::Host, found: column.placement() })
            }
        }
    }

    /// The device column; `None` on the host.
    pub fn as_device(&self) -> Option<&DeviceColumn> {
        match &self.0 {
            Values::Host(_) => None,
            Values::Device(column) => Some(column),
        }
    }
}
