//! The Python package `warpline`: image columns in, NumPy or DLPack out, with the bytes of Pillow and torchvision.
//!
//! `input` turns Python's arrays into columns, `arguments` other values; `options` makes of keyword arguments what
//! `preprocess` keeps as a class; `call` holds the two functions, `results` what they return, `memory` where it is
//! and how NumPy sees it, `dlpack` how other libraries do, `context` where work runs, `error` what is raised.

mod arguments;
mod call;
mod context;
mod dlpack;
mod error;
mod input;
mod memory;
mod options;
mod preprocess;
mod results;

use pyo3::prelude::*;

/// The native half of the package; `warpline/__init__.py` re-exports it.
#[pymodule(name = "_native")]
fn native(module: &Bound<'_, PyModule>) -> PyResult<()> {
    module.add("__version__", env!("CARGO_PKG_VERSION"))?;
    module.add("ImageError", module.py().get_type::<error::ImageError>())?;
    module.add_class::<preprocess::Preprocess>()?;
    module.add_class::<results::RowError>()?;
    module.add_class::<results::Tensor>()?;
    module.add_class::<results::Images>()?;
    module.add_class::<results::Pixels>()?;
    module.add_function(wrap_pyfunction!(call::decode_image, module)?)?;
    module.add_function(wrap_pyfunction!(call::image_to_tensor, module)?)?;
    Ok(())
}
