//! Expressions to typed form: columns by index, literals as one-row arrays, operands brought to common types.
//!
//! [`Bound`] is what both evaluators read, `eval` on the host and `emit` for a device. Every node knows its type, operands
//! have the types that their node asks for, and every conversion is a `Cast` in the tree.

use std::cell::Cell;
use std::sync::Arc;

use arrow::array::{
    Array, ArrayRef, BooleanArray, Decimal128Array, Float64Array, Int64Array, NullArray, StringArray, UInt64Array,
};
use arrow::compute::can_cast_types;
use arrow::datatypes::{DataType, IntervalUnit, Schema, TimeUnit};

use super::call;
use super::cast;
use super::parse::castable;
use super::zone::is_utc;
use super::{Arithmetic, Comparison, DatePart, Expr, Literal};
use crate::error::{Error, Result};

pub(super) const OP: &str = "filter";
/// Most nodes that binding makes: BETWEEN, IN and CASE with an operand repeat a side, so that nesting them multiplies.
const MAX_NODES: usize = 1 << 20;

/// What binding looks names up in, and how many nodes it may still make.
pub(super) struct Scope<'a> {
    schema: &'a Schema,
    left: Cell<usize>,
}

/// An expression with its columns and types resolved. Where nothing else is said, a null operand gives null.
#[derive(Debug)]
pub(super) enum Bound {
    /// A column of the batch.
    Column {
        index: usize,
        data_type: DataType,
    },
    /// One row, whose value holds for every row.
    Scalar(ArrayRef),
    /// Both sides have one type. Floats: -0.0 equals 0.0, NaN equals NaN and is above all numbers.
    Compare {
        op: Comparison,
        left: Box<Bound>,
        right: Box<Bound>,
    },
    /// Sides of one type, except decimals (their scales may differ), and dates and timestamps beside intervals and durations.
    /// Overflow fails, and so does division by zero of what is no float.
    Arithmetic {
        op: Arithmetic,
        left: Box<Bound>,
        right: Box<Bound>,
        data_type: DataType,
    },
    /// `left op right` of integers of one type, modulo 2 to their bits; `op` is `Add`, `Subtract` or `Multiply`. Never fails.
    Wrapping {
        op: Arithmetic,
        left: Box<Bound>,
        right: Box<Bound>,
    },
    /// Overflow fails.
    Negate(Box<Bound>),
    /// Kleene's; the right side of a row that the left one decides is not looked at, and cannot fail.
    And(Box<Bound>, Box<Bound>),
    /// As `And`.
    Or(Box<Bound>, Box<Bound>),
    Not(Box<Bound>),
    /// Never null. As is `IsTruth`.
    IsNull {
        input: Box<Bound>,
        negated: bool,
    },
    IsTruth {
        input: Box<Bound>,
        truth: bool,
        negated: bool,
    },
    /// `set` holds one row per distinct candidate; a null candidate makes "not found" null.
    InSet {
        input: Box<Bound>,
        set: ArrayRef,
    },
    /// Both sides have one type of text.
    Like {
        input: Box<Bound>,
        pattern: Box<Bound>,
        ignore_case: bool,
    },
    /// Whether the text has the part at the place. Both sides have one type of text.
    Search {
        place: Place,
        input: Box<Bound>,
        part: Box<Bound>,
    },
    /// Characters of text, or bytes of text or binary: Int64 of the large types, else Int32. Never fails.
    Length {
        input: Box<Bound>,
        bytes: bool,
    },
    /// Int32; of a zoned timestamp in its zone. Null where the calendar has no such date. Never fails.
    DatePart {
        part: DatePart,
        input: Box<Bound>,
    },
    /// The value of the first branch whose condition is true, else `otherwise`; all values have its type. A condition is
    /// looked at for rows that no branch before it has taken, a value for rows that take it: no other row can fail in it.
    Case {
        branches: Vec<(Bound, Bound)>,
        otherwise: Box<Bound>,
    },
    /// The first input that is not null; one or more, of one type. An input is looked at for rows in which all before it are
    /// null: no other row can fail in it.
    Coalesce(Vec<Bound>),
    /// `fallible` is false for widening casts, which fit every value.
    Cast {
        input: Box<Bound>,
        to: DataType,
        lenient: bool,
        fallible: bool,
    },
}

