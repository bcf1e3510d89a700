//! Keyword arguments that say what happens to images, and the `Preprocess` that they make.

use pyo3::exceptions::{PyTypeError, PyValueError};
use pyo3::prelude::*;
use pyo3::types::PyDict;
use warpline::image::{
    Centering, Crop, DType, Interpolation, Layout, Normalize, Pad, Place, Preprocess, RandomCrop, Resize, Target,
};

use crate::arguments::{
    Lengths, Size, centering, color, lengths, multiple, normalization, number, number_pair, probability, size,
    unsigned, word,
};
use crate::error::raise;

/// The arguments that were given; `None` is as good as absent.
#[derive(Debug, Default)]
pub struct Options {
    resize: Option<Lengths>,
    fit: Option<Size>,
    letterbox: Option<Size>,
    smart_resize: Option<(u32, u64, u64)>,
    random_resized_crop: Option<Size>,
    scale: Option<(f64, f64)>,
    ratio: Option<(f64, f64)>,
    crop: Option<Size>,
    centering: Option<Centering>,
    pad: Option<Size>,
    place: Option<Place>,
    fill: Option<[u8; 3]>,
    horizontal_flip: Option<f64>,
    vertical_flip: Option<f64>,
    seed: Option<u64>,
    interpolation: Option<Interpolation>,
    normalize: Option<Normalize>,
    rescale_factor: Option<f64>,
    dtype: Option<DType>,
    layout: Option<Layout>,
}

/// Their names, for the message about an unknown one.
const NAMES: &str = "resize, fit, letterbox, smart_resize, random_resized_crop, scale, ratio, crop, centering, pad, \
    place, fill, horizontal_flip, vertical_flip, seed, interpolation, normalize, rescale_factor, dtype, layout";

impl Options {
    /// Reads the keyword arguments of a function.
    pub fn new(arguments: Option<&Bound<'_, PyDict>>) -> PyResult<Self> {
        let mut options = Options::default();
        for (name, value) in arguments.into_iter().flatten() {
            if !value.is_none() {
                options.set(&name.extract::<String>()?, &value)?;
            }
        }
        options.refuse_contradictions()?;
        Ok(options)
    }

    fn set(&mut self, name: &str, value: &Bound<'_, PyAny>) -> PyResult<()> {
        match name {
            "resize" => self.resize = Some(lengths(name, value)?),
            "fit" => self.fit = Some(size(name, value)?),
            "letterbox" => self.letterbox = Some(size(name, value)?),
            "smart_resize" => self.smart_resize = Some(multiple(name, value)?),
            "random_resized_crop" => self.random_resized_crop = Some(size(name, value)?),
            "scale" => self.scale = Some(number_pair(name, value)?),
            "ratio" => self.ratio = Some(number_pair(name, value)?),
            "crop" => self.crop = Some(size(name, value)?),
            "centering" => self.centering = Some(centering(name, value)?),
            "pad" => self.pad = Some(size(name, value)?),
            "place" => self.place = Some(word(name, value)?),
            "fill" => self.fill = Some(color(name, value)?),
            "horizontal_flip" => self.horizontal_flip = Some(probability(name, value)?),
            "vertical_flip" => self.vertical_flip = Some(probability(name, value)?),
            "seed" => self.seed = Some(unsigned(name, value)?),
            "interpolation" => self.interpolation = Some(word(name, value)?),
            "normalize" => self.normalize = Some(normalization(name, value)?),
            "rescale_factor" => self.rescale_factor = Some(number(name, value)?),
            "dtype" => self.dtype = Some(word(name, value)?),
            "layout" => self.layout = Some(word(name, value)?),
            _ => {
                let why = format!("'{name}' is no argument; these say what happens to images: {NAMES}");
                return Err(PyTypeError::new_err(why));
            }
        }
        Ok(())
    }

    fn refuse_contradictions(&self) -> PyResult<()> {
        let resizes = [
            ("resize", self.resize.is_some()),
            ("fit", self.fit.is_some()),
            ("letterbox", self.letterbox.is_some()),
            ("smart_resize", self.smart_resize.is_some()),
            ("random_resized_crop", self.random_resized_crop.is_some()),
        ];
        let mut resizes = resizes.iter().filter(|(_, given)| *given).map(|(name, _)| *name);
        let pairs = [
            resizes.next().zip(resizes.next()),
            self.letterbox.and(self.crop).map(|_| ("letterbox", "crop")),
            self.letterbox.and(self.pad).map(|_| ("letterbox", "pad")),
            self.random_resized_crop.and(self.crop).map(|_| ("random_resized_crop", "crop")),
        ];
        match pairs.into_iter().flatten().next() {
            Some((a, b)) => Err(PyValueError::new_err(format!("{a} and {b} exclude each other: give one of them"))),
            None => Ok(()),
        }
    }

