//! A backend over columns.

use std::fmt;
use std::sync::Arc;

use arrow::array::{Array, ArrayData, ArrayRef, AsArray, make_array};
use arrow::buffer::{Buffer, MutableBuffer, NullBuffer};
use arrow::datatypes::{DataType, Field, FieldRef, Schema, SchemaRef};
use rayon::prelude::*;

use crate::column::{Batch, Column, Placement};
use crate::device::ExecCtx;
use crate::error::{Error, Result};
use crate::infer::shape::{RowShape, Tensor, dtype_name};
use crate::infer::{Backend, Port};

const OP: &str = "infer";
/// Rows that a model of free batch size gets at a time, unless said otherwise.
const DEFAULT_BATCH: usize = 16;

/// A model ready to run over tensor columns. Cheap to clone.
#[derive(Clone)]
pub struct Model {
    backend: Arc<dyn Backend>,
    batch: usize,
}

impl fmt::Debug for Model {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Model").field("name", &self.backend.name()).field("batch", &self.batch).finish()
    }
}

/// What a model does with one column: where it is, and the shapes on both sides.
struct Plan {
    column: usize,
    row: RowShape,
    outputs: Vec<(String, RowShape)>,
}

/// One output of one model batch: the bytes of its rows.
type Bytes = Buffer;

impl Model {
    /// Wraps a backend. Batches have the size that the model's input fixes, else 16 rows.
    pub fn new(backend: impl Backend + 'static) -> Self {
        let fixed = backend.input().shape.first().copied().flatten();
        Model { batch: fixed.unwrap_or(DEFAULT_BATCH).max(1), backend: Arc::new(backend) }
    }

    /// Sets how many rows the model gets at a time.
    ///
    /// # Errors
    /// `InvalidInput` for 0, and for another size than the one that the model fixes.
    pub fn with_batch_size(mut self, rows: usize) -> Result<Self> {
        match self.backend.input().shape.first().copied().flatten() {
            _ if rows == 0 => Err(Error::invalid(OP, "a model's batch has at least one row")),
            Some(fixed) if fixed != rows => {
                let name = self.backend.name();
                Err(Error::invalid(OP, format!("{name} takes batches of {fixed} rows, not of {rows}")))
            }
            _ => {
                self.batch = rows;
                Ok(self)
            }
        }
    }

    /// Rows that the model gets at a time.
    pub fn batch_size(&self) -> usize {
        self.batch
    }

    /// The backend's name.
    pub fn name(&self) -> &str {
        self.backend.name()
    }

    /// The model's input.
    pub fn input(&self) -> &Port {
        self.backend.input()
    }

    /// The schema of [`Model::run`]'s result: the outputs as columns in place of the tensor column, each under its name in
    /// the model.
    ///
    /// # Errors
    /// `InvalidInput` when there is no such column, when its shape or type is not what the model takes (the message names
    /// both), or when an output's name is taken.
    pub fn schema(&self, schema: &Schema, column: &str) -> Result<SchemaRef> {
        let plan = self.plan(schema, column)?;
        self.output_schema(schema, &plan)
    }

    /// Bytes of all outputs of one row.
    ///
    /// # Errors
    /// As [`Model::schema`].
    pub fn output_bytes(&self, schema: &Schema, column: &str) -> Result<usize> {
        let plan = self.plan(schema, column)?;
        Ok(plan.outputs.iter().map(|(_, shape)| shape.elements() * width(&shape.data_type)).sum())
    }

