//! Encoded images to tensors, in one step on the device.

use arrow::datatypes::{Field, SchemaRef};

use super::columns::{find, replace_column};
use super::decode::{DecodeStage, declared_pixels_of};
use super::preprocess::PreprocessStage;
use crate::column::{Batch, Placement};
use crate::device::ExecCtx;
use crate::error::Result;
use crate::image::image_decode::{decode_images, image_decode_plan};
use crate::image::jpeg_decode::DecodeOptions;
use crate::image::{Images, Preprocess, preprocess};
use crate::pipeline::{Bound, Item, Stage};

const OP: &str = "image_to_tensor";

/// Decodes, resizes, crops and normalises a column of encoded images into a tensor column of the same name, on a device:
/// encoded bytes go there, tensors come back, and pixels stay.
pub struct ImageToTensorStage {
    column: String,
    options: DecodeOptions,
    what: Preprocess,
    ctx: ExecCtx,
}

impl ImageToTensorStage {
    /// Where this context runs.
    pub fn new(column: &str, options: DecodeOptions, what: Preprocess, ctx: &ExecCtx) -> Self {
        ImageToTensorStage { column: column.to_owned(), options, what, ctx: ctx.clone() }
    }

    fn decode(&self) -> DecodeStage {
        DecodeStage::new(&self.column, self.options)
    }

    fn preprocess(&self) -> PreprocessStage {
        PreprocessStage::new(&self.column, self.what).on(&self.ctx)
    }
}

impl Stage for ImageToTensorStage {
    fn name(&self) -> &str {
        OP
    }

    fn placement(&self) -> Placement {
        self.ctx.placement()
    }

    fn schema(&self, input: &SchemaRef) -> Result<SchemaRef> {
        self.preprocess().schema(&self.decode().schema(input)?)
    }

    fn bound(&self, batch: &Batch) -> Result<Bound> {
        let index = find(OP, batch.schema(), &self.column)?;
        let encoded = &batch.columns()[index];
        let plan = image_decode_plan(&self.ctx, encoded, &self.options)?;
        let (spec, _) = self.preprocess().field()?;
        let tensors = (batch.num_rows() * spec.elements() * spec.dtype.size()) as u64;
        // Between the two passes of a resize lies no more than the pixels, or when enlarging than the tensors.
        let between = plan.output.max((batch.num_rows() * spec.elements()) as u64);
        // Files that the device leaves to the host twin: coefficients, planes and pixels, as in the host's stage.
        let host = 12 * declared_pixels_of(encoded, self.options.max_pixels)?;
        let workspace = plan.workspace.max(between + tensors) + plan.output + host + tensors;
        let others = (batch.nbytes() as u64).saturating_sub(encoded.nbytes() as u64);
        Ok(Bound { workspace, output: others + tensors })
    }

    fn launch(&self, ctx: &ExecCtx, item: Item) -> Result<Item> {
        let batch = item.batch();
        let index = find(OP, batch.schema(), &self.column)?;
        let (images, errors): (Images, _) = decode_images(ctx, &batch.columns()[index], &self.options)?;
        let images = self.preprocess().identify(images, &item)?;
        let tensors = preprocess(ctx, &images, &self.what)?.column.to_host()?;
        drop(images);
        let field: Field = self.preprocess().field()?.1;
        let batch = replace_column(batch, index, field, tensors)?;
        let mut item = item.with_batch(batch)?;
        for error in errors {
            item.fail(error.row, error.code.as_str(), error.message);
        }
        Ok(item)
    }

    fn copies(&self, input: u64) -> (u64, u64) {
        (input, 0)
    }

    fn describe(&self) -> String {
        format!("images in '{}', {}", self.column, self.preprocess().describe())
    }
}
