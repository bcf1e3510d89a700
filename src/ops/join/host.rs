//! Host twin: an index of the table by its keys, and the columns of rows that match.

use std::ops::Range;
use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering};

use arrow::array::{Array, ArrayRef, BooleanArray, RecordBatch, RecordBatchOptions, UInt32Array, new_null_array};
use arrow::compute::take;
use arrow::datatypes::{DataType, SchemaRef};
use rayon::prelude::*;

use super::index::{END, Index};
use super::keys::{Keys, cast_key};
use super::spec::{Residual, Spec, of_probe_row};
use super::{JoinType, OP};
use crate::column::layout::Layout;
use crate::error::{Error, Result};
use crate::ops::gather::host as gather;

/// Stands for no built row.
const NONE: u32 = u32::MAX;
/// Probed rows of a task.
const TASK_ROWS: usize = 1 << 15;
/// Pairs that a residual condition sees at a time.
pub(super) const RESIDUAL_ROWS: usize = 1 << 16;

#[derive(Debug)]
pub(super) struct Table {
    table: RecordBatch,
    index: Index,
    /// A bit a built row that has matched, for joins that ask at the end.
    matched: Vec<AtomicU32>,
}

impl Table {
    pub(super) fn build(spec: &Spec, table: &RecordBatch) -> Result<Self> {
        let rows = table.num_rows();
        let keys = Keys::new(table, &spec.table_keys, &spec.key_types, spec.options.null_equals_null)?;
        let words = if spec.kind().gives_built_rows() { rows.div_ceil(32) } else { 0 };
        let matched = (0..words).map(|_| AtomicU32::new(0)).collect();
        Ok(Table { table: table.clone(), index: Index::new(keys, rows), matched })
    }

    pub(super) fn nbytes(&self) -> u64 {
        (self.table.get_array_memory_size() + self.index.nbytes() + 4 * self.matched.len()) as u64
    }

    pub(super) fn num_rows(&self) -> usize {
        self.table.num_rows()
    }

    pub(super) fn keys_are_unique(&self) -> bool {
        self.index.is_unique()
    }

    pub(super) fn column(&self, i: usize) -> &ArrayRef {
        self.table.column(i)
    }

    /// The rows that probing gives; with `remember` their matches are noted for the end.
    pub(super) fn joined(&self, spec: &Spec, batch: &RecordBatch, remember: bool) -> Result<Joined> {
        let pairs = self.pairs(spec, batch)?;
        if remember && !self.matched.is_empty() {
            for row in &pairs.right {
                let (word, bit) = (&self.matched[*row as usize / 32], 1 << (row % 32));
                // A hot key is noted once, as threads that write to one word wait for each other.
                if word.load(Ordering::Relaxed) & bit == 0 {
                    word.fetch_or(bit, Ordering::Relaxed);
                }
            }
        }
        Ok(pairs.joined(spec.kind(), batch.num_rows()))
    }

    /// Pairs that rows of these key columns make, and the most of one row; with `outer` a row without one counts as one.
    pub(super) fn count_pairs(&self, spec: &Spec, keys: &[ArrayRef], outer: bool) -> Result<(u64, u64)> {
        let name = |key: usize| spec.probe_schema().field(spec.probe_keys[key]).name().as_str();
        let rows = keys.first().map_or(0, |key| key.len());
        let keys = Keys::of(keys, name, &spec.key_types, spec.options.null_equals_null)?;
        let firsts = self.index.firsts(&keys, 0..rows).into_iter();
        let counts = firsts.map(|first| u64::from(self.index.count(first).max(u32::from(outer))));
        Ok(counts.fold((0, 0), |(pairs, most), count| (pairs + count, most.max(count))))
    }

    /// The pairs of rows that match, by probe row, then built row. Where the join only asks whether a probe row has a
    /// match, one pair a row may stand for all.
    fn pairs(&self, spec: &Spec, batch: &RecordBatch) -> Result<Pairs> {
        let keys = Keys::new(batch, &spec.probe_keys, &spec.key_types, spec.options.null_equals_null)?;
        let left_only = !spec.kind().pairs() && !spec.kind().gives_built_rows();
        let one_each = self.index.is_unique() || (left_only && spec.residual.is_none());
        let tasks = (0..batch.num_rows()).into_par_iter().step_by(TASK_ROWS).map(|from| {
            let rows = from..batch.num_rows().min(from + TASK_ROWS);
            self.pairs_of(rows.clone(), &self.index.firsts(&keys, rows), one_each)
        });
        let pairs = Pairs::concat(tasks.collect());
        match &spec.residual {
            None => Ok(pairs),
            Some(residual) => self.meeting(spec, residual, batch, &pairs),
        }
    }

