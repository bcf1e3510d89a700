//! Tests of `warpline::image`, a module per file of it.
