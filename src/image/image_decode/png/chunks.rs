//! The walk over chunks that Pillow makes, before and after the image data.

use flate2::Crc;

use super::samples::{Color, Palette, Samples};
use super::text::{Texts, inflated};
use crate::image::jpeg_decode::{DecodeCode, DecodeError};

const SIGNATURE: &[u8] = b"\x89PNG\r\n\x1a\n";

/// Bytes of image data that are handed on at once.
const PIECE: usize = 65_536;

/// What decides the pixels, as it stood at the first image data.
#[derive(Debug)]
pub(super) struct Header<'a> {
    pub width: u32,
    pub height: u32,
    pub samples: Samples,
    /// Left, top, right and bottom of the pixels that there are data for: less than all in some animations.
    pub region: [u32; 4],
    colors: Option<&'a [u8]>,
}

impl Header<'_> {
    /// The palette; black where it has no entry.
    pub fn palette(&self) -> Palette {
        let mut palette = [[0; 3]; 256];
        let colors = self.colors.unwrap_or_default().chunks_exact(3);
        palette.iter_mut().zip(colors).for_each(|(entry, color)| entry.copy_from_slice(color));
        palette
    }
}

/// What a chunk turned out to be.
enum Seen {
    /// Image data: this many bytes follow.
    Data(usize),
    End,
    Other,
}

/// A PNG file and how far it is read.
#[derive(Default)]
pub(super) struct Chunks<'a> {
    bytes: &'a [u8],
    at: usize,
    /// Bytes of image data left in the current chunk.
    left: usize,
    size: (u32, u32),
    samples: Option<Samples>,
    interlaced: bool,
    colors: Option<&'a [u8]>,
    /// Whether there was a palette at the image data.
    has_palette: bool,
    /// Whether one palette entry, and no more, is transparent.
    one_transparent: bool,
    region: Option<[u64; 4]>,
    /// Frames that an animation announces.
    frames: Option<u32>,
    animated: bool,
    sequence: Option<u32>,
    texts: Texts,
    exif: Option<Vec<u8>>,
}

impl<'a> Chunks<'a> {
    /// Reads up to the first image data.
    pub fn open(bytes: &'a [u8]) -> Result<(Self, Header<'a>), DecodeError> {
        if !bytes.starts_with(SIGNATURE) {
            return Err(DecodeError::new(DecodeCode::NotAnImage, "not the signature of a PNG"));
        }
        let mut chunks = Chunks { bytes, at: SIGNATURE.len(), ..Default::default() };
        let data = loop {
            let (name, length) = chunks.next()?;
            let start = chunks.at;
            match chunks.read(name, length)? {
                Seen::Data(length) => break Some(length),
                Seen::End => break None,
                Seen::Other => chunks.check(name, start)?,
            }
        };
        let header = chunks.header()?;
        chunks.left = data.ok_or_else(|| DecodeError::corrupt("no image data"))?;
        chunks.has_palette = header.colors.is_some();
        let default_image = chunks.region.is_none() && chunks.frames.is_some();
        chunks.animated = u64::from(chunks.frames.unwrap_or(1)) + u64::from(default_image) > 1;
        Ok((chunks, header))
    }

    /// Whether rows come in the seven passes of Adam7.
    pub fn interlaced(&self) -> bool {
        self.interlaced
    }

    /// EXIF and XMP, as far as the file was read.
    pub fn metadata(self) -> (Option<Vec<u8>>, Option<Vec<u8>>) {
        (self.exif.or(self.texts.exif), self.texts.xmp)
    }

