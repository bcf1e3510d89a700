//! Marker segments as libjpeg reads them: tables, frame, scans, restarts.
//!
//! [`Reader`] is the input side: a position in the bytes, the tables seen so far, and the *window*. Pillow feeds
//! libjpeg in chunks of 65,536 bytes, and after the last row of a single-scan file it looks at no byte beyond the
//! chunk that it has. Which trailing garbage makes Pillow raise depends on that, so the window is kept here.

use super::error::{DecodeCode, DecodeError};
use super::frame::{ColorModel, Component, Frame};
use super::huffman::{self, TableSpec};

/// Pillow's `ImageFile.MAXBLOCK`.
const CHUNK: usize = 65_536;

/// Natural-order index of each zigzag position. Positions past 63 occur in corrupt files and land on 63, as in libjpeg.
pub(crate) const NATURAL: [u8; 128] = {
    let mut table = [63u8; 128];
    let (mut row, mut column, mut up, mut i) = (0i32, 0i32, true, 0);
    while i < 64 {
        table[i] = (row * 8 + column) as u8;
        i += 1;
        if up {
            if column == 7 {
                row += 1;
                up = false;
            } else if row == 0 {
                column += 1;
                up = false;
            } else {
                row -= 1;
                column += 1;
            }
        } else if row == 7 {
            column += 1;
            up = true;
        } else if column == 0 {
            row += 1;
            up = true;
        } else {
            row += 1;
            column -= 1;
        }
    }
    table
};

/// Why reading stopped.
#[derive(Debug)]
pub(crate) enum Halt {
    /// No more bytes in the window; only outside blocking mode.
    Suspended,
    /// The file cannot be decoded.
    Failed(DecodeError),
}

impl From<DecodeError> for Halt {
    fn from(error: DecodeError) -> Self {
        Halt::Failed(error)
    }
}

type Read<T> = Result<T, Halt>;

/// A scan header.
#[derive(Clone, Debug)]
pub(crate) struct Scan {
    /// Component index, DC table, AC table.
    pub components: Vec<(usize, usize, usize)>,
    pub spectral_start: u8,
    pub spectral_end: u8,
    pub approx_high: u8,
    pub approx_low: u8,
}

/// What ended a run of markers.
pub(crate) enum Reached {
    Scan(Scan),
    EndOfImage,
}

/// The input side of one decode.
pub(crate) struct Reader<'a> {
    pub data: &'a [u8],
    pub pos: usize,
    /// End of the bytes that libjpeg has been given.
    pub window: usize,
    /// Whether a read past the window takes the next chunk; otherwise it suspends.
    pub blocking: bool,
    /// A marker read but not handled, 0 for none.
    pub unread_marker: u8,
    pub dc: [Option<TableSpec>; 4],
    pub ac: [Option<TableSpec>; 4],
    quant: [Option<[u16; 64]>; 4],
    /// The frame header, until it is taken.
    pub frame: Option<Frame>,
    /// Component identifiers of the frame header, once there was one.
    ids: Option<Vec<u8>>,
    pub restart_interval: u32,
    pub next_restart: u8,
    saw_start: bool,
    jfif: bool,
    adobe: Option<u8>,
    /// Bytes skipped since the last marker; only a warning.
    pub discarded: usize,
    /// The first thing libjpeg would have warned of.
    pub warning: Option<(DecodeCode, &'static str)>,
}

impl<'a> Reader<'a> {
    pub fn new(data: &'a [u8]) -> Self {
        Reader {
            data,
            pos: 0,
            window: data.len().min(CHUNK),
            blocking: true,
            unread_marker: 0,
            dc: [const { None }; 4],
            ac: [const { None }; 4],
            quant: [const { None }; 4],
            frame: None,
            ids: None,
            restart_interval: 0,
            next_restart: 0,
            saw_start: false,
            jfif: false,
            adobe: None,
            discarded: 0,
            warning: None,
        }
    }

    /// Notes a warning; the first is kept.
    pub fn warn(&mut self, code: DecodeCode, what: &'static str) {
        self.warning.get_or_insert((code, what));
    }

    /// Takes the next chunk into the window; fails at the end of the file as Pillow does.
    pub fn next_chunk(&mut self) -> Result<(), DecodeError> {
        if self.window >= self.data.len() {
            return Err(DecodeError::truncated());
        }
        self.window = self.data.len().min(self.window + CHUNK);
        Ok(())
    }