/// Where [`Bound::Search`] looks.
#[derive(Clone, Copy, Debug)]
pub(super) enum Place {
    Start,
    End,
    Anywhere,
}

impl Bound {
    pub(super) fn data_type(&self) -> &DataType {
        match self {
            Bound::Wrapping { left, .. } => left.data_type(),
            Bound::Case { otherwise, .. } => otherwise.data_type(),
            Bound::Coalesce(inputs) => inputs.first().map_or(&DataType::Null, Bound::data_type),
            Bound::DatePart { .. } => &DataType::Int32,
            Bound::Length { input, .. } => match input.data_type() {
                DataType::LargeUtf8 | DataType::LargeBinary => &DataType::Int64,
                _ => &DataType::Int32,
            },
            Bound::Column { data_type, .. } | Bound::Arithmetic { data_type, .. } => data_type,
            Bound::Scalar(array) => array.data_type(),
            Bound::Negate(input) => input.data_type(),
            Bound::Cast { to, .. } => to,
            _ => &DataType::Boolean,
        }
    }

    /// Whether some value may make evaluation fail.
    pub(super) fn fallible(&self) -> bool {
        match self {
            Bound::Column { .. } | Bound::Scalar(_) => false,
            Bound::Arithmetic { left, right, data_type, .. } => {
                !data_type.is_floating() || left.fallible() || right.fallible()
            }
            Bound::Negate(input) => !input.data_type().is_floating() || input.fallible(),
            Bound::Compare { left, right, .. }
            | Bound::Wrapping { left, right, .. }
            | Bound::And(left, right)
            | Bound::Or(left, right) => left.fallible() || right.fallible(),
            Bound::Like { input, pattern: other, .. } | Bound::Search { input, part: other, .. } => {
                input.fallible() || other.fallible()
            }
            Bound::Case { branches, otherwise } => {
                otherwise.fallible() || branches.iter().any(|(when, then)| when.fallible() || then.fallible())
            }
            Bound::Coalesce(inputs) => inputs.iter().any(Bound::fallible),
            Bound::Not(input)
            | Bound::IsNull { input, .. }
            | Bound::IsTruth { input, .. }
            | Bound::Length { input, .. }
            | Bound::DatePart { input, .. }
            | Bound::InSet { input, .. } => input.fallible(),
            Bound::Cast { input, lenient, fallible, .. } => (*fallible && !lenient) || input.fallible(),
        }
    }
}

/// Binds and checks that the whole is a boolean.
pub(super) fn bind_predicate(expr: &Expr, schema: &Schema) -> Result<Bound> {
    boolean(bind_value(expr, schema)?, expr)
}

/// Binds an expression of any type.
pub(super) fn bind_value(expr: &Expr, schema: &Schema) -> Result<Bound> {
    bind(expr, &Scope { schema, left: Cell::new(MAX_NODES) })
}

pub(super) fn bind(expr: &Expr, scope: &Scope<'_>) -> Result<Bound> {
    let left = scope.left.get().checked_sub(1);
    scope.left.set(left.ok_or_else(|| Error::invalid(OP, "the expression repeats too much: split it".to_owned()))?);
    let sub = |expr: &Expr| bind(expr, scope);
    let truth = |expr: &Expr| boolean(bind(expr, scope)?, expr).map(Box::new);
    Ok(match expr {
        Expr::Column(name) => column(name, scope.schema)?,
        Expr::Literal(literal) => Bound::Scalar(scalar(literal)),
        Expr::Compare { op, left, right } => compare(*op, sub(left)?, sub(right)?, expr)?,
        Expr::Arithmetic { op, left, right } => arithmetic(*op, sub(left)?, sub(right)?, expr)?,
        Expr::Negate(inner) => negative(sub(inner)?, expr)?,
        Expr::And(left, right) => Bound::And(truth(left)?, truth(right)?),
        Expr::Or(left, right) => Bound::Or(truth(left)?, truth(right)?),
        Expr::Not(inner) => Bound::Not(truth(inner)?),
        Expr::IsNull { expr, negated } => Bound::IsNull { input: Box::new(sub(expr)?), negated: *negated },
        Expr::IsTruth { expr, truth: value, negated } => {
            Bound::IsTruth { input: truth(expr)?, truth: *value, negated: *negated }
        }
        Expr::InList { expr: inner, list, negated } => negate(in_list(inner, list, expr, scope)?, *negated),
        Expr::Between { .. } | Expr::Like { .. } => ranged(expr, scope)?,
        Expr::Cast { expr: inner, to, lenient } => explicit_cast(sub(inner)?, &castable(to.clone())?, *lenient, expr)?,
        Expr::Case { .. } => call::case_of(expr, scope)?,
        Expr::Call { function, args } => call::call(*function, args, expr, scope)?,
        Expr::Extract { part, expr: inner } => call::extract(*part, plain(sub(inner)?), expr)?,
    })
}

