//! Host twin: arrow-rs's filter for flat types, masks over child rows for nested ones.

use std::sync::Arc;

use arrow::array::{
    Array, ArrayRef, AsArray, BooleanArray, BooleanBufferBuilder, NullArray, OffsetSizeTrait, new_empty_array,
};
use arrow::buffer::{Buffer, NullBuffer};
use arrow::compute::{FilterBuilder, FilterPredicate};
use rayon::prelude::*;

use crate::column::layout::{Layout, OffsetWidth};
use crate::column::parts::{Parts, list_values, offset_range, offsets_of};
use crate::column::{Batch, Column, Placement};
use crate::device::ExecCtx;
use crate::error::{Error, Result};

use super::OP;

/// See [`super::filter`]; a task per column.
pub(super) fn filter(ctx: &ExecCtx, batch: &Batch, mask: &Column) -> Result<Batch> {
    filter_by(ctx, batch, mask.to_array()?.as_boolean())
}

/// The same by a host array.
pub(super) fn filter_by(ctx: &ExecCtx, batch: &Batch, mask: &BooleanArray) -> Result<Batch> {
    let selection = Selection::new(mask);
    let one = |column: &Column| Ok(Column::from_array(selection.apply(&column.to_array()?)?));
    let columns = ctx.pool().install(|| batch.columns().par_iter().map(one).collect::<Result<Vec<_>>>())?;
    Batch::try_new(batch.schema().clone(), columns, selection.count, Placement::Host)
}

/// Rows to keep, prepared once for all columns.
struct Selection {
    /// No nulls: those became false.
    mask: BooleanArray,
    predicate: FilterPredicate,
    count: usize,
}

impl Selection {
    fn new(mask: &BooleanArray) -> Self {
        let mask = match mask.nulls() {
            Some(nulls) => BooleanArray::new(mask.values() & nulls.inner(), None),
            None => mask.clone(),
        };
        let predicate = FilterBuilder::new(&mask).optimize().build();
        let count = predicate.count();
        Selection { mask, predicate, count }
    }

    fn apply(&self, array: &ArrayRef) -> Result<ArrayRef> {
        if self.count == self.mask.len() {
            return Ok(array.clone());
        }
        if self.count == 0 {
            return Ok(new_empty_array(array.data_type()));
        }
        match Layout::of(array.data_type())? {
            Layout::Null => Ok(Arc::new(NullArray::new(self.count))),
            // arrow-rs cannot tell how many values of no width there are.
            Layout::Fixed(0) => Ok(self.nested(array, vec![Buffer::default()], Vec::new())?.into_array()),
            Layout::Bits | Layout::Fixed(_) | Layout::Bytes(_) | Layout::Views | Layout::Dictionary(_) => {
                self.predicate.filter(array).map_err(|e| Error::arrow(OP, e))
            }
            Layout::Struct => {
                let children = array.as_struct().columns().iter().map(|child| self.apply(child));
                Ok(self.nested(array, Vec::new(), children.collect::<Result<_>>()?)?.into_array())
            }
            Layout::FixedList(size) => {
                let children = array.as_fixed_size_list().values().slice(0, array.len() * size);
                let below = Selection::new(&self.expand(|_| size));
                Ok(self.nested(array, Vec::new(), vec![below.apply(&children)?])?.into_array())
            }
            Layout::List(OffsetWidth::W32) => self.list::<i32>(array, OffsetWidth::W32),
            Layout::List(OffsetWidth::W64) => self.list::<i64>(array, OffsetWidth::W64),
        }
    }

    /// Lists and maps: the rows' masks spread over their child rows.
    fn list<O: OffsetSizeTrait>(&self, array: &ArrayRef, width: OffsetWidth) -> Result<ArrayRef> {
        let offsets = offsets_of::<O>(array.as_ref());
        let (first, last) = offset_range(array.as_ref(), width);
        let children = list_values(array.as_ref()).slice(first, last - first);
        let length = |row: usize| (offsets[row + 1] - offsets[row]).as_usize();
        let below = Selection::new(&self.expand(length));
        let mut kept = Vec::with_capacity(self.count + 1);
        let mut end = O::zero();
        kept.push(end);
        for row in self.mask.values().set_indices() {
            end += offsets[row + 1] - offsets[row];
            kept.push(end);
        }
        let parts = self.nested(array, vec![Buffer::from_vec(kept)], vec![below.apply(&children)?])?;
        Ok(parts.into_array())
    }

    /// The mask over child rows, when row `r` has `length(r)` of them.
    fn expand(&self, length: impl Fn(usize) -> usize) -> BooleanArray {
        let mut bits = BooleanBufferBuilder::new(self.mask.len());
        for (row, keep) in self.mask.values().iter().enumerate() {
            bits.append_n(length(row), keep);
        }
        BooleanArray::new(bits.finish(), None)
    }

    /// The kept rows of a type whose values are in its children.
    fn nested(&self, array: &ArrayRef, buffers: Vec<Buffer>, children: Vec<ArrayRef>) -> Result<Parts> {
        let children = children.iter().map(|child| Parts::of(child.as_ref())).collect::<Result<_>>()?;
        Ok(Parts {
            data_type: array.data_type().clone(),
            len: self.count,
            nulls: self.nulls(array.nulls())?,
            buffers,
            children,
        })
    }

    fn nulls(&self, nulls: Option<&NullBuffer>) -> Result<Option<NullBuffer>> {
        let Some(nulls) = nulls else { return Ok(None) };
        let bits = BooleanArray::new(nulls.inner().clone(), None);
        let kept = self.predicate.filter(&bits).map_err(|e| Error::arrow(OP, e))?;
        Ok(Some(NullBuffer::new(kept.as_boolean().values().clone())))
    }
}
