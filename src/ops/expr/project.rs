//! Several expressions as one select list.

use std::collections::{BTreeSet, HashSet};
use std::fmt;
use std::str::FromStr;
use std::sync::Arc;

use arrow::array::{RecordBatch, RecordBatchOptions};
use arrow::datatypes::{Field, Schema, SchemaRef};

use super::bind::{Bound, bind_value};
use super::cuda::{self, Programs, columns_of, each};
use super::eval::{canonical, evaluate, in_chunks, locate};
use super::{Expr, parse};
use crate::column::Batch;
use crate::device::{ExecCtx, MemoryPlan};
use crate::error::{Error, Result};

const OP: &str = "project";

/// A select list: expressions with the names of their columns, and `*` for all columns of the input.
///
/// ```
/// use warpline::ops::expr::Select;
/// let select: Select = "*, a + b as total, length(s)".parse()?;
/// assert_eq!(select.to_string(), "*, a + b AS total, length(s)");
/// # Ok::<(), warpline::Error>(())
/// ```
#[derive(Clone, Debug, PartialEq)]
pub struct Select {
    items: Vec<SelectItem>,
}

/// One item of a [`Select`].
#[derive(Clone, Debug, PartialEq)]
#[non_exhaustive]
pub enum SelectItem {
    /// `*`: every column of the input.
    All,
    /// `expr [AS name]`.
    Expr {
        /// What is computed.
        expr: Expr,
        /// The name of the column; without one a column keeps its name, and else the expression as printed is the name.
        name: Option<String>,
    },
}

impl Select {
    /// A list of items.
    pub fn new(items: Vec<SelectItem>) -> Self {
        Select { items }
    }

    /// Reads a list from SQL text, as it stands between SELECT and FROM.
    ///
    /// # Errors
    /// As [`Expr::parse`].
    pub fn parse(text: &str) -> Result<Self> {
        parse::parse_select(text).map(Select::new)
    }

    /// The items.
    pub fn items(&self) -> &[SelectItem] {
        &self.items
    }

    /// Names of all columns that the list reads; `None` where `*` reads all.
    pub fn columns(&self) -> Option<BTreeSet<&str>> {
        let mut names = BTreeSet::new();
        for item in &self.items {
            match item {
                SelectItem::All => return None,
                SelectItem::Expr { expr, .. } => names.append(&mut expr.columns()),
            }
        }
        Some(names)
    }

    /// Resolves columns and types, so that [`Projection::evaluate`] can only fail on values.
    ///
    /// # Errors
    /// `InvalidInput` on an unknown column, on operands of types that do not go together, on an empty list, and on two
    /// outputs of one name.
    pub fn bind(&self, schema: &Schema) -> Result<Projection> {
        let (mut fields, mut roots) = (Vec::new(), Vec::new());
        for item in &self.items {
            match item {
                SelectItem::All => {
                    for (index, field) in schema.fields().iter().enumerate() {
                        fields.push(field.as_ref().clone());
                        roots.push(Bound::Column { index, data_type: field.data_type().clone() });
                    }
                }
                SelectItem::Expr { expr, name } => {
                    let root = bind_value(expr, schema)?;
                    fields.push(field(expr, name.as_deref(), &root, schema));
                    roots.push(root);
                }
            }
        }
        if fields.is_empty() {
            return Err(Error::invalid(OP, "no column is selected".to_owned()));
        }
        let mut seen = HashSet::new();
        if let Some(twice) = fields.iter().find(|field| !seen.insert(field.name())) {
            let why = "two outputs have this name: give one another with AS";
            return Err(Error::invalid_column(OP, twice.name(), why.to_owned()));
        }
        let inputs = schema.fields().len();
        let schema = Arc::new(Schema::new(fields));
        Ok(Projection { roots: roots.into(), schema, inputs, text: self.to_string(), programs: Arc::default() })
    }
}

/// A column keeps its metadata and whether it has nulls; what is computed may have nulls.
fn field(expr: &Expr, name: Option<&str>, root: &Bound, schema: &Schema) -> Field {
    let name = name.map(str::to_owned);
    match (expr, root) {
        (Expr::Column(column), Bound::Column { index, .. }) => {
            schema.field(*index).clone().with_name(name.unwrap_or_else(|| column.clone()))
        }
        _ => Field::new(name.unwrap_or_else(|| expr.to_string()), root.data_type().clone(), true),
    }
}

impl FromStr for Select {
    type Err = Error;

    fn from_str(text: &str) -> Result<Select> {
        Select::parse(text)
    }
}

