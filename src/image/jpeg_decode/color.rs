//! Colour conversion of full-size rows to RGB, as libjpeg-turbo and then Pillow's `convert("RGB")` do it.

use super::frame::ColorModel;

/// Converts one row. `rows` has one slice per component, each at least as long as the output has pixels.
pub(crate) fn convert_row(model: ColorModel, rows: &[&[u8]], out: &mut [u8]) {
    match (model, rows) {
        (ColorModel::Gray, [gray, ..]) => {
            for (pixel, &gray) in out.chunks_exact_mut(3).zip(*gray) {
                pixel.fill(gray);
            }
        }
        (ColorModel::Rgb, [r, g, b]) => {
            for (((pixel, &r), &g), &b) in out.chunks_exact_mut(3).zip(*r).zip(*g).zip(*b) {
                pixel.copy_from_slice(&[r, g, b]);
            }
        }
        (ColorModel::YCbCr, [y, cb, cr]) => {
            for (((pixel, &y), &cb), &cr) in out.chunks_exact_mut(3).zip(*y).zip(*cb).zip(*cr) {
                pixel.copy_from_slice(&ycc(y, cb, cr));
            }
        }
        (ColorModel::Cmyk | ColorModel::Ycck, [c, m, y, k]) => {
            let inks = c.iter().zip(*m).zip(*y).zip(*k);
            for (pixel, (((&c, &m), &y), &k)) in out.chunks_exact_mut(3).zip(inks) {
                // libjpeg gives 255 - RGB for the first three inks of YCCK; Pillow inverts all four samples on load
                // (Adobe's convention), so for YCCK they become the RGB itself.
                let inks = if model == ColorModel::Ycck { ycc(c, m, y) } else { [255 - c, 255 - m, 255 - y] };
                pixel.copy_from_slice(&inks.map(|ink| under_black(ink, k)));
            }
        }
        // Component counts are checked with the frame header.
        _ => out.fill(0),
    }
}

/// ITU-R BT.601 as JFIF has it, in 16-bit fixed point.
#[inline(always)]
fn ycc(y: u8, cb: u8, cr: u8) -> [u8; 3] {
    let (y, cb, cr) = (i32::from(y), i32::from(cb) - 128, i32::from(cr) - 128);
    let r = y + ((91_881 * cr + 32_768) >> 16);
    let g = y + ((-22_554 * cb - 46_802 * cr + 32_768) >> 16);
    let b = y + ((116_130 * cb + 32_768) >> 16);
    [r, g, b].map(|sample| sample.clamp(0, 255) as u8)
}

/// Pillow 12's CMYK to RGB: `nk - nk * ink / 255`, rounded, where `nk` is 255 minus the black ink; `black` is the
/// sample as stored, which Pillow inverts, so it is `nk` already.
#[inline(always)]
fn under_black(ink: u8, black: u8) -> u8 {
    let product = u32::from(ink) * u32::from(black) + 128;
    let product = ((product >> 8) + product) >> 8;
    (i32::from(black) - product as i32).clamp(0, 255) as u8
}
