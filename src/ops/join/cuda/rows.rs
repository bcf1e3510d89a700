//! Joined rows in device memory: by number, or as runs of matches that are spread a chunk at a time.

use std::sync::Arc;

use arrow::datatypes::{DataType, Field, Schema};

use super::{expand_rows, internal, tiled};
use crate::column::{Batch, Column, DeviceColumn};
use crate::device::{CudaCtx, DeviceBuffer, ExecCtx};
use crate::error::Result;
use crate::ops::gather::cuda::{Gather, Sources, device, on_device};
use crate::ops::join::OP;
use crate::ops::pieces::{self, Piece};

/// The rows that a join gives.
#[derive(Debug)]
pub(in crate::ops::join) enum Rows {
    Listed(Listed),
    Runs(Runs),
}

/// Rows of both sides by number.
#[derive(Debug, Default)]
pub(in crate::ops::join) struct Listed {
    pub(super) len: u64,
    /// `None` for the rows of the probed batch as they are.
    pub(super) left: Option<DeviceBuffer>,
    /// `None` where no column comes from the built side.
    pub(super) right: Option<DeviceBuffer>,
    /// A bit a row.
    pub(super) mark: Option<DeviceBuffer>,
}

/// Each probe row's matches and where they go.
#[derive(Debug)]
pub(in crate::ops::join) struct Runs {
    pub(super) len: u64,
    /// The most of one probe row.
    pub(super) most: u64,
    /// Where each probe row's output begins, and its first match; matches are positions in `order`, or rows.
    pub(super) offsets: DeviceBuffer,
    pub(super) starts: DeviceBuffer,
    pub(super) order: Option<DeviceBuffer>,
}

impl Listed {
    fn none(ctx: &CudaCtx) -> Result<Self> {
        let empty = Some(ctx.allocate(OP, 0)?.freeze());
        Ok(Listed { len: 0, left: empty.clone(), right: empty.clone(), mark: empty })
    }
}

impl Rows {
    pub(super) fn none(ctx: &CudaCtx) -> Result<Self> {
        Ok(Rows::Listed(Listed::none(ctx)?))
    }

    pub(in crate::ops::join) fn len(&self) -> u64 {
        match self {
            Rows::Listed(listed) => listed.len,
            Rows::Runs(runs) => runs.len,
        }
    }

    /// Rows `from` to `from + rows`.
    pub(in crate::ops::join) fn chunk(&self, ctx: &ExecCtx, from: u64, rows: usize) -> Result<Chunk> {
        match self {
            Rows::Runs(runs) => runs.chunk(device(ctx)?, from, rows),
            Rows::Listed(listed) => {
                let part = |buffer: &DeviceBuffer| buffer.slice(4 * from as usize, 4 * rows);
                let (left, right) = (listed.left.as_ref().map(part), listed.right.as_ref().map(part));
                Ok(Chunk { from, rows, left, right, mark: listed.mark.clone() })
            }
        }
    }
}

impl Runs {
    fn chunk(&self, ctx: &CudaCtx, from: u64, rows: usize) -> Result<Chunk> {
        let [mut left, mut right] = [ctx.allocate(OP, 4 * rows)?, ctx.allocate(OP, 4 * rows)?];
        if rows > 0 {
            let (n, count, order) = (self.starts.len() as u64 / 4, rows as u64, self.order.as_ref().into());
            let (offsets, starts) = (self.offsets.input(), self.starts.input());
            let (to_left, to_right) = (left.output(), right.output());
            // SAFETY: `n` offsets and starts of a join that gives `from + count` rows or more, whose matches lie in
            // `order`; the outputs have `count` rows.
            unsafe { expand_rows(ctx, tiled(count), offsets, starts, order, n, from, count, to_left, to_right) }?;
        }
        Ok(Chunk { from, rows, left: Some(left.freeze()), right: Some(right.freeze()), mark: None })
    }
}

