//! Graphs: what capture records, what replays do, and the codes of what a capture forbids.

use std::sync::atomic::{AtomicU32, Ordering};

use cudarc::driver::sys::CUresult::*;
use cudarc::driver::sys::CUstreamCaptureMode::{self, *};
use cudarc::driver::sys::{self, CUgraph, CUgraphExec, CUgraphNodeType, CUresult, CUstream};

use super::raw::*;

fn begin(stream: CUstream, mode: CUstreamCaptureMode) {
    // SAFETY: a live stream.
    ok(unsafe { sys::cuStreamBeginCapture_v2(stream, mode) });
}

fn end(stream: CUstream) -> Result<CUgraph, CUresult> {
    let mut graph = std::ptr::null_mut();
    // SAFETY: a place for a handle.
    match unsafe { sys::cuStreamEndCapture(stream, &mut graph) } {
        CUDA_SUCCESS => Ok(graph),
        e => {
            assert!(graph.is_null(), "no graph comes with an error");
            Err(e)
        }
    }
}

fn instantiate(graph: CUgraph, flags: u64) -> CUgraphExec {
    // SAFETY: a live graph.
    handle(|p| unsafe { sys::cuGraphInstantiateWithFlags(p, graph, flags) })
}

in_child! {
    fn forks_join_and_replay([("WARPLINE_EMULATOR_SEED", "3")]) {
        start();
        let (a, b) = (stream(), stream());
        let (fork, join) = (event(), event());
        let (x, y) = (words(&[7; 64]), words(&[0; 64]));
        begin(a, CU_STREAM_CAPTURE_MODE_GLOBAL);
        ok(sys::cuMemsetD32Async(x, 1, 32, a));
        ok(sys::cuEventRecord(fork, a));
        ok(sys::cuStreamWaitEvent(b, fork, 0));
        // Both branches need the fill before; the copy after needs both.
        ok(sys::cuMemsetD32Async(x, 2, 16, b));
        ok(sys::cuMemsetD32Async(x + 16 * 4, 3, 16, a));
        ok(sys::cuEventRecord(join, b));
        ok(sys::cuStreamWaitEvent(a, join, 0));
        ok(sys::cuMemcpyDtoDAsync_v2(y, x, 256, a));
        let graph = end(a).expect("a graph");
        assert_eq!(read(y, 64), [0; 64], "nothing ran");
        let ready = instantiate(graph, 0);
        let want: Vec<u32> = [[2; 16], [3; 16], [7; 16], [7; 16]].concat();
        for _ in 0..5 {
            ok(sys::cuMemsetD32_v2(y, 9, 64));
            ok(sys::cuGraphLaunch(ready, b));
            assert_eq!(read(y, 64), want);
        }
        assert_eq!(get(|p| sys::cuGraphGetNodes(graph, std::ptr::null_mut(), p)), 4usize);
        let (mut nodes, mut n) = ([std::ptr::null_mut(); 4], 4);
        ok(sys::cuGraphGetNodes(graph, nodes.as_mut_ptr(), &mut n));
        let mut kind = CUgraphNodeType::CU_GRAPH_NODE_TYPE_EMPTY;
        ok(sys::cuGraphNodeGetType(nodes[3], &mut kind));
        assert_eq!(kind, CUgraphNodeType::CU_GRAPH_NODE_TYPE_MEMCPY);
        // An executable graph outlives the one that it was made from.
        ok(sys::cuGraphDestroy(graph));
        assert_eq!(sys::cuGraphDestroy(graph), CUDA_ERROR_INVALID_VALUE);
        ok(sys::cuGraphLaunch(ready, a));
        ok(sys::cuGraphExecDestroy(ready));
        assert_eq!(sys::cuGraphExecDestroy(ready), CUDA_ERROR_INVALID_VALUE);
        assert_eq!(sys::cuGraphLaunch(ready, a), CUDA_ERROR_INVALID_VALUE);
        ok(sys::cuStreamSynchronize(a));
    }

    fn host_functions_run_at_each_launch([]) {
        start();
        let s = stream();
        let counter = AtomicU32::new(0);
        begin(s, CU_STREAM_CAPTURE_MODE_RELAXED);
        ok(sys::cuLaunchHostFunc(s, Some(count), (&raw const counter).cast_mut().cast()));
        let ready = instantiate(end(s).expect("a graph"), 0);
        for _ in 0..3 {
            ok(sys::cuGraphLaunch(ready, s));
        }
        ok(sys::cuStreamSynchronize(s));
        assert_eq!(counter.load(Ordering::SeqCst), 3);
        // A launch that is captured becomes a node of the outer graph.
        begin(s, CU_STREAM_CAPTURE_MODE_RELAXED);
        ok(sys::cuGraphLaunch(ready, s));
        ok(sys::cuGraphLaunch(ready, s));
        let outer = instantiate(end(s).expect("a graph"), 0);
        ok(sys::cuGraphLaunch(outer, s));
        ok(sys::cuStreamSynchronize(s));
        assert_eq!(counter.load(Ordering::SeqCst), 5);
    }

    fn sources_are_read_at_each_launch([]) {
        start();
        let s = stream();
        let at = words(&[0; 4]);
        let mut source = [1u32, 2, 3, 4];
        begin(s, CU_STREAM_CAPTURE_MODE_THREAD_LOCAL);
        ok(sys::cuMemcpyHtoDAsync_v2(at, source.as_ptr().cast(), 16, s));
        let ready = instantiate(end(s).expect("a graph"), 0);
        for i in 0..3 {
            source[0] = i;
            std::hint::black_box(&mut source);
            ok(sys::cuGraphLaunch(ready, s));
            assert_eq!(read(at, 4), [i, 2, 3, 4]);
        }
    }

    fn waiting_for_a_capture_spoils_it([]) {
        start();
        let s = stream();
        for wait in [
            (|s| sys::cuStreamSynchronize(s)) as unsafe fn(CUstream) -> CUresult,
            |s| sys::cuStreamQuery(s),
            |_| sys::cuCtxSynchronize(),
        ] {
            begin(s, CU_STREAM_CAPTURE_MODE_THREAD_LOCAL);
            assert_eq!(wait(s), CUDA_ERROR_STREAM_CAPTURE_UNSUPPORTED);
            let mut status = sys::CUstreamCaptureStatus::CU_STREAM_CAPTURE_STATUS_NONE;
            ok(sys::cuStreamIsCapturing(s, &mut status));
            assert_eq!(status, sys::CUstreamCaptureStatus::CU_STREAM_CAPTURE_STATUS_INVALIDATED);
            let x = get(|p| sys::cuDeviceGet(p, 0)) as u64;
            assert_eq!(sys::cuMemsetD32Async(x, 1, 1, s), CUDA_ERROR_INVALID_VALUE);
            assert_eq!(sys::cuLaunchHostFunc(s, Some(count), std::ptr::null_mut()), CUDA_ERROR_STREAM_CAPTURE_INVALIDATED);
            assert_eq!(end(s), Err(CUDA_ERROR_STREAM_CAPTURE_INVALIDATED));
            ok(sys::cuStreamSynchronize(s));
        }
    }

    fn events_of_a_capture_cannot_be_asked([]) {
        start();
        let (s, other) = (stream(), stream());
        let (e, f) = (event(), event());
        ok(sys::cuEventRecord(f, other));
        for ask in [
            (|e, _| sys::cuEventQuery(e)) as unsafe fn(sys::CUevent, sys::CUevent) -> CUresult,
            |e, _| sys::cuEventSynchronize(e),
            |e, f| sys::cuEventElapsedTime_v2(&mut 0f32, f, e),
        ] {
            begin(s, CU_STREAM_CAPTURE_MODE_THREAD_LOCAL);
            ok(sys::cuEventRecord(e, s));
            assert_eq!(ask(e, f), CUDA_ERROR_CAPTURED_EVENT);
            assert_eq!(end(s), Err(CUDA_ERROR_STREAM_CAPTURE_INVALIDATED));
        }
        // The event still belongs to a capture that has ended.
        assert_eq!(sys::cuStreamWaitEvent(other, e, 0), CUDA_ERROR_CAPTURED_EVENT);
        ok(sys::cuEventRecord(e, other));
        ok(sys::cuEventSynchronize(e));
    }

    fn captures_keep_apart([]) {
        start();
        let (a, b) = (stream(), stream());
        let (e, before) = (event(), event());
        ok(sys::cuEventRecord(before, b));
        // Work from outside.
        begin(a, CU_STREAM_CAPTURE_MODE_THREAD_LOCAL);
        assert_eq!(sys::cuStreamWaitEvent(a, before, 0), CUDA_ERROR_STREAM_CAPTURE_ISOLATION);
        assert_eq!(end(a), Err(CUDA_ERROR_STREAM_CAPTURE_INVALIDATED));
        // Two captures.
        begin(a, CU_STREAM_CAPTURE_MODE_THREAD_LOCAL);
        begin(b, CU_STREAM_CAPTURE_MODE_THREAD_LOCAL);
        ok(sys::cuEventRecord(e, a));
        assert_eq!(sys::cuStreamWaitEvent(b, e, 0), CUDA_ERROR_STREAM_CAPTURE_MERGE);
        assert!(end(a).is_err() && end(b).is_err());
        // A branch that never joins, and the end of a branch.
        let x = words(&[0; 4]);
        begin(a, CU_STREAM_CAPTURE_MODE_THREAD_LOCAL);
        ok(sys::cuEventRecord(e, a));
        ok(sys::cuStreamWaitEvent(b, e, 0));
        ok(sys::cuMemsetD32Async(x, 1, 4, b));
        assert_eq!(end(b), Err(CUDA_ERROR_STREAM_CAPTURE_UNMATCHED));
        assert_eq!(end(a), Err(CUDA_ERROR_STREAM_CAPTURE_UNJOINED));
        ok(sys::cuStreamSynchronize(b));
        // Twice, never, and in the legacy stream.
        begin(a, CU_STREAM_CAPTURE_MODE_THREAD_LOCAL);
        assert_eq!(
            sys::cuStreamBeginCapture_v2(a, CU_STREAM_CAPTURE_MODE_THREAD_LOCAL),
            CUDA_ERROR_ILLEGAL_STATE
        );
        end(a).expect("an empty graph");
        assert_eq!(end(a), Err(CUDA_ERROR_ILLEGAL_STATE));
        assert_eq!(
            sys::cuStreamBeginCapture_v2(std::ptr::null_mut(), CU_STREAM_CAPTURE_MODE_GLOBAL),
            CUDA_ERROR_STREAM_CAPTURE_UNSUPPORTED
        );
    }

    fn the_legacy_stream_stays_out([]) {
        start();
        let blocking = handle(|p| sys::cuStreamCreate(p, 0));
        let x = words(&[0; 4]);
        begin(blocking, CU_STREAM_CAPTURE_MODE_RELAXED);
        assert_eq!(sys::cuMemsetD32Async(x, 1, 4, std::ptr::null_mut()), CUDA_ERROR_STREAM_CAPTURE_IMPLICIT);
        assert_eq!(end(blocking), Err(CUDA_ERROR_STREAM_CAPTURE_INVALIDATED));
        let free = stream();
        begin(free, CU_STREAM_CAPTURE_MODE_RELAXED);
        ok(sys::cuMemsetD32Async(x, 1, 4, std::ptr::null_mut()));
        end(free).expect("a graph");
        assert_eq!(read(x, 4), [1; 4]);
    }

    fn modes_say_whom_a_capture_binds([]) {
        let context = start() as usize;
        let s = stream() as usize;
        // What another thread may do meanwhile.
        let elsewhere = |own: Option<CUstreamCaptureMode>| {
            std::thread::spawn(move || {
                // SAFETY: as elsewhere in this file.
                unsafe {
                    ok(sys::cuCtxSetCurrent(context as _));
                    if let Some(mut mode) = own {
                        ok(sys::cuThreadExchangeStreamCaptureMode(&mut mode));
                        assert_eq!(mode, CU_STREAM_CAPTURE_MODE_GLOBAL, "what every thread begins with");
                    }
                    let mut at = 0;
                    sys::cuMemAlloc_v2(&mut at, 16)
                }
            })
            .join()
            .expect("no panic")
        };
        let here = || sys::cuMemAlloc_v2(&mut 0, 16);
        let refused = CUDA_ERROR_STREAM_CAPTURE_UNSUPPORTED;
        for (mode, own, own_call, other_call) in [
            (CU_STREAM_CAPTURE_MODE_GLOBAL, None, refused, refused),
            (CU_STREAM_CAPTURE_MODE_GLOBAL, Some(CU_STREAM_CAPTURE_MODE_THREAD_LOCAL), refused, CUDA_SUCCESS),
            (CU_STREAM_CAPTURE_MODE_THREAD_LOCAL, None, refused, CUDA_SUCCESS),
            (CU_STREAM_CAPTURE_MODE_RELAXED, None, CUDA_SUCCESS, CUDA_SUCCESS),
        ] {
            begin(s as _, mode);
            assert_eq!(elsewhere(own), other_call, "{mode:?}");
            assert_eq!(here(), own_call, "{mode:?}");
            let spoilt = own_call != CUDA_SUCCESS;
            assert_eq!(end(s as _).is_err(), spoilt, "{mode:?}");
        }
        // Only a relaxed capture may end in another thread.
        for (mode, want) in [
            (CU_STREAM_CAPTURE_MODE_THREAD_LOCAL, Err(CUDA_ERROR_STREAM_CAPTURE_WRONG_THREAD)),
            (CU_STREAM_CAPTURE_MODE_RELAXED, Ok(())),
        ] {
            begin(s as _, mode);
            let ended = std::thread::spawn(move || {
                // SAFETY: as above.
                ok(unsafe { sys::cuCtxSetCurrent(context as _) });
                end(s as _).map(|_| ())
            });
            assert_eq!(ended.join().expect("no panic"), want);
            assert_eq!(end(s as _).is_ok(), want.is_err(), "it goes on, or is over");
        }
    }

    fn graphs_own_the_memory_that_they_allocate([]) {
        start();
        let s = stream();
        let out = words(&[0; 4]);
        let capture = |free: bool| {
            begin(s, CU_STREAM_CAPTURE_MODE_THREAD_LOCAL);
            let at = get(|p| sys::cuMemAllocAsync(p, 16, s));
            ok(sys::cuMemsetD32Async(at, 5, 4, s));
            ok(sys::cuMemcpyDtoDAsync_v2(out, at, 16, s));
            if free {
                ok(sys::cuMemFreeAsync(at, s));
                assert_eq!(sys::cuMemFreeAsync(at, s), CUDA_ERROR_INVALID_VALUE);
            }
            (at, end(s).expect("a graph"))
        };
        let (_, graph) = capture(true);
        let ready = instantiate(graph, 0);
        for _ in 0..3 {
            ok(sys::cuMemsetD32_v2(out, 0, 4));
            ok(sys::cuGraphLaunch(ready, s));
            assert_eq!(read(out, 4), [5; 4]);
        }
        // What a launch leaves allocated must be freed before the next, by the program or by the launch itself.
        let (at, graph) = capture(false);
        let ready = instantiate(graph, 0);
        assert_eq!(sys::cuMemFreeAsync(at, s), CUDA_ERROR_INVALID_VALUE, "nothing has allocated it yet");
        ok(sys::cuGraphLaunch(ready, s));
        assert_eq!(sys::cuGraphLaunch(ready, s), CUDA_ERROR_INVALID_VALUE);
        assert_eq!(read(at, 4), [5; 4]);
        ok(sys::cuMemFreeAsync(at, s));
        ok(sys::cuGraphLaunch(ready, s));
        ok(sys::cuMemFreeAsync(at, s));
        let (_, graph) = capture(false);
        let ready = instantiate(graph, 1);
        ok(sys::cuGraphLaunch(ready, s));
        ok(sys::cuGraphLaunch(ready, s));
        // Only memory of a graph can be freed by one.
        begin(s, CU_STREAM_CAPTURE_MODE_THREAD_LOCAL);
        assert_eq!(sys::cuMemFreeAsync(out, s), CUDA_ERROR_INVALID_VALUE);
        end(s).expect("a graph");
    }

    fn external_events_are_nodes([]) {
        start();
        let (s, other) = (stream(), stream());
        let e = event();
        let x = words(&[0; 4]);
        begin(s, CU_STREAM_CAPTURE_MODE_THREAD_LOCAL);
        ok(sys::cuMemsetD32Async(x, 8, 4, s));
        ok(sys::cuEventRecordWithFlags(e, s, 1));
        let ready = instantiate(end(s).expect("a graph"), 0);
        ok(sys::cuGraphLaunch(ready, s));
        ok(sys::cuStreamSynchronize(s));
        ok(sys::cuEventQuery(e));
        ok(sys::cuStreamWaitEvent(other, e, 0));
        assert_eq!(read(x, 4), [8; 4]);
        assert_eq!(sys::cuEventRecordWithFlags(e, s, 2), CUDA_ERROR_INVALID_VALUE);
    }

    fn a_destroyed_stream_spoils_its_capture([]) {
        start();
        let (a, b) = (stream(), stream());
        let e = event();
        begin(a, CU_STREAM_CAPTURE_MODE_THREAD_LOCAL);
        ok(sys::cuEventRecord(e, a));
        ok(sys::cuStreamWaitEvent(b, e, 0));
        ok(sys::cuStreamDestroy_v2(b));
        assert_eq!(end(a), Err(CUDA_ERROR_STREAM_CAPTURE_INVALIDATED));
    }
}
