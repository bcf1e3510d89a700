//! Block smoothing of incomplete progressive files, as libjpeg-turbo 2.1 and newer do it.
//!
//! While the first nine AC coefficients of a block are not known to full precision, those that are still zero are
//! estimated from the DC values of the 5 x 5 blocks around it (ITU-T T.81, Section K.8, extended from 3 x 3). If no AC
//! coefficient is known at all, other weights are used and the DC value itself is replaced.

use super::coefficients::{Coefficients, Progress};
use super::frame::{Component, Frame};
use super::idct;
use super::markers::NATURAL;
use super::sequential::Block;
use super::upsample::Plane;

type Weights = [[i32; 5]; 5];

/// How many coefficients take part, the DC one included.
const SAVED: usize = 10;

/// Weights of the DC values for the coefficients at zigzag positions 1 to 5 when some AC data are there.
const WITH_AC: [Weights; 5] = [
    [[0; 5], [0; 5], [-7, 50, 0, -50, 7], [0; 5], [0; 5]],
    [[0, 0, -7, 0, 0], [0, 0, 50, 0, 0], [0; 5], [0, 0, -50, 0, 0], [0, 0, 7, 0, 0]],
    [[0, 0, -1, 0, 0], [0, 0, 13, 0, 0], [0, 0, -24, 0, 0], [0, 0, 13, 0, 0], [0, 0, -1, 0, 0]],
    [[0, -1, 0, 1, 0], [-1, 10, 0, -10, 1], [0; 5], [1, -10, 0, 10, -1], [0, 1, 0, -1, 0]],
    [[0; 5], [0; 5], [-1, 13, -24, 13, -1], [0; 5], [0; 5]],
];

/// Weights for positions 1 to 9 when there are DC data only.
const DC_ONLY: [Weights; 9] = [
    [[-1, -1, 0, 1, 1], [-3, 13, 0, -13, 3], [-3, 38, 0, -38, 3], [-3, 13, 0, -13, 3], [-1, -1, 0, 1, 1]],
    [[-1, -3, -3, -3, -1], [-1, 13, 38, 13, -1], [0; 5], [1, -13, -38, -13, 1], [1, 3, 3, 3, 1]],
    [[0, 0, 1, 0, 0], [0, 2, 7, 2, 0], [0, -5, -14, -5, 0], [0, 2, 7, 2, 0], [0, 0, 1, 0, 0]],
    [[-1, 0, 0, 0, 1], [0, 9, 0, -9, 0], [0; 5], [0, -9, 0, 9, 0], [1, 0, 0, 0, -1]],
    [[0; 5], [0, 2, -5, 2, 0], [1, 7, -14, 7, 1], [0, 2, -5, 2, 0], [0; 5]],
    [[0; 5], [0, 1, 0, -1, 0], [0, 2, 0, -2, 0], [0, 1, 0, -1, 0], [0; 5]],
    [[0; 5], [0, 1, -3, 1, 0], [0; 5], [0, -1, 3, -1, 0], [0; 5]],
    [[0; 5], [0, 1, 0, -1, 0], [0, -3, 0, 3, 0], [0, 1, 0, -1, 0], [0; 5]],
    [[0; 5], [0, 1, 2, 1, 0], [0; 5], [0, -1, -2, -1, 0], [0; 5]],
];

/// Weights for the DC value itself, when there are DC data only; they sum to 256.
const DC_ITSELF: Weights =
    [[-2, -6, -8, -6, -2], [-6, 6, 42, 6, -6], [-8, 42, 152, 42, -8], [-6, 6, 42, 6, -6], [-2, -6, -8, -6, -2]];

/// Whether smoothing applies: some of the first nine AC coefficients are imprecise, the DC of every component is
/// known, and no quantiser involved is zero.
pub(crate) fn applies(frame: &Frame, progress: &Progress) -> bool {
    let usable = |(component, bits): (&Component, &[i32; 64])| {
        let nonzero = |q: [u16; 64]| NATURAL[..SAVED].iter().all(|&i| q[usize::from(i)] != 0);
        component.quant.is_some_and(nonzero) && bits[0] >= 0
    };
    frame.progressive
        && frame.components.iter().zip(&progress.bits).all(usable)
        && progress.bits.iter().any(|bits| bits[1..SAVED].iter().any(|&b| b != 0))
}

