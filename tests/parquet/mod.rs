//! Tests of `warpline::parquet`, a module per file of it.

mod oracle;
mod paths;
mod reader;
mod writer;
