//! What a file is, and how large it says that it is.

use super::{png, webp};

/// A format of encoded images that is decoded here.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum ImageFormat {
    /// Baseline, extended and progressive JPEG.
    Jpeg,
    /// PNG, and the default image of an APNG.
    Png,
    /// WebP, lossy and lossless; of an animation the first frame.
    WebP,
}

impl ImageFormat {
    /// File name extensions in lower case, of all formats.
    pub const EXTENSIONS: [&'static str; 5] = ["jpg", "jpeg", "jpe", "png", "webp"];

    /// The format by the first bytes; `None` for anything else.
    ///
    /// ```
    /// use warpline::image::image_decode::ImageFormat;
    /// assert_eq!(ImageFormat::of(b"RIFF\x24\0\0\0WEBPVP8L"), Some(ImageFormat::WebP));
    /// assert_eq!(ImageFormat::of(b"BM"), None);
    /// ```
    pub fn of(bytes: &[u8]) -> Option<Self> {
        match bytes {
            [0xff, 0xd8, 0xff, ..] => Some(ImageFormat::Jpeg),
            [0x89, b'P', b'N', b'G', ..] => Some(ImageFormat::Png),
            [b'R', b'I', b'F', b'F', _, _, _, _, b'W', b'E', b'B', b'P', ..] => Some(ImageFormat::WebP),
            _ => None,
        }
    }

    /// Width times height that the header of an image declares; `None` where it tells none, which decoding will refuse.
    /// Reads headers only.
    pub fn declared_pixels(bytes: &[u8]) -> Option<u64> {
        match Self::of(bytes)? {
            ImageFormat::Jpeg => jpeg_pixels(bytes),
            ImageFormat::Png => png::declared_pixels(bytes),
            ImageFormat::WebP => webp::declared_pixels(bytes),
        }
    }
}

/// Width times height in the first frame header, found by walking segments (ITU-T T.81, B.2).
fn jpeg_pixels(bytes: &[u8]) -> Option<u64> {
    let mut at = 2;
    loop {
        // Between segments only fill bytes are correct; the decoder skips others as well, so look for the next marker.
        at += bytes.get(at..)?.iter().position(|b| *b == 0xFF)?;
        at += bytes.get(at..)?.iter().position(|b| *b != 0xFF)?;
        let (marker, body) = (bytes[at], bytes.get(at + 1..)?);
        let word = |i: usize| Some(u64::from(u16::from_be_bytes([*body.get(i)?, *body.get(i + 1)?])));
        match marker {
            0xC0..=0xCF if !matches!(marker, 0xC4 | 0xC8 | 0xCC) => return Some(word(3)? * word(5)?),
            0x00 | 0x01 | 0xD0..=0xD8 => at += 1,
            _ => at += 1 + word(0)? as usize,
        }
    }
}
