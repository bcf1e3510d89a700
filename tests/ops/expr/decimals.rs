//! Decimals of every width: casts against exact integers of any size, and the device against the host.

use std::str::FromStr;
use std::sync::Arc;

use arrow::array::{Array, ArrayRef, AsArray, Float64Array, PrimitiveArray, RecordBatch, StringArray};
use arrow::compute::cast;
use arrow::datatypes::*;
use num_bigint::{BigInt, Sign};
use warpline::ExecCtx;
use warpline::ops::expr::{Expr, Projection, Select, SelectItem};

use super::batch;
use super::projection::{agree, agree_bound};
use crate::common::with_device;

const DECIMALS: [DataType; 19] = [
    DataType::Decimal32(9, 0),
    DataType::Decimal32(9, 4),
    DataType::Decimal32(5, -3),
    DataType::Decimal32(9, -12),
    DataType::Decimal64(18, 0),
    DataType::Decimal64(18, 18),
    DataType::Decimal64(12, -6),
    DataType::Decimal64(18, -40),
    DataType::Decimal128(38, 0),
    DataType::Decimal128(38, 37),
    DataType::Decimal128(20, 2),
    DataType::Decimal128(38, -20),
    DataType::Decimal256(76, 0),
    DataType::Decimal256(76, 76),
    DataType::Decimal256(76, 38),
    DataType::Decimal256(45, 9),
    DataType::Decimal256(60, -16),
    DataType::Decimal256(76, -52),
    DataType::Decimal256(76, -100),
];
/// Those that casts may have as a target.
fn targets() -> impl Iterator<Item = &'static DataType> {
    DECIMALS.iter().filter(|to| shape(to).1.abs() <= i32::from(shape(to).0))
}

const INTEGERS: [DataType; 8] = [
    DataType::Int8,
    DataType::Int16,
    DataType::Int32,
    DataType::Int64,
    DataType::UInt8,
    DataType::UInt16,
    DataType::UInt32,
    DataType::UInt64,
];

fn shape(of: &DataType) -> (u8, i32) {
    match of {
        DataType::Decimal32(p, s) | DataType::Decimal64(p, s) => (*p, i32::from(*s)),
        DataType::Decimal128(p, s) | DataType::Decimal256(p, s) => (*p, i32::from(*s)),
        other => panic!("{other} is no decimal"),
    }
}

fn ten_to(power: i32) -> BigInt {
    BigInt::from(10).pow(u32::try_from(power).expect("not below zero"))
}

/// The unscaled numbers of a column of decimals.
fn unscaled(array: &ArrayRef) -> Vec<Option<BigInt>> {
    fn of<T: ArrowPrimitiveType<Native: ToString>>(array: &PrimitiveArray<T>) -> Vec<Option<BigInt>> {
        array.iter().map(|x| x.map(|x| x.to_string().parse::<BigInt>().expect("a number"))).collect()
    }
    match array.data_type() {
        DataType::Decimal32(..) => of(array.as_primitive::<Decimal32Type>()),
        DataType::Decimal64(..) => of(array.as_primitive::<Decimal64Type>()),
        DataType::Decimal128(..) => of(array.as_primitive::<Decimal128Type>()),
        DataType::Decimal256(..) => of(array.as_primitive::<Decimal256Type>()),
        whole => {
            assert!(whole.is_integer(), "{whole}");
            let text = cast(array, &DataType::Utf8).expect("text");
            text.as_string::<i32>().iter().map(|x| x.map(|x| x.parse::<BigInt>().expect("a number"))).collect()
        }
    }
}

