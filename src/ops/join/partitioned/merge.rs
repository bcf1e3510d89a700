//! Sorted runs of joined rows as one.

use std::cmp::Reverse;
use std::collections::BinaryHeap;

use arrow::array::{Array, ArrayRef, AsArray, RecordBatch, UInt64Array};
use arrow::compute::interleave;
use arrow::datatypes::UInt64Type;

use super::store::{Batches, Pool, Store};
use crate::error::{Error, Result};
use crate::ops::join::OP;
use crate::ops::join::host::{taken, with_rows};

/// Where a joined row stands: by probe row, then built row. Rows without a probe row come last.
pub(super) type Place = (u64, u64);

/// The places of a batch's rows, which its last two columns tell.
fn places(batch: &RecordBatch) -> [UInt64Array; 2] {
    let last = batch.num_columns();
    [last - 2, last - 1].map(|column| batch.column(column).as_primitive::<UInt64Type>().clone())
}

fn place([probe, built]: &[UInt64Array; 2], row: usize) -> Place {
    let or = |numbers: &UInt64Array, none| if numbers.is_null(row) { none } else { numbers.value(row) };
    (or(probe, u64::MAX), or(built, 0))
}

/// Rows of a column, each by its batch and its number there.
fn interleaved(batches: &[RecordBatch], column: usize, rows: &[(usize, usize)]) -> Result<ArrayRef> {
    let columns: Vec<&dyn Array> = batches.iter().map(|batch| batch.column(column).as_ref()).collect();
    let found = interleave(&columns, rows).map_err(|e| Error::arrow(OP, e))?;
    match found.len() == rows.len() {
        true => Ok(found),
        // arrow-rs loses the length of binary of no bytes without nulls, of which all rows are the same.
        false => taken(batches[0].column(column), &vec![0; rows.len()]),
    }
}

/// The batch that a run is at.
#[derive(Debug)]
struct Head {
    rest: Batches,
    places: [UInt64Array; 2],
    /// The batch's number among those that the next merged batch is made of.
    input: usize,
    row: usize,
}

/// Merges runs, at most `most` rows at a time.
#[derive(Debug)]
pub(super) struct Merge {
    heads: Vec<Head>,
    heap: BinaryHeap<Reverse<(Place, usize)>>,
    inputs: Vec<RecordBatch>,
    most: usize,
}

impl Merge {
    /// The runs must be closed.
    pub(super) fn new(runs: &[Store], most: usize, pool: &Pool) -> Result<Self> {
        let mut merge = Merge { heads: Vec::new(), heap: BinaryHeap::new(), inputs: Vec::new(), most: most.max(1) };
        for run in runs {
            let mut rest = run.read(pool)?;
            let Some(first) = rest.next().transpose()? else { continue };
            let head = Head { rest, places: places(&first), input: merge.inputs.len(), row: 0 };
            merge.heap.push(Reverse((place(&head.places, 0), merge.heads.len())));
            merge.inputs.push(first);
            merge.heads.push(head);
        }
        Ok(merge)
    }

    fn batch(&mut self) -> Result<Option<RecordBatch>> {
        let mut rows = Vec::new();
        while rows.len() < self.most {
            let Some(Reverse((_, at))) = self.heap.pop() else { break };
            let head = &mut self.heads[at];
            rows.push((head.input, head.row));
            head.row += 1;
            if head.row == head.places[0].len() {
                let Some(next) = head.rest.next().transpose()? else { continue };
                (head.places, head.input, head.row) = (places(&next), self.inputs.len(), 0);
                self.inputs.push(next);
            }
            self.heap.push(Reverse((place(&head.places, head.row), at)));
        }
        if rows.is_empty() {
            return Ok(None);
        }
        let columns = (0..self.inputs[0].num_columns()).map(|column| interleaved(&self.inputs, column, &rows));
        let merged = with_rows(self.inputs[0].schema_ref(), columns.collect::<Result<_>>()?, rows.len())?;
        // Only what the heads are at is needed on.
        let used: Vec<RecordBatch> = self.heads.iter().map(|head| self.inputs[head.input].clone()).collect();
        self.heads.iter_mut().enumerate().for_each(|(i, head)| head.input = i);
        self.inputs = used;
        Ok(Some(merged))
    }
}

impl Iterator for Merge {
    type Item = Result<RecordBatch>;

    fn next(&mut self) -> Option<Self::Item> {
        self.batch().transpose()
    }
}
