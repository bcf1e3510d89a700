//! A stage of your own with a kernel of your own: adds a number to a column, on a GPU where there is one.
//!
//! `cargo run --release --example 03_own_stage`

use std::sync::Arc;

use warpline::arrow::array::{ArrayRef, AsArray, RecordBatch, UInt32Array};
use warpline::arrow::datatypes::{DataType, UInt32Type};
use warpline::column::DeviceColumn;
use warpline::device::{Grid, UserArg, UserModule};
use warpline::pipeline::{Bound, Bytes, Item, MemorySource, Pipeline, Stage};
use warpline::{Batch, Column, Error, ExecCtx, Placement, Result};

/// Adds `value` to the only column of a batch.
struct Add {
    value: u32,
    placement: Placement,
    /// The kernel, where the stage runs on a device.
    module: Option<UserModule>,
}

impl Add {
    fn new(value: u32, ctx: &ExecCtx) -> Result<Self> {
        let ptx = include_str!("own_stage/add_u32.ptx");
        let module = ctx.as_cuda().map(|cuda| UserModule::from_ptx(cuda, "add_u32", ptx)).transpose()?;
        Ok(Add { value, placement: ctx.placement(), module })
    }

    fn on_device(&self, ctx: &ExecCtx, column: &Column) -> Result<Column> {
        let (Some(module), Some(cuda), Some(input)) = (&self.module, ctx.as_cuda(), column.as_device()) else {
            return Err(Error::invalid("add", "the stage was made for another context"));
        };
        let rows = input.len();
        let mut out = cuda.allocate("add", 4 * rows)?;
        let args = vec![
            UserArg::In(&input.buffers()[0]),
            UserArg::U64(rows as u64),
            UserArg::U32(self.value),
            UserArg::Out(&mut out),
        ];
        // SAFETY: these are the parameters of `add_u32`, and both buffers hold 4 x `rows` bytes.
        unsafe { module.launch(cuda, "add_u32", Grid::cover("add", rows as u64, 128)?, args)? };
        let validity = input.validity().cloned();
        Ok(DeviceColumn::fixed(cuda, DataType::UInt32, rows, validity, out.freeze())?.into())
    }

    fn on_host(&self, column: &Column) -> Result<Column> {
        let numbers = column.to_array()?;
        let sums = numbers.as_primitive::<UInt32Type>().unary::<_, UInt32Type>(|v| v.wrapping_add(self.value));
        Ok(Column::from_array(Arc::new(sums)))
    }
}

impl Stage for Add {
    fn name(&self) -> &str {
        "add"
    }

    fn placement(&self) -> Placement {
        self.placement
    }

    /// On a device the stage takes its batches there and leaves them there: stages like it follow without a copy.
    fn resident(&self) -> bool {
        self.module.is_some()
    }

    fn bound(&self, batch: &Batch) -> Result<Bound> {
        Ok(Bound { workspace: 0, output: batch.nbytes() as u64 })
    }

    fn launch(&self, ctx: &ExecCtx, item: Item) -> Result<Item> {
        let batch = item.batch();
        let column = match self.placement {
            Placement::Host => self.on_host(&batch.columns()[0])?,
            Placement::Cuda(_) => self.on_device(ctx, &batch.columns()[0])?,
        };
        let sums = Batch::try_new(batch.schema().clone(), vec![column], batch.num_rows(), batch.placement())?;
        item.with_batch(sums)
    }
}

fn main() -> std::result::Result<(), Box<dyn std::error::Error>> {
    let ctx = ExecCtx::auto()?;
    let numbers: ArrayRef = Arc::new(UInt32Array::from_iter_values(0..1_000_000));
    let numbers = RecordBatch::try_from_iter([("n", numbers)])?;
    let source = MemorySource::new(numbers.schema(), vec![Batch::from_record_batch(&numbers)])?;
    let pipeline = Pipeline::from_source(source).on(&ctx).batch_bytes(Bytes::kib(256));
    let pipeline = pipeline.stage(Add::new(40, &ctx)?)?.stage(Add::new(2, &ctx)?)?;
    println!("{}\n", pipeline.explain()?);
    let out = pipeline.collect()?;
    println!("{}", out.report);
    let first = out.batches[0].to_record_batch()?;
    assert_eq!(first.column(0).as_primitive::<UInt32Type>().value(0), 42);
    Ok(())
}
