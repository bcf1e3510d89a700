//! The RIFF container, read with the demands of libwebp's demultiplexer (RFC 9649 says what is allowed).

use crate::image::jpeg_decode::{DecodeCode, DecodeError};

/// Longest payload of a chunk.
const MAX_PAYLOAD: u32 = u32::MAX - 9;

const ANIMATION: u8 = 0x02;
const XMP: u8 = 0x04;
const EXIF: u8 = 0x08;
const ALPHA: u8 = 0x10;

/// A frame's place and its bitstreams.
#[derive(Clone, Debug, Default)]
pub(super) struct Frame<'a> {
    pub x: u32,
    pub y: u32,
    pub width: u32,
    pub height: u32,
    /// Payload of the `ALPH` chunk.
    pub alpha: Option<&'a [u8]>,
    /// Payload of the `VP8 ` or `VP8L` chunk; empty where there was none.
    pub image: &'a [u8],
    pub lossless: bool,
    /// The alpha chunk came after the image.
    late_alpha: bool,
}

/// What a file holds.
#[derive(Debug)]
pub(super) struct Container<'a> {
    /// Width and height.
    pub canvas: (u32, u32),
    /// The only image, or the first of an animation.
    pub frame: Frame<'a>,
    pub exif: Option<&'a [u8]>,
    pub xmp: Option<&'a [u8]>,
}

/// Bytes up to the end that the RIFF header tells, and a position in them.
#[derive(Clone)]
struct Cursor<'a> {
    bytes: &'a [u8],
    at: usize,
}

fn corrupt<T>(what: &str) -> Result<T, DecodeError> {
    Err(DecodeError::corrupt(what))
}

fn u24(bytes: &[u8], at: usize) -> u32 {
    bytes.get(at..at + 3).map_or(0, |b| u32::from_le_bytes([b[0], b[1], b[2], 0]))
}

impl<'a> Cursor<'a> {
    fn left(&self) -> usize {
        self.bytes.len() - self.at
    }

    fn peek(&self) -> Option<&'a [u8; 4]> {
        self.bytes.get(self.at..)?.first_chunk()
    }

    /// Name and payload of the next chunk; the padding is skipped too, and must be there.
    fn chunk(&mut self) -> Result<(&'a [u8; 4], &'a [u8]), DecodeError> {
        let rest = self.bytes.get(self.at..).unwrap_or_default();
        let (name, rest) = rest.split_first_chunk::<4>().ok_or_else(|| DecodeError::corrupt("half a chunk"))?;
        let (size, rest) = rest.split_first_chunk::<4>().ok_or_else(|| DecodeError::corrupt("half a chunk"))?;
        let size = u32::from_le_bytes(*size);
        let padded = size as usize + (size & 1) as usize;
        if size > MAX_PAYLOAD || padded > rest.len() {
            return corrupt("a chunk that passes the end of the file");
        }
        self.at += 8 + padded;
        Ok((name, &rest[..size as usize]))
    }

    /// At the end, or with room for another chunk.
    fn check_rest(&self) -> Result<(), DecodeError> {
        if (1..8).contains(&self.left()) { corrupt("bytes behind the last chunk") } else { Ok(()) }
    }

    /// An alpha and an image chunk, in any order, up to the first other one.
    fn frame(&mut self, min_size: usize) -> Result<Frame<'a>, DecodeError> {
        if self.left() < min_size.max(8) {
            return corrupt("a frame that passes the end of the file");
        }
        let mut frame = Frame::default();
        while self.left() > 0 {
            let before = self.at;
            match self.chunk()? {
                (b"ALPH", payload) if frame.alpha.is_none() => {
                    frame.alpha = Some(payload);
                    frame.late_alpha = !frame.image.is_empty();
                }
                (b"VP8L", _) if frame.image.is_empty() && frame.alpha.is_some() => {
                    return corrupt("a lossless frame with an alpha chunk");
                }
                (b"VP8L", payload) if frame.image.is_empty() => {
                    (frame.width, frame.height) = lossless_size(payload)?;
                    (frame.image, frame.lossless) = (payload, true);
                }
                (b"VP8 ", payload) if frame.image.is_empty() => {
                    (frame.width, frame.height) = lossy_size(payload)?;
                    frame.image = payload;
                }
                _ => {
                    self.at = before;
                    return Ok(frame);
                }
            }
            self.check_rest()?;
        }
        Ok(frame)
    }
}

/// Width and height in a lossy bitstream's header.
fn lossy_size(payload: &[u8]) -> Result<(u32, u32), DecodeError> {
    let [a, b, c, 0x9d, 0x01, 0x2a, w0, w1, h0, h1, ..] = *payload else {
        return corrupt("not the start of a lossy bitstream");
    };
    let bits = u32::from_le_bytes([a, b, c, 0]);
    let (width, height) = (u16::from_le_bytes([w0, w1]) & 0x3fff, u16::from_le_bytes([h0, h1]) & 0x3fff);
    let (inter, profile, shown, partition) = (bits & 1, bits >> 1 & 7, bits >> 4 & 1, (bits >> 5) as usize);
    if inter != 0 || profile > 3 || shown == 0 || partition >= payload.len() || width == 0 || height == 0 {
        return corrupt("a lossy frame that is not a whole, visible key frame");
    }
    Ok((width.into(), height.into()))
}

/// Width and height in a lossless bitstream's header.
fn lossless_size(payload: &[u8]) -> Result<(u32, u32), DecodeError> {
    let [0x2f, a, b, c, d, ..] = *payload else {
        return corrupt("not the start of a lossless bitstream");
    };
    let bits = u32::from_le_bytes([a, b, c, d]);
    if bits >> 29 != 0 {
        return corrupt("a lossless bitstream of an unknown version");
    }
    Ok(((bits & 0x3fff) + 1, (bits >> 14 & 0x3fff) + 1))
}

