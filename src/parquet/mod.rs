//! Parquet in and out.