fn decimals(of: &DataType, values: &[Option<BigInt>]) -> ArrayRef {
    let (p, s) = shape(of);
    let s = s as i8;
    fn from<T: DecimalType<Native: FromStr<Err: std::fmt::Debug>>>(
        values: &[Option<BigInt>],
        p: u8,
        s: i8,
    ) -> ArrayRef {
        let values = values.iter().map(|x| x.as_ref().map(|x| x.to_string().parse().expect("fits")));
        Arc::new(values.collect::<PrimitiveArray<T>>().with_precision_and_scale(p, s).expect("a type"))
    }
    match of {
        DataType::Decimal32(..) => from::<Decimal32Type>(values, p, s),
        DataType::Decimal64(..) => from::<Decimal64Type>(values, p, s),
        DataType::Decimal128(..) => from::<Decimal128Type>(values, p, s),
        _ => {
            let values = values.iter().map(|x| x.as_ref().map(|x| i256::from_string(&x.to_string()).expect("fits")));
            let values = values.collect::<PrimitiveArray<Decimal256Type>>();
            Arc::new(values.with_precision_and_scale(p, s).expect("a type"))
        }
    }
}

/// Small numbers, halves, the ends of every integer type and of every precision, each with its neighbours and both signs.
fn edges(of: &DataType) -> ArrayRef {
    let (precision, scale) = shape(of);
    let limit = ten_to(precision.into());
    let mut values: Vec<BigInt> = [0, 1, 4, 5, 6, 15, 49, 50, 99, 105, 12_345].map(BigInt::from).to_vec();
    for bits in [7, 8, 15, 16, 31, 32, 63, 64, 127, 128, 192] {
        let power = BigInt::from(1) << bits;
        values.extend([5, 1, 0, -1].map(|more| &power + more));
        let scaled = if scale < 0 { &power / ten_to(-scale) } else { &power * ten_to(scale) };
        values.extend([1, 0, -1].map(|more| &scaled + more));
    }
    for power in 1..=i32::from(precision) {
        values.extend([ten_to(power) - 1, ten_to(power) / 2]);
    }
    let mut values: Vec<BigInt> = values.into_iter().filter(|x| *x < limit && *x > -&limit).collect();
    values.sort();
    values.dedup();
    let all = values.iter().flat_map(|x| [Some(x.clone()), Some(-x)]).chain([None]);
    decimals(of, &all.collect::<Vec<_>>())
}

/// `value` times a power of ten, rounded half away from zero.
fn scaled(value: &BigInt, power: i32) -> BigInt {
    if power >= 0 {
        return value * ten_to(power);
    }
    let half: BigInt = ten_to(-power) / 2;
    let half = if value.sign() == Sign::Minus { -half } else { half };
    (value + half) / ten_to(-power)
}

fn bounds(of: &DataType) -> [BigInt; 2] {
    match of {
        DataType::Int8 => [i8::MIN.into(), i8::MAX.into()],
        DataType::Int16 => [i16::MIN.into(), i16::MAX.into()],
        DataType::Int32 => [i32::MIN.into(), i32::MAX.into()],
        DataType::Int64 => [i64::MIN.into(), i64::MAX.into()],
        DataType::UInt8 => [0.into(), u8::MAX.into()],
        DataType::UInt16 => [0.into(), u16::MAX.into()],
        DataType::UInt32 => [0.into(), u32::MAX.into()],
        DataType::UInt64 => [0.into(), u64::MAX.into()],
        decimal => {
            let limit = ten_to(shape(decimal).0.into()) - 1;
            [-&limit, limit]
        }
    }
}

/// A cast of the column `x`.
fn cast_of(to: &DataType, lenient: bool, rows: &RecordBatch) -> Projection {
    let expr = Expr::Cast { expr: Box::new(Expr::Column("x".into())), to: to.clone(), lenient };
    let select = Select::new(vec![SelectItem::Expr { expr, name: Some("y".into()) }]);
    select.bind(&rows.schema()).unwrap_or_else(|e| panic!("{to}: {e}"))
}

/// On the host.
fn evaluate(text: &str, rows: &RecordBatch) -> Result<ArrayRef, warpline::Error> {
    let projection = Select::parse(text).and_then(|select| select.bind(&rows.schema()));
    let projection = projection.unwrap_or_else(|e| panic!("{text}: {e}"));
    projection.evaluate(rows).map(|batch| batch.column(0).clone())
}

