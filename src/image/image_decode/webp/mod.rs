//! WebP, decoded by the `image-webp` crate where libwebp would decode it.
//!
//! `container` finds the first frame as libwebp's demultiplexer does, and refuses what it refuses; the crate gets that
//! frame alone, in a container of its own, so that a file's odd chunks decide nothing twice. As Pillow does through
//! libwebp's animation decoder, the frame is put on a black canvas, and alpha is dropped, not blended.

mod container;

use std::io::Cursor;
use std::panic::{AssertUnwindSafe, catch_unwind};

use image_webp::{DecodingError, WebPDecoder};

use container::{Container, Frame};

use super::{check_size, upright};
use crate::image::jpeg_decode::{DecodeCode, DecodeError, DecodeOptions, RgbImage};

/// Decodes a WebP image, or the first frame of an animation.
pub(super) fn decode(bytes: &[u8], options: &DecodeOptions) -> Result<RgbImage, DecodeError> {
    let container = Container::parse(bytes)?;
    let (width, height) = container.canvas;
    check_size(width, height, options)?;
    let frame = &container.frame;
    let mut pixels = decode_frame(&single(frame), frame.width, frame.height)?;
    if (frame.width, frame.height) != container.canvas {
        pixels = on_canvas(&pixels, frame, container.canvas);
    }
    let image = RgbImage { width, height, data: pixels };
    Ok(upright(image, container.exif.map(<[u8]>::to_vec), container.xmp.map(<[u8]>::to_vec), options))
}

/// Width times height of the canvas.
pub(super) fn declared_pixels(bytes: &[u8]) -> Option<u64> {
    let (width, height) = Container::parse(bytes).ok()?.canvas;
    Some(u64::from(width) * u64::from(height))
}

/// A file of this frame alone.
fn single(frame: &Frame<'_>) -> Vec<u8> {
    let side = |length: u32| (length - 1).to_le_bytes();
    let mut out = Vec::with_capacity(64 + frame.image.len() + frame.alpha.map_or(0, <[u8]>::len));
    out.extend_from_slice(b"RIFF\0\0\0\0WEBP");
    if let Some(alpha) = frame.alpha {
        let mut header = vec![0x10, 0, 0, 0];
        header.extend_from_slice(&side(frame.width)[..3]);
        header.extend_from_slice(&side(frame.height)[..3]);
        push_chunk(&mut out, b"VP8X", &header);
        push_chunk(&mut out, b"ALPH", alpha);
    }
    push_chunk(&mut out, if frame.lossless { b"VP8L" } else { b"VP8 " }, frame.image);
    let size = (out.len() - 8) as u32;
    out[4..8].copy_from_slice(&size.to_le_bytes());
    out
}

fn push_chunk(out: &mut Vec<u8>, name: &[u8; 4], payload: &[u8]) {
    out.extend_from_slice(name);
    out.extend_from_slice(&(payload.len() as u32).to_le_bytes());
    out.extend_from_slice(payload);
    if !payload.len().is_multiple_of(2) {
        out.push(0);
    }
}

/// RGB pixels of a file of one frame.
fn decode_frame(file: &[u8], width: u32, height: u32) -> Result<Vec<u8>, DecodeError> {
    let run = || -> Result<Vec<u8>, DecodingError> {
        let mut decoder = WebPDecoder::new(Cursor::new(file))?;
        if decoder.dimensions() != (width, height) {
            return Err(DecodingError::InconsistentImageSizes);
        }
        let mut pixels = vec![0; decoder.output_buffer_size().ok_or(DecodingError::ImageTooLarge)?];
        decoder.read_image(&mut pixels)?;
        if decoder.has_alpha() {
            pixels = pixels.chunks_exact(4).flat_map(|p| [p[0], p[1], p[2]]).collect();
        }
        Ok(pixels)
    };
    // The crate is fuzzed by its authors, but a panic in it must stay one null row.
    match catch_unwind(AssertUnwindSafe(run)) {
        Ok(result) => result.map_err(|error| DecodeError::new(code(&error), error.to_string())),
        Err(_) => Err(DecodeError::corrupt("the WebP decoder gave up")),
    }
}

fn code(error: &DecodingError) -> DecodeCode {
    match error {
        DecodingError::IoError(_) | DecodingError::NotEnoughInitData => DecodeCode::Truncated,
        DecodingError::HuffmanError => DecodeCode::BadHuffman,
        DecodingError::UnsupportedFeature(_) => DecodeCode::Unsupported,
        _ => DecodeCode::Corrupt,
    }
}

/// The frame at its place on a black canvas.
fn on_canvas(pixels: &[u8], frame: &Frame<'_>, (width, height): (u32, u32)) -> Vec<u8> {
    let mut canvas = vec![0; 3 * width as usize * height as usize];
    let rows = canvas.chunks_exact_mut(3 * width as usize).skip(frame.y as usize);
    for (to, from) in rows.zip(pixels.chunks_exact(3 * frame.width as usize)) {
        to[3 * frame.x as usize..][..from.len()].copy_from_slice(from);
    }
    canvas
}
