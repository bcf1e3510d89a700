//! ONNX by ONNX Runtime, loaded when it is first needed: its CPU provider, on the host.
//!
//! The library is the one that `ORT_DYLIB_PATH` names, else that of the `onnxruntime` Python package in the active virtual
//! environment (`VIRTUAL_ENV`, `CONDA_PREFIX`).

use std::path::PathBuf;
use std::sync::{Arc, Mutex, OnceLock, PoisonError};

use arrow::array::{
    ArrayRef, ArrowPrimitiveType, AsArray, Float16Array, Float32Array, Float64Array, Int32Array, Int64Array, UInt8Array,
};
use arrow::datatypes::{DataType, Float16Type, Float32Type, UInt8Type};
use ort::environment::Environment;
use ort::session::Session;
use ort::value::{DynValue, Outlet, TensorElementType, TensorRef, ValueType};
use warpline::infer::{Backend, Port, Tensor};
use warpline::{Error, Result};

const OP: &str = "model";

/// A model that ONNX Runtime runs, one batch at a time; the runtime itself uses all cores.
pub struct OrtModel {
    name: String,
    input: Port,
    outputs: Vec<Port>,
    session: Mutex<Session>,
}

/// Whether the runtime's library is there. A library that is named or found but does not load is an error.
pub fn is_available() -> Result<bool> {
    Ok(library().is_some() && environment().map(|_| true)?)
}

fn library() -> Option<PathBuf> {
    if let Some(path) = std::env::var_os("ORT_DYLIB_PATH").filter(|p| !p.is_empty()) {
        return Some(path.into());
    }
    ["VIRTUAL_ENV", "CONDA_PREFIX"].iter().filter_map(std::env::var_os).find_map(|prefix| {
        let prefix = prefix.to_str().map(glob::Pattern::escape)?;
        let pattern = format!("{prefix}/lib/python*/site-packages/onnxruntime/capi/libonnxruntime.so*");
        glob::glob(&pattern).ok()?.find_map(|path| path.ok())
    })
}

/// The process's one environment.
fn environment() -> Result<&'static Environment> {
    static ENVIRONMENT: OnceLock<Result<Environment, String>> = OnceLock::new();
    let open = || {
        let path = library().ok_or("its library is not found")?;
        let builder = ort::init_from(&path).map_err(|e| format!("{}: {e}", path.display()))?;
        builder.with_name("warpline").with_telemetry(false).build().map_err(|e| format!("{}: {e}", path.display()))
    };
    ENVIRONMENT.get_or_init(open).as_ref().map_err(|why| {
        let hint = "set ORT_DYLIB_PATH to libonnxruntime.so, or pip install onnxruntime in the active environment";
        Error::unsupported(OP, format!("ONNX Runtime ({why})"), hint)
    })
}

impl OrtModel {
    /// Reads ONNX bytes; `name` is what errors call the model.
    pub fn new(name: &str, bytes: &[u8]) -> Result<Self> {
        let fail = |e: &dyn std::fmt::Display| Error::invalid(OP, format!("{name}: cannot read it as ONNX: {e}"));
        let mut builder = Session::builder(environment()?).map_err(|e| fail(&e))?;
        let session = builder.commit_from_memory(bytes).map_err(|e| fail(&e))?;
        let [input] = session.inputs() else {
            let what = format!("{name}: a model of {} inputs", session.inputs().len());
            return Err(Error::unsupported(OP, what, "export one with a single image input"));
        };
        let input = port(name, input)?;
        let outputs = session.outputs().iter().map(|outlet| port(name, outlet)).collect::<Result<_>>()?;
        Ok(OrtModel { name: name.to_owned(), input, outputs, session: Mutex::new(session) })
    }

    fn fail(&self, error: impl std::fmt::Display) -> Error {
        Error::invalid(OP, format!("{}: failed: {error}", self.name))
    }

