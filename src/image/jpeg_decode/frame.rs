//! Geometry of a frame: components, blocks, MCUs.

use super::error::{DecodeCode, DecodeError};

/// libjpeg's `JPEG_MAX_DIMENSION`.
const MAX_SIDE: u32 = 65_500;

/// How the samples of a file encode colour.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum ColorModel {
    Gray,
    YCbCr,
    Rgb,
    Cmyk,
    Ycck,
}

/// One component of a frame.
#[derive(Clone, Debug)]
pub(crate) struct Component {
    pub id: u8,
    /// Horizontal sampling factor.
    pub h: u8,
    /// Vertical sampling factor.
    pub v: u8,
    pub quant_index: u8,
    /// The quantisation table in natural order, kept at the component's first scan.
    pub quant: Option<[u16; 64]>,
    /// Real samples per row and column.
    pub width: usize,
    pub height: usize,
    /// Real blocks per row and column.
    pub blocks_x: usize,
    pub blocks_y: usize,
}

impl Component {
    pub fn new(id: u8, h: u8, v: u8, quant_index: u8) -> Self {
        Component { id, h, v, quant_index, quant: None, width: 0, height: 0, blocks_x: 0, blocks_y: 0 }
    }

    /// Blocks per row and column with the dummy blocks that complete the last MCU.
    pub fn padded_blocks(&self) -> (usize, usize) {
        (self.blocks_x.next_multiple_of(usize::from(self.h)), self.blocks_y.next_multiple_of(usize::from(self.v)))
    }

    /// The multipliers of the inverse DCT: 16-bit as in libjpeg, zero without a table.
    pub fn multipliers(&self) -> [i16; 64] {
        self.quant.map_or([0; 64], |table| table.map(|q| q as i16))
    }
}

/// A frame header with everything derived from it.
#[derive(Clone, Debug)]
pub(crate) struct Frame {
    pub width: u32,
    pub height: u32,
    precision: u8,
    pub progressive: bool,
    pub components: Vec<Component>,
    /// Largest sampling factors.
    pub h_max: u8,
    pub v_max: u8,
    /// Interleaved MCUs per row and column.
    pub mcus_x: usize,
    pub mcus_y: usize,
}

impl Frame {
    pub fn new(width: u32, height: u32, precision: u8, progressive: bool, components: Vec<Component>) -> Self {
        Frame { width, height, precision, progressive, components, h_max: 1, v_max: 1, mcus_x: 0, mcus_y: 0 }
    }

    /// Checks the header and derives the geometry; called at the first scan.
    pub fn set_up(&mut self) -> Result<(), DecodeError> {
        if self.width.max(self.height) > MAX_SIDE {
            return Err(DecodeError::new(
                DecodeCode::TooLarge,
                format!("{} x {}: a side is longer than {MAX_SIDE}", self.width, self.height),
            ));
        }
        if self.precision != 8 {
            return Err(DecodeError::unsupported(format!("{} bits per sample", self.precision)));
        }
        if self.components.iter().any(|c| !(1..=4).contains(&c.h) || !(1..=4).contains(&c.v)) {
            return Err(DecodeError::corrupt("sampling factor outside 1..4"));
        }
        self.h_max = self.components.iter().map(|c| c.h).max().unwrap_or(1);
        self.v_max = self.components.iter().map(|c| c.v).max().unwrap_or(1);
        let (width, height) = (self.width as usize, self.height as usize);
        let (h_max, v_max) = (usize::from(self.h_max), usize::from(self.v_max));
        for component in &mut self.components {
            let (h, v) = (usize::from(component.h), usize::from(component.v));
            if h_max % h != 0 || v_max % v != 0 {
                return Err(DecodeError::unsupported(format!("fractional sampling {h}x{v} of {h_max}x{v_max}")));
            }
            component.width = (width * h).div_ceil(h_max);
            component.height = (height * v).div_ceil(v_max);
            component.blocks_x = (width * h).div_ceil(h_max * 8);
            component.blocks_y = (height * v).div_ceil(v_max * 8);
        }
        self.mcus_x = width.div_ceil(h_max * 8);
        self.mcus_y = height.div_ceil(v_max * 8);
        Ok(())
    }
}
