//! The device layer.

mod budget;
mod buffer;
mod user_kernel;

use warpline::Placement;

#[test]
fn every_context_knows_its_place_and_finishes() {
    let places: Vec<_> = crate::common::contexts().iter().map(|ctx| (ctx.placement(), ctx.finish().is_ok())).collect();
    assert_eq!(places[0], (Placement::Host, true));
    assert!(places[1..].iter().all(|place| *place == (Placement::Cuda(0), true)), "{places:?}");
}
