//! Resize, crop, pad and flip, equal to Pillow 12 and torchvision byte for byte.

pub(crate) mod cuda;
mod geometry;
mod host;
mod options;
pub(crate) mod plan;
mod random;
pub(crate) mod table;

pub use options::{Centering, Crop, Pad, Place, RandomCrop, Resize, Target};
pub use plan::MAX_PIXELS;

pub(crate) use host::resample;
use plan::BatchPlan;

use crate::device::ExecCtx;
use crate::error::Result;
use crate::image::Images;

pub(crate) const OP: &str = "resize";

/// Crops, resizes, pads and flips every image of a column, as [`Resize`] says. Null rows stay null.
///
/// The result equals Pillow 12 byte for byte: `Image.crop`, `Image.resize` on RGB, torchvision's `center_crop`, `Image.paste`
/// on a canvas, `Image.transpose`. Only pixels that the crop needs are computed.
///
/// ```
/// use warpline::ExecCtx;
/// use warpline::image::{Images, Resize, resize};
/// let ctx = ExecCtx::host(1)?;
/// let images = Images::from_pixels(vec![0, 0, 0, 100, 200, 250], &[Some((2, 1))])?;
/// let small = resize(&ctx, &images, &Resize::exact(1, 1))?;
/// assert_eq!(small.pixels(0), Some(&[50, 100, 125][..]));
/// # Ok::<(), warpline::Error>(())
/// ```
///
/// # Errors
/// `InvalidInput` for a length of 0, a probability or a range that is none, a row whose result would pass [`MAX_PIXELS`],
/// have no pixels, or be larger than the canvas; `WrongDevice` when the images are not where the context runs.
///
/// # Synchronization
/// None: sizes are known on the host.
pub fn resize(ctx: &ExecCtx, images: &Images, resize: &Resize) -> Result<Images> {
    resize.check(OP)?;
    ctx.expect(OP, images.placement())?;
    let plan = BatchPlan::new(OP, images, resize)?;
    let resized = match ctx.as_cuda() {
        Some(cuda) => cuda::resize(cuda, images, &plan)?,
        None => ctx.pool().install(|| host::resize(images, &plan))?,
    };
    Ok(resized.ids_of(images))
}