    /// The pairs of a range of rows whose first matches these are; with `one_each` no others.
    fn pairs_of(&self, rows: Range<usize>, firsts: &[u32], one_each: bool) -> Pairs {
        let found = rows.map(|row| row as u32).zip(firsts.iter().copied());
        if one_each {
            // What is no pair is overwritten, as a branch on it would be mispredicted about as often as not.
            let (mut left, mut right, mut len) = (vec![0; firsts.len()], vec![0; firsts.len()], 0);
            for (row, first) in found {
                (left[len], right[len]) = (row, first);
                len += usize::from(first != END);
            }
            left.truncate(len);
            right.truncate(len);
            return Pairs { left, right };
        }
        let total = firsts.iter().map(|first| self.index.count(*first) as usize).sum();
        let mut pairs = Pairs { left: Vec::with_capacity(total), right: Vec::with_capacity(total) };
        for (row, first) in found.filter(|(_, first)| *first != END) {
            pairs.right.extend(self.index.chain(first));
            pairs.left.resize(pairs.right.len(), row);
        }
        pairs
    }

    /// The pairs that meet the residual condition.
    fn meeting(&self, spec: &Spec, residual: &Residual, batch: &RecordBatch, pairs: &Pairs) -> Result<Pairs> {
        let mut met = Pairs::default();
        for (left, right) in pairs.left.chunks(RESIDUAL_ROWS).zip(pairs.right.chunks(RESIDUAL_ROWS)) {
            let rows = Joined { left: left.to_vec(), right: right.to_vec() };
            let columns = self.pair_columns(spec, batch.columns(), &rows)?;
            let seen = with_rows(&residual.schema, columns, rows.len())?;
            let of_row = |row: usize| Ok(left.get(row).map(|row| u64::from(*row)));
            let mask = residual.predicate.evaluate(&seen).map_err(|error| of_probe_row(error, of_row))?;
            for i in (0..left.len()).filter(|i| mask.is_valid(*i) && mask.value(*i)) {
                met.left.push(left[i]);
                met.right.push(right[i]);
            }
        }
        Ok(met)
    }

    /// The columns of joined rows of a probed batch.
    pub(super) fn assemble(&self, spec: &Spec, batch: &RecordBatch, rows: &Joined) -> Result<RecordBatch> {
        let kind = spec.kind();
        let columns = match kind {
            JoinType::Inner | JoinType::Left => self.pair_columns(spec, batch.columns(), rows)?,
            JoinType::Right | JoinType::Full => self.pair_columns(spec, &merged_keys(spec, batch)?, rows)?,
            JoinType::RightSemi | JoinType::RightAnti => return Ok(RecordBatch::new_empty(spec.schema.clone())),
            JoinType::LeftSemi | JoinType::LeftAnti | JoinType::LeftMark => {
                let mut columns = take_all(batch.columns(), &rows.left)?;
                if kind == JoinType::LeftMark {
                    let mark: BooleanArray = rows.right.iter().map(|row| Some(*row != NONE)).collect();
                    columns.push(Arc::new(mark));
                }
                columns
            }
        };
        with_rows(&spec.schema, columns, rows.len())
    }

    fn pair_columns(&self, spec: &Spec, probe: &[ArrayRef], rows: &Joined) -> Result<Vec<ArrayRef>> {
        let mut columns = take_all(probe, &rows.left)?;
        columns.extend(take_all(spec.payload.iter().map(|i| self.column(*i)), &rows.right)?);
        Ok(columns)
    }

    /// The built rows that the join gives at the end, alone.
    pub(super) fn rows_at_end(&self, spec: &Spec) -> Vec<u32> {
        let wanted = spec.kind() == JoinType::RightSemi;
        let matched = |row: u32| self.matched[row as usize / 32].load(Ordering::Relaxed) >> (row % 32) & 1 == 1;
        let total = if spec.kind().gives_built_rows() { self.table.num_rows() as u32 } else { 0 };
        (0..total).filter(|row| matched(*row) == wanted).collect()
    }

    /// Rows of the table alone, under the joined schema.
    pub(super) fn built_rows(&self, spec: &Spec, rows: &[u32]) -> Result<RecordBatch> {
        let taken = with_rows(self.table.schema_ref(), take_all(self.table.columns(), rows)?, rows.len())?;
        if !spec.kind().pairs() {
            return Ok(taken);
        }
        let mut columns = Vec::with_capacity(spec.schema.fields().len());
        for (at, field) in spec.schema.fields().iter().take(spec.probe_columns()).enumerate() {
            columns.push(match spec.key_at(at) {
                Some(key) => cast_key(taken.column(spec.table_keys[key]), field.data_type(), field.name())?,
                None => new_null_array(field.data_type(), rows.len()),
            });
        }
        columns.extend(spec.payload.iter().map(|i| taken.column(*i).clone()));
        with_rows(&spec.schema, columns, rows.len())
    }
}

