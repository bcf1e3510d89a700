//! Tests of `warpline::pipeline`, a module per file of it.
