//! What probing a batch will take, told before any of it is done: pairs are counted by the keys alone, some rows at a
//! time, so that counting takes little memory whatever the batch.

use std::ops::Range;

use arrow::array::{Array, ArrayRef, AsArray, RecordBatch};
use arrow::compute::take;
use arrow::datatypes::DataType;

use super::host::fixed_value;
use super::{HashJoin, OP, Table};
use crate::column::layout::{Layout, OffsetWidth};
use crate::column::parts::{list_values, nbytes, offsets_of};
use crate::column::{Batch, Column, DeviceColumn};
use crate::device::ExecCtx;
use crate::error::{Error, Result};
use crate::ops::gather::cuda::on_device;
use crate::ops::gather::plan::Shape;
use crate::ops::keys::values_type;

/// Bytes of keys that the host counts by at a time.
const HOST_BYTES: u64 = 1 << 20;
/// The least and the most that a device counts by at a time, between which it is an eighth of the table.
const DEVICE_BYTES: [u64; 2] = [16 << 10, 4 << 20];
/// What a row takes on a device beside its keys: what `Probe::count` writes of it.
const COUNTED_ROW: u64 = 16;
/// What a key column takes on a device beside its rows: the padding of its buffers and its entry in both tables of keys.
const COUNTED_COLUMN: u64 = 1024;
/// Totals and states of a scan.
const COUNTED: u64 = 4096;

/// Pairs of rows that a batch makes.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Pairs {
    /// All of them; a row without a match counts as one where the join keeps it.
    pub(crate) count: u64,
    /// The most of one row.
    pub(crate) most: u64,
}

impl HashJoin {
    /// Device memory that [`HashJoin::count_pairs`] takes, for any batch.
    pub(crate) fn counting_bytes(&self) -> Result<u64> {
        if matches!(self.table, Table::Host(_)) || self.keys_are_unique() {
            return Ok(0);
        }
        let longest: u64 = self.longest_keys()?.iter().flatten().sum();
        Ok(self.counted_at_once() + longest + COUNTED_COLUMN * self.spec.table_keys.len() as u64 + COUNTED)
    }

    /// Whether probing takes note of pairs at all, or only asks which rows have a match.
    fn looks_at_pairs(&self) -> bool {
        let at_end = matches!(self.table, Table::Host(_)) && self.spec.kind().gives_built_rows();
        self.makes_pairs() || self.has_residual() || at_end
    }

    /// Whether joined rows are pairs.
    pub(crate) fn makes_pairs(&self) -> bool {
        self.spec.kind().pairs()
    }

    /// The pairs of rows with equal keys that probing this batch will make, whatever a residual condition says of them
    /// later. On a device by one caller at a time, who waits.
    pub(crate) fn count_pairs(&self, ctx: &ExecCtx, batch: &RecordBatch) -> Result<Pairs> {
        let rows = batch.num_rows() as u64;
        if !self.looks_at_pairs() || self.keys_are_unique() {
            return Ok(Pairs { count: rows, most: rows.min(1) });
        }
        let keys: Vec<&ArrayRef> = self.spec.probe_keys.iter().map(|at| batch.column(*at)).collect();
        let outer = self.spec.kind().keeps_left();
        // A key longer than all of the table's matches none of them.
        let (mut sizes, mut can_match) = (vec![0; batch.num_rows()], vec![true; batch.num_rows()]);
        for (key, longest) in keys.iter().zip(self.longest_keys()?) {
            for (row, length) in lengths(key)?.into_iter().enumerate() {
                sizes[row] += length;
                can_match[row] &= longest.is_none_or(|longest| length <= longest);
            }
        }
        let one = |key: &&ArrayRef| fixed_value(values_type(key.data_type())).unwrap_or(17);
        let beside: u64 = COUNTED_ROW + keys.iter().map(one).sum::<u64>();
        sizes.iter_mut().for_each(|size| *size += beside);
        let alone = can_match.iter().filter(|can_match| !**can_match).count() as u64;
        let mut pairs = Pairs { count: if outer { alone } else { 0 }, most: u64::from(outer && alone > 0) };
        let at_once = self.counted_at_once();
        // Only one caller's keys may be on the device.
        let _counting = self.counting.lock();
        for rows in ranges(&sizes, &can_match, at_once) {
            let found = self.pairs_of(ctx, &keys, rows, outer)?;
            pairs = Pairs { count: pairs.count + found.count, most: pairs.most.max(found.most) };
        }
        Ok(pairs)
    }

