//! Columns that cross the border of safe Rust: Arrow C Data from and to other libraries, and arrays put together from
//! buffers that this crate made.

mod assemble;
mod c_data;

pub(crate) use assemble::assemble;
pub use c_data::{export_batch, export_column, export_stream, import_batch, import_column, import_stream};
