//! JPEG decoding, bit-identical to libjpeg-turbo 3 as Pillow 12 uses it.
//!
//! Accepted: baseline, extended 8-bit sequential and progressive Huffman files; gray, YCbCr, RGB, CMYK and YCCK (to RGB
//! as Pillow's `convert("RGB")`); any integral sampling; restarts; several scans, interleaved or not; 8- and 16-bit
//! quantisation tables; files without Huffman tables. Arithmetic coding, 12 bits and lossless are
//! [`DecodeCode::Unsupported`].
//!
//! The stages, one module each, so that each can move to a device alone:
//!
//! 1. `pillow`: Pillow's own walk over the segments, part of what it accepts. `markers`, `frame`: libjpeg's.
//! 2. `huffman`, `bits`, `sequential`, `progressive`, `scan`: entropy-coded data to coefficients.
//! 3. `idct`, `smoothing`: coefficients to sample planes.
//! 4. `upsample`, `color`, `output`: planes to RGB rows. 5. `orientation`.
//!
//! A single-scan file streams through stages 2 to 4, one row of MCUs at a time; other files need all coefficients
//! first. Sources: ITU-T T.81, T.871 (JFIF); the behaviour on corrupt files is libjpeg-turbo's.

mod bits;
mod coefficients;
mod color;
mod cuda;
mod decoder;
mod error;
mod frame;
mod host;
mod huffman;
mod idct;
mod markers;
pub(crate) mod operator;
pub(crate) mod orientation;
mod output;
pub(crate) mod pillow;
mod progressive;
mod scan;
mod sequential;
mod smoothing;
mod upsample;

pub use error::{DecodeCode, DecodeError};
pub use operator::{Decoded, RowError, jpeg_decode, jpeg_decode_plan};
pub(crate) use operator::{Formats, column_plan, decode_column};

/// What to do with files that break the format.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Corrupt {
    /// Fail exactly where Pillow raises (with its default settings), and otherwise give its pixels.
    #[default]
    AsPillow,
    /// Also fail wherever libjpeg warns.
    Strict,
}

/// How to decode.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct DecodeOptions {
    /// What to do with files that break the format.
    pub corrupt: Corrupt,
    /// Turn images upright by their EXIF (else XMP) orientation, as `PIL.ImageOps.exif_transpose`. Off by default.
    /// EXIF that cannot be read counts as none; `exif_transpose` raises there.
    pub exif_orientation: bool,
    /// Images of more pixels are refused before anything is allocated; 178,956,970 by default, as in Pillow.
    pub max_pixels: u64,
}

impl Default for DecodeOptions {
    fn default() -> Self {
        DecodeOptions { corrupt: Corrupt::AsPillow, exif_orientation: false, max_pixels: 178_956_970 }
    }
}

/// An RGB image.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RgbImage {
    /// Pixels per row, 1 or more.
    pub width: u32,
    /// Rows, 1 or more.
    pub height: u32,
    /// Row by row, three bytes a pixel, no padding.
    pub data: Vec<u8>,
}

/// Decodes one JPEG.
///
/// Takes time and memory in proportion to the pixels that the header declares and to the bytes given. Never panics.
///
/// # Errors
/// Where Pillow raises, with a code and a message; see [`Corrupt`].
///
/// # Example
/// ```
/// use warpline::image::jpeg_decode::{DecodeCode, DecodeOptions, decode};
///
/// let error = decode(b"\x89PNG\r\n\x1a\n", &DecodeOptions::default()).unwrap_err();
/// assert_eq!(error.code, DecodeCode::Unsupported);
/// assert_eq!(error.to_string(), "unsupported: PNG images are not decoded, only JPEG");
/// ```
pub fn decode(bytes: &[u8], options: &DecodeOptions) -> Result<RgbImage, DecodeError> {
    decoder::decode(bytes, options)
}
