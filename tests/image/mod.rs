//! Tests of `warpline::image`, a module per file of it.

mod image_decode;
mod jpeg_decode;
mod normalize;
mod oracle;
mod preprocess;
mod resize;
