//! Filter, select lists, hash partition and join on one host thread beside DataFusion, whose outputs are the same rows. Throughput counts what must move, as in the library's own benches.

use std::hint::black_box;
use std::sync::Arc;

use arrow::array::{ArrayRef, Int64Array, RecordBatch};
use arrow::compute::{concat_batches, sort};
use arrow::datatypes::DataType;
use criterion::{BenchmarkId, Criterion, Throughput};
use datafusion_common::NullEquality;
use datafusion_expr::Operator;
use datafusion_physical_expr::PhysicalExpr;
use datafusion_physical_expr::expressions::{binary, case, cast, col, lit};
use datafusion_physical_plan::filter::FilterExec;
use datafusion_physical_plan::joins::{HashJoinExec, PartitionMode};
use datafusion_physical_plan::projection::ProjectionExec;
use datafusion_physical_plan::repartition::RepartitionExec;
use datafusion_physical_plan::{ExecutionPlan, Partitioning};
use warpline::ops::expr::{Expr, Select};
use warpline::ops::join::{HashJoin, JoinType};
use warpline::ops::{HashScheme, filter_where, hash_partition};
use warpline::{Batch, ExecCtx};

use crate::datafusion::{DataFusion, pieces, source};

const ROWS: usize = 1_000_000;

/// Knuth's MMIX generator (TAOCP 2, 3.3.4), of which the upper bits are used.
fn numbers_from(seed: u64) -> impl FnMut() -> i64 {
    let mut state = seed;
    move || {
        state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        (state >> 33) as i64
    }
}

/// Columns of i64 below 1,000, without nulls.
fn numbers(columns: usize) -> RecordBatch {
    let mut next = numbers_from(1);
    let mut column =
        |i| (format!("c{i}"), Arc::new(Int64Array::from_iter_values((0..ROWS).map(|_| next() % 1000))) as ArrayRef);
    RecordBatch::try_from_iter((0..columns).map(&mut column).collect::<Vec<_>>()).expect("a table")
}

fn binary_of(rows: &RecordBatch, left: &str, op: Operator, right: Arc<dyn PhysicalExpr>) -> Arc<dyn PhysicalExpr> {
    let schema = rows.schema();
    binary(col(left, &schema).expect("a column"), op, right, &schema).expect("an expression")
}

fn same(table: &RecordBatch, batches: &[RecordBatch]) {
    let theirs = concat_batches(&batches[0].schema(), batches).expect("one batch");
    assert_eq!(table.columns(), theirs.columns());
}

fn filter(criterion: &mut Criterion, host: &ExecCtx, datafusion: &DataFusion) {
    for columns in [1, 9] {
        let table = numbers(columns);
        let (batch, batches) = (Batch::from_record_batch(&table), pieces(&table));
        let mut group = criterion.benchmark_group(format!("filter_where/i64x{columns}/1M rows"));
        for percent in [1_i64, 10, 50, 90] {
            let condition = Expr::parse(&format!("c0 < {}", percent * 10)).and_then(|e| e.bind(batch.schema()));
            let condition = condition.expect("it binds");
            let predicate = binary_of(&table, "c0", Operator::Lt, lit(percent * 10));
            let plan = || Arc::new(FilterExec::try_new(predicate.clone(), source(&batches)).expect("a plan"));
            let kept = filter_where(host, &batch, &condition).expect("rows");
            same(&kept.to_record_batch().expect("host"), &datafusion.run(plan())[0]);
            group.throughput(Throughput::Bytes((batch.columns()[0].nbytes() + 2 * kept.nbytes()) as u64));
            group.bench_function(BenchmarkId::new("warpline-host-1", format!("{percent}%")), |b| {
                b.iter(|| filter_where(host, black_box(&batch), &condition).expect("rows"));
            });
            group.bench_function(BenchmarkId::new("datafusion", format!("{percent}%")), |b| {
                b.iter(|| datafusion.run(plan()));
            });
        }
        group.finish();
    }
}

fn select(criterion: &mut Criterion, host: &ExecCtx, datafusion: &DataFusion) {
    let table = numbers(9);
    let (batch, batches, schema) = (Batch::from_record_batch(&table), pieces(&table), table.schema());
    let list = "wrapping_add(c1, c2) AS sum, CAST(c1 AS DOUBLE) * 0.5 AS half, CASE WHEN c1 > c2 THEN c1 ELSE c2 END AS larger";
    let list = Select::parse(list).and_then(|list| list.bind(batch.schema())).expect("it binds");
    let (one, two) = (col("c1", &schema).expect("a column"), col("c2", &schema).expect("a column"));
    let float = cast(one.clone(), &schema, DataType::Float64).expect("a cast");
    let half = binary(float, Operator::Multiply, lit(0.5), &schema).expect("a product");
    let condition = binary_of(&table, "c1", Operator::Gt, two.clone());
    let larger = case(None, vec![(condition, one)], Some(two.clone())).expect("a choice");
    let outputs = [(binary_of(&table, "c1", Operator::Plus, two), "sum"), (half, "half"), (larger, "larger")];
    let outputs = outputs.map(|(expr, name)| (expr, name.to_owned()));
    let plan = || Arc::new(ProjectionExec::try_new(outputs.clone(), source(&batches)).expect("a plan"));
    let out = list.evaluate_on(host, &batch).expect("outputs");
    same(&out.to_record_batch().expect("host"), &datafusion.run(plan())[0]);
    let mut group = criterion.benchmark_group("expr/select beside DataFusion/1M rows");
    group.throughput(Throughput::Bytes((2 * batch.columns()[0].nbytes() + out.nbytes()) as u64));
    group.bench_function("warpline-host-1", |b| b.iter(|| list.evaluate_on(host, black_box(&batch)).expect("outputs")));
    group.bench_function("datafusion", |b| b.iter(|| datafusion.run(plan())));
    group.finish();
}

