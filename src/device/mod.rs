//! The device layer: the only code that names cudarc.
//!
//! [`ExecCtx`] says where operators run. On a device it holds a [`CudaCtx`]: a stream, a memory pool behind a hard
//! budget ([`Ledger`]), and the kernels. Memory is a [`DeviceBuffer`], whose pointer comes only out of guards that
//! order streams, so that hand-over cannot be forgotten. Kernels are launched through typed functions declared with
//! `kernel!` and checked against the PTX when the crate is compiled.

mod buffer;
mod context;
mod driver;
mod emitted;
mod exec;
mod info;
pub(crate) mod kernels;
pub(crate) mod launch;
mod ledger;
mod memory;
mod monitor;
mod plan;
pub(crate) mod staging;
mod status;
mod stream;

pub use buffer::{DeviceBuffer, DeviceBufferMut, In, Loan, Out, ReadGuard, WriteGuard};
pub use context::{CopyStats, CudaCtx, ModuleStats};
pub use driver::{cuda_version, device_count, is_present, keep_context};
pub use exec::ExecCtx;
pub use info::DeviceInfo;
pub use launch::{CountLaunches, Grid, LaunchInfo, LaunchStrategy, PlainLaunch, UserArg, UserModule};
pub use ledger::Ledger;
pub use monitor::{DeviceState, Sensors, SystemInfo};
pub use plan::MemoryPlan;
pub(crate) use plan::padded;
pub(crate) use status::StatusWord;
pub use stream::{Event, ForeignStream, Stream};
