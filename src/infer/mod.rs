//! Models over tensor columns.
//!
//! The library runs no model format itself: a [`Backend`] does (the command line brings tract, and ONNX Runtime behind a
//! feature), and [`Model`] puts it over columns. It checks shapes before anything runs, cuts the column into the model's
//! own batches whatever the sizes of the pipeline's, leaves null rows out, and pads the last batch, so that a row's result
//! depends neither on its neighbours nor on how rows were batched.

mod model;
mod shape;

pub use model::Model;
pub use shape::{Port, RowShape, Tensor};

use crate::error::Result;

/// Something that runs a model on host tensors. Implementations are called from several threads at once.
///
/// ```
/// use std::sync::Arc;
/// use warpline::arrow::array::{ArrayRef, AsArray, Float32Array};
/// use warpline::arrow::datatypes::{DataType, Float32Type};
/// use warpline::infer::{Backend, Port, Tensor};
///
/// /// The mean of every row.
/// struct Mean {
///     input: Port,
/// }
///
/// impl Backend for Mean {
///     fn name(&self) -> &str {
///         "mean"
///     }
///     fn input(&self) -> &Port {
///         &self.input
///     }
///     fn outputs(&self, _input: &[usize]) -> warpline::Result<Vec<Port>> {
///         Ok(vec![Port { name: "mean".into(), data_type: DataType::Float32, shape: vec![None] }])
///     }
///     fn run(&self, input: &Tensor) -> warpline::Result<Vec<Tensor>> {
///         let values = input.values.as_primitive::<Float32Type>().values();
///         let row = values.len() / input.shape[0];
///         let means = values.chunks_exact(row).map(|row| row.iter().sum::<f32>() / row.len() as f32);
///         let values: ArrayRef = Arc::new(means.collect::<Float32Array>());
///         Ok(vec![Tensor { shape: vec![input.shape[0]], values }])
///     }
/// }
/// ```
pub trait Backend: Send + Sync {
    /// What errors call the model, such as its file.
    fn name(&self) -> &str;

    /// The model's one input; the first axis is the batch.
    fn input(&self) -> &Port;

    /// The outputs for an input of this shape, batch included. Every axis but the first must be known.
    fn outputs(&self, input: &[usize]) -> Result<Vec<Port>>;

    /// Runs one batch. The input fits [`Backend::input`]; each output has the input's first axis first.
    fn run(&self, input: &Tensor) -> Result<Vec<Tensor>>;
}
