//! Resize, centre crop and pad, equal to Pillow 12 and torchvision byte for byte.

pub(crate) mod cuda;
mod host;
pub(crate) mod plan;
pub(crate) mod table;

pub use plan::MAX_PIXELS;
use serde::{Deserialize, Serialize};

pub(crate) use host::resample;
use plan::BatchPlan;

use crate::device::ExecCtx;
use crate::error::{Error, Result};
use crate::image::{Images, Interpolation};

pub(crate) const OP: &str = "resize";

/// The size that an image is resized to, before any crop.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Target {
    /// No resize.
    Keep,
    /// The shorter side gets this length, the longer `int(length * long / short)`, as torchvision's `Resize(int)`.
    Shorter(u32),
    /// This size whatever the aspect ratio.
    Exact {
        /// Columns of pixels.
        width: u32,
        /// Rows of pixels.
        height: u32,
    },
}

/// A centre crop; where it is larger than the image, the image is padded with black about its centre.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub struct Crop {
    /// Columns of pixels.
    pub width: u32,
    /// Rows of pixels.
    pub height: u32,
}

/// How images are resized and cropped. Fields are public and checked by the operators: no length may be 0.
///
/// ```
/// use warpline::image::{Interpolation, Resize};
/// let resize = Resize::shorter(256).crop(224).interpolation(Interpolation::Bicubic);
/// assert_eq!(resize.output_size(), Some((224, 224)));
/// assert_eq!(Resize::shorter(256).output_size(), None);
/// ```
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub struct Resize {
    /// Size before the crop.
    pub target: Target,
    /// Centre crop after the resize.
    pub crop: Option<Crop>,
    /// The filter.
    pub interpolation: Interpolation,
}

impl Resize {
    /// No resize and no crop, to start from.
    pub fn keep() -> Self {
        Resize { target: Target::Keep, crop: None, interpolation: Interpolation::default() }
    }

    /// Resizes the shorter side to this length, keeping the aspect ratio; bilinear.
    pub fn shorter(length: u32) -> Self {
        Resize { target: Target::Shorter(length), ..Resize::keep() }
    }

    /// Resizes to this size, whatever the aspect ratio; bilinear.
    pub fn exact(width: u32, height: u32) -> Self {
        Resize { target: Target::Exact { width, height }, ..Resize::keep() }
    }

    /// With a square centre crop.
    pub fn crop(self, side: u32) -> Self {
        self.crop_to(side, side)
    }

    /// With a centre crop.
    pub fn crop_to(self, width: u32, height: u32) -> Self {
        Resize { crop: Some(Crop { width, height }), ..self }
    }

    /// With this filter.
    pub fn interpolation(self, interpolation: Interpolation) -> Self {
        Resize { interpolation, ..self }
    }

    /// Width and height of every result, where they do not depend on the image.
    pub fn output_size(&self) -> Option<(u32, u32)> {
        match (self.crop, self.target) {
            (Some(crop), _) => Some((crop.width, crop.height)),
            (None, Target::Exact { width, height }) => Some((width, height)),
            (None, _) => None,
        }
    }

    /// Refuses lengths of 0.
    pub(crate) fn check(&self, op: &'static str) -> Result<()> {
        let target = match self.target {
            Target::Keep => true,
            Target::Shorter(length) => length > 0,
            Target::Exact { width, height } => width > 0 && height > 0,
        };
        if !target || self.crop.is_some_and(|c| c.width == 0 || c.height == 0) {
            return Err(Error::invalid(op, "a resize or crop to 0 pixels"));
        }
        Ok(())
    }
}

impl Default for Resize {
    fn default() -> Self {
        Resize::keep()
    }
}

/// Resizes and crops every image of a column. Null rows stay null.
///
/// The result equals Pillow 12 (`Image.resize` on RGB) followed by torchvision's `center_crop`, byte for byte. Only
/// pixels that the crop needs are computed.
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
/// `InvalidInput` for a length of 0 or a row whose result would pass [`MAX_PIXELS`]; `WrongDevice` when the images are
/// not where the context runs.
///
/// # Synchronization
/// None: sizes are known on the host.
pub fn resize(ctx: &ExecCtx, images: &Images, resize: &Resize) -> Result<Images> {
    resize.check(OP)?;
    ctx.expect(OP, images.placement())?;
    let plan = BatchPlan::new(OP, images, resize)?;
    match ctx.as_cuda() {
        Some(cuda) => cuda::resize(cuda, images, &plan),
        None => ctx.pool().install(|| host::resize(images, &plan)),
    }
}
