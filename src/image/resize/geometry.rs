//! Output geometry: the size that a resize gives, and where crop and padding put it.

use super::{Centering, Place, Resize, Target};

/// Width and height of the whole resized image, before any crop.
pub(super) fn resized(width: u32, height: u32, target: Target) -> Result<(u32, u32), String> {
    match target {
        Target::Keep => Ok((width, height)),
        Target::Exact { width, height } => Ok((width, height)),
        Target::Shorter(size) => {
            let (short, long) = (width.min(height), width.max(height));
            // torchvision: int(size * long / short), in Python's exact integers up to one division.
            let long = (u64::from(size) * u64::from(long)) as f64 / f64::from(short);
            if long >= f64::from(i32::MAX) {
                return Err(format!("{width} x {height} pixels with the shorter side {size} is too large"));
            }
            Ok(if width <= height { (size, long as u32) } else { (long as u32, size) })
        }
        Target::Multiple { of, min_pixels, max_pixels } => multiple(width, height, of, min_pixels, max_pixels),
        Target::Fit { width: most_w, height: most_h } => {
            let size = contain(width, height, most_w, most_h);
            match size.0 > 0 && size.1 > 0 {
                true => Ok(size),
                false => Err(format!("{width} x {height} pixels have no pixels left in {most_w} x {most_h}")),
            }
        }
    }
}

/// `smart_resize` of transformers' Qwen2-VL: its double-precision operations in their order.
fn multiple(width: u32, height: u32, of: u32, min_pixels: u64, max_pixels: u64) -> Result<(u32, u32), String> {
    let (w, h, factor) = (f64::from(width), f64::from(height), f64::from(of));
    if w.max(h) / w.min(h) > 200.0 {
        return Err(format!("{width} x {height} pixels: one side is more than 200 times the other"));
    }
    let area = (u64::from(width) * u64::from(height)) as f64;
    let rounded = |side: f64| (side / factor).round_ties_even() * factor;
    let (mut out_w, mut out_h) = (rounded(w), rounded(h));
    if out_w * out_h > max_pixels as f64 {
        let beta = (area / max_pixels as f64).sqrt();
        let below = |side: f64| ((side / beta / factor).floor() * factor).max(factor);
        (out_w, out_h) = (below(w), below(h));
    } else if out_w * out_h < min_pixels as f64 {
        let beta = (min_pixels as f64 / area).sqrt();
        let above = |side: f64| (side * beta / factor).ceil() * factor;
        (out_w, out_h) = (above(w), above(h));
    }
    match out_w >= 1.0 && out_h >= 1.0 && out_w.max(out_h) < f64::from(i32::MAX) {
        true => Ok((out_w as u32, out_h as u32)),
        false => Err(format!("{width} x {height} pixels would become {out_w} x {out_h}")),
    }
}

/// Pillow's `ImageOps.contain`: its divisions, and Python's round, half to even.
fn contain(width: u32, height: u32, most_w: u32, most_h: u32) -> (u32, u32) {
    let [w, h, most_width, most_height] = [width, height, most_w, most_h].map(f64::from);
    let (ratio, most_ratio) = (w / h, most_width / most_height);
    if ratio > most_ratio {
        (most_w, (h / w * most_width).round_ties_even() as u32)
    } else if ratio < most_ratio {
        ((w / h * most_height).round_ties_even() as u32, most_h)
    } else {
        (most_w, most_h)
    }
}

/// Where one axis of the resized image comes to lie on the canvas.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct PlacedAxis {
    /// First pixel of the resized image that is taken.
    pub first: u32,
    /// Number of pixels that are taken.
    pub len: u32,
    /// Where the first of them lies on the canvas.
    pub start: u32,
    /// Length of the canvas.
    pub canvas: u32,
}

