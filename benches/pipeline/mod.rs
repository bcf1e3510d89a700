//! Benches of `warpline::pipeline`.

mod stream;

use criterion::Criterion;

/// Runs every group of this area.
pub fn benches(criterion: &mut Criterion) {
    stream::benches(criterion);
}
