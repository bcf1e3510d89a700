//! Model runtimes behind `--model`.

#[cfg(feature = "ort")]
mod ort;
#[cfg(feature = "tract")]
mod tract;

use std::path::Path;

use warpline::infer::Model;

use crate::exit::{Exit, Failure};

/// The runtimes of this build, the one that is used first.
pub fn runtimes() -> Vec<&'static str> {
    [("onnxruntime", cfg!(feature = "ort")), ("tract", cfg!(feature = "tract"))]
        .into_iter()
        .filter_map(|(name, present)| present.then_some(name))
        .collect()
}

/// Loads an ONNX file: by ONNX Runtime where this build has it and its library is found, else by tract.
pub fn load(path: &Path) -> Result<Model, Failure> {
    let bytes = std::fs::read(path).map_err(|e| Failure::io(Exit::Model, path, &e))?;
    from_bytes(&path.display().to_string(), &bytes).map_err(|e| Failure::from(e).with_exit(Exit::Model))
}

/// Loads ONNX bytes under a name for messages.
#[allow(unreachable_code, unused_variables, reason = "which part is reached depends on the features")]
pub fn from_bytes(name: &str, bytes: &[u8]) -> warpline::Result<Model> {
    #[cfg(feature = "ort")]
    if ort::is_available()? || !cfg!(feature = "tract") {
        return Ok(Model::new(ort::OrtModel::new(name, bytes)?));
    }
    #[cfg(feature = "tract")]
    return Ok(Model::new(tract::TractModel::new(name, bytes)?));
    Err(warpline::Error::unsupported(
        "model",
        format!("{name}: ONNX"),
        "build warpline-cli with --features tract or ort",
    ))
}
