//! Join against nested loops over printed cells, for random tables of several key types, on the host and on every device
//! there is; and the device against the host, for tables too large for those.

mod partitioned;

use std::sync::Arc;

use arrow::array::{
    ArrayRef, AsArray, Float64Array, Int64Array, NullArray, RecordBatch, StringArray, UInt32Array, UInt64Array,
};
use arrow::compute::{cast, concat_batches};
use arrow::datatypes::{DataType, Int64Type};
use arrow::util::display::array_value_to_string;
use proptest::prelude::*;
use warpline::ops::expr::Expr;
use warpline::ops::join::{HashJoin, JoinOptions, JoinType};
use warpline::{Batch, Column, Error, ExecCtx, ops};

use crate::common::samples::{NULLS, Nulls, Random, every_type, only};
use crate::common::{assert_same, cases, contexts, with_device};

/// Two key columns, of which the first is `apart` times the given keys, and a row number.
fn table(keys: &[(Option<i64>, Option<u8>)], apart: i64, types: &[DataType; 2], payload: &str) -> RecordBatch {
    let first: ArrayRef = Arc::new(keys.iter().map(|k| k.0.map(|key| key * apart)).collect::<Int64Array>());
    let second: ArrayRef = Arc::new(keys.iter().map(|k| k.1.map(|c| format!("key {c}"))).collect::<StringArray>());
    let number: ArrayRef = Arc::new((0..keys.len() as i64).map(Some).collect::<Int64Array>());
    let columns = [("a", cast(&first, &types[0])), ("b", cast(&second, &types[1])), (payload, Ok(number))];
    RecordBatch::try_from_iter_with_nullable(columns.map(|(n, c)| (n, c.expect("a cast"), true))).expect("a batch")
}

type Row = Vec<Option<String>>;

fn row(batch: &RecordBatch, row: usize) -> Row {
    let cell = |column: &ArrayRef| match column.is_null(row) {
        true => None,
        false => Some(array_value_to_string(column, row).expect("printable")),
    };
    batch.columns().iter().map(cell).collect()
}

/// What a join of probed batches, one after the other, and its end give, by nested loops over printed cells. `more` is
/// the condition beside the keys.
fn reference(
    left: &RecordBatch,
    right: &RecordBatch,
    on: usize,
    kind: JoinType,
    nulls: bool,
    more: impl Fn(&Row, &Row) -> bool,
) -> (Vec<Row>, Vec<Row>) {
    let left: Vec<Row> = (0..left.num_rows()).map(|r| row(left, r)).collect();
    let width = right.num_columns();
    let right: Vec<Row> = (0..right.num_rows()).map(|r| row(right, r)).collect();
    let equal = |l: &Row, r: &Row| (0..on).all(|c| (nulls || l[c].is_some()) && l[c] == r[c]) && more(l, r);
    let nulls = |n: usize| vec![None; n];
    let (mut probed, mut ended) = (Vec::new(), Vec::new());
    for l in &left {
        let matches: Vec<&Row> = right.iter().filter(|r| equal(l, r)).collect();
        let alone = match kind {
            JoinType::Inner | JoinType::Left | JoinType::Right | JoinType::Full => {
                probed.extend(matches.iter().map(|r| [l, &r[on..]].concat()));
                let outer = matches.is_empty() && matches!(kind, JoinType::Left | JoinType::Full);
                outer.then(|| [&l[..], &nulls(width - on)].concat())
            }
            JoinType::LeftSemi => (!matches.is_empty()).then(|| l.clone()),
            JoinType::LeftAnti => matches.is_empty().then(|| l.clone()),
            JoinType::LeftMark => Some([&l[..], &[Some((!matches.is_empty()).to_string())]].concat()),
            _ => None,
        };
        probed.extend(alone);
    }
    for r in &right {
        let matched = left.iter().any(|l| equal(l, r));
        let probe_width = left.first().map_or(on, Vec::len);
        ended.extend(match kind {
            JoinType::Right | JoinType::Full => {
                (!matched).then(|| [&r[..on], &nulls(probe_width - on), &r[on..]].concat())
            }
            JoinType::RightSemi => matched.then(|| r.clone()),
            JoinType::RightAnti => (!matched).then(|| r.clone()),
            _ => None,
        });
    }
    (probed, ended)
}

