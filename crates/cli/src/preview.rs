//! The contact sheet of `--preview`: the first images of a run, as a PNG.

use std::collections::BTreeMap;
use std::io::Write;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, PoisonError};

use arrow::datatypes::SchemaRef;
use warpline::image::{Images, Resize, resize};
use warpline::pipeline::{Bound, Item, Stage};
use warpline::{Batch, Error, ExecCtx, Result};

use crate::exit::{Exit, Failure};
use crate::files::OutputFile;

/// Images on a sheet, in rows of `ACROSS`, each a square of `SIDE` pixels.
const COUNT: usize = 96;
const ACROSS: usize = 12;
const SIDE: usize = 96;
/// Gray between and behind the images.
const GRAY: u8 = 40;

/// Source and row of an image, and its thumbnail's pixels. Keeping the smallest keys makes the sheet independent of the
/// order in which batches come by.
type Thumbnails = BTreeMap<(Arc<str>, u64), Vec<u8>>;

/// A contact sheet in the making. Clones share.
#[derive(Clone)]
pub struct Preview {
    path: PathBuf,
    thumbnails: Arc<Mutex<Thumbnails>>,
}

impl Preview {
    /// Will write to this file.
    pub fn create(path: &Path) -> Result<Self, Failure> {
        drop(OutputFile::create(path)?);
        Ok(Preview { path: path.to_path_buf(), thumbnails: Arc::default() })
    }

    fn is_wanted(&self, key: &(Arc<str>, u64)) -> bool {
        let thumbnails = self.thumbnails.lock().unwrap_or_else(PoisonError::into_inner);
        thumbnails.len() < COUNT || thumbnails.last_key_value().is_some_and(|(last, _)| key < last)
    }

    fn insert(&self, key: (Arc<str>, u64), pixels: Vec<u8>) {
        let mut thumbnails = self.thumbnails.lock().unwrap_or_else(PoisonError::into_inner);
        thumbnails.insert(key, pixels);
        if thumbnails.len() > COUNT {
            thumbnails.pop_last();
        }
    }

    /// Writes the sheet.
    pub fn finish(&self) -> Result<(), Failure> {
        let thumbnails = self.thumbnails.lock().unwrap_or_else(PoisonError::into_inner);
        let across = thumbnails.len().clamp(1, ACROSS);
        let down = thumbnails.len().div_ceil(ACROSS).max(1);
        let (width, height) = (across * (SIDE + 2) + 2, down * (SIDE + 2) + 2);
        let mut sheet = vec![GRAY; 3 * width * height];
        for (i, pixels) in thumbnails.values().enumerate() {
            let (left, top) = (2 + i % ACROSS * (SIDE + 2), 2 + i / ACROSS * (SIDE + 2));
            for (y, row) in pixels.chunks_exact(3 * SIDE).enumerate() {
                sheet[3 * ((top + y) * width + left)..][..3 * SIDE].copy_from_slice(row);
            }
        }
        let mut file = OutputFile::create(&self.path)?;
        let fail = |e: png::EncodingError| Failure::new(Exit::Output, format!("{}: {e}", self.path.display()));
        write_png(&mut file, width as u32, height as u32, &sheet).map_err(fail)?;
        file.commit()
    }
}

fn write_png(out: &mut impl Write, width: u32, height: u32, rgb: &[u8]) -> Result<(), png::EncodingError> {
    let mut encoder = png::Encoder::new(out, width, height);
    encoder.set_color(png::ColorType::Rgb);
    encoder.set_depth(png::BitDepth::Eight);
    let mut writer = encoder.write_header()?;
    writer.write_image_data(rgb)?;
    writer.finish()
}

/// Looks at the images that go by, and passes them on.
pub struct PreviewStage {
    column: String,
    preview: Preview,
}

impl PreviewStage {
    pub fn new(column: &str, preview: &Preview) -> Self {
        PreviewStage { column: column.to_owned(), preview: preview.clone() }
    }

    /// Rows that belong on the sheet as far as is known.
    fn wanted(&self, item: &Item, images: &Images) -> Vec<usize> {
        let key = |row: usize| {
            let (source, number) = item.origins().get(row);
            (source.clone(), number)
        };
        (0..images.len())
            .filter(|row| images.size(*row).is_some() && self.preview.is_wanted(&key(*row)))
            .take(COUNT)
            .collect()
    }
}

impl Stage for PreviewStage {
    fn name(&self) -> &str {
        "preview"
    }

    fn schema(&self, input: &SchemaRef) -> Result<SchemaRef> {
        Ok(input.clone())
    }

    fn bound(&self, batch: &Batch) -> Result<Bound> {
        let thumbnails = 4 * (COUNT * 3 * SIDE * SIDE) as u64;
        Ok(Bound { workspace: thumbnails, output: batch.nbytes() as u64 })
    }

    fn launch(&self, ctx: &ExecCtx, item: Item) -> Result<Item> {
        let missing = || Error::invalid_column("preview", &self.column, "no such column");
        let images = Images::try_new(item.batch().column(&self.column).ok_or_else(missing)?.clone())?;
        let rows = self.wanted(&item, &images);
        for row in rows {
            let (Some(size), Some(pixels)) = (images.size(row), images.pixels(row)) else { continue };
            let one = Images::from_pixels(pixels.to_vec(), &[Some(size)])?;
            let small = resize(ctx, &one, &Resize::shorter(SIDE as u32).crop(SIDE as u32))?;
            let (source, number) = item.origins().get(row);
            self.preview.insert((source.clone(), number), small.pixels(0).unwrap_or_default().to_vec());
        }
        Ok(item)
    }
}
