//! Rows for which a condition is true.

use std::sync::{Arc, OnceLock};

use arrow::array::{Array, BooleanArray};
use arrow::buffer::BooleanBuffer;
use arrow::datatypes::SchemaRef;

use crate::column::{Batch, Column, Placement};
use crate::device::ExecCtx;
use crate::error::{Error, Result};
use crate::ops::expr::{Expr, Predicate};
use crate::ops::{filter, filter_where_masked, filter_where_plan};
use crate::pipeline::{Bound, Item, Stage};

/// Filters by an expression, where the stage is placed. What a device cannot evaluate is evaluated on the host, where the
/// batch is; its rows are still moved on the device.
pub struct FilterStage {
    expr: Expr,
    predicate: OnceLock<Predicate>,
    placement: Placement,
}

impl FilterStage {
    /// A filter on the host.
    pub fn new(expr: Expr) -> Self {
        FilterStage { expr, predicate: OnceLock::new(), placement: Placement::Host }
    }

    /// Moves rows where this context runs.
    pub fn on(mut self, ctx: &ExecCtx) -> Self {
        self.placement = ctx.placement();
        self
    }

    fn predicate(&self, schema: &SchemaRef) -> Result<&Predicate> {
        if let Some(predicate) = self.predicate.get() {
            return Ok(predicate);
        }
        let bound = self.expr.bind(schema)?;
        Ok(self.predicate.get_or_init(|| bound))
    }
}

impl Stage for FilterStage {
    fn name(&self) -> &str {
        "filter"
    }

    fn placement(&self) -> Placement {
        self.placement
    }

    fn schema(&self, input: &SchemaRef) -> Result<SchemaRef> {
        self.predicate(input)?;
        Ok(input.clone())
    }

    fn bound(&self, batch: &Batch) -> Result<Bound> {
        let bytes = batch.nbytes() as u64;
        // On a device the batch is there as well, and its selection on both sides; the mask is on both, too.
        let copies = match self.placement {
            Placement::Host => 0,
            _ => {
                let plan = filter_where_plan(batch, self.predicate(batch.schema())?);
                bytes + plan.map_or(bytes, |plan| plan.workspace + plan.output)
            }
        };
        Ok(Bound { workspace: copies + batch.num_rows() as u64, output: bytes })
    }

    fn launch(&self, ctx: &ExecCtx, item: Item) -> Result<Item> {
        let batch = item.batch();
        if ctx.placement() != Placement::Host {
            match filter_where_masked(ctx, &batch.to(ctx)?, self.predicate(batch.schema())?) {
                Ok((kept, _)) if kept.num_rows() == batch.num_rows() => return Ok(item),
                Ok((kept, keep)) => return item.filtered(kept.to_host()?, &keep),
                Err(Error::Unsupported { .. }) => {}
                Err(error) => return Err(error),
            }
        }
        let mask = self.predicate(batch.schema())?.evaluate(&batch.to_record_batch()?)?;
        let keep = selected(&mask);
        if keep.count_set_bits() == batch.num_rows() {
            return Ok(item);
        }
        let mask = Column::from_array(Arc::new(BooleanArray::new(keep.clone(), None)));
        let kept = filter(ctx, &batch.to(ctx)?, &mask.to(ctx)?)?.to_host()?;
        item.filtered(kept, &keep)
    }

    fn copies(&self, input: u64) -> (u64, u64) {
        if self.placement == Placement::Host { (0, 0) } else { (input, input) }
    }

    fn describe(&self) -> String {
        self.expr.to_string()
    }
}

/// True and valid.
fn selected(mask: &BooleanArray) -> BooleanBuffer {
    match mask.nulls() {
        Some(nulls) => mask.values() & nulls.inner(),
        None => mask.values().clone(),
    }
}
