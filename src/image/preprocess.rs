//! Resize, crop, normalise, layout and cast in one operator: images of any sizes to a fixed-shape tensor column.

use std::sync::Arc;

use arrow::array::{ArrayRef, FixedSizeListArray, PrimitiveArray};
use arrow::buffer::NullBuffer;
use arrow::datatypes::{ArrowPrimitiveType, DataType, Field, Float16Type, Float32Type, UInt8Type, UInt16Type};
use rayon::prelude::*;
use serde::{Deserialize, Serialize};

use crate::column::Column;
use crate::device::ExecCtx;
use crate::error::{Error, Result};
use crate::image::normalize::Table;
use crate::image::resize::plan::{BatchPlan, ImagePlan};
use crate::image::resize::resample;
use crate::image::{DType, Images, Layout, Normalize, Resize, TensorSpec};

const OP: &str = "preprocess";

/// What happens to images before a model sees them.
///
/// ```
/// use warpline::image::{DType, Layout, Normalize, Preprocess, Resize};
/// let torchvision_eval = Preprocess {
///     resize: Resize::shorter(256).crop(224),
///     normalize: Normalize::IMAGENET,
///     dtype: DType::F32,
///     layout: Layout::Nchw,
/// };
/// assert_eq!(torchvision_eval.resize.output_size(), Some((224, 224)));
/// ```
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
pub struct Preprocess {
    /// Resize and crop.
    pub resize: Resize,
    /// Byte to number.
    pub normalize: Normalize,
    /// Element type of the tensor.
    pub dtype: DType,
    /// Order of the tensor's axes.
    pub layout: Layout,
}

/// A tensor column and its shape. Null images are null rows, zero underneath.
#[derive(Clone, Debug)]
pub struct Tensors {
    /// Fixed-size list column of [`TensorSpec::data_type`].
    pub column: Column,
    /// Shape, element type and layout; makes the Arrow field.
    pub spec: TensorSpec,
}

/// Resizes, crops and normalises every image of a column into one tensor column.
///
/// Equal bit for bit to torchvision's `Resize`, `CenterCrop`, `ToTensor`, `Normalize` on PIL images (Pillow 12) and a
/// cast. Only pixels that the crop needs are computed. Without a crop or an exact size, all images must come out at one
/// size.
///
/// ```
/// use warpline::ExecCtx;
/// use warpline::image::{DType, Images, Layout, Normalize, Preprocess, Resize, preprocess};
/// let ctx = ExecCtx::host(1)?;
/// let images = Images::from_pixels(vec![255; 3 * 20 * 10], &[Some((20, 10)), None])?;
/// let what = Preprocess {
///     resize: Resize::shorter(5).crop(4),
///     normalize: Normalize::NONE,
///     dtype: DType::F32,
///     layout: Layout::Nchw,
/// };
/// let tensors = preprocess(&ctx, &images, &what)?;
/// assert_eq!((tensors.column.len(), tensors.spec.shape()), (2, [3, 4, 4]));
/// # Ok::<(), warpline::Error>(())
/// ```
///
/// # Errors
/// `InvalidInput` for a length of 0, for results of several sizes, for a size that no row tells (all null), for a row
/// that would need more than [`MAX_PIXELS`](crate::image::MAX_PIXELS) between the passes; `Unsupported` for
/// [`DType::U8`] with a normalise other than [`Normalize::NONE`]; `WrongDevice` when the images are not where the context
/// runs.
///
/// # Synchronization
/// None: sizes are known on the host.
pub fn preprocess(ctx: &ExecCtx, images: &Images, what: &Preprocess) -> Result<Tensors> {
    what.resize.check(OP)?;
    ctx.expect(OP, images.placement())?;
    let table = Table::new(OP, &what.normalize, what.dtype)?;
    let plan = BatchPlan::new(OP, images, &what.resize)?;
    let (width, height) = common_size(&plan, &what.resize)?;
    let spec = TensorSpec::new(width, height, what.dtype, what.layout)?;
    let column = ctx.pool().install(|| match &table {
        Table::F32(table) => host::<Float32Type>(images, &plan, &spec, table),
        Table::F16(table) => host::<Float16Type>(images, &plan, &spec, table),
        Table::BF16(table) => host::<UInt16Type>(images, &plan, &spec, table),
        Table::U8(table) => host::<UInt8Type>(images, &plan, &spec, table),
    })?;
    Ok(Tensors { column, spec })
}

/// The one size that all rows come out at.
fn common_size(plan: &BatchPlan, resize: &Resize) -> Result<(u32, u32)> {
    let mut sizes = plan.images.iter().enumerate().filter_map(|(row, p)| p.as_ref().map(|p| (row, p.canvas())));
    let size = resize
        .output_size()
        .or_else(|| sizes.clone().next().map(|(_, size)| size))
        .ok_or_else(|| Error::invalid(OP, "no row tells the size of the tensors: give a crop or an exact size"))?;
    match sizes.find(|(_, other)| *other != size) {
        None => Ok(size),
        Some((row, (w, h))) => {
            let why = format!("{w} x {h} pixels, other rows are {} x {}: give a crop or an exact size", size.0, size.1);
            Err(Error::InvalidInput { op: OP, column: None, row: Some(row as u64), why })
        }
    }
}

fn host<T: ArrowPrimitiveType>(
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
            fill_black(out, table, spec.layout);
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
    let item: Arc<Field> = item;
    let list = FixedSizeListArray::try_new(item, elements as i32, values, nulls).map_err(|e| Error::arrow(OP, e))?;
    Ok(Column::from_array(Arc::new(list)))
}

/// Padding is black before it is normalised.
fn fill_black<V: Copy>(out: &mut [V], table: &[[V; 256]; 3], layout: Layout) {
    match layout {
        Layout::Nchw => {
            let plane = out.len() / 3;
            out.chunks_exact_mut(plane).zip(table).for_each(|(plane, table)| plane.fill(table[0]));
        }
        Layout::Nhwc => {
            let black = [table[0][0], table[1][0], table[2][0]];
            out.chunks_exact_mut(3).for_each(|pixel| pixel.copy_from_slice(&black));
        }
    }
}

/// Looks every covered byte up and writes it to its place in the tensor.
fn write<V: Copy>(plan: &ImagePlan, covered: &[u8], table: &[[V; 256]; 3], layout: Layout, out: &mut [V]) {
    let (width, height) = (plan.x.canvas as usize, plan.y.canvas as usize);
    let (left, len) = (plan.x.canvas_start as usize, plan.x.canvas_len as usize);
    for (y, row) in covered.chunks_exact(3 * len).enumerate() {
        let first = (plan.y.canvas_start as usize + y) * width + left;
        match layout {
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
