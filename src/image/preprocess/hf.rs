//! Hugging Face's `preprocessor_config.json` as a [`Preprocess`].
//!
//! What the keys mean, their defaults and the order of operations are those of the slow (PIL and NumPy) image processors
//! of transformers 4.57. A key that is null is as good as absent, as there.

use serde_json::{Map, Value};

use super::Preprocess;
use crate::error::{Error, Result};
use crate::image::{Centering, DType, Interpolation, Layout, Normalize, Patches, Resize, Target};

const OP: &str = "from_hf";

/// Filters by Pillow's code.
const RESAMPLE: [Interpolation; 6] = [
    Interpolation::Nearest,
    Interpolation::Lanczos,
    Interpolation::Bilinear,
    Interpolation::Bicubic,
    Interpolation::Box,
    Interpolation::Hamming,
];

const HALF: ([f64; 3], [f64; 3]) = ([0.5; 3], [0.5; 3]);

/// Keys that say nothing about pixels.
const IGNORED: [&str; 9] = [
    "processor_class",
    "_name_or_path",
    "_valid_processor_keys",
    "auto_map",
    "return_tensors",
    "device",
    "disable_grouping",
    "default_to_square",
    "do_convert_rgb",
];

/// What an image processor does with `size`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Sizing {
    /// Height and width, whatever the aspect ratio.
    Exact,
    /// The shortest edge; or height and width.
    Shortest,
    /// ConvNeXT: below 384 pixels the shortest edge over `crop_pct` and a centre crop, from 384 on a square.
    CropPct,
    /// Qwen2-VL: multiples of a patch, areas in range.
    Area,
}

/// An image processor: how it sizes, and what it does where its configuration is silent.
struct Processor {
    name: &'static str,
    sizing: Sizing,
    size: u32,
    crops: bool,
    resample: Interpolation,
    stats: ([f64; 3], [f64; 3]),
}

/// The image processors that are known, by the name before `ImageProcessor`.
fn processors() -> [Processor; 8] {
    use Interpolation::{Bicubic, Bilinear};
    use Sizing::{Area, CropPct, Exact, Shortest};
    let clip = (Normalize::CLIP.mean(), Normalize::CLIP.std());
    let new = |name, sizing, size, crops, resample, stats| Processor { name, sizing, size, crops, resample, stats };
    [
        new("ViT", Exact, 224, false, Bilinear, HALF),
        new("DeiT", Exact, 256, true, Bicubic, HALF),
        new("CLIP", Shortest, 224, true, Bicubic, clip),
        new("Bit", Shortest, 224, true, Bicubic, clip),
        new("ConvNext", CropPct, 384, false, Bilinear, HALF),
        new("Siglip", Exact, 224, false, Bicubic, HALF),
        new("Blip", Exact, 384, false, Bicubic, clip),
        new("Qwen2VL", Area, 0, false, Bicubic, clip),
    ]
}

