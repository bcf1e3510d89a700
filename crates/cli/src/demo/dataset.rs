//! The demo's data set: a Parquet file of JPEGs with metadata, a labels table, and two images corrupted on purpose.

use std::fs::File;
use std::path::Path;
use std::sync::Arc;

use anyhow::{Context, Result};
use arrow::array::{
    ArrayRef, Int64Array, LargeBinaryArray, RecordBatch, StringArray, TimestampMicrosecondArray, UInt8Array,
    UInt32Array,
};
use arrow::datatypes::{DataType, Field, Schema, TimeUnit};
use parquet::arrow::ArrowWriter;
use parquet::basic::{Compression, ZstdLevel};
use parquet::file::properties::WriterProperties;
use rayon::prelude::*;

use super::draw::{CLASSES, Rng, draw};
use super::encode::encode;

/// File name of the images table inside the data set's folder: id, jpeg, width, height, source, caption, captured_at.
pub const IMAGES: &str = "images.parquet";
/// File name of the labels table: id, class, label, in another order than the images.
pub const LABELS: &str = "labels.parquet";

/// Rows drawn, encoded and written at a time: bounds memory, and gives the file several row groups.
const GROUP: usize = 256;
/// First capture time: 2026-01-01T00:00:00Z in microseconds.
const EPOCH: i64 = 1_767_225_600_000_000;
const SOURCES: [&str; 4] = ["camera", "phone", "scanner", "web"];

/// What to draw.
#[derive(Clone, Copy, Debug)]
pub struct Options {
    pub rows: usize,
    pub seed: u64,
    /// Whether to spoil two images: one cut short, one overwritten with text.
    pub corrupt: bool,
}

struct Item {
    id: i64,
    jpeg: Vec<u8>,
    width: u32,
    height: u32,
    label: usize,
    source: Option<&'static str>,
    caption: Option<String>,
    captured_at: Option<i64>,
}

/// Writes both tables into an existing folder. `progress` is told how many rows each finished group added.
pub fn write(folder: &Path, options: Options, mut progress: impl FnMut(usize)) -> Result<()> {
    let schema = images_schema();
    let path = folder.join(IMAGES);
    let file = File::create(&path).with_context(|| path.display().to_string())?;
    let properties = WriterProperties::builder()
        .set_compression(Compression::ZSTD(ZstdLevel::try_new(1)?))
        .set_max_row_group_row_count(Some(GROUP))
        .build();
    let mut writer = ArrowWriter::try_new(file, schema.clone(), Some(properties))?;
    let mut labels = Vec::with_capacity(options.rows);
    for start in (0..options.rows).step_by(GROUP) {
        let end = options.rows.min(start + GROUP);
        let items: Vec<Item> = (start..end).into_par_iter().map(|i| item(options, i)).collect::<Result<_>>()?;
        labels.extend(items.iter().map(|item| (item.id, item.label)));
        writer.write(&images_batch(&schema, &items)?)?;
        progress(items.len());
    }
    writer.close()?;
    write_labels(&folder.join(LABELS), labels, options.seed)
}

/// Rows of the two spoilt images: a third and two thirds into the set.
pub fn corrupt_rows(rows: usize) -> [usize; 2] {
    [rows / 3, rows * 2 / 3]
}

fn images_schema() -> Arc<Schema> {
    Arc::new(Schema::new(vec![
        Field::new("id", DataType::Int64, false),
        Field::new("jpeg", DataType::LargeBinary, true),
        Field::new("width", DataType::UInt32, false),
        Field::new("height", DataType::UInt32, false),
        Field::new("source", DataType::Utf8, true),
        Field::new("caption", DataType::Utf8, true),
        Field::new("captured_at", DataType::Timestamp(TimeUnit::Microsecond, Some("UTC".into())), true),
    ]))
}

fn images_batch(schema: &Arc<Schema>, items: &[Item]) -> Result<RecordBatch> {
    let columns: Vec<ArrayRef> = vec![
        Arc::new(Int64Array::from_iter_values(items.iter().map(|i| i.id))),
        Arc::new(LargeBinaryArray::from_iter_values(items.iter().map(|i| &i.jpeg))),
        Arc::new(UInt32Array::from_iter_values(items.iter().map(|i| i.width))),
        Arc::new(UInt32Array::from_iter_values(items.iter().map(|i| i.height))),
        Arc::new(items.iter().map(|i| i.source).collect::<StringArray>()),
        Arc::new(items.iter().map(|i| i.caption.as_deref()).collect::<StringArray>()),
        Arc::new(items.iter().map(|i| i.captured_at).collect::<TimestampMicrosecondArray>().with_timezone("UTC")),
    ];
    Ok(RecordBatch::try_new(schema.clone(), columns)?)
}

fn item(options: Options, row: usize) -> Result<Item> {
    let drawing = draw(options.seed, row as u64);
    // A stream of its own, so that metadata can change without changing a drawing.
    let mut rng = Rng::new(options.seed ^ 0x006D_6574_6164_6174, row as u64);
    let mut jpeg = encode(&drawing, &mut rng)?;
    let spoilt = options.corrupt.then(|| corrupt_rows(options.rows).iter().position(|r| *r == row)).flatten();
    match spoilt {
        Some(0) => jpeg.truncate(jpeg.len() / 2),
        Some(_) => jpeg = b"<html><body>404 Not Found</body></html>".repeat(20),
        None => {}
    }
    // The spoilt images pass the demo's filter.
    let source = match spoilt {
        Some(_) => Some(SOURCES[0]),
        None => (!rng.chance(0.04)).then(|| SOURCES[rng.below(4) as usize]),
    };
    let caption = (!rng.chance(0.1)).then(|| format!("a drawing of {} by {} pixels", drawing.width, drawing.height));
    let captured_at = (!rng.chance(0.05)).then(|| EPOCH + row as i64 * 60_000_000 + rng.below(60_000_000) as i64);
    Ok(Item {
        id: 1_000 + row as i64,
        jpeg,
        width: drawing.width as u32,
        height: drawing.height as u32,
        label: drawing.label,
        source,
        caption,
        captured_at,
    })
}

/// The labels in a shuffled order, with a few ids that no image has, as real tables are.
fn write_labels(path: &Path, mut labels: Vec<(i64, usize)>, seed: u64) -> Result<()> {
    labels.extend((0..5).map(|i| (-1 - i, i as usize)));
    let mut rng = Rng::new(seed, u64::MAX);
    for i in (1..labels.len()).rev() {
        labels.swap(i, rng.below(i as u64 + 1) as usize);
    }
    let schema = Arc::new(Schema::new(vec![
        Field::new("id", DataType::Int64, false),
        Field::new("class", DataType::UInt8, false),
        Field::new("label", DataType::Utf8, false),
    ]));
    let batch = RecordBatch::try_new(
        schema.clone(),
        vec![
            Arc::new(Int64Array::from_iter_values(labels.iter().map(|l| l.0))),
            Arc::new(UInt8Array::from_iter_values(labels.iter().map(|l| l.1 as u8))),
            Arc::new(StringArray::from_iter_values(labels.iter().map(|l| CLASSES[l.1]))),
        ],
    )?;
    let file = File::create(path).with_context(|| path.display().to_string())?;
    let mut writer = ArrowWriter::try_new(file, schema, None)?;
    writer.write(&batch)?;
    writer.close()?;
    Ok(())
}
