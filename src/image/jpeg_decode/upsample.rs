//! Chroma upsampling: libjpeg-turbo's "fancy" triangle filters and replication, a row at a time.

use super::frame::{Component, Frame};

/// Lines that stay when MCUs follow. The filters look one line up from the first that is not emitted yet, which is at most
/// four lines, the largest sampling factor, above the MCUs that follow.
const KEPT: usize = 8;

/// Samples of one component: all lines, or those around the MCUs that are decoded just now.
pub(crate) struct Plane {
    pub samples: Vec<u8>,
    /// Bytes per line: the real blocks.
    pub stride: usize,
    /// The line that `samples` begin with.
    first: usize,
    width: usize,
    height: usize,
    filter: Filter,
}

/// How a component reaches the full size. The ratios and the exception for narrow images are those of `jdsample.c`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Filter {
    Copy,
    Fancy2x1,
    Fancy1x2,
    Fancy2x2,
    Replicate { x: usize, y: usize },
}

/// Scratch rows of one component.
#[derive(Default)]
pub(crate) struct Scratch {
    sums: Vec<u16>,
    row: Vec<u8>,
}

impl Filter {
    /// The filter of a component.
    pub fn of(frame: &Frame, component: &Component) -> Self {
        let x = usize::from(frame.h_max / component.h);
        let y = usize::from(frame.v_max / component.v);
        match (x, y) {
            (1, 1) => Filter::Copy,
            (2, 1) if component.width > 2 => Filter::Fancy2x1,
            (1, 2) => Filter::Fancy1x2,
            (2, 2) if component.width > 2 => Filter::Fancy2x2,
            _ => Filter::Replicate { x, y },
        }
    }
}

impl Plane {
    /// A plane for `component`, all zero.
    pub fn new(frame: &Frame, component: &Component) -> Self {
        Plane::window(frame, component, usize::MAX)
    }

    /// A plane that holds `lines` at a time and the [`KEPT`] before them, so that they stay in the cache.
    pub fn window(frame: &Frame, component: &Component, lines: usize) -> Self {
        let filter = Filter::of(frame, component);
        let stride = component.blocks_x * 8;
        let samples = vec![0; stride * lines.saturating_add(KEPT).min(component.blocks_y * 8)];
        Plane { samples, stride, first: 0, width: component.width, height: component.height, filter }
    }

    /// Makes room for the lines from `next` on: those more than [`KEPT`] before it go.
    pub fn advance(&mut self, next: usize) {
        let first = next.saturating_sub(KEPT);
        if first > self.first {
            self.samples.copy_within((first - self.first) * self.stride..(next - self.first) * self.stride, 0);
            self.first = first;
        }
    }

    /// Where the block in this column and row of blocks begins in `samples`.
    pub fn block(&self, column: usize, row: usize) -> usize {
        (row * 8 - self.first) * self.stride + column * 8
    }

    fn line(&self, y: usize) -> &[u8] {
        &self.samples[(y - self.first) * self.stride..][..self.width]
    }

    /// Row `y` of the full-size image, at least `width` samples long.
    pub fn row<'a>(&'a self, y: usize, scratch: &'a mut Scratch) -> &'a [u8] {
        match self.filter {
            Filter::Copy => self.line(y),
            Filter::Replicate { x, y: repeat } => replicate(self.line(y / repeat), x, &mut scratch.row),
            Filter::Fancy2x1 => fancy_2x1(self.line(y), &mut scratch.row),
            Filter::Fancy1x2 => {
                let (near, far) = self.near_far(y);
                fancy_1x2(near, far, 1 + (y & 1) as u16, &mut scratch.row)
            }
            Filter::Fancy2x2 => {
                let (near, far) = self.near_far(y);
                fancy_2x2(near, far, scratch)
            }
        }
    }

    /// The row that holds `y` at half height, and its neighbour on the side of `y`; the edge row is its own.
    fn near_far(&self, y: usize) -> (&[u8], &[u8]) {
        let near = y / 2;
        let far = if y & 1 == 0 { near.saturating_sub(1) } else { (near + 1).min(self.height - 1) };
        (self.line(near), self.line(far))
    }
}

fn replicate<'a>(line: &[u8], times: usize, row: &'a mut Vec<u8>) -> &'a [u8] {
    row.resize(line.len() * times, 0);
    for (out, &sample) in row.chunks_exact_mut(times).zip(line) {
        out.fill(sample);
    }
    row
}

/// 3/4 of the nearer sample and 1/4 of the further, rounded down on the left and up on the right.
fn fancy_2x1<'a>(line: &[u8], row: &'a mut Vec<u8>) -> &'a [u8] {
    let n = line.len();
    row.resize(n * 2, 0);
    let wide = |i: usize| u16::from(line[i]);
    row[0] = line[0];
    row[1] = ((wide(0) * 3 + wide(1) + 2) >> 2) as u8;
    for (window, out) in line.windows(3).zip(row[2..].chunks_exact_mut(2)) {
        let near = u16::from(window[1]) * 3;
        let left = (near + u16::from(window[0]) + 1) >> 2;
        let right = (near + u16::from(window[2]) + 2) >> 2;
        out.copy_from_slice(&(left | right << 8).to_le_bytes());
    }
    row[n * 2 - 2] = ((wide(n - 1) * 3 + wide(n - 2) + 1) >> 2) as u8;
    row[n * 2 - 1] = line[n - 1];
    row
}

fn fancy_1x2<'a>(near: &[u8], far: &[u8], bias: u16, row: &'a mut Vec<u8>) -> &'a [u8] {
    row.resize(near.len(), 0);
    for ((out, &near), &far) in row.iter_mut().zip(near).zip(far) {
        *out = ((u16::from(near) * 3 + u16::from(far) + bias) >> 2) as u8;
    }
    row
}

/// The 2x1 filter on column sums `3 * near + far`.
fn fancy_2x2<'a>(near: &[u8], far: &[u8], scratch: &'a mut Scratch) -> &'a [u8] {
    let n = near.len();
    scratch.sums.resize(n, 0);
    scratch.row.resize(n * 2, 0);
    let (sums, row) = (&mut scratch.sums[..n], &mut scratch.row[..n * 2]);
    for ((sum, &near), &far) in sums.iter_mut().zip(near).zip(far) {
        *sum = u16::from(near) * 3 + u16::from(far);
    }
    row[0] = ((sums[0] * 4 + 8) >> 4) as u8;
    row[1] = ((sums[0] * 3 + sums[1] + 7) >> 4) as u8;
    for (window, out) in sums.windows(3).zip(row[2..].chunks_exact_mut(2)) {
        let middle = window[1] * 3;
        let left = (middle + window[0] + 8) >> 4;
        let right = (middle + window[2] + 7) >> 4;
        out.copy_from_slice(&(left | right << 8).to_le_bytes());
    }
    row[n * 2 - 2] = ((sums[n - 1] * 3 + sums[n - 2] + 8) >> 4) as u8;
    row[n * 2 - 1] = ((sums[n - 1] * 4 + 7) >> 4) as u8;
    row
}