fn negate(bound: Bound, negated: bool) -> Bound {
    if negated { Bound::Not(Box::new(bound)) } else { bound }
}

fn ranged(expr: &Expr, scope: &Scope<'_>) -> Result<Bound> {
    let sub = |expr: &Expr| bind(expr, scope);
    Ok(match expr {
        Expr::Between { expr: inner, low, high, negated } => {
            let low = compare(Comparison::GtEq, sub(inner)?, sub(low)?, expr)?;
            let high = compare(Comparison::LtEq, sub(inner)?, sub(high)?, expr)?;
            negate(Bound::And(Box::new(low), Box::new(high)), *negated)
        }
        Expr::Like { expr: inner, pattern, negated, ignore_case } => {
            let (input, pattern) = align(plain(sub(inner)?), plain(sub(pattern)?), expr)?;
            if !is_text(input.data_type()) {
                return Err(Error::invalid(OP, format!("LIKE needs text, '{inner}' is {}", input.data_type())));
            }
            let like = Bound::Like { input: Box::new(input), pattern: Box::new(pattern), ignore_case: *ignore_case };
            negate(like, *negated)
        }
        _ => return Err(Error::Internal { op: OP, why: format!("{expr} is neither BETWEEN nor LIKE") }),
    })
}

fn column(name: &str, schema: &Schema) -> Result<Bound> {
    match schema.index_of(name) {
        Ok(index) => Ok(Bound::Column { index, data_type: schema.field(index).data_type().clone() }),
        Err(_) => Err(Error::missing_column(OP, name, "no such column", schema)),
    }
}

pub(super) fn scalar(literal: &Literal) -> ArrayRef {
    match literal {
        Literal::Null => Arc::new(NullArray::new(1)),
        Literal::Boolean(value) => Arc::new(BooleanArray::from(vec![*value])),
        Literal::Integer(value) => integer(*value),
        // Parsing refused what f64 cannot read; a hand-built literal that is no number is null.
        Literal::Real(text) => Arc::new(Float64Array::from(vec![text.parse::<f64>().ok()])),
        Literal::Text(text) => Arc::new(StringArray::from(vec![text.as_str()])),
    }
}

/// The narrowest of Int64, UInt64 and Decimal128(38, 0).
pub(super) fn integer(value: i128) -> ArrayRef {
    if let Ok(value) = i64::try_from(value) {
        Arc::new(Int64Array::from(vec![value]))
    } else if let Ok(value) = u64::try_from(value) {
        Arc::new(UInt64Array::from(vec![value]))
    } else {
        Arc::new(Decimal128Array::from(vec![value]))
    }
}

pub(super) fn boolean(bound: Bound, expr: &Expr) -> Result<Bound> {
    match bound.data_type() {
        DataType::Boolean => Ok(bound),
        DataType::Null => widen(bound, &DataType::Boolean),
        other => {
            Err(Error::invalid(OP, format!("'{expr}' is {other}, a condition is needed: compare it with something")))
        }
    }
}

pub(super) fn is_text(data_type: &DataType) -> bool {
    matches!(data_type, DataType::Utf8 | DataType::LargeUtf8 | DataType::Utf8View)
}

pub(super) fn is_binary(data_type: &DataType) -> bool {
    use DataType::*;
    matches!(data_type, Binary | LargeBinary | BinaryView | FixedSizeBinary(_))
}

fn is_decimal(data_type: &DataType) -> bool {
    use DataType::*;
    matches!(data_type, Decimal32(..) | Decimal64(..) | Decimal128(..) | Decimal256(..))
}

fn is_number(data_type: &DataType) -> bool {
    data_type.is_integer() || data_type.is_floating() || is_decimal(data_type)
}

