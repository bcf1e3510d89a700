//! Colour conversion of full-size rows to RGB, as libjpeg-turbo and then Pillow's `convert("RGB")` do it.

use super::frame::ColorModel;

#[cfg(target_arch = "x86_64")]
mod sse2;

/// Converts one row. `rows` has one slice per component, each at least as long as the output has pixels.
pub(crate) fn convert_row(model: ColorModel, rows: &[&[u8]], out: &mut [u8]) {
    match (model, rows) {
        (ColorModel::Gray, [gray, ..]) => interleave(gray, gray, gray, out),
        (ColorModel::Rgb, [r, g, b]) => interleave(r, g, b, out),
        (ColorModel::YCbCr, [y, cb, cr]) => ycc_row(y, cb, cr, out),
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

fn interleave(r: &[u8], g: &[u8], b: &[u8], out: &mut [u8]) {
    #[cfg(target_arch = "x86_64")]
    let done = sse2::interleave_rows(r, g, b, out);
    #[cfg(not(target_arch = "x86_64"))]
    let done = 0;
    let rest = r[done..].iter().zip(&g[done..]).zip(&b[done..]);
    for (pixel, ((&r, &g), &b)) in out[done * 3..].chunks_exact_mut(3).zip(rest) {
        pixel.copy_from_slice(&[r, g, b]);
    }
}

fn ycc_row(y: &[u8], cb: &[u8], cr: &[u8], out: &mut [u8]) {
    #[cfg(target_arch = "x86_64")]
    let done = sse2::ycc_rows(y, cb, cr, out);
    #[cfg(not(target_arch = "x86_64"))]
    let done = 0;
    let rest = y[done..].iter().zip(&cb[done..]).zip(&cr[done..]);
    for (pixel, ((&y, &cb), &cr)) in out[done * 3..].chunks_exact_mut(3).zip(rest) {
        pixel.copy_from_slice(&ycc(y, cb, cr));
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_colour_alike() {
        // Rows of 16 pixels and a rest, through the vector code and the plain one.
        let cb: Vec<u8> = (0..=255).chain(0..5).collect();
        for y in (0..=255).step_by(5) {
            for cr in 0..=255 {
                let rows = [&vec![y; cb.len()][..], &cb, &vec![cr; cb.len()]];
                let mut out = vec![0; cb.len() * 3];
                convert_row(ColorModel::YCbCr, &rows, &mut out);
                let plain: Vec<u8> = cb.iter().flat_map(|&cb| ycc(y, cb, cr)).collect();
                assert_eq!(out, plain);
                convert_row(ColorModel::Rgb, &rows, &mut out);
                let plain: Vec<u8> = cb.iter().flat_map(|&g| [y, g, cr]).collect();
                assert_eq!(out, plain);
            }
        }
    }
}
