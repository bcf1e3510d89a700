//! Images: decode, resize, normalise.

pub mod image_decode;
mod interpolation;
pub mod jpeg_decode;
mod memory;
mod normalize;
mod preprocess;
mod resize;
mod rgb;
mod tensor;

pub use crate::device::MemoryPlan;
pub use interpolation::Interpolation;
pub use normalize::{Normalize, normalize};
pub use preprocess::{Preprocess, Tensors, preprocess, preprocess_plan};
pub use resize::{Centering, Crop, MAX_PIXELS, Pad, Place, RandomCrop, Resize, Target, resize};
pub use rgb::{ImageRow, Images, ImagesBuilder};
pub use tensor::{DType, Layout, Patches, TensorSpec};