/// A dictionary's values' type, and any other as it is.
pub(super) fn plain_type(data_type: &DataType) -> &DataType {
    match data_type {
        DataType::Dictionary(_, values) => values,
        other => other,
    }
}

/// Dictionaries as their values.
pub(super) fn plain(bound: Bound) -> Bound {
    match bound.data_type() {
        DataType::Dictionary(_, value) => {
            let to = (**value).clone();
            Bound::Cast { input: Box::new(bound), to, lenient: false, fallible: false }
        }
        _ => bound,
    }
}

/// A cast that fits every value; on a literal it is done now.
pub(super) fn widen(bound: Bound, to: &DataType) -> Result<Bound> {
    cast(bound, to, false)
}

fn cast(bound: Bound, to: &DataType, fallible: bool) -> Result<Bound> {
    if bound.data_type() == to {
        return Ok(bound);
    }
    steps(bound.data_type(), to).into_iter().try_fold(bound, |bound, to| match bound {
        Bound::Scalar(array) => cast::cast(&array, &to, false).map(Bound::Scalar).map_err(|e| Error::arrow(OP, e)),
        input => Ok(Bound::Cast { input: Box::new(input), to, lenient: false, fallible }),
    })
}

/// The casts that lead to a type: arrow-rs multiplies unchecked from some units to finer ones, where a detour is checked.
fn steps(from: &DataType, to: &DataType) -> Vec<DataType> {
    use DataType::{Date32, Date64, Duration, Int64, Time32, Time64, Timestamp};
    use TimeUnit::{Microsecond, Millisecond, Nanosecond};
    // arrow-rs built without a zone database takes offsets only.
    let at_zero = |unit: &TimeUnit| vec![Timestamp(*unit, Some("+00:00".into()))];
    let detour = match (from, to) {
        (Date64, Timestamp(Microsecond | Nanosecond, zone)) => vec![Timestamp(Millisecond, zone.clone())],
        (Date32 | Timestamp(_, None), Timestamp(unit, Some(zone))) if is_utc(zone) => at_zero(unit),
        (_, Timestamp(unit, Some(zone))) if is_text(from) && is_utc(zone) => at_zero(unit),
        (Timestamp(unit, Some(zone)), Date32 | Time32(_) | Time64(_)) if is_utc(zone) => at_zero(unit),
        (Timestamp(unit, Some(zone)), to) if is_utc(zone) && is_text(to) => at_zero(unit),
        (Time64(Microsecond), Time64(Nanosecond)) => vec![Int64, Duration(Microsecond), Duration(Nanosecond), Int64],
        _ => vec![],
    };
    detour.into_iter().chain([to.clone()]).collect()
}

pub(super) fn compare(op: Comparison, left: Bound, right: Bound, expr: &Expr) -> Result<Bound> {
    let (left, right) = align(plain(left), plain(right), expr)?;
    let (left, right) = (Box::new(left), Box::new(right));
    Ok(Bound::Compare { op, left, right })
}

/// Brings two operands to one type in which they compare.
pub(super) fn align(left: Bound, right: Bound, expr: &Expr) -> Result<(Bound, Bound)> {
    let (a, b) = (left.data_type().clone(), right.data_type().clone());
    if a.is_nested() || b.is_nested() {
        return Err(mismatch(&a, &b, expr, "nested types do not compare"));
    }
    if a == b {
        return Ok((left, right));
    }
    let both = |to: &DataType, left, right| Ok((widen(left, to)?, widen(right, to)?));
    match (&a, &b) {
        (DataType::Null, _) => both(&b, left, right),
        (_, DataType::Null) => both(&a, left, right),
        _ if is_number(&a) && is_number(&b) => align_numbers(left, right),
        _ if is_text(&a) && is_text(&b) => both(&text_type(&left, &right), left, right),
        _ if is_binary(&a) && is_binary(&b) => both(&DataType::LargeBinary, left, right),
        _ if a.is_temporal() && is_text(&b) => Ok((left, moment(right, &a, expr)?)),
        _ if is_text(&a) && b.is_temporal() => Ok((moment(left, &b, expr)?, right)),
        _ if a.is_temporal() && b.is_temporal() => align_times(left, right, expr),
        _ if is_text(&a) || is_text(&b) => Err(mismatch(&a, &b, expr, "write CAST(... AS ...) on one side")),
        _ => Err(mismatch(&a, &b, expr, "the types do not compare")),
    }
}

