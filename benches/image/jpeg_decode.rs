//! JPEG decode: one image on one core, and a column on all of them. Its peer, libjpeg-turbo, needs cmake and nasm: run
//! `cargo bench -p warpline-oracles` for both side by side.

use std::hint::black_box;
use std::sync::Arc;

use criterion::{BenchmarkId, Criterion, Throughput};
use jpeg_encoder::{ColorType, Encoder, SamplingFactor};
use warpline::arrow::array::BinaryArray;
use warpline::image::jpeg_decode::{DecodeOptions, decode, jpeg_decode};
use warpline::{Column, ExecCtx};

use crate::common::gpu;

/// An ImageNet-like photograph, a full-HD frame, a 12-megapixel photograph.
const CASES: [(&str, u16, u16, SamplingFactor, bool); 4] = [
    ("500x375-420", 500, 375, SamplingFactor::F_2_2, false),
    ("1920x1080-444", 1920, 1080, SamplingFactor::F_1_1, false),
    ("1920x1080-420-progressive", 1920, 1080, SamplingFactor::F_2_2, true),
    ("4000x3000-420", 4000, 3000, SamplingFactor::F_2_2, false),
];

/// The files that the device benches decode.
pub fn device_files() -> [(&'static str, Vec<u8>); 2] {
    let file = |width, height| photograph(width, height, SamplingFactor::F_2_2, false);
    [("500x375-420", file(500, 375)), ("1920x1080-420", file(1920, 1080))]
}

pub fn benches(criterion: &mut Criterion) {
    let options = DecodeOptions::default();
    let mut group = criterion.benchmark_group("jpeg_decode");
    group.sample_size(20);
    for (name, width, height, sampling, progressive) in CASES {
        let data = photograph(width, height, sampling, progressive);
        let pixels = 3 * u64::from(width) * u64::from(height);
        group.throughput(Throughput::Bytes(data.len() as u64 + pixels));
        group.bench_function(BenchmarkId::new("warpline-host-1", name), |b| {
            b.iter(|| decode(black_box(&data), &options).expect("a sound file"));
        });
    }
    let [(_, data), (_, single)] = device_files();
    let column = Column::from_array(Arc::new(BinaryArray::from_iter_values(vec![&data; 64])));
    let one = Column::from_array(Arc::new(BinaryArray::from_iter_values([&single])));
    let ctx = ExecCtx::host(0).expect("a host context");
    group.throughput(Throughput::Bytes(64 * (data.len() as u64 + 3 * 500 * 375)));
    group.bench_function(BenchmarkId::new("warpline-host-all", "column of 64 500x375-420"), |b| {
        b.iter(|| jpeg_decode(&ctx, black_box(&column), &options).expect("decoded"));
    });
    if let Some(gpu) = gpu() {
        // Wall time: headers are read on the host, and the operator waits for the files' status.
        for (what, column) in [("column of 64 500x375-420", column), ("one 1920x1080-420", one)] {
            group.bench_function(BenchmarkId::new("warpline-cuda", what), |b| {
                b.iter(|| {
                    let decoded = jpeg_decode(&gpu, black_box(&column), &options).expect("decoded");
                    gpu.finish().expect("decoded");
                    decoded
                });
            });
        }
    }
    group.finish();
}

/// Waves with grain, about as hard to code as a photograph.
fn photograph(width: u16, height: u16, sampling: SamplingFactor, progressive: bool) -> Vec<u8> {
    let mut state = 1u32;
    let mut pixels = Vec::with_capacity(3 * usize::from(width) * usize::from(height));
    for y in 0..height {
        for x in 0..width {
            let (x, y) = (f32::from(x), f32::from(y));
            state = state.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
            let grain = (state >> 28) as f32 + (x * 0.7).sin() * (y * 0.5).cos() * 12.0;
            for phase in [0.0, 1.0, 2.0] {
                let wave = (x * 0.011 + phase).sin() * 60.0 + (y * 0.017 + x * 0.003).cos() * 50.0;
                pixels.push((128.0 + wave + grain) as u8);
            }
        }
    }
    let mut data = Vec::new();
    let mut encoder = Encoder::new(&mut data, 85);
    encoder.set_sampling_factor(sampling);
    encoder.set_progressive(progressive);
    encoder.encode(&pixels, width, height, ColorType::Rgb).expect("an encoded image");
    data
}
