//! Resize + crop + normalise against Pillow < 13 and torchvision's arithmetic in numpy.

use std::sync::Arc;

use arrow::array::{Array, AsArray};
use proptest::prelude::*;
use warpline::arrow;
use warpline::device::CountLaunches;
use warpline::image::{
    DType, Images, ImagesBuilder, Layout, Normalize, Patches, Preprocess, Resize, Tensors, preprocess, preprocess_plan,
};
use warpline::{Error, ExecCtx};

use super::oracle::{live, one, parse_case, pattern, sha256};
use crate::common::{cases, contexts, with_device};

fn run(ctx: &ExecCtx, images: &Images, what: &Preprocess) -> Tensors {
    let images = images.to(ctx).expect("a copy");
    let tensors = preprocess(ctx, &images, what).expect("a tensor column");
    Tensors { column: tensors.column.to_host().expect("a copy"), spec: tensors.spec }
}

/// The elements of all rows as bytes, in memory order.
fn bytes(tensors: &Tensors) -> Vec<u8> {
    let array = tensors.column.to_array().expect("a host array");
    let values = array.as_fixed_size_list().values().to_data();
    let from = values.offset() * tensors.spec.dtype.size();
    values.buffers()[0].as_slice()[from..][..values.len() * tensors.spec.dtype.size()].to_vec()
}

fn check(ctx: &ExecCtx, line: &str) {
    let fields: Vec<&str> = line.split_whitespace().collect();
    let (images, resize) = parse_case(&fields);
    let what = Preprocess {
        resize,
        normalize: fields[6].parse().expect("a normalise"),
        dtype: fields[7].parse().expect("a type"),
        layout: fields[8].parse().expect("a layout"),
    };
    assert_eq!(sha256(&bytes(&run(ctx, &images, &what))), fields[9], "{line}");
}

#[test]
fn equals_torchvision_golden() {
    for ctx in contexts() {
        for line in include_str!("../golden/normalize.txt").lines() {
            check(&ctx, line);
        }
    }
}

#[test]
fn equals_torchvision_live() {
    let sides = [1, 2, 3, 9, 17, 64, 101];
    let crops = ["1x1", "16x16", "40x7", "65x66"];
    let mut cases = Vec::new();
    for (i, w) in sides.into_iter().enumerate() {
        for (j, h) in sides.into_iter().enumerate() {
            let n = i * sides.len() + j;
            let crop = crops[n % crops.len()];
            let filter = ["nearest", "box", "bilinear", "hamming", "bicubic", "lanczos"][n % 6];
            let (stats, dtype) =
                [("imagenet", "f16"), ("clip", "bf16"), ("0.3,0.4,0.5/0.7,0.8,0.9", "f32"), ("none", "u8")][n % 4];
            let layout = ["nchw", "nhwc"][(n / 4) % 2];
            cases.push(format!("{w} {h} noise {filter} shorter:{} {crop} {stats} {dtype} {layout}", 5 + n % 40));
        }
    }
    let Some(answers) = live("make_normalize.py", &cases) else { return };
    assert_eq!(answers.len(), cases.len());
    let ctx = ExecCtx::host(0).expect("a host context");
    for line in answers {
        check(&ctx, &line);
    }
}

/// Cases of patches over every kind of geometry: sides, blocks and frames that are multiples of four and not.
fn patch_cases(count: u32) -> Vec<String> {
    let case = |n: u32| {
        let (size, merge, temporal) = (1 + n * 7 % 17, 1 + n % 3, 1 + n / 3 % 3);
        let (width, height) = (size * merge * (1 + n % 4), size * merge * (1 + n / 4 % 4));
        let channels = ["", ",channels=last"][n as usize / 2 % 2];
        let (r, g, b) = (n % 256, 3 * n % 256, 7 * n % 256);
        let steps = match n % 4 {
            0 => format!("exact:{width}x{height} none;hflip:0.5;seed:{n},{n}"),
            1 => format!("fit:{width}x{height} none;pad:{width}x{height}@center;fill:{r},{g},{b}"),
            2 => format!("exact:{width}x{height} none;part:0.1,1,0.5,2;vflip:0.5;hflip:0.5;seed:1,{n}"),
            _ => format!("keep {width}x{height};fill:{r},{g},{b};hflip:1"),
        };
        let filter = ["bicubic", "bilinear", "nearest", "lanczos", "box"][n as usize % 5];
        let (stats, dtype) =
            [("imagenet", "f16"), ("none", "u8"), ("clip", "f32"), ("0.5,0.5,0.5/0.5,0.5,0.5", "bf16")]
                [n as usize / 5 % 4];
        format!(
            "{} {} noise {filter} {steps} {stats} {dtype} patches:{size},merge={merge},temporal={temporal}{channels}",
            20 + n % 50,
            20 + n / 2 % 50,
        )
    };
    (0..count).map(case).collect()
}