    fn byte(&mut self) -> Read<u8> {
        while self.pos >= self.window {
            if !self.blocking {
                return Err(Halt::Suspended);
            }
            self.next_chunk()?;
        }
        self.pos += 1;
        Ok(self.data[self.pos - 1])
    }

    fn word(&mut self) -> Read<u16> {
        Ok(u16::from_be_bytes([self.byte()?, self.byte()?]))
    }

    /// Finds the next marker into `unread_marker`, skipping anything else.
    fn next_marker(&mut self) -> Read<()> {
        loop {
            while self.byte()? != 0xff {
                self.discarded += 1;
            }
            let mut code = self.byte()?;
            while code == 0xff {
                code = self.byte()?;
            }
            if code != 0 {
                self.unread_marker = code;
                break;
            }
            self.discarded += 2;
        }
        if self.discarded != 0 {
            self.warn(DecodeCode::Corrupt, "extraneous bytes before a marker");
            self.discarded = 0;
        }
        Ok(())
    }

    /// Reads markers until a scan or the end of the image.
    pub fn read_markers(&mut self) -> Read<Reached> {
        loop {
            if self.unread_marker == 0 {
                if self.saw_start {
                    self.next_marker()?;
                } else {
                    self.first_marker()?;
                }
            }
            match self.unread_marker {
                0xd8 => self.start_of_image()?,
                0xc0 | 0xc1 => self.frame_header(false)?,
                0xc2 => self.frame_header(true)?,
                code @ (0xc3 | 0xc5..=0xc7 | 0xc8..=0xcb | 0xcd..=0xcf) => return Err(coding(code).into()),
                0xda => {
                    let scan = self.scan_header()?;
                    self.unread_marker = 0;
                    return Ok(Reached::Scan(scan));
                }
                0xd9 => {
                    self.unread_marker = 0;
                    return Ok(Reached::EndOfImage);
                }
                0xcc => self.arithmetic_conditioning()?,
                0xc4 => self.huffman_tables()?,
                0xdb => self.quantization_tables()?,
                0xdd => {
                    if self.word()? != 4 {
                        return Err(DecodeError::corrupt("restart interval segment of a wrong length").into());
                    }
                    self.restart_interval = u32::from(self.word()?);
                }
                code @ (0xe0 | 0xee) => self.interesting_application(code)?,
                0xe1..=0xef | 0xfe | 0xdc => {
                    let length = usize::from(self.word()?).saturating_sub(2);
                    self.pos = self.pos.saturating_add(length);
                }
                0xd0..=0xd7 | 0x01 => {}
                code => return Err(DecodeError::corrupt(format!("reserved marker FF{code:02X}")).into()),
            }
            self.unread_marker = 0;
        }
    }

    fn first_marker(&mut self) -> Read<()> {
        if (self.byte()?, self.byte()?) != (0xff, 0xd8) {
            return Err(DecodeError::corrupt("no start of image").into());
        }
        self.unread_marker = 0xd8;
        Ok(())
    }

    fn start_of_image(&mut self) -> Read<()> {
        if self.saw_start {
            return Err(DecodeError::corrupt("a second start of image").into());
        }
        self.saw_start = true;
        self.restart_interval = 0;
        self.jfif = false;
        self.adobe = None;
        Ok(())
    }

    /// Back to the state before a start of image, keeping the tables: after a stream of tables only.
    pub fn restart_stream(&mut self) {
        self.saw_start = false;
        self.discarded = 0;
    }

    fn frame_header(&mut self, progressive: bool) -> Read<()> {
        if self.ids.is_some() {
            return Err(DecodeError::corrupt("a second frame header").into());
        }
        let length = self.word()?;
        let precision = self.byte()?;
        let (height, width) = (self.word()?, self.word()?);
        let count = self.byte()?;
        if height == 0 || width == 0 || count == 0 {
            return Err(DecodeError::corrupt("an empty image").into());
        }
        if i32::from(length) - 8 != i32::from(count) * 3 {
            return Err(DecodeError::corrupt("frame header of a wrong length").into());
        }
        let mut components = Vec::with_capacity(usize::from(count));
        for _ in 0..count {
            let (id, sampling, table) = (self.byte()?, self.byte()?, self.byte()?);
            components.push(Component::new(id, sampling >> 4, sampling & 15, table));
        }
        self.ids = Some(components.iter().map(|component| component.id).collect());
        self.frame = Some(Frame::new(u32::from(width), u32::from(height), precision, progressive, components));
        Ok(())
    }

