//! Host twin: each image on a thread, bytes looked up in the table row by row.

use std::sync::Arc;

use arrow::array::{ArrayRef, FixedSizeListArray, PrimitiveArray};
use arrow::buffer::NullBuffer;
use arrow::datatypes::{ArrowPrimitiveType, DataType, Float16Type, Float32Type, UInt8Type, UInt16Type};
use rayon::prelude::*;

use super::OP;
use crate::column::Column;
use crate::error::{Error, Result};
use crate::image::normalize::Table;
use crate::image::resize::plan::{BatchPlan, ImagePlan};
use crate::image::resize::resample;
use crate::image::{Images, Layout, Patches, TensorSpec};

pub(super) fn preprocess(images: &Images, plan: &BatchPlan, spec: &TensorSpec, table: &Table) -> Result<Column> {
    match table {
        Table::F32(table) => column::<Float32Type>(images, plan, spec, table),
        Table::F16(table) => column::<Float16Type>(images, plan, spec, table),
        Table::BF16(table) => column::<UInt16Type>(images, plan, spec, table),
        Table::U8(table) => column::<UInt8Type>(images, plan, spec, table),
    }
}

fn column<T: ArrowPrimitiveType>(
    images: &Images,
    plan: &BatchPlan,
    spec: &TensorSpec,
    table: &[[T::Native; 256]; 3],
) -> Result<Column>
where
    T::Native: Send + Sync,
{
    let elements = spec.elements();
    let mut values = vec![T::Native::default(); elements * plan.images.len()];
    let rows = values.par_chunks_mut(elements).zip(&plan.images).enumerate();
    rows.try_for_each(|(row, (out, image))| {
        let Some(image) = image else { return Ok(()) };
        let pixels = images
            .pixels(row)
            .ok_or_else(|| Error::Internal { op: OP, why: format!("row {row} has a plan but no pixels") })?;
        if image.is_padded() {
            fill(out, image.fill, table, spec.layout);
        }
        write(image, &resample(pixels, image, &plan.tables), table, spec.layout, out);
        Ok::<_, Error>(())
    })?;
    let nulls = NullBuffer::from_iter(plan.images.iter().map(Option::is_some));
    let nulls = Some(nulls).filter(|n| n.null_count() > 0);
    let values: ArrayRef = Arc::new(PrimitiveArray::<T>::new(values.into(), None));
    let DataType::FixedSizeList(item, _) = spec.data_type() else {
        return Err(Error::Internal { op: OP, why: "a tensor is a fixed-size list".into() });
    };
    let list = FixedSizeListArray::try_new(item, elements as i32, values, nulls).map_err(|e| Error::arrow(OP, e))?;
    Ok(Column::from_array(Arc::new(list)))
}

/// Padding has its colour before it is normalised.
fn fill<V: Copy>(out: &mut [V], color: [u8; 3], table: &[[V; 256]; 3], layout: Layout) {
    let values = [0, 1, 2].map(|c| table[c][usize::from(color[c])]);
    // Elements of one channel that follow each other.
    let run = match layout {
        Layout::Nchw => out.len() / 3,
        Layout::Patches(patches) if !patches.channels_last => patches.elements() / 3,
        Layout::Nhwc | Layout::Patches(_) => 1,
    };
    match run {
        1 => out.chunks_exact_mut(3).for_each(|pixel| pixel.copy_from_slice(&values)),
        run => out.chunks_exact_mut(run).zip(values.iter().cycle()).for_each(|(run, value)| run.fill(*value)),
    }
}

/// Looks every covered byte up and writes it to its place in the tensor.
fn write<V: Copy>(plan: &ImagePlan, covered: &[u8], table: &[[V; 256]; 3], layout: Layout, out: &mut [V]) {
    let (width, height) = (plan.x.canvas as usize, plan.y.canvas as usize);
    let (left, len) = (plan.x.covered_start() as usize, plan.x.canvas_len as usize);
    for (y, row) in covered.chunks_exact(3 * len).enumerate() {
        let y = plan.y.covered_start() as usize + y;
        let first = y * width + left;
        match layout {
            Layout::Patches(patches) => write_patches(patches, (left, y, width), row, table, out),
            Layout::Nhwc => {
                for (out, pixel) in out[3 * first..][..3 * len].chunks_exact_mut(3).zip(row.chunks_exact(3)) {
                    for c in 0..3 {
                        out[c] = table[c][usize::from(pixel[c])];
                    }
                }
            }
            Layout::Nchw => {
                for (c, table) in table.iter().enumerate() {
                    let out = &mut out[c * width * height + first..][..len];
                    for (out, pixel) in out.iter_mut().zip(row.chunks_exact(3)) {
                        *out = table[usize::from(pixel[c])];
                    }
                }
            }
        }
    }
}

/// Looks the bytes of a row from (x, y) on up and writes them to their patches, run by run.
fn write_patches<V: Copy>(
    patches: Patches,
    (mut x, y, width): (usize, usize, usize),
    mut row: &[u8],
    table: &[[V; 256]; 3],
    out: &mut [V],
) {
    let (size, frames) = (patches.size as usize, patches.temporal as usize);
    while !row.is_empty() {
        let run = (size - x % size).min(row.len() / 3);
        let (pixels, rest) = row.split_at(3 * run);
        let patch = &mut out[patches.patch_of(x, y, width) * patches.elements()..][..patches.elements()];
        let first = y % size * size + x % size;
        for frame in 0..frames {
            for (c, table) in table.iter().enumerate() {
                let (start, step) = match patches.channels_last {
                    true => (3 * (frame * size * size + first) + c, 3),
                    false => ((c * frames + frame) * size * size + first, 1),
                };
                let out = patch[start..].iter_mut().step_by(step);
                out.zip(pixels.chunks_exact(3)).for_each(|(out, pixel)| *out = table[usize::from(pixel[c])]);
            }
        }
        (row, x) = (rest, x + run);
    }
}
