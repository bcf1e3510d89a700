//! Filter a record batch by a condition written as SQL, on a GPU when there is one, else on the host.
//!
//! `cargo run --release --example 01_filter`

use std::sync::Arc;

use arrow::util::pretty::pretty_format_batches;
use warpline::arrow::array::{ArrayRef, Int32Array, RecordBatch, StringArray};
use warpline::ops::expr::Expr;
use warpline::{Batch, Column, ExecCtx, ops};

fn main() -> Result<(), Box<dyn std::error::Error>> {
    let ctx = ExecCtx::auto()?;
    let width: ArrayRef = Arc::new(Int32Array::from(vec![Some(640), Some(120), None, Some(1920)]));
    let label: ArrayRef = Arc::new(StringArray::from(vec![Some("cat"), Some("dog"), Some("owl"), None]));
    let table = RecordBatch::try_from_iter([("width", width), ("label", label)])?;

    // The condition is evaluated on the host; the rows are moved where the context runs.
    let mask = Expr::parse("width >= 224 AND label IS NOT NULL")?.bind(&table.schema())?.evaluate(&table)?;
    let batch = Batch::from_record_batch(&table).to(&ctx)?;
    let mask = Column::from_array(Arc::new(mask)).to(&ctx)?;

    let kept = ops::filter(&ctx, &batch, &mask)?;
    println!("on {}:\n{}", ctx.placement(), pretty_format_batches(&[kept.to_host()?.to_record_batch()?])?);
    Ok(())
}