/// Rows of both sides by number, as many as one batch takes.
#[derive(Debug)]
pub(in crate::ops::join) struct Chunk {
    from: u64,
    pub(super) rows: usize,
    /// `None` for the probed rows from `from` on.
    left: Option<DeviceBuffer>,
    right: Option<DeviceBuffer>,
    /// A bit for each row of the probed batch.
    pub(super) mark: Option<DeviceBuffer>,
}

impl Chunk {
    /// Numbers of the probe rows, on the host. Waits.
    pub(in crate::ops::join) fn probe_rows(&self, ctx: &ExecCtx) -> Result<Vec<u64>> {
        match &self.left {
            None => Ok((self.from..self.from + self.rows as u64).collect()),
            Some(left) => {
                let numbers = device(ctx)?.download(OP, left)?;
                Ok(numbers.typed_data::<u32>().iter().map(|row| u64::from(*row)).collect())
            }
        }
    }

    /// The left rows of these columns.
    pub(super) fn left_of(&self, ctx: &CudaCtx, schema: &Schema, columns: &[Column]) -> Result<Vec<Column>> {
        let columns = columns.iter().map(on_device).collect::<Result<Vec<_>>>()?;
        let taken = match &self.left {
            Some(left) => self.gathered(ctx, &columns, left, false)?,
            None => {
                let piece = |column| vec![Piece { column, first: self.from as usize, rows: self.rows }];
                match columns.first() {
                    Some(column) if column.len() > self.rows => {
                        pieces::join(ctx, OP, schema, columns.into_iter().map(piece).collect())?
                    }
                    _ => columns.into_iter().cloned().collect(),
                }
            }
        };
        Ok(taken.into_iter().map(Column::from).collect())
    }

    /// The right rows of these columns; with `nullable` there may be rows without one.
    pub(super) fn right_of(&self, ctx: &CudaCtx, columns: &[&Column], nullable: bool) -> Result<Vec<Column>> {
        let columns = columns.iter().map(|column| on_device(column)).collect::<Result<Vec<_>>>()?;
        let right = self.right.as_ref().ok_or_else(|| internal("joined rows without built rows"))?;
        Ok(self.gathered(ctx, &columns, right, nullable)?.into_iter().map(Column::from).collect())
    }

    /// The pairs as a batch of two columns.
    pub(super) fn pairs(&self, ctx: &ExecCtx) -> Result<Batch> {
        let cuda = device(ctx)?;
        let field = |name| Field::new(name, DataType::UInt32, false);
        let schema = Arc::new(Schema::new(vec![field("left"), field("right")]));
        let column = |side: &Option<DeviceBuffer>| {
            let side = side.clone().ok_or_else(|| internal("pairs without a side"))?;
            Ok(DeviceColumn::fixed(cuda, DataType::UInt32, self.rows, None, side)?.into())
        };
        Batch::try_new(schema, vec![column(&self.left)?, column(&self.right)?], self.rows, ctx.placement())
    }

    fn gathered(
        &self,
        ctx: &CudaCtx,
        columns: &[&DeviceColumn],
        sources: &DeviceBuffer,
        nullable: bool,
    ) -> Result<Vec<DeviceColumn>> {
        let sources = Sources { buffer: sources.clone(), rows: self.rows, nullable };
        Gather { ctx, op: OP, sources: &sources }.columns(columns)
    }
}

/// Pairs that met a condition, put together from parts, in which they are batches of two columns.
pub(super) fn listed(ctx: &ExecCtx, parts: &[Batch]) -> Result<Listed> {
    let cuda = device(ctx)?;
    let Some(first) = parts.first() else { return Listed::none(cuda) };
    let side = |side: usize| -> Result<Vec<Piece<'_>>> {
        parts.iter().map(|part| Ok(Piece::whole(on_device(&part.columns()[side])?))).collect()
    };
    let sides = pieces::join(cuda, OP, first.schema(), vec![side(0)?, side(1)?])?;
    let rows = |side: usize| sides[side].buffers().first().cloned();
    Ok(Listed { len: sides[0].len() as u64, left: rows(0), right: rows(1), mark: None })
}
