//! How many bytes computed text may have: what the columns that it is taken from hold, and so many for each row.

use std::collections::BTreeSet;

use arrow::array::{Array, AsArray};
use arrow::datatypes::DataType;

use super::bind::{Bound, is_binary, is_text, plain_type};
use super::emit::{bytes_of, text_width};
use crate::column::Column;
use crate::column::layout::Layout;
use crate::error::{Error, Result};
use crate::ops::gather::plan::Shape;

/// Where the bytes of an expression's text may come from: each row takes them from one place.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Reach {
    /// Columns whose rows it may take.
    columns: BTreeSet<usize>,
    /// The longest of the literals and of the values that are written as text.
    longest: usize,
}

impl Reach {
    pub(super) fn of(bound: &Bound) -> Reach {
        let mut reach = Reach::default();
        reach.add(bound);
        reach
    }

    fn add(&mut self, bound: &Bound) {
        match bound {
            Bound::Column { index, .. } => drop(self.columns.insert(*index)),
            Bound::Scalar(array) if is_bytes(array.data_type()) && array.is_valid(0) => {
                self.longest = self.longest.max(bytes_of(array, 0).len());
            }
            Bound::Case { branches, otherwise } => {
                branches.iter().for_each(|(_, then)| self.add(then));
                self.add(otherwise);
            }
            Bound::Coalesce(inputs) => inputs.iter().for_each(|input| self.add(input)),
            Bound::Cast { input, .. } if is_bytes(plain_type(input.data_type())) => self.add(input),
            Bound::Cast { input, .. } => {
                self.longest = self.longest.max(text_width(plain_type(input.data_type())).unwrap_or(0));
            }
            _ => {}
        }
    }

    /// The most bytes for so many rows of these columns.
    pub(super) fn bytes(&self, columns: &[&Column], rows: usize) -> Result<u64> {
        let mut bytes = (rows as u64).saturating_mul(self.longest as u64);
        for index in &self.columns {
            let missing = || Error::Internal { op: super::emit::OP, why: "a column is missing".into() };
            bytes = bytes.saturating_add(column_bytes(columns.get(*index).ok_or_else(missing)?)?);
        }
        Ok(bytes)
    }
}

fn is_bytes(data_type: &DataType) -> bool {
    is_text(data_type) || is_binary(data_type)
}

/// The most bytes that the rows of a column show. Views and dictionaries may show one long value in every row.
fn column_bytes(column: &Column) -> Result<u64> {
    let rows = column.len() as u64;
    let shape = Shape::of(column)?;
    Ok(match (shape.layout, shape.children.as_slice()) {
        (Layout::Bytes(_), _) => shape.bytes,
        (Layout::Fixed(width), _) => rows.saturating_mul(width as u64),
        (Layout::Dictionary(_), [values]) => match values.layout {
            Layout::Bytes(_) => rows.saturating_mul(values.bytes),
            Layout::Fixed(width) => rows.saturating_mul(width as u64),
            _ => rows.saturating_mul(longest_view(column, true)?),
        },
        _ => rows.saturating_mul(longest_view(column, false)?),
    })
}

/// The longest text that the views of a column, or of its dictionary, may show.
fn longest_view(column: &Column, dictionary: bool) -> Result<u64> {
    let longest = |lengths: &mut dyn Iterator<Item = usize>| lengths.fold(12, usize::max) as u64;
    if let Some(column) = column.as_device() {
        let views = column.children().first().filter(|_| dictionary).unwrap_or(column);
        return Ok(longest(&mut views.buffers().iter().skip(1).map(|buffer| buffer.len())));
    }
    let array = column.to_array()?;
    let views = array.as_any_dictionary_opt().filter(|_| dictionary).map_or(&array, |any| any.values());
    Ok(longest(&mut views.to_data().buffers().iter().skip(1).map(|buffer| buffer.len())))
}
