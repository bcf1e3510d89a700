//! Key columns as hashing and partitioning read them, on the host and as the table that `kernels/include/keys.cuh` defines.

use std::ops::Range;

use arrow::buffer::{Buffer, NullBuffer};
use arrow::datatypes::DataType;

use crate::column::layout::{Layout, OffsetWidth};
use crate::column::parts::Parts;
use crate::column::{Column, DeviceColumn};
use crate::device::{CudaCtx, DeviceBuffer};
use crate::error::{Error, Result};
use crate::ops::gather::table::Table;

/// Bytes of a `KeyColumn`.
pub(in crate::ops) const KEY_ENTRY: u64 = 8 * 8;

/// `KeyKind` in `kernels/include/keys.cuh`: how a value lies in memory.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(u32)]
pub(in crate::ops) enum KeyKind {
    Null = 0,
    Bits = 1,
    Unsigned = 2,
    Signed = 3,
    Fixed = 4,
    Bytes32 = 5,
    Bytes64 = 6,
    Views = 7,
}

/// How a scheme reads a column: `form` and `out_width` mean what it says.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(in crate::ops) struct Reading {
    pub(in crate::ops) kind: KeyKind,
    /// Bytes of a value of fixed width.
    pub(in crate::ops) width: usize,
    pub(in crate::ops) form: u32,
    pub(in crate::ops) out_width: u64,
}

/// The type of the values: a dictionary's are those of its dictionary.
pub(in crate::ops) fn values_type(data_type: &DataType) -> &DataType {
    match data_type {
        DataType::Dictionary(_, values) => values,
        other => other,
    }
}

/// Width of a dictionary column's keys, 0 for others.
fn key_width(data_type: &DataType) -> Result<usize> {
    match Layout::of(data_type)? {
        Layout::Dictionary(width) => Ok(width),
        _ => Ok(0),
    }
}

/// The table of the columns in device memory. Keep the first until the kernel is queued.
pub(in crate::ops) fn key_table<'a>(
    ctx: &'a CudaCtx,
    op: &'static str,
    columns: &[(&DeviceColumn, Reading)],
) -> Result<(Table<'a>, DeviceBuffer)> {
    let mut table = Table::new(ctx, op);
    let mut addresses = Vec::new();
    for (column, reading) in columns {
        let width = key_width(column.data_type())?;
        let source = if width > 0 { &column.children()[0] } else { *column };
        let values = table.reads(source.buffers().first())?;
        check_alignment(op, values, *reading)?;
        let bytes = match reading.kind {
            KeyKind::Views => {
                let first = columns.len() as u64 * KEY_ENTRY / 8 + addresses.len() as u64;
                for buffer in &source.buffers()[1..] {
                    addresses.push(table.reads(buffer)?);
                }
                first
            }
            KeyKind::Bytes32 | KeyKind::Bytes64 => table.reads(source.buffers().get(1))?,
            _ => 0,
        };
        let validity = table.reads(source.validity())?;
        let keys = table.reads(column.buffers().first().filter(|_| width > 0))?;
        let key_validity = table.reads(column.validity().filter(|_| width > 0))?;
        let kind = reading.kind as u64 | (reading.width as u64) << 32;
        let form = width as u64 | u64::from(reading.form) << 32;
        table.push(&[values, bytes, validity, keys, key_validity, kind, form, reading.out_width]);
    }
    table.push(&addresses);
    let words = table.upload()?;
    Ok((table, words))
}

/// Values are loaded whole: columns that came from elsewhere may begin anywhere.
fn check_alignment(op: &'static str, address: u64, reading: Reading) -> Result<()> {
    let unit = match reading.kind {
        KeyKind::Null => 1,
        KeyKind::Bits | KeyKind::Bytes32 => 4,
        KeyKind::Bytes64 | KeyKind::Views => 8,
        // Up to words of 8 bytes, and bytes where the width is no multiple of them.
        _ => reading.width.next_power_of_two().min(8) as u64,
    };
    if address.is_multiple_of(unit) {
        return Ok(());
    }
    let what = format!("a key column whose values begin at an address that is no multiple of {unit}");
    Err(Error::unsupported(op, what, "copy the column first"))
}

/// Bytes of the table that [`key_table`] makes of these columns, wherever they are.
pub(in crate::ops) fn table_bytes(columns: &[&Column]) -> Result<u64> {
    let mut bytes = columns.len() as u64 * KEY_ENTRY;
    for column in columns {
        if Layout::of(values_type(column.data_type()))? == Layout::Views {
            bytes += 8 * data_buffers(column)?;
        }
    }
    Ok(bytes)
}

/// Data buffers behind the views of a column or of its dictionary, as an upload has them.
fn data_buffers(column: &Column) -> Result<u64> {
    if let Some(column) = column.as_device() {
        let source = if key_width(column.data_type())? > 0 { &column.children()[0] } else { column };
        return Ok(source.buffers().len() as u64 - 1);
    }
    let parts = Parts::of(column.to_array()?.as_ref())?;
    let source = parts.children.first().unwrap_or(&parts);
    Ok(source.buffers.len() as u64 - 1)
}

/// A key column on the host.
pub(in crate::ops) struct HostKey {
    pub(in crate::ops) reading: Reading,
    values: Buffer,
    /// A string's bytes, or the data buffers of views.
    bytes: Vec<Buffer>,
    validity: Option<NullBuffer>,
    /// A dictionary column's keys, their width and which of them are null.
    keys: Option<(Buffer, usize, Option<NullBuffer>)>,
}

