//! A kernel of the user's own, loaded from PTX text.

use std::sync::Arc;
use warpline::Error;
use warpline::device::{CountLaunches, Grid, UserArg, UserModule};

use crate::common::with_device;

/// Adds a number to each of `n` 32-bit words.
const ADD: &str = r"
.version 8.0
.target sm_75
.address_size 64
.visible .entry add_u32(
    .param .u64 src, .param .u64 n, .param .u32 value, .param .u64 out
)
.maxntid 128, 1, 1
{
    .reg .pred %p<2>;
    .reg .b32 %r<8>;
    .reg .b64 %rd<10>;
    ld.param.u64 %rd1, [src];
    ld.param.u64 %rd2, [n];
    ld.param.u32 %r1, [value];
    ld.param.u64 %rd3, [out];
    mov.u32 %r2, %ctaid.x;
    mov.u32 %r3, %ntid.x;
    mov.u32 %r4, %tid.x;
    mad.lo.s32 %r5, %r2, %r3, %r4;
    cvt.u64.u32 %rd4, %r5;
    setp.ge.u64 %p1, %rd4, %rd2;
    @%p1 bra DONE;
    cvta.to.global.u64 %rd5, %rd1;
    cvta.to.global.u64 %rd6, %rd3;
    shl.b64 %rd7, %rd4, 2;
    add.s64 %rd8, %rd5, %rd7;
    ld.global.u32 %r6, [%rd8];
    add.s32 %r7, %r6, %r1;
    add.s64 %rd9, %rd6, %rd7;
    st.global.u32 [%rd9], %r7;
DONE:
    ret;
}
";

#[test]
fn runs_and_is_seen_by_the_strategy() {
    with_device(|ctx| {
        let launches = Arc::new(CountLaunches::default());
        let ctx = ctx.with_launch_strategy(launches.clone());
        let cuda = ctx.as_cuda().unwrap();
        let module = UserModule::from_ptx(cuda, "add", ADD).unwrap();
        let words: Vec<u32> = (0..1000).collect();
        let src = cuda.upload_slice("test", &words).unwrap();
        let mut out = cuda.allocate("test", 4000).unwrap();
        let grid = Grid::cover("test", 1000, 128).unwrap();
        let args = vec![UserArg::In(&src), UserArg::U64(1000), UserArg::U32(7), UserArg::Out(&mut out)];
        // SAFETY: the arguments are those of `add_u32`, and both buffers hold 1000 words.
        unsafe { module.launch(cuda, "add_u32", grid, args) }.unwrap();
        let read = cuda.download("test", &out.freeze()).unwrap();
        let sums: Vec<u32> = (7..1007).collect();
        assert_eq!(read.typed_data::<u32>(), sums);
        assert_eq!(launches.count(), 1);
    });
}

#[test]
fn text_that_is_not_ptx_is_an_error() {
    with_device(|ctx| {
        let refused = UserModule::from_ptx(ctx.as_cuda().unwrap(), "noise", "this is not PTX").unwrap_err();
        assert!(matches!(refused, Error::Cuda { .. }), "{refused}");
        assert!(refused.to_string().contains("noise"), "{refused}");
    });
}
