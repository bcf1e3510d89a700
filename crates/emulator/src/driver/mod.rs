//! The exported driver API: `extern "C"` functions with the names, signatures and codes of `cuda.h`.
//!
//! Handles are numbers into tables, so a stale or made-up one is `CUDA_ERROR_INVALID_HANDLE` and never a crash.

mod boxes;
mod capture;
mod config;
mod context;
mod copies;
mod device;
mod errors;
mod event;
mod graph;
mod launch;
mod library;
mod memory;
mod module;
mod pools;
mod procs;
mod state;
mod stream;
mod stubs;

pub use config::Config;
pub use errors::code;
