//! Evaluation of bound expressions by arrow-rs's kernels.

use std::collections::HashSet;
use std::sync::Arc;

use arrow::array::{
    Array, ArrayRef, ArrowPrimitiveType, AsArray, BooleanArray, BooleanBufferBuilder, Datum, Float16Array,
    Float32Array, Float64Array, GenericByteArray, RecordBatch, Scalar, new_null_array,
};
use arrow::buffer::{BooleanBuffer, NullBuffer};
use arrow::compute::kernels::{cmp, numeric};
use arrow::compute::{self, filter_record_batch};
use arrow::datatypes::{
    BinaryType, ByteArrayType, DataType, Float16Type, Float32Type, Float64Type, IntervalMonthDayNano,
    IntervalMonthDayNanoType, IntervalUnit, IntervalYearMonthType, LargeBinaryType, LargeUtf8Type, Utf8Type,
};
use arrow::error::ArrowError;
use arrow::row::{RowConverter, SortField};
use half::f16;
use rayon::prelude::*;

use super::bind::{Bound, Place};
use super::cast;
use super::choice;
use super::cuda::Programs;
use super::{Arithmetic, Comparison};
use crate::error::{Error, Result};

/// An expression bound to a schema. Evaluates any record batch of that schema, from any thread.
#[derive(Clone, Debug)]
pub struct Predicate {
    pub(super) root: Arc<Bound>,
    text: String,
    /// Its kernels.
    pub(super) programs: Arc<Programs>,
}

impl Predicate {
    pub(super) fn new(root: Bound, text: String) -> Result<Self> {
        Ok(Predicate { root: Arc::new(root), text, programs: Arc::default() })
    }

    /// The selection mask of a batch: one value per row, null where the condition is unknown, which selects nothing.
    ///
    /// ```
    /// use std::sync::Arc;
    /// use arrow::array::{ArrayRef, BooleanArray, Int32Array, RecordBatch};
    /// use warpline::ops::expr::Expr;
    ///
    /// let width: ArrayRef = Arc::new(Int32Array::from(vec![Some(100), Some(300), None]));
    /// let batch = RecordBatch::try_from_iter([("width", width)]).unwrap();
    /// let predicate = Expr::parse("width >= 224")?.bind(&batch.schema())?;
    /// assert_eq!(predicate.evaluate(&batch)?, BooleanArray::from(vec![Some(false), Some(true), None]));
    /// # Ok::<(), warpline::Error>(())
    /// ```
    ///
    /// # Errors
    /// `InvalidInput` with the lowest failing row of the batch: integer overflow, division by zero, a cast that does not
    /// fit. Rows that AND, OR, CASE or COALESCE have already decided do not fail.
    ///
    /// # Cost
    /// One pass over the columns read per operator, in row chunks on rayon's threads; nothing is copied but results.
    pub fn evaluate(&self, batch: &RecordBatch) -> Result<BooleanArray> {
        let mask = |part: &RecordBatch| evaluate(&self.root, part)?.into_array(part.num_rows());
        in_chunks(batch, |chunk| Ok(vec![mask(chunk)?]))
            .and_then(|masks| Ok(as_boolean(&masks[0])?.clone()))
            .map_err(|error| locate("filter", &self.text, batch, error, |part| mask(part).map(drop)))
    }
}

/// Rows of a chunk: few enough that what one operator leaves is in the cache for the next, many enough that kernels pay.
const CHUNK: usize = 1 << 13;

/// Evaluates chunks of rows at the same time, and puts the arrays that they give one behind another.
pub(super) fn in_chunks(
    batch: &RecordBatch,
    evaluate: impl Fn(&RecordBatch) -> Result<Vec<ArrayRef>, ArrowError> + Sync,
) -> Result<Vec<ArrayRef>, ArrowError> {
    let rows = batch.num_rows();
    if rows < 2 * CHUNK {
        return evaluate(batch);
    }
    let chunk = |n: usize| evaluate(&batch.slice(n * CHUNK, CHUNK.min(rows - n * CHUNK)));
    let chunks: Vec<Vec<ArrayRef>> = (0..rows.div_ceil(CHUNK)).into_par_iter().map(chunk).collect::<Result<_, _>>()?;
    let whole = |output: usize| {
        let parts: Vec<&dyn Array> = chunks.iter().map(|arrays| arrays[output].as_ref()).collect();
        compute::concat(&parts)
    };
    (0..chunks[0].len()).into_par_iter().map(whole).collect()
}