fn cells(batch: &RecordBatch) -> Vec<Row> {
    (0..batch.num_rows()).map(|r| row(batch, r)).collect()
}

const KINDS: [JoinType; 9] = [
    JoinType::Inner,
    JoinType::Left,
    JoinType::Right,
    JoinType::Full,
    JoinType::LeftSemi,
    JoinType::LeftAnti,
    JoinType::RightSemi,
    JoinType::RightAnti,
    JoinType::LeftMark,
];

type Keys = Vec<(Option<i64>, Option<u8>)>;

fn keys() -> impl Strategy<Value = Keys> {
    prop::collection::vec((prop::option::weighted(0.85, 0i64..6), prop::option::weighted(0.85, 0u8..3)), 0..70)
}

fn types() -> impl Strategy<Value = [DataType; 2]> {
    let dictionary = DataType::Dictionary(Box::new(DataType::Int16), Box::new(DataType::Utf8));
    let integers = [DataType::Int64, DataType::UInt8, DataType::UInt64, DataType::Int32];
    let texts = [DataType::Utf8, DataType::LargeUtf8, DataType::Utf8View, dictionary];
    (0usize..4, 0usize..4).prop_map(move |(i, t)| [integers[i].clone(), texts[t].clone()])
}

fn host() -> ExecCtx {
    ExecCtx::host(1).expect("a host context")
}

fn upload(ctx: &ExecCtx, batch: &RecordBatch) -> Batch {
    Batch::from_record_batch(batch).to(ctx).expect("upload")
}

fn download(batch: Batch) -> RecordBatch {
    batch.to_host().expect("download").to_record_batch().expect("host")
}

fn build(ctx: &ExecCtx, table: &RecordBatch, on: &[&str], probe: &RecordBatch, options: JoinOptions) -> HashJoin {
    HashJoin::build(ctx, &upload(ctx, table), on, &probe.schema(), options).expect("builds")
}

fn probe(ctx: &ExecCtx, join: &HashJoin, batch: &RecordBatch) -> RecordBatch {
    download(join.probe(ctx, &upload(ctx, batch)).expect("joins"))
}

fn finish(ctx: &ExecCtx, join: &HashJoin) -> RecordBatch {
    download(join.finish(ctx).expect("ends"))
}

fn chunks_of(ctx: &ExecCtx, join: &HashJoin, batch: &RecordBatch, most: usize) -> RecordBatch {
    let batch = upload(ctx, batch);
    let chunks = join.probe_chunks(ctx, &batch, most).expect("joins").map(|chunk| download(chunk.expect("a chunk")));
    let chunks: Vec<RecordBatch> = chunks.collect();
    assert!(chunks.iter().all(|c| c.num_rows() <= most));
    concat_batches(join.schema(), &chunks).expect("one schema")
}

#[derive(Clone, Debug)]
struct Case {
    left: Keys,
    right: Keys,
    types: [[DataType; 2]; 2],
    on: usize,
    kind: JoinType,
    nulls: bool,
    residual: bool,
    chunk: usize,
    split: usize,
    /// 1, or so much that few keys are too far apart for a table of all numbers between them.
    apart: i64,
}

prop_compose! {
    fn case()(
        left in keys(), right in keys(), types in [types(), types()], on in 1usize..3, kind in 0usize..9,
        nulls in any::<bool>(), residual in any::<bool>(), chunk in 1usize..40, split in 0usize..70,
        apart in prop_oneof![Just(1), Just(42)],
    ) -> Case {
        // Left rows always have a first row, so that the reference knows their width.
        let left = [vec![(Some(1), None)], left].concat();
        Case { left, right, types, on, kind: KINDS[kind], nulls, residual, chunk, split, apart }
    }
}

