//! A CUDA driver that runs on the CPU: `libcuda.so` for tests.
//!
//! Built as a shared library it exports the driver API that [cudarc](https://crates.io/crates/cudarc) calls. Modules are PTX
//! text; kernels are lowered to a register form and run 32 lanes at a time, with checks that a device does not make.
//! Programs load it in place of the NVIDIA driver and need no change.

// Loops over lanes index several arrays at once; that form is what the compiler turns into vector code.
#![allow(clippy::needless_range_loop, clippy::too_many_arguments)]

pub mod checks;
pub mod counters;
pub mod driver;
pub mod exec;
pub mod lower;
pub mod mem;
pub mod ptx;
pub mod streams;
