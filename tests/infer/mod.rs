//! Tests of `warpline::infer`, a module per file of it.

mod model;
