//! Resize and crop against Pillow < 13.

use proptest::prelude::*;
use proptest::strategy::ValueTree;
use proptest::test_runner::TestRunner;
use warpline::image::{Images, ImagesBuilder, Interpolation, Place, RandomCrop, Resize, resize};
use warpline::{Column, Error, ExecCtx};

use super::oracle::{live, one, parse_case, pattern, sha256};
use crate::common::{cases, contexts, with_device};

/// Checks one line of answers: a case, then the result's width, height and digest.
fn check(ctx: &ExecCtx, line: &str) {
    let fields: Vec<&str> = line.split_whitespace().collect();
    let (images, how) = parse_case(&fields);
    let result = run(ctx, &images, &how);
    let (width, height) = result.size(0).expect("an image");
    let pixels = result.pixels(0).expect("pixels");
    let found = [width.to_string(), height.to_string(), sha256(pixels)];
    assert_eq!(found[..], fields[6..], "{line}");
}

fn run(ctx: &ExecCtx, images: &Images, how: &Resize) -> Images {
    let images = images.to(ctx).expect("a copy");
    resize(ctx, &images, how).expect("a resize").to(&host()).expect("a copy")
}

fn host() -> ExecCtx {
    ExecCtx::host(1).expect("a host context")
}

#[test]
fn equals_pillow_golden() {
    for ctx in contexts() {
        for line in include_str!("../golden/resize.txt").lines() {
            check(&ctx, line);
        }
    }
}

/// A random case line; sizes are small so that thousands run in seconds.
fn any_case() -> impl Strategy<Value = String> {
    let side = || prop_oneof![4 => 1u32..40, 1 => 1u32..700];
    let target = prop_oneof![
        (1u32..90, 1u32..90).prop_map(|(w, h)| format!("exact:{w}x{h}")),
        (1u32..50).prop_map(|n| format!("shorter:{n}")),
        Just("keep".to_string()),
    ];
    let crop = prop_oneof![Just("none".to_string()), (1u32..70, 1u32..70).prop_map(|(w, h)| format!("{w}x{h}"))];
    let kind = prop_oneof![Just("noise"), Just("black-white")];
    (side(), side(), kind, proptest::sample::select(&Interpolation::ALL[..]), target, crop, any_steps())
        .prop_map(|(w, h, kind, filter, target, crop, steps)| format!("{w} {h} {kind} {filter} {target} {crop}{steps}"))
        // A long thin image with the shorter side resized up would take minutes in Pillow.
        .prop_filter("small results", |line| {
            let (images, how) = parse_case(&line.split_whitespace().collect::<Vec<_>>());
            let (w, h) = images.size(0).expect("an image");
            let long = |n: u32| u64::from(n) * u64::from(w.max(h)) / u64::from(w.min(h));
            !matches!(how.target, warpline::image::Target::Shorter(n) if long(n) > 3000)
        })
}

/// Steps after the crop, in half of the cases: a random part and flips.
fn any_steps() -> impl Strategy<Value = String> {
    let part = (1u32..100, 1u32..100, 1u32..30, 1u32..30).prop_map(|(least, more, thin, wide)| {
        let (least, thin) = (f64::from(least) / 100.0, f64::from(thin) / 10.0);
        format!(";part:{least},{},{thin},{}", least + f64::from(more) / 100.0, thin + f64::from(wide) / 10.0)
    });
    let part = prop_oneof![Just(String::new()), part];
    let chance = || proptest::sample::select(&[0.0, 0.5, 1.0][..]);
    let random = (part, chance(), chance(), any::<u64>(), any::<u64>())
        .prop_map(|(part, h, v, seed, row)| format!("{part};hflip:{h};vflip:{v};seed:{seed},{row}"));
    prop_oneof![Just(String::new()), random]
}

/// A canvas that the image always fits: a letterbox, or padding of an exact size; flipped in half of the cases.
fn any_canvas() -> impl Strategy<Value = String> {
    let side = || 20u32..200;
    let target = (10u32..90, 10u32..90).prop_flat_map(|(w, h)| {
        let exact = (1..=w, 1..=h).prop_map(|(w, h)| format!("exact:{w}x{h}"));
        (prop_oneof![Just(format!("fit:{w}x{h}")), exact], Just(format!("{w}x{h}")))
    });
    let places = proptest::sample::select(&Place::ALL[..]);
    let filters = proptest::sample::select(&Interpolation::ALL[..]);
    (side(), side(), target, filters, places, any::<[u8; 3]>(), 0..=1u8).prop_map(
        |(w, h, (target, canvas), filter, place, [r, g, b], flip)| {
            format!(
                "{w} {h} noise {filter} {target} none;pad:{canvas}@{place};fill:{r},{g},{b};hflip:{flip};vflip:{flip}"
            )
        },
    )
}

