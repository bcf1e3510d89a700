//! From JPEG to a classifier's input on one core: the host twins beside libjpeg-turbo and `fast_image_resize`, the usual
//! choice without Python. Shorter side 256 bilinear, crop 224, ImageNet's mean and deviation, f32, NCHW.
//!
//! The peer's resize has 16-bit weights, so its tensors differ from Pillow's by a grey level here and there; it resizes
//! only what the crop needs, as ours does.

use std::hint::black_box;
use std::path::PathBuf;
use std::sync::Arc;

use arrow::array::BinaryArray;
use criterion::{BenchmarkId, Criterion, Throughput};
use fast_image_resize as fir;
use turbojpeg::{Decompressor, Image, PixelFormat, Subsamp};
use warpline::image::jpeg_decode::{DecodeOptions, jpeg_decode};
use warpline::image::{DType, Images, Layout, Normalize, Preprocess, Resize, preprocess};
use warpline::{Column, ExecCtx};

use crate::synthetic;

const SIDE: u32 = 256;
const CROP: u32 = 224;
const MEAN: [f32; 3] = [0.485, 0.456, 0.406];
const STD: [f32; 3] = [0.229, 0.224, 0.225];

/// Batches by name: ImageNet-like images, full-HD frames, a 12-megapixel photograph, and Kodak's where there are corpora.
fn inputs() -> Vec<(String, Vec<Vec<u8>>)> {
    let of = |width, height, rows| vec![synthetic(width, height, Subsamp::Sub2x2, false); rows];
    let mut inputs = vec![
        ("500x375".to_owned(), of(500, 375, 16)),
        ("1920x1080".to_owned(), of(1920, 1080, 4)),
        ("4000x3000".to_owned(), of(4000, 3000, 1)),
    ];
    if let Some(root) = std::env::var_os("CORPORA").map(PathBuf::from) {
        let files = ["kodak01", "kodak05", "kodak09", "kodak13"].map(|name| format!("photos/{name}.jpg"));
        let read = |name: &String| std::fs::read(root.join(name)).expect("a photograph");
        inputs.push(("kodak".to_owned(), files.iter().map(read).collect()));
    }
    inputs
}

fn ours(ctx: &ExecCtx, files: &Column, what: &Preprocess) -> Column {
    let decoded = jpeg_decode(ctx, files, &DecodeOptions::default()).expect("images");
    assert!(decoded.errors.is_empty());
    preprocess(ctx, &Images::try_new(decoded.images).expect("images"), what).expect("tensors").column
}

/// What a user would write around the two libraries; keeps its buffers from one image to the next.
struct Peer {
    decompressor: Decompressor,
    pixels: Vec<u8>,
    resizer: fir::Resizer,
    cropped: fir::images::Image<'static>,
}

impl Peer {
    fn new() -> Self {
        Peer {
            decompressor: Decompressor::new().expect("a decompressor"),
            pixels: Vec::new(),
            resizer: fir::Resizer::new(),
            cropped: fir::images::Image::new(CROP, CROP, fir::PixelType::U8x3),
        }
    }

    fn run(&mut self, files: &[Vec<u8>]) -> Vec<f32> {
        let plane = (CROP * CROP) as usize;
        let mut tensors = vec![0f32; files.len() * 3 * plane];
        for (file, tensor) in files.iter().zip(tensors.chunks_exact_mut(3 * plane)) {
            self.crop_of(file);
            let pixels = self.cropped.buffer();
            for (channel, out) in tensor.chunks_exact_mut(plane).enumerate() {
                let (scale, shift) = (1.0 / (255.0 * STD[channel]), MEAN[channel] / STD[channel]);
                for (to, pixel) in out.iter_mut().zip(pixels.chunks_exact(3)) {
                    *to = f32::from(pixel[channel]) * scale - shift;
                }
            }
        }
        tensors
    }

    fn crop_of(&mut self, file: &[u8]) {
        let header = self.decompressor.read_header(file).expect("a header");
        let (width, height) = (header.width, header.height);
        self.pixels.resize(width * height * 3, 0);
        let pixels = self.pixels.as_mut_slice();
        let target = Image { pixels, width, pitch: width * 3, height, format: PixelFormat::RGB };
        self.decompressor.decompress(file, target).expect("a sound file");
        let (width, height) = (width as u32, height as u32);
        let source = fir::images::ImageRef::new(width, height, &self.pixels, fir::PixelType::U8x3).expect("a source");
        // The window of the source that becomes the crop.
        let side = f64::from(width.min(height)) * f64::from(CROP) / f64::from(SIDE);
        let (left, top) = ((f64::from(width) - side) / 2.0, (f64::from(height) - side) / 2.0);
        let filter = fir::ResizeAlg::Convolution(fir::FilterType::Bilinear);
        let options = fir::ResizeOptions::new().resize_alg(filter).crop(left, top, side, side);
        self.resizer.resize(&source, &mut self.cropped, &options).expect("a resize");
    }
}

/// Both do the same work: no value is further from the other than resizing with other weights and a window that was
/// not rounded can bring it.
fn compare(ours: &Column, theirs: &[f32], name: &str) {
    let array = ours.to_array().expect("host");
    let list = arrow::array::AsArray::as_fixed_size_list(&array);
    let values = arrow::array::AsArray::as_primitive::<arrow::datatypes::Float32Type>(list.values());
    assert_eq!(values.len(), theirs.len());
    let sum: f64 = values.values().iter().zip(theirs).map(|(a, b)| f64::from((a - b).abs())).sum();
    let mean = sum / theirs.len() as f64;
    assert!(mean < 0.05, "{name}: tensors differ by {mean} on average");
}

pub fn benches(criterion: &mut Criterion) {
    let mut group = criterion.benchmark_group("image_to_tensor/shorter256-crop224");
    group.sample_size(20);
    let ctx = ExecCtx::host(1).expect("a host context");
    let resize = Resize::shorter(SIDE).crop(CROP);
    let what = Preprocess { resize, normalize: Normalize::IMAGENET, dtype: DType::F32, layout: Layout::Nchw };
    for (name, files) in inputs() {
        let column = Column::from_array(Arc::new(BinaryArray::from_iter_values(&files)));
        let mut peer = Peer::new();
        compare(&ours(&ctx, &column, &what), &peer.run(&files), &name);
        group.throughput(Throughput::Elements(files.len() as u64));
        group.bench_function(BenchmarkId::new("warpline-host-1", &name), |b| {
            b.iter(|| ours(&ctx, black_box(&column), &what));
        });
        group.bench_function(BenchmarkId::new("turbojpeg+fast_image_resize", &name), |b| {
            b.iter(|| peer.run(black_box(&files)));
        });
    }
    group.finish();
}