/// Transforms all blocks into planes, smoothing them.
pub(crate) fn to_planes(frame: &Frame, coefficients: &[Coefficients], progress: &Progress) -> Vec<Plane> {
    let planes = frame.components.iter().zip(coefficients).enumerate().map(|(index, (component, coefficients))| {
        let mut plane = Plane::new(frame, component);
        let current = &progress.bits[index];
        // Rows that the last scan had no data for are judged by the scan before it.
        let before = if progress.scans > 1 { progress.previous[index] } else { [-1; 64] };
        let quant = component.quant.unwrap_or([1; 64]);
        for imcu_row in 0..frame.mcus_y {
            let bits = if imcu_row > progress.last_good_row { &before } else { current };
            let smoother = Smoother { component, coefficients, quant: &quant, bits };
            smoother.imcu_row(imcu_row, frame.mcus_y, &mut plane);
        }
        plane
    });
    planes.collect()
}

struct Smoother<'a> {
    component: &'a Component,
    coefficients: &'a Coefficients,
    quant: &'a [u16; 64],
    bits: &'a [i32; 64],
}

impl Smoother<'_> {
    /// The block rows of one row of interleaved MCUs.
    fn imcu_row(&self, imcu_row: usize, imcu_rows: usize, plane: &mut Plane) {
        let v = usize::from(self.component.v);
        let first = imcu_row * v;
        let rows = v.min(self.component.blocks_y - first);
        let multipliers = self.component.multipliers();
        let stride = plane.stride;
        for row in 0..rows {
            // libjpeg numbers the rows as if every MCU row had as many as this one. In the last, shorter MCU row that
            // makes it clamp early at the top; the row numbers themselves are right.
            let (number, count) = (imcu_row * rows + row, imcu_rows * rows);
            let at = first + row;
            let above = if number > 0 { at - 1 } else { at };
            let above2 = if number > 1 { at - 2 } else { above };
            let below = if number + 1 < count { at + 1 } else { at };
            let below2 = if number + 2 < count { at + 2 } else { below };
            let window = [above2, above, at, below, below2];
            for column in 0..self.component.blocks_x {
                let block = self.block(window, column);
                let target = plane.block(column, at);
                idct::inverse(&block, &multipliers, 63, &mut plane.samples, target, stride);
            }
        }
    }

    /// One block with its estimates; `rows` are the five block rows around it.
    fn block(&self, rows: [usize; 5], column: usize) -> Block {
        let stored = |row: usize, column: usize| &self.coefficients.blocks[row * self.coefficients.stride + column];
        let last = self.component.blocks_x - 1;
        let dc: Weights = rows
            .map(|row| std::array::from_fn(|i| i32::from(stored(row, (column + i).saturating_sub(2).min(last))[0])));
        let mut block = *stored(rows[2], column);
        let dc_only = self.bits[1..SAVED].iter().all(|&b| b == -1);
        let weights: &[Weights] = if dc_only { &DC_ONLY } else { &WITH_AC };
        let q0 = i64::from(self.quant[0]);
        for (k, weights) in weights.iter().enumerate() {
            let position = usize::from(NATURAL[k + 1]);
            let precision = self.bits[k + 1];
            if precision != 0 && block[position] == 0 {
                let sum = q0 * i64::from(weigh(weights, &dc));
                block[position] = predict(sum, i64::from(self.quant[position]), precision);
            }
        }
        if dc_only {
            block[0] = predict(q0 * i64::from(weigh(&DC_ITSELF, &dc)), q0, 0);
        }
        block
    }
}

fn weigh(weights: &Weights, dc: &Weights) -> i32 {
    weights.as_flattened().iter().zip(dc.as_flattened()).map(|(w, d)| w * d).sum()
}

/// `sum / (256 q)`, rounded half away from zero, below the precision already known.
fn predict(sum: i64, q: i64, precision: i32) -> i16 {
    let mut size = ((q << 7) + sum.abs()) / (q << 8);
    if precision > 0 {
        size = size.min((1 << precision) - 1);
    }
    (if sum < 0 { -size } else { size }) as i16
}