/// On the host, both forms of the cast; what does not fit is null, or an error in its row.
fn judged(from: &ArrayRef, to: &DataType, exact: impl Fn(&BigInt) -> BigInt) {
    let rows = batch(vec![("x", from.clone())]);
    let [low, high] = bounds(to);
    let fits = |x: &BigInt| Some(exact(x)).filter(|y| (low <= *y) && (*y <= high));
    let expected: Vec<_> = unscaled(from).iter().map(|x| x.as_ref().and_then(fits)).collect();
    let found = cast_of(to, true, &rows).evaluate(&rows);
    let found = found.unwrap_or_else(|e| panic!("{} as {to}: {e}", from.data_type()));
    let (found, strict) = (unscaled(found.column(0)), cast_of(to, false, &rows));
    for row in 0..from.len() {
        let value = || format!("{:?} as {to}", from.slice(row, 1));
        assert_eq!(found[row], expected[row], "{}", value());
        match strict.evaluate(&rows.slice(row, 1)) {
            Ok(alone) => assert_eq!(unscaled(alone.column(0))[0], expected[row], "{}", value()),
            Err(why) => assert!(from.is_valid(row) && expected[row].is_none(), "{}: {why}", value()),
        }
    }
}

#[test]
fn decimals_become_decimals() {
    for from in &DECIMALS {
        for to in targets() {
            judged(&edges(from), to, |x| scaled(x, shape(to).1 - shape(from).1));
        }
    }
}

/// Towards zero, as arrow-rs has it.
fn towards_zero(value: &BigInt, power: i32) -> BigInt {
    if power >= 0 { value * ten_to(power) } else { value / ten_to(-power) }
}

#[test]
fn integers_become_decimals_and_decimals_integers() {
    for decimal in &DECIMALS {
        for integer in &INTEGERS {
            let values = cast(&edges(&DataType::Decimal128(38, 0)), integer).expect("lenient");
            if targets().any(|to| to == decimal) {
                judged(&values, decimal, |x| towards_zero(x, shape(decimal).1));
            }
            judged(&edges(decimal), integer, |x| towards_zero(x, -shape(decimal).1));
        }
    }
}

/// The two forms of a cast, alone where it may fail.
fn casts_agree(ctx: &ExecCtx, from: &ArrayRef, to: &DataType, step: usize) {
    let rows = batch(vec![("x", from.clone())]);
    assert_eq!(agree_bound(ctx, &cast_of(to, true, &rows), &rows), "");
    let strict = cast_of(to, false, &rows);
    for row in (0..from.len()).step_by(step) {
        agree_bound(ctx, &strict, &rows.slice(row, 1));
    }
}

#[test]
fn casts_of_decimals_agree_with_the_host() {
    use DataType::{Float16, Float32, Float64, Utf8, Utf8View};
    with_device(|ctx| {
        for from in &DECIMALS {
            let values = edges(from);
            for to in targets().chain(&INTEGERS).chain(&[Float16, Float32, Float64, Utf8, Utf8View]) {
                casts_agree(ctx, &values, to, 61);
            }
        }
    });
}

#[test]
fn floats_become_decimals_as_on_the_host() {
    let mut floats = vec![0.0, -0.0, 0.5, -0.5, 1.5, 2.5, 0.05, 1e-9, f64::MIN_POSITIVE, 5e-324, 9e15, 1e16 + 2.0];
    floats.extend([9, 18, 37, 38, 45, 60, 75, 76, 77, 120, 300].map(|power| 10f64.powi(power)));
    floats.extend([31, 32, 63, 64, 127, 128, 254, 255, 256].map(|power| 2f64.powi(power)));
    floats.extend([0.1, 3.4e38, 1.234567890123456e70, f64::MAX, f64::INFINITY, f64::NAN]);
    let all: Vec<f64> = floats.iter().flat_map(|x| [*x, -x, x.next_down()]).collect();
    let wide: ArrayRef = Arc::new(Float64Array::from(all));
    let narrow = [DataType::Float32, DataType::Float16].map(|to| cast(&wide, &to).expect("a float"));
    with_device(|ctx| {
        for to in targets() {
            casts_agree(ctx, &wide, to, 5);
            narrow.iter().for_each(|narrow| casts_agree(ctx, narrow, to, 31));
        }
    });
}