/// Names the lowest failing row: the shortest prefix that fails ends in it.
pub(super) fn locate(
    op: &'static str,
    text: &str,
    batch: &RecordBatch,
    mut error: ArrowError,
    evaluate: impl Fn(&RecordBatch) -> Result<(), ArrowError>,
) -> Error {
    let (mut passing, mut failing) = (0, batch.num_rows());
    while failing - passing > 1 {
        let middle = passing + (failing - passing) / 2;
        match evaluate(&batch.slice(0, middle)) {
            Ok(()) => passing = middle,
            Err(e) => (failing, error) = (middle, e),
        }
    }
    let row = failing.checked_sub(1).map(|row| row as u64);
    Error::InvalidInput { op, column: None, row, why: format!("{error} in '{text}'") }
}

/// A value per row, or one for all rows.
pub(super) enum Value {
    Array(ArrayRef),
    Scalar(Scalar<ArrayRef>),
}

impl Value {
    pub(super) fn into_array(self, rows: usize) -> Result<ArrayRef, ArrowError> {
        match self {
            Value::Array(array) => Ok(array),
            Value::Scalar(scalar) => {
                let array = scalar.into_inner();
                if array.is_null(0) {
                    return Ok(new_null_array(array.data_type(), rows));
                }
                let zeros = arrow::array::UInt64Array::from(vec![0; rows]);
                compute::take(&array, &zeros, None)
            }
        }
    }

    pub(super) fn datum(&self) -> &dyn Datum {
        match self {
            Value::Array(array) => array,
            Value::Scalar(scalar) => scalar,
        }
    }

    /// Applies an elementwise function, keeping a scalar a scalar.
    fn map(self, f: impl FnOnce(&ArrayRef) -> Result<ArrayRef, ArrowError>) -> Result<Value, ArrowError> {
        Ok(match self {
            Value::Array(array) => Value::Array(f(&array)?),
            Value::Scalar(scalar) => Value::Scalar(Scalar::new(f(&scalar.into_inner())?)),
        })
    }
}

/// Applies a kernel to two values; two scalars give a scalar.
fn zip(
    left: &Value,
    right: &Value,
    f: impl FnOnce(&dyn Datum, &dyn Datum) -> Result<ArrayRef, ArrowError>,
) -> Result<Value, ArrowError> {
    let result = f(left.datum(), right.datum())?;
    Ok(match (left, right) {
        (Value::Scalar(_), Value::Scalar(_)) => Value::Scalar(Scalar::new(result)),
        _ => Value::Array(result),
    })
}

pub(super) fn as_boolean(array: &ArrayRef) -> Result<&BooleanArray, ArrowError> {
    array
        .as_any()
        .downcast_ref::<BooleanArray>()
        .ok_or_else(|| ArrowError::ComputeError(format!("expected a boolean, found {}", array.data_type())))
}

