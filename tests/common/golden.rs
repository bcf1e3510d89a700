//! Golden tables: what others make of the same input, pyarrow above all (`tests/golden/make_moves.py`).

use arrow::array::RecordBatch;
use arrow::compute::concat_batches;
use parquet::arrow::arrow_reader::ParquetRecordBatchReaderBuilder;
use warpline::{Batch, ExecCtx};

use super::cells::cells;

/// A file of `tests/golden` as one batch.
pub fn table(name: &str) -> RecordBatch {
    let path = super::root().join("tests/golden").join(name);
    let file = std::fs::File::open(&path).unwrap_or_else(|e| panic!("{}: {e}", path.display()));
    let reader = ParquetRecordBatchReaderBuilder::try_new(file).and_then(|builder| builder.build()).expect("Parquet");
    let batches = reader.collect::<Result<Vec<_>, _>>().expect("batches");
    let schema = batches.first().expect("a batch").schema();
    concat_batches(&schema, &batches).expect("one schema")
}

/// `tests/golden/moves_<name>.parquet`.
pub fn moves(name: &str) -> Batch {
    Batch::from_record_batch(&table(&format!("moves_{name}.parquet")))
}

/// Fails unless `ours` holds the golden table's values in the columns that it has.
#[track_caller]
pub fn assert_golden(name: &str, ctx: &ExecCtx, ours: &Batch) {
    let golden = moves(name);
    let ours = ours.to_host().expect("download");
    for (field, theirs) in golden.schema().fields().iter().zip(golden.columns()) {
        let ours = ours.column(field.name()).expect("a column of that name");
        let cells = |column: &warpline::Column| cells(&column.to_array().expect("host"));
        assert_eq!(cells(ours), cells(theirs), "{} on {}", field.name(), ctx.placement());
    }
}