    fn scan_header(&mut self) -> Read<Scan> {
        let Some(ids) = self.ids.clone() else {
            return Err(DecodeError::corrupt("a scan before the frame header").into());
        };
        let length = self.word()?;
        let count = usize::from(self.byte()?);
        if usize::from(length) != count * 2 + 6 || !(1..=4).contains(&count) {
            return Err(DecodeError::corrupt("scan header of a wrong length").into());
        }
        let mut components: Vec<(usize, usize, usize)> = Vec::with_capacity(count);
        for _ in 0..count {
            let (id, tables) = (self.byte()?, self.byte()?);
            // libjpeg looks at the first four components of the frame, and passes over those whose *position* is
            // already taken in this scan, which tells equal identifiers apart in the usual order.
            let taken = components.len();
            let found = ids.iter().take(4).enumerate().position(|(i, &known)| known == id && i >= taken);
            match found {
                Some(index) if components.iter().all(|c| c.0 != index) => {
                    components.push((index, usize::from(tables >> 4), usize::from(tables & 15)));
                }
                _ => return Err(DecodeError::corrupt(format!("scan of an unknown component {id}")).into()),
            }
        }
        let (spectral_start, spectral_end, approx) = (self.byte()?, self.byte()?, self.byte()?);
        self.next_restart = 0;
        Ok(Scan { components, spectral_start, spectral_end, approx_high: approx >> 4, approx_low: approx & 15 })
    }

    fn huffman_tables(&mut self) -> Read<()> {
        let mut length = i32::from(self.word()?) - 2;
        while length > 16 {
            let index = self.byte()?;
            let mut counts = [0u8; 17];
            for count in &mut counts[1..] {
                *count = self.byte()?;
            }
            length -= 17;
            let total: usize = counts.iter().map(|&c| usize::from(c)).sum();
            if total > 256 || total as i32 > length {
                return Err(huffman::bad_table().into());
            }
            let mut symbols = [0u8; 256];
            for symbol in &mut symbols[..total] {
                *symbol = self.byte()?;
            }
            length -= total as i32;
            let slots = if index & 0x10 != 0 { &mut self.ac } else { &mut self.dc };
            let slot = slots.get_mut(usize::from(index & !0x10));
            *slot.ok_or_else(|| DecodeError::corrupt("Huffman table number above 3"))? =
                Some(TableSpec { counts, symbols });
        }
        if length != 0 {
            return Err(DecodeError::corrupt("Huffman table segment of a wrong length").into());
        }
        Ok(())
    }

    fn quantization_tables(&mut self) -> Read<()> {
        let mut length = i32::from(self.word()?) - 2;
        while length > 0 {
            let first = self.byte()?;
            let wide = first >> 4 != 0;
            let index = usize::from(first & 15);
            if index >= 4 {
                return Err(DecodeError::corrupt("quantization table number above 3").into());
            }
            let mut table = [0u16; 64];
            for &natural in &NATURAL[..64] {
                table[usize::from(natural)] = if wide { self.word()? } else { u16::from(self.byte()?) };
            }
            self.quant[index] = Some(table);
            length -= if wide { 129 } else { 65 };
        }
        if length != 0 {
            return Err(DecodeError::corrupt("quantization table segment of a wrong length").into());
        }
        Ok(())
    }

    fn arithmetic_conditioning(&mut self) -> Read<()> {
        let mut length = i32::from(self.word()?) - 2;
        while length > 0 {
            let (index, value) = (self.byte()?, self.byte()?);
            if index >= 32 || (index < 16 && value & 15 > value >> 4) {
                return Err(DecodeError::corrupt("bad arithmetic conditioning").into());
            }
            length -= 2;
        }
        if length != 0 {
            return Err(DecodeError::corrupt("arithmetic conditioning segment of a wrong length").into());
        }
        Ok(())
    }

    /// APP0 and APP14: JFIF and Adobe decide the colour space.
    fn interesting_application(&mut self, marker: u8) -> Read<()> {
        let length = usize::from(self.word()?).saturating_sub(2);
        let mut head = [0u8; 14];
        let read = length.min(head.len());
        for byte in &mut head[..read] {
            *byte = self.byte()?;
        }
        if marker == 0xe0 && read >= 14 && head.starts_with(b"JFIF\0") {
            self.jfif = true;
            if head[5] != 1 {
                self.warn(DecodeCode::Corrupt, "JFIF of an unknown major version");
            }
        } else if marker == 0xee && read >= 12 && head.starts_with(b"Adobe") {
            self.adobe = Some(head[11]);
        }
        self.pos = self.pos.saturating_add(length - read);
        Ok(())
    }

