//! Expressions over many types against DataFusion's values (`tests/golden/make_expr_typed.py`).

use arrow::array::{Array, ArrayRef, AsArray};
use arrow::compute::cast;
use arrow::datatypes::{DataType, Float64Type};
use warpline::ops::expr::Select;

use crate::common::golden;

/// Where our types are others by design: integers and their decimals, units of timestamps, and the layouts of text.
fn kin(ours: &DataType, theirs: &DataType) -> bool {
    let whole = |t: &DataType| t.is_integer() || matches!(t, DataType::Decimal128(_, 0));
    let exact = |t: &DataType| whole(t) || matches!(t, DataType::Decimal128(..) | DataType::Decimal256(..));
    let text = |t: &DataType| matches!(t, DataType::Utf8 | DataType::LargeUtf8 | DataType::Utf8View);
    let stamp = |t: &DataType| matches!(t, DataType::Timestamp(_, None));
    (stamp(ours) && stamp(theirs))
        || ours == theirs
        || (whole(ours) && whole(theirs))
        || (exact(ours) && exact(theirs))
        || (text(ours) && text(theirs))
}

/// Equal values; any NaN is as good as another.
fn same(ours: &ArrayRef, theirs: &ArrayRef) -> bool {
    if !theirs.data_type().is_floating() {
        return ours == theirs;
    }
    let wide = |array: &ArrayRef| cast(array, &DataType::Float64).expect("a cast");
    let (ours, theirs) = (wide(ours), wide(theirs));
    let pairs = ours.as_primitive::<Float64Type>().iter().zip(theirs.as_primitive::<Float64Type>());
    pairs.into_iter().all(|pair| match pair {
        (Some(a), Some(b)) => a.to_bits() == b.to_bits() || (a.is_nan() && b.is_nan()),
        (a, b) => a.is_none() && b.is_none(),
    })
}

#[test]
fn equal_to_datafusion() {
    let (table, answers) = (golden::table("expr_typed_table.parquet"), golden::table("expr_typed.parquet"));
    let mut failures = Vec::new();
    for (field, theirs) in answers.schema().fields().iter().zip(answers.columns()) {
        // DataFusion keeps some results as dictionaries.
        let theirs = &match theirs.data_type() {
            DataType::Dictionary(_, values) => cast(theirs, values).expect("its values"),
            _ => theirs.clone(),
        };
        let text = field.name();
        let result = Select::parse(text).and_then(|select| {
            let printed = select.to_string();
            assert_eq!(Select::parse(&printed).expect("printed text parses"), select, "{text} as {printed}");
            select.bind(&table.schema())?.evaluate(&table)
        });
        let ours = match result {
            Ok(batch) => batch.column(0).clone(),
            Err(e) => {
                failures.push(format!("{text}: {e}"));
                continue;
            }
        };
        if !kin(ours.data_type(), theirs.data_type()) {
            failures.push(format!("{text}: {} is theirs, {} ours", theirs.data_type(), ours.data_type()));
            continue;
        }
        match cast(&ours, theirs.data_type()) {
            Ok(cast) if same(&cast, theirs) => {}
            _ => {
                let row = (0..ours.len()).find(|row| {
                    cast(&ours.slice(*row, 1), theirs.data_type()).map_or(true, |a| !same(&a, &theirs.slice(*row, 1)))
                });
                let row = row.unwrap_or(0);
                failures.push(format!("{text}: row {row}: {:?} ours, {:?}", ours.slice(row, 1), theirs.slice(row, 1)));
            }
        }
    }
    assert!(failures.is_empty(), "{} of {}:\n{}", failures.len(), answers.num_columns(), failures.join("\n"));
}
