//! Rows looked up: in the hash table, among pairs that met a condition, or in what was noted of matches.

use parking_lot::Mutex;

use super::rows::{Listed, Rows, Runs};
use super::{
    JoinTable, count_pairs, count_table, first_pairs, first_table, out, scratch_bytes, select_bits, select_groups,
    select_pairs, select_table, strided, tiled,
};
use crate::column::{Batch, Column, DeviceColumn};
use crate::device::{CudaCtx, DeviceBuffer, DeviceBufferMut, In, Out};
use crate::error::Result;
use crate::ops::gather::cuda::on_device;
use crate::ops::gather::table::Table;
use crate::ops::join::spec::Spec;
use crate::ops::join::{JoinType, OP};
use crate::ops::keys::{Reading, key_table};

/// The matches of a join's built side; see [`JoinTable::matched`].
pub(super) type Matched = Mutex<DeviceBufferMut>;

/// Rows that are looked up.
pub(super) struct Probe<'a> {
    ctx: &'a CudaCtx,
    n: u64,
    finder: Finder<'a>,
}

enum Finder<'a> {
    Table(InTable<'a>),
    Pairs(&'a Listed),
}

/// What `TableFinder` of the kernels is made of.
struct InTable<'a> {
    table: &'a JoinTable,
    columns: u32,
    probe: DeviceBuffer,
    /// Absent where codes are keys.
    built: Option<DeviceBuffer>,
    /// Of the columns behind both.
    _guards: Vec<Table<'a>>,
}

impl<'a> InTable<'a> {
    fn new(ctx: &'a CudaCtx, spec: &Spec, table: &'a JoinTable, of: Looked<'_>) -> Result<Self> {
        let built = key_columns(&table.table, &spec.table_keys, &table.readings.built)?;
        let keys = match of {
            Looked::Up(keys) => keys.into_iter().zip(table.readings.probe.iter().copied()).collect(),
            Looked::Own => built.clone(),
        };
        let (guards, probe) = key_table(ctx, OP, &keys)?;
        let (mut guards, mut words) = (vec![guards], None);
        if !table.readings.code_is_key() {
            let (more, built) = key_table(ctx, OP, &built)?;
            guards.push(more);
            words = Some(built);
        }
        Ok(InTable { table, columns: keys.len() as u32, probe, built: words, _guards: guards })
    }

    fn built(&self) -> In<'_, u64> {
        self.built.as_ref().into()
    }

    fn order(&self) -> In<'_, u32> {
        self.table.order.as_ref().into()
    }
}

/// Which rows are looked up in a table: those of a probed batch, by its keys, or the table's own.
enum Looked<'b> {
    Up(Vec<&'b DeviceColumn>),
    Own,
}

fn key_columns<'b>(batch: &'b Batch, keys: &[usize], readings: &[Reading]) -> Result<Vec<(&'b DeviceColumn, Reading)>> {
    let keys = keys.iter().zip(readings);
    keys.map(|(key, reading)| Ok((on_device(&batch.columns()[*key])?, *reading))).collect()
}

impl<'a> Probe<'a> {
    /// Rows of a batch, which has some, in the hash table.
    pub(super) fn of_table(ctx: &'a CudaCtx, spec: &Spec, table: &'a JoinTable, batch: &Batch) -> Result<Self> {
        let keys = spec.probe_keys.iter().map(|key| &batch.columns()[*key]);
        Self::of_keys(ctx, spec, table, keys, batch.num_rows())
    }

