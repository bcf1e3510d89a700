//! Tests of `warpline::device`, a module per file of it.

use warpline::Placement;

use crate::common::contexts;

#[test]
fn the_host_comes_first_and_no_context_twice() {
    let placements: Vec<Placement> = contexts().iter().map(|ctx| ctx.placement()).collect();
    assert_eq!(placements[0], Placement::Host);
    for (i, placement) in placements.iter().enumerate() {
        assert!(!placements[..i].contains(placement), "{placement:?} appears twice");
    }
}
