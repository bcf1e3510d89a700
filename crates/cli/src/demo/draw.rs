//! Procedural drawings: one filled shape per image, over a gradient with clutter and noise.
//!
//! A drawing is a function of (seed, index) alone. Shapes are signed distances (negative inside), so that edges are
//! antialiased at any size; polygons use the winding form of point-in-polygon together with the distance to the nearest edge.

use std::f32::consts::{PI, TAU};

/// Class names; a label is an index into this list, and so is a logit of the demo model.
pub const CLASSES: [&str; 12] = [
    "arrow",
    "bar",
    "circle",
    "crescent",
    "cross",
    "frame",
    "heart",
    "ring",
    "semicircle",
    "square",
    "star",
    "triangle",
];

/// An RGB drawing, row-major, 3 bytes a pixel.
pub struct Drawing {
    pub width: usize,
    pub height: usize,
    /// Index into [`CLASSES`].
    pub label: usize,
    pub rgb: Vec<u8>,
}

/// SplitMix64 (Steele, Lea, Flood 2014): small, seedable by any value, good enough for drawings.
pub struct Rng(u64);

impl Rng {
    /// The generator of item `index` under `seed`.
    pub fn new(seed: u64, index: u64) -> Self {
        let mut rng = Rng(seed ^ index.wrapping_mul(0xD1B5_4A32_D192_ED03));
        rng.next();
        rng
    }

    /// The next 64 random bits.
    pub fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9E37_79B9_7F4A_7C15);
        let mut z = self.0;
        z = (z ^ (z >> 30)).wrapping_mul(0xBF58_476D_1CE4_E5B9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94D0_49BB_1331_11EB);
        z ^ (z >> 31)
    }

    /// A number in 0..n.
    pub fn below(&mut self, n: u64) -> u64 {
        ((u128::from(self.next()) * u128::from(n)) >> 64) as u64
    }

    /// A float in lo..hi.
    pub fn range(&mut self, lo: f32, hi: f32) -> f32 {
        lo + (hi - lo) * ((self.next() >> 40) as f32 / (1u64 << 24) as f32)
    }

    /// True with this probability.
    pub fn chance(&mut self, p: f32) -> bool {
        self.range(0.0, 1.0) < p
    }
}

type Point = [f32; 2];
type Color = [f32; 3];

/// A shape inside the unit circle.
enum Shape {
    Polygon(Vec<Point>),
    Distance(fn(Point) -> f32),
}

impl Shape {
    fn of_class(label: usize, rng: &mut Rng) -> Shape {
        match CLASSES[label] {
            "arrow" => Shape::Polygon(vec![
                [1.0, 0.0],
                [0.15, 0.75],
                [0.15, 0.28],
                [-0.95, 0.28],
                [-0.95, -0.28],
                [0.15, -0.28],
                [0.15, -0.75],
            ]),
            "bar" => Shape::Polygon(rectangle(1.0, rng.range(0.2, 0.3))),
            "circle" => Shape::Distance(|p| length(p) - 0.85),
            "crescent" => Shape::Distance(|[x, y]| (length([x, y]) - 0.92).max(0.75 - length([x - 0.45, y]))),
            "cross" => Shape::Polygon(cross(0.95, rng.range(0.24, 0.34))),
            "frame" => Shape::Distance(|p| box_distance(p, 0.6).abs() - 0.12),
            "heart" => Shape::Distance(heart),
            "ring" => Shape::Distance(|p| (length(p) - 0.74).abs() - 0.16),
            "semicircle" => Shape::Distance(|[x, y]| (length([x, y + 0.4]) - 0.95).max(-0.4 - y)),
            "square" => Shape::Polygon(rectangle(0.7, 0.7)),
            "star" => Shape::Polygon(star(5, 1.0, rng.range(0.38, 0.45))),
            _ => Shape::Polygon(star(3, 1.0, 0.5)), // a triangle's edge midpoints are at half its radius
        }
    }

    fn distance(&self, p: Point) -> f32 {
        match self {
            Shape::Polygon(points) => polygon_distance(points, p),
            Shape::Distance(f) => f(p),
        }
    }
}

fn length([x, y]: Point) -> f32 {
    x.hypot(y)
}

fn rectangle(a: f32, b: f32) -> Vec<Point> {
    vec![[a, b], [-a, b], [-a, -b], [a, -b]]
}