fn mismatch(a: &DataType, b: &DataType, expr: &Expr, hint: &str) -> Error {
    Error::invalid(OP, format!("'{expr}' puts {a} beside {b}: {hint}"))
}

/// A literal takes the column's text type; two columns meet in LargeUtf8.
fn text_type(left: &Bound, right: &Bound) -> DataType {
    match (left, right) {
        (other, Bound::Scalar(_)) | (Bound::Scalar(_), other) => other.data_type().clone(),
        _ => DataType::LargeUtf8,
    }
}

fn align_numbers(left: Bound, right: Bound) -> Result<(Bound, Bound)> {
    let (a, b) = (left.data_type().clone(), right.data_type().clone());
    if is_decimal(&a) != is_decimal(&b) {
        // A literal beside a decimal is read as a decimal, so that 0.1 means a tenth.
        if let Some(pair) = decimal_literal(&left, &right)? {
            return align_numbers(pair.0, pair.1);
        }
    }
    // A literal that fits the column's own type spares the column a cast.
    if let Some(right) = literal_as(&right, &a) {
        return Ok((left, right));
    }
    if let Some(left) = literal_as(&left, &b) {
        return Ok((left, right));
    }
    let to = common_number(&a, &b);
    Ok((widen(left, &to)?, widen(right, &to)?))
}

/// An integer literal in an integer type that holds it.
fn literal_as(bound: &Bound, to: &DataType) -> Option<Bound> {
    let Bound::Scalar(array) = bound else { return None };
    if !array.data_type().is_integer() || !to.is_integer() {
        return None;
    }
    let cast = cast::cast(array, to, true).ok()?;
    (cast.null_count() == array.null_count()).then_some(Bound::Scalar(cast))
}

/// The pair with its f64 literal turned into a decimal, when one side is an f64 literal and the other a decimal.
fn decimal_literal(left: &Bound, right: &Bound) -> Result<Option<(Bound, Bound)>> {
    let as_decimal = |bound: &Bound| -> Option<Bound> {
        let Bound::Scalar(array) = bound else { return None };
        let value = array.as_any().downcast_ref::<Float64Array>()?;
        // The shortest text that reads back as this f64 is what was written, up to 17 digits.
        let text = format!("{}", value.value(0));
        let fraction = text.split_once('.').map_or(0, |(_, f)| f.len());
        if value.is_null(0) || text.len() > 30 {
            return None;
        }
        // Its own digits, so that the meeting type stays narrow.
        let digits = text.bytes().filter(u8::is_ascii_digit).count();
        let to = DataType::Decimal128(digits as u8, fraction as i8);
        let text: ArrayRef = Arc::new(StringArray::from(vec![text]));
        cast::cast(&text, &to, false).ok().map(Bound::Scalar)
    };
    let clone = |bound: &Bound| match bound {
        Bound::Column { index, data_type } => Some(Bound::Column { index: *index, data_type: data_type.clone() }),
        Bound::Scalar(array) => Some(Bound::Scalar(array.clone())),
        _ => None,
    };
    Ok(match (is_decimal(left.data_type()), is_decimal(right.data_type())) {
        (true, false) => clone(left).zip(as_decimal(right)),
        (false, true) => as_decimal(left).zip(clone(right)),
        _ => None,
    })
}

/// The type that holds every value of both; f64 where one is a float.
fn common_number(a: &DataType, b: &DataType) -> DataType {
    if a.is_floating() || b.is_floating() {
        return DataType::Float64;
    }
    if !is_decimal(a) && !is_decimal(b) {
        return match (a.is_unsigned_integer(), b.is_unsigned_integer()) {
            (true, true) => DataType::UInt64,
            _ if *a == DataType::UInt64 || *b == DataType::UInt64 => DataType::Decimal128(20, 0),
            _ => DataType::Int64,
        };
    }
    let ((pa, sa), (pb, sb)) = (digits(a), digits(b));
    let scale = sa.max(sb);
    let precision = (pa - sa).max(pb - sb) + scale;
    if precision <= 38 {
        DataType::Decimal128(precision as u8, scale as i8)
    } else {
        DataType::Decimal256(precision.min(76) as u8, scale as i8)
    }
}

