//! EXIF orientation, as `PIL.ImageOps.exif_transpose` finds and applies it.

use super::RgbImage;
use super::pillow::Walk;

/// The tag number of Orientation.
const TAG: u16 = 0x0112;

/// The orientation of an image, 1 (upright) to 8: from EXIF, else from XMP, else 1.
pub(crate) fn find(walk: &Walk) -> u8 {
    let from_exif = walk.exif.as_deref().and_then(from_exif);
    let value = from_exif.or_else(|| walk.xmp.as_deref().and_then(from_xmp)).unwrap_or(1.0);
    (1..=8).find(|&known| f64::from(known) == value).unwrap_or(1)
}

/// A TIFF directory's byte order and bytes.
struct Tiff<'a> {
    data: &'a [u8],
    little: bool,
}

impl<'a> Tiff<'a> {
    fn bytes<const N: usize>(&self, at: usize) -> Option<[u8; N]> {
        let mut bytes: [u8; N] = self.data.get(at..at.checked_add(N)?)?.try_into().ok()?;
        if self.little {
            bytes.reverse();
        }
        Some(bytes)
    }

    fn u16(&self, at: usize) -> Option<u16> {
        self.bytes(at).map(u16::from_be_bytes)
    }

    fn u32(&self, at: usize) -> Option<u32> {
        self.bytes(at).map(u32::from_be_bytes)
    }

    /// A number of a TIFF type; what Pillow gives as bytes, text or a tuple is no number.
    fn number(&self, kind: u16, at: usize) -> Option<f64> {
        let ratio = |n: f64, d: f64| if d == 0.0 { f64::NAN } else { n / d };
        Some(match kind {
            3 => f64::from(self.u16(at)?),
            4 | 13 => f64::from(self.u32(at)?),
            5 => ratio(f64::from(self.u32(at)?), f64::from(self.u32(at + 4)?)),
            6 => f64::from(self.bytes(at).map(i8::from_be_bytes)?),
            8 => f64::from(self.u16(at)? as i16),
            9 => f64::from(self.u32(at)? as i32),
            10 => ratio(f64::from(self.u32(at)? as i32), f64::from(self.u32(at + 4)? as i32)),
            11 => f64::from(f32::from_bits(self.u32(at)?)),
            12 => self.bytes(at).map(f64::from_be_bytes)?,
            16 => self.bytes(at).map(u64::from_be_bytes)? as f64,
            _ => return None,
        })
    }
}

/// The size in bytes of one value of a TIFF type that Pillow loads.
fn unit(kind: u16) -> Option<usize> {
    Some(match kind {
        1 | 2 | 6 | 7 => 1,
        3 | 8 => 2,
        4 | 9 | 11 | 13 => 4,
        5 | 10 | 12 | 16 => 8,
        _ => return None,
    })
}

fn from_exif(mut exif: &[u8]) -> Option<f64> {
    while let Some(rest) = exif.strip_prefix(b"Exif\0\0") {
        exif = rest;
    }
    let little = match exif {
        [b'I', b'I', 42, 0, ..] => true,
        [b'M', b'M', 0, 42, ..] => false,
        // Pillow accepts these two as well.
        [b'M', b'M', 42, 0, ..] => false,
        [b'I', b'I', 0, 42, ..] => true,
        _ => return None,
    };
    let tiff = Tiff { data: exif, little };
    let directory = tiff.u32(4)? as usize;
    let entries = usize::from(tiff.u16(directory)?);
    let mut found = None;
    for i in 0..entries {
        let at = directory + 2 + i * 12;
        // A directory that breaks off keeps what was read before.
        let (Some(tag), Some(kind), Some(count), Some(_)) =
            (tiff.u16(at), tiff.u16(at + 2), tiff.u32(at + 4), tiff.u32(at + 8))
        else {
            break;
        };
        let Some(unit) = unit(kind) else { continue };
        let size = unit.saturating_mul(count as usize);
        let value = if size > 4 { tiff.u32(at + 8)? as usize } else { at + 8 };
        if value.checked_add(size).is_none_or(|end| end > exif.len()) {
            break;
        }
        // Orientation has one value; Pillow takes the first of several.
        if tag == TAG && size > 0 {
            found = Some(tiff.number(kind, value).unwrap_or(1.0));
        }
    }
    found
}

/// The digit after `tiff:Orientation="` or `tiff:Orientation>`.
fn from_xmp(xmp: &[u8]) -> Option<f64> {
    const NAME: &[u8] = b"tiff:Orientation";
    (0..xmp.len()).find_map(|at| {
        let rest = xmp[at..].strip_prefix(NAME)?;
        let rest = rest.strip_prefix(b"=\"").or_else(|| rest.strip_prefix(b">"))?;
        rest.first().filter(|digit| digit.is_ascii_digit()).map(|digit| f64::from(digit - b'0'))
    })
}

/// Turns the image upright.
pub(crate) fn apply(image: RgbImage, orientation: u8) -> RgbImage {
    if !(2..=8).contains(&orientation) {
        return image;
    }
    let (w, h) = (image.width as usize, image.height as usize);
    let swapped = orientation >= 5;
    let (out_w, out_h) = if swapped { (h, w) } else { (w, h) };
    let mut data = vec![0; image.data.len()];
    for (y, row) in data.chunks_exact_mut(out_w * 3).enumerate() {
        for (x, pixel) in row.chunks_exact_mut(3).enumerate() {
            let (sx, sy) = match orientation {
                2 => (w - 1 - x, y),
                3 => (w - 1 - x, h - 1 - y),
                4 => (x, h - 1 - y),
                5 => (y, x),
                6 => (y, h - 1 - x),
                7 => (w - 1 - y, h - 1 - x),
                _ => (w - 1 - y, x),
            };
            pixel.copy_from_slice(&image.data[(sy * w + sx) * 3..][..3]);
        }
    }
    RgbImage { width: out_w as u32, height: out_h as u32, data }
}
