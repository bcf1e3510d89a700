//! Output geometry and the plan of a batch: which pixels each image computes, from which tables, in which order.

use std::collections::HashMap;

use rayon::prelude::*;

use super::table::{AxisTable, TableKey};
use super::{Crop, Resize, Target};
use crate::error::{Error, Result};
use crate::image::rgb::ImageRow;
use crate::image::{Images, Interpolation};

/// Pillow's limit on the pixels of an image (`MAX_IMAGE_PIXELS`), here on what one resize may produce.
pub const MAX_PIXELS: u64 = 178_956_970;

/// Longest side of a source image: Pillow keeps the source box in single precision, exact up to here.
const MAX_SIDE: u32 = 1 << 24;

/// One axis of one image.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Axis {
    /// First of the source pixels that are read.
    pub source_start: u32,
    /// Number of source pixels that are read.
    pub source_len: u32,
    /// Index of the table in the batch plan; `None` where source pixels are taken as they are.
    pub table: Option<usize>,
    /// First pixel of the canvas that the image covers.
    pub canvas_start: u32,
    /// Number of canvas pixels that the image covers.
    pub canvas_len: u32,
    /// Length of the canvas: the result's.
    pub canvas: u32,
}

/// Which axis is resampled first; pixels are rounded to bytes in between, so the order shows in the result.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Order {
    HorizontalFirst,
    VerticalFirst,
}

/// What one image computes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct ImagePlan {
    pub source: ImageRow,
    pub x: Axis,
    pub y: Axis,
    pub order: Order,
}

impl ImagePlan {
    /// Width and height of the bytes between the two passes; `None` when at most one pass is needed.
    pub fn between(&self) -> Option<(u32, u32)> {
        (self.x.table.is_some() && self.y.table.is_some()).then_some(match self.order {
            Order::HorizontalFirst => (self.x.canvas_len, self.y.source_len),
            Order::VerticalFirst => (self.x.source_len, self.y.canvas_len),
        })
    }

    /// Width and height of the result.
    pub fn canvas(&self) -> (u32, u32) {
        (self.x.canvas, self.y.canvas)
    }

    /// Whether some of the canvas is not covered by the image.
    pub fn is_padded(&self) -> bool {
        self.x.canvas_len < self.x.canvas || self.y.canvas_len < self.y.canvas
    }
}

/// The plan of a batch; images of equal sizes share their tables.
#[derive(Debug)]
pub(crate) struct BatchPlan {
    pub images: Vec<Option<ImagePlan>>,
    pub tables: Vec<AxisTable>,
}

impl BatchPlan {
    pub fn new(op: &'static str, images: &Images, resize: &Resize) -> Result<Self> {
        let mut keys = Keys::default();
        let images = images
            .rows()
            .iter()
            .enumerate()
            .map(|(row, image)| {
                let plan = image.map(|image| plan_image(image, resize, &mut keys)).transpose();
                plan.map_err(|why| Error::InvalidInput { op, column: None, row: Some(row as u64), why })
            })
            .collect::<Result<Vec<_>>>()?;
        let mut tables: Vec<AxisTable> = keys.order.par_iter().map(AxisTable::new).collect();
        let mut plan = BatchPlan { images, tables: Vec::new() };
        plan.narrow(&mut tables);
        plan.tables = tables;
        Ok(plan)
    }

    /// Whether every image comes out as it went in.
    pub fn keeps_pixels(&self) -> bool {
        self.images.iter().flatten().all(|image| {
            let size = (image.source.width, image.source.height);
            image.x.table.is_none() && image.y.table.is_none() && !image.is_padded() && image.canvas() == size
        })
    }

    /// Makes tables and axes relative to the first source pixel that the table reads.
    fn narrow(&mut self, tables: &mut [AxisTable]) {
        let ranges: Vec<(u32, u32)> = tables.iter().map(AxisTable::source_range).collect();
        for (table, (start, _)) in tables.iter_mut().zip(&ranges) {
            table.taps.iter_mut().filter(|t| t.count > 0).for_each(|t| t.start -= start);
        }
        for plan in self.images.iter_mut().flatten() {
            for axis in [&mut plan.x, &mut plan.y] {
                if let Some(table) = axis.table {
                    let (start, end) = ranges[table];
                    (axis.source_start, axis.source_len) = (start, end - start);
                }
            }
        }
    }
}

/// Table keys in order of first use.
#[derive(Default)]
struct Keys {
    order: Vec<TableKey>,
    index: HashMap<TableKey, usize>,
}

impl Keys {
    fn intern(&mut self, key: TableKey) -> usize {
        *self.index.entry(key).or_insert_with(|| {
            self.order.push(key);
            self.order.len() - 1
        })
    }
}

fn plan_image(image: ImageRow, resize: &Resize, keys: &mut Keys) -> std::result::Result<ImagePlan, String> {
    let (width, height) = (image.width, image.height);
    if width.max(height) > MAX_SIDE {
        return Err(format!("{width} x {height} pixels: the longest side is more than {MAX_SIDE} pixels"));
    }
    let (out_w, out_h) = resized(width, height, resize.target)?;
    let crop = resize.crop.unwrap_or(Crop { width: out_w, height: out_h });
    let mut axis = |source, resized, canvas| plan_axis(source, resized, canvas, resize.interpolation, keys);
    let plan = ImagePlan {
        source: image,
        x: axis(width, out_w, crop.width),
        y: axis(height, out_h, crop.height),
        order: order(width, height, out_h),
    };
    let (between_w, between_h) = plan.between().unwrap_or_default();
    for (w, h) in [plan.canvas(), (between_w, between_h)] {
        if u64::from(w) * u64::from(h) > MAX_PIXELS {
            return Err(format!("{width} x {height} pixels need {w} x {h} here, the limit is {MAX_PIXELS} pixels"));
        }
    }
    Ok(plan)
}

/// Pillow 12 resizes images more than 100 times as tall as wide vertically first where that makes them smaller
/// (`Image.resize`), all others horizontally first.
fn order(width: u32, height: u32, out_h: u32) -> Order {
    match u64::from(height) > 100 * u64::from(width) && out_h < height {
        true => Order::VerticalFirst,
        false => Order::HorizontalFirst,
    }
}

/// Width and height of the whole resized image, before any crop.
fn resized(width: u32, height: u32, target: Target) -> std::result::Result<(u32, u32), String> {
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
    }
}

/// One axis: a source of `source` pixels resized to `resized`, then cropped or padded about its centre to `canvas`.
fn plan_axis(source: u32, resized: u32, canvas: u32, interpolation: Interpolation, keys: &mut Keys) -> Axis {
    // torchvision's center_crop: pads (canvas - resized) // 2 first, else crops at int(round(difference / 2)).
    let (canvas_start, first) = match canvas > resized {
        true => ((canvas - resized) / 2, 0),
        false => (0, half_to_even(resized - canvas)),
    };
    let len = canvas.min(resized);
    // A pass that keeps the size changes nothing: every weight off the centre rounds to 0.
    let table = (source != resized)
        .then(|| keys.intern(TableKey { in_len: source, out_len: resized, first, len, interpolation }));
    Axis { source_start: first, source_len: len, table, canvas_start, canvas_len: len, canvas }
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
}
