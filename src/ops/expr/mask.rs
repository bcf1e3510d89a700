//! A predicate where its batch is: the host twin, or one kernel that is written for it.

use std::sync::Arc;

use arrow::array::RecordBatch;

use super::cuda::{self, columns_of};
use super::emit::{OP, Program};
use super::eval::Predicate;
use crate::column::{Batch, Column, DeviceColumn};
use crate::device::{ExecCtx, MemoryPlan};
use crate::error::{Error, Result};

impl Predicate {
    /// The selection mask of a batch where `ctx` runs: a column of booleans, null where the condition is unknown.
    ///
    /// On a device the whole condition is one kernel, whose PTX is written here and compiled by the driver at its first
    /// use. Conditions that differ in their literals alone share it, and so do batches of equal types whose columns agree
    /// in which have a validity bitmap.
    ///
    /// ```
    /// # use std::sync::Arc;
    /// use arrow::array::{ArrayRef, AsArray, BooleanArray, Int32Array, RecordBatch};
    /// use warpline::{Batch, ExecCtx, ops::expr::Expr};
    ///
    /// let ctx = ExecCtx::host(0)?;
    /// let width: ArrayRef = Arc::new(Int32Array::from(vec![Some(100), Some(300), None]));
    /// let batch = Batch::from_record_batch(&RecordBatch::try_from_iter([("width", width)])?).to(&ctx)?;
    /// let predicate = Expr::parse("width >= 224")?.bind(batch.schema())?;
    /// let mask = predicate.mask(&ctx, &batch)?.to_host()?.to_array()?;
    /// assert_eq!(mask.as_boolean(), &BooleanArray::from(vec![Some(false), Some(true), None]));
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    ///
    /// # Errors
    /// As [`Predicate::evaluate`], with the same text: the failing row alone is copied to the host for it. `WrongDevice`
    /// when the batch is not where `ctx` runs, `InvalidInput` when its types are not those that the predicate was bound to,
    /// and on a device `Unsupported`, naming the construct, for what it cannot do: anything but
    /// `IS NULL` of nested types.
    ///
    /// # Synchronization
    /// On a device, none where no row can fail; else it waits once, to learn whether one did.
    ///
    /// # Cost
    /// On the host as [`Predicate::evaluate`]. On a device one launch that reads each column once and writes 1/8 byte a
    /// row, twice with nulls; literals of text, lists and view columns add a copy of a few bytes to the device. A value that
    /// is printed as text takes 8 to 40 bytes of workspace a row.
    pub fn mask(&self, ctx: &ExecCtx, batch: &Batch) -> Result<Column> {
        ctx.expect(OP, batch.placement())?;
        let rows = batch.num_rows();
        let Some(cuda) = ctx.as_cuda().filter(|_| rows > 0) else {
            return Column::from_array(Arc::new(ctx.pool().install(|| self.evaluate_here(batch))?)).to(ctx);
        };
        let columns = columns_of(batch)?;
        let program = self.programs.evaluate(&[&self.root], &columns)?;
        match cuda::evaluate(cuda, &program, &columns, rows)? {
            Ok(mut masks) => {
                let missing = || Error::Internal { op: OP, why: "no mask came back".to_owned() };
                masks.pop().ok_or_else(missing)
            }
            Err(row) => Err(self.explain(ctx, batch, row)),
        }
    }

    /// The PTX of the kernel by which [`crate::ops::filter_where`] selects rows of such a batch on a device, for reading and
    /// for tools; no device is needed.
    ///
    /// # Errors
    /// `Unsupported` as [`Predicate::mask`] on a device.
    pub fn ptx(&self, batch: &Batch) -> Result<String> {
        self.programs.text(&self.root, batch)
    }

    /// On the host, a batch that is there or that has no rows.
    fn evaluate_here(&self, batch: &Batch) -> Result<arrow::array::BooleanArray> {
        match batch.num_rows() {
            0 => self.evaluate(&RecordBatch::new_empty(batch.schema().clone())),
            _ => self.evaluate(&batch.to_record_batch()?),
        }
    }

    /// The kernel that selects rows of these columns.
    pub(in crate::ops) fn selection(&self, columns: &[&DeviceColumn]) -> Result<Arc<Program>> {
        self.programs.select(&self.root, columns)
    }

    /// Bytes that [`crate::ops::filter_where`] holds for literals, view columns and text while its kernel is queued.
    pub(in crate::ops) fn launch_bytes(&self, batch: &Batch) -> Result<u64> {
        self.programs.launch_bytes(&self.root, batch)
    }

    /// What [`Predicate::mask`] takes for so many rows of such columns on a device.
    pub(in crate::ops) fn mask_plan(&self, columns: &[&Column], rows: usize) -> Result<MemoryPlan> {
        self.programs.plan(&[&self.root], columns, rows)
    }

    /// The host twin's error for a row that failed on the device.
    pub(in crate::ops) fn explain(&self, ctx: &ExecCtx, batch: &Batch, row: u64) -> Error {
        cuda::explain(ctx, batch, row, |one| self.evaluate(one).map(drop))
    }
}
