//! Benches of `warpline::image`, a module per operator.

mod image_decode;
pub mod jpeg_decode;
mod normalize;
mod preprocess;
mod resize;

pub use preprocess::GPU_ROWS;

use criterion::Criterion;
use warpline::ExecCtx;
use warpline::image::Images;

use crate::common::CudaTime;

/// Runs every group of this area.
pub fn benches(criterion: &mut Criterion) {
    image_decode::benches(criterion);
    jpeg_decode::benches(criterion);
    normalize::benches(criterion);
    preprocess::benches(criterion);
    resize::benches(criterion);
}

/// Runs every device group of this area, timed by CUDA events.
pub fn device_benches(criterion: &mut Criterion<CudaTime>, ctx: &ExecCtx) {
    preprocess::device_benches(criterion, ctx);
}

/// Images of one size with bytes from a linear congruential generator.
pub fn noise(width: u32, height: u32, rows: usize) -> Images {
    let mut state = 1u64;
    let next = || {
        state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        (state >> 56) as u8
    };
    let pixels = std::iter::repeat_with(next).take(3 * width as usize * height as usize * rows).collect();
    Images::from_pixels(pixels, &vec![Some((width, height)); rows]).expect("images")
}