impl<'a> Container<'a> {
    /// Reads the whole container; bitstreams only as far as their sizes.
    pub fn parse(bytes: &'a [u8]) -> Result<Self, DecodeError> {
        let known = matches!(bytes.get(12..16), Some(b"VP8 " | b"VP8L" | b"VP8X"));
        if bytes.len() < 20 || !known {
            let code = if bytes.len() < 20 { DecodeCode::Truncated } else { DecodeCode::Corrupt };
            return Err(DecodeError::new(code, "no image chunk behind the WebP signature"));
        }
        let size = u32::from_le_bytes([bytes[4], bytes[5], bytes[6], bytes[7]]);
        if !(8..=MAX_PAYLOAD).contains(&size) {
            return corrupt("an impossible file size");
        }
        let bytes = bytes.get(..size as usize + 8).ok_or_else(DecodeError::truncated)?;
        let mut cursor = Cursor { bytes, at: 12 };
        match cursor.peek() {
            Some(b"VP8X") => Self::extended(cursor),
            _ => {
                let frame = cursor.frame(8)?;
                // Alpha needs the flag of the extended format.
                let frame = Frame { alpha: None, ..frame };
                Ok(Container { canvas: (frame.width, frame.height), frame, exif: None, xmp: None })
            }
        }
    }

    /// A file with a `VP8X` chunk.
    fn extended(mut cursor: Cursor<'a>) -> Result<Self, DecodeError> {
        let (_, header) = cursor.chunk()?;
        let Some(&flags) = header.first().filter(|_| header.len() >= 10) else {
            return corrupt("a short VP8X chunk");
        };
        let canvas = (u24(header, 4) + 1, u24(header, 7) + 1);
        if canvas.0.checked_mul(canvas.1).is_none() {
            return corrupt("a canvas of 2^32 pixels or more");
        }
        let mut reader = Extended { canvas, flags, anim: false, frames: Vec::new(), exif: None, xmp: None };
        if cursor.left() == 0 {
            return corrupt("no image chunk");
        }
        cursor.check_rest()?;
        while cursor.left() > 0 {
            reader.next(&mut cursor)?;
            cursor.check_rest()?;
        }
        reader.finish()
    }
}

/// What was found so far in an extended file.
struct Extended<'a> {
    canvas: (u32, u32),
    flags: u8,
    anim: bool,
    frames: Vec<Frame<'a>>,
    exif: Option<&'a [u8]>,
    xmp: Option<&'a [u8]>,
}

impl<'a> Extended<'a> {
    fn animated(&self) -> bool {
        self.flags & ANIMATION != 0
    }

    /// Reads one chunk, or one image and its alpha.
    fn next(&mut self, cursor: &mut Cursor<'a>) -> Result<(), DecodeError> {
        let before = cursor.clone();
        let (name, payload) = cursor.chunk()?;
        match name {
            b"VP8X" => return corrupt("a second VP8X chunk"),
            b"ALPH" | b"VP8 " | b"VP8L" => {
                *cursor = before;
                if self.anim || self.animated() || !self.frames.is_empty() {
                    return corrupt("an image that is no frame of the animation");
                }
                let mut frame = cursor.frame(8)?;
                if self.flags & ALPHA == 0 {
                    (frame.alpha, frame.late_alpha) = (None, false);
                }
                self.frames.push(frame);
            }
            b"ANIM" if payload.len() < 6 => return corrupt("a short ANIM chunk"),
            b"ANIM" => self.anim = true,
            b"ANMF" => self.animation_frame(cursor, before, payload)?,
            // Of several, the first counts.
            b"EXIF" if self.flags & EXIF != 0 => self.exif = self.exif.or(Some(payload)),
            b"XMP " if self.flags & XMP != 0 => self.xmp = self.xmp.or(Some(payload)),
            _ => {}
        }
        Ok(())
    }

    /// An `ANMF` chunk: what it holds behind its image is read again as chunks of the file.
    fn animation_frame(
        &mut self,
        cursor: &mut Cursor<'a>,
        before: Cursor<'a>,
        payload: &'a [u8],
    ) -> Result<(), DecodeError> {
        let padded = cursor.at - before.at - 8;
        if !self.anim || padded < 16 {
            return corrupt("a frame before the animation's header, or a short one");
        }
        cursor.at = before.at + 8 + 16;
        let start = cursor.at;
        let image = cursor.frame(padded - 16)?;
        if cursor.at - start > padded - 16 {
            return corrupt("a frame that is larger than its chunk");
        }
        if self.animated() && (image.alpha.is_some() || !image.image.is_empty()) {
            self.frames.push(Frame { x: 2 * u24(payload, 0), y: 2 * u24(payload, 3), ..image });
        }
        Ok(())
    }

    /// Checks frames against the canvas; the first is the image.
    fn finish(self) -> Result<Container<'a>, DecodeError> {
        let (width, height) = self.canvas;
        for frame in &self.frames {
            let (right, bottom) =
                (u64::from(frame.x) + u64::from(frame.width), u64::from(frame.y) + u64::from(frame.height));
            let inside = match self.animated() {
                true => right <= width.into() && bottom <= height.into(),
                false => (right, bottom) == (width.into(), height.into()),
            };
            if frame.image.is_empty() || frame.late_alpha || !inside {
                return corrupt("a frame without an image, or not inside the canvas");
            }
        }
        let Some(frame) = self.frames.into_iter().next() else {
            return corrupt("no image chunk");
        };
        Ok(Container { canvas: self.canvas, frame, exif: self.exif, xmp: self.xmp })
    }
}