#[test]
fn equals_pillow_live() {
    let mut runner = TestRunner::deterministic();
    let count = cases(3000).cases;
    let any = prop_oneof![4 => any_case().boxed(), 1 => any_canvas().boxed()];
    let cases: Vec<String> = (0..count).map(|_| any.new_tree(&mut runner).expect("a case").current()).collect();
    let Some(answers) = live("make_resize.py", &cases) else { return };
    assert_eq!(answers.len(), cases.len());
    let ctx = ExecCtx::host(0).expect("a host context");
    for line in &answers {
        check(&ctx, line);
    }
}

#[test]
fn a_batch_is_its_images() {
    let sizes = [(5, 5), (40, 30), (30, 40), (1, 1), (3, 400), (400, 3), (40, 30), (640, 480)];
    let mut builder = ImagesBuilder::with_capacity(0, 0);
    for (w, h) in sizes {
        builder.push(w, h, &pattern(w, h, "noise")).expect("an image");
        builder.push_null();
    }
    let batch = builder.finish().expect("images");
    for ctx in contexts() {
        for filter in Interpolation::ALL {
            let how = Resize::shorter(24).crop(20).interpolation(filter);
            let all = run(&ctx, &batch, &how);
            assert_eq!((all.len(), all.null_count()), (16, 8));
            for (i, (w, h)) in sizes.into_iter().enumerate() {
                let alone = run(&ctx, &one(w, h, "noise"), &how);
                assert_eq!(all.pixels(2 * i), alone.pixels(0), "{w} x {h} {filter}");
                assert_eq!(all.size(2 * i + 1), None);
            }
        }
    }
}

/// Every way through the first pass on a device: tiles of 64, 32 and 16 columns, and too wide for a tile.
#[test]
fn device_is_host_at_every_scale() {
    let mut runner = TestRunner::deterministic();
    let any = prop_oneof![any_case().boxed(), any_canvas().boxed()];
    let random: Vec<String> = (0..300).map(|_| any.new_tree(&mut runner).expect("a case").current()).collect();
    let scales =
        [(140, 9, 70, 5), (403, 19, 31, 9), (700, 17, 40, 16), (1500, 9, 50, 3), (2600, 3, 33, 2), (130, 64, 129, 63)];
    let scales = scales.into_iter().flat_map(|(w, h, out_w, out_h)| {
        ["box", "bilinear", "lanczos"].map(|filter| format!("{w} {h} noise {filter} exact:{out_w}x{out_h} none"))
    });
    with_device(|ctx| {
        for case in scales.chain(random) {
            let (images, how) = parse_case(&case.split_whitespace().collect::<Vec<_>>());
            let (there, here) = (run(ctx, &images, &how), run(&host(), &images, &how));
            assert_eq!((there.size(0), there.pixels(0)), (here.size(0), here.pixels(0)), "{case}");
        }
    });
}

/// A row's random part and flips follow its id, whatever the batch, its order and the place it is in.
#[test]
fn random_choices_follow_the_row_id() {
    let rows = 12usize;
    let pixels = |n: usize| (0..n).flat_map(|_| pattern(40, 30, "noise")).collect::<Vec<_>>();
    let batch = |ids: &[u64]| {
        let images = Images::from_pixels(pixels(ids.len()), &vec![Some((40, 30)); ids.len()]).expect("images");
        images.with_row_ids(ids).expect("as many")
    };
    let how = Resize::random_resized_crop(16, 12).hflip(0.5).vflip(0.5).seed(5);
    let ids: Vec<u64> = (0..rows as u64).map(|i| i * 1000).collect();
    let all = run(&host(), &batch(&ids), &how);
    let different: std::collections::HashSet<_> = (0..rows).map(|i| all.pixels(i)).collect();
    assert_eq!(different.len(), rows);
    assert_eq!((all.row_id(3), batch(&ids[3..]).row_id(0)), (3000, 3000));
    for ctx in contexts() {
        let turned: Vec<u64> = ids.iter().rev().copied().collect();
        let turned = run(&ctx, &batch(&turned), &how);
        let alone = run(&ctx, &batch(&ids[4..5]), &how);
        assert!((0..rows).all(|i| turned.pixels(i) == all.pixels(rows - 1 - i)));
        assert_eq!(alone.pixels(0), all.pixels(4));
        let other = run(&ctx, &batch(&ids), &how.seed(6));
        assert!((0..rows).any(|i| other.pixels(i) != all.pixels(i)));
        // Ids that nobody gave are row numbers.
        let numbered = Images::from_pixels(pixels(3), &[Some((40, 30)); 3]).expect("images");
        let given = run(&ctx, &batch(&[0, 1, 2]), &how);
        assert!((0..3).all(|i| run(&ctx, &numbered, &how).pixels(i) == given.pixels(i)));
    }
    assert!(batch(&ids).with_row_ids(&[1]).is_err());
}

