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
///
/// ```
/// use warpline::image::{Layout, Patches};
/// let qwen = Layout::Patches(Patches::new(14).merge(2).temporal(2));
/// assert_eq!("patches:14,merge=2,temporal=2".parse::<Layout>()?, qwen);
/// assert_eq!(Layout::Nhwc.to_string(), "nhwc");
/// # Ok::<(), warpline::Error>(())
/// ```
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub enum Layout {
    /// Channel, row, column: three planes.
    #[default]
    Nchw,
    /// Row, column, channel: interleaved.
    Nhwc,
    /// Patch by patch, as vision transformers take their input: two axes, patches and the elements of one.
    Patches(Patches),
}

impl Layout {
    /// What the text form begins with.
    pub fn name(self) -> &'static str {
        match self {
            Layout::Nchw => "nchw",
            Layout::Nhwc => "nhwc",
            Layout::Patches(_) => "patches",
        }
    }
}

impl fmt::Display for Layout {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())?;
        let Layout::Patches(Patches { size, merge, temporal, channels_last }) = self else { return Ok(()) };
        write!(f, ":{size}")?;
        for (name, value) in [("merge", merge), ("temporal", temporal)] {
            if *value != 1 {
                write!(f, ",{name}={value}")?;
            }
        }
        f.write_str(if *channels_last { ",channels=last" } else { "" })
    }
}

impl FromStr for Layout {
    type Err = Error;

    fn from_str(text: &str) -> Result<Self> {
        match text {
            "nchw" => return Ok(Layout::Nchw),
            "nhwc" => return Ok(Layout::Nhwc),
            _ => {}
        }
        text.strip_prefix("patches:").and_then(Patches::parse).map(Layout::Patches).ok_or_else(|| {
            let options = "patches:SIZE with any of ,merge=N ,temporal=N ,channels=last";
            Error::invalid("layout", format!("'{text}' is none of nchw, nhwc, {options}"))
        })
    }
}

impl TryFrom<String> for Layout {
    type Error = Error;

    fn try_from(text: String) -> Result<Self> {
        text.parse()
    }
}

impl From<Layout> for String {
    fn from(layout: Layout) -> Self {
        layout.to_string()
    }
}

/// How an image is cut into square patches, and the order of a patch's elements.
///
/// Patches follow each other row by row; with [`merge`](Patches::merge) above 1, square blocks of patches do, and within a
/// block its patches row by row. Elements of a patch are in the order channel, frame, row, column, or with
/// [`channels_last`](Patches::channels_last) frame, row, column, channel; every frame is the image again. In NumPy's
/// words, for an image `chw` of `gh` x `gw` patches, repeated `t` times:
/// `frames.reshape(t, 3, gh/m, m, p, gw/m, m, p).transpose(2, 5, 3, 6, 1, 0, 4, 7).reshape(gh*gw, 3*t*p*p)`.
///
/// `Patches::new(16)` is the plain vision transformer's order, `Patches::new(14).merge(2).temporal(2)` that of Qwen2-VL's
/// image processor.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Patches {
    /// Side of a patch in pixels; sides of the image must be multiples of size x merge.
    pub size: u32,
    /// Side, in patches, of the blocks that follow each other; 1 for none.
    pub merge: u32,
    /// How many times the image stands in each patch: models of video take an image as so many equal frames.
    pub temporal: u32,
    /// Whether a pixel's channels are next to each other.
    pub channels_last: bool,
}

impl Patches {
    /// Patches of this side, row by row, one frame, channels first.
    pub fn new(size: u32) -> Self {
        Patches { size, merge: 1, temporal: 1, channels_last: false }
    }

    /// In blocks of `merge` x `merge` patches.
    pub fn merge(self, merge: u32) -> Self {
        Patches { merge, ..self }
    }

    /// With so many equal frames.
    pub fn temporal(self, temporal: u32) -> Self {
        Patches { temporal, ..self }
    }

    /// With the channels of a pixel next to each other.
    pub fn channels_last(self) -> Self {
        Patches { channels_last: true, ..self }
    }

