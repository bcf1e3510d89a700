//! Columns there and back, and what they say about themselves.

use std::sync::Arc;

use arrow::array::{Array, ArrayRef, BooleanArray, Int32Array, ListArray, StringArray, StringViewArray, StructArray};
use arrow::datatypes::Int32Type;
use warpline::Column;

use crate::common::samples::{NULLS, SIZES, every_type};
use crate::common::{assert_same, contexts};

#[test]
fn every_type_there_and_back() {
    for ctx in contexts() {
        for (seed, rows) in SIZES.into_iter().enumerate() {
            for nulls in NULLS {
                for skip in [0, 1, 13] {
                    let batch = every_type(rows, nulls, skip, seed as u64);
                    let there = batch.to(&ctx).expect("upload");
                    assert_eq!(there.placement(), ctx.placement());
                    assert_eq!(there.nbytes(), batch.nbytes(), "{rows} rows, {nulls:?} null, skip {skip}");
                    for (there, here) in there.columns().iter().zip(batch.columns()) {
                        let counted = there.as_device().and_then(|column| column.null_count());
                        let nulls = here.to_array().expect("host").logical_null_count();
                        // A dictionary's null values are not nulls of its own, but these have none.
                        assert!(counted.is_none_or(|counted| counted == nulls), "{}", there.data_type());
                    }
                    assert_same(&there.to_host().expect("download"), &batch);
                }
            }
        }
    }
}

/// Bytes by hand, from Arrow's columnar format.
#[test]
fn nbytes_counts_the_rows_of_the_slice() {
    let bytes = |array: ArrayRef| Column::from_array(array).nbytes();
    let numbers = Int32Array::from_iter((0..100).map(|i| (i != 3).then_some(i)));
    assert_eq!(bytes(Arc::new(numbers.slice(10, 20))), 80, "no null in the slice: no bitmap");
    assert_eq!(bytes(Arc::new(numbers.slice(1, 17))), 17 * 4 + 3);
    let bits = BooleanArray::from(vec![true; 64]);
    assert_eq!(bytes(Arc::new(bits.slice(7, 9))), 2);
    let text = StringArray::from(vec!["a", "bcd", "", "efghi"]);
    assert_eq!(bytes(Arc::new(text.slice(1, 2))), 3 * 4 + 3);
    assert_eq!(bytes(Arc::new(text.slice(4, 0))), 4);
    let views = StringViewArray::from(vec!["short", "a string that is not inline", "another one that is not inline"]);
    assert_eq!(bytes(Arc::new(views.slice(0, 1))), 16);
    assert_eq!(bytes(Arc::new(views.slice(1, 1))), 16 + 27);
    assert_eq!(bytes(Arc::new(views)), 48 + 27 + 30);
    let lists = ListArray::from_iter_primitive::<Int32Type, _, _>(vec![
        Some(vec![Some(1), Some(2)]),
        None,
        Some(vec![Some(3), None, Some(5)]),
    ]);
    assert_eq!(bytes(Arc::new(lists.slice(1, 2))), 3 * 4 + 1 + 3 * 4 + 1);
    let parts: Vec<(_, ArrayRef)> =
        vec![(Arc::new(arrow::datatypes::Field::new("n", arrow::datatypes::DataType::Int32, true)), Arc::new(numbers))];
    assert_eq!(bytes(Arc::new(StructArray::from(parts).slice(0, 8))), 8 * 4 + 1);
}