    /// Rows of a batch, of which there are some, by its key columns alone.
    pub(super) fn of_keys<'k>(
        ctx: &'a CudaCtx,
        spec: &Spec,
        table: &'a JoinTable,
        keys: impl IntoIterator<Item = &'k Column>,
        rows: usize,
    ) -> Result<Self> {
        let keys = keys.into_iter().map(on_device).collect::<Result<Vec<_>>>()?;
        let finder = Finder::Table(InTable::new(ctx, spec, table, Looked::Up(keys))?);
        Ok(Probe { ctx, n: rows as u64, finder })
    }

    /// Rows of a batch, which has some, among pairs in the order of its rows.
    pub(super) fn of_pairs(ctx: &'a CudaCtx, pairs: &'a Listed, rows: usize) -> Self {
        Probe { ctx, n: rows as u64, finder: Finder::Pairs(pairs) }
    }

    /// The rows that a join of this kind gives for those looked up, and in `matched` which rows they match.
    pub(super) fn rows(&self, kind: JoinType, matched: Option<&Matched>) -> Result<Rows> {
        let unique = matches!(&self.finder, Finder::Table(finder) if finder.table.order.is_none());
        match kind {
            JoinType::Inner | JoinType::Right if unique => self.select(true, true, matched),
            JoinType::Left | JoinType::Full if unique => self.first(FirstOf::Right, matched),
            kind if kind.pairs() => Ok(Rows::Runs(self.count(kind.keeps_left(), matched)?)),
            JoinType::LeftMark => self.first(FirstOf::Mark, matched),
            JoinType::RightSemi | JoinType::RightAnti => {
                if matched.is_some() {
                    self.first(FirstOf::Nothing, matched)?;
                }
                Rows::none(self.ctx)
            }
            kind => self.select(kind == JoinType::LeftSemi, false, matched),
        }
    }

    /// Each row's first match, or whether it has one. Does not wait.
    fn first(&self, what: FirstOf, matched: Option<&Matched>) -> Result<Rows> {
        let (ctx, n, grid) = (self.ctx, self.n, strided(self.n));
        let mut right = buffer_if(ctx, what == FirstOf::Right, 4 * n)?;
        let mut mark = buffer_if(ctx, what == FirstOf::Mark, n.div_ceil(8))?;
        let mut matched = matched.map(|matched| matched.lock());
        let (to_matched, to_right, to_mark) = (out(matched.as_deref_mut()), out(right.as_mut()), out(mark.as_mut()));
        match &self.finder {
            Finder::Table(t) => {
                let (probe, slots, flags) = (t.probe.input(), &t.table.slots, t.table.flags());
                // SAFETY: both tables have `columns` columns, `n` rows are probed, `mask + 1` slots, or as
                // many matches as keys in their range,, hold rows of the built table or, where there is one, positions in `order`; outputs are of the sizes that the kernel asks.
                unsafe {
                    first_table(
                        ctx,
                        grid,
                        probe,
                        t.built(),
                        t.columns,
                        flags,
                        slots.buffer.input(),
                        slots.mask,
                        slots.range.from,
                        slots.range.span,
                        t.order(),
                        n,
                        to_matched,
                        to_right,
                        to_mark,
                    )
                }
            }
            Finder::Pairs(pairs) => {
                let (left, of_right) = (pairs.left.as_ref().into(), pairs.right.as_ref().into());
                // SAFETY: `len` pairs of rows, in the order of the left ones, which are below `n`; outputs as above.
                unsafe { first_pairs(ctx, grid, left, of_right, pairs.len, n, to_matched, to_right, to_mark) }
            }
        }?;
        let [right, mark] = [right, mark].map(|buffer| buffer.map(DeviceBufferMut::freeze));
        Ok(Rows::Listed(Listed { len: n, left: None, right, mark }))
    }

    /// The rows that have a match, or with `want` false have none; with `pairs` their first match beside them. Waits for
    /// their number.
    fn select(&self, want: bool, pairs: bool, matched: Option<&Matched>) -> Result<Rows> {
        let (ctx, n, want) = (self.ctx, self.n, u32::from(want));
        let mut selected = Selected::new(ctx, n, pairs)?;
        let mut matched = matched.map(|matched| matched.lock());
        let to_matched = out(matched.as_deref_mut());
        let (to_left, to_right, total, scratch) = selected.outputs();
        match &self.finder {
            Finder::Table(t) => {
                let (probe, slots, flags) = (t.probe.input(), &t.table.slots, t.table.flags());
                // SAFETY: as in `first`; outputs have room for all rows, and there is a zeroed state for each tile.
                unsafe {
                    select_table(
                        ctx,
                        tiled(n),
                        probe,
                        t.built(),
                        t.columns,
                        flags,
                        slots.buffer.input(),
                        slots.mask,
                        slots.range.from,
                        slots.range.span,
                        t.order(),
                        n,
                        want,
                        to_matched,
                        to_left,
                        to_right,
                        total,
                        scratch,
                    )
                }
            }
            Finder::Pairs(p) => {
                let (left, of_right) = (p.left.as_ref().into(), p.right.as_ref().into());
                // SAFETY: as above.
                unsafe {
                    select_pairs(
                        ctx,
                        tiled(n),
                        left,
                        of_right,
                        p.len,
                        n,
                        want,
                        to_matched,
                        to_left,
                        to_right,
                        total,
                        scratch,
                    )
                }
            }
        }?;
        drop(matched);
        selected.rows(ctx)
    }

    /// Each row's matches; with `outer` a row without one has one row. Waits for their number.
    pub(super) fn count(&self, outer: bool, matched: Option<&Matched>) -> Result<Runs> {
        let (ctx, n, outer) = (self.ctx, self.n, u32::from(outer));
        let mut starts = ctx.allocate(OP, 4 * n as usize)?;
        let mut offsets = ctx.allocate(OP, 8 * n as usize)?;
        let [mut most, mut total] = [ctx.allocate_zeroed(OP, 8)?, ctx.allocate_zeroed(OP, 8)?];
        let mut scratch = ctx.allocate_zeroed(OP, scratch_bytes(n) as usize)?;
        let mut matched = matched.map(|matched| matched.lock());
        let (to_matched, to_starts, to_offsets) = (out(matched.as_deref_mut()), starts.output(), offsets.output());
        let (to_most, to_total, states) = (most.output(), total.output(), scratch.output());
        let order = match &self.finder {
            Finder::Table(t) => {
                let (probe, slots, flags) = (t.probe.input(), &t.table.slots, t.table.flags());
                // SAFETY: as in `select`.
                unsafe {
                    count_table(
                        ctx,
                        tiled(n),
                        probe,
                        t.built(),
                        t.columns,
                        flags,
                        slots.buffer.input(),
                        slots.mask,
                        slots.range.from,
                        slots.range.span,
                        t.order(),
                        n,
                        outer,
                        to_matched,
                        to_starts,
                        to_offsets,
                        to_most,
                        to_total,
                        states,
                    )
                }?;
                t.table.order.clone()
            }
            Finder::Pairs(p) => {
                let (left, of_right) = (p.left.as_ref().into(), p.right.as_ref().into());
                // SAFETY: as in `select`.
                unsafe {
                    count_pairs(
                        ctx,
                        tiled(n),
                        left,
                        of_right,
                        p.len,
                        n,
                        outer,
                        to_matched,
                        to_starts,
                        to_offsets,
                        to_most,
                        to_total,
                        states,
                    )
                }?;
                p.right.clone()
            }
        };
        drop(matched);
        let found = ctx.download_all(OP, &[&most.freeze(), &total.freeze()])?;
        let [most, len] = [0, 1].map(|i| found[i].typed_data::<u64>()[0]);
        Ok(Runs { len, most, offsets: offsets.freeze(), starts: starts.freeze(), order })
    }
}