/// The join of a case, whole and in chunks of two batches, against nested loops.
fn check(ctx: &ExecCtx, case: &Case) {
    let Case { types, on, kind, nulls, residual, chunk, split, apart, .. } = case.clone();
    let [left, right] = [(&case.left, &types[0], "row"), (&case.right, &types[1], "number")]
        .map(|(keys, types, payload)| table(keys, apart, types, payload));
    let mut options = JoinOptions::new(kind).null_equals_null(nulls);
    if residual {
        options = options.residual(Expr::parse("row < number").expect("a condition"));
    }
    let number = |row: &Row| row.last().cloned().flatten().expect("a number").parse::<i64>().expect("a number");
    let more = |l: &Row, r: &Row| !residual || number(l) < number(r);
    let build = || build(ctx, &right, &["a", "b"][..on], &left, options.clone());
    let (probed, ended) = reference(&left, &right, on, kind, nulls, more);
    let join = build();
    assert_eq!(cells(&probe(ctx, &join, &left)), probed);
    assert_eq!(cells(&finish(ctx, &join)), ended);
    let join = build();
    let at = split.min(left.num_rows());
    let halves = [left.slice(0, at), left.slice(at, left.num_rows() - at)];
    let joined: Vec<Row> = halves.iter().flat_map(|half| cells(&chunks_of(ctx, &join, half, chunk))).collect();
    assert_eq!(joined, probed);
    let end = join.finish_chunks(ctx, chunk).expect("ends").map(|c| download(c.expect("a chunk")));
    let end: Vec<RecordBatch> = end.collect();
    assert!(end.iter().all(|c| c.num_rows() <= chunk));
    assert_eq!(end.iter().flat_map(cells).collect::<Vec<Row>>(), ended);
}

proptest! {
    #![proptest_config(cases(600))]
    #[test]
    fn equal_to_nested_loops(case in case()) {
        check(&host(), &case);
    }
}

proptest! {
    #![proptest_config(cases(60))]
    #[test]
    fn equal_to_nested_loops_on_a_device(case in case()) {
        with_device(|ctx| check(ctx, &case));
    }
}

/// Probes in two batches and ends, on the host and on the device, whose results must be the same bytes.
fn same_on_a_device(left: &Batch, right: &Batch, on: &[&str], options: &JoinOptions) {
    let run = |ctx: &ExecCtx| {
        let table = right.to(ctx).expect("upload");
        let join = HashJoin::build(ctx, &table, on, left.schema(), options.clone()).expect("builds");
        let records = left.to_record_batch().expect("host");
        let at = records.num_rows() / 3;
        let mut parts: Vec<Batch> = [records.slice(0, at), records.slice(at, records.num_rows() - at)]
            .iter()
            .map(|part| join.probe(ctx, &upload(ctx, part)).expect("joins").to_host().expect("download"))
            .collect();
        parts.push(join.finish(ctx).expect("ends").to_host().expect("download"));
        parts
    };
    let expected = run(&host());
    with_device(|ctx| std::iter::zip(&expected, &run(ctx)).for_each(|(host, device)| assert_same(host, device)));
}

/// A batch of every type as `left` and as `right`, whose keys meet: rows of one are rows of the other, some twice.
fn two_sides(rows: usize, nulls: Nulls, seed: u64) -> [Batch; 2] {
    let right = every_type(rows, nulls, 0, seed);
    let mut random = Random(seed + 1);
    let drawn = UInt32Array::from_iter_values((0..rows + rows / 2).map(|_| random.below(rows) as u32));
    let left = ops::gather(&host(), &right, &Column::from_array(Arc::new(drawn))).expect("rows");
    [left, right]
}

