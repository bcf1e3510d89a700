//! Benches of `warpline::image`, a module per operator.

use criterion::Criterion;
use warpline::ExecCtx;

use crate::common::CudaTime;

/// Runs every group of this area.
pub fn benches(_criterion: &mut Criterion) {}

/// Runs every device group of this area, timed by CUDA events.
pub fn device_benches(_criterion: &mut Criterion<CudaTime>, _ctx: &ExecCtx) {}
