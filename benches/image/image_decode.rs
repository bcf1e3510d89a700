//! PNG and WebP decode: one image on one core beside the `png` crate, and a mixed column on all cores. WebP is lossless
//! here, because no Rust crate writes lossy files; the tests' photographs are lossy too.

use std::hint::black_box;
use std::io::Cursor;
use std::sync::Arc;

use criterion::{BenchmarkId, Criterion, Throughput};
use warpline::arrow::array::BinaryArray;
use warpline::image::image_decode::{decode, image_decode};
use warpline::image::jpeg_decode::DecodeOptions;
use warpline::{Column, ExecCtx};

/// An ImageNet-like photograph and a full-HD frame.
const SIZES: [(u32, u32); 2] = [(500, 375), (1920, 1080)];

pub fn benches(criterion: &mut Criterion) {
    let options = DecodeOptions::default();
    let mut group = criterion.benchmark_group("image_decode");
    group.sample_size(20);
    for (width, height) in SIZES {
        let pixels = pixels(width, height);
        let (png, webp) = (to_png(&pixels, width, height), to_webp(&pixels, width, height));
        for (format, data) in [("png", &png), ("webp-lossless", &webp)] {
            let name = format!("{width}x{height}-{format}");
            group.throughput(Throughput::Bytes((data.len() + pixels.len()) as u64));
            group.bench_function(BenchmarkId::new("warpline-host-1", &name), |b| {
                b.iter(|| decode(black_box(data), &options).expect("a sound file"));
            });
        }
        group.throughput(Throughput::Bytes((png.len() + pixels.len()) as u64));
        group.bench_function(BenchmarkId::new("png-crate-1", format!("{width}x{height}-png")), |b| {
            b.iter(|| with_png_crate(black_box(&png)));
        });
    }
    let (width, height) = SIZES[0];
    let pixels = pixels(width, height);
    let files = [to_png(&pixels, width, height), to_webp(&pixels, width, height)];
    let column = Column::from_array(Arc::new(BinaryArray::from_iter_values(files.iter().cycle().take(64))));
    let ctx = ExecCtx::host(0).expect("a host context");
    group.throughput(Throughput::Bytes(32 * (files[0].len() + files[1].len()) as u64 + 64 * pixels.len() as u64));
    group.bench_function(BenchmarkId::new("warpline-host-all", "column of 64 500x375"), |b| {
        b.iter(|| image_decode(&ctx, black_box(&column), &options).expect("decoded"));
    });
    group.finish();
}

/// Waves with grain, as a photograph's smooth and busy parts.
fn pixels(width: u32, height: u32) -> Vec<u8> {
    let mut state = 1u32;
    let mut pixels = Vec::with_capacity(3 * width as usize * height as usize);
    for y in 0..height {
        for x in 0..width {
            state = state.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
            let (x, y) = (x as f32, y as f32);
            let grain = (state >> 29) as f32;
            for phase in [0.0, 1.0, 2.0] {
                pixels.push((128.0 + (x * 0.011 + phase).sin() * 60.0 + (y * 0.017).cos() * 50.0 + grain) as u8);
            }
        }
    }
    pixels
}

fn to_png(pixels: &[u8], width: u32, height: u32) -> Vec<u8> {
    let mut data = Vec::new();
    let mut encoder = png::Encoder::new(&mut data, width, height);
    encoder.set_color(png::ColorType::Rgb);
    encoder.write_header().and_then(|mut writer| writer.write_image_data(pixels)).expect("a PNG");
    data
}

fn to_webp(pixels: &[u8], width: u32, height: u32) -> Vec<u8> {
    let mut data = Vec::new();
    let encoder = image_webp::WebPEncoder::new(&mut data);
    encoder.encode(pixels, width, height, image_webp::ColorType::Rgb8).expect("a WebP");
    data
}

fn with_png_crate(data: &[u8]) -> Vec<u8> {
    let mut reader = png::Decoder::new(Cursor::new(data)).read_info().expect("a header");
    let mut pixels = vec![0; reader.output_buffer_size().expect("a size")];
    reader.next_frame(&mut pixels).expect("pixels");
    pixels
}
