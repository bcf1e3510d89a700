//! Crop, resize, pad, flip, normalise, layout and cast in one operator: images of any sizes to a fixed-shape tensor column.

mod cuda;
mod hf;
mod host;

use serde::{Deserialize, Serialize};

use crate::column::Column;
use crate::device::ExecCtx;
use crate::error::{Error, Result};
use crate::image::normalize::Table;
use crate::image::resize::plan::BatchPlan;
use crate::image::{DType, Images, Layout, MemoryPlan, Normalize, Resize, TensorSpec};

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
    /// Random crop, resize, centre crop, padding and flips.
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
/// Equal bit for bit to torchvision's `RandomResizedCrop`, `Resize`, `CenterCrop`, `Pad`, flips, `ToTensor` and `Normalize` on
/// PIL images (Pillow 12), a cast, and a transposition where the layout asks for one. Only pixels that the crop needs are
/// computed. Without a crop, a canvas or an exact size, all images must come out at one size.
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
/// assert_eq!((tensors.column.len(), tensors.spec.shape()), (2, vec![3, 4, 4]));
/// # Ok::<(), warpline::Error>(())
/// ```
///
/// # Errors
/// `InvalidInput` for what [`resize`](crate::image::resize) refuses, for results of several sizes, for a size that no row
/// tells (all null), for a size that patches do not cover, for a row that would need more than
/// [`MAX_PIXELS`](crate::image::MAX_PIXELS) between the passes; `Unsupported` for
/// [`DType::U8`] with a normalise other than [`Normalize::NONE`]; `WrongDevice` when the images are not where the context
/// runs.
///
/// # Synchronization
/// None: sizes are known on the host.
pub fn preprocess(ctx: &ExecCtx, images: &Images, what: &Preprocess) -> Result<Tensors> {
    ctx.expect(OP, images.placement())?;
    let table = Table::new(OP, &what.normalize, what.dtype)?;
    let (plan, spec) = plan_and_spec(images, what)?;
    let column = match ctx.as_cuda() {
        Some(cuda) => cuda::preprocess(cuda, images, &plan, &spec, &table)?,
        None => ctx.pool().install(|| host::preprocess(images, &plan, &spec, &table))?,
    };
    Ok(Tensors { column, spec })
}

/// The device memory that [`preprocess`] takes for these images: exactly, because their sizes are known. The host twin
/// needs the same output.
///
/// ```
/// use warpline::image::{DType, Images, Layout, Normalize, Preprocess, Resize, preprocess_plan};
/// let images = Images::from_pixels(vec![0; 3 * 8 * 8], &[Some((8, 8))])?;
/// let (dtype, layout) = (DType::F16, Layout::Nchw);
/// let what = Preprocess { resize: Resize::exact(4, 4), normalize: Normalize::CLIP, dtype, layout };
/// assert_eq!(preprocess_plan(&images, &what)?.output, 128); // 3 x 4 x 4 halves, to the next 64 bytes
/// # Ok::<(), warpline::Error>(())
/// ```
///
/// # Errors
/// As [`preprocess`], without those of placement and device memory.
pub fn preprocess_plan(images: &Images, what: &Preprocess) -> Result<MemoryPlan> {
    let (plan, spec) = plan_and_spec(images, what)?;
    Ok(cuda::memory(&plan, &spec))
}

fn plan_and_spec(images: &Images, what: &Preprocess) -> Result<(BatchPlan, TensorSpec)> {
    what.resize.check(OP)?;
    let plan = BatchPlan::new(OP, images, &what.resize)?;
    let (width, height) = common_size(&plan, &what.resize)?;
    Ok((plan, TensorSpec::new(width, height, what.dtype, what.layout)?))
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
