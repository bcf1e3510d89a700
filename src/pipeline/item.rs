//! A batch on its way through the pipeline.

use std::sync::Arc;

use arrow::buffer::BooleanBuffer;

use crate::column::Batch;
use crate::error::{Error, Result};

use super::errors::RowError;

/// Which source and which row of it every row of a batch came from: runs of consecutive rows.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Origins {
    runs: Vec<Run>,
    rows: usize,
}

#[derive(Clone, Debug, PartialEq, Eq)]
struct Run {
    source: Arc<str>,
    first: u64,
    /// Rows of the batch up to and with this run.
    end: usize,
}

impl Origins {
    /// `rows` consecutive rows of one source, the first of them being row `first` of it.
    pub fn rows(source: Arc<str>, first: u64, rows: usize) -> Self {
        let mut origins = Origins::default();
        origins.push(&source, first, rows);
        origins
    }

    /// Number of rows.
    pub fn len(&self) -> usize {
        self.rows
    }

    /// Whether there are no rows.
    pub fn is_empty(&self) -> bool {
        self.rows == 0
    }

    /// Source and row of the batch's row `row`; panics when there is no such row.
    pub fn get(&self, row: usize) -> (&Arc<str>, u64) {
        assert!(row < self.rows, "row {row} of {}", self.rows);
        let at = self.runs.partition_point(|run| run.end <= row);
        let start = at.checked_sub(1).map_or(0, |previous| self.runs[previous].end);
        (&self.runs[at].source, self.runs[at].first + (row - start) as u64)
    }

    /// Appends consecutive rows of a source.
    pub fn push(&mut self, source: &Arc<str>, first: u64, rows: usize) {
        if rows == 0 {
            return;
        }
        let start = self.runs.len().checked_sub(2).map_or(0, |previous| self.runs[previous].end);
        self.rows += rows;
        match self.runs.last_mut() {
            Some(run) if run.source == *source && run.first + (run.end - start) as u64 == first => run.end = self.rows,
            _ => self.runs.push(Run { source: source.clone(), first, end: self.rows }),
        }
    }

    /// Appends all rows of another.
    pub fn extend(&mut self, other: &Origins) {
        let mut start = 0;
        for run in &other.runs {
            self.push(&run.source, run.first, run.end - start);
            start = run.end;
        }
    }

    /// `len` rows from `offset` on; panics when there are not as many.
    pub fn slice(&self, offset: usize, len: usize) -> Origins {
        self.gather(offset..offset + len)
    }

    /// The rows at these places, in this order; panics when there is no such row.
    pub fn gather(&self, rows: impl IntoIterator<Item = usize>) -> Origins {
        let mut origins = Origins::default();
        for row in rows {
            let (source, first) = self.get(row);
            origins.push(source, first, 1);
        }
        origins
    }
}

/// A row that a stage could not process, until the executor has applied `OnError` to it.
#[derive(Clone, Debug)]
pub(super) struct FailedRow {
    pub(super) row: usize,
    pub(super) code: Arc<str>,
    pub(super) message: String,
}

/// A batch on its way through the pipeline, with the origin of each of its rows.
///
/// A [`Stage`](super::Stage) takes an item and returns one: [`with_batch`](Item::with_batch) for the same rows with other
/// columns, [`filtered`](Item::filtered) or [`gathered`](Item::gathered) for other rows, and [`fail`](Item::fail) for
/// each row that it could not process, which it leaves null.
#[derive(Clone, Debug)]
pub struct Item {
    pub(super) batch: Batch,
    pub(super) origins: Origins,
    pub(super) failed: Vec<FailedRow>,
    pub(super) errors: Vec<RowError>,
    /// How many rows of the source this item stands for, those filtered out included.
    pub(super) covers: u64,
}

impl Item {
    /// A batch with the origin of its rows; `InvalidInput` when their numbers differ.
    pub fn new(batch: Batch, origins: Origins) -> Result<Self> {
        if origins.len() != batch.num_rows() {
            let why = format!("{} rows, {} origins of rows", batch.num_rows(), origins.len());
            return Err(Error::invalid("pipeline", why));
        }
        let covers = batch.num_rows() as u64;
        Ok(Item { batch, origins, failed: Vec::new(), errors: Vec::new(), covers })
    }

