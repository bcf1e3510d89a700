//! ONNX by tract: pure Rust, embedded in the default build, on the host.

use std::collections::HashMap;
use std::fmt::Display;
use std::sync::{Arc, Mutex, PoisonError};

use arrow::array::{
    ArrayRef, ArrowPrimitiveType, AsArray, Float16Array, Float32Array, Float64Array, Int8Array, Int16Array, Int32Array,
    Int64Array, UInt8Array, UInt16Array, UInt32Array, UInt64Array,
};
use arrow::datatypes::{DataType, Float16Type, Float32Type, UInt8Type};
use tract_onnx::prelude::*;
use tract_onnx::tract_hir::infer::Factoid;
use tract_onnx::tract_hir::internal::{DimLike, bail};
use warpline::infer::{Backend, Port, Tensor as HostTensor};
use warpline::{Error, Result};

const OP: &str = "model";
/// Plans kept; each is the model optimised for one input shape.
const PLANS: usize = 4;

/// A model that tract runs. The graph is optimised for each input shape it meets, batch included.
pub struct TractModel {
    name: String,
    graph: InferenceModel,
    input: Port,
    output_names: Vec<String>,
    plans: Mutex<HashMap<Vec<usize>, Arc<TypedRunnableModel>>>,
}

impl TractModel {
    /// Reads ONNX bytes; `name` is what errors call the model.
    pub fn new(name: &str, mut bytes: &[u8]) -> Result<Self> {
        let graph = onnx().model_for_read(&mut bytes).map_err(|e| refuse(name, "cannot read it as ONNX", &e))?;
        let wrong = |e: TractError| refuse(name, "its graph is not as expected", &e);
        let inputs = graph.input_outlets().map_err(wrong)?;
        if inputs.len() != 1 {
            let what = format!("{name}: a model of {} inputs", inputs.len());
            return Err(Error::unsupported(OP, what, "export one with a single image input"));
        }
        let fact = graph.input_fact(0).map_err(wrong)?;
        let shape = fact.shape.dims().map(|dim| dim.concretize().and_then(|d| d.to_usize().ok())).collect();
        let datum = fact.datum_type.concretize().unwrap_or(f32::datum_type());
        let input = Port { name: graph.node(inputs[0].node).name.clone(), data_type: arrow_type(name, datum)?, shape };
        let label = |outlet: &OutletId| {
            graph.outlet_label(*outlet).map_or_else(|| graph.node(outlet.node).name.clone(), str::to_owned)
        };
        let output_names = graph.output_outlets().map_err(wrong)?.iter().map(label).collect();
        Ok(TractModel { name: name.to_owned(), input, output_names, plans: Mutex::default(), graph })
    }

    /// The model optimised for an input of this shape.
    fn plan(&self, shape: &[usize]) -> Result<Arc<TypedRunnableModel>> {
        let mut plans = self.plans.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(plan) = plans.get(shape) {
            return Ok(plan.clone());
        }
        let datum = datum_type(&self.input.data_type);
        let graph = self.graph.clone().with_input_fact(0, InferenceFact::dt_shape(datum, shape));
        let plan = graph
            .and_then(|graph| graph.into_optimized())
            .and_then(|graph| graph.into_runnable())
            .map_err(|e| refuse(&self.name, &format!("cannot run with an input of {shape:?}"), &e))?;
        if plans.len() == PLANS {
            plans.clear();
        }
        plans.insert(shape.to_vec(), plan.clone());
        Ok(plan)
    }
}

impl Backend for TractModel {
    fn name(&self) -> &str {
        &self.name
    }

    fn input(&self) -> &Port {
        &self.input
    }

    fn outputs(&self, input: &[usize]) -> Result<Vec<Port>> {
        let plan = self.plan(input)?;
        let wrong = |e: TractError| refuse(&self.name, "its outputs have no known shape", &e);
        let port = |(index, name): (usize, &String)| {
            let fact = plan.model().output_fact(index).map_err(wrong)?;
            let shape = fact.shape.iter().map(|dim| dim.to_usize().ok()).collect();
            Ok(Port { name: name.clone(), data_type: arrow_type(&self.name, fact.datum_type)?, shape })
        };
        self.output_names.iter().enumerate().map(port).collect()
    }