#[test]
fn slices_and_columns_from_elsewhere() {
    let sizes = [(3, 2), (40, 30), (7, 7)];
    let pixels = sizes.iter().flat_map(|(w, h)| pattern(*w, *h, "noise")).collect();
    let all = Images::from_pixels(pixels, &sizes.map(Some)).expect("images");
    let array = all.column().to_array().expect("a host array").slice(1, 2);
    let how = Resize::shorter(9).crop(8);
    for ctx in contexts() {
        let sliced = Images::try_new(Column::from_array(array.clone())).expect("images");
        let column = sliced.column().to(&ctx).expect("a copy");
        // With sizes read back from the column, and with sizes that the host knew.
        for images in [Images::try_new(column).expect("images"), sliced.to(&ctx).expect("a copy")] {
            let results = run(&ctx, &images, &how);
            for (row, (w, h)) in [(0, (40, 30)), (1, (7, 7))] {
                assert_eq!(results.pixels(row), run(&ctx, &one(w, h, "noise"), &how).pixels(0));
            }
        }
    }
}

#[test]
fn no_rows_and_only_nulls() {
    for ctx in contexts() {
        let none = Images::from_pixels(vec![], &[]).expect("no images");
        assert!(run(&ctx, &none, &Resize::shorter(8)).is_empty());
        let nulls = Images::from_pixels(vec![], &[None, None]).expect("nulls");
        assert_eq!(run(&ctx, &nulls, &Resize::exact(8, 8)).null_count(), 2);
    }
}

#[test]
fn refuses_what_it_cannot_do() {
    for ctx in contexts() {
        let images = one(1, 1000, "noise").to(&ctx).expect("a copy");
        let part = |scale, ratio| Resize::exact(3, 3).random_crop(RandomCrop { scale, ratio });
        for how in [
            Resize::shorter(0),
            Resize::exact(3, 0),
            Resize::keep().crop_to(0, 1),
            Resize::letterbox(0, 1),
            Resize::keep().pad_to(1, 999),
            Resize::fit(10, 10),
            Resize::keep().hflip(1.5),
            Resize::keep().vflip(f64::NAN),
            part((0.0, 1.0), (1.0, 1.0)),
            part((0.1, f64::INFINITY), (1.0, 1.0)),
            part((0.1, 1.0), (2.0, 1.0)),
        ] {
            assert!(matches!(resize(&ctx, &images, &how), Err(Error::InvalidInput { .. })), "{how:?}");
        }
        let error = resize(&ctx, &images, &Resize::shorter(5000)).expect_err("25 gigapixels").to_string();
        assert!(error.starts_with("resize: row 0: "), "{error}");
        assert!(resize(&ctx, &images, &Resize::shorter(u32::MAX)).is_err());
        // The crop alone is computed, so a small crop of a large virtual image is fine.
        assert!(resize(&ctx, &images, &Resize::shorter(5000).crop(8)).is_ok());
    }
}

#[test]
fn images_are_checked() {
    assert!(Images::from_pixels(vec![0; 5], &[Some((1, 2))]).is_err());
    assert!(Images::from_pixels(vec![], &[Some((0, 2))]).is_err());
    assert!(Images::from_pixels(vec![0; 3], &[Some((u32::MAX, u32::MAX))]).is_err());
    let mut builder = ImagesBuilder::default();
    assert!(builder.push(2, 2, &[0; 11]).is_err());
}