    /// The batch.
    pub fn batch(&self) -> &Batch {
        &self.batch
    }

    /// Where the rows came from.
    pub fn origins(&self) -> &Origins {
        &self.origins
    }

    /// The same rows with other columns; `InvalidInput` when the number of rows differs.
    pub fn with_batch(mut self, batch: Batch) -> Result<Self> {
        if batch.num_rows() != self.origins.len() {
            let why = format!(
                "a stage was given {} rows and returned {}: return fewer or other rows with Item::filtered or Item::gathered",
                self.origins.len(),
                batch.num_rows()
            );
            return Err(Error::invalid("pipeline", why));
        }
        self.batch = batch;
        Ok(self)
    }

    /// The rows whose bit is set in `keep`, as they are in `batch`; `InvalidInput` when the numbers do not fit.
    pub fn filtered(self, batch: Batch, keep: &BooleanBuffer) -> Result<Self> {
        if keep.len() != self.origins.len() {
            let why = format!("a selection of {} rows for a batch of {}", keep.len(), self.origins.len());
            return Err(Error::invalid("pipeline", why));
        }
        self.gathered(batch, &keep.set_indices().map(|row| row as u64).collect::<Vec<_>>())
    }

    /// The rows at these places (in this order, any number of times), as they are in `batch`; `InvalidInput` when a
    /// place does not exist or the numbers do not fit.
    pub fn gathered(mut self, batch: Batch, rows: &[u64]) -> Result<Self> {
        if let Some(row) = rows.iter().find(|&&row| row >= self.origins.len() as u64) {
            return Err(Error::invalid("pipeline", format!("row {row} of a batch of {} rows", self.origins.len())));
        }
        if !self.failed.is_empty() {
            let failed = std::mem::take(&mut self.failed);
            for (place, &row) in rows.iter().enumerate() {
                let same = failed.iter().filter(|f| f.row as u64 == row);
                self.failed.extend(same.map(|f| FailedRow { row: place, ..f.clone() }));
            }
        }
        self.origins = self.origins.gather(rows.iter().map(|&row| row as usize));
        self.with_batch(batch)
    }

    /// Says that this row of the item could not be processed. The stage leaves the row null in what it makes; the
    /// executor then ends the run, drops the row or keeps it, as [`OnError`](super::OnError) says.
    ///
    /// `code` is short and stable (`truncated`), `message` explains. Rows that do not exist are ignored.
    pub fn fail(&mut self, row: usize, code: impl Into<Arc<str>>, message: impl Into<String>) {
        if row < self.origins.len() {
            self.failed.push(FailedRow { row, code: code.into(), message: message.into() });
        }
    }

    /// Turns the rows marked as failed into entries of the side stream, and returns their places, sorted.
    pub(super) fn settle(&mut self, stage: &Arc<str>) -> Vec<usize> {
        let mut failed = std::mem::take(&mut self.failed);
        failed.sort_by_key(|f| f.row);
        failed.dedup_by_key(|f| f.row);
        let places = failed.iter().map(|f| f.row).collect();
        for f in failed {
            let (source, row) = self.origins.get(f.row);
            let (source, stage) = (source.clone(), stage.clone());
            self.errors.push(RowError { source, row, stage, code: f.code, message: f.message });
        }
        places
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn origins_follow_rows_through_slices_and_gathers() {
        let (a, b): (Arc<str>, Arc<str>) = ("a".into(), "b".into());
        let mut origins = Origins::rows(a.clone(), 10, 5);
        origins.push(&a, 15, 1);
        origins.push(&b, 0, 3);
        assert_eq!(origins.runs.len(), 2, "consecutive rows are one run");
        assert_eq!(origins.get(5), (&a, 15));
        assert_eq!(origins.get(6), (&b, 0));
        let some = origins.gather([8, 1, 2, 2]);
        let found: Vec<_> = (0..some.len()).map(|i| some.get(i)).collect();
        assert_eq!(found, [(&b, 2), (&a, 11), (&a, 12), (&a, 12)]);
        let mut joined = origins.slice(0, 2);
        joined.extend(&origins.slice(2, 7));
        assert_eq!(joined, origins);
    }
}