#[test]
fn patches_equal_numpy_live() {
    let cases = patch_cases(400);
    let Some(answers) = live("make_normalize.py", &cases) else { return };
    assert_eq!(answers.len(), cases.len());
    for ctx in contexts() {
        for line in &answers {
            check(&ctx, line);
        }
    }
}

#[test]
fn nulls_are_zero_and_neighbours_stay() {
    let mut builder = ImagesBuilder::with_capacity(4, 0);
    builder.push_null();
    builder.push(30, 20, &pattern(30, 20, "noise")).expect("an image");
    builder.push_null();
    builder.push(7, 9, &pattern(7, 9, "noise")).expect("an image");
    let images = builder.finish().expect("images");
    let what = |resize, layout| Preprocess { resize, normalize: Normalize::IMAGENET, dtype: DType::F32, layout };
    let patches = Layout::Patches(Patches::new(5).merge(2));
    let boxed = Resize::letterbox(10, 10).fill([1, 2, 3]).hflip(1.0);
    let whats =
        [what(Resize::shorter(12).crop(10), Layout::Nchw), what(boxed, Layout::Nhwc), what(boxed.vflip(1.0), patches)];
    for (ctx, what) in contexts().into_iter().flat_map(|ctx| whats.map(|what| (ctx.clone(), what))) {
        let tensors = run(&ctx, &images, &what);
        let array = tensors.column.to_array().expect("a host array");
        assert_eq!((0..4).map(|i| array.is_valid(i)).collect::<Vec<_>>(), [false, true, false, true]);
        let rows = bytes(&tensors);
        let row = |i: usize| &rows[i * 1200..][..1200];
        assert!(row(0).iter().chain(row(2)).all(|b| *b == 0));
        for (i, (w, h)) in [(1, (30, 20)), (3, (7, 9))] {
            let alone = Images::from_pixels(pattern(w, h, "noise"), &[Some((w, h))]).expect("an image");
            assert_eq!(bytes(&run(&ctx, &alone, &what)), row(i));
        }
        let nulls = Images::from_pixels(vec![], &[None, None]).expect("nulls");
        let tensors = run(&ctx, &nulls, &what);
        assert_eq!(tensors.column.to_array().expect("a host array").null_count(), 2);
        let none = Images::from_pixels(vec![], &[]).expect("no images");
        assert_eq!(run(&ctx, &none, &what).column.len(), 0);
    }
}

#[test]
fn launches_and_memory_are_as_planned() {
    let what = |resize| Preprocess { resize, normalize: Normalize::IMAGENET, dtype: DType::F16, layout: Layout::Nchw };
    with_device(|ctx| {
        for rows in [1, 2, 33] {
            let patches = Layout::Patches(Patches::new(5).merge(2));
            for (what, most) in [
                (what(Resize::shorter(12).crop(10)), 2),
                (what(Resize::letterbox(16, 16).hflip(0.5)), 2),
                (what(Resize::random_resized_crop(10, 12).seed(3)), 2),
                (Preprocess { layout: patches, ..what(Resize::shorter(12).crop(10)) }, 2),
                (Preprocess { layout: patches, ..what(Resize::keep()) }, 1),
                (what(Resize::keep().hflip(1.0)), 1),
                (what(Resize::keep()), 1),
            ] {
                let launches = Arc::new(CountLaunches::default());
                let ctx = ctx.with_budget(1 << 26).expect("a budget").with_launch_strategy(launches.clone());
                let pixels = (0..rows).flat_map(|_| pattern(20, 30, "noise")).collect();
                let images = Images::from_pixels(pixels, &vec![Some((20, 30)); rows]).expect("images");
                let plan = preprocess_plan(&images, &what).expect("a plan");
                let images = images.to(&ctx).expect("a copy");
                let ledger = ctx.as_cuda().expect("a device").ledger();
                let before = ledger.used();
                let tensors = preprocess(&ctx, &images, &what).expect("tensors");
                assert_eq!(launches.count(), most, "{rows} rows");
                assert_eq!(ledger.peak() - before, plan.workspace + plan.output, "{rows} rows");
                assert_eq!(ledger.used() - before, plan.output, "{rows} rows");
                drop(tensors);
            }
        }
    });
}

