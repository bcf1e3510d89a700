//! Schemas of joined rows.

use std::sync::Arc;

use arrow::datatypes::{DataType, Field, Schema, SchemaRef};

use super::JoinType;
use crate::error::{Error, Result};

/// The two sides of a join, as far as schemas go.
pub(super) struct Sides<'a> {
    pub(super) probe: &'a Schema,
    pub(super) table: &'a Schema,
    /// Positions of the keys in either.
    pub(super) probe_keys: &'a [usize],
    pub(super) table_keys: &'a [usize],
    /// The types in which keys compare.
    pub(super) key_types: &'a [DataType],
    /// The table without its keys.
    pub(super) payload: &'a Schema,
}

impl Sides<'_> {
    /// What a join of this type gives.
    pub(super) fn joined(&self, kind: JoinType) -> Result<SchemaRef> {
        Ok(match kind {
            JoinType::Inner | JoinType::Left => self.pairs(self.probe.fields().to_vec(), kind == JoinType::Left),
            JoinType::Right | JoinType::Full => self.pairs(self.merged_fields(), kind == JoinType::Full),
            JoinType::LeftSemi | JoinType::LeftAnti => Arc::new(self.probe.clone()),
            JoinType::RightSemi | JoinType::RightAnti => Arc::new(self.table.clone()),
            JoinType::LeftMark => {
                if self.probe.index_of("mark").is_ok() {
                    return Err(Error::invalid_column(
                        super::OP,
                        "mark",
                        "a mark join adds this column: rename it first",
                    ));
                }
                let mark = Arc::new(Field::new("mark", DataType::Boolean, false));
                let fields: Vec<_> = self.probe.fields().iter().cloned().chain([mark]).collect();
                Arc::new(Schema::new_with_metadata(fields, self.probe.metadata().clone()))
            }
        })
    }

    /// The probe side's fields where a row may come from the table alone: its keys then stand in the key columns.
    fn merged_fields(&self) -> Vec<Arc<Field>> {
        let merge = |(at, field): (usize, &Arc<Field>)| {
            let merged = field.as_ref().clone();
            Arc::new(match self.probe_keys.iter().position(|key| *key == at) {
                None => merged.with_nullable(true),
                Some(key) => {
                    let other = self.table.field(self.table_keys[key]);
                    let nullable = field.is_nullable() || other.is_nullable();
                    let data_type = match field.data_type() == other.data_type() {
                        true => field.data_type().clone(),
                        false => self.key_types[key].clone(),
                    };
                    merged.with_data_type(data_type).with_nullable(nullable)
                }
            })
        };
        self.probe.fields().iter().enumerate().map(merge).collect()
    }

    fn pairs(&self, mut fields: Vec<Arc<Field>>, table_nullable: bool) -> SchemaRef {
        for field in self.payload.fields() {
            let mut name = field.name().clone();
            while fields.iter().any(|f| *f.name() == name) {
                name.push_str("_right");
            }
            let nullable = field.is_nullable() || table_nullable;
            fields.push(Arc::new(field.as_ref().clone().with_name(name).with_nullable(nullable)));
        }
        Arc::new(Schema::new_with_metadata(fields, self.probe.metadata().clone()))
    }
}
