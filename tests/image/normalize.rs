//! Normalise against torchvision's arithmetic, and the options' text forms.

use warpline::Error;
use warpline::image::{DType, Images, Interpolation, Layout, Normalize, Preprocess, Resize, normalize};

use super::oracle::{one, pattern};
use crate::common::contexts;

#[test]
fn names_round_trip() {
    let rescaled = "0.5,0.5,0.5/0.5,0.5,0.5/0.00392156862745098";
    assert_eq!(rescaled.parse::<Normalize>().expect("three parts").to_string(), rescaled);
    for text in ["imagenet", "clip", "none", "0.1,0.2,0.3/0.001,3.5,0.0000001", "0.5/0.25", "0/1/1"] {
        let parsed: Normalize = text.parse().expect("a normalise");
        assert_eq!(parsed.to_string().parse::<Normalize>().expect("its own text"), parsed);
    }
    for text in
        ["", "imagenet2", "0.5", "1,2/3,4", "0/0", "nan/1", "0.5/inf", "0/1e-60", "0/1/", "0/1/1e300", "0/1/1/1"]
    {
        assert!(text.parse::<Normalize>().is_err(), "{text}");
    }
    assert!(["f32", "f16", "bf16", "u8"].iter().all(|t| t.parse::<DType>().is_ok_and(|d| d.to_string() == *t)));
    let layouts = ["nchw", "nhwc", "patches:16", "patches:14,merge=2,temporal=2", "patches:4,channels=last"];
    assert!(layouts.iter().all(|t| t.parse::<Layout>().is_ok_and(|l| l.to_string() == *t)));
    assert!(Interpolation::ALL.iter().all(|i| i.to_string().parse::<Interpolation>().is_ok_and(|j| j == *i)));
    assert!("cubic".parse::<Interpolation>().is_err() && "f64".parse::<DType>().is_err());
    for text in ["patches", "patches:", "patches:x", "patches:4,merge", "patches:4,channels=middle", "patches:4,size=3"]
    {
        assert!(text.parse::<Layout>().is_err(), "{text}");
    }
}

#[test]
fn options_serialise_as_their_names() {
    let what = Preprocess {
        resize: Resize::shorter(256).crop(224),
        normalize: Normalize::CLIP,
        dtype: DType::BF16,
        layout: Layout::Nhwc,
    };
    let text = serde_json::to_string(&what).expect("JSON");
    assert!(text.contains(r#""normalize":"clip","dtype":"bf16","layout":"nhwc""#), "{text}");
    assert_eq!(serde_json::from_str::<Preprocess>(&text).expect("the same"), what);
}

#[test]
fn needs_one_size() {
    for ctx in contexts() {
        let run = |images: &Images| {
            normalize(&ctx, &images.to(&ctx).expect("a copy"), &Normalize::NONE, DType::F32, Layout::Nchw)
        };
        assert_eq!(run(&one(4, 3, "noise")).expect("one image").spec.shape(), [3, 3, 4]);
        let mut pixels = pattern(4, 3, "noise");
        pixels.extend(pattern(3, 4, "noise"));
        let mixed = Images::from_pixels(pixels, &[Some((4, 3)), None, Some((3, 4))]).expect("two images");
        let error = run(&mixed).expect_err("two sizes").to_string();
        assert!(error.starts_with("preprocess: row 2: 3 x 4 pixels, other rows are 4 x 3"), "{error}");
        assert!(run(&Images::from_pixels(vec![], &[None]).expect("a null")).is_err());
    }
}

#[test]
fn bytes_stay_raw() {
    for ctx in contexts() {
        let images = one(2, 2, "noise").to(&ctx).expect("a copy");
        let refused = normalize(&ctx, &images, &Normalize::CLIP, DType::U8, Layout::Nchw);
        assert!(matches!(refused, Err(Error::Unsupported { .. })));
    }
}
