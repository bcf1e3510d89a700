//! Host twin: a stable counting sort of the rows in tasks, then a gather in the order of the tasks.

use std::iter::repeat_with;
use std::ops::Range;
use std::sync::atomic::{AtomicU32, Ordering};

use arrow::array::{Array, ArrayRef};
use arrow::buffer::{Buffer, MutableBuffer};
use rayon::prelude::*;

use crate::column::layout::Layout;
use crate::column::parts::{Parts, fixed};
use crate::column::{Batch, Column, Placement};
use crate::device::ExecCtx;
use crate::error::Result;
use crate::ops::gather;
use crate::ops::hash::{self, HashScheme};
use crate::ops::keys::Reading;

/// Rows of a task: enough to outweigh handing it to a thread, and few enough for a column of them to stay in the cache. With
/// more partitions than that there are as many rows, so that the tasks' counts are never more than the rows.
const TASK_ROWS: usize = 1 << 14;

/// See [`super::partition_ids`].
pub(super) fn ids(
    ctx: &ExecCtx,
    keys: &[&Column],
    readings: &[Reading],
    scheme: HashScheme,
    partitions: u32,
) -> Result<Vec<u32>> {
    hash::host::map(ctx, keys, readings, scheme, |hash| scheme.partition_of(hash, partitions))
}

/// See [`super::hash_partition`]; gives the rows by partition and where each partition begins, with the end behind.
pub(super) fn partition(ctx: &ExecCtx, batch: &Batch, ids: &[u32], partitions: u32) -> Result<(Batch, Vec<u32>)> {
    let (order, columns) = ctx.pool().install(|| {
        let order = Order::new(ids, partitions as usize);
        let one = |column: &Column| Ok(Column::from_array(order.column(&column.to_array()?)?));
        let columns = batch.columns().par_iter().map(one).collect::<Result<Vec<_>>>();
        (order, columns)
    });
    let batch = Batch::try_new(batch.schema().clone(), columns?, ids.len(), Placement::Host)?;
    Ok((batch, order.offsets))
}

/// The row numbers by partition.
struct Order {
    sources: Vec<u32>,
    /// Where each partition begins, with the end behind.
    offsets: Vec<u32>,
    /// Where the rows of each task begin in each partition.
    starts: Vec<Vec<u32>>,
}

impl Order {
    fn new(ids: &[u32], partitions: usize) -> Self {
        let task = TASK_ROWS.max(partitions);
        let count = |ids: &[u32]| {
            let mut counts = vec![0u32; partitions];
            ids.iter().for_each(|&id| counts[id as usize] += 1);
            counts
        };
        let mut starts: Vec<Vec<u32>> = ids.par_chunks(task).map(count).collect();
        let mut offsets = Vec::with_capacity(partitions + 1);
        let mut at = 0;
        for partition in 0..partitions {
            offsets.push(at);
            for counts in &mut starts {
                at += std::mem::replace(&mut counts[partition], at);
            }
        }
        offsets.push(at);
        // Tasks write to places of their own, all over the result.
        let sources: Vec<AtomicU32> = repeat_with(AtomicU32::default).take(ids.len()).collect();
        ids.par_chunks(task).zip(&starts).enumerate().for_each(|(i, (ids, starts))| {
            let mut next = starts.clone();
            for (row, &id) in ids.iter().enumerate() {
                let to = &mut next[id as usize];
                sources[*to as usize].store((i * task + row) as u32, Ordering::Relaxed);
                *to += 1;
            }
        });
        Order { sources: sources.into_iter().map(AtomicU32::into_inner).collect(), offsets, starts }
    }

    /// A column's rows in this order.
    fn column(&self, array: &ArrayRef) -> Result<ArrayRef> {
        let buffer = match Layout::of(array.data_type())? {
            Layout::Fixed(1) => self.values::<1>(array),
            Layout::Fixed(2) => self.values::<2>(array),
            Layout::Fixed(4) => self.values::<4>(array),
            Layout::Fixed(8) => self.values::<8>(array),
            Layout::Fixed(16) => self.values::<16>(array),
            _ => return gather::host::taken(array, &self.sources),
        };
        // Without nulls there is nothing to look for, as every row has a source.
        let nulls = array.nulls().and_then(|_| gather::host::nulls(array, &self.sources));
        let (data_type, len) = (array.data_type().clone(), array.len());
        Ok(Parts { data_type, len, nulls, buffers: vec![buffer], children: Vec::new() }.into_array())
    }

    /// Values, task by task: what a task read is still in the cache for its next partition.
    fn values<const WIDTH: usize>(&self, array: &ArrayRef) -> Buffer {
        let source = fixed(array.as_ref(), WIDTH);
        let (source, _) = source.as_chunks::<WIDTH>();
        let mut values = MutableBuffer::from_len_zeroed(array.len() * WIDTH);
        let (mut rest, _) = values.as_slice_mut().as_chunks_mut::<WIDTH>();
        let partitions = self.offsets.len() - 1;
        let of_thread = partitions.div_ceil(rayon::current_num_threads()).max(1);
        let mut parts = Vec::new();
        for first in (0..partitions).step_by(of_thread) {
            let last = (first + of_thread).min(partitions);
            let (part, more) = rest.split_at_mut((self.offsets[last] - self.offsets[first]) as usize);
            parts.push((first..last, part));
            rest = more;
        }
        parts.into_par_iter().for_each(|(partitions, part)| {
            let base = self.offsets[partitions.start] as usize;
            for task in 0..self.starts.len() {
                for partition in partitions.clone() {
                    let run = self.run(task, partition);
                    let to = &mut part[run.start - base..run.end - base];
                    to.iter_mut().zip(&self.sources[run]).for_each(|(to, row)| *to = source[*row as usize]);
                }
            }
        });
        values.into()
    }

    /// The places of a task's rows in a partition.
    fn run(&self, task: usize, partition: usize) -> Range<usize> {
        let end = self.starts.get(task + 1).map_or(self.offsets[partition + 1], |next| next[partition]);
        self.starts[task][partition] as usize..end as usize
    }
}
