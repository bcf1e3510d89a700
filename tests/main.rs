//! The one integration-test binary: a folder per area, a module per operator.

mod common;

mod column;
mod device;
mod image;
mod infer;
mod large;
mod layout;
mod ops;
mod parquet;
mod pipeline;
mod workloads;
