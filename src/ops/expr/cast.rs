//! arrow-rs's casts, and what it does not get right.

use std::sync::Arc;

use arrow::array::{
    Array, ArrayData, ArrayRef, ArrowNativeTypeOp, AsArray, Decimal128Array, Decimal256Array, Scalar, make_array,
};
use arrow::buffer::{MutableBuffer, NullBuffer};
use arrow::compute::{self, CastOptions, cast_with_options};
use arrow::datatypes::{DataType, Decimal128Type, Decimal256Type, DecimalType, i256};
use arrow::error::ArrowError;

use super::bind::{is_binary, is_text};
use super::emit::bytes_of;
use super::zone::{Zone, on_calendar};

/// What does not fit fails, or with `lenient` is null.
pub(in crate::ops) fn cast(array: &ArrayRef, to: &DataType, lenient: bool) -> Result<ArrayRef, ArrowError> {
    use DataType::{Date32, Date64, Timestamp};
    if let Some(result) = decimal(array, to, lenient) {
        return result;
    }
    let options = CastOptions { safe: lenient, ..Default::default() };
    match (array.data_type(), to) {
        (Date32 | Date64 | Timestamp(_, None), Timestamp(unit, Some(name))) => {
            let Some(zone) = Zone::of(name) else { return cast_with_options(array, to, &options) };
            let plain = cast_with_options(array, &Timestamp(*unit, None), &options)?;
            let kept = on_calendar(&plain, unit, |local| zone.utc(local).unwrap_or(local), lenient)?;
            cast_with_options(&kept, to, &options)
        }
        (Timestamp(unit, Some(name)), to) if *to == Date32 || is_text(to) => {
            let Some(zone) = Zone::of(name) else { return cast_with_options(array, to, &options) };
            cast_with_options(&on_calendar(array, unit, |second| second + zone.ahead(second), false)?, to, &options)
        }
        (from, to) if is_binary(from) && is_text(to) && !lenient => {
            // arrow-rs looks at what lies under nulls too, and counts its bytes from other rows on.
            let text = compute::cast(array, to)?;
            match (0..array.len()).find(|&row| array.is_valid(row) && text.is_null(row)) {
                None => Ok(text),
                Some(row) => match std::str::from_utf8(bytes_of(array, row)) {
                    Err(why) => Err(ArrowError::CastError(format!("the bytes are no UTF-8: {why}"))),
                    Ok(_) => cast_with_options(array, to, &options),
                },
            }
        }
        _ => cast_with_options(array, to, &options),
    }
}

/// Casts of decimals and integers that arrow-rs (59.3) gets wrong:
/// - integers become Decimal32 and Decimal64 by way of i32 and i64, cut to those first: 2^32 + 5 becomes 5;
/// - 256-bit decimals from 2^64 on whose low 64 bits are small become Int64 by those bits;
/// - decimals with a scale below zero become integers in their own width: 99,999 x 10^5 passes Decimal32's;
/// - a rescale counts digits in i8: from Decimal256(76, 0) to Decimal256(76, 76) what does not fit wraps around;
/// - scales that need a power of ten past the width fail the column, its zeros and nulls too.
fn decimal(array: &ArrayRef, to: &DataType, lenient: bool) -> Option<Result<ArrayRef, ArrowError>> {
    use DataType::{Decimal32, Decimal64, Decimal128, Decimal256};
    let options = CastOptions { safe: lenient, ..Default::default() };
    match (array.data_type(), to) {
        (from, Decimal32(_, scale) | Decimal64(_, scale)) if from.is_integer() => {
            let whole = cast_with_options(array, &Decimal128(38, *scale), &options);
            Some(whole.and_then(|whole| cast_with_options(&whole, to, &options)))
        }
        (from, to) if to.is_integer() => {
            let (_, scale) = digits(from)?;
            let far = scale < 0 || matches!(from, Decimal256(..));
            far.then(|| {
                let wide = cast_with_options(array, &Decimal256(76, scale as i8), &options)?;
                cast_with_options(&whole_part(wide.as_primitive(), scale, to, lenient)?, to, &options)
            })
        }
        (from, to) => {
            let (precision, scale) = digits(from)?;
            let (most, to_scale) = digits(to)?;
            let delta = to_scale - scale;
            if delta > most {
                return Some(only_zeros(array, to, lenient));
            }
            if delta < i8::MIN.into() {
                // More digits go than there are.
                return Some(zeros(array.len(), array.nulls(), to));
            }
            let wide = array.as_primitive_opt::<Decimal256Type>()?;
            (precision + delta > i8::MAX.into()).then(|| raised(wide, delta, to, lenient))
        }
    }
}

