//! Parquet in and out, on the host, over the `parquet` crate.
//!
//! [`ParquetReader`] streams a file a few rows at a time, so that a row group is never in memory as a whole.
//! [`ParquetWriter`] writes parts into a folder that appears under its name only when it is complete, and
//! [`PartitionedWriter`] one file for each partition. Malformed files are
//! typed errors: the `parquet` crate panics on some of them, and those panics are caught here.

mod paths;
mod reader;
mod writer;

pub use paths::expand_paths;
pub use reader::ParquetReader;
pub use writer::{ParquetWriter, PartitionedWriter, WriteOptions};