    /// The colour model of the file: from JFIF, then Adobe, then the component identifiers.
    pub fn color_model(&mut self, frame: &Frame) -> ColorModel {
        let ids: Vec<u8> = frame.components.iter().map(|c| c.id).collect();
        let (model, unknown_transform) = match (ids.len(), self.adobe) {
            (1, _) => (ColorModel::Gray, false),
            (3, _) if self.jfif => (ColorModel::YCbCr, false),
            (3, Some(0)) => (ColorModel::Rgb, false),
            (3, Some(transform)) => (ColorModel::YCbCr, transform != 1),
            (3, None) if ids == *b"RGB" => (ColorModel::Rgb, false),
            (3, None) => (ColorModel::YCbCr, false),
            (_, None | Some(0)) => (ColorModel::Cmyk, false),
            (_, Some(transform)) => (ColorModel::Ycck, transform != 2),
        };
        if unknown_transform {
            self.warn(DecodeCode::Corrupt, "unknown Adobe colour transform");
        }
        model
    }

    /// Keeps the current quantisation table of each component of the scan, unless an earlier scan did.
    pub fn latch_quantization(&self, frame: &mut Frame, scan: &Scan) -> Result<(), DecodeError> {
        for &(index, ..) in &scan.components {
            let component = &mut frame.components[index];
            if component.quant.is_none() {
                let table = self.quant.get(usize::from(component.quant_index)).copied().flatten();
                component.quant = Some(table.ok_or_else(|| DecodeError::corrupt("missing quantization table"))?);
            }
        }
        Ok(())
    }

    /// Warns of spectral selection or successive approximation in a sequential scan, which is otherwise ignored.
    pub fn warn_unless_sequential(&mut self, scan: &Scan) {
        if (scan.spectral_start, scan.spectral_end, scan.approx_high, scan.approx_low) != (0, 63, 0, 0) {
            self.warn(DecodeCode::Corrupt, "spectral selection in a sequential file");
        }
    }

    /// Installs the Annex K tables where a sequential file brought none (Motion JPEG frames).
    pub fn install_standard_tables(&mut self) {
        for (slot, spec) in self.dc.iter_mut().zip(huffman::standard_dc()) {
            slot.get_or_insert(spec);
        }
        for (slot, spec) in self.ac.iter_mut().zip(huffman::standard_ac()) {
            slot.get_or_insert(spec);
        }
    }

    /// Passes the expected restart marker, or resynchronises as `jpeg_resync_to_restart` does: a marker up to two
    /// behind is skipped, one up to two ahead or of another kind stays unread (an empty interval follows), one
    /// further away is dropped. Afterwards `unread_marker` tells whether data follow.
    pub fn read_restart(&mut self) -> Result<(), DecodeError> {
        match self.try_read_restart() {
            Ok(()) => Ok(()),
            Err(Halt::Failed(error)) => Err(error),
            Err(Halt::Suspended) => Err(DecodeError::truncated()),
        }
    }

    fn try_read_restart(&mut self) -> Read<()> {
        if self.unread_marker == 0 {
            self.next_marker()?;
        }
        let desired = self.next_restart;
        if self.unread_marker == 0xd0 + desired {
            self.unread_marker = 0;
        } else {
            self.warn(DecodeCode::Corrupt, "a restart marker is missing");
            loop {
                match self.unread_marker {
                    0..0xc0 => self.next_marker()?,
                    marker @ 0xd0..=0xd7 => match (marker - 0xd0).wrapping_sub(desired) & 7 {
                        1 | 2 => break,
                        6 | 7 => self.next_marker()?,
                        _ => {
                            self.unread_marker = 0;
                            break;
                        }
                    },
                    _ => break,
                }
            }
        }
        self.next_restart = (desired + 1) & 7;
        Ok(())
    }
}

/// The error for a coding process that is not decoded.
fn coding(marker: u8) -> DecodeError {
    DecodeError::unsupported(match marker {
        0xc3 => "lossless JPEG",
        0xc9 | 0xca => "arithmetic coding",
        0xcb => "lossless arithmetic coding",
        _ => "hierarchical or reserved coding process",
    })
}