#[test]
fn every_key_type_is_the_same_on_a_device() {
    for nulls in NULLS {
        let sides = two_sides(70, nulls, 11);
        let host_only = |name: &str| {
            let field = sides[0].schema().field_with_name(name).expect("a field").data_type().clone();
            HashJoin::build(&host(), &sides[1], &[name], sides[0].schema(), JoinType::Inner).is_err()
                || field.is_nested()
        };
        let names: Vec<String> = sides[0].schema().fields().iter().map(|f| f.name().clone()).collect();
        for (i, name) in names.iter().enumerate().filter(|(_, name)| !host_only(name)) {
            let other = if name == "i64" { "utf8" } else { "i64" };
            let columns: Vec<&str> = [name.as_str(), other].into_iter().collect();
            let [left, right] = [0, 1].map(|side| only(&sides[side], &columns));
            let kind = KINDS[i % KINDS.len()];
            for nulls_equal in [false, true] {
                let options = JoinOptions::new(kind).null_equals_null(nulls_equal);
                same_on_a_device(&left, &right, &[name], &options);
            }
            same_on_a_device(&left, &right, &columns, &JoinOptions::new(JoinType::Inner));
        }
    }
}

/// Rows with keys below `keys`, every 17th of them null, and their numbers.
fn numbers(rows: usize, keys: usize, seed: u64) -> Batch {
    let mut random = Random(seed);
    let key = |i: usize, random: &mut Random| (i % 17 != 16).then(|| random.below(keys) as i64);
    let key: ArrayRef = Arc::new((0..rows).map(|i| key(i, &mut random)).collect::<Int64Array>());
    let number: ArrayRef = Arc::new(Int64Array::from_iter_values(0..rows as i64));
    Batch::from_record_batch(
        &RecordBatch::try_from_iter_with_nullable([("k", key, true), ("n", number, true)]).expect("a batch"),
    )
}

/// The same with every key once, in an order that is not theirs.
fn unique(rows: usize) -> Batch {
    let key: ArrayRef = Arc::new(Int64Array::from_iter_values((0..rows as i64).map(|i| i * 7919 % rows.max(1) as i64)));
    let number: ArrayRef = Arc::new(Int64Array::from_iter_values(0..rows as i64));
    Batch::from_record_batch(
        &RecordBatch::try_from_iter_with_nullable([("k", key, true), ("n", number, true)]).expect("a batch"),
    )
}

/// The same with keys too far apart for a table of all numbers between them.
fn sparse(batch: &Batch) -> Batch {
    let record = batch.to_record_batch().expect("host");
    let keys = record.column(0).as_primitive::<Int64Type>();
    let keys: ArrayRef = Arc::new(keys.unary::<_, Int64Type>(|key| key.wrapping_mul(0x9e37_79b9_7f4a_7c15_u64 as i64)));
    let columns = vec![keys, record.column(1).clone()];
    Batch::from_record_batch(&RecordBatch::try_new(record.schema(), columns).expect("a batch"))
}

/// Keys close to each other and far apart, wherever their numbers are, and probed keys outside all of them.
#[test]
fn ranges_of_keys_at_the_ends_of_their_types() {
    let types = [
        (DataType::Int64, i64::MIN, i64::MAX),
        (DataType::UInt64, i64::MIN, i64::MAX),
        (DataType::Int32, i32::MIN.into(), i32::MAX.into()),
        (DataType::Int8, i8::MIN.into(), i8::MAX.into()),
    ];
    for (to, least, most) in types {
        let near = |lowest: i64, count: i64| (0..count).map(|i| Some(lowest + i * 5 % count)).collect::<Vec<_>>();
        let ends = vec![Some(least), Some(most), None, Some(0), Some(-1), Some(most - 1)];
        let twice = [near(-3, 7), near(-3, 4), vec![None]].concat();
        for built in [near(least, 9), near(most - 8, 9), near(-4, 9), near(7, 1), ends, twice, vec![None, None]] {
            let beside = |key: &i64| [-1, 0, 1].map(|step| Some(key.wrapping_add(step)));
            let probed: Vec<_> = built.iter().flatten().flat_map(beside).chain([None, Some(1 << 40)]).collect();
            let [left, right] =
                [(&probed, "row"), (&built, "number")].map(|(keys, payload)| numbered(keys, &to, payload));
            for kind in [JoinType::Inner, JoinType::Full, JoinType::LeftAnti, JoinType::RightSemi] {
                let expected = reference(&left, &right, 1, kind, false, |_, _| true);
                let check = |ctx: &ExecCtx| {
                    let join = build(ctx, &right, &["k"], &left, JoinOptions::new(kind));
                    let found = (cells(&probe(ctx, &join, &left)), cells(&finish(ctx, &join)));
                    assert_eq!(found, expected, "{kind:?} of {built:?} as {to}");
                };
                check(&host());
                with_device(check);
            }
        }
    }
}

