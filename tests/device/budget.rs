//! The memory budget is hard, and everything booked comes back.

use warpline::Error;

use crate::common::with_device;

#[test]
fn refuses_past_the_budget_and_recovers() {
    with_device(|ctx| {
        let ctx = ctx.with_budget(1 << 20).unwrap();
        let cuda = ctx.as_cuda().unwrap();
        let half = cuda.allocate("test", 1 << 19).unwrap();
        let refused = cuda.allocate("test", (1 << 19) + 1).unwrap_err();
        assert!(
            matches!(refused, Error::OutOfMemory { budget, available, .. } if budget == 1 << 20 && available == 1 << 19),
            "{refused}"
        );
        let other_half = cuda.allocate("test", 1 << 19).unwrap();
        assert_eq!(cuda.ledger().used(), 1 << 20);
        drop((half, other_half));
        assert_eq!((cuda.ledger().used(), cuda.ledger().peak()), (0, 1 << 20));
        ctx.finish().unwrap();
    });
}

#[test]
fn books_whole_paddings_and_nothing_for_nothing() {
    with_device(|ctx| {
        let ctx = ctx.with_budget(1 << 20).unwrap();
        let cuda = ctx.as_cuda().unwrap();
        let empty = cuda.allocate("test", 0).unwrap();
        assert!(empty.is_empty());
        assert_eq!(cuda.ledger().used(), 0);
        let one = cuda.allocate("test", 1).unwrap();
        assert_eq!((one.len(), cuda.ledger().used()), (1, 64));
    });
}

#[test]
fn a_forked_context_shares_the_budget() {
    with_device(|ctx| {
        let ctx = ctx.with_budget(1 << 10).unwrap();
        let fork = ctx.fork().unwrap();
        let _held = ctx.as_cuda().unwrap().allocate("test", 1 << 10).unwrap();
        assert!(fork.as_cuda().unwrap().allocate("test", 1).is_err());
    });
}

#[test]
fn an_absurd_size_is_out_of_memory() {
    with_device(|ctx| {
        let refused = ctx.as_cuda().unwrap().allocate("test", usize::MAX).unwrap_err();
        assert!(matches!(refused, Error::OutOfMemory { .. }), "{refused}");
    });
}