/// Precision and scale of a decimal, or of the decimal that holds an integer type.
fn digits(data_type: &DataType) -> (i32, i32) {
    use DataType::*;
    match data_type {
        Decimal32(p, s) | Decimal64(p, s) | Decimal128(p, s) | Decimal256(p, s) => (i32::from(*p), i32::from(*s)),
        Int8 | UInt8 => (3, 0),
        Int16 | UInt16 => (5, 0),
        Int32 | UInt32 => (10, 0),
        _ => (20, 0),
    }
}

/// A text literal as a date, time or timestamp. Text without an offset is UTC beside a zoned timestamp.
fn moment(text: Bound, to: &DataType, expr: &Expr) -> Result<Bound> {
    let Bound::Scalar(array) = &text else {
        return Err(mismatch(text.data_type(), to, expr, "write CAST(... AS ...) around the text"));
    };
    let utc = match to {
        DataType::Timestamp(unit, Some(_)) => DataType::Timestamp(*unit, Some("+00:00".into())),
        other => other.clone(),
    };
    let value = cast::cast(array, &utc, false)
        .map_err(|e| Error::invalid(OP, format!("in '{expr}': the text is no {to}: {e}")))?;
    widen(Bound::Scalar(value), to)
}

/// Timestamps meet in the finer unit and the left one's zone (zones name the same instants); dates become timestamps;
/// intervals of two units meet in that of months, days and nanoseconds.
fn align_times(left: Bound, right: Bound, expr: &Expr) -> Result<(Bound, Bound)> {
    use DataType::{Date32, Date64, Duration, Interval, Time32, Time64, Timestamp};
    let (a, b) = (left.data_type().clone(), right.data_type().clone());
    let to = match (&a, &b) {
        (Timestamp(ua, za), Timestamp(ub, zb)) => Timestamp(finer(*ua, *ub), za.clone().or_else(|| zb.clone())),
        (Timestamp(unit, zone), Date32 | Date64) | (Date32 | Date64, Timestamp(unit, zone)) => {
            Timestamp(*unit, zone.clone())
        }
        (Date32, Date64) | (Date64, Date32) => Date64,
        (Duration(a), Duration(b)) => Duration(finer(*a, *b)),
        (Interval(_), Interval(_)) => Interval(IntervalUnit::MonthDayNano),
        (Time32(a) | Time64(a), Time32(b) | Time64(b)) => match finer(*a, *b) {
            unit @ (TimeUnit::Second | TimeUnit::Millisecond) => Time32(unit),
            unit => Time64(unit),
        },
        _ => return Err(mismatch(&a, &b, expr, "the types do not compare")),
    };
    Ok((instant(left, &to)?, instant(right, &to)?))
}

/// To a timestamp type, reading what has no zone as UTC.
pub(super) fn instant(bound: Bound, to: &DataType) -> Result<Bound> {
    let zoned = matches!(bound.data_type(), DataType::Timestamp(_, Some(_)));
    match to {
        DataType::Timestamp(unit, Some(_)) if !zoned => {
            let utc = cast(bound, &DataType::Timestamp(*unit, Some("+00:00".into())), true)?;
            cast(utc, to, true)
        }
        _ => cast(bound, to, true),
    }
}

fn finer(a: TimeUnit, b: TimeUnit) -> TimeUnit {
    let rank = |unit: &TimeUnit| match unit {
        TimeUnit::Second => 0,
        TimeUnit::Millisecond => 1,
        TimeUnit::Microsecond => 2,
        TimeUnit::Nanosecond => 3,
    };
    if rank(&a) >= rank(&b) { a } else { b }
}

fn arithmetic(op: Arithmetic, left: Bound, right: Bound, expr: &Expr) -> Result<Bound> {
    let (left, right) = (plain(left), plain(right));
    let (a, b) = (left.data_type().clone(), right.data_type().clone());
    if a.is_temporal() || b.is_temporal() {
        return shift(op, left, right, expr);
    }
    let number = |t: &DataType| is_number(t) || *t == DataType::Null;
    if !number(&a) || !number(&b) {
        return Err(mismatch(&a, &b, expr, "arithmetic needs numbers"));
    }
    let to = if a.is_floating() || b.is_floating() {
        Some(float_result(&a, &b))
    } else if is_decimal(&a) || is_decimal(&b) {
        None
    } else {
        Some(integer_result(op, &left, &right))
    };
    let (left, right) = match &to {
        Some(to) => (widen(left, to)?, widen(right, to)?),
        None => {
            // Each with its own digits: arrow-rs's kernels bring the scales together.
            let large = matches!(a, DataType::Decimal256(..)) || matches!(b, DataType::Decimal256(..));
            let side = |bound: Bound| {
                let (precision, scale) = digits(bound.data_type());
                let to = if large { DataType::Decimal256 } else { DataType::Decimal128 };
                widen(bound, &to(precision as u8, scale as i8))
            };
            (side(left)?, side(right)?)
        }
    };
    let data_type = result_type(op, left.data_type(), right.data_type(), expr)?;
    Ok(Bound::Arithmetic { op, left: Box::new(left), right: Box::new(right), data_type })
}

