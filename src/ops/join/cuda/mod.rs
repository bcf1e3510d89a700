//! Join on a device: a hash table in device memory, probed by batches there; columns are gathered by the pairs.

mod build;
mod casts;
mod plan;
mod probe;
mod rows;

use std::sync::OnceLock;

use arrow::array::{RecordBatch, new_null_array};
use arrow::datatypes::DataType;

use self::build::Readings;
use self::probe::{Matched, Probe};
use self::rows::{Chunk, Listed, Rows, listed};
use super::spec::{Residual, Spec, of_probe_row};
use super::{JoinType, OP};
use crate::column::{Batch, Column, DeviceColumn, Placement};
use crate::device::kernels::entries::join as entries;
use crate::device::launch::kernel;
use crate::device::{CudaCtx, DeviceBuffer, DeviceBufferMut, ExecCtx, Grid, In, Out};
use crate::error::{Error, Result};
use crate::ops::filter;
use crate::ops::gather::cuda::device;
use crate::ops::gather::plan::Shape;

pub(super) use self::build::build;
pub(super) use self::plan::{build_plan, probe_plan};

/// Threads of every block here; `Policy::kThreads` and `Radix::kThreads` of the kernels.
const THREADS: u32 = 256;
/// Rows of a tile of the kernels that sum or spread, and counts of one of `join_sums_u32`.
const TILE_ROWS: u64 = 1024;
/// Pairs that a residual condition sees at a time.
const RESIDUAL_ROWS: u64 = 1 << 20;
/// `EqualFlags` in `kernels/include/equal.cuh`.
const CODE_IS_KEY: u32 = 1;
const NULLS_EQUAL: u32 = 2;
/// `kDirect` of the kernels.
const DIRECT: u32 = 4;

kernel! {
    /// Codes of rows, which are comparable, and their range.
    fn codes_rows[entries::CODES_ROWS](
        table: In<'_, u64>, columns: u32, flags: u32, n: u64, codes: Out<'_, u64>, comparable: Out<'_, u32>,
        range: Out<'_, u64>,
    );
    /// The slot of each row, and whether a key has two rows.
    fn insert_rows[entries::INSERT_ROWS](
        table: In<'_, u64>, columns: u32, flags: u32, codes: In<'_, u64>, comparable: In<'_, u32>,
        range: In<'_, u64>, n: u64, mask: u64, slots: Out<'_, u64>, slot_of_row: Out<'_, u32>,
        twice: Out<'_, u32>,
    );
    /// Digits of each tile's keys.
    fn digits_u32[entries::DIGITS_U32](keys: In<'_, u32>, n: u64, shift: u32, counts: Out<'_, u32>);
    /// Counts as sums of those before them.
    fn sums_u32[entries::SUMS_U32](counts: Out<'_, u32>, n: u64, scratch: Out<'_, u64>);
    /// Keys and rows in the order of a digit.
    fn scatter_u32[entries::SCATTER_U32](
        keys: In<'_, u32>, rows: In<'_, u32>, n: u64, shift: u32, counts: In<'_, u32>, out_keys: Out<'_, u32>,
        out_rows: Out<'_, u32>,
    );
    /// The run of each slot.
    fn runs_slots[entries::RUNS_SLOTS](sorted: In<'_, u32>, n: u64, flags: u32, slots: Out<'_, u64>);
    /// First matches in the hash table.
    fn first_table[entries::FIRST_TABLE](
        probe: In<'_, u64>, built: In<'_, u64>, columns: u32, flags: u32, slots: In<'_, u64>, mask: u64,
        from: u64, span: u64, order: In<'_, u32>, n: u64, matched: Out<'_, u32>, right: Out<'_, u32>, mark: Out<'_, u32>,
    );
    /// First matches among pairs.
    fn first_pairs[entries::FIRST_PAIRS](
        left_pairs: In<'_, u32>, right_pairs: In<'_, u32>, pairs: u64, n: u64, matched: Out<'_, u32>,
        right: Out<'_, u32>, mark: Out<'_, u32>,
    );
    /// Rows with or without a match in the hash table.
    fn select_table[entries::SELECT_TABLE](
        probe: In<'_, u64>, built: In<'_, u64>, columns: u32, flags: u32, slots: In<'_, u64>, mask: u64,
        from: u64, span: u64, order: In<'_, u32>, n: u64, want: u32, matched: Out<'_, u32>, left: Out<'_, u32>, right: Out<'_, u32>,
        total: Out<'_, u64>, scratch: Out<'_, u64>,
    );
    /// Rows with or without a match among pairs.
    fn select_pairs[entries::SELECT_PAIRS](
        left_pairs: In<'_, u32>, right_pairs: In<'_, u32>, pairs: u64, n: u64, want: u32, matched: Out<'_, u32>,
        left: Out<'_, u32>, right: Out<'_, u32>, total: Out<'_, u64>, scratch: Out<'_, u64>,
    );
    /// Built rows that are noted as matched, or not.
    fn select_bits[entries::SELECT_BITS](
        bits: Out<'_, u32>, n: u64, want: u32, matched: Out<'_, u32>, left: Out<'_, u32>, right: Out<'_, u32>,
        total: Out<'_, u64>, scratch: Out<'_, u64>,
    );
    /// Built rows whose key is noted as matched, or not.
    fn select_groups[entries::SELECT_GROUPS](
        probe: In<'_, u64>, built: In<'_, u64>, columns: u32, flags: u32, slots: In<'_, u64>, mask: u64,
        from: u64, span: u64, order: In<'_, u32>, bits: Out<'_, u32>, n: u64, want: u32, matched: Out<'_, u32>, left: Out<'_, u32>,
        right: Out<'_, u32>, total: Out<'_, u64>, scratch: Out<'_, u64>,
    );
    /// Matches in the hash table, and where their pairs go.
    fn count_table[entries::COUNT_TABLE](
        probe: In<'_, u64>, built: In<'_, u64>, columns: u32, flags: u32, slots: In<'_, u64>, mask: u64,
        from: u64, span: u64, order: In<'_, u32>, n: u64, outer: u32, matched: Out<'_, u32>, starts: Out<'_, u32>, offsets: Out<'_, u64>,
        most: Out<'_, u64>, total: Out<'_, u64>, scratch: Out<'_, u64>,
    );
    /// Matches among pairs, and where they go.
    fn count_pairs[entries::COUNT_PAIRS](
        left_pairs: In<'_, u32>, right_pairs: In<'_, u32>, pairs: u64, n: u64, outer: u32, matched: Out<'_, u32>,
        starts: Out<'_, u32>, offsets: Out<'_, u64>, most: Out<'_, u64>, total: Out<'_, u64>, scratch: Out<'_, u64>,
    );
    /// Rows of both sides of a range of pairs.
    fn expand_rows[entries::EXPAND_ROWS](
        offsets: In<'_, u64>, starts: In<'_, u32>, order: In<'_, u32>, n: u64, from: u64, count: u64,
        left: Out<'_, u32>, right: Out<'_, u32>,
    );
    /// Notes built rows as matched.
    fn mark_rows[entries::MARK_ROWS](rows: In<'_, u32>, n: u64, matched: Out<'_, u32>);
}