impl Preprocess {
    /// What an image processor of Hugging Face's transformers does, from the text of its `preprocessor_config.json`.
    ///
    /// Bit for bit what the slow processors (PIL and NumPy, `use_fast=False`) give: `ViTImageProcessor`,
    /// `DeiTImageProcessor`, `CLIPImageProcessor`, `BitImageProcessor`, `ConvNextImageProcessor`,
    /// `SiglipImageProcessor`, `BlipImageProcessor` and `Qwen2VLImageProcessor`, also under their `...Fast` and
    /// `...FeatureExtractor` names. The tensor is f32, channels first, or for Qwen2-VL patches; set
    /// [`dtype`](Preprocess::dtype) for a rounded one. Where a configuration neither rescales nor normalises, the tensor
    /// is u8. Qwen2-VL's tensors have as many patches as the image's size asks for, so images of a batch must come out at
    /// one size.
    ///
    /// ```
    /// use warpline::image::{Interpolation, Preprocess};
    /// let clip = Preprocess::from_hf(r#"{
    ///     "image_processor_type": "CLIPImageProcessor", "do_resize": true, "size": {"shortest_edge": 224},
    ///     "resample": 3, "do_center_crop": true, "crop_size": {"height": 224, "width": 224},
    ///     "do_rescale": true, "rescale_factor": 0.00392156862745098, "do_normalize": true,
    ///     "image_mean": [0.48145466, 0.4578275, 0.40821073], "image_std": [0.26862954, 0.26130258, 0.27577711]
    /// }"#)?;
    /// assert_eq!(clip.resize.output_size(), Some((224, 224)));
    /// assert_eq!(clip.resize.interpolation, Interpolation::Bicubic);
    /// # Ok::<(), warpline::Error>(())
    /// ```
    ///
    /// # Errors
    /// `InvalidInput` for text that is no JSON object and for a key that is unknown, has a value of the wrong kind or
    /// contradicts another; `Unsupported` for another image processor and for `do_pad`. The message names the key.
    pub fn from_hf(json: &str) -> Result<Self> {
        let value: Value = serde_json::from_str(json).map_err(|e| Error::invalid(OP, e.to_string()))?;
        let Value::Object(map) = value else { return Err(Error::invalid(OP, "the configuration is no JSON object")) };
        let mut config = Config { map };
        config.map.retain(|_, value| !value.is_null());
        let processor = config.processor()?;
        let resizes = config.flag("do_resize", true)?;
        let mut resize = config.resize(&processor, resizes)?;
        let layout = config.layout(&processor)?;
        if let Layout::Patches(patches) = layout {
            let target = config.area(patches)?;
            resize.target = if resizes { target } else { Target::Keep };
        }
        let (normalize, dtype) = config.normalize(&processor)?;
        config.finish(&processor)?;
        Ok(Preprocess { resize, normalize, dtype, layout })
    }
}

/// The keys that nobody has read yet.
struct Config {
    map: Map<String, Value>,
}

/// A key's value that is not what it should be.
fn bad(key: &str, why: impl std::fmt::Display) -> Error {
    Error::invalid(OP, format!("key '{key}': {why}"))
}

impl Config {
    /// The processor that the configuration is for.
    fn processor(&mut self) -> Result<Processor> {
        let keys = ["image_processor_type", "feature_extractor_type"];
        let names = keys.map(|key| self.map.remove(key).map(|name| (key, name)));
        let Some((key, Value::String(name))) = names.into_iter().flatten().next() else {
            return Err(bad(keys[0], "the name of an image processor is needed, as \"ViTImageProcessor\""));
        };
        let short = name.strip_suffix("Fast").unwrap_or(&name);
        let short = short.strip_suffix("ImageProcessor").or_else(|| short.strip_suffix("FeatureExtractor"));
        processors().into_iter().find(|p| Some(p.name) == short).ok_or_else(|| {
            let known = processors().map(|p| format!("{}ImageProcessor", p.name)).join(", ");
            Error::unsupported(OP, format!("key '{key}': {name}"), format!("known are {known}"))
        })
    }

    fn flag(&mut self, key: &str, default: bool) -> Result<bool> {
        match self.map.remove(key) {
            None => Ok(default),
            Some(Value::Bool(flag)) => Ok(flag),
            Some(other) => Err(bad(key, format!("{other} is neither true nor false"))),
        }
    }

    /// A number of pixels.
    fn length(key: &str, value: &Value) -> Result<u32> {
        let length = value.as_u64().and_then(|n| u32::try_from(n).ok()).filter(|n| *n > 0);
        length.ok_or_else(|| bad(key, format!("{value} is no number of pixels")))
    }

    fn number(key: &str, value: &Value) -> Result<f64> {
        value.as_f64().ok_or_else(|| bad(key, format!("{value} is no number")))
    }