/// Keys of a type, null where they do not fit, the upper half of unsigned ones being the negative numbers; and row numbers.
fn numbered(keys: &[Option<i64>], to: &DataType, payload: &str) -> RecordBatch {
    let key: ArrayRef = match to {
        DataType::UInt64 => Arc::new(keys.iter().map(|key| key.map(|key| key as u64)).collect::<UInt64Array>()),
        _ => cast(&Int64Array::from(keys.to_vec()), to).expect("numbers"),
    };
    let number: ArrayRef = Arc::new(Int64Array::from_iter_values(0..keys.len() as i64));
    RecordBatch::try_from_iter_with_nullable([("k", key, true), (payload, number, true)]).expect("a batch")
}

/// Tiles of the kernels are of 1,024 rows or pairs, those of the sort of 2,048 rows.
#[test]
fn sizes_at_the_borders_of_tiles() {
    for (i, rows) in [0, 1, 31, 32, 33, 1023, 1024, 1025, 2047, 2048, 2049, 5000].into_iter().enumerate() {
        let left = numbers(rows, rows / 2 + 1, 1);
        for kind in [KINDS[i % 9], KINDS[(i + 1) % 9], JoinType::Full] {
            let nulls = JoinOptions::new(kind).null_equals_null(i % 2 == 1);
            same_on_a_device(&left, &numbers(rows, rows + 1, 2), &["k"], &nulls);
            same_on_a_device(&left, &unique(rows), &["k"], &JoinOptions::new(kind));
            for right in [numbers(rows, rows + 1, 2), unique(rows)] {
                same_on_a_device(&sparse(&left), &sparse(&right), &["k"], &nulls);
            }
        }
    }
    let [some, none] = [300, 0].map(|rows| numbers(rows, 100, 3));
    for kind in KINDS {
        same_on_a_device(&some, &none, &["k"], &JoinOptions::new(kind));
        same_on_a_device(&none, &some, &["k"], &JoinOptions::new(kind));
    }
}

#[test]
fn one_key_and_few_keys() {
    for (rows, keys) in [(600, 1), (3000, 25)] {
        let right = numbers(rows, keys, 4);
        for kind in KINDS {
            same_on_a_device(&numbers(120, keys + 1, 5), &right, &["k"], &JoinOptions::new(kind));
        }
    }
}

#[test]
fn floats_match_as_in_datafusion() {
    // What `SELECT a.i, b.i FROM a JOIN b ON a.k = b.k` gives in DataFusion 55 for these keys on both sides.
    let keys: ArrayRef = Arc::new(Float64Array::from(vec![0.0, -0.0, f64::NAN, 1.0]));
    let rows: ArrayRef = Arc::new(Int64Array::from(vec![0, 1, 2, 3]));
    for to in [DataType::Float64, DataType::Float32, DataType::Float16] {
        let key = cast(&keys, &to).expect("a cast");
        let batch = RecordBatch::try_from_iter([("k", key), ("i", rows.clone())]).expect("a batch");
        for ctx in contexts() {
            let joined = probe(&ctx, &build(&ctx, &batch, &["k"], &batch, JoinType::Inner.into()), &batch);
            let pairs: Vec<(i64, i64)> = std::iter::zip(
                joined.column(1).as_primitive::<Int64Type>().values().iter().copied(),
                joined.column(2).as_primitive::<Int64Type>().values().iter().copied(),
            )
            .collect();
            assert_eq!(pairs, [(0, 0), (0, 1), (1, 0), (1, 1), (2, 2), (3, 3)], "{to} on {}", ctx.placement());
        }
    }
}

