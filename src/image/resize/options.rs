//! What happens to an image's geometry: random crop, resize, centre crop, padding, flips, in this order.

use serde::{Deserialize, Serialize};

use super::OP;
use crate::error::{Error, Result};
use crate::image::Interpolation;

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
    /// The largest size of the image's aspect ratio that fits into this one, as Pillow's `ImageOps.contain`.
    Fit {
        /// Columns of pixels.
        width: u32,
        /// Rows of pixels.
        height: u32,
    },
    /// Sides that are multiples of a number, near the image's own, and an area in range: `smart_resize` of Qwen2-VL's
    /// image processor. Images more than 200 times as long as wide are refused, as there.
    Multiple {
        /// What both sides are multiples of.
        of: u32,
        /// Least area in pixels.
        min_pixels: u64,
        /// Greatest area in pixels, except that no side falls below `of`.
        max_pixels: u64,
    },
}

/// A centre crop; where it is larger than the image, the image is padded about its centre.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub struct Crop {
    /// Columns of pixels.
    pub width: u32,
    /// Rows of pixels.
    pub height: u32,
}

/// How a centre crop rounds where half of a difference is no whole number of pixels.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Centering {
    /// torchvision's `CenterCrop`: a crop starts at half the difference, halves to even; padding has its smaller half
    /// left and above.
    #[default]
    Torchvision,
    /// `center_crop` of Hugging Face's image processors: a crop starts at half the difference, rounded down; padding has
    /// its larger half left and above.
    Transformers,
}

/// A canvas of a fixed size that the image is put on, after resize and crop.
///
/// The image must fit: padding never cuts. What it leaves free has the colour [`Resize::fill`].
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub struct Pad {
    /// Columns of pixels.
    pub width: u32,
    /// Rows of pixels.
    pub height: u32,
    /// Where the image lies.
    pub place: Place,
}

/// Where an image lies on a larger canvas.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Place {
    /// In the middle, as Pillow's `ImageOps.pad`: at half of what is free, halves to even.
    #[default]
    Center,
    /// In the corner, with the padding right and below.
    TopLeft,
    /// In the corner, with the padding left and below.
    TopRight,
    /// In the corner, with the padding right and above.
    BottomLeft,
    /// In the corner, with the padding left and above.
    BottomRight,
}

impl Place {
    /// All places, in the order above.
    pub const ALL: [Place; 5] = [Place::Center, Place::TopLeft, Place::TopRight, Place::BottomLeft, Place::BottomRight];

    /// The name that `FromStr` reads: `center`, `top-left`, ...
    pub fn name(self) -> &'static str {
        match self {
            Place::Center => "center",
            Place::TopLeft => "top-left",
            Place::TopRight => "top-right",
            Place::BottomLeft => "bottom-left",
            Place::BottomRight => "bottom-right",
        }
    }
}

impl std::fmt::Display for Place {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(self.name())
    }
}

impl std::str::FromStr for Place {
    type Err = Error;

    fn from_str(text: &str) -> Result<Self> {
        Place::ALL.into_iter().find(|place| place.name() == text).ok_or_else(|| {
            let why = format!("'{text}' is none of center, top-left, top-right, bottom-left, bottom-right");
            Error::invalid(OP, why)
        })
    }
}

/// A part of the image drawn at random, as torchvision's `RandomResizedCrop` draws it: up to ten times a share of the
/// area and an aspect ratio, the first of them that fits at a random place, else the largest centred part whose aspect
/// ratio is in range.
///
/// The arithmetic is torchvision's with every number in double precision; the draws are those of [`Resize::seed`].
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
pub struct RandomCrop {
    /// Least and greatest share of the image's area.
    pub scale: (f64, f64),
    /// Least and greatest width divided by height; spread evenly in its logarithm.
    pub ratio: (f64, f64),
}

impl Default for RandomCrop {
    /// torchvision's: 8% to all of the area, 3:4 to 4:3.
    fn default() -> Self {
        RandomCrop { scale: (0.08, 1.0), ratio: (3.0 / 4.0, 4.0 / 3.0) }
    }
}

