//! Golden tables: what pyarrow makes of the same input (`tests/golden/make_moves.py`).

use arrow::compute::concat_batches;
use parquet::arrow::arrow_reader::ParquetRecordBatchReaderBuilder;
use warpline::{Batch, ExecCtx};

use super::cells::cells;

/// `tests/golden/moves_<name>.parquet` as one batch.
pub fn moves(name: &str) -> Batch {
    let path = super::root().join(format!("tests/golden/moves_{name}.parquet"));
    let file = std::fs::File::open(&path).unwrap_or_else(|e| panic!("{}: {e}", path.display()));
    let reader = ParquetRecordBatchReaderBuilder::try_new(file).and_then(|builder| builder.build()).expect("Parquet");
    let batches = reader.collect::<Result<Vec<_>, _>>().expect("batches");
    let schema = batches.first().expect("a batch").schema();
    Batch::from_record_batch(&concat_batches(&schema, &batches).expect("one schema"))
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
