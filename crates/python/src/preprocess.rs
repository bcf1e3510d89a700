//! The class `Preprocess`: what happens to images before a model sees them.

use std::fs;
use std::path::{Path, PathBuf};

use pyo3::exceptions::{PyOSError, PyTypeError};
use pyo3::prelude::*;
use pyo3::types::{PyDict, PyMapping, PyString, PyTuple};
use warpline::image::{self, DType, Layout, Normalize, Resize};

use crate::error::raise;
use crate::options::Options;

/// What happens to images before a model sees them: made once, used for any number of batches, pickled to workers.
///
///     >>> evaluation = warpline.Preprocess(resize=40, crop=32, normalize="clip", dtype="f16")
///     >>> evaluation.output_size
///     (32, 32)
///     >>> warpline.image_to_tensor(files[:2], preprocess=evaluation).shape
///     [2, 3, 32, 32]
///
/// The steps, in this order, each only where it is asked for. Sizes are one number for both sides, or (height,
/// width); None is as good as absent.
///
/// random_resized_crop: a random part of the image at this size, as torchvision's RandomResizedCrop. `scale` is the
///     least and the greatest share of the area (default 0.08, 1), `ratio` those of width by height (default 3/4,
///     4/3).
/// resize: the length of the shorter side, as torchvision's Resize(int), or (height, width).
/// fit: the largest size that fits into this one, as Pillow's ImageOps.contain.
/// letterbox: `fit`, on a canvas of this size, as Pillow's ImageOps.pad.
/// smart_resize: (factor, min_pixels, max_pixels), as Qwen2-VL's image processor: sides are multiples of `factor`.
/// crop: a centre crop. A smaller image is padded. `centering` is how it rounds: "torchvision" (default) or
///     "transformers".
/// pad: a canvas of this size, which must hold the image. `place` is where the image lies on it: "center"
///     (default), "top-left", "top-right", "bottom-left" or "bottom-right".
/// horizontal_flip, vertical_flip: True, or a probability.
/// normalize: "imagenet" (default; with dtype "u8" "none"), "clip", "none" (0 to 1), or (mean, std) of values from
///     0 to 1, each a number or three.
/// dtype: "f32" (default), "f16", "bf16", or "u8" for the pixel bytes.
/// layout: "nchw" (default), "nhwc", or patches, as vision transformers take them: "patches:14,merge=2,temporal=2"
///     is Qwen2-VL's order; ",channels=last" keeps a pixel's channels together.
///
/// fill: red, green and blue of padding, or one number. Black by default.
/// interpolation: "nearest", "box", "bilinear" (default), "hamming", "bicubic" or "lanczos": Pillow's, with
///     antialiasing.
/// rescale_factor: bytes are multiplied with it, as transformers does, and not divided by 255, as torchvision does.
/// seed: of random crops and flips. They depend on it and on the row's id alone: see `row_ids` of
///     `image_to_tensor`.
///
/// Raises TypeError for a value of the wrong kind and ValueError for one that does not fit; the message names the
/// argument.
#[pyclass(frozen, module = "warpline")]
pub struct Preprocess {
    what: image::Preprocess,
    /// The configuration that it was read from.
    config: Option<String>,
    /// The arguments that it was made with.
    options: Py<PyDict>,
}

/// torchvision's `ToTensor` and `Normalize` with ImageNet's numbers, or raw bytes.
fn plain(options: &Options) -> image::Preprocess {
    let dtype = options.dtype();
    let normalize = if dtype == DType::U8 { Normalize::NONE } else { Normalize::IMAGENET };
    image::Preprocess { resize: Resize::keep(), normalize, dtype, layout: Layout::Nchw }
}

/// What the arguments of a function ask for, from `base` on where there is one.
pub fn preprocess(base: Option<&Preprocess>, options: Option<&Bound<'_, PyDict>>) -> PyResult<image::Preprocess> {
    let options = Options::new(options)?;
    options.apply(base.map_or_else(|| plain(&options), |base| base.what))
}

impl Preprocess {
    fn new(config: Option<String>, options: Option<&Bound<'_, PyDict>>, py: Python<'_>) -> PyResult<Self> {
        let given = Options::new(options)?;
        let base = match &config {
            Some(text) => image::Preprocess::from_hf(text).map_err(raise)?,
            None => plain(&given),
        };
        // Lists among the arguments may change later; what was made from them does not.
        let options = options.map_or_else(|| PyDict::new(py), Clone::clone);
        let options = py.import("copy")?.call_method1("deepcopy", (options,))?.cast_into::<PyDict>()?;
        Ok(Preprocess { what: given.apply(base)?, config, options: options.unbind() })
    }
}