/// The built rows, of which there are some, that have matched or, with `want` false, have not. Waits for their number.
pub(super) fn at_end(ctx: &CudaCtx, spec: &Spec, table: &JoinTable, bits: &Matched, want: bool) -> Result<Rows> {
    let (n, want) = (table.table.num_rows() as u64, u32::from(want));
    let mut selected = Selected::new(ctx, n, false)?;
    let (left, right, total, scratch) = selected.outputs();
    let mut bits = bits.lock();
    // The kernels read the bits alone; as an output they need no copy of what later batches will write.
    let noted = bits.output();
    if table.order.is_some() && spec.residual.is_none() {
        let t = InTable::new(ctx, spec, table, Looked::Own)?;
        let (own, slots, flags) = (t.probe.input(), &table.slots, table.flags());
        // SAFETY: as in `Probe::select`, for the built rows themselves, each of which has a bit.
        unsafe {
            select_groups(
                ctx,
                tiled(n),
                own,
                t.built(),
                t.columns,
                flags,
                slots.buffer.input(),
                slots.mask,
                slots.range.from,
                slots.range.span,
                t.order(),
                noted,
                n,
                want,
                Out::absent(),
                left,
                right,
                total,
                scratch,
            )
        }?;
    } else {
        // SAFETY: as above.
        unsafe { select_bits(ctx, tiled(n), noted, n, want, Out::absent(), left, right, total, scratch) }?;
    }
    drop(bits);
    selected.rows(ctx)
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum FirstOf {
    Right,
    Mark,
    Nothing,
}

/// Outputs of a selection.
struct Selected {
    left: DeviceBufferMut,
    right: Option<DeviceBufferMut>,
    total: DeviceBufferMut,
    scratch: DeviceBufferMut,
}

impl Selected {
    fn new(ctx: &CudaCtx, n: u64, pairs: bool) -> Result<Self> {
        let left = ctx.allocate(OP, 4 * n as usize)?;
        let right = buffer_if(ctx, pairs, 4 * n)?;
        let total = ctx.allocate_zeroed(OP, 8)?;
        Ok(Selected { left, right, total, scratch: ctx.allocate_zeroed(OP, scratch_bytes(n) as usize)? })
    }

    fn outputs(&mut self) -> (Out<'_, u32>, Out<'_, u32>, Out<'_, u64>, Out<'_, u64>) {
        (self.left.output(), out(self.right.as_mut()), self.total.output(), self.scratch.output())
    }

    fn rows(self, ctx: &CudaCtx) -> Result<Rows> {
        let mut total = [0; 8];
        ctx.download_into(OP, &self.total.freeze(), &mut total)?;
        let (left, right) = (Some(self.left.freeze()), self.right.map(DeviceBufferMut::freeze));
        Ok(Rows::Listed(Listed { len: u64::from_le_bytes(total), left, right, mark: None }))
    }
}

fn buffer_if(ctx: &CudaCtx, wanted: bool, bytes: u64) -> Result<Option<DeviceBufferMut>> {
    match wanted {
        true => Ok(Some(ctx.allocate(OP, bytes as usize)?)),
        false => Ok(None),
    }
}
