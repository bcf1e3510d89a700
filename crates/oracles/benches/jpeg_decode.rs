//! JPEG decode on one core: the host twin beside libjpeg-turbo, on the same bytes.
//!
//! The inputs are photographs from `$CORPORA` (where set) and a synthetic 12-megapixel image. Throughput counts the
//! compressed bytes read and the RGB bytes written.

use std::hint::black_box;
use std::path::PathBuf;

use criterion::{BenchmarkId, Criterion, Throughput};
use turbojpeg::{Decompressor, Image, PixelFormat, Subsamp};
use warpline::image::jpeg_decode::{DecodeOptions, decode};

use crate::synthetic;

fn inputs() -> Vec<(String, Vec<u8>)> {
    let mut inputs = vec![
        ("500x375-420".to_owned(), synthetic(500, 375, Subsamp::Sub2x2, false)),
        ("4000x3000-420".to_owned(), synthetic(4000, 3000, Subsamp::Sub2x2, false)),
        ("1920x1080-444".to_owned(), synthetic(1920, 1080, Subsamp::None, false)),
        ("1920x1080-420-progressive".to_owned(), synthetic(1920, 1080, Subsamp::Sub2x2, true)),
    ];
    if let Some(root) = std::env::var_os("CORPORA").map(PathBuf::from) {
        for name in ["kodak01", "kodak05", "kodak09", "kodak13"] {
            let path = root.join("photos").join(format!("{name}.jpg"));
            inputs.push((name.to_owned(), std::fs::read(path).expect("a photograph")));
        }
    }
    inputs
}

pub fn benches(criterion: &mut Criterion) {
    let mut group = criterion.benchmark_group("jpeg_decode");
    group.sample_size(20);
    for (name, data) in inputs() {
        let image = decode(&data, &DecodeOptions::default()).expect("a sound file");
        group.throughput(Throughput::Bytes((data.len() + image.data.len()) as u64));
        group.bench_function(BenchmarkId::new("warpline-host-1", &name), |b| {
            b.iter(|| decode(black_box(&data), &DecodeOptions::default()).expect("a sound file"));
        });
        group.bench_function(BenchmarkId::new("libjpeg-turbo", &name), |b| {
            let mut decompressor = Decompressor::new().expect("a decompressor");
            let (width, height) = (image.width as usize, image.height as usize);
            b.iter(|| {
                let mut pixels = vec![0u8; width * height * 3];
                let target =
                    Image { pixels: pixels.as_mut_slice(), width, pitch: width * 3, height, format: PixelFormat::RGB };
                decompressor.decompress(black_box(&data), target).expect("a sound file");
                pixels
            });
        });
    }
    group.finish();
}