fn partition(criterion: &mut Criterion, host: &ExecCtx, datafusion: &DataFusion) {
    for columns in [1, 9] {
        let table = numbers(columns);
        let (batch, batches) = (Batch::from_record_batch(&table), pieces(&table));
        let mut group = criterion.benchmark_group(format!("hash_partition beside DataFusion/i64x{columns}/1M rows"));
        group.throughput(Throughput::Bytes((batch.columns()[0].nbytes() + 8 * ROWS + 2 * batch.nbytes()) as u64));
        for count in [16, 256] {
            let ours =
                || hash_partition(host, black_box(&batch), &["c0"], HashScheme::DataFusion, count).expect("partitions");
            let keys = vec![col("c0", &table.schema()).expect("a column")];
            let plan = || -> Arc<dyn ExecutionPlan> {
                let by = Partitioning::Hash(keys.clone(), count);
                Arc::new(RepartitionExec::try_new(source(&batches), by).expect("a plan"))
            };
            let theirs: Vec<RecordBatch> = datafusion.run(plan()).into_iter().flatten().collect();
            same(&ours().batch().to_record_batch().expect("host"), &theirs);
            group.bench_function(BenchmarkId::new("warpline-host-1", count), |b| b.iter(ours));
            group.bench_function(BenchmarkId::new("datafusion", count), |b| b.iter(|| datafusion.run(plan())));
        }
        group.finish();
    }
}

/// A million rows to 100,000, by the matches of a key in the table, the rows of a hundred that have one, and whether keys
/// follow each other or are spread over all numbers.
fn join(criterion: &mut Criterion, host: &ExecCtx, datafusion: &DataFusion) {
    let mut group = criterion.benchmark_group("join beside DataFusion/inner/1M rows to 100k");
    for (matches, hits, dense) in [(1, 5, false), (1, 50, false), (1, 100, false), (4, 50, false), (1, 50, true)] {
        let distinct = 100_000 / matches;
        let column = |values: Vec<i64>| -> ArrayRef { Arc::new(Int64Array::from(values)) };
        let spread = |i: i64| if dense { i } else { i.wrapping_mul(0x9e37_79b9_7f4a_7c15_u64 as i64) };
        let built = column((0..100_000).map(|row| spread(row % distinct)).collect());
        let built = [("key", built), ("number", column((0..100_000).collect()))];
        let built = RecordBatch::try_from_iter(built).expect("a table");
        let mut next = numbers_from(7);
        let probed = column((0..ROWS).map(|_| spread(next() % (distinct * 100 / hits))).collect());
        let probed = [("key", probed), ("row", column((0..ROWS as i64).collect()))];
        let probed = RecordBatch::try_from_iter(probed).expect("a table");

        let (table, batch) = (Batch::from_record_batch(&built), Batch::from_record_batch(&probed));
        let ours = || {
            let join = HashJoin::build(host, &table, &["key"], batch.schema(), JoinType::Inner).expect("a join");
            join.probe(host, black_box(&batch)).expect("rows")
        };
        let (built, probed) = (pieces(&built), pieces(&probed));
        let key = |side: &[RecordBatch]| col("key", &side[0].schema()).expect("a column");
        let plan = || -> Arc<dyn ExecutionPlan> {
            let on = vec![(key(&built), key(&probed))];
            let (kind, mode) = (datafusion_common::JoinType::Inner, PartitionMode::CollectLeft);
            let nulls = NullEquality::NullEqualsNothing;
            let (left, right) = (source(&built), source(&probed));
            Arc::new(HashJoinExec::try_new(left, right, on, None, &kind, None, mode, nulls, false).expect("a plan"))
        };
        // The table's columns come first there; its order among matches of a row is its own.
        let theirs = datafusion.run(plan()).remove(0);
        let theirs = concat_batches(&theirs[0].schema(), &theirs).expect("one batch");
        let joined = ours();
        let sorted = |column: &ArrayRef| sort(column, None).expect("a sorted column");
        let joined_rows = joined.to_record_batch().expect("host");
        for (at, other) in [(0, 2), (1, 3), (2, 1)] {
            assert_eq!(&sorted(joined_rows.column(at)), &sorted(theirs.column(other)));
        }
        group.throughput(Throughput::Bytes((8 * (ROWS + 100_000) + 2 * joined.nbytes()) as u64));
        let name = format!("{hits}% hit, {matches} matches{}", if dense { ", dense" } else { "" });
        group.bench_function(BenchmarkId::new("warpline-host-1", &name), |b| b.iter(ours));
        group.bench_function(BenchmarkId::new("datafusion", &name), |b| b.iter(|| datafusion.run(plan())));
    }
    group.finish();
}

pub fn benches(criterion: &mut Criterion) {
    let (host, datafusion) = (ExecCtx::host(1).expect("a host context"), DataFusion::new());
    filter(criterion, &host, &datafusion);
    select(criterion, &host, &datafusion);
    partition(criterion, &host, &datafusion);
    join(criterion, &host, &datafusion);
}
