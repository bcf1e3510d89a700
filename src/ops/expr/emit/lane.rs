//! What a lane holds of a value: the machine kind of a type, its registers, its validity.

use arrow::datatypes::{DataType, IntervalUnit};

use super::asm::{Class, Pred, Reg};
use crate::column::layout::Layout;
use crate::error::{Error, Result};

/// How the device computes with a type.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(in crate::ops) enum Kind {
    /// The type of NULL.
    Null,
    Bool,
    /// Also dates, times, timestamps, durations, intervals of months and the narrow decimals.
    Int {
        bits: u32,
        signed: bool,
    },
    /// Held as f32; results are rounded back.
    F16,
    F32,
    F64,
    /// 128-bit integers: decimals.
    Wide,
    /// 256-bit integers: decimals.
    Huge,
    /// Intervals of days and milliseconds, as they lie in memory: the days in the low half of a word.
    DayTime,
    /// Intervals of months, days and nanoseconds: a word like that of `DayTime`, and the nanoseconds.
    MonthDayNano,
    /// Text and binary: an address and a length.
    Bytes,
}

impl Kind {
    /// The kind of a type; of a dictionary, that of its values.
    pub(in crate::ops) fn of(op: &'static str, data_type: &DataType) -> Result<Kind> {
        use DataType::*;
        let int = |bits, signed| Kind::Int { bits, signed };
        Ok(match data_type {
            Null => Kind::Null,
            Boolean => Kind::Bool,
            Int8 => int(8, true),
            Int16 => int(16, true),
            Int32 | Date32 | Time32(_) | Decimal32(..) | Interval(IntervalUnit::YearMonth) => int(32, true),
            Int64 | Date64 | Time64(_) | Timestamp(..) | Duration(_) | Decimal64(..) => int(64, true),
            UInt8 => int(8, false),
            UInt16 => int(16, false),
            UInt32 => int(32, false),
            UInt64 => int(64, false),
            Float16 => Kind::F16,
            Float32 => Kind::F32,
            Float64 => Kind::F64,
            Interval(IntervalUnit::DayTime) => Kind::DayTime,
            Interval(IntervalUnit::MonthDayNano) => Kind::MonthDayNano,
            Decimal128(..) => Kind::Wide,
            Decimal256(..) => Kind::Huge,
            Utf8 | LargeUtf8 | Utf8View | Binary | LargeBinary | BinaryView | FixedSizeBinary(_) => Kind::Bytes,
            Dictionary(_, values) => Kind::of(op, values)?,
            other => {
                let hint = "evaluate it on the host";
                return Err(Error::unsupported(op, format!("{other} in an expression on a device"), hint));
            }
        })
    }

    /// The registers of its numbers; none for what is no number.
    pub(super) fn class(self) -> Option<Class> {
        match self {
            Kind::Int { bits: 64, .. } | Kind::DayTime => Some(Class::D),
            Kind::Int { .. } => Some(Class::R),
            Kind::F16 | Kind::F32 => Some(Class::F),
            Kind::F64 => Some(Class::G),
            _ => None,
        }
    }

    pub(super) fn is_float(self) -> bool {
        matches!(self, Kind::F16 | Kind::F32 | Kind::F64)
    }

    /// Bytes of a value in a column of fixed width.
    pub(in crate::ops) fn width(self) -> usize {
        match self {
            Kind::Int { bits, .. } => bits as usize / 8,
            Kind::F16 => 2,
            Kind::F32 => 4,
            Kind::F64 | Kind::DayTime => 8,
            Kind::Wide | Kind::MonthDayNano => 16,
            Kind::Huge => 32,
            Kind::Null | Kind::Bool | Kind::Bytes => 0,
        }
    }

    /// The PTX type that arithmetic and comparisons take: integers of less than 32 bits are held extended.
    pub(super) fn ptx(self) -> &'static str {
        match self {
            Kind::Int { bits: 64, signed: true } => "s64",
            Kind::Int { bits: 64, signed: false } => "u64",
            Kind::Int { signed: true, .. } => "s32",
            Kind::Int { .. } => "u32",
            Kind::F16 | Kind::F32 => "f32",
            Kind::F64 => "f64",
            _ => "b64",
        }
    }
}

/// A value's registers; what they hold is not defined where the row is null.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(super) enum Bits {
    Nothing,
    Bool(Pred),
    /// Of the kind's class.
    Number(Reg),
    /// Low and high half, or the two words of an interval.
    Wide(Reg, Reg),
    /// The lowest word first.
    Huge([Reg; 4]),
    /// Address and length.
    Bytes(Reg, Reg),
}

/// A row's value as a lane holds it.
#[derive(Clone, Copy, Debug)]
pub(super) struct Lane {
    pub(super) bits: Bits,
    pub(super) valid: Pred,
}

/// Whether rows of the type are lists, structs or maps.
pub(super) fn is_nested(data_type: &DataType) -> bool {
    matches!(Layout::of(data_type), Ok(Layout::List(_) | Layout::FixedList(_) | Layout::Struct))
}

impl Lane {
    pub(super) const NULL: Lane = Lane { bits: Bits::Nothing, valid: Pred::False };

    pub(super) fn truth(value: Pred, valid: Pred) -> Lane {
        Lane { bits: Bits::Bool(value), valid }
    }

    /// The truth value; that of a NULL is never looked at.
    pub(super) fn pred(&self) -> Pred {
        match self.bits {
            Bits::Bool(value) => value,
            _ => Pred::False,
        }
    }
}