/// Crops and pads a resized image: both axes.
pub(super) fn place(resize: &Resize, size: (u32, u32)) -> Result<(PlacedAxis, PlacedAxis), String> {
    let (width, height) = size;
    let crop = resize.crop.map_or(size, |crop| (crop.width, crop.height));
    let (mut x, mut y) = (cropped(width, crop.0, resize.centering), cropped(height, crop.1, resize.centering));
    if let Some(pad) = resize.pad {
        if crop.0 > pad.width || crop.1 > pad.height {
            let (w, h) = (pad.width, pad.height);
            return Err(format!("comes out at {} x {} pixels, more than its canvas of {w} x {h}", crop.0, crop.1));
        }
        use Place::{BottomLeft, BottomRight, Center, TopRight};
        let put = |axis: &mut PlacedAxis, canvas: u32, before: [Place; 2]| {
            let free = canvas - axis.canvas;
            axis.start += match pad.place {
                Center => half_to_even(free),
                place if before.contains(&place) => free,
                _ => 0,
            };
            axis.canvas = canvas;
        };
        put(&mut x, pad.width, [TopRight, BottomRight]);
        put(&mut y, pad.height, [BottomLeft, BottomRight]);
    }
    Ok((x, y))
}

/// One axis of a centre crop, or of the padding that a larger crop adds.
fn cropped(len: u32, crop: u32, centering: Centering) -> PlacedAxis {
    let (start, first) = match (crop > len, centering) {
        (true, Centering::Torchvision) => ((crop - len) / 2, 0),
        (true, Centering::Transformers) => ((crop - len).div_ceil(2), 0),
        (false, Centering::Torchvision) => (0, half_to_even(len - crop)),
        (false, Centering::Transformers) => (0, (len - crop) / 2),
    };
    PlacedAxis { first, len: crop.min(len), start, canvas: crop }
}

/// Half of `n`, halves to even as Python's `round`.
fn half_to_even(n: u32) -> u32 {
    match n % 4 {
        3 => n / 2 + 1,
        _ => n / 2,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn half_to_even_is_pythons_round() {
        // [int(round(n / 2)) for n in range(10)] in Python 3.
        assert_eq!((0..10).map(half_to_even).collect::<Vec<_>>(), [0, 0, 1, 2, 2, 2, 3, 4, 4, 4]);
    }

    #[test]
    fn shorter_side_truncates_as_torchvision() {
        // int(256 * 500 / 375) = 341; int(224 * 3 / 7): the shorter side wins whatever the orientation.
        assert_eq!(resized(500, 375, Target::Shorter(256)), Ok((341, 256)));
        assert_eq!(resized(375, 500, Target::Shorter(256)), Ok((256, 341)));
        assert_eq!(resized(3, 7, Target::Shorter(224)), Ok((224, 522)));
        assert!(resized(1, 60_000, Target::Shorter(60_000)).is_err());
    }

    #[test]
    fn fit_is_image_ops_contain() {
        let fit = |w, h, width, height| resized(w, h, Target::Fit { width, height });
        assert_eq!(fit(500, 375, 224, 224), Ok((224, 168)));
        assert_eq!(fit(375, 500, 224, 224), Ok((168, 224)));
        // round(1 / 2 * 5) = round(2.5) = 2 in Python.
        assert_eq!(fit(2, 1, 5, 5), Ok((5, 2)));
        assert_eq!(fit(3, 3, 7, 9), Ok((7, 7)));
        assert!(fit(1000, 1, 10, 10).is_err());
    }

    #[test]
    fn multiple_is_smart_resize() {
        // smart_resize of transformers 4.57.6, with its default limits and others.
        let smart = |w, h, min_pixels, max_pixels| resized(w, h, Target::Multiple { of: 28, min_pixels, max_pixels });
        assert_eq!(smart(500, 375, 3136, 1_003_520), Ok((504, 364)));
        assert_eq!(smart(4000, 3000, 3136, 1_003_520), Ok((1148, 840)));
        assert_eq!(smart(10, 20, 3136, 1_003_520), Ok((56, 84)));
        assert_eq!(smart(42, 70, 0, 1_003_520), Ok((56, 56)));
        assert_eq!(smart(3000, 15, 100, 3000), Ok((756, 28)));
        assert!(smart(2001, 10, 3136, 1_003_520).is_err());
        assert!(smart(10, 10, 0, 1000).is_err());
    }

    #[test]
    fn crops_start_where_each_library_starts_them() {
        let starts = |len, crop| {
            [Centering::Torchvision, Centering::Transformers].map(|c| cropped(len, crop, c)).map(|a| (a.first, a.start))
        };
        assert_eq!(starts(10, 7), [(2, 0), (1, 0)]);
        assert_eq!(starts(7, 10), [(0, 1), (0, 2)]);
        assert_eq!(starts(10, 10), [(0, 0); 2]);
    }
}