    /// Runs the model over a tensor column. Null rows are not shown to the model and come out null.
    ///
    /// Each row is computed in a batch of [`Model::batch_size`] rows, the last one padded with zeros; batches run in
    /// parallel on the context's host threads. Host batches only, so far.
    ///
    /// # Errors
    /// As [`Model::schema`]; `WrongDevice` for a batch that is not on the host; what the backend reports.
    ///
    /// # Cost
    /// One copy of rows only where a model batch is not a whole run of valid rows.
    pub fn run(&self, ctx: &ExecCtx, batch: &Batch, column: &str) -> Result<Batch> {
        if batch.placement() != Placement::Host {
            return Err(Error::WrongDevice { op: OP, expected: Placement::Host, found: batch.placement() });
        }
        let plan = self.plan(batch.schema(), column)?;
        let tensors = batch.columns()[plan.column].to_array()?;
        let valid: Vec<usize> = (0..tensors.len()).filter(|row| tensors.is_valid(*row)).collect();
        let results: Vec<Vec<Bytes>> = ctx.pool().install(|| {
            valid.par_chunks(self.batch).map(|rows| self.step(&plan, &tensors, rows)).collect::<Result<_>>()
        })?;
        let outputs = (0..plan.outputs.len()).map(|i| {
            let parts = results.iter().map(|outputs| &outputs[i]);
            output_column(&plan.outputs[i].1, parts, tensors.nulls(), tensors.len())
        });
        let outputs = outputs.collect::<Result<Vec<_>>>()?;
        let mut columns: Vec<Column> = batch.columns().to_vec();
        columns.splice(plan.column..=plan.column, outputs);
        let schema = self.output_schema(batch.schema(), &plan)?;
        Batch::try_new(schema, columns, batch.num_rows(), Placement::Host)
    }

    fn plan(&self, schema: &Schema, column: &str) -> Result<Plan> {
        let missing = |_| Error::missing_column(OP, column, "no such column", schema);
        let index = schema.index_of(column).map_err(missing)?;
        let field = schema.field(index);
        let row = RowShape::of_field(field)?;
        self.check(field, &row)?;
        let outputs = self.backend.outputs(&self.with_rows(self.batch, &row.axes))?;
        let outputs = outputs.into_iter().map(|port| self.output_shape(port)).collect::<Result<Vec<_>>>()?;
        Ok(Plan { column: index, row, outputs })
    }

    /// The model's input against the column, in one line that names both.
    fn check(&self, field: &Field, row: &RowShape) -> Result<()> {
        let input = self.backend.input();
        let axes = input.shape.get(1..).unwrap_or_default();
        let fits = axes.len() == row.axes.len()
            && axes.iter().zip(&row.axes).all(|(want, have)| want.is_none_or(|w| w == *have));
        if fits && input.data_type == row.data_type {
            return Ok(());
        }
        let have: Vec<String> = row.axes.iter().map(usize::to_string).collect();
        let why = format!(
            "{}: its input {input} does not take the tensor ({} [N, {}]): change --resize, --crop, --layout or --dtype",
            self.backend.name(),
            dtype_name(field, &row.data_type),
            have.join(", ")
        );
        Err(Error::invalid_column(OP, field.name(), why))
    }

    fn output_shape(&self, port: Port) -> Result<(String, RowShape)> {
        let axes: Option<Vec<usize>> = port.shape.iter().skip(1).copied().collect();
        let rows = port.shape.first().copied().flatten().unwrap_or(self.batch);
        match axes {
            Some(axes) if !port.shape.is_empty() && rows == self.batch && port.data_type.is_numeric() => {
                Ok((port.name, RowShape { data_type: port.data_type, axes }))
            }
            _ => {
                let why = format!("{}: its output {port} is not one row of numbers per input row", self.backend.name());
                Err(Error::unsupported(OP, why, "export the model with the batch as the first axis of every output"))
            }
        }
    }

    fn output_schema(&self, schema: &Schema, plan: &Plan) -> Result<SchemaRef> {
        let mut fields: Vec<FieldRef> = schema.fields().iter().cloned().collect();
        let outputs: Vec<FieldRef> = plan.outputs.iter().map(|(name, shape)| Arc::new(shape.field(name))).collect();
        fields.remove(plan.column);
        for output in &outputs {
            if fields.iter().any(|f| f.name() == output.name()) {
                let why =
                    format!("{} has an output of this name, and so has the input: rename one", self.backend.name());
                return Err(Error::invalid_column(OP, output.name(), why));
            }
        }
        fields.splice(plan.column..plan.column, outputs);
        Ok(Arc::new(Schema::new_with_metadata(fields, schema.metadata().clone())))
    }

    fn with_rows(&self, rows: usize, axes: &[usize]) -> Vec<usize> {
        std::iter::once(rows).chain(axes.iter().copied()).collect()
    }