    /// Bytes that the batch's keys take on the host as bytes that compare: cast, and in arrow-rs's row format, where text
    /// takes 33 bytes for each 32 or, if short, up to 37 in all.
    pub(crate) fn key_bytes(&self, batch: &RecordBatch) -> Result<u64> {
        let rows = batch.num_rows() as u64;
        let mut bytes = 16 * rows;
        for at in &self.spec.probe_keys {
            let text: u64 = lengths(batch.column(*at))?.iter().sum();
            bytes = bytes.saturating_add(3 * text + 72 * rows);
        }
        Ok(bytes)
    }

    /// The most that a row's keys take in the types of the joined columns, where those are others than the batch's.
    pub(crate) fn cast_row(&self, batch: &RecordBatch) -> Result<u64> {
        let mut bytes = 0u64;
        for at in self.spec.probe_keys.iter().filter(|_| self.makes_pairs()) {
            if self.spec.schema.field(*at).data_type() != batch.column(*at).data_type() {
                let longest = lengths(batch.column(*at))?.into_iter().max();
                bytes = bytes.saturating_add(17 + longest.unwrap_or(0));
            }
        }
        Ok(bytes)
    }

    /// What joined batches share with the table: dictionaries, and what views point to.
    pub(crate) fn shared_bytes(&self) -> Result<u64> {
        let of = |column: &usize| match &self.table {
            Table::Host(table) => shared(table.column(*column)),
            Table::Cuda(table) => shared_on_device(on_device(table.column(*column))?),
        };
        let columns = self.spec.payload.iter().filter(|_| self.makes_pairs());
        columns.map(of).sum()
    }

    /// Refuses a residual condition that the device cannot evaluate; on the host there is none.
    pub(crate) fn check_residual(&self) -> Result<()> {
        match (&self.spec.residual, &self.table) {
            (Some(residual), Table::Cuda(_)) => {
                let none = Batch::from_record_batch(&RecordBatch::new_empty(residual.schema.clone()));
                residual.predicate.mask_plan(&none.columns().iter().collect::<Vec<_>>(), 0).map(drop)
            }
            _ => Ok(()),
        }
    }

    fn counted_at_once(&self) -> u64 {
        match &self.table {
            Table::Host(_) => HOST_BYTES,
            Table::Cuda(table) => (table.nbytes() / 8).clamp(DEVICE_BYTES[0], DEVICE_BYTES[1]),
        }
    }

    fn pairs_of(&self, ctx: &ExecCtx, keys: &[&ArrayRef], rows: Range<usize>, outer: bool) -> Result<Pairs> {
        let keys = keys.iter().map(|key| plain(&key.slice(rows.start, rows.len()))).collect::<Result<Vec<_>>>()?;
        let (count, most) = match &self.table {
            Table::Host(table) => table.count_pairs(&self.spec, &keys, outer)?,
            Table::Cuda(table) => {
                let keys = keys.into_iter().map(|key| Column::from_array(key).to(ctx)).collect::<Result<Vec<_>>>()?;
                table.count_pairs(ctx, &self.spec, &keys, outer)?
            }
        };
        Ok(Pairs { count, most })
    }

    /// Bytes of the longest value of each of the table's keys, for text and binary.
    fn longest_keys(&self) -> Result<&[Option<u64>]> {
        if let Some(longest) = self.longest_keys.get() {
            return Ok(longest);
        }
        let longest = |key: &usize| -> Result<Option<u64>> {
            let column = match &self.table {
                Table::Host(table) => Column::from_array(table.column(*key).clone()),
                Table::Cuda(table) => table.column(*key).clone(),
            };
            if fixed_value(values_type(column.data_type())).is_some_and(|_| !is_view(column.data_type())) {
                return Ok(None);
            }
            Ok(lengths(&column.to_host()?.to_array()?)?.into_iter().max())
        };
        let found = self.spec.table_keys.iter().map(longest).collect::<Result<_>>()?;
        Ok(self.longest_keys.get_or_init(|| found))
    }
}

/// What a residual condition sees on the host at a time: `pairs` rows of both sides at most, and as much for its values.
pub(crate) fn residual_bytes(pairs: u64, row: u64) -> u64 {
    pairs.min(super::host::RESIDUAL_ROWS as u64).saturating_mul(row.saturating_mul(2))
}

/// Ranges of rows that can match, of at most so many bytes each but for single rows.
fn ranges(sizes: &[u64], can_match: &[bool], most: u64) -> Vec<Range<usize>> {
    let (mut ranges, mut from, mut bytes) = (Vec::new(), 0, 0);
    for row in 0..=sizes.len() {
        let ends = row == sizes.len() || !can_match[row];
        if from < row && (ends || bytes + sizes[row] > most) {
            ranges.push(from..row);
            (from, bytes) = (row, 0);
        }
        match ends {
            true => from = row + 1,
            false => bytes += sizes[row],
        }
    }
    ranges
}

