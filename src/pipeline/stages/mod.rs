//! The stages that come with the library, and the [`Pipeline`] methods that add them.

mod columns;
mod decode;
mod filter;
mod image_to_tensor;
mod infer;
mod join;
mod partition;
mod partitioned_join;
mod preprocess;

use arrow::array::RecordBatch;
use arrow::datatypes::SchemaRef;

use crate::error::Result;
use crate::image::Preprocess;
use crate::image::jpeg_decode::DecodeOptions;
use crate::infer::Model;
use crate::ops::HashScheme;
use crate::ops::expr::Expr;
use crate::ops::join::{JoinOptions, Spill};
use crate::pipeline::Pipeline;

pub use columns::SelectStage;
pub(super) use columns::find;
pub use decode::DecodeStage;
pub use filter::FilterStage;
pub use image_to_tensor::ImageToTensorStage;
pub use infer::InferStage;
pub use join::JoinStage;
pub use partition::PartitionStage;
pub use partitioned_join::PartitionedJoinStage;
pub use preprocess::PreprocessStage;

impl Pipeline {
    /// Keeps the rows for which a SQL condition is true, such as `width >= 224 AND label IS NOT NULL`; see
    /// [`Expr`](crate::ops::expr::Expr) for what it may hold. On the pipeline's device where it has one.
    ///
    /// # Errors
    /// `InvalidInput` for a condition that does not parse, or does not fit the schema.
    pub fn filter(self, condition: &str) -> Result<Self> {
        let stage = FilterStage::new(Expr::parse(condition)?);
        let stage = match self.context() {
            Some(ctx) => stage.on(ctx),
            None => stage,
        };
        self.stage(stage)
    }

    /// Joins a table in memory on columns of the same names; see [`HashJoin`](crate::ops::join::HashJoin). The rows of
    /// the pipeline are the left side. On the pipeline's device where it has one that can and has room for it, else on the
    /// host; [`explain`](Self::explain) says where and why. The table is held for the whole run and counts against the
    /// budget.
    ///
    /// Right, full, right semi and right anti joins give rows of the table after the last batch. A
    /// [`JoinType`](crate::ops::join::JoinType) alone says which rows are kept; [`JoinOptions`] also carry a residual
    /// condition, which a pair with equal keys must meet too, and whether null keys match.
    ///
    /// # Errors
    /// As [`HashJoin::build`](crate::ops::join::HashJoin::build).
    pub fn join(self, table: &[RecordBatch], on: &[&str], options: impl Into<JoinOptions>) -> Result<Self> {
        let stage = JoinStage::of_table(self.context(), table, on, self.schema(), options.into())?;
        self.stage(stage)
    }

    /// [`join`](Self::join) with a table that need not fit in memory, which comes in batches of this schema: the table is
    /// read here, and partitioned to memory and files. The rows of the pipeline are collected alike, and the joined rows
    /// follow the last of them, in the order of [`join`](Self::join); see
    /// [`PartitionedJoin`](crate::ops::join::PartitionedJoin) for the method and what it costs. A quarter more than the
    /// [`Spill`]'s memory counts against the budget for the whole run; on a device, what a partition takes there does not.
    ///
    /// # Errors
    /// Those of the table's batches; as [`PartitionedJoin::new`](crate::ops::join::PartitionedJoin::new) and
    /// [`PartitionedJoin::build`](crate::ops::join::PartitionedJoin::build).
    pub fn join_partitioned(
        self,
        table_schema: &SchemaRef,
        table: impl IntoIterator<Item = Result<RecordBatch>>,
        on: &[&str],
        options: impl Into<JoinOptions>,
        spill: Spill,
    ) -> Result<Self> {
        let table = (table_schema, table);
        let stage = PartitionedJoinStage::of_table(self.context(), table, on, self.schema(), options.into(), spill)?;
        self.stage(stage)
    }

    /// Adds a column of this name with the partition of each row, UInt32, by the hash of these columns; see
    /// [`partition_ids`](crate::ops::partition_ids). On the pipeline's device where it has one.
    ///
    /// # Errors
    /// `InvalidInput` when a key is missing, when there is a column of that name, and for a number of partitions that
    /// there cannot be; `Unsupported` for a type that the scheme does not hash.
    pub fn partition_ids(self, name: &str, keys: &[&str], scheme: HashScheme, partitions: usize) -> Result<Self> {
        let stage = PartitionStage::new(name, keys, scheme, partitions);
        let stage = match self.context() {
            Some(ctx) => stage.on(ctx),
            None => stage,
        };
        self.stage(stage)
    }

    /// Decodes, resizes, crops and normalises a column of encoded images into a tensor column of the same name. With a
    /// device all of it happens there in one stage, and pixels never come to the host; without one, as
    /// [`decode_image`](Self::decode_image) and [`preprocess`](Self::preprocess).
    ///
    /// # Errors
    /// As those two.
    pub fn image_to_tensor(self, column: &str, options: DecodeOptions, what: Preprocess) -> Result<Self> {
        match self.context().filter(|ctx| ctx.as_cuda().is_some()).cloned() {
            Some(ctx) => self.stage(ImageToTensorStage::new(column, options, what, &ctx)),
            None => self.decode_image(column, options)?.preprocess(column, what),
        }
    }

    /// Turns a column of encoded images into one of RGB images, on the host. Rows that cannot be decoded are errors.
    ///
    /// # Errors
    /// `InvalidInput` when the column is missing or holds no bytes.
    pub fn decode_image(self, column: &str, options: DecodeOptions) -> Result<Self> {
        self.stage(DecodeStage::new(column, options))
    }

    /// Resizes, crops and normalises a column of RGB images into a tensor column of the same name. On the pipeline's
    /// device where it has one.
    ///
    /// # Errors
    /// `InvalidInput` when the column is missing or holds no images, and when `what` leaves the size of the tensor open.
    pub fn preprocess(self, column: &str, what: Preprocess) -> Result<Self> {
        let stage = PreprocessStage::new(column, what);
        let stage = match self.context() {
            Some(ctx) => stage.on(ctx),
            None => stage,
        };
        self.stage(stage)
    }

    /// Runs a model over a tensor column, whose place the model's outputs take. On the host.
    ///
    /// # Errors
    /// As [`Model::schema`].
    pub fn infer(self, column: &str, model: Model) -> Result<Self> {
        self.stage(InferStage::new(column, model))
    }

    /// Keeps only these columns, in this order.
    ///
    /// # Errors
    /// `InvalidInput` when one is missing.
    pub fn select(self, columns: &[&str]) -> Result<Self> {
        self.stage(SelectStage::new(columns))
    }
}