/// Prints SQL that parses back to an equal list.
impl fmt::Display for Select {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (i, item) in self.items.iter().enumerate() {
            f.write_str(if i == 0 { "" } else { ", " })?;
            match item {
                SelectItem::All => f.write_str("*")?,
                SelectItem::Expr { expr, name: None } => write!(f, "{expr}")?,
                SelectItem::Expr { expr, name: Some(name) } => write!(f, "{expr} AS {}", parse::quote_name(name))?,
            }
        }
        Ok(())
    }
}

/// A select list bound to a schema. Evaluates any record batch of that schema, from any thread.
#[derive(Clone, Debug)]
pub struct Projection {
    roots: Arc<[Bound]>,
    schema: SchemaRef,
    /// Columns of the input.
    inputs: usize,
    text: String,
    /// Its kernels.
    programs: Arc<Programs>,
}

impl Projection {
    /// The names and types of the outputs.
    pub fn schema(&self) -> &SchemaRef {
        &self.schema
    }

    /// Computes the outputs for a batch.
    ///
    /// ```
    /// use std::sync::Arc;
    /// use arrow::array::{ArrayRef, Int32Array, Int64Array, RecordBatch};
    /// use warpline::ops::expr::Select;
    ///
    /// let a: ArrayRef = Arc::new(Int32Array::from(vec![Some(1), None]));
    /// let batch = RecordBatch::try_from_iter([("a", a)]).unwrap();
    /// let out = Select::parse("coalesce(a, 0) * 2 AS twice")?.bind(&batch.schema())?.evaluate(&batch)?;
    /// let expected: ArrayRef = Arc::new(Int64Array::from(vec![2, 0]));
    /// assert_eq!(out.column(0), &expected);
    /// # Ok::<(), warpline::Error>(())
    /// ```
    ///
    /// # Errors
    /// `InvalidInput` with the lowest row of the batch that fails in any output, as
    /// [`Predicate::evaluate`](super::Predicate::evaluate); and when the batch has another number of columns.
    ///
    /// # Cost
    /// One pass over the columns read per operator, in row chunks on rayon's threads; a column that is only named is not
    /// copied.
    pub fn evaluate(&self, batch: &RecordBatch) -> Result<RecordBatch> {
        self.expect(batch.num_columns())?;
        let computed = self.computed();
        let compute = |part: &RecordBatch| {
            let output = |root: &&Bound| evaluate(root, part)?.into_array(part.num_rows()).map(canonical);
            computed.iter().map(output).collect::<Result<Vec<_>, _>>()
        };
        let results = match computed.is_empty() {
            true => Vec::new(),
            false => in_chunks(batch, compute)
                .map_err(|error| locate(OP, &self.text, batch, error, |part| compute(part).map(drop)))?,
        };
        let arrays = self.outputs(batch.columns(), results);
        let options = RecordBatchOptions::new().with_row_count(Some(batch.num_rows()));
        RecordBatch::try_new_with_options(self.schema.clone(), arrays, &options).map_err(|e| Error::arrow(OP, e))
    }

