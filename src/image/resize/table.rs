//! Resampling weights of one axis, as Pillow 12 computes them.
//!
//! Algorithm: Pillow's `precompute_coeffs` and `normalize_coeffs_8bpc` (src/libImaging/Resample.c) and, for nearest,
//! `ImagingScaleAffine` (Geometry.c). Operations on doubles are in the same order, so that the integer weights are equal.

use crate::image::Interpolation;

/// Fraction bits of a weight: 8 bits of pixel and 2 of overshoot are left in 32.
pub(crate) const PRECISION_BITS: u32 = 32 - 8 - 2;

/// Half a unit of the result, added before the shift.
pub(crate) const ROUND: i32 = 1 << (PRECISION_BITS - 1);

/// What decides a table: axis lengths, the part of the output that is wanted, the filter.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(crate) struct TableKey {
    pub in_len: u32,
    pub out_len: u32,
    /// First output pixel wanted.
    pub first: u32,
    /// Number of output pixels wanted.
    pub len: u32,
    pub interpolation: Interpolation,
}

/// The source pixels of one output pixel: `count` from `start`; their weights begin at `weights` in the table.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Taps {
    pub start: u32,
    pub count: u32,
    pub weights: u32,
}

/// Taps and integer weights for a run of output pixels along one axis.
#[derive(Debug)]
pub(crate) struct AxisTable {
    pub taps: Vec<Taps>,
    pub weights: Vec<i32>,
}

impl AxisTable {
    pub fn new(key: &TableKey) -> Self {
        match key.interpolation.support() {
            Some(support) => Self::filtered(key, support),
            None => Self::nearest(key),
        }
    }

    /// The weights of one output pixel.
    pub fn weights_of(&self, taps: &Taps) -> &[i32] {
        &self.weights[taps.weights as usize..][..taps.count as usize]
    }

    /// The source range that the run reads: start and one past the end; empty where every pixel is off the image.
    pub fn source_range(&self) -> (u32, u32) {
        let used = || self.taps.iter().filter(|t| t.count > 0);
        let start = used().map(|t| t.start).min().unwrap_or(0);
        (start, used().map(|t| t.start + t.count).max().unwrap_or(start))
    }

    fn filtered(key: &TableKey, support: f64) -> Self {
        let scale = f64::from(key.in_len) / f64::from(key.out_len);
        let filter_scale = scale.max(1.0);
        let support = support * filter_scale;
        let inverse = 1.0 / filter_scale;
        let mut table = AxisTable { taps: Vec::with_capacity(key.len as usize), weights: Vec::new() };
        let mut window = Vec::new();
        for x in key.first..key.first + key.len {
            let center = (f64::from(x) + 0.5) * scale;
            // `as` truncates towards zero, as C does.
            let start = ((center - support + 0.5) as i64).max(0);
            let end = ((center + support + 0.5) as i64).min(i64::from(key.in_len)).max(start);
            window.clear();
            window.extend((0..end - start).map(|i| {
                let distance = (i + start) as f64 - center + 0.5;
                key.interpolation.weight(distance * inverse)
            }));
            let sum: f64 = window.iter().fold(0.0, |sum, w| sum + w);
            let weights = table.weights.len() as u32;
            table.weights.extend(window.iter().map(|w| to_fixed(if sum != 0.0 { w / sum } else { *w })));
            table.taps.push(Taps { start: start as u32, count: (end - start) as u32, weights });
        }
        table
    }

    /// Nearest as one tap of weight 1. The position is a running sum, as in Pillow: past the first pixels it is not
    /// equal to a product. A pixel that rounding puts off the image has no tap and comes out black.
    fn nearest(key: &TableKey) -> Self {
        let step = f64::from(key.in_len) / f64::from(key.out_len);
        let mut position = step * 0.5;
        for _ in 0..key.first {
            position += step;
        }
        let taps = (0..key.len).map(|_| {
            let start = position as u32;
            position += step;
            if start < key.in_len { Taps { start, count: 1, weights: 0 } } else { Taps::default() }
        });
        AxisTable { taps: taps.collect(), weights: vec![1 << PRECISION_BITS] }
    }
}

/// Rounds half away from zero to 22 fraction bits.
fn to_fixed(weight: f64) -> i32 {
    let scaled = weight * f64::from(1 << PRECISION_BITS);
    (if weight < 0.0 { scaled - 0.5 } else { scaled + 0.5 }) as i32
}