impl HostKey {
    pub(in crate::ops) fn new(column: &Column, reading: Reading) -> Result<Self> {
        let width = key_width(column.data_type())?;
        let mut parts = Parts::of(column.to_array()?.as_ref())?;
        let mut keys = None;
        if width > 0 {
            let child = parts.children.remove(0);
            keys = Some((parts.buffers.remove(0), width, parts.nulls));
            parts = child;
        }
        let mut buffers = parts.buffers.into_iter();
        let values = buffers.next().unwrap_or_else(|| Buffer::from_vec(Vec::<u8>::new()));
        Ok(HostKey { reading, values, bytes: buffers.collect(), validity: parts.nulls, keys })
    }

    pub(in crate::ops) fn is_dictionary(&self) -> bool {
        self.keys.is_some()
    }

    /// Where the row's value lies among the values; `None` for a null.
    pub(in crate::ops) fn find(&self, row: usize) -> Option<usize> {
        if self.reading.kind == KeyKind::Null {
            return None;
        }
        let at = match &self.keys {
            Some((_, _, Some(nulls))) if nulls.is_null(row) => return None,
            Some((keys, width, _)) => unsigned(keys, *width, row) as usize,
            None => row,
        };
        self.validity.as_ref().is_none_or(|nulls| nulls.is_valid(at)).then_some(at)
    }

    /// Writes the values of these rows as [`word`](Self::word) gives them, if they are integers, all valid and not behind a
    /// dictionary.
    pub(in crate::ops) fn words(&self, rows: Range<usize>, words: &mut [u64]) -> bool {
        let is_null = |nulls: &NullBuffer| nulls.slice(rows.start, rows.len()).null_count() > 0;
        if self.keys.is_some() || self.validity.as_ref().is_some_and(is_null) {
            return false;
        }
        let values = &self.values[rows.start * self.reading.width..];
        match self.reading.kind {
            KeyKind::Signed => widen(values, self.reading.width, true, words),
            KeyKind::Unsigned => widen(values, self.reading.width, false, words),
            _ => false,
        }
    }

    /// A value of bits or of an integer, as 64 bits.
    pub(in crate::ops) fn word(&self, at: usize) -> u64 {
        let width = self.reading.width;
        match self.reading.kind {
            KeyKind::Bits => u64::from(self.values[at / 8] >> (at % 8) & 1),
            KeyKind::Signed if width < 8 => {
                let unused = 64 - 8 * width;
                ((unsigned(&self.values, width, at) << unused) as i64 >> unused) as u64
            }
            _ => unsigned(&self.values, width, at),
        }
    }

    /// A value of fixed width, a string or binary.
    pub(in crate::ops) fn slice(&self, at: usize) -> &[u8] {
        match self.reading.kind {
            KeyKind::Views => {
                let view = &self.values[16 * at..][..16];
                let word = |i: usize| unsigned(view, 4, i) as usize;
                match word(0) {
                    length @ ..=12 => &view[4..][..length],
                    length => &self.bytes[word(2)][word(3)..][..length],
                }
            }
            KeyKind::Bytes32 => &self.bytes[0][self.offset(4, at)..self.offset(4, at + 1)],
            KeyKind::Bytes64 => &self.bytes[0][self.offset(8, at)..self.offset(8, at + 1)],
            _ => &self.values[at * self.reading.width..][..self.reading.width],
        }
    }

    /// The view itself, as two words.
    pub(in crate::ops) fn view(&self, at: usize) -> [u64; 2] {
        [unsigned(&self.values, 8, 2 * at), unsigned(&self.values, 8, 2 * at + 1)]
    }

    fn offset(&self, width: usize, i: usize) -> usize {
        unsigned(&self.values, width, i) as usize
    }
}

/// Writes values of `width` bytes, integers or what is compared like them, as words; false for widths of no integer.
pub(in crate::ops) fn widen(values: &[u8], width: usize, signed: bool, words: &mut [u64]) -> bool {
    fn each<const N: usize>(values: &[u8], words: &mut [u64], word: impl Fn([u8; N]) -> u64) {
        words.iter_mut().zip(values.as_chunks().0).for_each(|(to, value)| *to = word(*value));
    }
    match (width, signed) {
        (8, _) => each(values, words, u64::from_le_bytes),
        (4, false) => each(values, words, |value| u32::from_le_bytes(value).into()),
        (2, false) => each(values, words, |value| u16::from_le_bytes(value).into()),
        (1, false) => each(values, words, |[value]| value.into()),
        (4, true) => each(values, words, |value| i32::from_le_bytes(value) as u64),
        (2, true) => each(values, words, |value| i16::from_le_bytes(value) as u64),
        (1, true) => each(values, words, |value| i8::from_le_bytes(value) as u64),
        _ => return false,
    }
    true
}

/// The unsigned integer of `width` bytes at `i`; of a wider one the low 8 bytes.
fn unsigned(values: &[u8], width: usize, i: usize) -> u64 {
    let bytes = &values[i * width..][..width.min(8)];
    bytes.iter().rev().fold(0, |value, &byte| value << 8 | u64::from(byte))
}

/// The kind of strings and binary of this layout.
pub(in crate::ops) fn bytes_kind(layout: Layout) -> Option<KeyKind> {
    match layout {
        Layout::Bytes(OffsetWidth::W32) => Some(KeyKind::Bytes32),
        Layout::Bytes(OffsetWidth::W64) => Some(KeyKind::Bytes64),
        Layout::Views => Some(KeyKind::Views),
        _ => None,
    }
}