pub(super) fn evaluate(bound: &Bound, batch: &RecordBatch) -> Result<Value, ArrowError> {
    let sub = |bound: &Bound| evaluate(bound, batch);
    match bound {
        Bound::Column { index, .. } => Ok(Value::Array(batch.column(*index).clone())),
        Bound::Scalar(array) => Ok(Value::Scalar(Scalar::new(array.clone()))),
        Bound::Compare { op, left, right } => {
            let (left, right) = (sub(left)?.map(canonical_floats)?, sub(right)?.map(canonical_floats)?);
            zip(&left, &right, |l, r| compare(*op, l, r).map(|mask| Arc::new(mask) as ArrayRef))
        }
        Bound::Arithmetic { op, left, right, .. } => zip(&sub(left)?, &sub(right)?, |l, r| arithmetic(*op, l, r)),
        Bound::Negate(input) => sub(input)?.map(|array| numeric::neg(array)),
        Bound::And(left, right) => connect(left, right, batch, false),
        Bound::Or(left, right) => connect(left, right, batch, true),
        Bound::Not(input) => sub(input)?.map(|array| Ok(Arc::new(compute::not(as_boolean(array)?)?) as ArrayRef)),
        Bound::IsNull { input, negated } => sub(input)?.map(|array| {
            let mask = if *negated { compute::is_not_null(array)? } else { compute::is_null(array)? };
            Ok(Arc::new(mask) as ArrayRef)
        }),
        Bound::IsTruth { input, truth, negated } => sub(input)?.map(|array| {
            let hits = holds(as_boolean(array)?, *truth);
            Ok(Arc::new(BooleanArray::new(if *negated { !&hits } else { hits }, None)) as ArrayRef)
        }),
        Bound::InSet { input, set } => sub(input)?.map(|array| in_set(array, set)),
        Bound::Like { input, pattern, ignore_case } => zip(&sub(input)?, &sub(pattern)?, |l, r| {
            let mask = if *ignore_case { compute::ilike(l, r)? } else { compute::like(l, r)? };
            Ok(Arc::new(mask) as ArrayRef)
        }),
        Bound::Cast { input, to, lenient, .. } => sub(input)?.map(|array| cast::cast(array, to, *lenient)),
        other => function(other, batch),
    }
}

/// The nodes that are calls, apart from [`evaluate`] so that its frame, of which each level of nesting has one, stays small.
#[inline(never)]
fn function(bound: &Bound, batch: &RecordBatch) -> Result<Value, ArrowError> {
    let sub = |bound: &Bound| evaluate(bound, batch);
    match bound {
        Bound::Wrapping { op, left, right } => zip(&sub(left)?, &sub(right)?, |l, r| match op {
            Arithmetic::Add => numeric::add_wrapping(l, r),
            Arithmetic::Multiply => numeric::mul_wrapping(l, r),
            _ => numeric::sub_wrapping(l, r),
        }),
        Bound::Search { place, input, part } => zip(&sub(input)?, &sub(part)?, |l, r| {
            let mask = match place {
                Place::Start => compute::starts_with(l, r)?,
                Place::End => compute::ends_with(l, r)?,
                Place::Anywhere => compute::contains(l, r)?,
            };
            Ok(Arc::new(mask) as ArrayRef)
        }),
        Bound::Length { input, bytes } => sub(input)?.map(|array| choice::lengths(array, *bytes)),
        Bound::DatePart { part, input } => sub(input)?.map(|array| compute::date_part(array, part.to_arrow())),
        Bound::Case { branches, otherwise } => choice::case(branches, otherwise, batch),
        Bound::Coalesce(inputs) => choice::coalesce(inputs, batch),
        other => Err(ArrowError::ComputeError(format!("{other:?} is no function"))),
    }
}

fn compare(op: Comparison, left: &dyn Datum, right: &dyn Datum) -> Result<BooleanArray, ArrowError> {
    match op {
        Comparison::Eq => cmp::eq(left, right),
        Comparison::NotEq => cmp::neq(left, right),
        Comparison::Lt => cmp::lt(left, right),
        Comparison::LtEq => cmp::lt_eq(left, right),
        Comparison::Gt => cmp::gt(left, right),
        Comparison::GtEq => cmp::gt_eq(left, right),
    }
}

/// Checked arithmetic: overflow and integer division by zero are errors.
pub(super) fn arithmetic(op: Arithmetic, left: &dyn Datum, right: &dyn Datum) -> Result<ArrayRef, ArrowError> {
    match op {
        Arithmetic::Add => numeric::add(left, right),
        Arithmetic::Subtract => match fewest_months(left, right) {
            Some(Value::Array(right)) => numeric::sub(left, &right),
            Some(Value::Scalar(right)) => numeric::sub(left, &right),
            None => numeric::sub(left, right),
        },
        Arithmetic::Multiply => numeric::mul(left, right),
        Arithmetic::Divide => numeric::div(left, right),
        Arithmetic::Remainder => numeric::rem(left, right),
    }
}

