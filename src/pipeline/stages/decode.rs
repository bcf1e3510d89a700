//! Encoded images to RGB images.

use arrow::array::{Array, ArrayRef, AsArray};
use arrow::datatypes::{DataType, Field, SchemaRef};

use super::columns::{find, replace_column, replace_field};
use crate::column::Batch;
use crate::device::ExecCtx;
use crate::error::{Error, Result};
use crate::image::Images;
use crate::image::jpeg_decode::{DecodeOptions, jpeg_decode};
use crate::pipeline::{Bound, Item, Stage};

const OP: &str = "decode";

/// Decodes a column of JPEGs into an image column of the same name, on the host.
pub struct DecodeStage {
    column: String,
    options: DecodeOptions,
}

impl DecodeStage {
    /// Decodes this column.
    pub fn new(column: &str, options: DecodeOptions) -> Self {
        DecodeStage { column: column.to_owned(), options }
    }
}

impl Stage for DecodeStage {
    fn name(&self) -> &str {
        OP
    }

    fn schema(&self, input: &SchemaRef) -> Result<SchemaRef> {
        let index = find(OP, input, &self.column)?;
        match input.field(index).data_type() {
            DataType::Binary | DataType::LargeBinary | DataType::BinaryView => {}
            other => {
                return Err(Error::invalid_column(
                    OP,
                    &self.column,
                    format!("is {other}, encoded images (binary) are needed"),
                ));
            }
        }
        Ok(replace_field(input, index, Field::new(&self.column, Images::data_type(), true)))
    }

    fn bound(&self, batch: &Batch) -> Result<Bound> {
        let index = find(OP, batch.schema(), &self.column)?;
        let array = batch.columns()[index].to_array()?;
        let pixels: u64 = (0..array.len())
            .filter_map(|row| declared_pixels(bytes_of(&array, row)?))
            .filter(|p| *p <= self.options.max_pixels)
            .sum();
        // Beside its pixels an image has coefficients (two bytes a sample, at most four samples a pixel when nothing is
        // subsampled) and planes while it is decoded; the column is put together from the decoded images.
        let other = batch.nbytes() as u64;
        Ok(Bound { workspace: 12 * pixels, output: other + 3 * pixels })
    }

    fn launch(&self, ctx: &ExecCtx, item: Item) -> Result<Item> {
        let batch = item.batch();
        let index = find(OP, batch.schema(), &self.column)?;
        let decoded = jpeg_decode(ctx, &batch.columns()[index], &self.options)?;
        let field = Field::new(&self.column, Images::data_type(), true);
        let images = replace_column(batch, index, field, decoded.images)?;
        let mut item = item.with_batch(images)?;
        for error in decoded.errors {
            item.fail(error.row, error.code.as_str(), error.message);
        }
        Ok(item)
    }

    fn describe(&self) -> String {
        format!("JPEG in '{}'", self.column)
    }
}

fn bytes_of(array: &ArrayRef, row: usize) -> Option<&[u8]> {
    if array.is_null(row) {
        return None;
    }
    match array.data_type() {
        DataType::Binary => Some(array.as_binary::<i32>().value(row)),
        DataType::LargeBinary => Some(array.as_binary::<i64>().value(row)),
        DataType::BinaryView => Some(array.as_binary_view().value(row)),
        _ => None,
    }
}

/// Width times height in the first frame header, found by walking segments (ITU-T T.81, B.2); `None` where there is none,
/// which decoding will refuse.
fn declared_pixels(bytes: &[u8]) -> Option<u64> {
    let mut at = 2;
    loop {
        // Between segments only fill bytes are correct; the decoder skips others as well, so look for the next marker.
        at += bytes.get(at..)?.iter().position(|b| *b == 0xFF)?;
        at += bytes.get(at..)?.iter().position(|b| *b != 0xFF)?;
        let (marker, body) = (bytes[at], bytes.get(at + 1..)?);
        let word = |i: usize| Some(u64::from(u16::from_be_bytes([*body.get(i)?, *body.get(i + 1)?])));
        match marker {
            0xC0..=0xCF if !matches!(marker, 0xC4 | 0xC8 | 0xCC) => return Some(word(3)? * word(5)?),
            0x00 | 0x01 | 0xD0..=0xD8 => at += 1,
            _ => at += 1 + word(0)? as usize,
        }
    }
}
