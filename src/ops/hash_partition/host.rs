//! Host twin: a stable counting sort of the rows in tasks, then a gather.

use std::iter::repeat_with;
use std::sync::atomic::{AtomicU32, Ordering};

use rayon::prelude::*;

use crate::column::{Batch, Column};
use crate::device::ExecCtx;
use crate::error::Result;
use crate::ops::gather;
use crate::ops::hash::{self, HashScheme};
use crate::ops::keys::Reading;

/// Rows of a task: enough to outweigh handing it to a thread. With more partitions than that there are as many rows, so
/// that the tasks' counts are never more than the rows.
const TASK_ROWS: usize = 1 << 16;

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
    let (sources, offsets) = ctx.pool().install(|| order(ids, partitions as usize));
    Ok((gather::host::rows(ctx, batch, &sources)?, offsets))
}

/// The row numbers by partition, and where each partition begins, with the end behind.
fn order(ids: &[u32], partitions: usize) -> (Vec<u32>, Vec<u32>) {
    let task = TASK_ROWS.max(partitions);
    let count = |ids: &[u32]| {
        let mut counts = vec![0u32; partitions];
        ids.iter().for_each(|&id| counts[id as usize] += 1);
        counts
    };
    let mut counts: Vec<Vec<u32>> = ids.par_chunks(task).map(count).collect();
    let mut offsets = Vec::with_capacity(partitions + 1);
    let mut at = 0;
    for partition in 0..partitions {
        offsets.push(at);
        for counts in &mut counts {
            at += std::mem::replace(&mut counts[partition], at);
        }
    }
    offsets.push(at);
    // Tasks write to places of their own, all over the result.
    let sources: Vec<AtomicU32> = repeat_with(AtomicU32::default).take(ids.len()).collect();
    ids.par_chunks(task).zip(counts).enumerate().for_each(|(i, (ids, mut next))| {
        for (row, &id) in ids.iter().enumerate() {
            let to = &mut next[id as usize];
            sources[*to as usize].store((i * task + row) as u32, Ordering::Relaxed);
            *to += 1;
        }
    });
    (sources.into_iter().map(AtomicU32::into_inner).collect(), offsets)
}
