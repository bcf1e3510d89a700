//! The one criterion binary: a folder per area, a module per operator, each with its own group.
//!
//! Every group measures the host twin and its host peers by the wall clock. With a GPU, `device_benches` of an area
//! measure the same work there by CUDA events.
//! `gpu` holds what `cargo xtask gpu-bundle` needs beside benches.

mod common;
mod gpu;
mod image;
mod infer;
mod ops;
mod parquet;
mod pipeline;

use criterion::Criterion;

use crate::common::CudaTime;

fn main() {
    if gpu::mode() {
        return;
    }
    let mut criterion = Criterion::default().configure_from_args();
    image::benches(&mut criterion);
    infer::benches(&mut criterion);
    ops::benches(&mut criterion);
    parquet::benches(&mut criterion);
    pipeline::benches(&mut criterion);
    match common::gpu() {
        Some(ctx) => device_benches(&ctx),
        None => eprintln!("no GPU: device groups are not run"),
    }
    criterion.final_summary();
}

fn device_benches(ctx: &warpline::ExecCtx) {
    let mut criterion = Criterion::default().with_measurement(CudaTime::new(ctx)).configure_from_args();
    image::device_benches(&mut criterion, ctx);
    ops::device_benches(&mut criterion, ctx);
}