    /// Computes the outputs for a batch where `ctx` runs, and leaves them there.
    ///
    /// On a device all outputs together are one kernel, whose PTX is written here and compiled by the driver at its first
    /// use. Select lists that differ in their literals alone share it, and so do batches of equal types whose columns
    /// agree in which have a validity bitmap. What two outputs both read is read once.
    ///
    /// ```
    /// # use std::sync::Arc;
    /// use arrow::array::{ArrayRef, Int32Array, Int64Array, RecordBatch};
    /// use warpline::{Batch, ExecCtx, ops::expr::Select};
    ///
    /// let ctx = ExecCtx::host(0)?;
    /// let a: ArrayRef = Arc::new(Int32Array::from(vec![Some(1), None]));
    /// let batch = Batch::from_record_batch(&RecordBatch::try_from_iter([("a", a)])?).to(&ctx)?;
    /// let out = Select::parse("a, a * 2 AS twice")?.bind(batch.schema())?.evaluate_on(&ctx, &batch)?;
    /// let expected: ArrayRef = Arc::new(Int64Array::from(vec![Some(2), None]));
    /// assert_eq!(out.to_host()?.to_record_batch()?.column(1), &expected);
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    ///
    /// # Errors
    /// As [`Projection::evaluate`], with the same text: the failing row alone is copied to the host for it. `WrongDevice`
    /// when the batch is not where `ctx` runs, `InvalidInput` when its types are not those that the list was bound to, and
    /// on a device `Unsupported` as [`Predicate::mask`](super::Predicate::mask), and for binary of fixed size that is
    /// computed, not only named. There text and binary that outgrow their type's offsets are `InvalidInput`, and so are
    /// views whose long values outgrow one buffer of 2 GiB.
    ///
    /// # Synchronization
    /// On a device, none where no row can fail and no text is computed; else it waits once to learn whether one did, and
    /// once for the lengths of all text.
    ///
    /// # Cost
    /// On the host as [`Projection::evaluate`]. On a device one launch, or none where columns are only named, which are
    /// shared and not copied; it reads each column that is computed with once and writes each output once, with 1/8 byte a
    /// row for the validity of those that may be null. Literals of text, lists and view columns add a copy of a few bytes
    /// to the device. Text and binary take two launches more for all columns together, three with views: the kernel writes
    /// where each row's bytes are, 16 bytes a row, then offsets are summed, and each byte is copied once. A value that is
    /// printed as text takes 8 to 40 bytes of workspace a row, more only for decimals; floats, printed or
    /// read, add a table of 11 KB.
    pub fn evaluate_on(&self, ctx: &ExecCtx, batch: &Batch) -> Result<Batch> {
        ctx.expect(OP, batch.placement())?;
        self.expect(batch.columns().len())?;
        let rows = batch.num_rows();
        let Some(cuda) = ctx.as_cuda().filter(|_| rows > 0) else {
            let rows = match rows {
                0 => RecordBatch::new_empty(batch.schema().clone()),
                _ => batch.to_record_batch()?,
            };
            return Batch::from_record_batch(&ctx.pool().install(|| self.evaluate(&rows))?).to(ctx);
        };
        let computed = self.computed();
        let results = match computed.is_empty() {
            true => Vec::new(),
            false => {
                let columns = columns_of(batch)?;
                let program = self.programs.evaluate(&computed, &columns)?;
                cuda::evaluate(cuda, &program, &columns, rows)?.map_err(|row| self.explain(ctx, batch, row))?
            }
        };
        Batch::try_new(self.schema.clone(), self.outputs(batch.columns(), results), rows, ctx.placement())
    }

    /// The device memory that [`Projection::evaluate_on`] takes for this batch, without the inputs, whether the batch is on a
    /// device or will be; without the driver's memory for the compiled kernel. On the host nothing of it is used. It is
    /// what is taken, and with computed text a bound: all bytes of the columns that it may be taken from, and for views and
    /// dictionaries in every row the longest value that they may hold.
    ///
    /// # Errors
    /// `Unsupported` as [`Projection::evaluate_on`] on a device.
    ///
    /// # Cost
    /// No device work: a walk over the columns' types and lengths, and over the list.
    pub fn plan(&self, batch: &Batch) -> Result<MemoryPlan> {
        self.expect(batch.columns().len())?;
        match self.computed() {
            computed if computed.is_empty() || batch.num_rows() == 0 => Ok(MemoryPlan { workspace: 0, output: 0 }),
            computed => self.programs.plan(&computed, &each(batch), batch.num_rows()),
        }
    }

    /// The PTX of the kernel by which [`Projection::evaluate_on`] computes the outputs for such a batch on a device, for
    /// reading and for tools; no device is needed.
    ///
    /// # Errors
    /// `Unsupported` as [`Projection::evaluate_on`] on a device.
    pub fn ptx(&self, batch: &Batch) -> Result<String> {
        self.programs.evaluation_text(&self.computed(), batch)
    }

    fn expect(&self, columns: usize) -> Result<()> {
        if columns != self.inputs {
            let why = format!("the batch has {columns} columns, {} were bound", self.inputs);
            return Err(Error::invalid(OP, why));
        }
        Ok(())
    }

    /// The outputs that are more than a column of the input.
    fn computed(&self) -> Vec<&Bound> {
        self.roots.iter().filter(|root| !matches!(root, Bound::Column { .. })).collect()
    }

    /// Every output in order, given the input's columns and what was computed.
    fn outputs<C: Clone>(&self, columns: &[C], computed: Vec<C>) -> Vec<C> {
        let mut computed = computed.into_iter();
        let output = |root: &Bound| match root {
            Bound::Column { index, .. } => columns.get(*index).cloned(),
            _ => computed.next(),
        };
        self.roots.iter().filter_map(output).collect()
    }

    /// The host twin's error for a row that failed on the device.
    fn explain(&self, ctx: &ExecCtx, batch: &Batch, row: u64) -> Error {
        cuda::explain(ctx, batch, row, |one| self.evaluate(one).map(drop))
    }
}
