//! Normalise: pixel bytes to the numbers that a model takes, equal to torchvision's arithmetic bit for bit.

use std::fmt;
use std::str::FromStr;

use half::{bf16, f16};
use serde::{Deserialize, Serialize};

use crate::device::ExecCtx;
use crate::error::{Error, Result};
use crate::image::preprocess::{Preprocess, Tensors, preprocess};
use crate::image::{DType, Images, Layout, Resize};

const OP: &str = "normalize";

/// How a byte becomes a number: `(byte / 255 - mean) / std` per channel, in single precision, each operation rounded;
/// then rounded to the element type. That is torchvision's `ToTensor` and `Normalize`, and `.half()` after them.
///
/// [`Normalize::NONE`] is `ToTensor` alone: 0 to 1 in a float tensor, and the raw bytes in a u8 tensor.
///
/// Hugging Face's image processors multiply where torchvision divides: [`Normalize::rescale`].
///
/// ```
/// use warpline::image::Normalize;
/// assert_eq!("imagenet".parse::<Normalize>()?, Normalize::IMAGENET);
/// assert_eq!("0.5,0.5,0.5/0.25,0.25,0.25".parse::<Normalize>()?, Normalize::new([0.5; 3], [0.25; 3])?);
/// assert_eq!("0.5/0.25".parse::<Normalize>()?, Normalize::new([0.5; 3], [0.25; 3])?);
/// assert_eq!("0/1/0.5".parse::<Normalize>()?.table()[0][3], 1.5);
/// # Ok::<(), warpline::Error>(())
/// ```
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct Normalize {
    mean: [f64; 3],
    std: [f64; 3],
    /// What a byte is multiplied with; `None` where it is divided by 255.
    rescale: Option<f64>,
}

impl Normalize {
    /// Mean and deviation of ImageNet, as torchvision's models were trained with.
    pub const IMAGENET: Normalize =
        Normalize { mean: [0.485, 0.456, 0.406], std: [0.229, 0.224, 0.225], rescale: None };

    /// Mean and deviation of OpenAI's CLIP.
    pub const CLIP: Normalize = Normalize {
        mean: [0.48145466, 0.4578275, 0.40821073],
        std: [0.26862954, 0.26130258, 0.27577711],
        rescale: None,
    };

    /// `ToTensor` alone: mean 0 and deviation 1.
    pub const NONE: Normalize = Normalize { mean: [0.0; 3], std: [1.0; 3], rescale: None };

    /// Mean and deviation for red, green and blue, of values from 0 to 1.
    ///
    /// # Errors
    /// `InvalidInput` where one is not finite or where a deviation is 0 in single precision.
    pub fn new(mean: [f64; 3], std: [f64; 3]) -> Result<Self> {
        if !mean.iter().chain(&std).all(|v| (*v as f32).is_finite()) || std.iter().any(|s| *s as f32 == 0.0) {
            return Err(Error::invalid(OP, "mean and std must be finite and std not 0"));
        }
        Ok(Normalize { mean, std, rescale: None })
    }

    /// With bytes multiplied by this factor in double precision and then rounded to single, instead of divided by 255:
    /// `(f32(byte * factor) - mean) / std`, as Hugging Face's image processors do it. 1 leaves bytes as they are.
    ///
    /// # Errors
    /// `InvalidInput` where 255 times the factor is not finite in single precision.
    pub fn rescale(self, factor: f64) -> Result<Self> {
        if !((255.0 * factor) as f32).is_finite() {
            return Err(Error::invalid(OP, format!("a rescale factor of {factor}")));
        }
        Ok(Normalize { rescale: Some(factor), ..self })
    }

    /// Mean per channel.
    pub fn mean(&self) -> [f64; 3] {
        self.mean
    }

    /// Deviation per channel.
    pub fn std(&self) -> [f64; 3] {
        self.std
    }

    /// The number for every byte, channel by channel: 3 x 256.
    pub fn table(&self) -> [[f32; 256]; 3] {
        std::array::from_fn(|c| {
            // torchvision makes single-precision tensors of mean and std first.
            let (mean, std) = (self.mean[c] as f32, self.std[c] as f32);
            std::array::from_fn(|byte| {
                let value = match self.rescale {
                    Some(factor) => (byte as f64 * factor) as f32,
                    None => byte as f32 / 255.0,
                };
                (value - mean) / std
            })
        })
    }
}

