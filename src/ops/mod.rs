//! Operators over tables.

pub mod expr;
mod filter;
mod gather;
pub mod join;

pub(crate) use filter::filter_where_masked;
pub use filter::{filter, filter_plan, filter_where, filter_where_plan};
pub use gather::{gather, gather_or_null, gather_plan};