/// The wider float; an integer takes the other side's type, a decimal f64.
fn float_result(a: &DataType, b: &DataType) -> DataType {
    let rank = |t: &DataType| match t {
        DataType::Float16 => 1,
        DataType::Float32 => 2,
        t if t.is_integer() || *t == DataType::Null => 0,
        _ => 3,
    };
    match rank(a).max(rank(b)) {
        1 => DataType::Float16,
        2 => DataType::Float32,
        _ => DataType::Float64,
    }
}

/// Sums and differences of dates, timestamps, durations and intervals. Two dates differ by days, two timestamps by a
/// duration.
fn shift(op: Arithmetic, left: Bound, right: Bound, expr: &Expr) -> Result<Bound> {
    use DataType::{Date32, Duration, Interval, Null, Timestamp};
    let (a, b) = (left.data_type().clone(), right.data_type().clone());
    if !matches!(op, Arithmetic::Add | Arithmetic::Subtract) {
        return Err(mismatch(&a, &b, expr, "times are only added and subtracted"));
    }
    let (left, right) = match (&a, &b) {
        (Null, _) => (widen(left, &b)?, right),
        (_, Null) => (left, widen(right, &a)?),
        (Date32, Date32) if op == Arithmetic::Subtract => {
            let days = |bound| widen(widen(bound, &DataType::Int32)?, &DataType::Int64);
            (days(left)?, days(right)?)
        }
        (Timestamp(..), Timestamp(..)) => {
            let (left, right) = align_times(left, right, expr)?;
            (in_utc(left, false)?, in_utc(right, false)?)
        }
        (Interval(a), Interval(b)) if a == b => (left, right),
        (Duration(_), Duration(_)) | (Interval(_), Interval(_)) => align_times(left, right, expr)?,
        (Timestamp(unit, zone), Duration(other)) => {
            let to = Timestamp(finer(*unit, *other), zone.clone());
            let left = in_utc(instant(left, &to)?, false)?;
            let right = cast(right, &Duration(finer(*unit, *other)), true)?;
            return instant(shifted(op, left, right, expr)?, &to);
        }
        (Duration(_), Timestamp(..)) | (Interval(_), Date32 | Timestamp(..)) if op == Arithmetic::Add => {
            return shift(op, right, left, expr);
        }
        (Date32 | Timestamp(..), Interval(_)) => {
            let left = in_utc(left, true)?;
            return instant(shifted(op, left, right, expr)?, &a);
        }
        _ => return Err(mismatch(&a, &b, expr, "write CAST(... AS ...) on one side")),
    };
    shifted(op, left, right, expr)
}

fn shifted(op: Arithmetic, left: Bound, right: Bound, expr: &Expr) -> Result<Bound> {
    let data_type = result_type(op, left.data_type(), right.data_type(), expr)?;
    Ok(Bound::Arithmetic { op, left: Box::new(left), right: Box::new(right), data_type })
}

/// A zoned timestamp as the same instant at offset zero: arrow-rs built without a zone database takes offsets only.
/// `local`: only where the zone is UTC by name, because the local date counts.
pub(super) fn in_utc(bound: Bound, local: bool) -> Result<Bound> {
    match bound.data_type().clone() {
        DataType::Timestamp(unit, Some(zone)) if !local || is_utc(&zone) => {
            widen(bound, &DataType::Timestamp(unit, Some("+00:00".into())))
        }
        _ => Ok(bound),
    }
}

