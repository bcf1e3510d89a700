//! GPU-native columnar kernels over Arrow columns, with exact host twins and a streaming executor.
//!
//! Data flows one way through the layers: [`pipeline`] calls operators ([`ops`], [`image`],
//! [`parquet`], [`infer`]), those call [`mod@column`], and that calls [`device`]. An operator runs where its
//! [`ExecCtx`] is and gives the same bytes on the host and on a device.

pub mod column;
pub mod device;
mod error;
pub mod image;
pub mod infer;
pub mod ops;
pub mod parquet;
pub mod pipeline;
mod storage;

pub use arrow;
pub use column::{Batch, Column, Placement};
pub use device::ExecCtx;
pub use error::{Error, Result};

/// Compiles and runs the README's example.
#[cfg(doctest)]
#[doc = include_str!("../README.md")]
pub struct ReadmeDoctests;

/// Compiles and runs the examples of the page for newcomers.
#[cfg(doctest)]
#[doc = include_str!("../docs/coming-from.md")]
pub struct ComingFromDoctests;
