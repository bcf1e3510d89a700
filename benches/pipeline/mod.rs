//! Benches of `warpline::pipeline`, a module per operator.

use criterion::Criterion;

/// Runs every group of this area.
pub fn benches(_criterion: &mut Criterion) {}
