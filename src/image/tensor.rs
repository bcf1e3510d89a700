//! The fixed-shape tensor column that models take: element type, layout, shape and their Arrow field.

use std::collections::HashMap;
use std::fmt;
use std::str::FromStr;
use std::sync::Arc;

use arrow::datatypes::{DataType, Field};
use serde::{Deserialize, Serialize};

use crate::error::{Error, Result};

/// Element type of a tensor.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum DType {
    /// 32-bit float.
    #[default]
    F32,
    /// IEEE half.
    F16,
    /// bfloat16; in Arrow it travels as `UInt16` with [`TensorSpec::DTYPE_KEY`] in the field's metadata.
    BF16,
    /// Raw pixel bytes, 0 to 255; goes only with [`Normalize::NONE`](crate::image::Normalize::NONE).
    U8,
}

impl DType {
    /// The name that `FromStr` reads.
    pub fn name(self) -> &'static str {
        match self {
            DType::F32 => "f32",
            DType::F16 => "f16",
            DType::BF16 => "bf16",
            DType::U8 => "u8",
        }
    }

    /// Bytes per element.
    pub fn size(self) -> usize {
        match self {
            DType::F32 => 4,
            DType::F16 | DType::BF16 => 2,
            DType::U8 => 1,
        }
    }

    /// The Arrow type that holds an element.
    pub fn arrow(self) -> DataType {
        match self {
            DType::F32 => DataType::Float32,
            DType::F16 => DataType::Float16,
            DType::BF16 => DataType::UInt16,
            DType::U8 => DataType::UInt8,
        }
    }
}

/// Order of a tensor's axes after the batch.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Layout {
    /// Channel, row, column: three planes.
    #[default]
    Nchw,
    /// Row, column, channel: interleaved.
    Nhwc,
}

impl Layout {
    /// The name that `FromStr` reads.
    pub fn name(self) -> &'static str {
        match self {
            Layout::Nchw => "nchw",
            Layout::Nhwc => "nhwc",
        }
    }
}

macro_rules! parse_by_name {
    ($type:ty, $what:literal, $($variant:path),+) => {
        impl fmt::Display for $type {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str(self.name())
            }
        }

        impl FromStr for $type {
            type Err = Error;

            fn from_str(text: &str) -> Result<Self> {
                [$($variant),+].into_iter().find(|v| v.name() == text).ok_or_else(|| {
                    let names = [$($variant.name()),+].join(", ");
                    Error::invalid($what, format!("'{text}' is none of {names}"))
                })
            }
        }
    };
}

parse_by_name!(DType, "dtype", DType::F32, DType::F16, DType::BF16, DType::U8);
parse_by_name!(Layout, "layout", Layout::Nchw, Layout::Nhwc);

/// Type and shape of one row of a tensor column: three channels of `height` x `width` pixels.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct TensorSpec {
    /// Columns of pixels.
    pub width: u32,
    /// Rows of pixels.
    pub height: u32,
    /// Element type.
    pub dtype: DType,
    /// Order of the axes.
    pub layout: Layout,
}

impl TensorSpec {
    /// Field metadata key that tells bfloat16 (`bf16`) from plain 16-bit integers.
    pub const DTYPE_KEY: &'static str = "warpline:dtype";

    /// Checks that a row's elements can be counted by Arrow's fixed-size list (at most 2^31-1 elements).
    pub fn new(width: u32, height: u32, dtype: DType, layout: Layout) -> Result<Self> {
        let elements = 3 * u128::from(width) * u128::from(height);
        if width == 0 || height == 0 || elements > i32::MAX as u128 {
            return Err(Error::invalid("tensor", format!("a shape of 3 x {height} x {width} is empty or too large")));
        }
        Ok(TensorSpec { width, height, dtype, layout })
    }

    /// Elements in a row.
    pub fn elements(&self) -> usize {
        3 * self.width as usize * self.height as usize
    }

    /// Lengths of the axes after the batch, in the layout's order.
    pub fn shape(&self) -> [usize; 3] {
        let (h, w) = (self.height as usize, self.width as usize);
        match self.layout {
            Layout::Nchw => [3, h, w],
            Layout::Nhwc => [h, w, 3],
        }
    }

    /// The Arrow type of the column: a fixed-size list of non-null elements.
    pub fn data_type(&self) -> DataType {
        let item = Field::new("item", self.dtype.arrow(), false);
        DataType::FixedSizeList(Arc::new(item), self.elements() as i32)
    }

    /// A nullable field of this name with the metadata of the `arrow.fixed_shape_tensor` extension type: shape and
    /// dimension names in the layout's order, and [`Self::DTYPE_KEY`] for bfloat16.
    pub fn field(&self, name: &str) -> Field {
        let [a, b, c] = self.shape();
        let names = match self.layout {
            Layout::Nchw => r#"["C","H","W"]"#,
            Layout::Nhwc => r#"["H","W","C"]"#,
        };
        let mut metadata = HashMap::from([
            ("ARROW:extension:name".to_string(), "arrow.fixed_shape_tensor".to_string()),
            ("ARROW:extension:metadata".to_string(), format!(r#"{{"shape":[{a},{b},{c}],"dim_names":{names}}}"#)),
        ]);
        if self.dtype == DType::BF16 {
            metadata.insert(Self::DTYPE_KEY.to_string(), DType::BF16.name().to_string());
        }
        Field::new(name, self.data_type(), true).with_metadata(metadata)
    }
}
