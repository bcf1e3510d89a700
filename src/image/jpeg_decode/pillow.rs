//! The walk over segments that Pillow makes before libjpeg sees a byte.
//!
//! `Corrupt::AsPillow` must fail exactly where `PIL.Image.open(f).load()` raises, and part of those failures come from
//! Pillow's own Python parser (`JpegImagePlugin.py`), which is stricter than libjpeg in places (short JFIF and ICC
//! segments, SOF lengths, reserved markers). This module repeats its decisions and keeps what orientation needs.

use super::error::{DecodeCode, DecodeError};

/// What the walk found.
#[derive(Debug, Default)]
pub(crate) struct Walk {
    pub width: u32,
    pub height: u32,
    /// 1, 3 or 4 components.
    pub layers: u8,
    /// APP1 Exif payloads joined as Pillow joins them, `Exif\0\0` first.
    pub exif: Option<Vec<u8>>,
    /// The last XMP packet.
    pub xmp: Option<Vec<u8>>,
}

/// Bytes of a segment behind its length field; fails where Pillow's `_safe_read` does.
struct Cursor<'a> {
    data: &'a [u8],
    pos: usize,
}

impl<'a> Cursor<'a> {
    fn byte(&mut self) -> Result<u8, DecodeError> {
        let byte = *self.data.get(self.pos).ok_or_else(DecodeError::truncated)?;
        self.pos += 1;
        Ok(byte)
    }

    fn segment(&mut self) -> Result<&'a [u8], DecodeError> {
        let length = usize::from(u16::from_be_bytes([self.byte()?, self.byte()?])).saturating_sub(2);
        let rest = self.data.get(self.pos..).unwrap_or_default();
        let segment = rest.get(..length).ok_or_else(DecodeError::truncated)?;
        self.pos += length;
        Ok(segment)
    }
}

/// Walks to the first SOS as Pillow does.
pub(crate) fn walk(data: &[u8]) -> Result<Walk, DecodeError> {
    if !data.starts_with(&[0xff, 0xd8, 0xff]) {
        return Err(refuse(data, "JPEG"));
    }
    let mut cursor = Cursor { data, pos: 3 };
    let mut walk = Walk::default();
    let mut icc: Vec<&[u8]> = Vec::new();
    let mut byte = 0xff;
    loop {
        if byte != 0xff {
            byte = cursor.byte()?;
            continue;
        }
        let marker = cursor.byte()?;
        match marker {
            0xff => continue,
            0x00 => {}
            0x01..=0xbf => return Err(DecodeError::corrupt(format!("reserved marker FF{marker:02X}"))),
            0xc4 | 0xcc | 0xdc | 0xdd | 0xdf => drop(cursor.segment()?),
            0xda => {
                cursor.segment()?;
                break;
            }
            0xdb => quantization(cursor.segment()?)?,
            0xc8 | 0xd0..=0xd9 | 0xf0..=0xfd => {}
            0xc0..=0xcf | 0xde => frame(cursor.segment()?, &mut walk, &mut icc)?,
            0xe0..=0xef => application(marker, cursor.segment()?, &mut walk, &mut icc)?,
            0xfe => drop(cursor.segment()?),
        }
        byte = cursor.byte()?;
    }
    if walk.layers == 0 || walk.width == 0 || walk.height == 0 {
        return Err(DecodeError::corrupt("no frame header, or an empty image"));
    }
    Ok(walk)
}

/// Names the formats that are not among those `decoded`, by their signatures.
pub(crate) fn refuse(data: &[u8], decoded: &str) -> DecodeError {
    let known = match data {
        [0x89, b'P', b'N', b'G', ..] => Some("PNG"),
        [b'R', b'I', b'F', b'F', _, _, _, _, b'W', b'E', b'B', b'P', ..] => Some("WebP"),
        [b'G', b'I', b'F', b'8', ..] => Some("GIF"),
        [b'B', b'M', ..] => Some("BMP"),
        [b'I', b'I', 42, 0, ..] | [b'M', b'M', 0, 42, ..] => Some("TIFF"),
        [_, _, _, _, b'f', b't', b'y', b'p', ..] => Some("HEIF or AVIF"),
        [0xff, 0x0a, ..] | [0, 0, 0, 0x0c, b'J', b'X', b'L', ..] => Some("JPEG XL"),
        [0, 0, 0, 0x0c, b'j', b'P', ..] => Some("JPEG 2000"),
        _ => None,
    };
    match known {
        Some(format) => DecodeError::unsupported(format!("{format} images are not decoded, only {decoded}")),
        None => DecodeError::new(DecodeCode::NotAnImage, "the bytes do not start like an image"),
    }
}

