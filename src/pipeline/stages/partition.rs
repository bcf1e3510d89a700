//! The partition of each row, by the hash of its keys.

use std::sync::Arc;

use arrow::datatypes::{DataType, Field, Schema, SchemaRef};

use crate::column::{Batch, Column, Placement};
use crate::device::ExecCtx;
use crate::error::{Error, Result};
use crate::ops::{HashScheme, partition_ids, partition_ids_plan};
use crate::pipeline::{Bound, Item, Stage};

use super::columns::find;

const OP: &str = "partition";

/// Adds a column with the partition of each row, UInt32: what [`PartitionedSink`](crate::pipeline::PartitionedSink) goes
/// by. On a device only the key columns go there.
pub struct PartitionStage {
    name: String,
    keys: Vec<String>,
    scheme: HashScheme,
    partitions: usize,
    placement: Placement,
}

impl PartitionStage {
    /// A stage on the host that adds the column `name`.
    pub fn new(name: &str, keys: &[&str], scheme: HashScheme, partitions: usize) -> Self {
        let keys = keys.iter().map(|key| key.to_string()).collect();
        PartitionStage { name: name.to_owned(), keys, scheme, partitions, placement: Placement::Host }
    }

    /// Hashes where this context runs.
    pub fn on(mut self, ctx: &ExecCtx) -> Self {
        self.placement = ctx.placement();
        self
    }

    fn keys<'b>(&self, batch: &'b Batch) -> Result<Vec<&'b Column>> {
        self.keys.iter().map(|key| Ok(&batch.columns()[find(OP, batch.schema(), key)?])).collect()
    }
}

impl Stage for PartitionStage {
    fn name(&self) -> &str {
        OP
    }

    fn placement(&self) -> Placement {
        self.placement
    }

    fn schema(&self, input: &SchemaRef) -> Result<SchemaRef> {
        if input.index_of(&self.name).is_ok() {
            let why = "there is a column of that name: rename or drop it, or choose another name for the partitions";
            return Err(Error::invalid_column(OP, &self.name, why));
        }
        // What the operator would refuse of any batch.
        let empty = Batch::from_record_batch(&arrow::array::RecordBatch::new_empty(input.clone()));
        partition_ids_plan(&self.keys(&empty)?, self.scheme, self.partitions)?;
        let added = Arc::new(Field::new(&self.name, DataType::UInt32, false));
        let fields: Vec<_> = input.fields().iter().cloned().chain([added]).collect();
        Ok(Arc::new(Schema::new_with_metadata(fields, input.metadata().clone())))
    }

    fn bound(&self, batch: &Batch) -> Result<Bound> {
        let keys = self.keys(batch)?;
        // On a device the keys are there as well.
        let workspace = match self.placement {
            Placement::Host => 0,
            _ => {
                let plan = partition_ids_plan(&keys, self.scheme, self.partitions)?;
                keys.iter().map(|key| key.nbytes() as u64).sum::<u64>() + plan.workspace + plan.output
            }
        };
        Ok(Bound { workspace, output: batch.nbytes() as u64 + 4 * batch.num_rows() as u64 })
    }

    fn launch(&self, ctx: &ExecCtx, item: Item) -> Result<Item> {
        let batch = item.batch();
        let keys = self.keys(batch)?.into_iter().map(|key| key.to(ctx)).collect::<Result<Vec<_>>>()?;
        let ids = partition_ids(ctx, &keys.iter().collect::<Vec<_>>(), self.scheme, self.partitions)?.to_host()?;
        let columns = batch.columns().iter().cloned().chain([ids]).collect();
        let with_ids = Batch::try_new(self.schema(batch.schema())?, columns, batch.num_rows(), Placement::Host)?;
        item.with_batch(with_ids)
    }

    fn describe(&self) -> String {
        format!("{} of {} by {}", self.scheme, self.partitions, self.keys.join(", "))
    }
}
