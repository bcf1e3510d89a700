//! The device memory of a join before it runs: `build.rs`, `probe.rs` and `rows.rs` again, with sizes in place of buffers.

use super::build::{Readings, pass_counts, passes, slots_for};
use super::{JoinTable, RESIDUAL_ROWS, casts, scratch_bytes};
use crate::column::{Batch, Column, Placement};
use crate::device::{MemoryPlan, padded};
use crate::error::Result;
use crate::ops::filter::fixed_plan;
use crate::ops::gather::plan::{Forecast, Rows, Shape};
use crate::ops::join::JoinType;
use crate::ops::join::spec::{Residual, Spec};
use crate::ops::keys::table_bytes;
use crate::ops::pieces;
use crate::ops::pieces::plan::Part;

/// See [`super::super::HashJoin::build_plan`].
pub(in crate::ops::join) fn build_plan(spec: &Spec, table: &Batch) -> Result<MemoryPlan> {
    let n = table.num_rows() as u64;
    Readings::new(spec, table.schema(), table.num_rows())?;
    let slots = slots_for(n);
    let mut ledger = Forecast::default();
    ledger.output(16 * slots);
    if spec.kind().gives_built_rows() {
        ledger.output(4 * n.div_ceil(32));
    }
    if n == 0 {
        return Ok(ledger.plan());
    }
    // `insert`.
    let keys = ledger.temporary(table_bytes(&columns(table, &spec.table_keys))?);
    let [codes, comparable] = [8 * n, 4 * n.div_ceil(32)].map(|bytes| ledger.temporary(bytes));
    let range = ledger.temporary(16);
    let mut sorted = ledger.temporary(4 * n);
    let twice = ledger.temporary(4);
    [keys, codes, comparable, range, twice].into_iter().for_each(|bytes| ledger.free(bytes));
    // `sort`.
    let last = passes(slots) - 1;
    let mut rows = 0;
    for pass in 0..=last {
        let out_keys = ledger.temporary(4 * n);
        let out_rows = match pass == last {
            true => {
                ledger.output(4 * n);
                0
            }
            false => ledger.temporary(4 * n),
        };
        let counts = ledger.temporary(4 * pass_counts(n));
        let scratch = ledger.temporary(scratch_bytes(pass_counts(n)));
        [counts, scratch, sorted, rows].into_iter().for_each(|bytes| ledger.free(bytes));
        (sorted, rows) = (out_keys, out_rows);
    }
    Ok(ledger.plan())
}

/// See [`super::super::HashJoin::probe_plan`].
pub(in crate::ops::join) fn probe_plan(
    spec: &Spec,
    table: &JoinTable,
    batch: &Batch,
    rows_out: usize,
) -> Result<MemoryPlan> {
    let mut ledger = Forecast::default();
    let n = batch.num_rows() as u64;
    if n == 0 {
        return Ok(ledger.plan());
    }
    let rows_out = rows_out as u64;
    let plan = Plan { spec, table, batch, left: left_shapes(batch)?, right: table.payload_shapes(spec)? };
    let joined = match &spec.residual {
        None => {
            let keys = plan.key_tables(&mut ledger)?;
            let joined = plan.rows(&mut ledger, table.order.is_none());
            ledger.free(keys);
            joined
        }
        Some(residual) => {
            plan.meeting(&mut ledger, residual, rows_out)?;
            match spec.kind() {
                JoinType::Inner | JoinType::Right => Joined::Listed,
                _ => plan.rows(&mut ledger, false),
            }
        }
    };
    plan.assembled(&mut ledger, joined, rows_out)?;
    Ok(ledger.plan())
}

/// What the joined rows are.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Joined {
    /// The probed rows as they are, on the left.
    All,
    Listed,
    Runs,
    Nothing,
}

struct Plan<'a> {
    spec: &'a Spec,
    table: &'a JoinTable,
    batch: &'a Batch,
    left: Vec<Shape>,
    right: &'a [Shape],
}

