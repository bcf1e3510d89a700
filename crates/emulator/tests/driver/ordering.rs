//! Streams run by themselves: what is not waited for shows, and what is waited for holds.

use std::ffi::c_void;
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::Duration;

use cudarc::driver::sys::CUresult::*;
use cudarc::driver::sys::{self, CUresult};

use super::raw::*;

/// Page-locked memory with these words in it.
fn pinned(values: &[u32]) -> *mut u32 {
    // SAFETY: the memory has the size of the values.
    unsafe {
        let at = handle(|p| sys::cuMemHostAlloc(p, size_of_val(values), 0)).cast::<u32>();
        at.copy_from_nonoverlapping(values.as_ptr(), values.len());
        at
    }
}

/// Calls the driver, which a host function must not, and keeps what it says.
unsafe extern "C" fn call(data: *mut c_void) {
    // SAFETY: the test passes a place for a code.
    unsafe { *data.cast::<CUresult>() = sys::cuMemAlloc_v2(&mut 0, 4) };
}

unsafe extern "C" fn callback(_: sys::CUstream, status: CUresult, data: *mut c_void) {
    // SAFETY: the test passes a counter.
    unsafe { &*data.cast::<AtomicU32>() }.store(status as u32 + 1, Ordering::SeqCst);
}

in_child! {
    fn pinned_sources_are_read_in_their_turn([]) {
        start();
        let s = stream();
        let (x, y) = (words(&[0; 4]), words(&[0; 4]));
        let source = pinned(&[1; 4]);
        let mut pageable = [1u32; 4];
        let gate = Gate::new(s);
        ok(sys::cuMemcpyHtoDAsync_v2(x, source.cast(), 16, s));
        ok(sys::cuMemcpyHtoDAsync_v2(y, pageable.as_ptr().cast(), 16, s));
        source.write(2);
        pageable[0] = 2;
        std::hint::black_box(&mut pageable);
        gate.open();
        assert_eq!(read(x, 4), [2, 1, 1, 1], "written too early, and it shows");
        assert_eq!(read(y, 4), [1; 4], "taken at the call");
    }

    fn registered_memory_is_page_locked([]) {
        start();
        let s = stream();
        let x = words(&[0; 4]);
        let mut memory = vec![1u32; 1024];
        ok(sys::cuMemHostRegister_v2(memory.as_mut_ptr().cast(), 4096, 0));
        let gate = Gate::new(s);
        ok(sys::cuMemcpyHtoDAsync_v2(x, memory.as_ptr().cast(), 16, s));
        memory[0] = 2;
        std::hint::black_box(&mut memory);
        gate.open();
        assert_eq!(read(x, 4), [2, 1, 1, 1]);
        // Results arrive in their turn as well.
        let gate = Gate::new(s);
        memory[8] = 77;
        ok(sys::cuMemcpyDtoHAsync_v2(memory[8..].as_mut_ptr().cast(), x, 4, s));
        assert_eq!(std::hint::black_box(&memory)[8], 77);
        gate.open();
        ok(sys::cuStreamSynchronize(s));
        assert_eq!(std::hint::black_box(&memory)[8], 2);
        ok(sys::cuMemHostUnregister(memory.as_mut_ptr().cast()));
    }

    fn nothing_is_deferred_in_the_synchronous_mode([("WARPLINE_EMULATOR_SYNC", "sync")]) {
        start();
        let s = stream();
        let x = words(&[0; 4]);
        let source = pinned(&[1; 4]);
        ok(sys::cuMemcpyHtoDAsync_v2(x, source.cast(), 16, s));
        source.write(2);
        assert_eq!(read(x, 4), [1; 4]);
        let counter = AtomicU32::new(0);
        ok(sys::cuLaunchHostFunc(s, Some(count), (&raw const counter).cast_mut().cast()));
        assert_eq!(counter.load(Ordering::SeqCst), 1);
    }

    fn a_missing_wait_shows([]) {
        start();
        let (a, b) = (stream(), stream());
        let (x, y, z) = (words(&[0; 4]), words(&[0; 4]), words(&[0; 4]));
        let e = event();
        let gate = Gate::new(a);
        ok(sys::cuMemsetD32Async(x, 1, 4, a));
        ok(sys::cuEventRecord(e, a));
        ok(sys::cuMemcpyDtoDAsync_v2(y, x, 16, b));
        ok(sys::cuStreamSynchronize(b));
        ok(sys::cuStreamWaitEvent(b, e, 0));
        ok(sys::cuMemcpyDtoDAsync_v2(z, x, 16, b));
        assert_eq!(sys::cuStreamQuery(b), CUDA_ERROR_NOT_READY);
        gate.open();
        assert_eq!(read(y, 4), [0; 4]);
        assert_eq!(read(z, 4), [1; 4]);
        ok(sys::cuStreamQuery(b));
    }

    fn an_event_means_what_was_recorded_before_the_wait([]) {
        start();
        let (a, b) = (stream(), stream());
        let e = event();
        // Never recorded: nothing to wait for.
        ok(sys::cuStreamWaitEvent(b, e, 0));
        ok(sys::cuStreamSynchronize(b));
        ok(sys::cuEventRecord(e, a));
        ok(sys::cuStreamSynchronize(a));
        ok(sys::cuStreamWaitEvent(b, e, 0));
        // A later recording moves the event, but not the wait.
        let gate = Gate::new(a);
        ok(sys::cuEventRecord(e, a));
        ok(sys::cuStreamSynchronize(b));
        assert_eq!(sys::cuEventQuery(e), CUDA_ERROR_NOT_READY);
        gate.open();
        ok(sys::cuEventSynchronize(e));
    }

    fn the_legacy_stream_waits_for_blocking_streams_only([]) {
        start();
        let (blocking, free) = (handle(|p| sys::cuStreamCreate(p, 0)), stream());
        let x = words(&[0; 4]);
        // Both ways: the legacy stream waits for the other, and the other for it.
        let gate = Gate::new(blocking);
        ok(sys::cuMemsetD32Async(x, 1, 1, std::ptr::null_mut()));
        ok(sys::cuMemsetD32Async(x + 4, 1, 1, free));
        ok(sys::cuStreamSynchronize(free));
        assert_eq!(sys::cuStreamQuery(std::ptr::null_mut()), CUDA_ERROR_NOT_READY);
        gate.open();
        ok(sys::cuStreamSynchronize(std::ptr::null_mut()));
        let gate = Gate::new(std::ptr::null_mut());
        ok(sys::cuMemsetD32Async(x + 8, 1, 1, blocking));
        assert_eq!(sys::cuStreamQuery(blocking), CUDA_ERROR_NOT_READY);
        ok(sys::cuStreamQuery(free));
        gate.open();
        assert_eq!(read(x, 4), [1, 1, 1, 0]);
    }

    fn threads_have_a_default_stream_of_their_own([]) {
        let context = start() as usize;
        let own = 2 as sys::CUstream;
        let x = words(&[0; 4]);
        let gate = Gate::new(own);
        ok(sys::cuMemsetD32Async(x, 1, 4, own));
        std::thread::spawn(move || {
            let own = 2 as sys::CUstream;
            ok(sys::cuCtxSetCurrent(context as _));
            // Not held up by the other thread's.
            ok(sys::cuMemsetD32Async(x, 2, 2, own));
            ok(sys::cuStreamSynchronize(own));
        })
        .join()
        .expect("no panic");
        gate.open();
        assert_eq!(read(x, 4), [1; 4]);
    }

    fn a_destroyed_stream_ends_its_work([]) {
        start();
        let s = stream();
        let counter = AtomicU32::new(0);
        let gate = Gate::new(s);
        ok(sys::cuLaunchHostFunc(s, Some(count), (&raw const counter).cast_mut().cast()));
        ok(sys::cuStreamDestroy_v2(s));
        assert_eq!(sys::cuStreamSynchronize(s), CUDA_ERROR_INVALID_HANDLE);
        assert_eq!(counter.load(Ordering::SeqCst), 0);
        gate.open();
        ok(sys::cuCtxSynchronize());
        assert_eq!(counter.load(Ordering::SeqCst), 1);
    }

    fn a_destroyed_event_is_still_waited_for([]) {
        start();
        let (a, b) = (stream(), stream());
        let e = event();
        let (x, y) = (words(&[0; 4]), words(&[0; 4]));
        let gate = Gate::new(a);
        ok(sys::cuMemsetD32Async(x, 1, 4, a));
        ok(sys::cuEventRecord(e, a));
        ok(sys::cuStreamWaitEvent(b, e, 0));
        ok(sys::cuEventDestroy_v2(e));
        assert_eq!(sys::cuEventQuery(e), CUDA_ERROR_INVALID_HANDLE);
        ok(sys::cuMemcpyDtoDAsync_v2(y, x, 16, b));
        gate.open();
        assert_eq!(read(y, 4), [1; 4]);
    }

    fn events_tell_time([]) {
        start();
        let s = stream();
        let (a, b, unrecorded) = (event(), event(), event());
        let untimed = handle(|p| sys::cuEventCreate(p, 2));
        let mut ms = 0f32;
        ok(sys::cuEventRecord(a, s));
        ok(sys::cuEventSynchronize(a));
        let gate = Gate::new(s);
        ok(sys::cuEventRecord(b, s));
        assert_eq!(sys::cuEventElapsedTime_v2(&mut ms, a, b), CUDA_ERROR_NOT_READY);
        std::thread::sleep(Duration::from_millis(30));
        gate.open();
        ok(sys::cuEventRecord(untimed, s));
        ok(sys::cuEventSynchronize(untimed));
        ok(sys::cuEventElapsedTime_v2(&mut ms, a, b));
        assert!((30.0..10_000.0).contains(&ms), "{ms} ms");
        ok(sys::cuEventElapsedTime_v2(&mut ms, b, a));
        assert!(ms <= -30.0, "{ms} ms");
        for wrong in [untimed, unrecorded] {
            assert_eq!(sys::cuEventElapsedTime_v2(&mut ms, a, wrong), CUDA_ERROR_INVALID_HANDLE);
        }
        // One that was never recorded counts as reached.
        ok(sys::cuEventQuery(unrecorded));
        ok(sys::cuEventSynchronize(unrecorded));
    }

    fn host_functions_may_not_call_the_driver([]) {
        start();
        let s = stream();
        let mut said = CUDA_SUCCESS;
        ok(sys::cuLaunchHostFunc(s, Some(call), (&raw mut said).cast()));
        ok(sys::cuStreamSynchronize(s));
        assert_eq!(std::hint::black_box(said), CUDA_ERROR_NOT_PERMITTED);
        let status = AtomicU32::new(0);
        ok(sys::cuStreamAddCallback(s, Some(callback), (&raw const status).cast_mut().cast(), 0));
        ok(sys::cuStreamSynchronize(s));
        assert_eq!(status.load(Ordering::SeqCst), 1);
        assert_eq!(sys::cuLaunchHostFunc(s, None, std::ptr::null_mut()), CUDA_ERROR_INVALID_VALUE);
    }

    fn streams_have_priorities([]) {
        start();
        let (mut least, mut greatest) = (1, 1);
        ok(sys::cuCtxGetStreamPriorityRange(&mut least, &mut greatest));
        assert!(least == 0 && greatest < least, "{least} {greatest}");
        for (asked, want) in [(greatest, greatest), (greatest - 9, greatest), (least, least), (least + 9, least)] {
            let s = handle(|p| sys::cuStreamCreateWithPriority(p, 1, asked));
            assert_eq!(get(|p| sys::cuStreamGetPriority(s, p)), want);
            assert_eq!(get(|p| sys::cuStreamGetFlags(s, p)), 1);
        }
    }

    fn delays_change_no_result([("WARPLINE_EMULATOR_SYNC", "delay"), ("WARPLINE_EMULATOR_SEED", "11")]) {
        start();
        let streams: Vec<_> = (0..4).map(|_| stream()).collect();
        let x = words(&[0; 64]);
        for i in 0..64u64 {
            let (e, before, after) = (event(), streams[i as usize % 4], streams[(i as usize + 1) % 4]);
            let from = if i == 0 { x } else { x + (i - 1) * 4 };
            ok(sys::cuMemcpyDtoDAsync_v2(x + i * 4, from, 4, before));
            ok(sys::cuMemsetD8Async(x + i * 4, i as u8, 1, before));
            ok(sys::cuEventRecord(e, before));
            ok(sys::cuStreamWaitEvent(after, e, 0));
        }
        assert_eq!(read(x, 64), (0..64).collect::<Vec<u32>>());
    }
}