/// arrow-rs (59.3) takes dates back by negated months, which panics for the least number of them where overflow is checked.
/// One month more is as far off the calendar.
fn fewest_months(left: &dyn Datum, right: &dyn Datum) -> Option<Value> {
    let ((left, _), (right, is_scalar)) = (left.get(), right.get());
    if !matches!(left.data_type(), DataType::Date32) {
        return None;
    }
    let fewest = |months: i32| months.max(-i32::MAX);
    let moved: ArrayRef = match right.data_type() {
        DataType::Interval(IntervalUnit::YearMonth) => {
            let array = right.as_primitive::<IntervalYearMonthType>();
            array.values().contains(&i32::MIN).then(|| Arc::new(array.unary::<_, IntervalYearMonthType>(fewest)))?
        }
        DataType::Interval(IntervalUnit::MonthDayNano) => {
            let array = right.as_primitive::<IntervalMonthDayNanoType>();
            let moved = |x: IntervalMonthDayNano| IntervalMonthDayNano { months: fewest(x.months), ..x };
            let any = array.values().iter().any(|x| x.months == i32::MIN);
            any.then(|| Arc::new(array.unary::<_, IntervalMonthDayNanoType>(moved)))?
        }
        _ => return None,
    };
    Some(if is_scalar { Value::Scalar(Scalar::new(moved)) } else { Value::Array(moved) })
}

/// arrow-rs compares floats by IEEE 754 totalOrder, which tells -0.0 from 0.0 and negative NaNs from positive ones:
/// with one zero and one NaN that order is PostgreSQL's.
fn canonical_floats(array: &ArrayRef) -> Result<ArrayRef, ArrowError> {
    fn one_zero_one_nan(x: f64) -> f64 {
        if x.is_nan() { f64::NAN.abs() } else { x + 0.0 }
    }
    let any = array.as_any();
    Ok(if let Some(floats) = any.downcast_ref::<Float64Array>() {
        Arc::new(floats.unary::<_, arrow::datatypes::Float64Type>(one_zero_one_nan))
    } else if let Some(floats) = any.downcast_ref::<Float32Array>() {
        Arc::new(floats.unary::<_, arrow::datatypes::Float32Type>(|x| one_zero_one_nan(f64::from(x)) as f32))
    } else if any.is::<Float16Array>() {
        // Widening keeps order and equality; both sides are widened alike, having one type.
        canonical_floats(&compute::cast(array, &DataType::Float32)?)?
    } else {
        array.clone()
    })
}

/// Floats with one NaN, whose sign and payload processors choose differently.
fn one_nan(array: ArrayRef) -> ArrayRef {
    fn floats<T: ArrowPrimitiveType>(array: &ArrayRef, nan: T::Native, is_nan: impl Fn(T::Native) -> bool) -> ArrayRef {
        Arc::new(array.as_primitive::<T>().unary::<_, T>(|x| if is_nan(x) { nan } else { x }))
    }
    match array.data_type() {
        DataType::Float16 => floats::<Float16Type>(&array, f16::from_bits(0x7e00), f16::is_nan),
        DataType::Float32 => floats::<Float32Type>(&array, f32::from_bits(0x7fc0_0000), f32::is_nan),
        DataType::Float64 => floats::<Float64Type>(&array, f64::from_bits(0x7ff8_0000_0000_0000), f64::is_nan),
        _ => array,
    }
}