fn cross(reach: f32, half: f32) -> Vec<Point> {
    let corner = [[reach, half], [half, half], [half, reach]];
    let turn = |quarter: usize, [x, y]: Point| [[x, y], [-y, x], [-x, -y], [y, -x]][quarter];
    // Walking counter-clockwise, each quarter contributes the same three corners, turned.
    (0..4).flat_map(|q| corner.map(|p| turn(q, p))).collect()
}

fn star(points: usize, outer: f32, inner: f32) -> Vec<Point> {
    let vertex = |i: usize| {
        let angle = PI * i as f32 / points as f32;
        let radius = if i.is_multiple_of(2) { outer } else { inner };
        [radius * angle.cos(), radius * angle.sin()]
    };
    (0..2 * points).map(vertex).collect()
}

fn box_distance([x, y]: Point, half: f32) -> f32 {
    let (dx, dy) = (x.abs() - half, y.abs() - half);
    length([dx.max(0.0), dy.max(0.0)]) + dx.max(dy).min(0.0)
}

/// The sextic heart curve (x^2 + y^2 - 1)^3 = x^2 y^3, divided by its gradient to first order.
fn heart([x, y]: Point) -> f32 {
    let (x, y) = (x * 1.25, y * 1.25 + 0.1);
    let a = x * x + y * y - 1.0;
    let value = a * a * a - x * x * y * y * y;
    let gradient = [6.0 * x * a * a - 2.0 * x * y * y * y, 6.0 * y * a * a - 3.0 * x * x * y * y];
    value / (1.25 * length(gradient)).max(0.2)
}

fn polygon_distance(points: &[Point], [px, py]: Point) -> f32 {
    let mut nearest = f32::MAX;
    let mut inside = false;
    let mut previous = points[points.len() - 1];
    for &[x, y] in points {
        let [ex, ey] = [previous[0] - x, previous[1] - y];
        let [wx, wy] = [px - x, py - y];
        let t = ((wx * ex + wy * ey) / (ex * ex + ey * ey)).clamp(0.0, 1.0);
        nearest = nearest.min(length([wx - t * ex, wy - t * ey]));
        if (y > py) != (previous[1] > py) && px < x + ex * (py - y) / ey {
            inside = !inside;
        }
        previous = [x, y];
    }
    if inside { -nearest } else { nearest }
}

fn color(rng: &mut Rng) -> Color {
    [rng.range(10.0, 245.0), rng.range(10.0, 245.0), rng.range(10.0, 245.0)]
}

fn luma([r, g, b]: Color) -> f32 {
    0.299 * r + 0.587 * g + 0.114 * b
}

/// A colour that stands out from the background by brightness too, so that gray JPEGs keep the shape.
fn contrasting(rng: &mut Rng, background: &[Color; 2]) -> Color {
    let mut best = ([0.0; 3], -1.0);
    for _ in 0..24 {
        let candidate = color(rng);
        let contrast = background.iter().map(|b| (luma(*b) - luma(candidate)).abs()).fold(f32::MAX, f32::min);
        if contrast > best.1 {
            best = (candidate, contrast);
        }
        if contrast > 60.0 {
            break;
        }
    }
    best.0
}

/// Background: a linear gradient between two near colours, faint straight stripes, and noise.
struct Background {
    ends: [Color; 2],
    direction: Point,
    stripes: Option<(Point, f32, f32)>,
    noise: f32,
}

impl Background {
    fn new(rng: &mut Rng) -> Self {
        let start = color(rng);
        let end = start.map(|c| (c + rng.range(-55.0, 55.0)).clamp(0.0, 255.0));
        let angle = rng.range(0.0, TAU);
        let direction = [angle.cos(), angle.sin()];
        let stripes = rng.chance(0.35).then(|| {
            let angle = rng.range(0.0, TAU);
            ([angle.cos(), angle.sin()], rng.range(6.0, 20.0), rng.range(4.0, 14.0))
        });
        Background { ends: [start, end], direction, stripes, noise: rng.range(0.0, 16.0) }
    }

