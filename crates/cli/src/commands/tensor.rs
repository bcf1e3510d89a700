//! `warpline tensor`: images to one array.

use std::io::Write;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use arrow::array::{Array, AsArray, LargeBinaryBuilder};
use warpline::image::image_decode::image_decode;
use warpline::image::jpeg_decode::DecodeOptions;
use warpline::image::{DType, Images, Preprocess, TensorSpec, preprocess};
use warpline::{Column, ExecCtx};

use crate::args::TensorArgs;
use crate::exit::{Exit, Failure};
use crate::files::OutputFile;
use crate::npy;

/// Compressed bytes decoded at a time: bounds memory whatever the number of images.
const BATCH_BYTES: u64 = 8 << 20;
const BATCH_IMAGES: usize = 256;

/// Writes the array; the first image that cannot be used ends the command, and no file appears.
pub fn run(args: &TensorArgs) -> Result<(), Failure> {
    let ctx = args.device.open()?;
    let mut out = OutputFile::create(&args.output)?;
    let what = args.image.preprocess()?;
    let options = DecodeOptions { exif_orientation: args.image.exif_orientation, ..DecodeOptions::default() };
    let mut written: Option<(TensorSpec, &Path)> = None;
    let mut rest = args.images.as_slice();
    while !rest.is_empty() {
        let first = (args.images.len() - rest.len()) as u64;
        let (batch, column) = read_some(rest)?;
        rest = &rest[batch.len()..];
        let images = decode(&ctx, batch, &column, &options)?;
        // An image's random choices depend on its place among the arguments, not on batches.
        let ids: Vec<u64> = (first..first + batch.len() as u64).collect();
        let (spec, bytes) = tensors(&ctx, &images.with_row_ids(&ids)?, batch, &what)?;
        match &written {
            None => {
                let shape: Vec<usize> = std::iter::once(args.images.len()).chain(spec.shape()).collect();
                write(&mut out, &args.output, |out| npy::write_header(out, descr(spec.dtype), &shape))?;
                written = Some((spec, &batch[0]));
            }
            Some((first, _)) if *first == spec => {}
            Some((first, path)) => {
                let sizes = format!(
                    "{} x {}, {} to {} x {}",
                    spec.width,
                    spec.height,
                    path.display(),
                    first.width,
                    first.height
                );
                let message = format!("{}: comes out at {sizes}: give --crop", batch[0].display());
                return Err(Failure::new(Exit::Input, message));
            }
        }
        write(&mut out, &args.output, |out| out.write_all(&bytes))?;
    }
    out.commit()
}

fn write(
    out: &mut OutputFile,
    path: &Path,
    f: impl FnOnce(&mut OutputFile) -> std::io::Result<()>,
) -> Result<(), Failure> {
    f(out).map_err(|e| Failure::io(Exit::Output, path, &e))
}

/// The next files whose bytes fit a batch, at least one.
fn read_some(paths: &[PathBuf]) -> Result<(&[PathBuf], Column), Failure> {
    let mut column = LargeBinaryBuilder::new();
    let (mut bytes, mut count) = (0, 0);
    while count < paths.len().min(BATCH_IMAGES) && bytes < BATCH_BYTES {
        let path = &paths[count];
        let content = std::fs::read(path).map_err(|e| Failure::io(Exit::Input, path, &e))?;
        bytes += content.len() as u64;
        column.append_value(content);
        count += 1;
    }
    Ok((&paths[..count], Column::from_array(Arc::new(column.finish()))))
}

/// Decodes one batch.
fn decode(ctx: &ExecCtx, paths: &[PathBuf], column: &Column, options: &DecodeOptions) -> Result<Images, Failure> {
    let decoded = image_decode(ctx, column, options)?;
    match decoded.errors.first() {
        None => Ok(Images::try_new(decoded.images)?),
        Some(error) => {
            let message = format!("{}: {}: {}", paths[error.row].display(), error.code, error.message);
            Err(Failure::new(Exit::Item, message))
        }
    }
}

/// Preprocesses one batch; the tensor's elements as bytes.
fn tensors(
    ctx: &ExecCtx,
    images: &Images,
    paths: &[PathBuf],
    what: &Preprocess,
) -> Result<(TensorSpec, Vec<u8>), Failure> {
    let tensors = preprocess(ctx, images, what).map_err(|e| name_file(e, paths))?;
    let array = tensors.column.to_host()?.to_array()?;
    let values = array.as_fixed_size_list().values().to_data();
    let width = tensors.spec.dtype.size();
    let bytes = values.buffers()[0].as_slice();
    Ok((tensors.spec, bytes[values.offset() * width..][..values.len() * width].to_vec()))
}

/// An error about a row, as an error about that row's file.
fn name_file(error: warpline::Error, paths: &[PathBuf]) -> Failure {
    match error {
        warpline::Error::InvalidInput { row: Some(row), why, .. } if (row as usize) < paths.len() => {
            Failure::new(Exit::Input, format!("{}: {why}", paths[row as usize].display()))
        }
        other => other.into(),
    }
}

/// NumPy's type string; bf16, which NumPy lacks, as its bits.
fn descr(dtype: DType) -> &'static str {
    match dtype {
        DType::F32 => "<f4",
        DType::F16 => "<f2",
        DType::BF16 => "<u2",
        DType::U8 => "|u1",
    }
}
