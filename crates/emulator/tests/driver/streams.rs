//! Streams, events, copies and memory through cudarc.

use cudarc::driver::{CudaContext, LaunchConfig, PushKernelArg, sys};

use crate::common::{Gpu, emulated_with};
use crate::launch;

const PTX: &str = include_str!("../data/basic.ptx");

#[test]
fn events_order_streams() {
    let name = "driver::streams::events_order_streams";
    for mode in ["async", "sync", "delay"] {
        emulated_with(name, &[("WARPLINE_EMULATOR_SYNC", mode), ("WARPLINE_EMULATOR_SEED", "5")], || {
            let gpu = Gpu::new(PTX);
            let other = gpu.context.new_stream().unwrap();
            let n = 1u64 << 16;
            let host: Vec<f32> = (0..n).map(|i| i as f32).collect();
            let a = gpu.stream.clone_htod(&host).unwrap();
            let mut sum = gpu.stream.alloc_zeros::<f32>(n as usize).unwrap();
            let f = gpu.kernel("add_f32");
            let config = LaunchConfig::for_num_elems(n as u32);
            let config = LaunchConfig { block_dim: (256, 1, 1), grid_dim: (n as u32 / 256, 1, 1), ..config };
            launch!(gpu.stream, &f, config, &a, &a, &mut sum, &n).unwrap();
            let event = gpu.stream.record_event(Some(sys::CUevent_flags::CU_EVENT_DEFAULT)).unwrap();
            other.wait(&event).unwrap();
            // SAFETY: the kernel writes all of it.
            let mut twice = unsafe { other.alloc::<f32>(n as usize) }.unwrap();
            launch!(other, &f, config, &sum, &sum, &mut twice, &n).unwrap();
            let end = other.record_event(Some(sys::CUevent_flags::CU_EVENT_DEFAULT)).unwrap();
            let got = other.clone_dtoh(&twice).unwrap();
            assert!(got.iter().zip(&host).all(|(g, h)| *g == h * 4.0));
            assert!(event.elapsed_ms(&end).unwrap() >= 0.0);
        });
    }
}

#[test]
fn memory_is_accounted_and_limited() {
    let env = [("WARPLINE_EMULATOR_MEMORY", "64M")];
    emulated_with("driver::streams::memory_is_accounted_and_limited", &env, || {
        let context = CudaContext::new(0).unwrap();
        let stream = context.new_stream().unwrap();
        assert_eq!(context.mem_get_info().unwrap(), (64 << 20, 64 << 20));
        let a = stream.alloc_zeros::<u8>(40 << 20).unwrap();
        assert_eq!(context.mem_get_info().unwrap().0, 24 << 20);
        let error = stream.alloc_zeros::<u8>(30 << 20).unwrap_err();
        assert_eq!(error.0, sys::CUresult::CUDA_ERROR_OUT_OF_MEMORY);
        drop(a);
        // The free is still queued, and the next allocation waits for it.
        let b = stream.alloc_zeros::<u8>(60 << 20).unwrap();
        assert!(stream.clone_dtoh(&b).unwrap().iter().all(|v| *v == 0));
    });
}

#[test]
fn devices_tell_what_they_are() {
    let env = [("WARPLINE_EMULATOR_DEVICES", "2"), ("WARPLINE_EMULATOR_CC", "8.6")];
    emulated_with("driver::streams::devices_tell_what_they_are", &env, || {
        assert_eq!(CudaContext::device_count().unwrap(), 2);
        let context = CudaContext::new(1).unwrap();
        assert_eq!(context.compute_capability().unwrap(), (8, 6));
        assert_eq!(context.total_mem().unwrap(), 16 << 30);
        let error = CudaContext::new(2).unwrap_err();
        assert_eq!(error.0, sys::CUresult::CUDA_ERROR_INVALID_DEVICE);
        let two = [CudaContext::new(0).unwrap(), context];
        let (s0, s1) = (two[0].new_stream().unwrap(), two[1].new_stream().unwrap());
        let a = s0.clone_htod(&[1u32, 2, 3]).unwrap();
        s0.synchronize().unwrap();
        let b = s1.clone_dtod(&a).unwrap();
        assert_eq!(s1.clone_dtoh(&b).unwrap(), [1, 2, 3]);
    });
}

#[test]
fn counters_are_written() {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("counters.jsonl");
    let env = [("WARPLINE_EMULATOR_COUNTERS", file.to_str().unwrap())];
    emulated_with("driver::streams::counters_are_written", &env, || {
        let gpu = Gpu::new(PTX);
        let a = gpu.stream.clone_htod(&vec![1f32; 1024]).unwrap();
        let mut out = gpu.stream.alloc_zeros::<f32>(1024).unwrap();
        let f = gpu.kernel("add_f32");
        let n = 1024u64;
        launch!(
            gpu.stream,
            &f,
            LaunchConfig { grid_dim: (4, 1, 1), block_dim: (256, 1, 1), shared_mem_bytes: 0 },
            &a,
            &a,
            &mut out,
            &n
        )
        .unwrap();
        gpu.stream.clone_dtoh(&out).unwrap();
    });
    let Ok(text) = std::fs::read_to_string(&file) else { return };
    let lines: Vec<serde_json::Value> = text.lines().map(|l| serde_json::from_str(l).unwrap()).collect();
    let launch = lines.iter().find(|l| l["kernel"] == "add_f32").unwrap();
    let c = &launch["counters"];
    // Two loads and one store of 4 KiB each; both loads read the same array.
    for (name, want) in [
        ("bytes_loaded", 8192),
        ("bytes_stored", 4096),
        ("sectors_loaded", 256),
        ("sectors_stored", 128),
        ("distinct_loaded", 128),
        ("distinct_stored", 128),
        ("divergent_branches", 0),
    ] {
        assert_eq!(c[name], want, "{name} in {c}");
    }
    assert!(lines.iter().any(|l| l["copy"] == "htod" && l["bytes"] == 4096));
    assert!(lines.iter().any(|l| l["copy"] == "dtoh" && l["bytes"] == 4096));
}
