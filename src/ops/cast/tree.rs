//! A cast column by column and child by child: plain columns are cast together, nested ones are put together again.

use std::collections::HashSet;

use arrow::datatypes::{DataType, Field, FieldRef, Schema};

use crate::column::layout::Layout;
use crate::column::parts::Parts;
use crate::column::{Batch, Column, DeviceColumn, Placement};
use crate::device::{ExecCtx, MemoryPlan};
use crate::error::{Error, Result};
use crate::ops::expr::{Expr, Projection, Select, SelectItem};

use super::OP;

/// A column on its way to a type.
pub(super) enum Node {
    /// It is of the type already.
    Same(Column),
    /// The plain column of this number.
    Plain(usize),
    /// A list, map or struct around cast children.
    Nested(Shell, DataType, Vec<Node>),
}

/// What of a nested column stays: its validity and offsets.
pub(super) enum Shell {
    Host(Parts),
    Device(DeviceColumn),
}

/// A plain column, the path to it, which is unique, and the type that it gets.
struct Plain {
    path: String,
    column: Column,
    to: DataType,
}

/// The plain columns of a batch's casts.
#[derive(Default)]
pub(super) struct Casts {
    lenient: bool,
    plain: Vec<Plain>,
    paths: HashSet<String>,
}

impl Casts {
    pub(super) fn new(lenient: bool) -> Self {
        Casts { lenient, ..Default::default() }
    }

    /// Takes a column apart.
    pub(super) fn add(&mut self, path: &str, column: &Column, to: &DataType) -> Result<Node> {
        let from = column.data_type().clone();
        if from == *to {
            return Ok(Node::Same(column.clone()));
        }
        if !from.is_nested() && !to.is_nested() {
            let mut path = path.to_owned();
            while !self.paths.insert(path.clone()) {
                path.push('\'');
            }
            self.plain.push(Plain { path, column: column.clone(), to: to.clone() });
            return Ok(Node::Plain(self.plain.len() - 1));
        }
        let (ours, theirs) = (fields(&from), fields(to));
        if !same_kind(&from, to) || ours.len() != theirs.len() {
            return Err(Error::invalid_column(OP, path, format!("{from} does not cast to {to}")));
        }
        let (shell, children) = open(column)?;
        let mut nodes = Vec::with_capacity(children.len());
        for ((ours, theirs), child) in ours.iter().zip(&theirs).zip(&children) {
            let path = format!("{path}.{}", ours.name());
            if !theirs.is_nullable() && (ours.is_nullable() || self.lenient && ours.data_type() != theirs.data_type()) {
                let why = format!("it may hold nulls, '{}' of {to} may not", theirs.name());
                return Err(Error::invalid_column(OP, path, why));
            }
            nodes.push(self.add(&path, child, theirs.data_type())?);
        }
        Ok(Node::Nested(shell, to.clone(), nodes))
    }

    /// Casts the plain columns, those of equal length at once.
    pub(super) fn run(&self, ctx: &ExecCtx) -> Result<Vec<Column>> {
        let mut done: Vec<Option<Column>> = self.plain.iter().map(|_| None).collect();
        for (numbers, batch, projection) in self.projections(ctx.placement())? {
            let cast = projection.evaluate_on(ctx, &batch)?;
            numbers.into_iter().zip(cast.columns()).for_each(|(number, column)| done[number] = Some(column.clone()));
        }
        let missing = || Error::Internal { op: OP, why: "a column went missing".into() };
        done.into_iter().map(|column| column.ok_or_else(missing)).collect()
    }

    /// The device memory of [`Casts::run`]: one projection after the other.
    pub(super) fn plan(&self, placement: Placement) -> Result<MemoryPlan> {
        let (mut output, mut peak) = (0, 0);
        for (_, batch, projection) in self.projections(placement)? {
            let plan = projection.plan(&batch)?;
            peak = peak.max(output + plan.workspace + plan.output);
            output += plan.output;
        }
        Ok(MemoryPlan { workspace: peak - output, output })
    }

