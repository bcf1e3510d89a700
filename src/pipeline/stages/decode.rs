//! Encoded images to RGB images.

use arrow::array::{Array, ArrayRef, AsArray};
use arrow::datatypes::{DataType, Field, SchemaRef};

use super::columns::{find, replace_column, replace_field};
use crate::column::{Batch, Column};
use crate::device::ExecCtx;
use crate::error::{Error, Result};
use crate::image::Images;
use crate::image::image_decode::{ImageFormat, image_decode};
use crate::image::jpeg_decode::DecodeOptions;
use crate::pipeline::{Bound, Item, Stage};

const OP: &str = "decode";

/// Decodes a column of JPEG, PNG and WebP images into an image column of the same name, on the host.
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
        let pixels = declared_pixels_of(&batch.columns()[index], self.options.max_pixels)?;
        // Beside its pixels a JPEG has coefficients (two bytes a sample, at most four samples a pixel when nothing is
        // subsampled) and planes while it is decoded, a WebP planes and RGBA pixels, a PNG one row; the column is put
        // together from the decoded images.
        let other = batch.nbytes() as u64;
        Ok(Bound { workspace: 12 * pixels, output: other + 3 * pixels })
    }

    fn launch(&self, ctx: &ExecCtx, item: Item) -> Result<Item> {
        let batch = item.batch();
        let index = find(OP, batch.schema(), &self.column)?;
        let decoded = image_decode(ctx, &batch.columns()[index], &self.options)?;
        let field = Field::new(&self.column, Images::data_type(), true);
        let images = replace_column(batch, index, field, decoded.images)?;
        let mut item = item.with_batch(images)?;
        for error in decoded.errors {
            item.fail(error.row, error.code.as_str(), error.message);
        }
        Ok(item)
    }

    fn describe(&self) -> String {
        format!("images in '{}'", self.column)
    }
}

/// Pixels of all images of a column, those aside that declare more than `most`.
pub(super) fn declared_pixels_of(column: &Column, most: u64) -> Result<u64> {
    let array = column.to_array()?;
    let pixels = (0..array.len()).filter_map(|row| ImageFormat::declared_pixels(bytes_of(&array, row)?));
    Ok(pixels.filter(|pixels| *pixels <= most).sum())
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