#[test]
fn a_residual_that_fails_names_the_probe_row() {
    let batch = table(&[(Some(1), Some(1)), (Some(2), Some(1))], 1, &[DataType::Int64, DataType::Utf8], "row");
    let options = JoinOptions::new(JoinType::LeftAnti).residual(Expr::parse("1 / (1 - row) > 0").expect("a condition"));
    for ctx in contexts() {
        let join = build(&ctx, &batch, &["a"], &batch, options.clone());
        let error = join.probe(&ctx, &upload(&ctx, &batch)).expect_err("a division by zero");
        assert!(matches!(&error, Error::InvalidInput { op: "join", row: Some(1), .. }), "{error}");
    }
    let unknown = JoinOptions::new(JoinType::Inner).residual(Expr::parse("nowhere > 0").expect("a condition"));
    let whole = Batch::from_record_batch(&batch);
    let error = HashJoin::build(&host(), &whole, &["a"], whole.schema(), unknown).expect_err("a mistake");
    assert!(error.to_string().contains("nowhere"), "{error}");
}

#[test]
fn full_joins_merge_keys_of_different_types() {
    let left = table(&[(Some(1), None)], 1, &[DataType::UInt8, DataType::Utf8], "row");
    let right = table(&[(Some(1000), None)], 1, &[DataType::Int32, DataType::Utf8], "number");
    for ctx in contexts() {
        let join = build(&ctx, &right, &["a"], &left, JoinType::Full.into());
        assert_eq!(join.schema().field(0).data_type(), &DataType::Int64);
        assert_eq!(cells(&probe(&ctx, &join, &left))[0][0].as_deref(), Some("1"));
        assert_eq!(cells(&finish(&ctx, &join))[0][0].as_deref(), Some("1000"));
    }
    let ctx = host();
    let mark = RecordBatch::try_from_iter([("mark", left.column(0).clone())]).expect("a batch");
    let error = HashJoin::build(&ctx, &Batch::from_record_batch(&mark), &["mark"], &mark.schema(), JoinType::LeftMark);
    assert!(error.expect_err("a clash").to_string().contains("'mark'"));
}

#[test]
fn keys_of_the_null_type_match_nothing_unless_nulls_do() {
    let batch = RecordBatch::try_from_iter([("k", Arc::new(NullArray::new(3)) as ArrayRef)]).expect("a batch");
    for ctx in contexts() {
        for (nulls, rows) in [(false, 0), (true, 9)] {
            let options = JoinOptions::new(JoinType::Inner).null_equals_null(nulls);
            assert_eq!(probe(&ctx, &build(&ctx, &batch, &["k"], &batch, options), &batch).num_rows(), rows);
        }
    }
}

#[test]
fn one_hot_key_gives_every_pair_in_chunks() {
    let keys = vec![(Some(1), None); 700];
    let [left, right] = ["row", "number"].map(|name| table(&keys, 1, &[DataType::Int64, DataType::Utf8], name));
    for ctx in contexts() {
        let join = build(&ctx, &right, &["a"], &left, JoinType::Inner.into());
        let mut expected = 0..700 * 700;
        let batch = upload(&ctx, &left);
        assert_eq!(join.fan_out(&ctx, &batch).expect("counts"), (700 * 700, 700));
        for chunk in join.probe_chunks(&ctx, &batch, 100_000).expect("joins") {
            let chunk = download(chunk.expect("a chunk"));
            let [l, r] = [2, 4].map(|c| chunk.column(c).as_primitive::<Int64Type>().clone());
            assert!((0..chunk.num_rows()).all(|i| expected.next() == Some(l.value(i) * 700 + r.value(i))));
        }
        assert!(expected.is_empty());
    }
}