/// arrow-rs reads none with a scale below zero.
#[test]
fn text_becomes_decimals_as_on_the_host() {
    let mut texts: Vec<String> =
        ["", "-", ".", "1.", ".5", "+7", " 8 ", "1e3", "-2.5e-2", "NaN", "1_0", "--1", "0.000"]
            .map(str::to_owned)
            .to_vec();
    for digits in [9, 18, 37, 38, 39, 75, 76, 77] {
        let nines = "9".repeat(digits);
        texts.extend([nines.clone(), format!("-{nines}"), format!("0.{nines}"), format!("-1{}", "0".repeat(digits))]);
        texts.extend([format!("{nines}.4"), format!("{nines}.5"), format!("{}.{nines}", &nines[..digits / 2])]);
    }
    let text: ArrayRef = Arc::new(StringArray::from(texts));
    with_device(|ctx| targets().filter(|to| shape(to).1 >= 0).for_each(|to| casts_agree(ctx, &text, to, 5)));
}

/// Every pair of some rows of the edges of two types.
fn pairs(a: &DataType, b: &DataType, step: usize) -> RecordBatch {
    let (a, b) = (edges(a), edges(b));
    let some = |array: &ArrayRef| -> Vec<Option<BigInt>> { unscaled(array).into_iter().rev().step_by(step).collect() };
    let (left, right) = (some(&a), some(&b));
    let [mut xs, mut ys] = [Vec::new(), Vec::new()];
    for x in &left {
        for y in &right {
            xs.push(x.clone());
            ys.push(y.clone());
        }
    }
    batch(vec![("x", decimals(a.data_type(), &xs)), ("y", decimals(b.data_type(), &ys))])
}

const PAIRS: [[DataType; 2]; 8] = [
    [DataType::Decimal256(76, 0), DataType::Decimal256(76, 0)],
    [DataType::Decimal256(76, 38), DataType::Decimal256(76, 38)],
    [DataType::Decimal256(45, 9), DataType::Decimal256(60, -16)],
    [DataType::Decimal256(40, 2), DataType::Decimal128(38, 10)],
    [DataType::Decimal128(38, 37), DataType::Decimal128(38, 0)],
    [DataType::Decimal64(18, 18), DataType::Decimal256(50, 20)],
    [DataType::Decimal32(9, 4), DataType::Decimal64(18, 0)],
    [DataType::Decimal128(38, -20), DataType::Decimal128(30, 5)],
];

/// The rows where the text has a value on the host, and where it has none.
fn split(text: &str, rows: &RecordBatch) -> [Vec<usize>; 2] {
    (0..rows.num_rows()).partition(|row| evaluate(text, &rows.slice(*row, 1)).is_ok()).into()
}

fn taken(rows: &RecordBatch, at: &[usize]) -> RecordBatch {
    let at = arrow::array::UInt64Array::from_iter_values(at.iter().map(|row| *row as u64));
    arrow::compute::take_record_batch(rows, &at).expect("rows")
}

#[test]
fn sums_products_and_quotients_agree_with_the_host() {
    with_device(|ctx| {
        for [a, b] in &PAIRS {
            let rows = pairs(a, b, 23);
            for op in ["+", "-", "*", "/", "%"] {
                let text = format!("x {op} y AS z");
                if Select::parse(&text).and_then(|select| select.bind(&rows.schema())).is_err() {
                    continue;
                }
                let [well, ill] = split(&text, &rows);
                assert!(!well.is_empty(), "{a} {op} {b}");
                assert_eq!(agree(ctx, &text, &taken(&rows, &well)), "", "{a} {op} {b}");
                for row in ill.iter().step_by(11) {
                    assert_ne!(agree(ctx, &text, &rows.slice(*row, 1)), "", "{a} {op} {b}");
                }
            }
            for text in
                ["-x AS z", "nullif(x, y) AS z", "coalesce(y, x) AS z", "CASE WHEN x < y THEN x ELSE y END AS z"]
            {
                agree(ctx, text, &rows);
            }
        }
    });
}