/// The same values without a dictionary, which could be larger than they are.
fn plain(key: &ArrayRef) -> Result<ArrayRef> {
    match key.as_any_dictionary_opt() {
        Some(any) => take(any.values(), any.keys(), None).map_err(|e| Error::arrow(OP, e)),
        None => Ok(key.clone()),
    }
}

fn is_view(data_type: &DataType) -> bool {
    matches!(values_type(data_type), DataType::Utf8View | DataType::BinaryView)
}

/// Bytes of each value of text or binary; none for values of one size.
fn lengths(array: &ArrayRef) -> Result<Vec<u64>> {
    if let Some(any) = array.as_any_dictionary_opt() {
        let of_values = lengths(any.values())?;
        if of_values.is_empty() {
            return Ok(of_values);
        }
        return Ok(any.normalized_keys().into_iter().map(|key| of_values[key]).collect());
    }
    fn of_offsets<O: arrow::array::OffsetSizeTrait>(array: &dyn Array) -> Vec<u64> {
        offsets_of::<O>(array).windows(2).map(|ends| (ends[1] - ends[0]).as_usize() as u64).collect()
    }
    // The low half of a view is its length.
    let of_views = |views: &[u128]| views.iter().map(|view| u64::from(*view as u32)).collect();
    Ok(match Layout::of(array.data_type())? {
        Layout::Bytes(OffsetWidth::W32) => of_offsets::<i32>(array),
        Layout::Bytes(OffsetWidth::W64) => of_offsets::<i64>(array),
        Layout::Views => match array.data_type() {
            DataType::Utf8View => of_views(array.as_string_view().views()),
            _ => of_views(array.as_binary_view().views()),
        },
        _ => Vec::new(),
    })
}

/// What copies of a batch's rows share with it: dictionaries, and what views point to.
pub(crate) fn shared_in(batch: &RecordBatch) -> Result<u64> {
    batch.columns().iter().map(shared).sum()
}

fn shared(array: &ArrayRef) -> Result<u64> {
    // What has no layout here is counted as a whole for each row.
    if Layout::check(array.data_type()).is_err() {
        return Ok(0);
    }
    let children: Vec<ArrayRef> = match Layout::of(array.data_type())? {
        Layout::Dictionary(_) => return Ok(nbytes(array.as_any_dictionary().values())? as u64),
        Layout::Views => return Ok(array.to_data().buffers().iter().skip(1).map(|data| data.len() as u64).sum()),
        Layout::Struct => array.as_struct().columns().to_vec(),
        Layout::FixedList(_) => vec![array.as_fixed_size_list().values().clone()],
        Layout::List(_) => vec![list_values(array)],
        _ => Vec::new(),
    };
    children.iter().map(shared).sum()
}

fn shared_on_device(column: &DeviceColumn) -> Result<u64> {
    match Layout::of(column.data_type())? {
        Layout::Dictionary(_) => Ok(column.children().iter().map(|values| values.nbytes() as u64).sum()),
        Layout::Views => Ok(column.buffers().iter().skip(1).map(|data| data.len() as u64).sum()),
        _ => column.children().iter().map(shared_on_device).sum(),
    }
}

/// Bytes of the largest row of a batch, with validity and offsets.
pub(crate) fn largest_row(batch: &RecordBatch) -> Result<u64> {
    batch.columns().iter().map(|column| largest_value(&Column::from_array(column.clone()))).sum()
}

/// Bytes of the largest value of a column with its offset and validity; an upper bound where values are nested.
pub(super) fn largest_value(column: &Column) -> Result<u64> {
    match fixed_value(column.data_type()) {
        Some(bytes) => Ok(bytes),
        None if Layout::check(column.data_type()).is_err() => Ok(column.to_array()?.get_array_memory_size() as u64),
        None => Ok(largest_of(&Shape::measured(column)?)),
    }
}

fn largest_of(shape: &Shape) -> u64 {
    let items = || shape.children.iter().map(largest_of).fold(0, u64::saturating_add);
    1 + match shape.layout {
        Layout::Null => 0,
        Layout::Bits => 1,
        // What a dictionary holds is shared.
        Layout::Fixed(width) | Layout::Dictionary(width) => width as u64,
        Layout::Views => 16,
        Layout::Bytes(_) => 16 + shape.longest.unwrap_or(shape.bytes),
        Layout::List(_) => 16 + items().saturating_mul(shape.longest.unwrap_or(0)),
        Layout::FixedList(size) => items().saturating_mul(size as u64),
        Layout::Struct => items(),
    }
}
