//! RGB images to tensors.

use arrow::datatypes::{Field, SchemaRef};

use super::columns::{find, replace_column, replace_field};
use crate::column::{Batch, Placement};
use crate::device::ExecCtx;
use crate::error::{Error, Result};
use crate::image::{Images, Preprocess, TensorSpec, preprocess};
use crate::pipeline::{Bound, Item, Stage};

const OP: &str = "preprocess";

/// Resizes, crops and normalises an image column into a tensor column of the same name. A device stage copies the images
/// there and the tensors back; other columns stay where they are.
///
/// Random choices depend on the seed, the name of the file that a row came from (without its folder) and the row's number
/// there: not on batches, filters or order.
pub struct PreprocessStage {
    column: String,
    what: Preprocess,
    placement: Placement,
}

impl PreprocessStage {
    /// On the host.
    pub fn new(column: &str, what: Preprocess) -> Self {
        PreprocessStage { column: column.to_owned(), what, placement: Placement::Host }
    }

    /// Where this context runs.
    pub fn on(mut self, ctx: &ExecCtx) -> Self {
        self.placement = ctx.placement();
        self
    }

    /// Gives images the row ids that random choices depend on, where there are such.
    pub(super) fn identify(&self, images: Images, item: &Item) -> Result<Images> {
        if !self.what.resize.is_random() {
            return Ok(images);
        }
        let id = |row| {
            let (source, row) = item.origins().get(row);
            row_id(source, row)
        };
        let ids: Vec<u64> = (0..images.len()).map(id).collect();
        images.with_row_ids(&ids)
    }

    pub(super) fn field(&self) -> Result<(TensorSpec, Field)> {
        let (width, height) = self
            .what
            .resize
            .output_size()
            .ok_or_else(|| Error::invalid(OP, "the size of the tensors is open: give a crop or an exact size"))?;
        let spec = TensorSpec::new(width, height, self.what.dtype, self.what.layout)?;
        Ok((spec, spec.field(&self.column)))
    }
}

/// What random choices know a row by: its number, under the FNV-1a hash of its file's name.
fn row_id(source: &str, row: u64) -> u64 {
    let name = source.rsplit(['/', '\\']).next().unwrap_or(source);
    let hash = name
        .bytes()
        .fold(0xcbf2_9ce4_8422_2325, |hash: u64, byte| (hash ^ u64::from(byte)).wrapping_mul(0x0100_0000_01b3));
    hash ^ row
}

impl Stage for PreprocessStage {
    fn name(&self) -> &str {
        OP
    }

    fn placement(&self) -> Placement {
        self.placement
    }

    fn schema(&self, input: &SchemaRef) -> Result<SchemaRef> {
        let index = find(OP, input, &self.column)?;
        let found = input.field(index).data_type();
        if *found != Images::data_type() {
            return Err(Error::invalid_column(OP, &self.column, format!("is {found}, decoded images are needed")));
        }
        // Mistakes that no image can change, such as u8 with a normalise, are found on an empty column.
        let empty = Images::from_pixels(Vec::new(), &[])?;
        if self.what.resize.output_size().is_some() {
            preprocess(&ExecCtx::host(1)?, &empty, &self.what)?;
        }
        Ok(replace_field(input, index, self.field()?.1))
    }

    fn bound(&self, batch: &Batch) -> Result<Bound> {
        let index = find(OP, batch.schema(), &self.column)?;
        let images = batch.columns()[index].nbytes() as u64;
        let (spec, _) = self.field()?;
        let tensors = (batch.num_rows() * spec.elements() * spec.dtype.size()) as u64;
        let others = (batch.nbytes() as u64).saturating_sub(images);
        // What lies between the two passes is no larger than the images, or when enlarging than the tensors.
        let between = images.max((batch.num_rows() * spec.elements()) as u64);
        let copies = if self.placement == Placement::Host { 0 } else { images + tensors };
        Ok(Bound { workspace: between + copies, output: others + tensors })
    }

    fn launch(&self, ctx: &ExecCtx, item: Item) -> Result<Item> {
        let batch = item.batch();
        let index = find(OP, batch.schema(), &self.column)?;
        let images = self.identify(Images::try_new(batch.columns()[index].clone())?, &item)?.to(ctx)?;
        let tensors = preprocess(ctx, &images, &self.what)?.column.to_host()?;
        let batch = replace_column(batch, index, self.field()?.1, tensors)?;
        item.with_batch(batch)
    }

    fn copies(&self, input: u64) -> (u64, u64) {
        if self.placement == Placement::Host { (0, 0) } else { (input, 0) }
    }

    fn describe(&self) -> String {
        let size = self.what.resize.output_size().map_or_else(String::new, |(w, h)| format!("{w} x {h}, "));
        format!("{size}{}, {}, {}", self.what.normalize, self.what.dtype, self.what.layout)
    }
}
