//! The hash table over the built side, and where a key comes twice the built rows in the order of their slots.

use std::sync::OnceLock;

use arrow::datatypes::{DataType, Schema};

use super::{CODE_IS_KEY, DIRECT, EqualForm, JoinTable, KeyRange, NULLS_EQUAL, Slots, TILE_ROWS};
use super::{casts, out, scratch_bytes, strided, tiled};
use super::{codes_rows, digits_u32, insert_rows, runs_slots, scatter_u32, sums_u32};
use crate::column::Batch;
use crate::column::layout::Layout;
use crate::device::{CudaCtx, DeviceBuffer, DeviceBufferMut, ExecCtx, Grid, In};
use crate::error::{Error, Result};
use crate::ops::gather::cuda::{device, on_device};
use crate::ops::join::OP;
use crate::ops::join::spec::Spec;
use crate::ops::keys::{KeyKind, Reading, bytes_kind, key_table, values_type};
use parking_lot::Mutex;

/// Rows of a tile of the sort, `Radix::kTileItems`, and the bits and digits of a pass.
pub(super) const SORT_TILE: u64 = 2048;
pub(super) const DIGITS: u64 = 256;
const DIGIT_BITS: u32 = 8;
/// The most rows that the slots of a table can be numbered for.
const MOST_BUILT: usize = 1 << 30;

/// How the keys of both sides are read, and `EqualFlags`.
#[derive(Debug)]
pub(super) struct Readings {
    pub(super) built: Vec<Reading>,
    pub(super) probe: Vec<Reading>,
    pub(super) flags: u32,
}

impl Readings {
    /// Refuses what the device cannot do.
    pub(super) fn new(spec: &Spec, table: &Schema, rows: usize) -> Result<Self> {
        if rows > MOST_BUILT {
            return Err(refused(format!("a built table of {rows} rows")));
        }
        for field in table.fields().iter().chain(spec.probe_schema().fields()) {
            let what = || format!("column '{}' of type {}", field.name(), field.data_type());
            Layout::check(field.data_type()).map_err(|_| refused(what()))?;
        }
        let (mut built, mut probe) = (Vec::new(), Vec::new());
        for (at, probe_type) in spec.table_keys.iter().zip(spec.probe_key_types()) {
            let (name, built_type) = (table.field(*at).name(), table.field(*at).data_type());
            built.push(reading(name, built_type, probe_type)?);
            probe.push(reading(name, probe_type, built_type)?);
        }
        casts::check(spec, table)?;
        let nulls = if spec.options.null_equals_null { NULLS_EQUAL } else { 0 };
        let word = built.len() == 1 && built[0].form != EqualForm::Bytes as u32 && nulls == 0;
        Ok(Readings { built, probe, flags: nulls | if word { CODE_IS_KEY } else { 0 } })
    }

    pub(super) fn code_is_key(&self) -> bool {
        self.flags & CODE_IS_KEY != 0
    }
}

/// How a key column is compared with one of type `other`.
fn reading(name: &str, data_type: &DataType, other: &DataType) -> Result<Reading> {
    let values = values_type(data_type);
    let layout = Layout::of(values)?;
    let (kind, form) = match (values, layout) {
        (_, Layout::Null) => (KeyKind::Null, EqualForm::Word),
        (_, Layout::Bits) => (KeyKind::Bits, EqualForm::Word),
        (DataType::Float16 | DataType::Float32 | DataType::Float64, _) => (KeyKind::Unsigned, EqualForm::Float),
        _ if values.is_signed_integer() && *values_type(other) == DataType::UInt64 => {
            (KeyKind::Signed, EqualForm::NonNegative)
        }
        _ if values.is_signed_integer() => (KeyKind::Signed, EqualForm::Word),
        (DataType::FixedSizeBinary(_), _) | (_, Layout::Fixed(16..)) => (KeyKind::Fixed, EqualForm::Bytes),
        (_, Layout::Fixed(_)) => (KeyKind::Unsigned, EqualForm::Word),
        _ => match bytes_kind(layout) {
            Some(kind) => (kind, EqualForm::Bytes),
            None => return Err(refused(format!("key column '{name}' of type {data_type}"))),
        },
    };
    let width = if let Layout::Fixed(width) = layout { width } else { 0 };
    Ok(Reading { kind, width, form: form as u32, out_width: 0 })
}

fn refused(what: String) -> Error {
    Error::unsupported(OP, what, "on a device it is not, join on the host")
}

/// Slots for so many rows: a power of two, at a load of a half at most.
pub(super) fn slots_for(rows: u64) -> u64 {
    (2 * rows).next_power_of_two()
}

/// Passes of the sort by slot. Rows without one are numbered past the slots, by one bit more.
pub(super) fn passes(slots: u64) -> u32 {
    (slots.trailing_zeros() + 1).div_ceil(DIGIT_BITS)
}

/// Counts of a pass of the sort.
pub(super) fn pass_counts(rows: u64) -> u64 {
    DIGITS * rows.div_ceil(SORT_TILE)
}