    /// An object with exactly these keys.
    fn lengths(key: &str, map: &Map<String, Value>, names: [&str; 2]) -> Result<[u32; 2]> {
        let [a, b] = names;
        match (map.get(a), map.get(b), map.len()) {
            (Some(a), Some(b), 2) => Ok([Self::length(key, a)?, Self::length(key, b)?]),
            _ => Err(bad(key, format!("{} does not consist of {a} and {b}", Value::Object(map.clone())))),
        }
    }

    /// Width and height from a number for both, a list of height and width, or an object of them.
    fn height_width(key: &str, value: &Value) -> Result<(u32, u32)> {
        match value {
            Value::Array(list) if list.len() == 2 => Ok((Self::length(key, &list[1])?, Self::length(key, &list[0])?)),
            Value::Object(map) => Self::lengths(key, map, ["height", "width"]).map(|[height, width]| (width, height)),
            side => Self::length(key, side).map(|side| (side, side)),
        }
    }

    /// Everything about geometry that does not need the patches.
    fn resize(&mut self, processor: &Processor, resizes: bool) -> Result<Resize> {
        let mut resize = self.sized(processor)?;
        resize.centering = Centering::Transformers;
        resize.interpolation = match self.map.remove("resample") {
            None => processor.resample,
            Some(code) => *code
                .as_u64()
                .and_then(|code| RESAMPLE.get(code as usize))
                .ok_or_else(|| bad("resample", format!("{code} is no filter of Pillow's, which are 0 to 5")))?,
        };
        if !resizes {
            (resize.target, resize.crop) = (Target::Keep, None);
        }
        if processor.crops {
            let size = self.map.remove("crop_size").map(|size| Self::height_width("crop_size", &size)).transpose()?;
            let (width, height) = size.unwrap_or((224, 224));
            if self.flag("do_center_crop", true)? {
                resize = resize.crop_to(width, height);
            }
        } else if self.flag("do_center_crop", false)? {
            return Err(bad("do_center_crop", format!("{}ImageProcessor does not crop", processor.name)));
        }
        if self.flag("do_pad", false)? {
            let hint = "pad with Resize::pad_to or Resize::letterbox";
            return Err(Error::unsupported(
                OP,
                "key 'do_pad': padding, which each processor does in its own way",
                hint,
            ));
        }
        Ok(resize)
    }

    /// The resize that `size` asks for; none yet where patches decide.
    fn sized(&mut self, processor: &Processor) -> Result<Resize> {
        if processor.sizing == Sizing::Area {
            return Ok(Resize::keep());
        }
        let size = self.map.remove("size").unwrap_or_else(|| match processor.sizing {
            Sizing::Shortest | Sizing::CropPct => serde_json::json!({ "shortest_edge": processor.size }),
            Sizing::Exact | Sizing::Area => processor.size.into(),
        });
        // A lone number is a square for some processors and a shortest edge for others.
        let shortest = match &size {
            Value::Object(map) if map.len() == 1 => map.get("shortest_edge"),
            Value::Number(_) if processor.sizing != Sizing::Exact => Some(&size),
            _ => None,
        };
        let shortest = shortest.map(|edge| Self::length("size", edge)).transpose()?;
        match (processor.sizing, shortest) {
            (Sizing::CropPct, Some(edge)) => self.crop_pct(edge),
            (Sizing::CropPct, None) => Err(bad("size", format!("{size} has no shortest_edge"))),
            (Sizing::Shortest, Some(edge)) => Ok(Resize::shorter(edge)),
            _ => Self::height_width("size", &size).map(|(width, height)| Resize::exact(width, height)),
        }
    }

    fn crop_pct(&mut self, edge: u32) -> Result<Resize> {
        let part = self.map.remove("crop_pct").map(|part| Self::number("crop_pct", &part)).transpose()?;
        let part = part.unwrap_or(224.0 / 256.0);
        if edge >= 384 {
            return Ok(Resize::exact(edge, edge));
        }
        let resized = f64::from(edge) / part;
        if !(1.0..f64::from(i32::MAX)).contains(&resized) {
            return Err(bad("crop_pct", format!("{part} of a shortest edge of {edge}")));
        }
        Ok(Resize::shorter(resized as u32).crop(edge))
    }

