//! Judges that need C libraries, for tests and benches only: libjpeg-turbo with its SIMD code; and DataFusion.
//!
//! The crate is out of the workspace's default members, because building it takes cmake and nasm.
