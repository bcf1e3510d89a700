//! The host join against nested loops over printed cells, for random tables of several key types.

use std::sync::Arc;

use arrow::array::{ArrayRef, AsArray, Float64Array, Int64Array, RecordBatch, StringArray};
use arrow::compute::{cast, concat_batches};
use arrow::datatypes::{DataType, Int64Type};
use arrow::util::display::array_value_to_string;
use proptest::prelude::*;
use warpline::Error;
use warpline::ops::expr::Expr;
use warpline::ops::join::{HashJoin, JoinOptions, JoinType};

/// Two key columns and a row number, from small values so that keys repeat.
fn table(keys: &[(Option<i64>, Option<u8>)], types: &[DataType; 2], payload: &str) -> RecordBatch {
    let first: ArrayRef = Arc::new(keys.iter().map(|k| k.0).collect::<Int64Array>());
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

fn chunks_of(join: &HashJoin, batch: &RecordBatch, most: usize) -> RecordBatch {
    let chunks: Vec<RecordBatch> =
        join.probe_chunks(batch, most).expect("joins").map(|c| c.expect("a chunk")).collect();
    assert!(chunks.iter().all(|c| c.num_rows() <= most));
    concat_batches(join.schema(), &chunks).expect("one schema")
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(600))]
    #[test]
    fn equal_to_nested_loops(
        left in keys(), right in keys(), types in [types(), types()], on in 1usize..3, kind in 0usize..9,
        nulls in any::<bool>(), residual in any::<bool>(), chunk in 1usize..40, split in 0usize..70,
    ) {
        let kind = KINDS[kind];
        // Left rows always have a first row, so that the reference knows their width.
        let left = [vec![(Some(1), None)], left].concat();
        let (left, right) = (table(&left, &types[0], "row"), table(&right, &types[1], "number"));
        let at = split.min(right.num_rows());
        let parts = [right.slice(0, at), right.slice(at, right.num_rows() - at)];
        let mut options = JoinOptions::new(kind).null_equals_null(nulls);
        if residual {
            options = options.residual(Expr::parse("row < number").expect("a condition"));
        }
        let number = |row: &Row| row.last().cloned().flatten().expect("a number").parse::<i64>().expect("a number");
        let more = |l: &Row, r: &Row| !residual || number(l) < number(r);
        let build = || HashJoin::build(&parts, &["a", "b"][..on], &left.schema(), options.clone()).expect("builds");
        let (probed, ended) = reference(&left, &right, on, kind, nulls, more);
        let join = build();
        prop_assert_eq!(cells(&join.probe(&left).expect("joins")), probed.clone());
        prop_assert_eq!(cells(&join.finish().expect("ends")), ended.clone());
        // In chunks, and in two batches of the probe side.
        let join = build();
        let at = split.min(left.num_rows());
        let halves = [left.slice(0, at), left.slice(at, left.num_rows() - at)];
        let joined: Vec<Row> = halves.iter().flat_map(|half| cells(&chunks_of(&join, half, chunk))).collect();
        prop_assert_eq!(joined, probed);
        let end: Vec<RecordBatch> = join.finish_chunks(chunk).map(|c| c.expect("a chunk")).collect();
        prop_assert!(end.iter().all(|c| c.num_rows() <= chunk));
        prop_assert_eq!(end.iter().flat_map(cells).collect::<Vec<Row>>(), ended);
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
        let join = HashJoin::build(std::slice::from_ref(&batch), &["k"], &batch.schema(), JoinType::Inner);
        let joined = join.expect("builds").probe(&batch).expect("joins");
        let pairs: Vec<(i64, i64)> = std::iter::zip(
            joined.column(1).as_primitive::<Int64Type>().values().iter().copied(),
            joined.column(2).as_primitive::<Int64Type>().values().iter().copied(),
        )
        .collect();
        assert_eq!(pairs, [(0, 0), (0, 1), (1, 0), (1, 1), (2, 2), (3, 3)], "{to}");
    }
}

