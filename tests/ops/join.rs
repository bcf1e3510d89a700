//! The host join against nested loops over printed cells, for random tables of several key types.

use std::sync::Arc;

use arrow::array::{ArrayRef, Float64Array, Int64Array, RecordBatch, StringArray};
use arrow::compute::{cast, concat_batches};
use arrow::datatypes::DataType;
use arrow::util::display::array_value_to_string;
use proptest::prelude::*;
use warpline::Error;
use warpline::ops::join::{HashJoin, JoinType};

/// Two key columns and a row number, from small values so that keys repeat.
fn table(keys: &[(Option<i64>, Option<u8>)], types: &[DataType; 2], payload: &str) -> RecordBatch {
    let first: ArrayRef = Arc::new(keys.iter().map(|k| k.0).collect::<Int64Array>());
    let second: ArrayRef = Arc::new(keys.iter().map(|k| k.1.map(|c| format!("key {c}"))).collect::<StringArray>());
    let number: ArrayRef = Arc::new((0..keys.len() as i64).map(Some).collect::<Int64Array>());
    let columns = [("a", cast(&first, &types[0])), ("b", cast(&second, &types[1])), (payload, Ok(number))];
    RecordBatch::try_from_iter_with_nullable(columns.map(|(n, c)| (n, c.expect("a cast"), true))).expect("a batch")
}

/// Joined rows as text by nested loops, nulls never equal.
fn reference(left: &RecordBatch, right: &RecordBatch, on: usize, kind: JoinType) -> Vec<Vec<String>> {
    let cell = |batch: &RecordBatch, column: usize, row: usize| match batch.column(column).is_null(row) {
        true => None,
        false => Some(array_value_to_string(batch.column(column), row).expect("printable")),
    };
    let mut joined = Vec::new();
    for l in 0..left.num_rows() {
        let probe: Vec<Option<String>> = (0..left.num_columns()).map(|c| cell(left, c, l)).collect();
        let mut matched = false;
        for r in 0..right.num_rows() {
            if (0..on).all(|c| probe[c].is_some() && probe[c] == cell(right, c, r)) {
                let rest = (on..right.num_columns()).map(|c| cell(right, c, r));
                joined.push(probe.iter().cloned().chain(rest).collect());
                matched = true;
            }
        }
        if !matched && kind == JoinType::Left {
            joined.push(probe.into_iter().chain((on..right.num_columns()).map(|_| None)).collect());
        }
    }
    let text = |row: Vec<Option<String>>| row.into_iter().map(|c| c.unwrap_or_else(|| "null".into())).collect();
    joined.into_iter().map(text).collect()
}

fn cells(batch: &RecordBatch) -> Vec<Vec<String>> {
    let cell = |row: usize, column: &ArrayRef| match column.is_null(row) {
        true => "null".to_owned(),
        false => array_value_to_string(column, row).expect("printable"),
    };
    (0..batch.num_rows()).map(|row| batch.columns().iter().map(|c| cell(row, c)).collect()).collect()
}

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

proptest! {
    #![proptest_config(ProptestConfig::with_cases(400))]
    #[test]
    fn equal_to_nested_loops(
        left in keys(), right in keys(), types in [types(), types()], on in 1usize..3, outer in any::<bool>(),
        chunk in 1usize..40, split in 0usize..70,
    ) {
        let kind = if outer { JoinType::Left } else { JoinType::Inner };
        let left = table(&left, &types[0], "row");
        let right = table(&right, &types[1], "number");
        let split = split.min(right.num_rows());
        let parts = [right.slice(0, split), right.slice(split, right.num_rows() - split)];
        let join = HashJoin::build(&parts, &["a", "b"][..on], &left.schema(), kind).expect("builds");
        let expected = reference(&left, &right, on, kind);
        prop_assert_eq!(cells(&join.probe(&left).expect("joins")), expected.clone());
        let chunks: Vec<RecordBatch> = join.probe_chunks(&left, chunk).expect("joins").map(|c| c.expect("a chunk")).collect();
        prop_assert!(chunks.iter().all(|c| c.num_rows() <= chunk));
        prop_assert_eq!(cells(&concat_batches(join.schema(), &chunks).expect("one schema")), expected);
    }
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