/// Where integers are computed: u64 for unsigned operands (a literal counts by its sign), except for differences of narrow
/// types, which may be negative; else i64; a decimal for u64 with a signed operand.
fn integer_result(op: Arithmetic, left: &Bound, right: &Bound) -> DataType {
    let sides = [left, right];
    let unsigned =
        sides.iter().all(|s| s.data_type().is_unsigned_integer() || literal_as(s, &DataType::UInt64).is_some());
    let typed = sides.iter().any(|s| s.data_type().is_unsigned_integer());
    let wide = sides.iter().any(|s| *s.data_type() == DataType::UInt64);
    match (unsigned && typed, wide) {
        (true, wide) if wide || op != Arithmetic::Subtract => DataType::UInt64,
        (_, true) => DataType::Decimal128(20, 0),
        _ => DataType::Int64,
    }
}

/// What arrow-rs's kernel returns for these types, asked of empty arrays.
fn result_type(op: Arithmetic, a: &DataType, b: &DataType, expr: &Expr) -> Result<DataType> {
    let (a, b) = (arrow::array::new_empty_array(a), arrow::array::new_empty_array(b));
    super::eval::arithmetic(op, &a, &b)
        .map(|array| array.data_type().clone())
        .map_err(|e| Error::invalid(OP, format!("'{expr}': {e}")))
}

fn negative(input: Bound, expr: &Expr) -> Result<Bound> {
    let input = plain(input);
    let data_type = input.data_type().clone();
    let to = match &data_type {
        t if t.is_floating() || is_decimal(t) => t.clone(),
        t @ (DataType::Duration(_) | DataType::Interval(_)) => t.clone(),
        DataType::UInt64 => DataType::Decimal128(20, 0),
        t if t.is_integer() || *t == DataType::Null => DataType::Int64,
        other => return Err(Error::invalid(OP, format!("'{expr}': cannot negate {other}"))),
    };
    Ok(Bound::Negate(Box::new(widen(input, &to)?)))
}

fn in_list(inner: &Expr, list: &[Expr], expr: &Expr, scope: &Scope<'_>) -> Result<Bound> {
    let input = || bind(inner, scope).map(plain);
    let mut scalars = Vec::with_capacity(list.len());
    for item in list {
        // Candidates that take the input's own type go into one set; the first that does not ends the attempt.
        let (left, right) = align(input()?, plain(bind(item, scope)?), expr)?;
        match right {
            Bound::Scalar(array) if left.data_type() == input()?.data_type() => scalars.push(array),
            _ => return any_equal(inner, list, expr, scope),
        }
    }
    if scalars.is_empty() {
        return Err(Error::invalid(OP, format!("'{expr}': the list is empty")));
    }
    let arrays: Vec<&dyn Array> = scalars.iter().map(|a| a.as_ref()).collect();
    let set = arrow::compute::concat(&arrays).map_err(|e| Error::arrow(OP, e))?;
    Ok(Bound::InSet { input: Box::new(input()?), set })
}

/// The general form: `a IN (x, y)` as `a = x OR a = y`, as a balanced tree so that long lists stay shallow.
fn any_equal(inner: &Expr, list: &[Expr], expr: &Expr, scope: &Scope<'_>) -> Result<Bound> {
    match list {
        [item] => compare(Comparison::Eq, bind(inner, scope)?, bind(item, scope)?, expr),
        _ => {
            let (left, right) = list.split_at(list.len() / 2);
            let (left, right) = (any_equal(inner, left, expr, scope)?, any_equal(inner, right, expr, scope)?);
            Ok(Bound::Or(Box::new(left), Box::new(right)))
        }
    }
}

fn explicit_cast(input: Bound, to: &DataType, lenient: bool, expr: &Expr) -> Result<Bound> {
    // Of a dictionary arrow-rs casts every value, which may fail for one that no row has.
    let input = if matches!(to, DataType::Dictionary(..)) { input } else { plain(input) };
    let from = input.data_type().clone();
    if !can_cast_types(&from, to) {
        return Err(Error::invalid(OP, format!("'{expr}': {from} does not cast to {to}")));
    }
    steps(&from, to).into_iter().try_fold(input, |input, to| match input {
        Bound::Scalar(array) => {
            let value = cast::cast(&array, &to, lenient);
            Ok(Bound::Scalar(value.map_err(|e| Error::invalid(OP, format!("'{expr}': {e}")))?))
        }
        input => Ok(Bound::Cast { input: Box::new(input), to, lenient, fallible: true }),
    })
}