    /// Elements of a patch.
    pub(crate) fn elements(&self) -> usize {
        3 * self.temporal as usize * self.size as usize * self.size as usize
    }

    /// Number of the patch that holds this pixel of an image of this width.
    pub(crate) fn patch_of(&self, x: usize, y: usize, width: usize) -> usize {
        let (size, merge) = (self.size as usize, self.merge as usize);
        let (column, row) = (x / size, y / size);
        let block = row / merge * (width / size / merge) + column / merge;
        (block * merge + row % merge) * merge + column % merge
    }

    /// The part of the text form after `patches:`.
    fn parse(text: &str) -> Option<Self> {
        let mut parts = text.split(',');
        let mut patches = Patches::new(parts.next()?.parse().ok()?);
        for part in parts {
            let (name, value) = part.split_once('=')?;
            match (name, value) {
                ("merge", n) => patches.merge = n.parse().ok()?,
                ("temporal", n) => patches.temporal = n.parse().ok()?,
                ("channels", "last") => patches.channels_last = true,
                ("channels", "first") => patches.channels_last = false,
                _ => return None,
            }
        }
        Some(patches)
    }
}

impl fmt::Display for DType {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

impl FromStr for DType {
    type Err = Error;

    fn from_str(text: &str) -> Result<Self> {
        let all = [DType::F32, DType::F16, DType::BF16, DType::U8];
        all.into_iter().find(|dtype| dtype.name() == text).ok_or_else(|| {
            let names = all.map(DType::name).join(", ");
            Error::invalid("dtype", format!("'{text}' is none of {names}"))
        })
    }
}

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

    /// Checks that a row's elements can be counted by Arrow's fixed-size list (at most 2^31-1 elements), and that patches
    /// cover the image.
    pub fn new(width: u32, height: u32, dtype: DType, layout: Layout) -> Result<Self> {
        let mut elements = 3 * u128::from(width) * u128::from(height);
        if let Layout::Patches(Patches { size, merge, temporal, .. }) = layout {
            elements = elements.saturating_mul(u128::from(temporal));
            let block = u64::from(size) * u64::from(merge);
            let whole = |side: u32| block > 0 && u64::from(side) % block == 0;
            if !whole(width) || !whole(height) {
                let why = format!("{width} x {height} pixels are not whole blocks of {block} x {block} ({layout})");
                return Err(Error::invalid("tensor", why));
            }
        }
        if elements == 0 || elements > i32::MAX as u128 {
            return Err(Error::invalid("tensor", format!("a shape of 3 x {height} x {width} is empty or too large")));
        }
        Ok(TensorSpec { width, height, dtype, layout })
    }

    /// Elements in a row.
    pub fn elements(&self) -> usize {
        self.shape().iter().product()
    }

    /// Lengths of the axes after the batch, in the layout's order: three, or for patches their number and the elements
    /// of one.
    pub fn shape(&self) -> Vec<usize> {
        let (h, w) = (self.height as usize, self.width as usize);
        match self.layout {
            Layout::Nchw => vec![3, h, w],
            Layout::Nhwc => vec![h, w, 3],
            Layout::Patches(patches) => {
                let side = patches.size as usize;
                vec![h / side * (w / side), patches.elements()]
            }
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
        let shape = self.shape();
        let names = match self.layout {
            Layout::Nchw => r#"["C","H","W"]"#,
            Layout::Nhwc => r#"["H","W","C"]"#,
            Layout::Patches(_) => r#"["P","D"]"#,
        };
        let mut metadata = HashMap::from([
            ("ARROW:extension:name".to_string(), "arrow.fixed_shape_tensor".to_string()),
            ("ARROW:extension:metadata".to_string(), format!(r#"{{"shape":{shape:?},"dim_names":{names}}}"#)),
        ]);
        if self.dtype == DType::BF16 {
            metadata.insert(Self::DTYPE_KEY.to_string(), DType::BF16.name().to_string());
        }
        Field::new(name, self.data_type(), true).with_metadata(metadata)
    }
}