/// The most digits of a decimal of this width, and the scale.
fn digits(of: &DataType) -> Option<(i32, i32)> {
    use DataType::{Decimal32, Decimal64, Decimal128, Decimal256};
    match of {
        Decimal32(_, scale) => Some((9, i32::from(*scale))),
        Decimal64(_, scale) => Some((18, i32::from(*scale))),
        Decimal128(_, scale) => Some((38, i32::from(*scale))),
        Decimal256(_, scale) => Some((76, i32::from(*scale))),
        _ => None,
    }
}

fn zeros(len: usize, nulls: Option<&NullBuffer>, of: &DataType) -> Result<ArrayRef, ArrowError> {
    let bytes = MutableBuffer::from_len_zeroed(len * of.primitive_width().unwrap_or(0));
    let data = ArrayData::builder(of.clone()).len(len).nulls(nulls.cloned()).add_buffer(bytes.into());
    Ok(make_array(data.build()?))
}

/// What but zero does not fit.
fn only_zeros(array: &ArrayRef, to: &DataType, lenient: bool) -> Result<ArrayRef, ArrowError> {
    let zero = Scalar::new(zeros(1, None, array.data_type())?);
    let fits = compute::kernels::cmp::eq(array, &zero)?;
    match fits.true_count() + array.null_count() == array.len() {
        true => zeros(array.len(), array.nulls(), to),
        false if lenient => {
            let fits = NullBuffer::new(fits.values().clone());
            zeros(array.len(), NullBuffer::union(array.nulls(), Some(&fits)).as_ref(), to)
        }
        false => Err(ArrowError::CastError(format!("only zero as {} fits {to}", array.data_type()))),
    }
}

/// The digits before the point, as many as integers may have.
fn whole_part(array: &Decimal256Array, scale: i32, to: &DataType, lenient: bool) -> Result<ArrayRef, ArrowError> {
    let power = i256::from_i128(10).pow_checked(scale.unsigned_abs()).ok();
    let whole = |value: i256| {
        let value = match power {
            _ if value.is_zero() => value,
            Some(power) if scale < 0 => value.mul_checked(power).ok()?,
            Some(power) => value.div_checked(power).ok()?,
            None => return None,
        };
        value.to_i128().filter(|value| Decimal128Type::is_valid_decimal_precision(*value, 38))
    };
    let far = |value| ArrowError::CastError(format!("{value} x 10^{} is out of range of {to}", -scale));
    let values: Decimal128Array = match lenient {
        true => array.unary_opt(whole),
        false => array.try_unary(|value| whole(value).ok_or_else(|| far(value)))?,
    };
    Ok(Arc::new(values.with_precision_and_scale(38, 0)?))
}

/// Times 10 to the power of `delta`, at most 76.
fn raised(array: &Decimal256Array, delta: i32, to: &DataType, lenient: bool) -> Result<ArrayRef, ArrowError> {
    let DataType::Decimal256(precision, scale) = *to else {
        return Err(ArrowError::NotYetImplemented(format!("{} as {to}", array.data_type())));
    };
    let power = i256::from_i128(10).pow_checked(delta.unsigned_abs())?;
    let raised = |value: i256| {
        let value = value.mul_checked(power).ok();
        value.filter(|value| Decimal256Type::is_valid_decimal_precision(*value, precision))
    };
    let far = |value| ArrowError::CastError(format!("{value} x 10^{delta} does not fit {to}"));
    let values: Decimal256Array = match lenient {
        true => array.unary_opt(raised),
        false => array.try_unary(|value| raised(value).ok_or_else(|| far(value)))?,
    };
    Ok(Arc::new(values.with_precision_and_scale(precision, scale)?))
}