/// The batch's columns, its keys in the types of the joined ones.
fn merged_keys(spec: &Spec, batch: &RecordBatch) -> Result<Vec<ArrayRef>> {
    let mut columns = batch.columns().to_vec();
    for at in &spec.probe_keys {
        let field = spec.schema.field(*at);
        columns[*at] = cast_key(&columns[*at], field.data_type(), field.name())?;
    }
    Ok(columns)
}

/// Rows of the two sides that match.
#[derive(Debug, Default)]
struct Pairs {
    left: Vec<u32>,
    right: Vec<u32>,
}

impl Pairs {
    /// Pairs of rows that follow each other.
    fn concat(mut parts: Vec<Pairs>) -> Self {
        if parts.len() == 1 {
            return parts.remove(0);
        }
        let columns = parts.into_iter().map(|part| (part.left, part.right));
        let (left, right): (Vec<_>, Vec<_>) = columns.unzip();
        Pairs { left: left.concat(), right: right.concat() }
    }

    /// The joined rows that probing gives, from the matches of a batch of `rows` rows.
    fn joined(self, kind: JoinType, rows: usize) -> Joined {
        let has_match = || {
            let mut has = vec![false; rows];
            self.left.iter().for_each(|row| has[*row as usize] = true);
            has
        };
        match kind {
            JoinType::RightSemi | JoinType::RightAnti => Joined::default(),
            JoinType::LeftSemi | JoinType::LeftAnti => {
                let has = has_match();
                let kept = (0..rows as u32).filter(|row| has[*row as usize] == (kind == JoinType::LeftSemi));
                let left: Vec<u32> = kept.collect();
                Joined { right: vec![NONE; left.len()], left }
            }
            JoinType::LeftMark => {
                let right = has_match().into_iter().map(|has| if has { 0 } else { NONE }).collect();
                Joined { left: (0..rows as u32).collect(), right }
            }
            _ if kind.keeps_left() => self.with_unmatched(rows),
            _ => Joined { left: self.left, right: self.right },
        }
    }

    /// The pairs and, in their places, the probe rows that have none.
    fn with_unmatched(self, rows: usize) -> Joined {
        let (mut left, mut right) = (Vec::with_capacity(rows), Vec::with_capacity(rows));
        let mut next = 0;
        for row in 0..rows as u32 {
            let before = next;
            while self.left.get(next) == Some(&row) {
                right.push(self.right[next]);
                next += 1;
            }
            right.extend((before == next).then_some(NONE));
            left.resize(right.len(), row);
        }
        Joined { left, right }
    }
}

/// Probe row and built row ([`NONE`] for none) of every joined row.
#[derive(Debug, Default)]
pub(super) struct Joined {
    left: Vec<u32>,
    right: Vec<u32>,
}

impl Joined {
    pub(super) fn len(&self) -> usize {
        self.left.len()
    }

    pub(super) fn slice(&self, from: usize, rows: usize) -> Self {
        Joined { left: self.left[from..][..rows].to_vec(), right: self.right[from..][..rows].to_vec() }
    }

    pub(super) fn probe_rows(&self) -> Vec<u64> {
        self.left.iter().map(|row| u64::from(*row)).collect()
    }

    /// Joined rows, and the most of one probe row.
    pub(super) fn fan_out(&self) -> (u64, u64) {
        let most = self.left.chunk_by(|a, b| a == b).map(<[u32]>::len).max().unwrap_or(0);
        (self.len() as u64, most as u64)
    }
}

fn take_all<'a>(columns: impl IntoIterator<Item = &'a ArrayRef>, rows: &[u32]) -> Result<Vec<ArrayRef>> {
    let columns: Vec<&ArrayRef> = columns.into_iter().collect();
    columns.into_par_iter().map(|column| taken(column, rows)).collect()
}

/// The rows of these numbers. What has no layout on a device arrow-rs takes.
pub(super) fn taken(column: &ArrayRef, rows: &[u32]) -> Result<ArrayRef> {
    if Layout::check(column.data_type()).is_ok() {
        return gather::taken(column, rows);
    }
    let rows: UInt32Array = rows.iter().map(|row| (*row != NONE).then_some(*row)).collect();
    take(column, &rows, None).map_err(|e| Error::arrow(OP, e))
}

/// A batch whose number of rows holds also without columns.
pub(super) fn with_rows(schema: &SchemaRef, columns: Vec<ArrayRef>, rows: usize) -> Result<RecordBatch> {
    let options = RecordBatchOptions::new().with_row_count(Some(rows));
    RecordBatch::try_new_with_options(schema.clone(), columns, &options).map_err(|e| Error::arrow(OP, e))
}

/// Bytes of a value with its validity, for types whose values are of one size.
pub(super) fn fixed_value(data_type: &DataType) -> Option<u64> {
    match data_type {
        // Views are copied as views; what they point to is shared.
        DataType::Utf8View | DataType::BinaryView => Some(17),
        DataType::FixedSizeBinary(width) => Some(1 + *width as u64),
        other => other.primitive_width().map(|width| 1 + width as u64),
    }
}
