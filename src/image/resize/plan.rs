//! The plan of a batch: which pixels each image computes, from which tables, in which order.

use std::collections::HashMap;

use rayon::prelude::*;

use super::Resize;
use super::geometry::{PlacedAxis, place, resized};
use super::random::{Draws, Part};
use super::table::{AxisTable, TableKey};
use crate::error::{Error, Result};
use crate::image::Images;
use crate::image::rgb::ImageRow;

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
    /// First pixel of the canvas that the image covers, before a flip.
    pub canvas_start: u32,
    /// Number of canvas pixels that the image covers.
    pub canvas_len: u32,
    /// Length of the canvas: the result's.
    pub canvas: u32,
    /// Whether the canvas is turned round at the end.
    pub flip: bool,
}

impl Axis {
    /// First pixel of the result that the image covers: of the canvas after a flip.
    pub fn covered_start(&self) -> u32 {
        match self.flip {
            true => self.canvas - self.canvas_start - self.canvas_len,
            false => self.canvas_start,
        }
    }
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
    /// Red, green and blue of what the image leaves free of its canvas.
    pub fill: [u8; 3],
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
                let draws = Draws::new(resize.seed, images.row_id(row));
                let plan = image.map(|image| plan_image(image, resize, &draws, &mut keys)).transpose();
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
            let kept = |axis: &Axis| axis.table.is_none() && !axis.flip;
            kept(&image.x) && kept(&image.y) && !image.is_padded() && image.canvas() == size
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
                    // Up to here `source_start` is where the random crop begins.
                    (axis.source_start, axis.source_len) = (axis.source_start + start, end - start);
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

fn plan_image(
    image: ImageRow,
    resize: &Resize,
    draws: &Draws,
    keys: &mut Keys,
) -> std::result::Result<ImagePlan, String> {
    let (width, height) = (image.width, image.height);
    if width.max(height) > MAX_SIDE {
        return Err(format!("{width} x {height} pixels: the longest side is more than {MAX_SIDE} pixels"));
    }
    let part = match &resize.random_crop {
        Some(crop) => draws.part(width, height, crop),
        None => Part { left: 0, top: 0, width, height },
    };
    let (out_w, out_h) = resized(part.width, part.height, resize.target)?;
    let placed = place(resize, (out_w, out_h))?;
    let mut axis = |source_start, source_len, out_len, placed: PlacedAxis, flip| {
        let (first, len) = (placed.first, placed.len);
        // A pass that keeps the size changes nothing: every weight off the centre rounds to 0.
        let table = (source_len != out_len).then(|| {
            keys.intern(TableKey { in_len: source_len, out_len, first, len, interpolation: resize.interpolation })
        });
        Axis {
            source_start: if table.is_some() { source_start } else { source_start + first },
            source_len: len,
            table,
            canvas_start: placed.start,
            canvas_len: len,
            canvas: placed.canvas,
            flip,
        }
    };
    let plan = ImagePlan {
        source: image,
        x: axis(part.left, part.width, out_w, placed.0, draws.hflip(resize.hflip)),
        y: axis(part.top, part.height, out_h, placed.1, draws.vflip(resize.vflip)),
        order: order(part.width, part.height, out_h),
        fill: resize.fill,
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