    /// The element type that was asked for, or that of torchvision's tensors.
    pub fn dtype(&self) -> DType {
        self.dtype.unwrap_or_default()
    }

    /// What `base` becomes with these options.
    pub fn apply(&self, base: Preprocess) -> PyResult<Preprocess> {
        let dtype = self.dtype.unwrap_or(base.dtype);
        let normalize = self.normalized(&base, dtype)?;
        if dtype == DType::U8 && normalize != Normalize::NONE {
            let why = "dtype: 'u8' holds raw pixels, which are not normalised: leave out normalize and rescale_factor, \
                       or take 'f32', 'f16' or 'bf16'";
            return Err(PyValueError::new_err(why));
        }
        let layout = self.layout.unwrap_or(base.layout);
        Ok(Preprocess { resize: self.geometry(base.resize)?, normalize, dtype, layout })
    }

    fn normalized(&self, base: &Preprocess, dtype: DType) -> PyResult<Normalize> {
        let normalize = match self.normalize {
            Some(normalize) => normalize,
            // Raw bytes as floats stay the numbers that they are.
            None if base.dtype == DType::U8 && dtype != DType::U8 => Normalize::NONE.rescale(1.0).map_err(raise)?,
            None => base.normalize,
        };
        self.rescale_factor.map_or(Ok(normalize), |factor| normalize.rescale(factor)).map_err(raise)
    }

    fn geometry(&self, base: Resize) -> PyResult<Resize> {
        let mut resize = self.resized(base);
        if self.scale.is_some() || self.ratio.is_some() {
            let Some(RandomCrop { scale, ratio }) = resize.random_crop else {
                return Err(PyValueError::new_err("scale and ratio are those of random_resized_crop: give it too"));
            };
            let (scale, ratio) = (self.scale.unwrap_or(scale), self.ratio.unwrap_or(ratio));
            resize = resize.random_crop(RandomCrop { scale, ratio });
        }
        if let Some((height, width)) = self.crop {
            resize.crop = Some(Crop { width, height });
        }
        if let Some((height, width)) = self.pad {
            resize.pad = Some(Pad { width, height, place: Place::default() });
        }
        if let Some(place) = self.place {
            if resize.pad.is_none() {
                return Err(PyValueError::new_err(
                    "place says where pad or letterbox leaves the image: give one of them",
                ));
            }
            resize = resize.place(place);
        }
        Ok(Resize {
            centering: self.centering.unwrap_or(resize.centering),
            fill: self.fill.unwrap_or(resize.fill),
            hflip: self.horizontal_flip.unwrap_or(resize.hflip),
            vflip: self.vertical_flip.unwrap_or(resize.vflip),
            seed: self.seed.unwrap_or(resize.seed),
            interpolation: self.interpolation.unwrap_or(resize.interpolation),
            ..resize
        })
    }

    /// Another size. A letterbox takes the place of a crop and of padding too, a random crop that of a centre crop.
    fn resized(&self, base: Resize) -> Resize {
        let (mut resize, mut target) = (base, None);
        match self.resize {
            Some(Lengths::Shorter(length)) => target = Some(Target::Shorter(length)),
            Some(Lengths::Exact((height, width))) => target = Some(Target::Exact { width, height }),
            None => {}
        }
        if let Some((height, width)) = self.fit {
            target = Some(Target::Fit { width, height });
        }
        if let Some((of, min_pixels, max_pixels)) = self.smart_resize {
            target = Some(Target::Multiple { of, min_pixels, max_pixels });
        }
        if let Some((height, width)) = self.letterbox {
            target = Some(Target::Fit { width, height });
            resize = Resize { crop: None, ..resize }.pad_to(width, height);
        }
        if let Some(target) = target {
            resize = Resize { target, random_crop: None, ..resize };
        }
        if let Some((height, width)) = self.random_resized_crop {
            let target = Target::Exact { width, height };
            resize = Resize { target, random_crop: Some(RandomCrop::default()), crop: None, ..resize };
        }
        resize
    }
}
