//! Several expressions as one select list.

use std::collections::{BTreeSet, HashSet};
use std::fmt;
use std::str::FromStr;
use std::sync::Arc;

use arrow::array::{RecordBatch, RecordBatchOptions};
use arrow::datatypes::{Field, Schema, SchemaRef};

use super::bind::{Bound, bind_value};
use super::eval::{evaluate, in_chunks, locate};
use super::{Expr, parse};
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
        Ok(Projection { roots: roots.into(), schema: Arc::new(Schema::new(fields)), inputs, text: self.to_string() })
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
        if batch.num_columns() != self.inputs {
            let why = format!("the batch has {} columns, {} were bound", batch.num_columns(), self.inputs);
            return Err(Error::invalid(OP, why));
        }
        let computed: Vec<&Bound> = self.roots.iter().filter(|root| !matches!(root, Bound::Column { .. })).collect();
        let compute = |part: &RecordBatch| {
            computed.iter().map(|root| evaluate(root, part)?.into_array(part.num_rows())).collect::<Result<Vec<_>, _>>()
        };
        let mut results = match computed.is_empty() {
            true => Vec::new(),
            false => in_chunks(batch, compute)
                .map_err(|error| locate(OP, &self.text, batch, error, |part| compute(part).map(drop)))?,
        }
        .into_iter();
        let arrays = self.roots.iter().filter_map(|root| match root {
            Bound::Column { index, .. } => Some(batch.column(*index).clone()),
            _ => results.next(),
        });
        let arrays = arrays.collect();
        let options = RecordBatchOptions::new().with_row_count(Some(batch.num_rows()));
        RecordBatch::try_new_with_options(self.schema.clone(), arrays, &options).map_err(|e| Error::arrow(OP, e))
    }
}