#[test]
fn names_that_clash_get_a_suffix_and_left_columns_are_nullable() {
    let left = table(&[(Some(1), Some(1))], 1, &[DataType::Int64, DataType::Utf8], "row");
    let join = build(&host(), &left, &["a"], &left, JoinType::Left.into());
    let names: Vec<&str> = join.schema().fields().iter().map(|f| f.name().as_str()).collect();
    assert_eq!(names, ["a", "b", "row", "b_right", "row_right"]);
    assert!(join.schema().field(4).is_nullable());
}

#[test]
fn mistakes_name_the_column() {
    let left = table(&[(Some(1), Some(1))], 1, &[DataType::Int64, DataType::Utf8], "row");
    let message = |on: &[&str], table: &RecordBatch| {
        let table = Batch::from_record_batch(table);
        let result = HashJoin::build(&host(), &table, on, &left.schema(), JoinType::Inner);
        let error = result.expect_err("a mistake");
        assert!(matches!(error, Error::InvalidInput { .. }));
        error.to_string()
    };
    assert_eq!(message(&["c"], &left), "join: column 'c': not in the left table; there are: a, b, row");
    let texts =
        RecordBatch::try_from_iter([("a", Arc::new(StringArray::from(vec!["1"])) as ArrayRef)]).expect("a batch");
    assert!(message(&["a"], &texts).contains("the key is Int64 on the left and Utf8"));
    let floats =
        RecordBatch::try_from_iter([("a", Arc::new(Float64Array::from(vec![1.0])) as ArrayRef)]).expect("a batch");
    assert!(message(&["a"], &floats).contains("the key is Int64 on the left and Float64"));
    assert!(message(&[], &left).contains("no key columns"));
}

/// Bytes of device memory that a context's pool holds, and the most that it held.
fn held(ctx: &ExecCtx) -> (u64, u64) {
    let ledger = ctx.as_cuda().expect("a device").ledger();
    (ledger.used(), ledger.peak())
}

#[test]
fn memory_stays_within_the_plans() {
    let duplicates = (numbers(3000, 900, 6), numbers(2500, 900, 7));
    let once = (numbers(3000, 2500, 8), unique(2500));
    with_device(|ctx| {
        for ((left, right), kind) in [&duplicates, &once].into_iter().flat_map(|sides| KINDS.map(|kind| (sides, kind)))
        {
            // Pools of their own, so that the probe's peak is not the build's.
            let [building, probing] = [(); 2].map(|()| ctx.with_budget(u64::MAX).expect("a budget"));
            let table = right.to(&building).expect("upload");
            let (before, _) = held(&building);
            let join = HashJoin::build(&building, &table, &["k"], left.schema(), kind).expect("builds");
            let plan = HashJoin::build_plan(right, &["k"], left.schema(), kind).expect("a plan");
            let (used, peak) = held(&building);
            assert!(
                peak - before <= plan.workspace + plan.output,
                "{kind:?}: build took {} of {plan:?}",
                peak - before
            );
            assert!(used - before <= plan.output, "{kind:?}: {} are held of {plan:?}", used - before);

            let batch = left.to(&probing).expect("upload");
            let (before, _) = held(&probing);
            let joined = join.probe(&probing, &batch).expect("joins");
            let plan = join.probe_plan(left, joined.num_rows()).expect("a plan");
            assert_eq!(held(&probing).1 - before, plan.workspace + plan.output, "{kind:?}: {plan:?}");
        }
    });
}

