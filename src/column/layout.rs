//! How Arrow lays out each type: the one place that maps a `DataType` to buffers and children.

use arrow::datatypes::{DataType, IntervalUnit};

use crate::error::{Error, Result};

/// Width of the offsets of a variable-length type.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum OffsetWidth {
    /// `i32` offsets.
    W32,
    /// `i64` offsets.
    W64,
}

impl OffsetWidth {
    /// Bytes of one offset.
    pub(crate) fn bytes(self) -> usize {
        match self {
            OffsetWidth::W32 => 4,
            OffsetWidth::W64 => 8,
        }
    }

    /// The greatest offset that the width can hold.
    pub(crate) fn max(self) -> u64 {
        match self {
            OffsetWidth::W32 => i32::MAX as u64,
            OffsetWidth::W64 => i64::MAX as u64,
        }
    }
}

/// Buffers and children of a type, next to its validity bitmap (absent means that all rows are valid).
///
/// Operators that move rows dispatch on this and not on the type: a timestamp moves as any other 8 bytes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Layout {
    /// No buffers: every row is null.
    Null,
    /// One buffer of bits, least significant first.
    Bits,
    /// One buffer of values of this many bytes.
    Fixed(usize),
    /// Offsets, then bytes.
    Bytes(OffsetWidth),
    /// 16-byte views, then any number of data buffers.
    Views,
    /// Offsets; one child (a map's child is its struct of entries).
    List(OffsetWidth),
    /// No buffers; one child with this many rows for each row.
    FixedList(usize),
    /// No buffers; one child of the same length for each field.
    Struct,
    /// Keys of this many bytes; one child, the dictionary, of its own length.
    Dictionary(usize),
}

impl Layout {
    /// The layout of `data_type`; `Unsupported` for unions, run-end encoding and list views.
    pub(crate) fn of(data_type: &DataType) -> Result<Layout> {
        use DataType::*;
        if let Some(width) = data_type.primitive_width() {
            return Ok(Layout::Fixed(width));
        }
        Ok(match data_type {
            Null => Layout::Null,
            Boolean => Layout::Bits,
            Interval(IntervalUnit::YearMonth) => Layout::Fixed(4),
            Interval(IntervalUnit::DayTime) => Layout::Fixed(8),
            Interval(IntervalUnit::MonthDayNano) => Layout::Fixed(16),
            FixedSizeBinary(width) => Layout::Fixed(non_negative(*width, data_type)?),
            Utf8 | Binary => Layout::Bytes(OffsetWidth::W32),
            LargeUtf8 | LargeBinary => Layout::Bytes(OffsetWidth::W64),
            Utf8View | BinaryView => Layout::Views,
            List(_) | Map(_, _) => Layout::List(OffsetWidth::W32),
            LargeList(_) => Layout::List(OffsetWidth::W64),
            FixedSizeList(_, size) => Layout::FixedList(non_negative(*size, data_type)?),
            Struct(_) => Layout::Struct,
            Dictionary(key, _) => match key.primitive_width() {
                Some(width) if key.is_integer() => Layout::Dictionary(width),
                _ => return Err(Error::invalid("column", format!("{data_type}: dictionary keys must be integers"))),
            },
            ListView(_) | LargeListView(_) => return Err(unsupported(data_type, "cast it to List or LargeList")),
            RunEndEncoded(_, _) => return Err(unsupported(data_type, "cast it to its value type")),
            _ => return Err(unsupported(data_type, "project the column away or split it into plain columns")),
        })
    }

    /// Whether the type and all types below it have a layout here.
    pub(crate) fn check(data_type: &DataType) -> Result<()> {
        Layout::of(data_type)?;
        Layout::children(data_type).into_iter().try_for_each(Layout::check)
    }

    /// Types of the children, in order.
    pub(crate) fn children(data_type: &DataType) -> Vec<&DataType> {
        match data_type {
            DataType::List(field)
            | DataType::LargeList(field)
            | DataType::FixedSizeList(field, _)
            | DataType::Map(field, _) => vec![field.data_type()],
            DataType::Struct(fields) => fields.iter().map(|field| field.data_type()).collect(),
            DataType::Dictionary(_, values) => vec![values],
            _ => Vec::new(),
        }
    }
}

/// Bytes that hold this many bits.
pub(crate) fn bit_bytes(bits: usize) -> usize {
    bits.div_ceil(8)
}

fn non_negative(size: i32, data_type: &DataType) -> Result<usize> {
    usize::try_from(size).map_err(|_| Error::invalid("column", format!("{data_type}: negative size")))
}

fn unsupported(data_type: &DataType, hint: &str) -> Error {
    Error::unsupported("column", format!("type {data_type}"), hint)
}
