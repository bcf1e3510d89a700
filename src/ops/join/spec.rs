//! What a join is before any row is looked at: keys, the types in which they compare, and schemas. Both twins read it.

use arrow::datatypes::{DataType, Schema, SchemaRef};

use super::keys::{key_types, positions};
use super::options::{JoinOptions, JoinType};
use super::schema::Sides;
use super::{MOST_ROWS, OP};
use crate::column::Batch;
use crate::error::{Error, Result};
use crate::ops::expr::Predicate;

#[derive(Debug)]
pub(super) struct Spec {
    pub(super) options: JoinOptions,
    probe_schema: SchemaRef,
    /// Positions of the keys in the probe schema and in the table, and the types in which they are compared.
    pub(super) probe_keys: Vec<usize>,
    pub(super) table_keys: Vec<usize>,
    pub(super) key_types: Vec<DataType>,
    /// Positions of the table's other columns.
    pub(super) payload: Vec<usize>,
    pub(super) residual: Option<Residual>,
    /// Of joined batches.
    pub(super) schema: SchemaRef,
}

/// The condition beside the keys, over the columns of an inner join.
#[derive(Debug)]
pub(super) struct Residual {
    pub(super) predicate: Predicate,
    pub(super) schema: SchemaRef,
}

impl Spec {
    pub(super) fn new(table: &Schema, on: &[&str], probe_schema: &SchemaRef, options: JoinOptions) -> Result<Self> {
        if on.is_empty() {
            return Err(Error::invalid(OP, "no key columns given"));
        }
        let probe_keys = positions(probe_schema, on, "left")?;
        let table_keys = positions(table, on, "joined")?;
        let key_types = key_types(probe_schema, table, &probe_keys, &table_keys)?;
        let payload: Vec<usize> = (0..table.fields().len()).filter(|i| !table_keys.contains(i)).collect();
        let sides = Sides {
            probe: probe_schema,
            table,
            probe_keys: &probe_keys,
            table_keys: &table_keys,
            key_types: &key_types,
            payload: &table.project(&payload).map_err(|e| Error::arrow(OP, e))?,
        };
        let schema = sides.joined(options.kind)?;
        let residual = match &options.residual {
            None => None,
            Some(condition) => {
                let schema = sides.joined(JoinType::Inner)?;
                Some(Residual { predicate: condition.bind(&schema)?, schema })
            }
        };
        let probe_schema = probe_schema.clone();
        Ok(Spec { options, probe_schema, probe_keys, table_keys, key_types, payload, residual, schema })
    }

    pub(super) fn kind(&self) -> JoinType {
        self.options.kind
    }

    /// The key, by its number, that stands in this column of joined rows.
    pub(super) fn key_at(&self, column: usize) -> Option<usize> {
        self.probe_keys.iter().position(|key| *key == column)
    }

    pub(super) fn probe_schema(&self) -> &SchemaRef {
        &self.probe_schema
    }

    /// Columns of joined rows that come from the probe side.
    pub(super) fn probe_columns(&self) -> usize {
        self.probe_schema.fields().len()
    }

    /// Types of the key columns in the probe schema.
    pub(super) fn probe_key_types(&self) -> impl Iterator<Item = &DataType> {
        self.probe_keys.iter().map(|key| self.probe_schema.field(*key).data_type())
    }

    /// Refuses a probe batch of other columns than the join was built for.
    pub(super) fn check(&self, batch: &Batch) -> Result<()> {
        let (fields, columns) = (self.probe_schema.fields(), batch.columns());
        if fields.len() != columns.len() {
            let why = format!("the batch has {} columns, the join was built for {}", columns.len(), fields.len());
            return Err(Error::invalid(OP, why));
        }
        for (field, column) in fields.iter().zip(columns) {
            if field.data_type() != column.data_type() {
                let why = format!("is {}, the join was built for {}", column.data_type(), field.data_type());
                return Err(Error::invalid_column(OP, field.name(), why));
            }
        }
        if batch.num_rows() > MOST_ROWS {
            let why = format!("the batch has {} rows, at most {MOST_ROWS} can be probed at once", batch.num_rows());
            return Err(Error::invalid(OP, why));
        }
        Ok(())
    }
}

/// Refuses more joined rows than a batch can have.
pub(super) fn check_joined(rows: u64) -> Result<()> {
    if rows <= MOST_ROWS as u64 {
        return Ok(());
    }
    let why = format!("the batch joins to {rows} rows, at most {MOST_ROWS} fit in one: take them in chunks");
    Err(Error::invalid(OP, why))
}

/// The error of a pair, under the number of its probe row, which `probe_row` gives.
pub(super) fn of_probe_row(error: Error, probe_row: impl FnOnce(usize) -> Result<Option<u64>>) -> Error {
    match error {
        Error::InvalidInput { column, row: Some(row), why, .. } => match probe_row(row as usize) {
            Ok(row) => Error::InvalidInput { op: OP, column, row, why },
            Err(error) => error,
        },
        other => other,
    }
}
