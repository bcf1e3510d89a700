//! The functions that an expression may call, and their names.

use std::fmt;

use arrow::compute::DatePart as Arrow;

/// A function of an expression.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Function {
    /// `coalesce(a, b, ...)`: the first that is not null. Later ones are computed only for rows that still need them.
    Coalesce,
    /// `nullif(a, b)`: null where they are equal, else `a`.
    NullIf,
    /// `starts_with(text, prefix)`.
    StartsWith,
    /// `ends_with(text, suffix)`.
    EndsWith,
    /// `contains(text, part)`.
    Contains,
    /// `length(text)`: its characters (Unicode scalar values).
    Length,
    /// `octet_length(text)`: its bytes; also of binary.
    OctetLength,
    /// `wrapping_add(a, b)`: a sum of integers of one type, modulo 2 to its bits.
    WrappingAdd,
    /// `wrapping_sub(a, b)`.
    WrappingSub,
    /// `wrapping_mul(a, b)`.
    WrappingMul,
    /// `wrapping_neg(a)`.
    WrappingNeg,
}

impl Function {
    const ALL: [(Function, &'static str); 11] = [
        (Function::Coalesce, "coalesce"),
        (Function::NullIf, "nullif"),
        (Function::StartsWith, "starts_with"),
        (Function::EndsWith, "ends_with"),
        (Function::Contains, "contains"),
        (Function::Length, "length"),
        (Function::OctetLength, "octet_length"),
        (Function::WrappingAdd, "wrapping_add"),
        (Function::WrappingSub, "wrapping_sub"),
        (Function::WrappingMul, "wrapping_mul"),
        (Function::WrappingNeg, "wrapping_neg"),
    ];

    /// The function of a name, in any letter case.
    pub(super) fn named(name: &str) -> Option<Function> {
        let name = match name.to_ascii_lowercase().as_str() {
            "char_length" | "character_length" => "length".to_owned(),
            other => other.to_owned(),
        };
        Self::ALL.iter().find(|(_, known)| *known == name).map(|(function, _)| *function)
    }

    /// How many arguments it takes; `None`: one or more.
    pub(super) fn arity(self) -> Option<usize> {
        match self {
            Function::Coalesce => None,
            Function::Length | Function::OctetLength | Function::WrappingNeg => Some(1),
            _ => Some(2),
        }
    }
}

impl fmt::Display for Function {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let name = Self::ALL.iter().find(|(function, _)| function == self).map_or("", |(_, name)| name);
        f.write_str(name)
    }
}

/// A part of a date or time, as [`EXTRACT`](super::Expr::Extract) takes it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum DatePart {
    /// The year.
    Year,
    /// 1 to 4.
    Quarter,
    /// 1 to 12.
    Month,
    /// The ISO 8601 week, 1 to 53.
    Week,
    /// The day of the month, from 1.
    Day,
    /// The day of the week, 0 for Sunday.
    DayOfWeek,
    /// The day of the year, from 1.
    DayOfYear,
    /// 0 to 23.
    Hour,
    /// 0 to 59.
    Minute,
    /// 0 to 59, whole seconds.
    Second,
}

impl DatePart {
    const ALL: [(DatePart, &'static str, Arrow); 10] = [
        (DatePart::Year, "YEAR", Arrow::Year),
        (DatePart::Quarter, "QUARTER", Arrow::Quarter),
        (DatePart::Month, "MONTH", Arrow::Month),
        (DatePart::Week, "WEEK", Arrow::Week),
        (DatePart::Day, "DAY", Arrow::Day),
        (DatePart::DayOfWeek, "DOW", Arrow::DayOfWeekSunday0),
        (DatePart::DayOfYear, "DOY", Arrow::DayOfYear),
        (DatePart::Hour, "HOUR", Arrow::Hour),
        (DatePart::Minute, "MINUTE", Arrow::Minute),
        (DatePart::Second, "SECOND", Arrow::Second),
    ];

    /// The part of a name, in any letter case.
    pub(super) fn named(name: &str) -> Option<DatePart> {
        Self::ALL.iter().find(|(_, known, _)| known.eq_ignore_ascii_case(name)).map(|(part, ..)| *part)
    }

    pub(super) fn to_arrow(self) -> Arrow {
        Self::ALL.iter().find(|(part, ..)| *part == self).map_or(Arrow::Year, |(.., arrow)| *arrow)
    }
}

impl fmt::Display for DatePart {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let name = Self::ALL.iter().find(|(part, ..)| part == self).map_or("", |(_, name, _)| name);
        f.write_str(name)
    }
}
