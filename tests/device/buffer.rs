//! Copies, slices and hand-over between streams.

use warpline::device::ForeignStream;

use crate::common::with_device;

fn pattern(len: usize) -> Vec<u8> {
    (0..len).map(|i| (i * 31 + i / 251) as u8).collect()
}

#[test]
fn bytes_come_back() {
    with_device(|ctx| {
        let cuda = ctx.as_cuda().unwrap();
        for len in [0, 1, 63, 64, 65, 4096, 1_000_003] {
            let bytes = pattern(len);
            let buffer = cuda.upload("test", &bytes).unwrap();
            assert_eq!(cuda.download("test", &buffer).unwrap().as_slice(), bytes, "{len} bytes");
        }
    });
}

#[test]
fn copies_are_counted() {
    with_device(|ctx| {
        let ctx = ctx.with_budget(1 << 20).unwrap();
        let cuda = ctx.as_cuda().unwrap();
        let buffer = cuda.upload("test", &pattern(1000)).unwrap();
        let slice = cuda.download("test", &buffer.slice(100, 10)).unwrap();
        assert_eq!(slice.as_slice(), &pattern(1000)[100..110]);
        let copies = cuda.copy_stats();
        assert_eq!((copies.host_to_device, copies.device_to_host), (1000, 10));
    });
}

#[test]
fn zeroed_memory_is_zero() {
    with_device(|ctx| {
        let cuda = ctx.as_cuda().unwrap();
        let buffer = cuda.allocate_zeroed("test", 777).unwrap().freeze();
        assert_eq!(cuda.download("test", &buffer).unwrap().as_slice(), vec![0; 777]);
    });
}

#[test]
fn a_buffer_written_on_one_stream_is_whole_on_another() {
    with_device(|ctx| {
        for round in 0..20 {
            let reader = ctx.fork().unwrap();
            let bytes = pattern(100_000 + round);
            let buffer = ctx.as_cuda().unwrap().upload("test", &bytes).unwrap();
            let read = reader.as_cuda().unwrap().download("test", &buffer).unwrap();
            assert_eq!(read.as_slice(), bytes);
        }
    });
}

#[test]
fn memory_outlives_its_readers_on_other_streams() {
    with_device(|ctx| {
        let cuda = ctx.as_cuda().unwrap();
        let reader = ctx.fork().unwrap();
        let stream = reader.as_cuda().unwrap().stream();
        let buffer = cuda.upload("test", &pattern(4096)).unwrap();
        let guard = buffer.for_stream(stream).unwrap();
        drop(buffer);
        assert_ne!(guard.pointer(), 0);
        assert_eq!(guard.len(), 4096);
        drop(guard);
        ctx.finish().unwrap();
        reader.finish().unwrap();
    });
}

#[test]
fn a_duplicate_has_memory_of_its_own() {
    with_device(|ctx| {
        let cuda = ctx.as_cuda().unwrap();
        for len in [0, 1, 64, 100_003] {
            let buffer = cuda.upload("test", &pattern(len + 7)).unwrap().slice(5, len);
            let copy = ctx.fork().unwrap().as_cuda().unwrap().duplicate("test", &buffer).unwrap();
            drop(buffer);
            assert_eq!(cuda.download("test", &copy).unwrap().as_slice(), &pattern(len + 7)[5..len + 5], "{len} bytes");
        }
    });
}

/// `crates/python/tests/test_device.py` reads such memory, through the driver, on streams of another library.
#[test]
fn memory_is_lent_for_every_kind_of_stream() {
    with_device(|ctx| {
        let cuda = ctx.as_cuda().unwrap();
        let borrower = ctx.fork().unwrap();
        let handle = borrower.as_cuda().unwrap().stream().as_raw() as i64;
        for number in [-1, 1, 2, handle] {
            let buffer = cuda.upload("test", &pattern(1000)).unwrap();
            // SAFETY: the stream is alive and of the same context.
            let loan = unsafe { buffer.slice(64, 100).lend(number.try_into().unwrap()) }.unwrap();
            assert_eq!((loan.pointer(), loan.len()), (buffer.for_stream(cuda.stream()).unwrap().pointer() + 64, 100));
            drop(buffer);
            let used = cuda.ledger().used();
            drop(loan);
            assert!(cuda.ledger().used() < used);
        }
        ctx.finish().unwrap();
    });
    for wrong in [0, -2, i64::MIN] {
        let error = ForeignStream::try_from(wrong).unwrap_err();
        assert!(error.to_string().contains("is no stream"), "{error}");
    }
}

#[test]
#[should_panic(expected = "slice past the end")]
fn a_slice_past_the_end_panics() {
    let mut ran = false;
    with_device(|ctx| {
        ran = true;
        let buffer = ctx.as_cuda().unwrap().upload("test", &[1, 2, 3]).unwrap();
        let _ = buffer.slice(2, 2);
    });
    assert!(ran, "slice past the end: not run, no device");
}

/// Copies around the sizes at which they go through pinned slots, and through more slots than there are.
#[test]
fn large_copies_pass_through_the_ring() {
    with_device(|ctx| {
        let cuda = ctx.as_cuda().unwrap();
        let slot = 1 << 20;
        for len in [65_536, 65_537, slot - 1, slot, slot + 1, 3 * slot + 17, 20 * slot + 5] {
            let bytes = pattern(len);
            let buffer = cuda.upload("test", &bytes).unwrap();
            assert!(cuda.download("test", &buffer).unwrap().as_slice() == bytes, "{len} bytes");
            let middle = buffer.slice(len / 3, len / 2);
            assert!(cuda.download("test", &middle).unwrap().as_slice() == &bytes[len / 3..][..len / 2], "{len} bytes");
        }
    });
}

#[test]
fn many_buffers_come_back_in_order() {
    with_device(|ctx| {
        let cuda = ctx.as_cuda().unwrap();
        let lens = [0, 5, 1_048_570, 12, 2_500_000, 0, 1, 6_000_000, 64];
        let bytes: Vec<_> = lens.iter().map(|&len| pattern(len)).collect();
        let buffers: Vec<_> = bytes.iter().map(|bytes| cuda.upload("test", bytes).unwrap()).collect();
        let back = cuda.download_all("test", &buffers.iter().collect::<Vec<_>>()).unwrap();
        assert!(back.iter().map(|buffer| buffer.as_slice()).eq(bytes.iter().map(Vec::as_slice)));
    });
}

/// More threads than slots, each of which holds several: they must neither mix their bytes nor wait for each other
/// forever.
#[test]
fn threads_share_the_ring() {
    with_device(|ctx| {
        std::thread::scope(|threads| {
            for t in 0..12 {
                threads.spawn(move || {
                    let ctx = ctx.fork().unwrap();
                    let cuda = ctx.as_cuda().unwrap();
                    for round in 0..3 {
                        let bytes: Vec<u8> = pattern(3_500_000 + round).iter().map(|b| b.wrapping_add(t)).collect();
                        let buffer = cuda.upload("test", &bytes).unwrap();
                        assert!(cuda.download("test", &buffer).unwrap().as_slice() == bytes, "thread {t}");
                    }
                });
            }
        });
    });
}