impl Plan<'_> {
    /// The tables of keys that `Probe::of_table` holds.
    fn key_tables(&self, ledger: &mut Forecast) -> Result<u64> {
        let probe = ledger.temporary(table_bytes(&columns(self.batch, &self.spec.probe_keys))?);
        let built = match self.table.readings.code_is_key() {
            true => 0,
            false => ledger.temporary(table_bytes(&columns(&self.table.table, &self.spec.table_keys))?),
        };
        Ok(probe + built)
    }

    /// `Probe::rows`.
    fn rows(&self, ledger: &mut Forecast, unique: bool) -> Joined {
        let n = self.batch.num_rows() as u64;
        match self.spec.kind() {
            JoinType::Left | JoinType::Full if unique => {
                ledger.temporary(4 * n);
                Joined::All
            }
            JoinType::LeftMark => {
                ledger.output(4 * n.div_ceil(32));
                Joined::All
            }
            kind if kind.pairs() && !unique => {
                let _runs = count(ledger, n);
                Joined::Runs
            }
            JoinType::RightSemi | JoinType::RightAnti => Joined::Nothing,
            kind => {
                // `Selected`.
                let _left = ledger.temporary(4 * n);
                let _right = if kind.pairs() { ledger.temporary(4 * n) } else { 0 };
                let others = [8, scratch_bytes(n)].map(|bytes| ledger.temporary(bytes));
                others.into_iter().for_each(|bytes| ledger.free(bytes));
                Joined::Listed
            }
        }
    }

    /// `JoinTable::meeting` for so many pairs, all of which may meet the condition. What it gives stays.
    fn meeting(&self, ledger: &mut Forecast, residual: &Residual, pairs: u64) -> Result<()> {
        let keys = self.key_tables(ledger)?;
        let runs = count(ledger, self.batch.num_rows() as u64);
        ledger.free(keys);
        let step = pairs.min(RESIDUAL_ROWS);
        let parts = if step > 0 { pairs.div_ceil(step) } else { 0 };
        let part = 2 * padded(4 * step);
        let others = ledger.temporary(parts.saturating_sub(1) * part);
        if step > 0 {
            self.part_meeting(ledger, residual, step)?;
        }
        let last = ledger.temporary(part);
        // `listed`, which shares a part that is the only one.
        if parts > 1 {
            let shape = Shape::fixed(4, step);
            let side = || (0..parts).map(|_| Part::whole(&shape)).collect::<Vec<_>>();
            ledger.nested(pieces::plan::join(vec![side(), side()]));
            ledger.free(last);
        }
        [others, runs].into_iter().for_each(|bytes| ledger.free(bytes));
        Ok(())
    }

    /// One turn of its loop, but for what that keeps.
    fn part_meeting(&self, ledger: &mut Forecast, residual: &Residual, rows: u64) -> Result<()> {
        let chunk = ledger.temporary(4 * rows) + ledger.temporary(4 * rows);
        let mut seen = Forecast::default();
        gather(&mut seen, &self.left, rows, false);
        let left = ledger.nested(seen.plan());
        let mut seen = Forecast::default();
        gather(&mut seen, self.right, rows, false);
        let right = ledger.nested(seen.plan());
        let columns: Vec<&Column> = self.batch.columns().iter().chain(self.table.payload(self.spec)).collect();
        let mask = ledger.nested(residual.predicate.mask_plan(&columns, rows as usize)?);
        [left, right].into_iter().for_each(|bytes| ledger.free(bytes));
        let kept = ledger.nested(fixed_plan(rows as usize, 2, 4));
        [chunk, mask, kept].into_iter().for_each(|bytes| ledger.free(bytes));
        Ok(())
    }

    /// `JoinTable::assemble` of one chunk, with the chunk.
    fn assembled(&self, ledger: &mut Forecast, joined: Joined, rows: u64) -> Result<()> {
        if joined == Joined::Nothing {
            return Ok(());
        }
        if joined == Joined::Runs {
            let _chunk = [ledger.temporary(4 * rows), ledger.temporary(4 * rows)];
        }
        let mut left = self.left.clone();
        for (at, plan, shape) in casts::plans(self.spec, self.batch)? {
            let workspace = ledger.temporary(plan.workspace);
            ledger.free(workspace);
            match joined {
                Joined::All => ledger.output(plan.output),
                _ => drop(ledger.temporary(plan.output)),
            }
            left[at] = shape;
        }
        if joined != Joined::All {
            gather(ledger, &left, rows, false);
        }
        let kind = self.spec.kind();
        if kind.pairs() {
            gather(ledger, self.right, rows, kind.keeps_left());
        }
        Ok(())
    }
}

/// The shapes of a probed batch: with the longest rows where a look at them waits for no device.
fn left_shapes(batch: &Batch) -> Result<Vec<Shape>> {
    let shape = |column: &Column| match column.placement() {
        Placement::Host => Shape::measured(column),
        Placement::Cuda(_) => Shape::of(column),
    };
    batch.columns().iter().map(shape).collect()
}

fn gather(ledger: &mut Forecast, shapes: &[Shape], rows: u64, nullable: bool) {
    ledger.columns(&shapes.iter().collect::<Vec<_>>(), Rows { count: rows, nullable, repeated: true });
}

/// `Probe::count`; gives what the runs hold.
fn count(ledger: &mut Forecast, n: u64) -> u64 {
    let runs = ledger.temporary(4 * n) + ledger.temporary(8 * n);
    let others = [8, 8, scratch_bytes(n)].map(|bytes| ledger.temporary(bytes));
    others.into_iter().for_each(|bytes| ledger.free(bytes));
    runs
}

fn columns<'b>(batch: &'b Batch, keys: &[usize]) -> Vec<&'b Column> {
    keys.iter().map(|key| &batch.columns()[*key]).collect()
}