    /// The colour at (u, v), both about -1..1 within the shorter side.
    fn at(&self, [u, v]: Point) -> Color {
        let t = (0.5 + 0.5 * (u * self.direction[0] + v * self.direction[1])).clamp(0.0, 1.0);
        let ripple = self.stripes.map_or(0.0, |([x, y], frequency, depth)| depth * (frequency * (u * x + v * y)).sin());
        std::array::from_fn(|c| self.ends[0][c] + t * (self.ends[1][c] - self.ends[0][c]) + ripple)
    }
}

/// Draws item `index` of `seed`. The shape lies within the centre square, so that a centre crop keeps it.
pub fn draw(seed: u64, index: u64) -> Drawing {
    let mut rng = Rng::new(seed, index);
    let label = rng.below(CLASSES.len() as u64) as usize;
    let (width, height) = size(&mut rng);
    let shorter = width.min(height) as f32;
    let shape = Shape::of_class(label, &mut rng);
    let background = Background::new(&mut rng);
    let ink = contrasting(&mut rng, &background.ends);
    let radius = shorter * rng.range(0.24, 0.42);
    let slack = shorter * 0.46 - radius;
    let centre = [
        width as f32 / 2.0 + rng.range(-slack, slack).clamp(-0.1 * shorter, 0.1 * shorter),
        height as f32 / 2.0 + rng.range(-slack, slack).clamp(-0.1 * shorter, 0.1 * shorter),
    ];
    let (sin, cos) = rng.range(0.0, TAU).sin_cos();

    let mut rgb = Vec::with_capacity(width * height * 3);
    for y in 0..height {
        for x in 0..width {
            let (fx, fy) = (x as f32 + 0.5, y as f32 + 0.5);
            let uv = [(fx - width as f32 / 2.0) * 2.0 / shorter, (fy - height as f32 / 2.0) * 2.0 / shorter];
            let under = background.at(uv);
            let [dx, dy] = [(fx - centre[0]) / radius, (fy - centre[1]) / radius];
            // Outside the unit circle with a pixel of margin there is no ink: skip the distance.
            let cover = if length([dx, dy]) > 1.1 + 1.0 / radius {
                0.0
            } else {
                (0.5 - shape.distance([cos * dx + sin * dy, cos * dy - sin * dx]) * radius).clamp(0.0, 1.0)
            };
            let grain = background.noise * rng.range(-1.0, 1.0);
            rgb.extend((0..3).map(|c| (under[c] + cover * (ink[c] - under[c]) + grain).clamp(0.0, 255.0) as u8));
        }
    }
    Drawing { width, height, label, rgb }
}

/// Mostly thumbnails, some photographs' shapes, odd sizes included.
fn size(rng: &mut Rng) -> (usize, usize) {
    let shorter = match rng.below(10) {
        0..=1 => rng.range(64.0, 97.0),
        2..=7 => rng.range(96.0, 257.0),
        _ => rng.range(256.0, 481.0),
    };
    let longer = shorter * if rng.chance(0.3) { 1.0 } else { rng.range(1.0, 1.8) };
    let (shorter, longer) = (shorter as usize, longer as usize);
    if rng.chance(0.5) { (longer, shorter) } else { (shorter, longer) }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_drawing_is_a_function_of_seed_and_index() {
        let (a, b, c) = (draw(7, 3), draw(7, 3), draw(7, 4));
        assert_eq!((a.width, a.height, a.label, &a.rgb), (b.width, b.height, b.label, &b.rgb));
        assert_ne!(a.rgb, c.rgb);
        assert_eq!(a.rgb.len(), a.width * a.height * 3);
    }

    #[test]
    fn every_class_is_inked_at_its_heart_or_rim_and_clear_outside() {
        for (label, class) in CLASSES.iter().enumerate() {
            let shape = Shape::of_class(label, &mut Rng::new(1, 1));
            let samples: Vec<f32> = (0..41 * 41)
                .map(|i| shape.distance([(i % 41) as f32 / 20.0 - 1.0, (i / 41) as f32 / 20.0 - 1.0]))
                .collect();
            let share = samples.iter().filter(|d| **d < 0.0).count() as f32 / samples.len() as f32;
            assert!((0.1..0.8).contains(&share), "{class}: {share} of the unit square inked");
            for angle in 0..16 {
                let (sin, cos) = (angle as f32 * PI / 8.0).sin_cos();
                assert!(shape.distance([1.15 * cos, 1.15 * sin]) > 0.0, "{class} leaves the unit circle");
            }
        }
    }
}
