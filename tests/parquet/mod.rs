//! Tests of `warpline::parquet`, a module per file of it.