/// See [`super::super::HashJoin::build`].
pub(in crate::ops::join) fn build(ctx: &ExecCtx, spec: &Spec, table: &Batch) -> Result<JoinTable> {
    let cuda = device(ctx)?;
    let rows = table.num_rows();
    let readings = Readings::new(spec, table.schema(), rows)?;
    let count = slots_for(rows as u64);
    let mut slots = cuda.allocate_zeroed(OP, 16 * count as usize)?;
    let matched = match spec.kind().gives_built_rows() {
        true => Some(Mutex::new(cuda.allocate_zeroed(OP, 4 * rows.div_ceil(32))?)),
        false => None,
    };
    let (mut order, mut range) = (None, KeyRange::ALL);
    if rows > 0 {
        let inserted = insert(cuda, spec, &readings, table, &mut slots)?;
        range = inserted.range;
        if inserted.twice {
            let (sorted, rows_by_slot) = sort(cuda, inserted.slot_of_row, passes(count))?;
            let (n, flags) = (rows as u64, if range.is_direct(count) { DIRECT } else { 0 });
            // SAFETY: there are `n` sorted slots, each of them one of the table's or none.
            unsafe { runs_slots(cuda, strided(n), sorted.input(), n, flags, slots.output()) }?;
            order = Some(rows_by_slot);
        }
    }
    let slots = Slots { buffer: slots.freeze(), mask: count - 1, range };
    Ok(JoinTable { table: table.clone(), readings, slots, order, matched, shapes: OnceLock::new() })
}

/// What has been learnt of the built keys.
struct Inserted {
    slot_of_row: DeviceBuffer,
    /// A key has two rows.
    twice: bool,
    range: KeyRange,
}

/// Puts each key into a slot. Waits.
fn insert(
    ctx: &CudaCtx,
    spec: &Spec,
    readings: &Readings,
    table: &Batch,
    slots: &mut DeviceBufferMut,
) -> Result<Inserted> {
    let (rows, n) = (table.num_rows(), table.num_rows() as u64);
    let mask = slots.len() as u64 / 16 - 1;
    let keys = spec.table_keys.iter().zip(&readings.built);
    let keys = keys.map(|(key, reading)| Ok((on_device(&table.columns()[*key])?, *reading)));
    let keys = keys.collect::<Result<Vec<_>>>()?;
    let (columns, flags, grid) = (keys.len() as u32, readings.flags, strided(n));
    let (_guards, words) = key_table(ctx, OP, &keys)?;
    let mut codes = ctx.allocate(OP, 8 * rows)?;
    let mut comparable = ctx.allocate(OP, 4 * rows.div_ceil(32))?;
    let mut range = match readings.code_is_key() {
        true => Some(ctx.allocate_zeroed(OP, 16)?),
        false => None,
    };
    let (to_codes, to_bits, to_range) = (codes.output(), comparable.output(), out(range.as_mut()));
    // SAFETY: the table's columns have `n` rows, there are a code and a bit for each, and two zeroed words for a range.
    unsafe { codes_rows(ctx, grid, words.input(), columns, flags, n, to_codes, to_bits, to_range) }?;
    let (codes, comparable, range) = (codes.freeze(), comparable.freeze(), range.map(DeviceBufferMut::freeze));
    let mut slot_of_row = ctx.allocate(OP, 4 * rows)?;
    let mut twice = ctx.allocate_zeroed(OP, 4)?;
    let (to_slots, to_rows, to_twice) = (slots.output(), slot_of_row.output(), twice.output());
    let (from_codes, from_bits) = (codes.input(), comparable.input());
    // SAFETY: as above; `mask + 1` zeroed slots, more than there are rows, which hold twice as many matches, and a number
    // for each row.
    unsafe {
        insert_rows(
            ctx,
            grid,
            words.input(),
            columns,
            flags,
            from_codes,
            from_bits,
            range.as_ref().into(),
            n,
            mask,
            to_slots,
            to_rows,
            to_twice,
        )
    }?;
    let twice = twice.freeze();
    let found = ctx.download_all(OP, &[&twice, range.as_ref().unwrap_or(&twice)])?;
    let range = range.map_or(KeyRange::ALL, |_| KeyRange::found(found[1].typed_data()));
    Ok(Inserted { slot_of_row: slot_of_row.freeze(), twice: found[0].typed_data::<u32>() != [0], range })
}

/// The keys in ascending order, and the rows that they were at, the first ones first.
fn sort(ctx: &CudaCtx, mut keys: DeviceBuffer, passes: u32) -> Result<(DeviceBuffer, DeviceBuffer)> {
    let n = keys.len() as u64 / 4;
    let grid = Grid::linear(n.div_ceil(SORT_TILE) as u32, super::THREADS);
    let counted = pass_counts(n);
    let mut rows: Option<DeviceBuffer> = None;
    for shift in (0..passes).map(|pass| DIGIT_BITS * pass) {
        let [mut out_keys, mut out_rows] = [ctx.allocate(OP, 4 * n as usize)?, ctx.allocate(OP, 4 * n as usize)?];
        let mut counts = ctx.allocate(OP, 4 * counted as usize)?;
        let mut scratch = ctx.allocate_zeroed(OP, scratch_bytes(counted) as usize)?;
        let of_rows = rows.as_ref().map_or(In::absent(), DeviceBuffer::input);
        // SAFETY: keys and rows have `n` values, and so have the outputs; there is a count for each digit and tile, and
        // a zeroed state for each tile of counts behind the ticket.
        unsafe {
            digits_u32(ctx, grid, keys.input(), n, shift, counts.output())?;
            sums_u32(ctx, tiled(counted), counts.output(), counted, scratch.output())?;
            let counts = counts.freeze();
            let (to_keys, to_rows) = (out_keys.output(), out_rows.output());
            scatter_u32(ctx, grid, keys.input(), of_rows, n, shift, counts.input(), to_keys, to_rows)?;
        }
        keys = out_keys.freeze();
        rows = Some(out_rows.freeze());
    }
    match rows {
        Some(rows) => Ok((keys, rows)),
        None => Err(super::internal("a sort without passes")),
    }
}

const _: () = assert!(DIGITS == 1 << DIGIT_BITS && SORT_TILE == 2 * TILE_ROWS);