    /// A projection for all plain columns of one length, with their numbers.
    fn projections(&self, placement: Placement) -> Result<Vec<(Vec<usize>, Batch, Projection)>> {
        let mut groups: Vec<(usize, Vec<usize>)> = Vec::new();
        for (number, plain) in self.plain.iter().enumerate() {
            let rows = plain.column.len();
            match groups.iter_mut().find(|(length, _)| *length == rows) {
                Some((_, numbers)) => numbers.push(number),
                None => groups.push((rows, vec![number])),
            }
        }
        let projection = |(rows, numbers): (usize, Vec<usize>)| {
            let plain = || numbers.iter().map(|&number| &self.plain[number]);
            let fields = plain().map(|plain| Field::new(&plain.path, plain.column.data_type().clone(), true));
            let schema = Schema::new(fields.collect::<Vec<_>>());
            let item = |plain: &Plain| {
                let column = Box::new(Expr::Column(plain.path.clone()));
                let expr = Expr::Cast { expr: column, to: plain.to.clone(), lenient: self.lenient };
                SelectItem::Expr { expr, name: Some(plain.path.clone()) }
            };
            let projection = Select::new(plain().map(item).collect()).bind(&schema)?;
            let columns = plain().map(|plain| plain.column.clone()).collect();
            Ok((numbers.clone(), Batch::try_new(schema.into(), columns, rows, placement)?, projection))
        };
        groups.into_iter().map(projection).collect()
    }
}

impl Node {
    /// The column with its plain parts cast.
    pub(super) fn finish(self, plain: &[Column]) -> Result<Column> {
        let (shell, to, children) = match self {
            Node::Same(column) => return Ok(column),
            Node::Plain(number) => return Ok(plain[number].clone()),
            Node::Nested(shell, to, children) => (shell, to, children),
        };
        let children = children.into_iter().map(|child| child.finish(plain)).collect::<Result<Vec<_>>>()?;
        match shell {
            Shell::Host(parts) => {
                let children = children.iter().map(|child| Parts::of(child.to_array()?.as_ref()));
                let children = children.collect::<Result<_>>()?;
                Ok(Column::from_array(Parts { data_type: to, children, ..parts }.into_array()))
            }
            Shell::Device(column) => {
                let missing = || Error::Internal { op: OP, why: "a child is not on the device".into() };
                let children = children.iter().map(|child| child.as_device().cloned().ok_or_else(missing));
                let (validity, buffers) = (column.validity().cloned(), column.buffers().to_vec());
                let children = children.collect::<Result<_>>()?;
                Ok(DeviceColumn::from_parts(column.ctx(), to, column.len(), validity, buffers, children)?.into())
            }
        }
    }
}

/// A nested column without its children, and those.
fn open(column: &Column) -> Result<(Shell, Vec<Column>)> {
    if let Some(column) = column.as_device() {
        return Ok((Shell::Device(column.clone()), column.children().iter().cloned().map(Column::from).collect()));
    }
    let mut parts = Parts::of(column.to_array()?.as_ref())?;
    let children = std::mem::take(&mut parts.children);
    Ok((Shell::Host(parts), children.into_iter().map(|child| Column::from_array(child.into_array())).collect()))
}

/// Whether one layout serves both types, so that only children are cast.
fn same_kind(from: &DataType, to: &DataType) -> bool {
    use DataType::{FixedSizeList, LargeList, List, Map, Struct};
    let kinds = matches!((from, to), (List(_), List(_)) | (LargeList(_), LargeList(_)) | (Struct(_), Struct(_)))
        || matches!((from, to), (Map(_, ours), Map(_, theirs)) if ours == theirs)
        || matches!((from, to), (FixedSizeList(_, ours), FixedSizeList(_, theirs)) if ours == theirs);
    kinds && Layout::of(from).ok() == Layout::of(to).ok()
}

/// The fields of a nested type's children.
fn fields(data_type: &DataType) -> Vec<FieldRef> {
    use DataType::{FixedSizeList, LargeList, List, Map, Struct};
    match data_type {
        List(field) | LargeList(field) | FixedSizeList(field, _) | Map(field, _) => vec![field.clone()],
        Struct(fields) => fields.iter().cloned().collect(),
        _ => Vec::new(),
    }
}