/// As it is computed everywhere here: one NaN, and no text under nulls.
pub(super) fn canonical(array: ArrayRef) -> ArrayRef {
    fn empty_nulls<T: ByteArrayType>(array: &ArrayRef) -> ArrayRef {
        let bytes = array.as_bytes::<T>();
        let shown = |row: usize| bytes.is_null(row) && bytes.value_length(row) != T::Offset::default();
        match bytes.null_count() > 0 && (0..bytes.len()).any(shown) {
            true => Arc::new(bytes.iter().collect::<GenericByteArray<T>>()),
            false => array.clone(),
        }
    }
    match array.data_type() {
        DataType::Utf8 => empty_nulls::<Utf8Type>(&array),
        DataType::LargeUtf8 => empty_nulls::<LargeUtf8Type>(&array),
        DataType::Binary => empty_nulls::<BinaryType>(&array),
        DataType::LargeBinary => empty_nulls::<LargeBinaryType>(&array),
        _ => one_nan(array),
    }
}

/// AND (`decisive` false) and OR (`decisive` true): the left side's decisive value decides a row whatever the right is.
/// A right side that may fail is evaluated on the undecided rows only.
fn connect(left: &Bound, right: &Bound, batch: &RecordBatch, decisive: bool) -> Result<Value, ArrowError> {
    let rows = batch.num_rows();
    let left = evaluate(left, batch)?.into_array(rows)?;
    let left = as_boolean(&left)?;
    let right = if right.fallible() {
        let undecided = BooleanArray::new(!&holds(left, decisive), None);
        match undecided.true_count() {
            0 => return Ok(Value::Array(Arc::new(left.clone()))),
            n if n == rows => evaluate(right, batch)?.into_array(rows)?,
            n => {
                let part = evaluate(right, &filter_record_batch(batch, &undecided)?)?.into_array(n)?;
                Arc::new(scatter(as_boolean(&part)?, undecided.values()))
            }
        }
    } else {
        evaluate(right, batch)?.into_array(rows)?
    };
    let right = as_boolean(&right)?;
    let mask = if decisive { compute::or_kleene(left, right)? } else { compute::and_kleene(left, right)? };
    Ok(Value::Array(Arc::new(mask)))
}

/// Rows that are valid and equal to `truth`.
pub(super) fn holds(array: &BooleanArray, truth: bool) -> BooleanBuffer {
    let values = if truth { array.values().clone() } else { !array.values() };
    match array.nulls() {
        Some(nulls) => &values & nulls.inner(),
        None => values,
    }
}

/// Puts the values of `part` at the set positions of `at`, null elsewhere.
fn scatter(part: &BooleanArray, at: &BooleanBuffer) -> BooleanArray {
    let (mut values, mut valid) = (BooleanBufferBuilder::new(at.len()), BooleanBufferBuilder::new(at.len()));
    values.append_n(at.len(), false);
    valid.append_n(at.len(), false);
    for (from, to) in at.set_indices().enumerate() {
        if part.is_valid(from) {
            values.set_bit(to, part.value(from));
            valid.set_bit(to, true);
        }
    }
    BooleanArray::new(values.finish(), Some(NullBuffer::new(valid.finish())))
}

/// `input IN (set)` through arrow-rs's row format: null stays null, and "not found" is null when the set holds a null.
fn in_set(input: &ArrayRef, set: &ArrayRef) -> Result<ArrayRef, ArrowError> {
    let (input, set) = (canonical_floats(input)?, canonical_floats(set)?);
    let converter = RowConverter::new(vec![SortField::new(input.data_type().clone())])?;
    let set_rows = converter.convert_columns(std::slice::from_ref(&set))?;
    // An array of the null type says that its rows are valid.
    let [nulls, set_nulls] = [&input, &set].map(|array| array.logical_nulls());
    let is_null = |nulls: &Option<NullBuffer>, row| nulls.as_ref().is_some_and(|nulls| nulls.is_null(row));
    let known = (0..set.len()).filter(|i| !is_null(&set_nulls, *i));
    let members: HashSet<&[u8]> = known.map(|i| set_rows.row(i).data()).collect();
    let rows = converter.convert_columns(std::slice::from_ref(&input))?;
    let miss = (set.logical_null_count() == 0).then_some(false);
    let found = (0..input.len()).map(|i| match !is_null(&nulls, i) {
        false => None,
        true if members.contains(rows.row(i).data()) => Some(true),
        true => miss,
    });
    Ok(Arc::new(found.collect::<BooleanArray>()))
}