#[test]
fn the_field_is_a_fixed_shape_tensor() {
    let ctx = ExecCtx::host(1).expect("a host context");
    let images = Images::from_pixels(pattern(4, 4, "noise"), &[Some((4, 4))]).expect("an image");
    for (dtype, layout) in [(DType::F32, Layout::Nchw), (DType::BF16, Layout::Nhwc), (DType::U8, Layout::Nchw)] {
        let what = Preprocess { resize: Resize::keep().crop_to(3, 2), normalize: Normalize::NONE, dtype, layout };
        let tensors = run(&ctx, &images, &what);
        let field = tensors.spec.field("tensor");
        assert_eq!(field.data_type(), tensors.column.data_type());
        assert_eq!(field.metadata()["ARROW:extension:name"], "arrow.fixed_shape_tensor");
        let shape: serde_json::Value =
            serde_json::from_str(&field.metadata()["ARROW:extension:metadata"]).expect("JSON");
        assert_eq!(shape["shape"], serde_json::json!(tensors.spec.shape()));
        assert_eq!(field.metadata().contains_key("warpline:dtype"), dtype == DType::BF16);
    }
}

#[test]
fn from_hf_equals_transformers_golden() {
    for ctx in contexts() {
        for line in include_str!("../golden/hf.txt").lines() {
            let [width, height, kind, digest, config] = line.splitn(5, ' ').collect::<Vec<_>>()[..] else {
                panic!("{line}")
            };
            let images = one(width.parse().expect("a width"), height.parse().expect("a height"), kind);
            let what = Preprocess::from_hf(config).unwrap_or_else(|e| panic!("{line}: {e}"));
            assert_eq!(sha256(&bytes(&run(&ctx, &images, &what))), digest, "{line}");
        }
    }
}

