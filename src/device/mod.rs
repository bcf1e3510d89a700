//! The device layer: the only code that names cudarc.

mod exec;

pub use exec::ExecCtx;
