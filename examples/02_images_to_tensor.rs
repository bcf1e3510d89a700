//! Decode JPEG files and make one f32 tensor of them, as torchvision would: resize 256, crop 224, normalise.
//!
//! `cargo run --release --example 02_images_to_tensor -- photo.jpg other.jpg`

use std::sync::Arc;

use warpline::arrow::array::LargeBinaryArray;
use warpline::image::jpeg_decode::{DecodeOptions, jpeg_decode};
use warpline::image::{DType, Images, Layout, Normalize, Preprocess, Resize, preprocess};
use warpline::{Column, ExecCtx};

fn main() -> Result<(), Box<dyn std::error::Error>> {
    let paths: Vec<String> = std::env::args().skip(1).collect();
    if paths.is_empty() {
        return Err("name one or more JPEG files".into());
    }
    let files = paths.iter().map(std::fs::read).collect::<Result<Vec<_>, _>>()?;
    let encoded = Column::from_array(Arc::new(LargeBinaryArray::from_iter_values(files)));

    let host = ExecCtx::host(0)?;
    let decoded = jpeg_decode(&host, &encoded, &DecodeOptions::default())?;
    for error in &decoded.errors {
        eprintln!("{}: {}: {}", paths[error.row], error.code.as_str(), error.message);
    }

    let ctx = ExecCtx::auto()?;
    let images = Images::try_new(decoded.images)?.to(&ctx)?;
    let what = Preprocess {
        resize: Resize::shorter(256).crop(224),
        normalize: Normalize::IMAGENET,
        dtype: DType::F32,
        layout: Layout::Nchw,
    };
    let tensors = preprocess(&ctx, &images, &what)?;
    println!(
        "{} rows of {:?} {} on {}",
        tensors.column.len(),
        tensors.spec.shape(),
        what.dtype.name(),
        ctx.placement()
    );
    Ok(())
}
