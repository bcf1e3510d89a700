//! Tests of `warpline::ops`, a module per file of it.