/// How images are cropped at random, resized, cropped about the centre, padded and flipped: in this order, each step
/// only where it is asked for. Fields are public and checked by the operators.
///
/// ```
/// use warpline::image::{Interpolation, Place, Resize};
/// let resize = Resize::shorter(256).crop(224).interpolation(Interpolation::Bicubic);
/// assert_eq!(resize.output_size(), Some((224, 224)));
/// assert_eq!(Resize::shorter(256).output_size(), None);
/// // A grey letterbox with the image in the upper left corner.
/// let boxed = Resize::letterbox(640, 640).place(Place::TopLeft).fill([114; 3]);
/// assert_eq!(boxed.output_size(), Some((640, 640)));
/// // Training: a random part at 224 x 224, flipped half of the time.
/// let train = Resize::random_resized_crop(224, 224).hflip(0.5).seed(7);
/// assert_eq!(train.output_size(), Some((224, 224)));
/// ```
///
/// # Random choices
/// They depend on the seed and on the row's identity alone ([`Images::row_id`](crate::image::Images::row_id), by default
/// the row's number), so they are the same on the host and on a device, in any batch and in any order. With `mix` the
/// finaliser of SplitMix64 and `G` = 0x9e3779b97f4a7c15, in 64-bit arithmetic that wraps: draw `k` of a row is
/// `mix(b + (k + 1) G)` with `b = mix((mix(seed + G) ^ id) + G)`; its upper 53 bits divided by 2^53 are a number from 0
/// to below 1. Draw 0 decides the horizontal flip and draw 1 the vertical one. Attempt `i` of a random crop takes four:
/// 2 + 4i for the area, 3 + 4i for the aspect ratio, 4 + 4i for the top and 5 + 4i for the left, where a place among `n`
/// is the draw times `n`, divided by 2^64 and rounded down.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
pub struct Resize {
    /// Part of the source image that is taken; all of it where absent.
    #[serde(default)]
    pub random_crop: Option<RandomCrop>,
    /// Size before the crop.
    pub target: Target,
    /// Centre crop after the resize.
    pub crop: Option<Crop>,
    /// How the centre crop rounds.
    #[serde(default)]
    pub centering: Centering,
    /// Canvas that the result is put on.
    #[serde(default)]
    pub pad: Option<Pad>,
    /// Red, green and blue of what the image leaves free, on a canvas or in a centre crop that is larger than it. Black
    /// by default.
    #[serde(default)]
    pub fill: [u8; 3],
    /// Probability that the result is mirrored left to right: 0 never, 1 always. Padding is mirrored with it.
    #[serde(default)]
    pub hflip: f64,
    /// Probability that the result is mirrored top to bottom.
    #[serde(default)]
    pub vflip: f64,
    /// Seed of random crops and flips.
    #[serde(default)]
    pub seed: u64,
    /// The filter.
    pub interpolation: Interpolation,
}

impl Resize {
    /// No resize and no crop, to start from.
    pub fn keep() -> Self {
        Resize {
            random_crop: None,
            target: Target::Keep,
            crop: None,
            centering: Centering::default(),
            pad: None,
            fill: [0; 3],
            hflip: 0.0,
            vflip: 0.0,
            seed: 0,
            interpolation: Interpolation::default(),
        }
    }

    /// Resizes the shorter side to this length, keeping the aspect ratio; bilinear.
    pub fn shorter(length: u32) -> Self {
        Resize { target: Target::Shorter(length), ..Resize::keep() }
    }

    /// Resizes to this size, whatever the aspect ratio; bilinear.
    pub fn exact(width: u32, height: u32) -> Self {
        Resize { target: Target::Exact { width, height }, ..Resize::keep() }
    }

    /// Resizes to the largest size that fits into this one, keeping the aspect ratio; bilinear.
    pub fn fit(width: u32, height: u32) -> Self {
        Resize { target: Target::Fit { width, height }, ..Resize::keep() }
    }

    /// Resizes to fit and pads to this size, as Pillow's `ImageOps.pad`; bilinear, on black.
    pub fn letterbox(width: u32, height: u32) -> Self {
        Resize::fit(width, height).pad_to(width, height)
    }

    /// A random part of the image at this size, as torchvision's `RandomResizedCrop`; bilinear.
    pub fn random_resized_crop(width: u32, height: u32) -> Self {
        Resize { random_crop: Some(RandomCrop::default()), ..Resize::exact(width, height) }
    }

