//! candle's index_select, gather, index_add, scatter and scatter_add.

use cudarc::driver::PushKernelArg;
use half::{bf16, f16};

use super::elem::*;
use super::nvcc::compiled;
use crate::common::Gpu;
use crate::launch;

/// An array of `LEFT` x something x `RIGHT`; the middle dimension is the one that indices count.
const LEFT: usize = 4;
const RIGHT: usize = 6;
const FROM: usize = 9;
const IDS: usize = 13;

fn at(left: usize, middle: usize, of: usize, right: usize) -> usize {
    (left * of + middle) * RIGHT + right
}

/// Calls `f` with every place of an array.
fn each(middle: usize, mut f: impl FnMut(usize, usize, usize)) {
    (0..LEFT).for_each(|l| (0..middle).for_each(|m| (0..RIGHT).for_each(|r| f(l, m, r))));
}

fn indexing_of<I: Elem, E: Elem>(gpu: &Gpu) {
    let name = |op: &str| format!("{op}_{}_{}", I::NAME, E::NAME);
    let sizes = [LEFT, FROM, IDS, RIGHT].map(|n| n as u64);
    let [left, from, count, right] = &sizes;
    let input = wholes::<E>(LEFT * FROM * RIGHT, 30);
    let din = up(gpu, &input);

    // One list of indices for the whole dimension.
    let ids: Vec<usize> = noise(IDS).map(|v| v as usize % FROM).collect();
    let dids = up(gpu, &ids.iter().map(|v| I::of(*v as f64)).collect::<Vec<_>>());
    let results = LEFT * IDS * RIGHT;
    let info = up(gpu, &[LEFT, FROM, RIGHT, FROM * RIGHT, RIGHT, 1].map(|n| n as u64));
    let (n, dims, mut out) = (results as u64, 3u64, zeros::<E>(gpu, results));
    let f = gpu.kernel(&name("is"));
    launch!(gpu.stream, &f, grid(), &n, &dims, &info, &dids, &din, &mut out, left, from, count, right).unwrap();
    let mut want = vec![E::default(); results];
    each(IDS, |l, m, r| want[at(l, m, IDS, r)] = input[at(l, ids[m], FROM, r)]);
    assert_same(&name("is"), &down(gpu, &out), &want);

    // The same input with its ends exchanged.
    let info = up(gpu, &[LEFT, FROM, RIGHT, 1, LEFT, LEFT * FROM].map(|n| n as u64));
    launch!(gpu.stream, &f, grid(), &n, &dims, &info, &dids, &din, &mut out, left, from, count, right).unwrap();
    each(IDS, |l, m, r| want[at(l, m, IDS, r)] = input[(r * FROM + ids[m]) * LEFT + l]);
    assert_same(&name("is"), &down(gpu, &out), &want);

    // Sums into the rows that the list names; one row is named often.
    let added = wholes::<E>(results, 3);
    let (dadded, mut out) = (up(gpu, &added), up(gpu, &input));
    launch!(gpu.stream, &gpu.kernel(&name("ia")), grid(), &dids, count, &dadded, &mut out, left, count, from, right)
        .unwrap();
    let mut want = input.clone();
    each(IDS, |l, m, r| {
        let to = &mut want[at(l, ids[m], FROM, r)];
        *to = E::of(to.value() + added[at(l, m, IDS, r)].value());
    });
    assert_same(&name("ia"), &down(gpu, &out), &want);

    // An index for every element.
    let ids: Vec<usize> = noise(results).map(|v| v as usize % FROM).collect();
    let dids = up(gpu, &ids.iter().map(|v| I::of(*v as f64)).collect::<Vec<_>>());
    let mut out = zeros::<E>(gpu, results);
    launch!(gpu.stream, &gpu.kernel(&name("gather")), grid(), &n, &dids, &din, &mut out, left, from, count, right)
        .unwrap();
    let mut want = vec![E::default(); results];
    each(IDS, |l, m, r| want[at(l, m, IDS, r)] = input[at(l, ids[at(l, m, IDS, r)], FROM, r)]);
    assert_same(&name("gather"), &down(gpu, &out), &want);

    for (op, adds) in [("s", false), ("sa", true)] {
        let mut out = up(gpu, &input);
        launch!(gpu.stream, &gpu.kernel(&name(op)), grid(), &dids, &dadded, &mut out, left, count, from, right)
            .unwrap();
        let mut want = input.clone();
        each(IDS, |l, m, r| {
            let k = at(l, m, IDS, r);
            let to = &mut want[at(l, ids[k], FROM, r)];
            *to = if adds { E::of(to.value() + added[k].value()) } else { added[k] };
        });
        assert_same(&name(op), &down(gpu, &out), &want);
    }
}

fn indexing_by<I: Elem>(gpu: &Gpu, arch: u32) {
    indexing_of::<I, f32>(gpu);
    indexing_of::<I, f64>(gpu);
    indexing_of::<I, f16>(gpu);
    indexing_of::<I, u8>(gpu);
    indexing_of::<I, u32>(gpu);
    indexing_of::<I, i64>(gpu);
    if arch >= 80 {
        indexing_of::<I, bf16>(gpu);
    }
}

#[test]
fn indexing() {
    compiled(
        "kernels::candle_indexing::indexing",
        || candle("indexing.cu"),
        |gpu, arch| {
            indexing_by::<u8>(gpu, arch);
            indexing_by::<u32>(gpu, arch);
            indexing_by::<i64>(gpu, arch);
        },
    );
}

/// An index past the end trips the kernel's own assertion, which is a failed launch.
#[test]
fn index_past_the_end() {
    let name = "kernels::candle_indexing::index_past_the_end";
    super::nvcc::compiled_expecting(
        name,
        "assertion `idx < src_dim_size` failed",
        || candle("indexing.cu"),
        |gpu, _| {
            let (ids, input) = (up(gpu, &[0u32, 9]), up(gpu, &[1f32; 9]));
            let (n, one, from, count) = (2u64, 1u64, 9u64, 2u64);
            let mut out = zeros::<f32>(gpu, 2);
            let f = gpu.kernel("gather_u32_f32");
            launch!(gpu.stream, &f, grid(), &n, &ids, &input, &mut out, &one, &from, &count, &one).unwrap();
            assert!(gpu.stream.synchronize().is_err());
        },
    );
}
