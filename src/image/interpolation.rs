//! Resampling filters, named as torchvision names them.

use std::f64::consts::PI;
use std::fmt;
use std::str::FromStr;

use serde::{Deserialize, Serialize};

use crate::error::{Error, Result};

/// How a resized pixel is made from source pixels.
///
/// All but `Nearest` are antialiased: when an image shrinks, the filter grows with the scale, as in Pillow and in
/// torchvision on PIL images. The default is `Bilinear`, torchvision's.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Interpolation {
    /// The source pixel under the centre of the new one.
    Nearest,
    /// Mean of the covered pixels.
    Box,
    /// Triangle.
    #[default]
    Bilinear,
    /// Hamming-windowed sinc over one pixel each side.
    Hamming,
    /// Cubic convolution with a = -0.5.
    Bicubic,
    /// Sinc windowed by sinc over three pixels each side.
    Lanczos,
}

impl Interpolation {
    /// All filters, in the order of their names above.
    pub const ALL: [Interpolation; 6] = [
        Interpolation::Nearest,
        Interpolation::Box,
        Interpolation::Bilinear,
        Interpolation::Hamming,
        Interpolation::Bicubic,
        Interpolation::Lanczos,
    ];

    /// The name that `FromStr` reads.
    pub fn name(self) -> &'static str {
        match self {
            Interpolation::Nearest => "nearest",
            Interpolation::Box => "box",
            Interpolation::Bilinear => "bilinear",
            Interpolation::Hamming => "hamming",
            Interpolation::Bicubic => "bicubic",
            Interpolation::Lanczos => "lanczos",
        }
    }

    /// Half the filter's width in source pixels at scale 1; `None` for nearest, which has no weights.
    pub(crate) fn support(self) -> Option<f64> {
        match self {
            Interpolation::Nearest => None,
            Interpolation::Box => Some(0.5),
            Interpolation::Bilinear | Interpolation::Hamming => Some(1.0),
            Interpolation::Bicubic => Some(2.0),
            Interpolation::Lanczos => Some(3.0),
        }
    }

    /// The filter at `x`. Every operation is in the order in which Pillow's Resample.c does it, because the weights are
    /// rounded to integers later and one unit of last place can tip one of them.
    pub(crate) fn weight(self, x: f64) -> f64 {
        match self {
            Interpolation::Nearest => 0.0,
            Interpolation::Box if x > -0.5 && x <= 0.5 => 1.0,
            Interpolation::Box => 0.0,
            Interpolation::Bilinear => (1.0 - x.abs()).max(0.0),
            Interpolation::Hamming => hamming(x.abs()),
            Interpolation::Bicubic => bicubic(x.abs()),
            Interpolation::Lanczos if (-3.0..3.0).contains(&x) => sinc(x) * sinc(x / 3.0),
            Interpolation::Lanczos => 0.0,
        }
    }
}

/// The two constants are single-precision literals in Pillow; their double values differ from 0.54 and 0.46.
fn hamming(x: f64) -> f64 {
    if x == 0.0 {
        return 1.0;
    }
    if x >= 1.0 {
        return 0.0;
    }
    let x = x * PI;
    x.sin() / x * (f64::from(0.54f32) + f64::from(0.46f32) * x.cos())
}

fn bicubic(x: f64) -> f64 {
    const A: f64 = -0.5;
    if x < 1.0 {
        ((A + 2.0) * x - (A + 3.0)) * x * x + 1.0
    } else if x < 2.0 {
        (((x - 5.0) * x + 8.0) * x - 4.0) * A
    } else {
        0.0
    }
}

fn sinc(x: f64) -> f64 {
    if x == 0.0 {
        return 1.0;
    }
    let x = x * PI;
    x.sin() / x
}

impl fmt::Display for Interpolation {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

impl FromStr for Interpolation {
    type Err = Error;

    fn from_str(text: &str) -> Result<Self> {
        Interpolation::ALL.into_iter().find(|i| i.name() == text).ok_or_else(|| {
            let why = format!("'{text}' is none of nearest, box, bilinear, hamming, bicubic, lanczos");
            Error::invalid("interpolation", why)
        })
    }
}
