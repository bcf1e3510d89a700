//! Tests of `warpline::image`, a module per file of it.

mod normalize;
mod oracle;
mod preprocess;
mod resize;
