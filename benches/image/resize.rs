//! Resize and crop: the host twin beside `fast_image_resize` (whose 16-bit weights are not Pillow's).

use std::hint::black_box;

use criterion::{BenchmarkId, Criterion, Throughput};
use fast_image_resize as fir;
use warpline::ExecCtx;
use warpline::image::{Images, Interpolation, Resize, resize};

use super::noise;

/// Source sizes: an ImageNet-like photograph, a full-HD frame, a 12-megapixel photograph.
const SOURCES: [(&str, u32, u32); 3] = [("500x375", 500, 375), ("1920x1080", 1920, 1080), ("4000x3000", 4000, 3000)];

pub fn benches(criterion: &mut Criterion) {
    let ctx = ExecCtx::host(1).expect("a host context");
    for interpolation in [Interpolation::Bilinear, Interpolation::Bicubic] {
        let mut group = criterion.benchmark_group(format!("resize/{interpolation}/shorter256"));
        for (name, width, height) in SOURCES {
            let images = noise(width, height, 1);
            let how = Resize::shorter(256).interpolation(interpolation);
            let (out_w, out_h) = resize(&ctx, &images, &how).expect("a resize").size(0).expect("an image");
            let nbytes = 3 * (u64::from(width) * u64::from(height) + u64::from(out_w) * u64::from(out_h));
            group.throughput(Throughput::Bytes(nbytes));
            group.bench_function(BenchmarkId::new("warpline-host-1", name), |b| {
                b.iter(|| resize(&ctx, black_box(&images), &how).expect("a resize"));
            });
            group.bench_function(BenchmarkId::new("fast_image_resize", name), |b| {
                let mut peer = Peer::new(&images, (out_w, out_h), interpolation);
                b.iter(|| peer.run());
            });
        }
        group.finish();
    }
}

/// The same resize by `fast_image_resize`, on one thread.
struct Peer {
    source: fir::images::Image<'static>,
    result: fir::images::Image<'static>,
    resizer: fir::Resizer,
    options: fir::ResizeOptions,
}

impl Peer {
    fn new(images: &Images, (out_w, out_h): (u32, u32), interpolation: Interpolation) -> Self {
        let filter = match interpolation {
            Interpolation::Bicubic => fir::FilterType::CatmullRom,
            _ => fir::FilterType::Bilinear,
        };
        let (width, height) = images.size(0).expect("an image");
        let pixels = images.pixels(0).expect("pixels").to_vec();
        Peer {
            source: fir::images::Image::from_vec_u8(width, height, pixels, fir::PixelType::U8x3).expect("a source"),
            result: fir::images::Image::new(out_w, out_h, fir::PixelType::U8x3),
            resizer: fir::Resizer::new(),
            options: fir::ResizeOptions::new().resize_alg(fir::ResizeAlg::Convolution(filter)),
        }
    }

    fn run(&mut self) {
        self.resizer.resize(&self.source, &mut self.result, &self.options).expect("a resize");
    }
}
