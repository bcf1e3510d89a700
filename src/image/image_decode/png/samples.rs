//! Rows of samples to RGB, as Pillow unpacks them and converts.

/// Colours of 256 palette entries; those that a palette lacks are black.
pub(super) type Palette = [[u8; 3]; 256];

/// Colour type of the PNG header.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Color {
    Gray,
    Rgb,
    Palette,
    GrayAlpha,
    Rgba,
}

/// Colour type and bits per sample.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Samples {
    pub color: Color,
    pub bits: u8,
}

impl Samples {
    /// The pairs that the specification allows.
    pub fn new(bits: u8, color: u8) -> Option<Self> {
        let color = match (bits, color) {
            (1 | 2 | 4 | 8 | 16, 0) => Color::Gray,
            (8 | 16, 2) => Color::Rgb,
            (1 | 2 | 4 | 8, 3) => Color::Palette,
            (8 | 16, 4) => Color::GrayAlpha,
            (8 | 16, 6) => Color::Rgba,
            _ => return None,
        };
        Some(Samples { color, bits })
    }

    pub fn bits_per_pixel(self) -> usize {
        let channels = match self.color {
            Color::Gray | Color::Palette => 1,
            Color::GrayAlpha => 2,
            Color::Rgb => 3,
            Color::Rgba => 4,
        };
        channels * usize::from(self.bits)
    }

    /// Writes `count` pixels of a row, one every `step` bytes.
    pub fn to_rgb(self, row: &[u8], count: usize, palette: &Palette, out: &mut [u8], step: usize) {
        let gray = |value: u8| [value; 3];
        let pixels = out.chunks_mut(step).take(count).filter_map(|chunk| chunk.first_chunk_mut::<3>());
        match (self.color, self.bits) {
            (Color::Rgb, 8) if step == 3 => out[..3 * count].copy_from_slice(row),
            (Color::Rgb, 8) => fill(pixels, row.chunks_exact(3).map(|p| [p[0], p[1], p[2]])),
            (Color::Rgb, _) => fill(pixels, row.chunks_exact(6).map(|p| [p[0], p[2], p[4]])),
            (Color::Rgba, 8) => fill(pixels, row.chunks_exact(4).map(|p| [p[0], p[1], p[2]])),
            (Color::Rgba, _) => fill(pixels, row.chunks_exact(8).map(|p| [p[0], p[2], p[4]])),
            (Color::GrayAlpha, 8) => fill(pixels, row.chunks_exact(2).map(|p| gray(p[0]))),
            (Color::GrayAlpha, _) => fill(pixels, row.chunks_exact(4).map(|p| gray(p[0]))),
            (Color::Gray, 8) => fill(pixels, row.iter().map(|&p| gray(p))),
            // Clipped, not scaled.
            (Color::Gray, 16) => fill(pixels, row.chunks_exact(2).map(|p| gray(if p[0] == 0 { p[1] } else { 255 }))),
            (Color::Gray, bits) => {
                let scale = (255 / ((1u16 << bits) - 1)) as u8;
                fill(pixels, fields(row, bits).map(|p| gray(p * scale)));
            }
            (Color::Palette, 8) => fill(pixels, row.iter().map(|&p| palette[usize::from(p)])),
            (Color::Palette, bits) => fill(pixels, fields(row, bits).map(|p| palette[usize::from(p)])),
        }
    }
}

fn fill<'a>(pixels: impl Iterator<Item = &'a mut [u8; 3]>, values: impl Iterator<Item = [u8; 3]>) {
    pixels.zip(values).for_each(|(pixel, value)| *pixel = value);
}

/// The fields of 1, 2 or 4 bits of each byte, highest first.
fn fields(row: &[u8], bits: u8) -> impl Iterator<Item = u8> {
    let per_byte = 8 / bits;
    let mask = (1u16 << bits) as u8 - 1;
    row.iter().flat_map(move |&byte| (0..per_byte).map(move |i| byte >> (8 - bits * (i + 1)) & mask))
}