#[test]
fn comparisons_and_sets_agree_with_exact_integers() {
    for [a, b] in &PAIRS {
        let rows = pairs(a, b, 17);
        let common = shape(a).1.max(shape(b).1);
        let [xs, ys] = [0, 1].map(|at| {
            let column = rows.column(at);
            let up = common - shape(column.data_type()).1;
            unscaled(column).into_iter().map(move |x| x.map(|x| scaled(&x, up))).collect::<Vec<_>>()
        });
        let both = |row: usize| xs[row].as_ref().zip(ys[row].as_ref());
        for (op, holds) in [
            ("<", (|x, y| x < y) as fn(&BigInt, &BigInt) -> bool),
            ("<=", |x, y| x <= y),
            ("=", |x, y| x == y),
            ("<>", |x, y| x != y),
        ] {
            let text = format!("x {op} y AS z");
            let [well, ill] = split(&text, &rows);
            // The common type has at most 76 digits.
            let far = |x: &Option<BigInt>| x.as_ref().is_some_and(|x| *x.magnitude() >= *ten_to(76).magnitude());
            assert!(ill.iter().all(|row| far(&xs[*row]) || far(&ys[*row])), "{a} {op} {b}");
            let rows = taken(&rows, &well);
            let found = evaluate(&text, &rows).unwrap_or_else(|e| panic!("{a} {op} {b}: {e}"));
            let found: Vec<_> = found.as_boolean().iter().collect();
            let expected: Vec<_> = well.iter().map(|row| both(*row).map(|(x, y)| holds(x, y))).collect();
            assert!(found == expected, "{a} {op} {b}");
            with_device(|ctx| assert_eq!(agree(ctx, &text, &rows), "", "{a} {op} {b}"));
        }
    }
    with_device(|ctx| {
        let rows = batch(vec![("x", edges(&DataType::Decimal256(76, 38)))]);
        let some = unscaled(rows.column(0)).into_iter().flatten().step_by(7).map(|x| {
            let digits = format!("{:039}", x.magnitude());
            let sign = if x.sign() == Sign::Minus { "-" } else { "" };
            let (whole, part) = digits.split_at(digits.len() - 38);
            format!("CAST('{sign}{whole}.{part}' AS DECIMAL(76, 38))")
        });
        let list = some.collect::<Vec<_>>().join(", ");
        assert_eq!(agree(ctx, &format!("x IN ({list}) AS z, x NOT IN (1.5, -0.5, 2) AS w"), &rows), "");
    });
}

#[test]
fn sql_names_decimals_of_up_to_76_digits() {
    let rows = batch(vec![("x", Arc::new(StringArray::from(vec!["12.5"])) as ArrayRef)]);
    for (name, data_type) in [
        ("DECIMAL", DataType::Decimal128(38, 10)),
        ("DEC(9)", DataType::Decimal128(9, 0)),
        ("DECIMAL(38, 38)", DataType::Decimal128(38, 38)),
        ("NUMERIC(39, 2)", DataType::Decimal256(39, 2)),
        ("DECIMAL(76)", DataType::Decimal256(76, 0)),
        ("DECIMAL(76, 74)", DataType::Decimal256(76, 74)),
    ] {
        let found = evaluate(&format!("TRY_CAST(x AS {name}) AS y"), &rows).unwrap_or_else(|e| panic!("{name}: {e}"));
        assert_eq!(found.data_type(), &data_type, "{name}");
        assert_eq!(found.is_null(0), data_type == DataType::Decimal128(38, 38), "{name}");
    }
    for name in ["DECIMAL(77, 0)", "DECIMAL(0)", "DECIMAL(5, 6)", "DECIMAL(5, -1)"] {
        assert!(Select::parse(&format!("CAST(x AS {name})")).is_err(), "{name}");
    }
}
