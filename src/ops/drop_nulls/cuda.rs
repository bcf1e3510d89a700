//! The mask of rows without nulls on a device.

use arrow::datatypes::DataType;

use crate::column::layout::{Layout, bit_bytes};
use crate::column::{Column, DeviceColumn};
use crate::device::kernels::entries::drop_nulls as entries;
use crate::device::launch::kernel;
use crate::device::{ExecCtx, Grid, In, Out};
use crate::error::Result;
use crate::ops::gather::cuda::{device, on_device};
use crate::ops::keys::{KeyKind, Reading, key_table, values_type};

use super::{OP, check_dictionary, is_mask};

/// Threads of every block here; `Policy::kThreads` of the kernel.
const THREADS: u32 = 256;

kernel! {
    /// The rows in which no column of a table of `KeyColumn`s is null.
    fn mask_rows[entries::MASK](table: In<'_, u64>, columns: u32, n: u64, mask: Out<'_, u32>);
}

/// The rows in which no column is null; at least one of them can have nulls.
pub(super) fn mask(ctx: &ExecCtx, columns: &[&Column], rows: usize) -> Result<Column> {
    let cuda = device(ctx)?;
    if let [column] = columns
        && is_mask(column)?
        && let Some(bits) = on_device(column)?.validity()
    {
        return Ok(DeviceColumn::fixed(cuda, DataType::Boolean, rows, None, bits.clone())?.into());
    }
    columns.iter().try_for_each(|column| check_dictionary(column))?;
    let keys = columns.iter().map(|column| Ok((on_device(column)?, reading(column)?))).collect::<Result<Vec<_>>>()?;
    let (guards, table) = key_table(cuda, OP, &keys)?;
    let mut mask = cuda.allocate(OP, bit_bytes(rows))?;
    let grid = Grid::strided(rows as u64, THREADS);
    // SAFETY: the table's columns have `rows` rows, and the mask as many bits in whole words.
    unsafe { mask_rows(cuda, grid, table.input(), keys.len() as u32, rows as u64, mask.output()) }?;
    drop(guards);
    Ok(DeviceColumn::fixed(cuda, DataType::Boolean, rows, None, mask.freeze())?.into())
}

/// How the kernel reads a column: not its values, but whether there can be any.
fn reading(column: &Column) -> Result<Reading> {
    let kind = match Layout::of(values_type(column.data_type()))? {
        Layout::Null => KeyKind::Null,
        _ => KeyKind::Fixed,
    };
    Ok(Reading { kind, width: 1, form: 0, out_width: 0 })
}