    /// One model batch: these rows, padded to the batch size; the bytes of their results.
    fn step(&self, plan: &Plan, tensors: &ArrayRef, rows: &[usize]) -> Result<Vec<Bytes>> {
        let values = self.input_values(plan, tensors, rows)?;
        let shape = self.with_rows(self.batch, &plan.row.axes);
        let results = self.backend.run(&Tensor { shape, values })?;
        if results.len() != plan.outputs.len() {
            let why =
                format!("{} returned {} outputs, it has {}", self.backend.name(), results.len(), plan.outputs.len());
            return Err(Error::Internal { op: OP, why });
        }
        results
            .iter()
            .zip(&plan.outputs)
            .map(|(tensor, (name, shape))| {
                if tensor.shape != self.with_rows(self.batch, &shape.axes)
                    || tensor.values.data_type() != &shape.data_type
                {
                    let why = format!("{}: output '{name}' came out as {:?}", self.backend.name(), tensor.shape);
                    return Err(Error::Internal { op: OP, why });
                }
                let bytes = shape.elements() * width(&shape.data_type);
                Ok(buffer(tensor.values.as_ref())?.slice_with_length(0, rows.len() * bytes))
            })
            .collect()
    }

    /// The elements of these rows and zeros up to the batch size; without a copy where they lie side by side.
    fn input_values(&self, plan: &Plan, tensors: &ArrayRef, rows: &[usize]) -> Result<ArrayRef> {
        let list = tensors.as_fixed_size_list();
        let elements = plan.row.elements();
        let adjacent = rows.last().map_or(0, |last| last + 1) - rows.first().copied().unwrap_or(0) == rows.len();
        if adjacent && rows.len() == self.batch {
            return Ok(list.values().slice(rows[0] * elements, rows.len() * elements));
        }
        let row_bytes = elements * width(&plan.row.data_type);
        let source = buffer(list.values().as_ref())?;
        let mut copy = MutableBuffer::from_len_zeroed(self.batch * row_bytes);
        for (to, from) in rows.iter().enumerate() {
            copy[to * row_bytes..][..row_bytes].copy_from_slice(&source[from * row_bytes..][..row_bytes]);
        }
        primitive(&plan.row.data_type, copy.into(), self.batch * elements)
    }
}

/// Bytes of an element.
fn width(data_type: &DataType) -> usize {
    data_type.primitive_width().unwrap_or(1)
}

/// The bytes of a primitive array's elements.
fn buffer(array: &dyn Array) -> Result<Buffer> {
    let data = array.to_data();
    let width = width(data.data_type());
    let values =
        data.buffers().first().ok_or_else(|| Error::Internal { op: OP, why: "a tensor without values".into() })?;
    Ok(values.slice_with_length(data.offset() * width, data.len() * width))
}

fn primitive(data_type: &DataType, values: Buffer, len: usize) -> Result<ArrayRef> {
    let data = ArrayData::builder(data_type.clone()).len(len).add_buffer(values).build();
    data.map(make_array).map_err(|e| Error::arrow(OP, e))
}

/// Results of all model batches, in row order, as a column with zeros under the nulls.
fn output_column<'a>(
    shape: &RowShape,
    parts: impl Iterator<Item = &'a Bytes>,
    nulls: Option<&NullBuffer>,
    rows: usize,
) -> Result<Column> {
    let row_bytes = shape.elements() * width(&shape.data_type);
    let nulls = nulls.filter(|n| n.null_count() > 0);
    let mut values = MutableBuffer::from_len_zeroed(rows * row_bytes);
    let mut places = (0..rows).filter(|row| nulls.is_none_or(|n| n.is_valid(*row)));
    for part in parts {
        for row in part.chunks_exact(row_bytes.max(1)) {
            let place =
                places.next().ok_or_else(|| Error::Internal { op: OP, why: "more results than rows".into() })?;
            values[place * row_bytes..][..row_bytes].copy_from_slice(row);
        }
    }
    let field = shape.field("item");
    let builder = ArrayData::builder(field.data_type().clone()).len(rows).nulls(nulls.cloned());
    let data = match field.data_type() {
        DataType::FixedSizeList(item, _) => {
            let child = primitive(item.data_type(), values.into(), rows * shape.elements())?;
            builder.add_child_data(child.to_data()).build()
        }
        _ => builder.add_buffer(values.into()).build(),
    };
    data.map(|data| Column::from_array(make_array(data))).map_err(|e| Error::arrow(OP, e))
}