    fn header(&self) -> Result<Header<'a>, DecodeError> {
        let (width, height) = self.size;
        let samples = self.samples.ok_or_else(|| DecodeError::corrupt("no valid colour type and bit depth"))?;
        if width == 0 || height == 0 {
            return Err(DecodeError::corrupt("an empty image"));
        }
        let region = self.region.unwrap_or([0, 0, width.into(), height.into()]);
        let region = region.map(|side| u32::try_from(side).unwrap_or(u32::MAX));
        let [left, top, right, bottom] = region;
        if left >= right || top >= bottom || right > width || bottom > height {
            return Err(DecodeError::corrupt("a frame that is not inside the image"));
        }
        // A whole entry too many is refused, part of one is not.
        if self.colors.is_some_and(|colors| colors.len() / 3 > 256) {
            return Err(DecodeError::corrupt("a palette of more than 256 entries"));
        }
        Ok(Header { width, height, samples, region, colors: self.colors })
    }

    /// The next piece of image data, never empty.
    pub fn image_data(&mut self) -> Result<&'a [u8], DecodeError> {
        while self.left == 0 {
            self.at += 4; // the checksum, which nobody checks here
            let (name, length) = self.next()?;
            self.left = match name {
                b"IDAT" | b"DDAT" => length,
                b"fdAT" => self.frame_data(length)?,
                _ => return Err(DecodeError::truncated()),
            };
        }
        let rest = self.bytes.get(self.at..).unwrap_or_default();
        let piece = &rest[..self.left.min(PIECE).min(rest.len())];
        if piece.is_empty() {
            return Err(DecodeError::truncated());
        }
        self.left -= self.left.min(PIECE);
        self.at += piece.len();
        Ok(piece)
    }

    /// Reads what follows the image data; some of it can still make a file invalid.
    pub fn finish(&mut self) -> Result<(), DecodeError> {
        self.at += self.left;
        loop {
            self.at += 4;
            let Ok((name, length)) = self.next() else { break };
            if name == b"IEND" || name == b"fcTL" && self.animated {
                break;
            }
            if let Seen::Data(length) = self.read(name, length)? {
                self.take(length)?;
            }
        }
        if self.samples.is_some_and(|s| s.color == Color::Palette) && self.one_transparent && !self.has_palette {
            return Err(DecodeError::corrupt("transparency without a palette"));
        }
        Ok(())
    }

    /// Name and length of the next chunk.
    fn next(&mut self) -> Result<(&'a [u8; 4], usize), DecodeError> {
        let rest = self.bytes.get(self.at..).unwrap_or_default();
        let (length, rest) = rest.split_first_chunk::<4>().ok_or_else(DecodeError::truncated)?;
        let name = rest.first_chunk::<4>().ok_or_else(DecodeError::truncated)?;
        if !name.iter().all(|byte| byte.is_ascii_alphanumeric() || *byte == b'_') {
            return Err(DecodeError::corrupt("a chunk without a name"));
        }
        self.at += 8;
        Ok((name, u32::from_be_bytes(*length) as usize))
    }

    /// The next bytes; all of them must be there.
    fn take(&mut self, length: usize) -> Result<&'a [u8], DecodeError> {
        let rest = self.bytes.get(self.at..).unwrap_or_default();
        let taken = rest.get(..length).ok_or_else(DecodeError::truncated)?;
        self.at += length;
        Ok(taken)
    }

    /// Compares the checksum that follows with that of the chunk that began at `start`.
    fn check(&mut self, name: &[u8; 4], start: usize) -> Result<(), DecodeError> {
        let mut crc = Crc::new();
        crc.update(name);
        crc.update(&self.bytes[start..self.at]);
        match self.take(4)? == crc.sum().to_be_bytes() {
            true => Ok(()),
            false => Err(DecodeError::corrupt(format!("wrong checksum of {}", name.escape_ascii()))),
        }
    }

    /// Reads a chunk behind its name, with Pillow's demands on it.
    fn read(&mut self, name: &[u8; 4], length: usize) -> Result<Seen, DecodeError> {
        match name {
            b"IDAT" => return Ok(Seen::Data(length)),
            b"fdAT" => return Ok(Seen::Data(self.frame_data(length)?)),
            b"IEND" => return Ok(Seen::End),
            _ => {}
        }
        let chunk = self.take(length)?;
        let whole = |held: bool| match held {
            true => Ok(()),
            false => Err(DecodeError::corrupt(format!("a {} chunk of a wrong length", name.escape_ascii()))),
        };
        match name {
            b"IHDR" => self.image_header(chunk)?,
            b"PLTE" if self.samples.is_some_and(|s| s.color == Color::Palette) => self.colors = Some(chunk),
            b"tRNS" => self.transparency(chunk)?,
            b"iCCP" => profile(chunk)?,
            b"gAMA" => whole(length >= 4)?,
            b"cHRM" => whole(length.is_multiple_of(4))?,
            b"sRGB" => whole(length >= 1)?,
            b"pHYs" => whole(length >= 9)?,
            b"tEXt" => self.texts.plain(chunk)?,
            b"zTXt" => self.texts.deflated(chunk)?,
            b"iTXt" => self.texts.international(chunk)?,
            b"eXIf" => self.exif = Some(chunk.to_vec()),
            b"acTL" => {
                whole(length >= 8)?;
                let frames = word(chunk, 0);
                self.frames = match self.frames {
                    None => Some(frames).filter(|frames| (1..=0x8000_0000).contains(frames)),
                    Some(_) => None,
                };
            }
            b"fcTL" => {
                whole(length >= 26)?;
                self.frame_control(chunk)?;
            }
            _ => {}
        }
        Ok(Seen::Other)
    }

    fn image_header(&mut self, chunk: &[u8]) -> Result<(), DecodeError> {
        let Some(&[bits, color, _, filter, interlace]) = chunk.get(8..13) else {
            return Err(DecodeError::corrupt("a short header"));
        };
        self.size = (word(chunk, 0), word(chunk, 4));
        self.samples = Samples::new(bits, color).or(self.samples);
        self.interlaced |= interlace != 0;
        if filter != 0 {
            return Err(DecodeError::corrupt("an unknown filter method"));
        }
        Ok(())
    }

    /// Its values do not matter, because alpha is dropped; its length does.
    fn transparency(&mut self, chunk: &[u8]) -> Result<(), DecodeError> {
        let needed = match self.samples.map(|s| s.color) {
            Some(Color::Gray) => 2,
            Some(Color::Rgb) => 6,
            Some(Color::Palette) => {
                let bare = chunk.strip_suffix(b"\n").unwrap_or(chunk);
                let one = |bytes: &[u8]| {
                    bytes.iter().all(|b| matches!(b, 0 | 255)) && bytes.iter().filter(|b| **b == 0).count() == 1
                };
                self.one_transparent = one(chunk) || one(bare);
                0
            }
            _ => 0,
        };
        match chunk.len() >= needed {
            true => Ok(()),
            false => Err(DecodeError::corrupt("a short tRNS chunk")),
        }
    }

    /// A frame must follow the one before it and lie inside the image.
    fn frame_control(&mut self, chunk: &[u8]) -> Result<(), DecodeError> {
        let sequence = word(chunk, 0);
        if self.sequence.map_or(0, |last| u64::from(last) + 1) != u64::from(sequence) {
            return Err(DecodeError::corrupt("frames out of order"));
        }
        self.sequence = Some(sequence);
        let [width, height, x, y] = [4, 8, 12, 16].map(|at| u64::from(word(chunk, at)));
        if x + width > self.size.0.into() || y + height > self.size.1.into() {
            return Err(DecodeError::corrupt("a frame outside of the image"));
        }
        self.region = Some([x, y, x + width, y + height]);
        Ok(())
    }

    /// Reads the sequence number before the data of a frame; what is left of the chunk.
    fn frame_data(&mut self, length: usize) -> Result<usize, DecodeError> {
        if length < 4 {
            return Err(DecodeError::corrupt("a short fdAT chunk"));
        }
        let sequence = word(self.take(4)?, 0);
        if self.sequence.map(|last| u64::from(last) + 1) != Some(u64::from(sequence)) {
            return Err(DecodeError::corrupt("frames out of order"));
        }
        self.sequence = Some(sequence);
        Ok(length - 4)
    }
}

/// The 32-bit number at this offset of a chunk that is known to hold it.
fn word(chunk: &[u8], at: usize) -> u32 {
    chunk.get(at..).and_then(|rest| rest.first_chunk()).map_or(0, |bytes| u32::from_be_bytes(*bytes))
}

/// A colour profile is not applied, but one that inflates without end is refused.
fn profile(chunk: &[u8]) -> Result<(), DecodeError> {
    let method = chunk.iter().position(|byte| *byte == 0).map(|name| name + 1);
    match method.and_then(|method| chunk.get(method..)) {
        Some([0, rest @ ..]) => inflated(rest).map(drop),
        _ => Err(DecodeError::corrupt("an iCCP chunk of an unknown compression")),
    }
}