    fn layout(&mut self, processor: &Processor) -> Result<Layout> {
        match self.map.remove("data_format") {
            None => {}
            Some(Value::String(format)) if format == "channels_first" => {}
            Some(other) => {
                return Err(bad("data_format", format!("{other}, where channels_first is what models take")));
            }
        }
        if processor.sizing != Sizing::Area {
            return Ok(Layout::Nchw);
        }
        let mut length =
            |key: &str, default| self.map.remove(key).map_or(Ok(default), |value| Self::length(key, &value));
        let patches = Patches::new(length("patch_size", 14)?);
        let (temporal, merge) = (length("temporal_patch_size", 2)?, length("merge_size", 2)?);
        Ok(Layout::Patches(patches.temporal(temporal).merge(merge)))
    }

    /// Qwen2-VL's sizes: `min_pixels` and `max_pixels`, or `size` with areas under the names of edges.
    fn area(&mut self, patches: Patches) -> Result<Target> {
        let [mut least, mut most] = [56 * 56, 28 * 28 * 1280];
        match self.map.remove("size") {
            None => {}
            Some(Value::Object(map)) => {
                [least, most] = Self::lengths("size", &map, ["shortest_edge", "longest_edge"])?;
            }
            Some(other) => return Err(bad("size", format!("{other} has no shortest_edge and longest_edge"))),
        }
        for (key, pixels) in [("min_pixels", &mut least), ("max_pixels", &mut most)] {
            if let Some(value) = self.map.remove(key) {
                *pixels = Self::length(key, &value)?;
            }
        }
        if least > most {
            return Err(bad("min_pixels", format!("{least} is more than max_pixels, {most}")));
        }
        let of = patches.size.checked_mul(patches.merge);
        let of = of.ok_or_else(|| bad("merge_size", "patches of more than 2^32 pixels"))?;
        Ok(Target::Multiple { of, min_pixels: least.into(), max_pixels: most.into() })
    }

    fn normalize(&mut self, processor: &Processor) -> Result<(Normalize, DType)> {
        let factor = self.map.remove("rescale_factor").map(|value| Self::number("rescale_factor", &value));
        let factor = factor.transpose()?.unwrap_or(1.0 / 255.0);
        let mean = self.channels("image_mean", processor.stats.0)?;
        let std = self.channels("image_std", processor.stats.1)?;
        let (rescales, normalizes) = (self.flag("do_rescale", true)?, self.flag("do_normalize", true)?);
        if !rescales && !normalizes {
            return Ok((Normalize::NONE, DType::U8));
        }
        let normalize = match normalizes {
            true => Normalize::new(mean, std).map_err(|_| bad("image_std", "numbers must be finite and std not 0"))?,
            false => Normalize::NONE,
        };
        let normalize = normalize.rescale(if rescales { factor } else { 1.0 });
        Ok((normalize.map_err(|_| bad("rescale_factor", format!("{factor} is too large")))?, DType::F32))
    }

    /// A number for each channel, or one for all.
    fn channels(&mut self, key: &str, default: [f64; 3]) -> Result<[f64; 3]> {
        match self.map.remove(key) {
            None => Ok(default),
            Some(Value::Array(list)) => {
                let numbers = list.iter().map(|value| Self::number(key, value)).collect::<Result<Vec<_>>>()?;
                <[f64; 3]>::try_from(numbers).map_err(|list| bad(key, format!("{} numbers, not 3", list.len())))
            }
            Some(value) => Self::number(key, &value).map(|value| [value; 3]),
        }
    }

    /// Nothing may be left over but what says nothing about pixels.
    fn finish(mut self, processor: &Processor) -> Result<()> {
        for key in IGNORED {
            self.map.remove(key);
        }
        match self.map.keys().next() {
            None => Ok(()),
            Some(key) => Err(bad(key, format!("{}ImageProcessor knows no such key", processor.name))),
        }
    }
}