/// Keys that right and full joins cast take what the plan says at most.
#[test]
fn memory_of_cast_keys_stays_within_the_plans() {
    let as_type = |batch: &Batch, to: &DataType| ops::cast(&host(), batch, &[("k", to.clone())]).expect("a cast");
    let duplicates = (numbers(3000, 900, 6), numbers(2500, 900, 7));
    let once = (numbers(3000, 2500, 8), unique(2500));
    with_device(|ctx| {
        for (left, right) in [&duplicates, &once] {
            for types in [[DataType::Int32, DataType::Int64], [DataType::Utf8View, DataType::Utf8]] {
                let (left, right) = (as_type(left, &types[0]), as_type(right, &types[1]));
                for kind in [JoinType::Right, JoinType::Full] {
                    let probing = ctx.with_budget(u64::MAX).expect("a budget");
                    let table = right.to(ctx).expect("upload");
                    let join = HashJoin::build(ctx, &table, &["k"], left.schema(), kind).expect("builds");
                    let batch = left.to(&probing).expect("upload");
                    let (before, _) = held(&probing);
                    let joined = join.probe(&probing, &batch).expect("joins");
                    let plan = join.probe_plan(&left, joined.num_rows()).expect("a plan");
                    let took = held(&probing).1 - before;
                    assert!(took <= plan.workspace + plan.output, "{kind:?} {types:?}: {took} of {plan:?}");
                }
            }
        }
    });
}

/// A text for each row beside its numbers, of 0 to 36 bytes.
fn with_text(batch: &Batch) -> Batch {
    let record = batch.to_record_batch().expect("host");
    let text = StringArray::from_iter_values((0..record.num_rows()).map(|row| "t".repeat(row % 37)));
    let columns = [record.column(0).clone(), record.column(1).clone(), Arc::new(text) as ArrayRef];
    let named = ["k", "n", "text"].into_iter().zip(columns);
    Batch::from_record_batch(&RecordBatch::try_from_iter(named).expect("a batch"))
}

/// What joins with text and with a residual condition take is at most what the plan says for the pairs with equal keys,
/// and the rows are those of the host.
#[test]
fn memory_of_residual_conditions_stays_within_the_plans() {
    let duplicates = (with_text(&numbers(3000, 900, 6)), with_text(&numbers(2500, 900, 7)));
    let once = (with_text(&numbers(3000, 2500, 8)), with_text(&unique(2500)));
    // More pairs than the condition sees at a time.
    let all = (with_text(&numbers(2100, 1, 9)), with_text(&numbers(1100, 1, 10)));
    let conditions = [None, Some("text < text_right"), Some("n > n_right"), Some("n < 0")];
    with_device(|ctx| {
        for ((left, right), kinds) in [(&duplicates, &KINDS[..]), (&once, &KINDS), (&all, &KINDS[4..5])] {
            for (kind, condition) in kinds.iter().flat_map(|kind| conditions.map(|condition| (*kind, condition))) {
                let options = match condition {
                    Some(text) => JoinOptions::new(kind).residual(Expr::parse(text).expect("a condition")),
                    None => JoinOptions::new(kind),
                };
                let probing = ctx.with_budget(u64::MAX).expect("a budget");
                let table = right.to(ctx).expect("upload");
                let join = HashJoin::build(ctx, &table, &["k"], left.schema(), options.clone()).expect("builds");
                let pairs = HashJoin::build(ctx, &table, &["k"], left.schema(), JoinType::Inner).expect("builds");
                let batch = left.to(&probing).expect("upload");
                let pairs = pairs.fan_out(ctx, &batch).expect("pairs").0 as usize;
                // A probe row without a match is a row of left and full joins.
                let plan = join.probe_plan(left, pairs + left.num_rows()).expect("a plan");
                let (before, _) = held(&probing);
                let joined = join.probe(&probing, &batch).expect("joins");
                let took = held(&probing).1 - before;
                assert!(took <= plan.workspace + plan.output, "{kind:?} {condition:?}: {took} of {plan:?}");
                let on_host = HashJoin::build(&host(), right, &["k"], left.schema(), options).expect("builds");
                let expected = on_host.probe(&host(), left).expect("joins");
                assert_eq!(
                    joined.to_host().expect("rows").to_record_batch().expect("host"),
                    expected.to_record_batch().expect("host")
                );
            }
        }
    });
}
