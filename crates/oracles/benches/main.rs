//! The host twins beside what a user would run instead, where that takes C libraries or DataFusion.

mod datafusion;
mod image_to_tensor;
mod jpeg_decode;
mod tabular;

use criterion::{criterion_group, criterion_main};
use turbojpeg::{Compressor, Image, PixelFormat, Subsamp};

/// A smooth picture with texture, about as hard to code as a photograph.
fn synthetic(width: usize, height: usize, subsamp: Subsamp, progressive: bool) -> Vec<u8> {
    let mut state = 1u32;
    let mut pixels = Vec::with_capacity(width * height * 3);
    for i in 0..width * height {
        let (x, y) = ((i % width) as f32, (i / width) as f32);
        state = state.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
        let grain = (state >> 28) as f32;
        for c in 0..3 {
            let wave = (x * 0.011 + c as f32).sin() * 60.0 + (y * 0.017 + x * 0.003).cos() * 50.0;
            let detail = (x * 0.7).sin() * (y * 0.5).cos() * 12.0;
            pixels.push((128.0 + wave + detail + grain) as u8);
        }
    }
    let mut compressor = Compressor::new().expect("a compressor");
    compressor.set_quality(85).expect("a quality");
    compressor.set_subsamp(subsamp).expect("a subsampling");
    compressor.set_progressive(progressive).expect("a mode");
    let image = Image { pixels: pixels.as_slice(), width, pitch: width * 3, height, format: PixelFormat::RGB };
    compressor.compress_to_vec(image).expect("an encoded image")
}

criterion_group!(all, jpeg_decode::benches, image_to_tensor::benches, tabular::benches);
criterion_main!(all);