/// See [`super::HashJoin`].
#[derive(Debug)]
pub(super) struct JoinTable {
    table: Batch,
    readings: Readings,
    slots: Slots,
    /// The rows by slot, where a key comes twice.
    order: Option<DeviceBuffer>,
    /// A bit a built row, for joins that ask at the end: set for a row that has matched under a residual condition, and
    /// else for the first row of a key that has.
    matched: Option<Matched>,
    /// Of the payload, once they have been looked at.
    shapes: OnceLock<Vec<Shape>>,
}

impl JoinTable {
    pub(super) fn placement(&self) -> Placement {
        self.table.placement()
    }

    pub(super) fn nbytes(&self) -> u64 {
        let matched = self.matched.as_ref().map_or(0, |bits| bits.lock().len());
        let order = self.order.as_ref().map_or(0, DeviceBuffer::len);
        (self.table.nbytes() + self.slots.buffer.len() + order + matched) as u64
    }

    pub(super) fn num_rows(&self) -> usize {
        self.table.num_rows()
    }

    pub(super) fn keys_are_unique(&self) -> bool {
        self.order.is_none()
    }

    pub(super) fn column(&self, i: usize) -> &Column {
        &self.table.columns()[i]
    }

    /// Pairs that rows of these key columns make, and the most of one row; with `outer` a row without one counts as one.
    pub(super) fn count_pairs(&self, ctx: &ExecCtx, spec: &Spec, keys: &[Column], outer: bool) -> Result<(u64, u64)> {
        let rows = keys.first().map_or(0, Column::len);
        let runs = Probe::of_keys(device(ctx)?, spec, self, keys, rows)?.count(outer, None)?;
        Ok((runs.len, runs.most))
    }

