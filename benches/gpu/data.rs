//! The inputs of the device benches and what comes out of them, as files that the peers' scripts read: NumPy's format,
//! and Parquet where columns have nulls.

use std::fs::File;
use std::io::{BufWriter, Write};
use std::path::Path;

use serde_json::json;
use warpline::arrow::array::{Array, AsArray, BooleanArray};
use warpline::arrow::datatypes::{ArrowPrimitiveType, Int64Type, UInt32Type};
use warpline::image::jpeg_decode::{DecodeOptions, decode};
use warpline::image::{DType, Layout, Normalize, Preprocess, Resize, preprocess};
use warpline::parquet::{ParquetWriter, WriteOptions};
use warpline::{Column, ExecCtx, ops};

use crate::image::{jpeg_decode, noise};
use crate::ops::{PERCENTS, indices, mask, numbers, one_column};

/// Images whose tensors are written for comparison.
const COMPARED: usize = 32;

/// Writes everything; small where device 0 is the emulator, which is there to see that it works.
pub fn run(folder: &Path) {
    let real = ExecCtx::cuda(0).is_ok_and(|ctx| ctx.as_cuda().is_some_and(|cuda| !cuda.info().emulated));
    let (rows, images) = if real { (crate::ops::GPU_ROWS, crate::image::GPU_ROWS) } else { (10_000, 4) };
    std::fs::create_dir_all(folder).expect("the folder is made");
    tables(folder, rows);
    tensors(folder, images);
    photographs(folder);
    let about = json!({ "rows": rows, "images": images, "compared": COMPARED.min(images), "percents": PERCENTS });
    std::fs::write(folder.join("about.json"), about.to_string()).expect("about.json");
}

fn tables(folder: &Path, rows: usize) {
    let host = ExecCtx::host(0).expect("a host context");
    let batch = one_column(rows);
    let values = batch.columns()[0].to_array().expect("host");
    npy::<Int64Type>(&folder.join("i64x1.npy"), &values, &[rows]);
    let wide = numbers(rows).to_record_batch().expect("host");
    // A folder with one part in it.
    let mut writer =
        ParquetWriter::create(folder.join("i64x9"), &wide.schema(), WriteOptions::default()).expect("a folder");
    writer.write(&wide).expect("rows are written");
    writer.finish().expect("the folder is there");
    for percent in PERCENTS {
        let mask = mask(rows, percent);
        let bits: &BooleanArray = mask.as_boolean();
        let bytes: Vec<u8> = bits.values().iter().map(u8::from).collect();
        write_npy(&folder.join(format!("mask_{percent}.npy")), "|b1", &[rows], &bytes);
        let kept = ops::filter(&host, &batch, &Column::from_array(mask)).expect("a filter");
        let kept = kept.columns()[0].to_array().expect("host");
        npy::<Int64Type>(&folder.join(format!("filter_{percent}.npy")), &kept, &[kept.len()]);
    }
    for order in ["random", "rising"] {
        let indices = std::sync::Arc::new(indices(rows, order)) as warpline::arrow::array::ArrayRef;
        npy::<UInt32Type>(&folder.join(format!("indices_{order}.npy")), &indices, &[indices.len()]);
        let taken = ops::gather(&host, &batch, &Column::from_array(indices)).expect("a gather");
        let taken = taken.columns()[0].to_array().expect("host");
        npy::<Int64Type>(&folder.join(format!("gather_{order}.npy")), &taken, &[taken.len()]);
    }
}

fn tensors(folder: &Path, count: usize) {
    let (width, height) = (500, 375);
    let pixels: Vec<u8> = {
        let images = noise(width, height, count);
        (0..count).flat_map(|row| images.pixels(row).expect("an image").to_vec()).collect()
    };
    let shape = [count, height as usize, width as usize, 3];
    write_npy(&folder.join("images.npy"), "|u1", &shape, &pixels);
    let host = ExecCtx::host(0).expect("a host context");
    let resize = Resize::shorter(256).crop(224);
    let what = Preprocess { resize, normalize: Normalize::IMAGENET, dtype: DType::F32, layout: Layout::Nchw };
    let compared = COMPARED.min(count);
    let tensors = preprocess(&host, &noise(width, height, compared), &what).expect("tensors");
    let array = tensors.column.to_array().expect("host");
    let values = array.as_fixed_size_list().values();
    npy::<warpline::arrow::datatypes::Float32Type>(&folder.join("tensors.npy"), values, &[compared, 3, 224, 224]);
}

/// The files of the JPEG bench, and our pixels.
fn photographs(folder: &Path) {
    for (name, file) in jpeg_decode::device_files() {
        let image = decode(&file, &DecodeOptions::default()).expect("a sound file");
        std::fs::write(folder.join(format!("{name}.jpg")), &file).expect("the file is written");
        let shape = [image.height as usize, image.width as usize, 3];
        write_npy(&folder.join(format!("{name}.npy")), "|u1", &shape, &image.data);
    }
}

/// Writes an Arrow column without nulls.
fn npy<T: ArrowPrimitiveType>(path: &Path, array: &dyn Array, shape: &[usize]) {
    let values = array.as_primitive::<T>().values();
    let kind = match T::DATA_TYPE {
        t if t.is_floating() => 'f',
        t if t.is_unsigned_integer() => 'u',
        _ => 'i',
    };
    write_npy(path, &format!("<{kind}{}", size_of::<T::Native>()), shape, values.inner().as_slice());
}

/// NumPy's format, version 1.0 (numpy.lib.format).
fn write_npy(path: &Path, dtype: &str, shape: &[usize], bytes: &[u8]) {
    let shape: String = shape.iter().map(|n| format!("{n},")).collect();
    let mut header = format!("{{'descr': '{dtype}', 'fortran_order': False, 'shape': ({shape}), }}");
    let padded = (header.len() + 11).next_multiple_of(64) - 10;
    header = format!("{header:<width$}\n", width = padded - 1);
    let mut file = BufWriter::new(File::create(path).unwrap_or_else(|e| panic!("{}: {e}", path.display())));
    let length = u16::try_from(header.len()).expect("a short header").to_le_bytes();
    let parts: [&[u8]; 5] = [b"\x93NUMPY", b"\x01\x00", &length, header.as_bytes(), bytes];
    parts.iter().try_for_each(|part| file.write_all(part)).and_then(|()| file.flush()).expect("the file is written");
}
