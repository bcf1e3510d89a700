//! Tests of `warpline::column`, a module per file of it.
