//! Any text through the filter expressions and the select lists: no panic; what is read prints as text that reads as the same expression, and
//! what binds to a table can be computed or is refused.
//!
//! `RUSTC_BOOTSTRAP=1 cargo fuzz run expr CORPUS_FOLDER -- -timeout=20`
#![no_main]

use std::sync::{Arc, OnceLock};

use arrow::array::{ArrayRef, BooleanArray, Decimal128Array, Float64Array, Int64Array, RecordBatch, StringArray};
use arrow::array::{BinaryViewArray, Date32Array, DurationSecondArray, TimestampMicrosecondArray, UInt8Array};
use libfuzzer_sys::fuzz_target;
use warpline::arrow;
use warpline::ops::expr::{Expr, Select};

/// A row of ordinary values, one of extremes, one of nulls.
fn table() -> &'static RecordBatch {
    static TABLE: OnceLock<RecordBatch> = OnceLock::new();
    TABLE.get_or_init(|| {
        let decimal = Decimal128Array::from(vec![Some(12345), Some(-1), None]).with_precision_and_scale(10, 2);
        let columns: Vec<(&str, ArrayRef)> = vec![
            ("i", Arc::new(Int64Array::from(vec![Some(7), Some(i64::MIN), None]))),
            ("u", Arc::new(UInt8Array::from(vec![Some(7), Some(255), None]))),
            ("f", Arc::new(Float64Array::from(vec![Some(0.5), Some(f64::NAN), None]))),
            ("s", Arc::new(StringArray::from(vec![Some("a%b"), Some(""), None]))),
            ("b", Arc::new(BooleanArray::from(vec![Some(true), Some(false), None]))),
            ("d", Arc::new(decimal.expect("fits"))),
            ("t", Arc::new(TimestampMicrosecondArray::from(vec![Some(0), Some(i64::MAX), None]))),
            ("y", Arc::new(Date32Array::from(vec![Some(0), Some(i32::MIN), None]))),
            ("g", Arc::new(DurationSecondArray::from(vec![Some(1), Some(i64::MAX), None]))),
            ("v", Arc::new(BinaryViewArray::from(vec![Some(&b"a"[..]), Some(&b"longer than twelve"[..]), None]))),
        ];
        RecordBatch::try_from_iter(columns).expect("a batch")
    })
}

fuzz_target!(|data: &[u8]| {
    let Ok(text) = std::str::from_utf8(data) else { return };
    if let Ok(select) = Select::parse(text) {
        let printed = select.to_string();
        match Select::parse(&printed) {
            Ok(again) => assert_eq!(again, select, "{text:?} prints as {printed:?}"),
            Err(e) => panic!("{text:?} prints as {printed:?}, which is refused: {e}"),
        }
        if let Ok(projection) = select.bind(&table().schema())
            && let Ok(out) = projection.evaluate(table())
        {
            assert_eq!(out.num_rows(), table().num_rows());
        }
    }
    let Ok(expr) = Expr::parse(text) else { return };
    let printed = expr.to_string();
    match Expr::parse(&printed) {
        Ok(again) => assert_eq!(again, expr, "{text:?} prints as {printed:?}"),
        Err(e) => panic!("{text:?} prints as {printed:?}, which is refused: {e}"),
    }
    if let Ok(predicate) = expr.bind(&table().schema())
        && let Ok(mask) = predicate.evaluate(table())
    {
        assert_eq!(arrow::array::Array::len(&mask), table().num_rows());
    }
});
