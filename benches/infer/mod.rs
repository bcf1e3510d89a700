//! Benches of `warpline::infer`, a module per operator.

use criterion::Criterion;

/// Runs every group of this area.
pub fn benches(_criterion: &mut Criterion) {}