    /// `EqualFlags`, and how slots are read.
    fn flags(&self) -> u32 {
        self.readings.flags | if self.slots.direct() { DIRECT } else { 0 }
    }

    /// The shapes of the payload, with the longest rows of each.
    fn payload_shapes(&self, spec: &Spec) -> Result<&[Shape]> {
        if let Some(shapes) = self.shapes.get() {
            return Ok(shapes);
        }
        let shapes = self.payload(spec).into_iter().map(Shape::measured).collect::<Result<_>>()?;
        Ok(self.shapes.get_or_init(|| shapes))
    }

    /// The rows that probing gives; with `remember` their matches are noted for the end.
    pub(super) fn joined(&self, ctx: &ExecCtx, spec: &Spec, batch: &Batch, remember: bool) -> Result<Rows> {
        let cuda = device(ctx)?;
        if batch.num_rows() == 0 {
            return Rows::none(cuda);
        }
        let matched = self.matched.as_ref().filter(|_| remember);
        let Some(residual) = &spec.residual else {
            return Probe::of_table(cuda, spec, self, batch)?.rows(spec.kind(), matched);
        };
        let met = self.meeting(ctx, spec, residual, batch)?;
        if let (Some(matched), Some(right)) = (matched, met.right.as_ref().filter(|_| met.len > 0)) {
            // SAFETY: the rows are rows of the table, each of which has a bit.
            unsafe { mark_rows(cuda, strided(met.len), right.input(), met.len, matched.lock().output()) }?;
        }
        match spec.kind() {
            JoinType::Inner | JoinType::Right => Ok(Rows::Listed(met)),
            kind => Probe::of_pairs(cuda, &met, batch.num_rows()).rows(kind, None),
        }
    }

    /// Joined rows, and the most of one probe row.
    pub(super) fn fan_out(&self, ctx: &ExecCtx, spec: &Spec, batch: &Batch) -> Result<(u64, u64)> {
        match self.joined(ctx, spec, batch, false)? {
            Rows::Runs(runs) => Ok((runs.len, runs.most)),
            // Pairs that met a condition: their longest run is not known yet.
            Rows::Listed(met) if spec.residual.is_some() && met.len > 0 && spec.kind().pairs() => {
                let counted = Probe::of_pairs(device(ctx)?, &met, batch.num_rows()).count(false, None)?;
                Ok((met.len, counted.most))
            }
            Rows::Listed(rows) => Ok((rows.len, rows.len.min(1))),
        }
    }

    /// The pairs with equal keys that meet the residual condition, which sees some at a time.
    fn meeting(&self, ctx: &ExecCtx, spec: &Spec, residual: &Residual, batch: &Batch) -> Result<Listed> {
        let cuda = device(ctx)?;
        let pairs = Rows::Runs(Probe::of_table(cuda, spec, self, batch)?.count(false, None)?);
        let mut met = Vec::new();
        for from in (0..pairs.len()).step_by(RESIDUAL_ROWS as usize) {
            let chunk = pairs.chunk(ctx, from, (pairs.len() - from).min(RESIDUAL_ROWS) as usize)?;
            let columns = self.pair_columns(cuda, spec, batch, &chunk, false)?;
            let seen = Batch::try_new(residual.schema.clone(), columns, chunk.rows, ctx.placement())?;
            let of_row = |row: usize| Ok(chunk.probe_rows(ctx)?.get(row).copied());
            let mask = residual.predicate.mask(ctx, &seen).map_err(|error| of_probe_row(error, of_row))?;
            drop(seen);
            met.push(filter(ctx, &chunk.pairs(ctx)?, &mask)?);
        }
        listed(ctx, &met)
    }

    /// The columns of joined rows of a probed batch.
    pub(super) fn assemble(&self, ctx: &ExecCtx, spec: &Spec, batch: &Batch, rows: &Chunk) -> Result<Batch> {
        let cuda = device(ctx)?;
        let columns = match spec.kind() {
            // Their rows come at the end, from the table alone.
            JoinType::RightSemi | JoinType::RightAnti => {
                return Batch::from_record_batch(&RecordBatch::new_empty(spec.schema.clone())).to(ctx);
            }
            kind if kind.pairs() => {
                let batch = casts::merged(ctx, spec, batch)?;
                self.pair_columns(cuda, spec, &batch, rows, kind.keeps_left())?
            }
            _ => {
                let mut columns = batch.columns().to_vec();
                if let Some(mark) = rows.mark.as_ref().filter(|_| spec.kind() == JoinType::LeftMark) {
                    let mark = DeviceColumn::fixed(cuda, DataType::Boolean, batch.num_rows(), None, mark.clone())?;
                    columns.push(mark.into());
                }
                rows.left_of(cuda, &spec.schema, &columns)?
            }
        };
        Batch::try_new(spec.schema.clone(), columns, rows.rows, ctx.placement())
    }

