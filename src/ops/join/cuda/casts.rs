//! Keys of right and full joins in the types of the joined columns, where the two sides' types differ.

use std::borrow::Cow;
use std::sync::Arc;

use arrow::array::RecordBatch;
use arrow::datatypes::{DataType, Field, Schema};

use crate::column::layout::Layout;
use crate::column::{Batch, Column};
use crate::device::{ExecCtx, MemoryPlan};
use crate::error::Result;
use crate::ops::gather::plan::Shape;
use crate::ops::join::JoinType;
use crate::ops::join::spec::Spec;
use crate::ops::{cast, cast_plan};

/// The probe side's key columns that are cast, with the types that they get.
fn casts(spec: &Spec) -> impl Iterator<Item = (usize, &DataType)> {
    let merges = matches!(spec.kind(), JoinType::Right | JoinType::Full);
    let keys = spec.probe_keys.iter().filter(move |_| merges);
    let types = keys.map(|at| (*at, spec.schema.field(*at).data_type()));
    types.filter(|(at, to)| spec.probe_schema().field(*at).data_type() != *to)
}

/// Refuses what expressions on a device do not cast.
pub(super) fn check(spec: &Spec, table: &Schema) -> Result<()> {
    let can = |from: &DataType, to: &DataType| {
        let field = Field::new("key", from.clone(), true);
        let none = RecordBatch::new_empty(Arc::new(Schema::new(vec![field])));
        cast_plan(&Batch::from_record_batch(&none), &[("key", to.clone())]).map(drop)
    };
    for (at, to) in casts(spec) {
        can(spec.probe_schema().field(at).data_type(), to)?;
    }
    if matches!(spec.kind(), JoinType::Right | JoinType::Full) {
        for (key, at) in spec.table_keys.iter().zip(&spec.probe_keys) {
            can(table.field(*key).data_type(), spec.schema.field(*at).data_type())?;
        }
    }
    Ok(())
}

/// A column alone, under a name that the cast finds it by.
fn alone(column: &Column) -> Result<Batch> {
    let schema = Arc::new(Schema::new(vec![Field::new("key", column.data_type().clone(), true)]));
    Batch::try_new(schema, vec![column.clone()], column.len(), column.placement())
}

/// A key column as this type, in which all values of either side fit.
pub(super) fn as_type(ctx: &ExecCtx, column: &Column, to: &DataType) -> Result<Column> {
    if column.data_type() == to {
        return Ok(column.clone());
    }
    Ok(cast(ctx, &alone(column)?, &[("key", to.clone())])?.columns()[0].clone())
}

/// A probed batch with its keys as the joined columns have them.
pub(super) fn merged<'a>(ctx: &ExecCtx, spec: &Spec, batch: &'a Batch) -> Result<Cow<'a, Batch>> {
    if casts(spec).next().is_none() {
        return Ok(Cow::Borrowed(batch));
    }
    let (mut fields, mut columns) = (batch.schema().fields().to_vec(), batch.columns().to_vec());
    for (at, to) in casts(spec) {
        columns[at] = as_type(ctx, &columns[at], to)?;
        fields[at] = Arc::new(fields[at].as_ref().clone().with_data_type(to.clone()));
    }
    Ok(Cow::Owned(Batch::try_new(Arc::new(Schema::new(fields)), columns, batch.num_rows(), batch.placement())?))
}

/// What [`merged`] takes for each key that it casts, and the shape that the key then has, by its column.
pub(super) fn plans(spec: &Spec, batch: &Batch) -> Result<Vec<(usize, MemoryPlan, Shape)>> {
    let plan = |(at, to): (usize, &DataType)| {
        let column = &batch.columns()[at];
        let plan = cast_plan(&alone(column)?, &[("key", to.clone())])?;
        let own = Shape::measured(column)?;
        let shape = Shape { layout: Layout::of(to)?, bytes: plan.output, children: Vec::new(), ..own };
        Ok((at, plan, shape))
    };
    casts(spec).map(plan).collect()
}
