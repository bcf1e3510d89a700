//! Image data to unfiltered rows.
//!
//! Whether a broken file is decoded depends on how its data are handed to inflate: Pillow asks for one row at a time, in
//! pieces of at most 65,536 bytes that end where a chunk ends, and stops at the last row whatever follows. So do we.

use flate2::{Decompress, FlushDecompress, Status};

use crate::image::jpeg_decode::DecodeError;

/// Where the pixels of a row go.
#[derive(Clone, Copy, Debug)]
pub(super) struct Line {
    /// The row of the image.
    pub y: usize,
    /// The column of the first pixel.
    pub start: usize,
    /// The distance of its pixels: 1, or more in a pass of an interlaced image.
    pub step: usize,
    /// How many pixels it has.
    pub count: usize,
}

/// One pass of Adam7: first column and row, and the distances of its pixels.
#[derive(Clone, Copy, Debug)]
struct Pass {
    x: usize,
    y: usize,
    dx: usize,
    dy: usize,
}

const WHOLE: [Pass; 1] = [Pass { x: 0, y: 0, dx: 1, dy: 1 }];

const ADAM7: [Pass; 7] = [
    Pass { x: 0, y: 0, dx: 8, dy: 8 },
    Pass { x: 4, y: 0, dx: 8, dy: 8 },
    Pass { x: 0, y: 4, dx: 4, dy: 8 },
    Pass { x: 2, y: 0, dx: 4, dy: 4 },
    Pass { x: 0, y: 2, dx: 2, dy: 4 },
    Pass { x: 1, y: 0, dx: 2, dy: 2 },
    Pass { x: 0, y: 1, dx: 1, dy: 2 },
];

/// Inflates and unfilters; fed with pieces of the image data.
pub(super) struct Rows {
    inflate: Decompress,
    bits_per_pixel: usize,
    width: usize,
    height: usize,
    /// The passes not finished yet, the current one first.
    passes: &'static [Pass],
    y: usize,
    /// The filter byte and the row, as far as it is inflated.
    row: Vec<u8>,
    filled: usize,
    previous: Vec<u8>,
}

impl Rows {
    pub fn new(bits_per_pixel: usize, width: u32, height: u32, interlaced: bool) -> Self {
        let (width, height) = (width as usize, height as usize);
        let bytes = 1 + (width * bits_per_pixel).div_ceil(8);
        Rows {
            inflate: Decompress::new(true),
            bits_per_pixel,
            width,
            height,
            passes: if interlaced { &ADAM7 } else { &WHOLE },
            y: 0,
            row: vec![0; bytes],
            filled: 0,
            previous: vec![0; bytes],
        }
    }

    /// Takes a piece of the data and hands out the rows that it completes; true when there will be no more.
    pub fn feed(&mut self, mut piece: &[u8], mut put: impl FnMut(Line, &[u8])) -> Result<bool, DecodeError> {
        while let (Some(&pass), false) = (self.passes.first(), piece.is_empty()) {
            let count = (self.width - pass.x).div_ceil(pass.dx);
            let length = 1 + (count * self.bits_per_pixel).div_ceil(8);
            let status = self.inflate(&mut piece, length)?;
            if self.filled < length {
                // What is left of the piece comes after the end of the compressed data.
                return Ok(false);
            }
            self.filled = 0;
            unfilter(&mut self.row[..length], &self.previous, self.bits_per_pixel.div_ceil(8))?;
            put(Line { y: self.y, start: pass.x, step: pass.dx, count }, &self.row[1..length]);
            self.next_row(pass.dy);
            if self.passes.is_empty() || status == Status::StreamEnd {
                return Ok(true);
            }
        }
        Ok(false)
    }

    /// Inflates into the current row, as far as the piece goes.
    fn inflate(&mut self, piece: &mut &[u8], length: usize) -> Result<Status, DecodeError> {
        let (taken, made) = (self.inflate.total_in(), self.inflate.total_out());
        let out = &mut self.row[self.filled..length];
        let status = self.inflate.decompress(piece, out, FlushDecompress::None);
        *piece = &piece[(self.inflate.total_in() - taken) as usize..];
        self.filled += (self.inflate.total_out() - made) as usize;
        match status {
            Ok(Status::BufError) | Err(_) => Err(DecodeError::corrupt("the compressed data are broken")),
            Ok(status) => Ok(status),
        }
    }

    /// Goes to the next row of the pass, or to the next pass that has pixels.
    fn next_row(&mut self, dy: usize) {
        std::mem::swap(&mut self.row, &mut self.previous);
        self.y += dy;
        if self.y < self.height {
            return;
        }
        // A pass begins as if the row above were zero.
        self.previous.fill(0);
        while let Some((_, rest)) = self.passes.split_first() {
            self.passes = rest;
            if rest.first().is_some_and(|pass| pass.x < self.width && pass.y < self.height) {
                self.y = rest[0].y;
                return;
            }
        }
    }
}

/// Undoes the filter that the first byte of a row names. The rows have equal lengths or `previous` is longer.
fn unfilter(row: &mut [u8], previous: &[u8], bytes_per_pixel: usize) -> Result<(), DecodeError> {
    let Some((&mut filter, row)) = row.split_first_mut() else { return Ok(()) };
    let above = &previous[1..=row.len()];
    match filter {
        0 => {}
        1 => (bytes_per_pixel..row.len()).for_each(|i| row[i] = row[i].wrapping_add(row[i - bytes_per_pixel])),
        2 => row.iter_mut().zip(above).for_each(|(byte, up)| *byte = byte.wrapping_add(*up)),
        3 => match bytes_per_pixel {
            1 => average::<1>(row, above),
            2 => average::<2>(row, above),
            3 => average::<3>(row, above),
            4 => average::<4>(row, above),
            6 => average::<6>(row, above),
            _ => average::<8>(row, above),
        },
        4 => match bytes_per_pixel {
            1 => paeth::<1>(row, above),
            2 => paeth::<2>(row, above),
            3 => paeth::<3>(row, above),
            4 => paeth::<4>(row, above),
            6 => paeth::<6>(row, above),
            _ => paeth::<8>(row, above),
        },
        other => return Err(DecodeError::corrupt(format!("a row with filter {other}"))),
    }
    Ok(())
}

fn average<const N: usize>(row: &mut [u8], above: &[u8]) {
    let mut left = [0u8; N];
    for (pixel, up) in row.as_chunks_mut::<N>().0.iter_mut().zip(above.as_chunks::<N>().0) {
        for ((byte, left), up) in pixel.iter_mut().zip(&mut left).zip(up) {
            *byte = byte.wrapping_add(((u16::from(*left) + u16::from(*up)) / 2) as u8);
            *left = *byte;
        }
    }
}

fn paeth<const N: usize>(row: &mut [u8], above: &[u8]) {
    let (mut left, mut corner) = ([0u8; N], [0u8; N]);
    for (pixel, up) in row.as_chunks_mut::<N>().0.iter_mut().zip(above.as_chunks::<N>().0) {
        for (((byte, left), corner), up) in pixel.iter_mut().zip(&mut left).zip(&mut corner).zip(up) {
            let (a, b, c) = (i16::from(*left), i16::from(*up), i16::from(*corner));
            let (pa, pb, pc) = ((b - c).abs(), (a - c).abs(), (a + b - 2 * c).abs());
            let predicted = if pa <= pb && pa <= pc {
                a
            } else if pb <= pc {
                b
            } else {
                c
            };
            *byte = byte.wrapping_add(predicted as u8);
            *left = *byte;
            *corner = *up;
        }
    }
}