#[pymethods]
impl Preprocess {
    #[new]
    #[pyo3(signature = (**options))]
    fn py_new(py: Python<'_>, options: Option<&Bound<'_, PyDict>>) -> PyResult<Self> {
        Preprocess::new(None, options, py)
    }

    /// What an image processor of Hugging Face's transformers does, changed by the options.
    ///
    ///     >>> config = {"image_processor_type": "ViTImageProcessor", "size": 224, "resample": 3}
    ///     >>> vit = warpline.Preprocess.from_hf(config, dtype="bf16")
    ///     >>> vit.output_size, vit.dtype
    ///     ((224, 224), 'bf16')
    ///
    /// config: a dict, the text of a preprocessor_config.json, its path, or the folder that holds it.
    /// options: those of `Preprocess`; what is not given stays as the configuration says.
    ///
    /// Bit for bit what the slow processors (PIL and NumPy, `use_fast=False`) give: ViT, DeiT, CLIP, Bit, ConvNext,
    /// Siglip, Blip and Qwen2VL. The tensor is "f32" where the options do not say otherwise, or "u8" where the
    /// configuration neither rescales nor normalises.
    ///
    /// Raises ValueError for a key that is unknown or does not fit, NotImplementedError for another processor and
    /// for do_pad, OSError for a file that cannot be read; the message names the key or the file.
    #[staticmethod]
    #[pyo3(signature = (config, /, **options))]
    fn from_hf(config: &Bound<'_, PyAny>, options: Option<&Bound<'_, PyDict>>) -> PyResult<Self> {
        Preprocess::new(Some(text_of(config)?), options, config.py())
    }

    /// Height and width of every image, where they do not depend on the image.
    #[getter]
    fn output_size(&self) -> Option<(u32, u32)> {
        self.what.resize.output_size().map(|(width, height)| (height, width))
    }

    /// Element type.
    #[getter]
    fn dtype(&self) -> &'static str {
        self.what.dtype.name()
    }

    /// Order of the axes behind the first.
    #[getter]
    fn layout(&self) -> String {
        self.what.layout.to_string()
    }

    fn __eq__(&self, other: &Self) -> bool {
        self.what == other.what
    }

    fn __repr__(&self, py: Python<'_>) -> PyResult<String> {
        let options = self.options.bind(py).iter();
        let mut parts: Vec<String> = self.config.iter().map(|config| format!("{config:?}")).collect();
        for (name, value) in options {
            parts.push(format!("{}={}", name.str()?, value.repr()?));
        }
        let maker = if self.config.is_some() { ".from_hf" } else { "" };
        Ok(format!("warpline.Preprocess{maker}({})", parts.join(", ")))
    }

    /// For pickle and copy: the call that made it.
    fn __reduce__<'py>(&self, py: Python<'py>) -> PyResult<(Bound<'py, PyAny>, Bound<'py, PyTuple>)> {
        let class = py.get_type::<Preprocess>();
        let maker = if self.config.is_some() { class.getattr("from_hf")? } else { class.into_any() };
        let call = py.import("functools")?.call_method("partial", (maker,), Some(self.options.bind(py)))?;
        let arguments: Vec<&str> = self.config.as_deref().into_iter().collect();
        Ok((call, PyTuple::new(py, arguments)?))
    }
}

/// The text of a configuration: itself, a mapping, or the path of a file or of the folder that holds it.
fn text_of(config: &Bound<'_, PyAny>) -> PyResult<String> {
    let py = config.py();
    if config.cast::<PyMapping>().is_ok() {
        let plain = py.get_type::<PyDict>().call1((config,))?;
        return py.import("json")?.call_method1("dumps", (plain,))?.extract();
    }
    if let Ok(text) = config.cast::<PyString>() {
        let text = text.to_string();
        if text.trim_start().starts_with('{') {
            return Ok(text);
        }
    }
    let path: PathBuf = config.extract().map_err(|_| {
        let kind = config.get_type().name().map_or_else(|_| "object".into(), |name| name.to_string());
        PyTypeError::new_err(format!("{kind} is not a configuration: give a dict, JSON text or a path"))
    })?;
    read(&path)
}

fn read(path: &Path) -> PyResult<String> {
    let file = if path.is_dir() { path.join("preprocessor_config.json") } else { path.to_owned() };
    fs::read_to_string(&file).map_err(|error| match error.raw_os_error() {
        // With these arguments Python makes the class that fits, such as FileNotFoundError.
        Some(code) => PyOSError::new_err((code, error.to_string(), file)),
        None => PyOSError::new_err(format!("{}: {error}", file.display())),
    })
}