/// Pillow's `SOF`: the size, 8 bits, 1, 3 or 4 layers, whole component entries.
fn frame<'a>(segment: &'a [u8], walk: &mut Walk, icc: &mut Vec<&'a [u8]>) -> Result<(), DecodeError> {
    let &[bits, h0, h1, w0, w1, layers, ref components @ ..] = segment else {
        return Err(DecodeError::corrupt("short frame header"));
    };
    walk.height = u32::from(u16::from_be_bytes([h0, h1]));
    walk.width = u32::from(u16::from_be_bytes([w0, w1]));
    if bits != 8 {
        return Err(DecodeError::unsupported(format!("{bits} bits per sample")));
    }
    if !matches!(layers, 1 | 3 | 4) {
        return Err(DecodeError::unsupported(format!("{layers} components")));
    }
    walk.layers = layers;
    // Pillow sorts the ICC fragments and reads byte 13 of the first.
    if icc.iter().min().is_some_and(|first| first.len() < 14) {
        return Err(DecodeError::corrupt("short ICC profile segment"));
    }
    icc.clear();
    if components.len() % 3 != 0 {
        return Err(DecodeError::corrupt("frame header of a wrong length"));
    }
    Ok(())
}

/// Pillow's `DQT`: whole tables.
fn quantization(mut segment: &[u8]) -> Result<(), DecodeError> {
    while let Some(&first) = segment.first() {
        let length = if first >> 4 == 0 { 65 } else { 129 };
        segment = segment.get(length..).ok_or_else(|| DecodeError::corrupt("quantization table of a wrong length"))?;
    }
    Ok(())
}

/// Pillow's `APP`: fields that it reads without a guard make a short segment fatal.
fn application<'a>(marker: u8, segment: &'a [u8], walk: &mut Walk, icc: &mut Vec<&'a [u8]>) -> Result<(), DecodeError> {
    const XMP: &[u8] = b"http://ns.adobe.com/xap/1.0/\0";
    let short = |what: &str| Err(DecodeError::corrupt(format!("short {what} segment")));
    match marker {
        0xe0 if segment.starts_with(b"JFIF") && segment.len() < 7 => return short("JFIF"),
        0xe1 if segment.starts_with(b"Exif\0\0") => match &mut walk.exif {
            Some(exif) => exif.extend_from_slice(&segment[6..]),
            none => *none = Some(segment.to_vec()),
        },
        0xe1 if segment.starts_with(XMP) => walk.xmp = Some(segment[XMP.len()..].to_vec()),
        0xe2 if segment.starts_with(b"ICC_PROFILE\0") => icc.push(segment),
        0xed if segment.starts_with(b"Photoshop 3.0\0") => return photoshop(segment),
        0xee if segment.starts_with(b"Adobe") && segment.len() < 7 => return short("Adobe"),
        _ => {}
    }
    Ok(())
}

/// Pillow's Photoshop resources: it forgives a short field, except a name length behind the end.
fn photoshop(segment: &[u8]) -> Result<(), DecodeError> {
    let mut offset = 14;
    while segment.get(offset..offset + 4) == Some(b"8BIM") {
        offset += 4;
        let Some(code) = segment.get(offset..offset + 2) else { return Ok(()) };
        let resolution = code == [0x03, 0xed];
        offset += 2;
        let Some(&name) = segment.get(offset) else {
            return Err(DecodeError::corrupt("short Photoshop segment"));
        };
        offset += 1 + usize::from(name);
        offset += offset & 1;
        let Some(&[a, b, c, d]) = segment.get(offset..offset + 4) else { return Ok(()) };
        let size = u32::from_be_bytes([a, b, c, d]) as usize;
        offset += 4;
        let held = segment.len().saturating_sub(offset).min(size);
        if resolution && held < 14 {
            return Ok(());
        }
        offset = offset.saturating_add(size);
        offset = offset.saturating_add(offset & 1);
    }
    Ok(())
}