    /// With a square centre crop.
    pub fn crop(self, side: u32) -> Self {
        self.crop_to(side, side)
    }

    /// With a centre crop.
    pub fn crop_to(self, width: u32, height: u32) -> Self {
        Resize { crop: Some(Crop { width, height }), ..self }
    }

    /// With the centre crop rounded this way.
    pub fn centering(self, centering: Centering) -> Self {
        Resize { centering, ..self }
    }

    /// On a canvas of this size; in its middle, or where [`Resize::place`] says.
    pub fn pad_to(self, width: u32, height: u32) -> Self {
        Resize { pad: Some(Pad { width, height, place: Place::default() }), ..self }
    }

    /// With the image at this place of its canvas. Without a canvas this changes nothing.
    pub fn place(self, place: Place) -> Self {
        Resize { pad: self.pad.map(|pad| Pad { place, ..pad }), ..self }
    }

    /// With this colour (red, green, blue) where the image covers nothing.
    pub fn fill(self, fill: [u8; 3]) -> Self {
        Resize { fill, ..self }
    }

    /// Mirrored left to right with this probability: 1 always.
    pub fn hflip(self, probability: f64) -> Self {
        Resize { hflip: probability, ..self }
    }

    /// Mirrored top to bottom with this probability: 1 always.
    pub fn vflip(self, probability: f64) -> Self {
        Resize { vflip: probability, ..self }
    }

    /// With random choices from this seed.
    pub fn seed(self, seed: u64) -> Self {
        Resize { seed, ..self }
    }

    /// With a random part of the image taken first.
    pub fn random_crop(self, random_crop: RandomCrop) -> Self {
        Resize { random_crop: Some(random_crop), ..self }
    }

    /// With this filter.
    pub fn interpolation(self, interpolation: Interpolation) -> Self {
        Resize { interpolation, ..self }
    }

    /// Width and height of every result, where they do not depend on the image.
    pub fn output_size(&self) -> Option<(u32, u32)> {
        match (self.pad, self.crop, self.target) {
            (Some(pad), _, _) => Some((pad.width, pad.height)),
            (None, Some(crop), _) => Some((crop.width, crop.height)),
            (None, None, Target::Exact { width, height }) => Some((width, height)),
            (None, None, _) => None,
        }
    }

    /// Whether results depend on the rows' ids.
    pub(crate) fn is_random(&self) -> bool {
        let undecided = |p: f64| p > 0.0 && p < 1.0;
        self.random_crop.is_some() || undecided(self.hflip) || undecided(self.vflip)
    }

    /// Refuses lengths of 0 and numbers that are no probabilities or no ranges.
    pub(crate) fn check(&self, op: &'static str) -> Result<()> {
        let target = match self.target {
            Target::Keep => true,
            Target::Shorter(length) => length > 0,
            Target::Exact { width, height } | Target::Fit { width, height } => width > 0 && height > 0,
            Target::Multiple { of, max_pixels, .. } => of > 0 && max_pixels > 0,
        };
        let empty = |size: Option<(u32, u32)>| size.is_some_and(|(w, h)| w == 0 || h == 0);
        if !target || empty(self.crop.map(|c| (c.width, c.height))) || empty(self.pad.map(|p| (p.width, p.height))) {
            return Err(Error::invalid(op, "a resize, crop or canvas of 0 pixels"));
        }
        for (name, p) in [("hflip", self.hflip), ("vflip", self.vflip)] {
            if !(0.0..=1.0).contains(&p) {
                return Err(Error::invalid(op, format!("{name} is {p}, which is no probability")));
            }
        }
        if let Some(RandomCrop { scale, ratio }) = self.random_crop {
            for (name, (low, high)) in [("scale", scale), ("ratio", ratio)] {
                // Written so that NaN is refused.
                if !(low > 0.0 && low <= high && high.is_finite()) {
                    let why = format!("{name} of a random crop is {low} to {high}: two numbers above 0, least first");
                    return Err(Error::invalid(op, why));
                }
            }
        }
        Ok(())
    }
}

impl Default for Resize {
    fn default() -> Self {
        Resize::keep()
    }
}
