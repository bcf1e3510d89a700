//! Random choices of a row: draws by number from the seed and the row's identity, and torchvision's random crop.

use super::RandomCrop;

/// The golden ratio's step of SplitMix64.
const STEP: u64 = 0x9e37_79b9_7f4a_7c15;

/// Numbers of the draws; a random crop's attempts take [`DRAWS_OF_ATTEMPT`] each from [`FIRST_ATTEMPT`] on. Fixed, so
/// that no option changes what another one draws.
const HFLIP: u64 = 0;
const VFLIP: u64 = 1;
const FIRST_ATTEMPT: u64 = 2;
const DRAWS_OF_ATTEMPT: u64 = 4;

/// Attempts of a random crop before it falls back to the centre, as in torchvision.
const ATTEMPTS: u64 = 10;

/// A part of an image.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Part {
    pub left: u32,
    pub top: u32,
    pub width: u32,
    pub height: u32,
}

/// The draws of one row. [`Resize`](super::Resize) documents them.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Draws {
    start: u64,
}

/// SplitMix64's finaliser (Steele, Lea and Flood, 2014).
fn mix(z: u64) -> u64 {
    let z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    let z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
    z ^ (z >> 31)
}

impl Draws {
    pub fn new(seed: u64, id: u64) -> Self {
        Draws { start: mix((mix(seed.wrapping_add(STEP)) ^ id).wrapping_add(STEP)) }
    }

    fn draw(&self, number: u64) -> u64 {
        mix(self.start.wrapping_add((number + 1).wrapping_mul(STEP)))
    }

    /// From 0 to below 1.
    fn unit(&self, number: u64) -> f64 {
        (self.draw(number) >> 11) as f64 / (1u64 << 53) as f64
    }

    /// From `low` to `high`.
    fn between(&self, number: u64, low: f64, high: f64) -> f64 {
        low + self.unit(number) * (high - low)
    }

    /// From 0 to below `n`.
    fn place(&self, number: u64, n: u32) -> u32 {
        ((u128::from(self.draw(number)) * u128::from(n)) >> 64) as u32
    }

    pub fn hflip(&self, probability: f64) -> bool {
        self.unit(HFLIP) < probability
    }

    pub fn vflip(&self, probability: f64) -> bool {
        self.unit(VFLIP) < probability
    }

    /// torchvision's `RandomResizedCrop.get_params`, in double precision throughout.
    pub fn part(&self, width: u32, height: u32, crop: &RandomCrop) -> Part {
        let area = (u64::from(width) * u64::from(height)) as f64;
        let log_ratio = (crop.ratio.0.ln(), crop.ratio.1.ln());
        for attempt in 0..ATTEMPTS {
            let first = FIRST_ATTEMPT + attempt * DRAWS_OF_ATTEMPT;
            let target = area * self.between(first, crop.scale.0, crop.scale.1);
            let aspect = self.between(first + 1, log_ratio.0, log_ratio.1).exp();
            // Python's round goes to even; `as` saturates, and what is too large does not fit.
            let w = (target * aspect).sqrt().round_ties_even() as u32;
            let h = (target / aspect).sqrt().round_ties_even() as u32;
            if (1..=width).contains(&w) && (1..=height).contains(&h) {
                let top = self.place(first + 2, height - h + 1);
                let left = self.place(first + 3, width - w + 1);
                return Part { left, top, width: w, height: h };
            }
        }
        central(width, height, crop.ratio)
    }
}

/// The largest centred part whose aspect ratio is in range.
fn central(width: u32, height: u32, (least, most): (f64, f64)) -> Part {
    let ratio = f64::from(width) / f64::from(height);
    // Rounding may pass the image by nothing, and may reach 0, where one pixel is taken.
    let length = |value: f64, most: u32| (value.round_ties_even() as u32).clamp(1, most);
    let (w, h) = if ratio < least {
        (width, length(f64::from(width) / least, height))
    } else if ratio > most {
        (length(f64::from(height) * most, width), height)
    } else {
        (width, height)
    };
    Part { left: (width - w) / 2, top: (height - h) / 2, width: w, height: h }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn draws_are_as_documented() {
        // From the definition, in Python: see tests/golden/make_resize.py, `draw`.
        let draws = Draws::new(7, 3);
        assert_eq!([draws.draw(0), draws.draw(1), draws.draw(45)], GOLDEN);
    }

    const GOLDEN: [u64; 3] = [0x9c1b_0b5b_3e06_cf11, 0xe7aa_ae83_73ac_3545, 0x71c4_a586_fea4_1631];

    #[test]
    fn certain_flips_need_no_luck() {
        for id in 0..1000 {
            let draws = Draws::new(1, id);
            assert!(draws.hflip(1.0) && draws.vflip(1.0) && !draws.hflip(0.0) && !draws.vflip(0.0));
        }
    }

    #[test]
    fn parts_lie_in_the_image() {
        let crops = [RandomCrop::default(), RandomCrop { scale: (1e-9, 50.0), ratio: (1e-6, 1e6) }];
        for (width, height) in [(1, 1), (1, 60_000), (60_000, 1), (500, 375), (1 << 24, 1 << 24)] {
            for id in 0..200 {
                for crop in &crops {
                    let part = Draws::new(0, id).part(width, height, crop);
                    assert!(part.width > 0 && part.left + part.width <= width, "{part:?}");
                    assert!(part.height > 0 && part.top + part.height <= height, "{part:?}");
                }
            }
        }
    }
}