    fn run(&self, input: &HostTensor) -> Result<Vec<HostTensor>> {
        let plan = self.plan(&input.shape)?;
        let fail = |e: TractError| refuse(&self.name, "failed", &e);
        let tensor = to_tract(input).map_err(fail)?;
        let outputs = plan.run(tvec!(tensor.into())).map_err(fail)?;
        outputs.iter().map(|value| from_tract(&self.name, value)).collect()
    }
}

/// tract's errors are chains; the whole chain goes on one line.
fn refuse(name: &str, what: &str, error: &TractError) -> Error {
    let chain: Vec<String> = error.chain().map(one_line).collect();
    Error::invalid(OP, format!("{name}: {what}: {}", chain.join(": ")))
}

fn one_line(text: impl Display) -> String {
    text.to_string().split_whitespace().collect::<Vec<_>>().join(" ")
}

fn arrow_type(name: &str, datum: DatumType) -> Result<DataType> {
    Ok(match datum {
        DatumType::F16 => DataType::Float16,
        DatumType::F32 => DataType::Float32,
        DatumType::F64 => DataType::Float64,
        DatumType::I8 => DataType::Int8,
        DatumType::I16 => DataType::Int16,
        DatumType::I32 => DataType::Int32,
        DatumType::I64 => DataType::Int64,
        DatumType::U8 => DataType::UInt8,
        DatumType::U16 => DataType::UInt16,
        DatumType::U32 => DataType::UInt32,
        DatumType::U64 => DataType::UInt64,
        other => return Err(Error::unsupported(OP, format!("{name}: a tensor of {other:?}"), "export it in numbers")),
    })
}

fn datum_type(data_type: &DataType) -> DatumType {
    match data_type {
        DataType::Float16 => DatumType::F16,
        DataType::Float64 => DatumType::F64,
        DataType::Int8 => DatumType::I8,
        DataType::Int16 => DatumType::I16,
        DataType::Int32 => DatumType::I32,
        DataType::Int64 => DatumType::I64,
        DataType::UInt8 => DatumType::U8,
        DataType::UInt16 => DatumType::U16,
        DataType::UInt32 => DatumType::U32,
        DataType::UInt64 => DatumType::U64,
        _ => DatumType::F32,
    }
}

fn to_tract(input: &HostTensor) -> TractResult<Tensor> {
    fn values<T: ArrowPrimitiveType>(input: &HostTensor) -> &[T::Native] {
        input.values.as_primitive::<T>().values()
    }
    match input.values.data_type() {
        DataType::Float32 => Tensor::from_shape(&input.shape, values::<Float32Type>(input)),
        DataType::Float16 => Tensor::from_shape(&input.shape, values::<Float16Type>(input)),
        DataType::UInt8 => Tensor::from_shape(&input.shape, values::<UInt8Type>(input)),
        other => bail!("an input of {other} is not supported"),
    }
}

fn from_tract(name: &str, value: &TValue) -> Result<HostTensor> {
    let fail = |e: TractError| refuse(name, "its output cannot be read", &e);
    let plain = value.try_as_plain_ram().map_err(fail)?;
    macro_rules! array {
        ($($datum:ident => $native:ty, $array:ident);+) => {
            match value.datum_type() {
                $(DatumType::$datum => {
                    let values = plain.as_slice::<$native>().map_err(fail)?;
                    Arc::new($array::from_iter_values(values.iter().copied())) as ArrayRef
                })+
                other => return Err(Error::unsupported(OP, format!("{name}: an output of {other:?}"), "export it in numbers")),
            }
        };
    }
    let values = array!(
        F16 => half::f16, Float16Array; F32 => f32, Float32Array; F64 => f64, Float64Array;
        I8 => i8, Int8Array; I16 => i16, Int16Array; I32 => i32, Int32Array; I64 => i64, Int64Array;
        U8 => u8, UInt8Array; U16 => u16, UInt16Array; U32 => u32, UInt32Array; U64 => u64, UInt64Array
    );
    Ok(HostTensor { shape: value.shape().to_vec(), values })
}
