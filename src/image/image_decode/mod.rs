//! Decoding of JPEG, PNG and WebP to RGB, as Pillow 12's `Image.open(f).convert("RGB")`.
//!
//! The format is told by the first bytes, never by a name. JPEG goes to [`jpeg_decode`]; PNG
//! (`png`) is inflated by the `flate2` crate, WebP (`webp`) decoded by the `image-webp` crate, both on the host. Each
//! of the two repeats the checks that stand between a file and its pixels in Pillow: chunk by chunk for PNG, libwebp's
//! demultiplexer for WebP. So a file fails here where it fails there; docs/images.md lists what is known to differ.
//!
//! An alpha channel is dropped, not blended; 16-bit samples keep their high byte, except 16-bit gray, which is clipped at
//! 255: that is what `convert("RGB")` does. Of an animation the first frame is decoded.

mod format;
mod operator;
mod png;
mod webp;

pub use format::ImageFormat;
pub(crate) use operator::decode_images;
pub use operator::{image_decode, image_decode_plan};

use crate::image::jpeg_decode::{self, DecodeCode, DecodeError, DecodeOptions, RgbImage, orientation, pillow};

/// Decodes one JPEG, PNG or WebP image.
///
/// Takes time and memory in proportion to the pixels that the header declares, which
/// [`DecodeOptions::max_pixels`] limits before anything is allocated, and to the bytes given. Never panics.
/// [`DecodeOptions::corrupt`] concerns JPEG alone; the others always fail where Pillow raises.
///
/// # Errors
/// Where Pillow raises, with a code and a message.
///
/// # Example
/// ```
/// use warpline::image::image_decode::{ImageFormat, decode};
/// use warpline::image::jpeg_decode::{DecodeCode, DecodeOptions};
///
/// let png = b"\x89PNG\r\n\x1a\n\0\0\0\x0dIHDR";
/// assert_eq!(ImageFormat::of(png), Some(ImageFormat::Png));
/// let error = decode(png, &DecodeOptions::default()).unwrap_err();
/// assert_eq!(error.code, DecodeCode::Truncated);
/// let error = decode(b"GIF89a", &DecodeOptions::default()).unwrap_err();
/// assert_eq!(error.to_string(), "unsupported: GIF images are not decoded, only JPEG, PNG and WebP");
/// ```
pub fn decode(bytes: &[u8], options: &DecodeOptions) -> Result<RgbImage, DecodeError> {
    match ImageFormat::of(bytes) {
        Some(ImageFormat::Jpeg) => jpeg_decode::decode(bytes, options),
        Some(ImageFormat::Png) => png::decode(bytes, options),
        Some(ImageFormat::WebP) => webp::decode(bytes, options),
        None => Err(pillow::refuse(bytes, "JPEG, PNG and WebP")),
    }
}

/// Refuses sizes over the limit, before anything is allocated for them.
fn check_size(width: u32, height: u32, options: &DecodeOptions) -> Result<(), DecodeError> {
    if u64::from(width) * u64::from(height) > options.max_pixels {
        let message = format!("{width} x {height} is more than {} pixels", options.max_pixels);
        return Err(DecodeError::new(DecodeCode::TooLarge, message));
    }
    Ok(())
}

/// Turns an image upright by EXIF or else XMP, where the options ask for it.
fn upright(image: RgbImage, exif: Option<Vec<u8>>, xmp: Option<Vec<u8>>, options: &DecodeOptions) -> RgbImage {
    if !options.exif_orientation {
        return image;
    }
    let found = orientation::find(&pillow::Walk { exif, xmp, ..Default::default() });
    orientation::apply(image, found)
}
