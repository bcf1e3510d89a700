//! DataFusion's physical plans on one thread, over batches of the size that it works in.

use std::sync::Arc;

use arrow::array::RecordBatch;
use datafusion_execution::TaskContext;
use datafusion_physical_plan::ExecutionPlan;
use datafusion_physical_plan::execution_plan::collect_partitioned;
use datafusion_physical_plan::test::TestMemoryExec;
use tokio::runtime::{Builder, Runtime};

/// One thread, and DataFusion's settings as they come.
pub struct DataFusion {
    runtime: Runtime,
    context: Arc<TaskContext>,
}

impl DataFusion {
    pub fn new() -> Self {
        let runtime = Builder::new_current_thread().build().expect("a runtime");
        DataFusion { runtime, context: Arc::new(TaskContext::default()) }
    }

    /// The output, partition by partition.
    pub fn run(&self, plan: Arc<dyn ExecutionPlan>) -> Vec<Vec<RecordBatch>> {
        self.runtime.block_on(collect_partitioned(plan, self.context.clone())).expect("an output")
    }
}

/// A table as DataFusion reads it, 8,192 rows at a time.
pub fn pieces(table: &RecordBatch) -> Vec<RecordBatch> {
    let piece = |at| table.slice(at, (table.num_rows() - at).min(8192));
    (0..table.num_rows()).step_by(8192).map(piece).collect()
}

/// A plan that gives these batches.
pub fn source(batches: &[RecordBatch]) -> Arc<dyn ExecutionPlan> {
    TestMemoryExec::try_new_exec(&[batches.to_vec()], batches[0].schema(), None).expect("a source")
}