#[test]
fn a_residual_that_fails_names_the_probe_row() {
    let batch = table(&[(Some(1), Some(1)), (Some(2), Some(1))], &[DataType::Int64, DataType::Utf8], "row");
    let options = JoinOptions::new(JoinType::LeftAnti).residual(Expr::parse("1 / (1 - row) > 0").expect("a condition"));
    let join = HashJoin::build(std::slice::from_ref(&batch), &["a"], &batch.schema(), options).expect("builds");
    let error = join.probe(&batch).expect_err("a division by zero");
    assert!(matches!(&error, Error::InvalidInput { op: "join", row: Some(1), .. }), "{error}");
    let unknown = JoinOptions::new(JoinType::Inner).residual(Expr::parse("nowhere > 0").expect("a condition"));
    let error = HashJoin::build(std::slice::from_ref(&batch), &["a"], &batch.schema(), unknown).expect_err("a mistake");
    assert!(error.to_string().contains("nowhere"), "{error}");
}

#[test]
fn full_joins_merge_keys_of_different_types() {
    let left = table(&[(Some(1), None)], &[DataType::UInt8, DataType::Utf8], "row");
    let right = table(&[(Some(1000), None)], &[DataType::Int32, DataType::Utf8], "number");
    let join = HashJoin::build(&[right], &["a"], &left.schema(), JoinType::Full).expect("builds");
    assert_eq!(join.schema().field(0).data_type(), &DataType::Int64);
    assert_eq!(cells(&join.probe(&left).expect("joins"))[0][0].as_deref(), Some("1"));
    assert_eq!(cells(&join.finish().expect("ends"))[0][0].as_deref(), Some("1000"));
    let mark = RecordBatch::try_from_iter([("mark", left.column(0).clone())]).expect("a batch");
    let error = HashJoin::build(std::slice::from_ref(&mark), &["mark"], &mark.schema(), JoinType::LeftMark);
    assert!(error.expect_err("a clash").to_string().contains("'mark'"));
}

#[test]
fn one_hot_key_gives_every_pair_in_chunks() {
    let keys = vec![(Some(1), None); 700];
    let [left, right] = ["row", "number"].map(|name| table(&keys, &[DataType::Int64, DataType::Utf8], name));
    let join = HashJoin::build(&[right], &["a"], &left.schema(), JoinType::Inner).expect("builds");
    let mut expected = 0..700 * 700;
    for chunk in join.probe_chunks(&left, 10_000).expect("joins") {
        let chunk = chunk.expect("a chunk");
        let [l, r] = [2, 4].map(|c| chunk.column(c).as_primitive::<Int64Type>().clone());
        assert!((0..chunk.num_rows()).all(|i| expected.next() == Some(l.value(i) * 700 + r.value(i))));
    }
    assert!(expected.is_empty());
}

#[test]
fn names_that_clash_get_a_suffix_and_left_columns_are_nullable() {
    let left = table(&[(Some(1), Some(1))], &[DataType::Int64, DataType::Utf8], "row");
    let join = HashJoin::build(std::slice::from_ref(&left), &["a"], &left.schema(), JoinType::Left).expect("builds");
    let names: Vec<&str> = join.schema().fields().iter().map(|f| f.name().as_str()).collect();
    assert_eq!(names, ["a", "b", "row", "b_right", "row_right"]);
    assert!(join.schema().field(4).is_nullable());
}

#[test]
fn mistakes_name_the_column() {
    let left = table(&[(Some(1), Some(1))], &[DataType::Int64, DataType::Utf8], "row");
    let message = |on: &[&str], table: &[RecordBatch]| {
        let result = HashJoin::build(table, on, &left.schema(), JoinType::Inner);
        let error = result.expect_err("a mistake");
        assert!(matches!(error, Error::InvalidInput { .. }));
        error.to_string()
    };
    assert_eq!(
        message(&["c"], std::slice::from_ref(&left)),
        "join: column 'c': not in the left table; there are: a, b, row"
    );
    let texts =
        RecordBatch::try_from_iter([("a", Arc::new(StringArray::from(vec!["1"])) as ArrayRef)]).expect("a batch");
    assert!(message(&["a"], &[texts]).contains("the key is Int64 on the left and Utf8"));
    let floats =
        RecordBatch::try_from_iter([("a", Arc::new(Float64Array::from(vec![1.0])) as ArrayRef)]).expect("a batch");
    assert!(message(&["a"], &[floats]).contains("the key is Int64 on the left and Float64"));
    assert!(message(&[], std::slice::from_ref(&left)).contains("no key columns"));
    assert!(message(&["a"], &[]).contains("no batches"));
}
