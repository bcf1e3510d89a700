//! Concat on a device: whole columns as pieces.

use arrow::datatypes::Schema;

use crate::column::{Batch, Column};
use crate::device::ExecCtx;
use crate::error::Result;
use crate::ops::gather::cuda::{device, on_device};
use crate::ops::pieces::{Piece, join};

use super::OP;

/// See [`super::concat`].
pub(super) fn concat(ctx: &ExecCtx, schema: &Schema, batches: &[Batch]) -> Result<Vec<Column>> {
    let pieces =
        |column: usize| batches.iter().map(move |batch| Ok(Piece::whole(on_device(&batch.columns()[column])?)));
    let pieces = (0..schema.fields().len()).map(|column| pieces(column).collect::<Result<Vec<_>>>());
    let columns = join(device(ctx)?, OP, schema, pieces.collect::<Result<_>>()?)?;
    Ok(columns.into_iter().map(Column::from).collect())
}