    fn pair_columns(
        &self,
        ctx: &CudaCtx,
        spec: &Spec,
        batch: &Batch,
        rows: &Chunk,
        nullable: bool,
    ) -> Result<Vec<Column>> {
        let mut columns = rows.left_of(ctx, batch.schema(), batch.columns())?;
        columns.extend(rows.right_of(ctx, &self.payload(spec), nullable)?);
        Ok(columns)
    }

    /// The table's own columns, without its keys.
    fn payload(&self, spec: &Spec) -> Vec<&Column> {
        spec.payload.iter().map(|i| &self.table.columns()[*i]).collect()
    }

    /// The built rows that the join gives at the end, alone.
    pub(super) fn rows_at_end(&self, ctx: &ExecCtx, spec: &Spec) -> Result<Rows> {
        let cuda = device(ctx)?;
        match self.matched.as_ref().filter(|_| self.table.num_rows() > 0) {
            Some(matched) => probe::at_end(cuda, spec, self, matched, spec.kind() == JoinType::RightSemi),
            None => Rows::none(cuda),
        }
    }

    /// Rows of the table alone, under the joined schema.
    pub(super) fn built_rows(&self, ctx: &ExecCtx, spec: &Spec, rows: &Chunk) -> Result<Batch> {
        let taken = rows.left_of(device(ctx)?, self.table.schema(), self.table.columns())?;
        if !spec.kind().pairs() {
            return Batch::try_new(spec.schema.clone(), taken, rows.rows, ctx.placement());
        }
        let mut columns = Vec::with_capacity(spec.schema.fields().len());
        for (at, field) in spec.schema.fields().iter().take(spec.probe_columns()).enumerate() {
            columns.push(match spec.key_at(at) {
                Some(key) => casts::as_type(ctx, &taken[spec.table_keys[key]], field.data_type())?,
                None => Column::from_array(new_null_array(field.data_type(), rows.rows)).to(ctx)?,
            });
        }
        columns.extend(spec.payload.iter().map(|i| taken[*i].clone()));
        Batch::try_new(spec.schema.clone(), columns, rows.rows, ctx.placement())
    }
}

/// The keys of the built side with their matches.
#[derive(Debug)]
struct Slots {
    /// 16 bytes for each slot, a power of two; `mask` is one less.
    buffer: DeviceBuffer,
    mask: u64,
    range: KeyRange,
}

impl Slots {
    /// Whether matches are at the distance of their key from the lowest, and not in slots.
    fn direct(&self) -> bool {
        self.range.is_direct(self.mask + 1)
    }
}

/// `KeyRange` of the kernels: where codes are keys, the lowest as a signed number and how far the highest is from it.
#[derive(Clone, Copy, Debug)]
struct KeyRange {
    from: u64,
    span: u64,
}

impl KeyRange {
    /// Of codes that are no keys.
    const ALL: KeyRange = KeyRange { from: 0, span: u64::MAX };

    /// As `join_codes_rows` tells it.
    fn found(words: &[u64]) -> Self {
        let [lowest, highest] = [!words[0], words[1]];
        KeyRange { from: lowest ^ 1 << 63, span: highest.wrapping_sub(lowest) }
    }

    fn is_direct(self, slots: u64) -> bool {
        self.span < slots
    }
}

/// `EqualForm` in `kernels/include/equal.cuh`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(u32)]
enum EqualForm {
    Word = 0,
    Float = 1,
    NonNegative = 2,
    Bytes = 3,
}

/// Blocks for a grid-stride loop over `items`.
fn strided(items: u64) -> Grid {
    Grid::strided(items, THREADS)
}

/// A block for each tile of `items`.
fn tiled(items: u64) -> Grid {
    Grid::linear(items.div_ceil(TILE_ROWS) as u32, THREADS)
}

/// Bytes of a scan's scratch over tiles of `items`.
fn scratch_bytes(items: u64) -> u64 {
    8 * (1 + items.div_ceil(TILE_ROWS))
}

fn out<T>(buffer: Option<&mut DeviceBufferMut>) -> Out<'_, T> {
    buffer.map_or(Out::absent(), DeviceBufferMut::output)
}

fn internal(why: &str) -> Error {
    Error::Internal { op: OP, why: why.to_owned() }
}