    fn values<T: ort::value::PrimitiveTensorElementType + Clone + std::fmt::Debug + 'static>(
        &self,
        shape: &[usize],
        values: &[T],
    ) -> Result<Vec<Tensor>> {
        let input = TensorRef::from_array_view((shape.to_vec(), values)).map_err(|e| self.fail(e))?;
        let mut session = self.session.lock().unwrap_or_else(PoisonError::into_inner);
        let outputs = session.run(ort::inputs![input]).map_err(|e| self.fail(e))?;
        self.outputs.iter().map(|port| self.output(&outputs[port.name.as_str()])).collect()
    }

    fn output(&self, value: &DynValue) -> Result<Tensor> {
        let ValueType::Tensor { ty, shape, .. } = value.dtype() else {
            return Err(self.fail("an output is no tensor"));
        };
        let shape = shape.iter().map(|n| usize::try_from(*n).unwrap_or(0)).collect();
        macro_rules! array {
            ($($variant:ident => $native:ty, $array:ident);+) => {
                match ty {
                    $(TensorElementType::$variant => {
                        let (_, values) = value.try_extract_tensor::<$native>().map_err(|e| self.fail(e))?;
                        Arc::new($array::from_iter_values(values.iter().copied())) as ArrayRef
                    })+
                    other => return Err(self.fail(format!("an output of {other:?} is not supported"))),
                }
            };
        }
        let values = array!(
            Float16 => half::f16, Float16Array; Float32 => f32, Float32Array; Float64 => f64, Float64Array;
            Int32 => i32, Int32Array; Int64 => i64, Int64Array; Uint8 => u8, UInt8Array
        );
        Ok(Tensor { shape, values })
    }
}

impl Backend for OrtModel {
    fn name(&self) -> &str {
        &self.name
    }

    fn input(&self) -> &Port {
        &self.input
    }

    fn outputs(&self, input: &[usize]) -> Result<Vec<Port>> {
        if self.outputs.iter().all(|port| port.shape.iter().skip(1).all(Option::is_some)) {
            return Ok(self.outputs.clone());
        }
        // Shapes that the graph leaves open are those of one run over zeros.
        let zeros = vec![0f32; input.iter().product()];
        let values: ArrayRef =
            arrow::compute::cast(&Float32Array::from(zeros), &self.input.data_type).map_err(|e| Error::arrow(OP, e))?;
        let outputs = self.run(&Tensor { shape: input.to_vec(), values })?;
        let known = |(port, tensor): (&Port, &Tensor)| Port {
            shape: tensor.shape.iter().copied().map(Some).collect(),
            ..port.clone()
        };
        Ok(self.outputs.iter().zip(&outputs).map(known).collect())
    }

    fn run(&self, input: &Tensor) -> Result<Vec<Tensor>> {
        fn native<T: ArrowPrimitiveType>(input: &Tensor) -> &[T::Native] {
            input.values.as_primitive::<T>().values()
        }
        match input.values.data_type() {
            DataType::Float32 => self.values(&input.shape, native::<Float32Type>(input)),
            DataType::Float16 => self.values(&input.shape, native::<Float16Type>(input)),
            DataType::UInt8 => self.values(&input.shape, native::<UInt8Type>(input)),
            other => Err(self.fail(format!("an input of {other} is not supported"))),
        }
    }
}

fn port(model: &str, outlet: &Outlet) -> Result<Port> {
    let ValueType::Tensor { ty, shape, .. } = outlet.dtype() else {
        return Err(Error::unsupported(
            OP,
            format!("{model}: '{}' is no tensor", outlet.name()),
            "export tensors only",
        ));
    };
    let data_type = match ty {
        TensorElementType::Float16 => DataType::Float16,
        TensorElementType::Float32 => DataType::Float32,
        TensorElementType::Float64 => DataType::Float64,
        TensorElementType::Int32 => DataType::Int32,
        TensorElementType::Int64 => DataType::Int64,
        TensorElementType::Uint8 => DataType::UInt8,
        other => {
            let what = format!("{model}: '{}' of {other:?}", outlet.name());
            return Err(Error::unsupported(OP, what, "export it in f16, f32, f64, i32, i64 or u8"));
        }
    };
    Ok(Port {
        name: outlet.name().to_owned(),
        data_type,
        shape: shape.iter().map(|n| usize::try_from(*n).ok()).collect(),
    })
}
