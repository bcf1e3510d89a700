//! Hashes on a device.

use crate::column::layout::bit_bytes;
use crate::column::{Column, DeviceColumn};
use crate::device::kernels::entries::hash as entries;
use crate::device::launch::kernel;
use crate::device::{ExecCtx, Grid, In, Out};
use crate::error::Result;
use crate::ops::gather::cuda::{device, on_device};
use crate::ops::keys::{Reading, key_table};

use super::{HashScheme, OP};

/// Threads of every block here; `Policy::kThreads` of the kernel.
const THREADS: u32 = 256;

kernel! {
    /// Hashes of rows of a table of `KeyColumn`s.
    fn rows[entries::ROWS](
        table: In<'_, u64>, columns: u32, scheme: u32, n: u64, out: Out<'_, u8>, out_validity: Out<'_, u32>,
    );
}

/// See [`super::hash`].
pub(super) fn hash(ctx: &ExecCtx, columns: &[&Column], readings: &[Reading], scheme: HashScheme) -> Result<Column> {
    let cuda = device(ctx)?;
    let keys = columns.iter().zip(readings).map(|(column, reading)| Ok((on_device(column)?, *reading)));
    let keys = keys.collect::<Result<Vec<_>>>()?;
    let n = columns[0].len();
    let mut out = cuda.allocate(OP, n * scheme.width())?;
    let (column, _) = keys[0];
    let nullable = column.validity().is_some() || column.children().iter().any(|values| values.validity().is_some());
    let mut validity = None;
    if scheme == HashScheme::Iceberg && nullable {
        validity = Some(cuda.allocate(OP, bit_bytes(n))?);
    }
    if n > 0 {
        let (_guards, table) = key_table(cuda, OP, &keys)?;
        let grid = Grid::strided(n as u64, THREADS);
        let to_validity = validity.as_mut().map_or(Out::absent(), |validity| validity.output());
        let (columns, scheme) = (keys.len() as u32, scheme as u32);
        // SAFETY: the table's columns have `n` rows, the output a hash for each, the bitmap a bit for each in whole words.
        unsafe { rows(cuda, grid, table.input(), columns, scheme, n as u64, out.output(), to_validity) }?;
    }
    let validity = validity.map(|validity| validity.freeze());
    Ok(DeviceColumn::fixed(cuda, scheme.data_type(), n, validity, out.freeze())?.into())
}