/// What is wrong is told by its key.
#[test]
fn from_hf_names_the_key_at_fault() {
    let at_fault = [
        ("ViT", r#""size": {"shortest_edge": 224}"#, "size"),
        ("ViT", r#""size": 0"#, "size"),
        ("ViT", r#""size": {"height": 2, "width": 2, "shortest_edge": 2}"#, "size"),
        ("ViT", r#""resample": 6"#, "resample"),
        ("ViT", r#""do_center_crop": true"#, "do_center_crop"),
        ("ViT", r#""crop_size": 3"#, "crop_size"),
        ("ViT", r#""do_pad": true"#, "do_pad"),
        ("ViT", r#""do_resize": 1"#, "do_resize"),
        ("ViT", r#""image_mean": [0.5, 0.5]"#, "image_mean"),
        ("ViT", r#""image_std": [0.5, 0, 0.5]"#, "image_std"),
        ("ViT", r#""rescale_factor": "x""#, "rescale_factor"),
        ("ViT", r#""rescale_factor": 1e300"#, "rescale_factor"),
        ("ViT", r#""data_format": "channels_last""#, "data_format"),
        ("ViT", r#""apply_ocr": true"#, "apply_ocr"),
        ("CLIP", r#""size": {"shortest_edge": 2, "longest_edge": 3}"#, "size"),
        ("CLIP", r#""crop_size": {"height": 2}"#, "crop_size"),
        ("ConvNext", r#""size": {"height": 2, "width": 2}"#, "size"),
        ("ConvNext", r#""size": 224, "crop_pct": 0"#, "crop_pct"),
        ("Qwen2VL", r#""size": 224"#, "size"),
        ("Qwen2VL", r#""min_pixels": 2, "max_pixels": 1"#, "min_pixels"),
        ("Qwen2VL", r#""patch_size": 65536, "merge_size": 65536"#, "merge_size"),
        ("LayoutLMv3", r#""size": 224"#, "image_processor_type"),
    ];
    for (name, key, at_fault) in at_fault {
        let json = format!(r#"{{"image_processor_type": "{name}ImageProcessor", {key}}}"#);
        let error = Preprocess::from_hf(&json).expect_err(&json);
        assert!(matches!(error, Error::InvalidInput { .. } | Error::Unsupported { .. }), "{error}");
        assert!(error.to_string().contains(&format!("key '{at_fault}'")), "{json}: {error}");
    }
    for json in ["", "[]", "{}", r#"{"size": 224}"#, r#"{"image_processor_type": 3}"#] {
        assert!(matches!(Preprocess::from_hf(json), Err(Error::InvalidInput { .. })), "{json}");
    }
    let silent = r#"{"image_processor_type": "ViTImageProcessorFast", "do_pad": false, "do_center_crop": null}"#;
    assert_eq!(Preprocess::from_hf(silent).expect("defaults").resize.output_size(), Some((224, 224)));
}

/// Any values under the keys that are known, and some that are not: an error or a `Preprocess` that runs or is refused.
#[test]
fn from_hf_takes_any_values() {
    let number = prop_oneof![any::<i64>().prop_map(|n| n.to_string()), (0..300i64).prop_map(|n| n.to_string())];
    let number =
        prop_oneof![number, any::<f64>().prop_filter("JSON", |f| f.is_finite()).prop_map(|f| format!("{f:e}"))];
    let list = proptest::collection::vec(number.clone(), 0..4).prop_map(|list| format!("[{}]", list.join(",")));
    let names = proptest::sample::select(vec!["height", "width", "shortest_edge", "longest_edge"]);
    let map = proptest::collection::vec((names, number.clone()), 0..3)
        .prop_map(|map| map.iter().map(|(name, n)| format!(r#""{name}":{n}"#)).collect::<Vec<_>>().join(","))
        .prop_map(|entries| format!("{{{entries}}}"));
    let word = proptest::sample::select(vec!["true", "false", "null", r#""x""#]).prop_map(str::to_owned);
    let value = prop_oneof![number, list, map, word];
    let keys = proptest::sample::select(vec![
        "do_resize",
        "size",
        "resample",
        "do_center_crop",
        "crop_size",
        "crop_pct",
        "do_rescale",
        "rescale_factor",
        "do_normalize",
        "image_mean",
        "image_std",
        "do_pad",
        "do_convert_rgb",
        "data_format",
        "min_pixels",
        "max_pixels",
        "patch_size",
        "merge_size",
        "temporal_patch_size",
        "other",
    ]);
    let names = proptest::sample::select(vec!["ViT", "DeiT", "CLIP", "Bit", "ConvNext", "Siglip", "Blip", "Qwen2VL"]);
    let ctx = ExecCtx::host(1).expect("a host context");
    let images = one(9, 6, "noise");
    proptest!(cases(2000), |(name in names, entries in proptest::collection::vec((keys, value), 0..6))| {
        let entries = entries.iter().map(|(key, value)| format!(r#","{key}":{value}"#)).collect::<String>();
        let json = format!(r#"{{"image_processor_type":"{name}ImageProcessor"{entries}}}"#);
        if let Ok(what) = Preprocess::from_hf(&json) {
            // Planning is enough where the tensors are large.
            let plan = preprocess_plan(&images, &what);
            if plan.is_ok_and(|plan| plan.workspace + plan.output < 1 << 22) {
                prop_assert!(preprocess(&ctx, &images, &what).is_ok(), "{}", json);
            }
        }
    });
}

#[test]
fn patches_must_cover_the_image() {
    let ctx = ExecCtx::host(1).expect("a host context");
    let images = Images::from_pixels(pattern(28, 56, "noise"), &[Some((28, 56))]).expect("an image");
    let run = |patches| {
        let layout = Layout::Patches(patches);
        let what = Preprocess { resize: Resize::keep(), normalize: Normalize::NONE, dtype: DType::U8, layout };
        preprocess(&ctx, &images, &what).map(|tensors| tensors.spec.shape())
    };
    assert_eq!(run(Patches::new(14).merge(2).temporal(2)).expect("8 patches"), [8, 3 * 2 * 14 * 14]);
    for wrong in [Patches::new(0), Patches::new(8), Patches::new(14).merge(4), Patches::new(14).temporal(0)] {
        assert!(matches!(run(wrong), Err(Error::InvalidInput { .. })), "{wrong:?}");
    }
    assert!(run(Patches::new(u32::MAX).merge(u32::MAX)).is_err());
    assert!(run(Patches::new(1).temporal(u32::MAX)).is_err());
}

#[test]
fn refuses_tensors_that_arrow_cannot_hold() {
    let ctx = ExecCtx::host(1).expect("a host context");
    let what = Preprocess {
        resize: Resize::keep().crop_to(30_000, 30_000),
        normalize: Normalize::NONE,
        dtype: DType::F32,
        layout: Layout::Nchw,
    };
    let none = Images::from_pixels(vec![], &[None]).expect("a null");
    assert!(matches!(preprocess(&ctx, &none, &what), Err(Error::InvalidInput { .. })));
}
