//! What goes into a model and comes out: tensors, ports, and the shape that a tensor column's field tells.

use std::collections::HashMap;
use std::fmt;
use std::sync::Arc;

use arrow::array::ArrayRef;
use arrow::datatypes::{DataType, Field};

use crate::error::{Error, Result};
use crate::image::{DType, TensorSpec};

const OP: &str = "infer";
const NAME_KEY: &str = "ARROW:extension:name";
const METADATA_KEY: &str = "ARROW:extension:metadata";

/// A dense host tensor, row-major.
#[derive(Clone, Debug)]
pub struct Tensor {
    /// Lengths of the axes, the batch first.
    pub shape: Vec<usize>,
    /// The elements as a flat primitive array without nulls; bf16 as `UInt16`.
    pub values: ArrayRef,
}

/// An input or output of a model.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Port {
    /// Its name in the model.
    pub name: String,
    /// Element type; bf16 is `UInt16`.
    pub data_type: DataType,
    /// Lengths of the axes, the batch first; `None` where any length will do.
    pub shape: Vec<Option<usize>>,
}

impl fmt::Display for Port {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let axes: Vec<String> = self.shape.iter().map(|n| n.map_or_else(|| "?".into(), |n| n.to_string())).collect();
        write!(f, "'{}' ({} [{}])", self.name, self.data_type, axes.join(", "))
    }
}

/// Shape and element type of one row of a tensor column.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RowShape {
    /// Element type of the column; bf16 is `UInt16`.
    pub data_type: DataType,
    /// Lengths of the axes after the batch.
    pub axes: Vec<usize>,
}

impl RowShape {
    /// Reads a tensor column's field: a fixed-size list of numbers, with the shape of `arrow.fixed_shape_tensor` where the
    /// metadata has it, else one axis.
    ///
    /// # Errors
    /// `InvalidInput` on another type, and on metadata whose shape does not multiply to the list's length.
    pub fn of_field(field: &Field) -> Result<RowShape> {
        let fail = |why: String| Err(Error::invalid_column(OP, field.name(), why));
        let DataType::FixedSizeList(item, length) = field.data_type() else {
            return fail(format!(
                "is {}, a tensor column is needed (FixedSizeList): add a resize and normalise",
                field.data_type()
            ));
        };
        if !item.data_type().is_numeric() {
            return fail(format!("is a list of {}, numbers are needed", item.data_type()));
        }
        let axes = match shape_metadata(field) {
            None => vec![*length as usize],
            Some(Ok(axes)) => axes,
            Some(Err(text)) => return fail(format!("cannot read the shape in its metadata: {text}")),
        };
        if axes.iter().try_fold(1usize, |product, n| product.checked_mul(*n)) != Some(*length as usize) {
            return fail(format!("its metadata tells a shape of {axes:?}, the list has {length} elements"));
        }
        Ok(RowShape { data_type: item.data_type().clone(), axes })
    }

    /// Elements in a row.
    pub fn elements(&self) -> usize {
        self.axes.iter().product()
    }

    /// A nullable field for rows of this shape: a plain column for a scalar, else a tensor column with its shape in the
    /// metadata.
    pub fn field(&self, name: &str) -> Field {
        if self.axes.is_empty() {
            return Field::new(name, self.data_type.clone(), true);
        }
        let item = Arc::new(Field::new("item", self.data_type.clone(), false));
        let axes: Vec<String> = self.axes.iter().map(usize::to_string).collect();
        let metadata = HashMap::from([
            (NAME_KEY.to_string(), "arrow.fixed_shape_tensor".to_string()),
            (METADATA_KEY.to_string(), format!(r#"{{"shape":[{}]}}"#, axes.join(","))),
        ]);
        Field::new(name, DataType::FixedSizeList(item, self.elements() as i32), true).with_metadata(metadata)
    }
}

/// The shape in a field's tensor metadata; `None` where the field has none.
fn shape_metadata(field: &Field) -> Option<Result<Vec<usize>, String>> {
    #[derive(serde::Deserialize)]
    struct Metadata {
        shape: Vec<usize>,
    }
    if field.metadata().get(NAME_KEY)? != "arrow.fixed_shape_tensor" {
        return None;
    }
    let text = field.metadata().get(METADATA_KEY)?;
    Some(serde_json::from_str::<Metadata>(text).map(|m| m.shape).map_err(|e| e.to_string()))
}

/// How the command line's `--dtype` spells a column's element type, for messages.
pub(super) fn dtype_name(field: &Field, data_type: &DataType) -> String {
    match data_type {
        DataType::Float32 => DType::F32.name().into(),
        DataType::Float16 => DType::F16.name().into(),
        DataType::UInt8 => DType::U8.name().into(),
        DataType::UInt16 if field.metadata().contains_key(TensorSpec::DTYPE_KEY) => DType::BF16.name().into(),
        other => other.to_string(),
    }
}
