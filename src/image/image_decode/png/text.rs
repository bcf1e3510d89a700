//! Text chunks, as far as they make Pillow refuse a file (text that inflates without end) or turn an image.

use flate2::{Decompress, FlushDecompress, Status};

use crate::image::jpeg_decode::DecodeError;

/// Most bytes that one text or profile may inflate to.
const MOST: usize = 1 << 20;

/// Most characters of all texts.
const MOST_IN_ALL: usize = 64 * MOST;

/// What the text chunks of a file told.
#[derive(Debug, Default)]
pub(super) struct Texts {
    characters: usize,
    /// An EXIF block written as text, where `eXIf` is the usual place.
    pub exif: Option<Vec<u8>>,
    /// The XMP packet.
    pub xmp: Option<Vec<u8>>,
}

impl Texts {
    /// `tEXt`: keyword, NUL, Latin-1.
    pub fn plain(&mut self, chunk: &[u8]) -> Result<(), DecodeError> {
        let (key, text) = split(chunk).unwrap_or((chunk, &[]));
        self.add(key, text, text.len())
    }

    /// `zTXt`: keyword, NUL, method 0, deflated Latin-1. Text that cannot be inflated counts as none.
    pub fn deflated(&mut self, chunk: &[u8]) -> Result<(), DecodeError> {
        let (key, text) = split(chunk).unwrap_or((chunk, &[]));
        if text.first().is_some_and(|method| *method != 0) {
            return Err(DecodeError::corrupt("a zTXt chunk of an unknown compression"));
        }
        let text = inflated(text.get(1..).unwrap_or_default())?.unwrap_or_default();
        self.add(key, &text, text.len())
    }

    /// `iTXt`: keyword, NUL, two bytes, language, NUL, translated keyword, NUL, UTF-8, perhaps deflated. One that breaks
    /// off is skipped.
    pub fn international(&mut self, chunk: &[u8]) -> Result<(), DecodeError> {
        let Some((key, [deflated, method, rest @ ..])) = split(chunk) else { return Ok(()) };
        let Some((language, rest)) = split(rest) else { return Ok(()) };
        let Some((translated, text)) = split(rest) else { return Ok(()) };
        let text = match (deflated, method) {
            (0, _) => text.to_vec(),
            (_, 0) => match inflated(text)? {
                Some(text) => text,
                None => return Ok(()),
            },
            _ => return Ok(()),
        };
        if key == b"XML:com.adobe.xmp" {
            self.xmp = Some(text.clone());
        }
        let all = [language, translated, &text].map(|part| std::str::from_utf8(part).ok());
        let [Some(_), Some(_), Some(characters)] = all else { return Ok(()) };
        self.add(key, &text, characters.chars().count())
    }

    fn add(&mut self, key: &[u8], text: &[u8], characters: usize) -> Result<(), DecodeError> {
        if key.is_empty() {
            return Ok(());
        }
        match key {
            b"XML:com.adobe.xmp" => self.xmp = Some(text.to_vec()),
            b"Raw profile type exif" => self.exif = raw_profile(text),
            _ => {}
        }
        self.characters += characters;
        if self.characters > MOST_IN_ALL {
            return Err(DecodeError::corrupt("text chunks of more than 64 MiB"));
        }
        Ok(())
    }
}

/// What lies before and after the first NUL.
fn split(bytes: &[u8]) -> Option<(&[u8], &[u8])> {
    let at = bytes.iter().position(|byte| *byte == 0)?;
    Some((&bytes[..at], &bytes[at + 1..]))
}

/// ImageMagick's way to write EXIF: hexadecimal digits after three lines.
fn raw_profile(text: &[u8]) -> Option<Vec<u8>> {
    let digits = text.splitn(4, |byte| *byte == b'\n').nth(3)?;
    let digits: Vec<u8> = digits.iter().copied().filter(|byte| !byte.is_ascii_whitespace()).collect();
    let value = |digit: u8| char::from(digit).to_digit(16).map(|digit| digit as u8);
    if !digits.len().is_multiple_of(2) {
        return None;
    }
    digits.chunks_exact(2).map(|pair| Some(value(pair[0])? << 4 | value(pair[1])?)).collect()
}

/// Inflates a text or a profile: `None` where it is broken, an error where it would pass the limit. Data that end early
/// give what there is.
pub(super) fn inflated(mut data: &[u8]) -> Result<Option<Vec<u8>>, DecodeError> {
    let mut inflate = Decompress::new(true);
    let mut out: Vec<u8> = Vec::new();
    loop {
        let (taken, made) = (inflate.total_in(), out.len());
        let room = (made + 4096.max(made)).min(MOST);
        out.resize(room, 0);
        let status = inflate.decompress(data, &mut out[made..], FlushDecompress::Sync);
        out.truncate(inflate.total_out() as usize);
        data = &data[(inflate.total_in() - taken) as usize..];
        match status {
            Err(_) => return Ok(None),
            Ok(Status::StreamEnd) => return Ok(Some(out)),
            Ok(_) if out.len() == MOST => {
                let over = !data.is_empty();
                return if over { Err(DecodeError::corrupt("a text of more than 1 MiB")) } else { Ok(Some(out)) };
            }
            Ok(_) if out.len() < room && data.is_empty() => return Ok(Some(out)),
            Ok(Status::BufError) => return Ok(Some(out)),
            Ok(_) => {}
        }
    }
}