impl fmt::Display for Normalize {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let named = [("imagenet", Normalize::IMAGENET), ("clip", Normalize::CLIP), ("none", Normalize::NONE)];
        if let Some((name, _)) = named.iter().find(|(_, n)| n == self) {
            return f.write_str(name);
        }
        let list = |v: [f64; 3]| format!("{},{},{}", v[0], v[1], v[2]);
        write!(f, "{}/{}", list(self.mean), list(self.std))?;
        self.rescale.map_or(Ok(()), |factor| write!(f, "/{factor}"))
    }
}

impl FromStr for Normalize {
    type Err = Error;

    fn from_str(text: &str) -> Result<Self> {
        match text {
            "imagenet" => return Ok(Normalize::IMAGENET),
            "clip" => return Ok(Normalize::CLIP),
            "none" => return Ok(Normalize::NONE),
            _ => {}
        }
        let bad = || {
            let forms = "imagenet, clip, none, MEAN/STD (as 0.5/0.5 or R,G,B/R,G,B), MEAN/STD/RESCALE";
            let why = format!("'{text}' is none of {forms}");
            Error::invalid(OP, why)
        };
        let (mean, std) = text.split_once('/').ok_or_else(bad)?;
        let (std, factor) = std.split_once('/').map_or((std, None), |(std, factor)| (std, Some(factor)));
        let normalize = Normalize::new(channels(mean).ok_or_else(bad)?, channels(std).ok_or_else(bad)?)?;
        match factor {
            Some(factor) => normalize.rescale(factor.trim().parse().map_err(|_| bad())?),
            None => Ok(normalize),
        }
    }
}

/// One number for all channels or three with commas between.
fn channels(text: &str) -> Option<[f64; 3]> {
    let values = text.split(',').map(|v| v.trim().parse::<f64>().ok()).collect::<Option<Vec<_>>>()?;
    match values[..] {
        [v] => Some([v; 3]),
        [r, g, b] => Some([r, g, b]),
        _ => None,
    }
}

impl TryFrom<String> for Normalize {
    type Error = Error;

    fn try_from(text: String) -> Result<Self> {
        text.parse()
    }
}

impl From<Normalize> for String {
    fn from(normalize: Normalize) -> Self {
        normalize.to_string()
    }
}

/// The 3 x 256 table in the element type of the tensor.
#[derive(Clone, Debug)]
pub(crate) enum Table {
    F32(Box<[[f32; 256]; 3]>),
    F16(Box<[[f16; 256]; 3]>),
    BF16(Box<[[u16; 256]; 3]>),
    U8(Box<[[u8; 256]; 3]>),
}

impl Table {
    pub fn new(op: &'static str, normalize: &Normalize, dtype: DType) -> Result<Self> {
        if dtype == DType::U8 && *normalize != Normalize::NONE {
            let hint = "u8 tensors hold raw pixels: normalize none, or take f32, f16 or bf16";
            return Err(Error::unsupported(op, format!("normalize {normalize} to u8"), hint));
        }
        let table = normalize.table();
        Ok(match dtype {
            DType::F32 => Table::F32(Box::new(table)),
            DType::F16 => Table::F16(Box::new(table.map(|c| c.map(f16::from_f32)))),
            DType::BF16 => Table::BF16(Box::new(table.map(|c| c.map(|v| bf16::from_f32(v).to_bits())))),
            DType::U8 => Table::U8(Box::new([std::array::from_fn(|byte| byte as u8); 3])),
        })
    }

    /// The values' bytes, little-endian, channel by channel.
    pub fn bytes(&self) -> Vec<u8> {
        match self {
            Table::F32(table) => table.iter().flatten().flat_map(|v| v.to_le_bytes()).collect(),
            Table::F16(table) => table.iter().flatten().flat_map(|v| v.to_le_bytes()).collect(),
            Table::BF16(table) => table.iter().flatten().flat_map(|v| v.to_le_bytes()).collect(),
            Table::U8(table) => table.iter().flatten().copied().collect(),
        }
    }
}

/// Turns images of one size into a tensor column: [`preprocess`] without resize and crop.
///
/// # Errors
/// `InvalidInput` when images differ in size, or when no row tells the size because all are null; `Unsupported` for
/// [`DType::U8`] with a normalise other than [`Normalize::NONE`]; `WrongDevice` when the images are not where the
/// context runs.
///
/// # Synchronization
/// None.
pub fn normalize(
    ctx: &ExecCtx,
    images: &Images,
    normalize: &Normalize,
    dtype: DType,
    layout: Layout,
) -> Result<Tensors> {
    preprocess(ctx, images, &Preprocess { resize: Resize::keep(), normalize: *normalize, dtype, layout })
}
