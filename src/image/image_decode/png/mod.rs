//! PNG, decoded where and as Pillow decodes it.
//!
//! `chunks` walks the file as `PngImagePlugin.py` does, which decides most of what is refused; `rows` inflates and
//! unfilters as its decoder does, row by row, which decides the rest (data that end early or late, a wrong checksum);
//! `samples` turns rows into RGB. Sources: the PNG specification (third edition); the behaviour on broken files is
//! Pillow's.

mod chunks;
mod rows;
mod samples;
mod text;

use chunks::{Chunks, Header};
use rows::Rows;
use samples::Color;

use super::{check_size, upright};
use crate::image::jpeg_decode::{DecodeError, DecodeOptions, RgbImage};

/// Decodes a PNG.
pub(super) fn decode(bytes: &[u8], options: &DecodeOptions) -> Result<RgbImage, DecodeError> {
    let (mut chunks, header) = Chunks::open(bytes)?;
    check_size(header.width, header.height, options)?;
    let (width, height) = (header.width, header.height);
    let mut image = RgbImage { width, height, data: vec![0; 3 * width as usize * height as usize] };
    // What no data reach is sample 0.
    if let [color, ..] = header.palette()
        && color != [0; 3]
        && header.samples.color == Color::Palette
    {
        image.data.as_chunks_mut().0.fill(color);
    }
    pixels(&mut chunks, &header, &mut image)?;
    chunks.finish()?;
    let (exif, xmp) = chunks.metadata();
    Ok(upright(image, exif, xmp, options))
}

/// Inflates the image data into the image. Data that end early, but properly, leave the rest as it is.
fn pixels(chunks: &mut Chunks<'_>, header: &Header<'_>, image: &mut RgbImage) -> Result<(), DecodeError> {
    let [left, top, right, bottom] = header.region;
    let (width, height) = (right - left, bottom - top);
    let mut rows = Rows::new(header.samples.bits_per_pixel(), width, height, chunks.interlaced());
    let palette = header.palette();
    // Interlaced pixels of a region are not moved to it: so does Pillow.
    let (left, top) = if chunks.interlaced() { (0, 0) } else { (left as usize, top as usize) };
    let stride = 3 * image.width as usize;
    loop {
        let piece = chunks.image_data()?;
        let done = rows.feed(piece, |line, bytes| {
            let out = &mut image.data[(top + line.y) * stride..][..stride];
            let out = &mut out[3 * (left + line.start)..];
            header.samples.to_rgb(bytes, line.count, &palette, out, 3 * line.step);
        })?;
        if done {
            return Ok(());
        }
    }
}

/// Width times height of the header in force at the image data.
pub(super) fn declared_pixels(bytes: &[u8]) -> Option<u64> {
    let mut at = 8;
    let mut found = None;
    while let Some(head) = bytes.get(at..at + 8) {
        let word = |i: usize| Some(u32::from_be_bytes(bytes.get(at + i..at + i + 4)?.try_into().ok()?));
        match &head[4..] {
            b"IHDR" => found = Some(u64::from(word(8)?) * u64::from(word(12)?)),
            b"IDAT" | b"fdAT" | b"IEND" => break,
            _ => {}
        }
        at += 12 + word(0)? as usize;
    }
    found
}
