//! Tests of `warpline::ops`, a module per file of it.

mod cast;
mod concat;
mod drop_nulls;
mod expr;
mod filter;
mod gather;
mod hash;
mod hash_partition;
mod join;
mod slice;

use warpline::{Batch, ExecCtx};

use crate::common::cells::{Cell, cells};
use crate::common::{assert_same, contexts};

/// Runs an operator everywhere; compares each place with the expected cells of every column, and with the first place.
fn same_everywhere(expected: &[Vec<Cell>], run: impl Fn(&ExecCtx) -> Batch) {
    let mut first: Option<Batch> = None;
    for ctx in contexts() {
        let result = run(&ctx);
        for ((field, column), expected) in result.schema().fields().iter().zip(result.columns()).zip(expected) {
            let place = ctx.placement();
            assert_eq!(&cells(&column.to_array().expect("host")), expected, "{} on {place}", field.name());
        }
        let first = first.get_or_insert_with(|| result.clone());
        assert_same(first, &result);
    }
}
