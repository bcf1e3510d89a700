//! Sample data for `warpline demo`: drawings, the tables made of them, and the model that tells them apart.

pub mod dataset;
pub mod draw;
pub mod encode;
pub mod predict;
