//! `jpeg_decode` against libjpeg-turbo (SIMD build) on the corpora and on a grid that libjpeg-turbo encodes.
//!
//! TurboJPEG reports a warning as an error and does not turn CMYK into RGB, so corrupt files and four inks are left to
//! Pillow, in the main package's tests.

use std::path::PathBuf;
use std::sync::Arc;

use proptest::prelude::*;
use proptest::strategy::ValueTree;
use proptest::test_runner::TestRunner;
use turbojpeg::{Colorspace, Compressor, Decompressor, Image, PixelFormat, Subsamp};
use warpline::arrow::array::{ArrayRef, BinaryArray};
use warpline::image::Images;
use warpline::image::jpeg_decode::{Corrupt, DecodeOptions, decode, jpeg_decode};
use warpline::{Column, ExecCtx};

const STRICT: DecodeOptions =
    DecodeOptions { corrupt: Corrupt::Strict, exif_orientation: false, max_pixels: 178_956_970 };

/// Width, height and RGB bytes by libjpeg-turbo; `None` where TurboJPEG refuses or warns.
fn by_turbo(data: &[u8]) -> Option<(usize, usize, Vec<u8>)> {
    let mut decompressor = Decompressor::new().expect("a decompressor");
    let header = decompressor.read_header(data).ok()?;
    if matches!(header.colorspace, Colorspace::CMYK | Colorspace::YCCK) {
        return None;
    }
    let (width, height) = (header.width, header.height);
    let mut pixels = vec![0; width * height * 3];
    let image = Image { pixels: pixels.as_mut_slice(), width, pitch: width * 3, height, format: PixelFormat::RGB };
    decompressor.decompress(data, image).ok()?;
    Some((width, height, pixels))
}

#[test]
fn corpora_like_turbojpeg() {
    let Some(root) = std::env::var_os("CORPORA").map(PathBuf::from) else {
        eprintln!("skipped: CORPORA is not set");
        return;
    };
    let mut open = vec![root.join("photos"), root.join("jpeg")];
    let (mut compared, mut left) = (0, Vec::new());
    while let Some(folder) = open.pop() {
        for entry in std::fs::read_dir(&folder).expect("a readable corpus") {
            let path = entry.expect("a readable entry").path();
            if path.is_dir() {
                open.push(path);
                continue;
            }
            let data = std::fs::read(&path).expect("a readable file");
            let Some((width, height, pixels)) = by_turbo(&data) else {
                left.push(path.display().to_string());
                continue;
            };
            let ours = decode(&data, &DecodeOptions::default()).unwrap_or_else(|e| panic!("{}: {e}", path.display()));
            assert_eq!((ours.width as usize, ours.height as usize), (width, height), "{}", path.display());
            assert!(ours.data == pixels, "{}: pixels differ", path.display());
            compared += 1;
        }
    }
    assert!(compared > 90, "only {compared} files compared");
    eprintln!("{compared} files equal to libjpeg-turbo; left to Pillow: {left:?}");
}

/// One file of the grid.
#[derive(Clone, Debug)]
struct Case {
    width: usize,
    height: usize,
    quality: i32,
    subsamp: Subsamp,
    colorspace: Colorspace,
    progressive: bool,
    optimize: bool,
    /// How far samples stray from a gradient; 256 is noise with overshoot.
    noise: u32,
    seed: u64,
}

fn case() -> impl Strategy<Value = Case> {
    let subsamp = prop::sample::select(vec![
        Subsamp::None,
        Subsamp::Sub2x1,
        Subsamp::Sub2x2,
        Subsamp::Sub1x2,
        Subsamp::Sub4x1,
        Subsamp::Sub1x4,
        Subsamp::Gray,
    ]);
    let size = (1usize..70, 1usize..70);
    let noise = prop::sample::select(vec![0u32, 8, 60, 256]);
    let flags = (any::<bool>(), any::<bool>(), any::<bool>());
    (size, 1i32..=100, subsamp, flags, noise, any::<u64>()).prop_map(
        |((width, height), quality, subsamp, flags, noise, seed)| {
            let (progressive, optimize, rgb) = flags;
            let colorspace = match subsamp {
                Subsamp::Gray => Colorspace::Gray,
                Subsamp::None if rgb => Colorspace::RGB,
                _ => Colorspace::YCbCr,
            };
            Case { width, height, quality, subsamp, colorspace, progressive, optimize, noise, seed }
        },
    )
}

/// A gradient with noise.
fn pixels(case: &Case) -> Vec<u8> {
    let mut state = case.seed | 1;
    let mut random = move || {
        state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        (state >> 40) as u32
    };
    let mut sample = |i: usize| {
        let (x, y, c) = (i / 3 % case.width, i / 3 / case.width, i % 3);
        ((x * 3 + y * 5 + c * 70) as u32 + if case.noise == 0 { 0 } else { random() % case.noise }) as u8
    };
    (0..case.width * case.height * 3).map(&mut sample).collect()
}

fn encode(case: &Case) -> turbojpeg::Result<Vec<u8>> {
    let pixels = pixels(case);
    let mut compressor = Compressor::new()?;
    compressor.set_quality(case.quality)?;
    compressor.set_subsamp(case.subsamp)?;
    compressor.set_colorspace(case.colorspace)?;
    compressor.set_progressive(case.progressive)?;
    compressor.set_optimize(case.optimize)?;
    compressor.compress_to_vec(Image {
        pixels: &pixels,
        width: case.width,
        pitch: case.width * 3,
        height: case.height,
        format: PixelFormat::RGB,
    })
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(4_000))]

    #[test]
    fn grid_like_turbojpeg(case in case()) {
        let data = encode(&case).expect("an encoded image");
        let (width, height, pixels) = by_turbo(&data).expect("a sound file");
        let ours = decode(&data, &STRICT).expect("a sound file");
        prop_assert_eq!((ours.width as usize, ours.height as usize), (width, height));
        prop_assert!(ours.data == pixels, "pixels differ");
    }
}

/// The same grid in one batch on device 0, the emulator's included.
#[test]
fn grid_on_the_device_like_turbojpeg() {
    if warpline::device::device_count() == 0 {
        let required = std::env::var_os("REQUIRE_DEVICE").is_some_and(|value| value != "0");
        assert!(!required, "a device is required, and the driver offers none");
        eprintln!("skipped: no CUDA device; `cargo xtask test --workspace` runs this on the emulator");
        return;
    }
    let (ctx, host) = (ExecCtx::cuda(0).expect("device 0"), ExecCtx::host(1).expect("a host context"));
    let mut runner = TestRunner::deterministic();
    let mut next = || case().new_tree(&mut runner).expect("a case").current();
    let cases: Vec<(Case, Vec<u8>)> =
        (0..1_000).map(|_| next()).map(|c| (c.clone(), encode(&c).expect("encoded"))).collect();
    let column: ArrayRef = Arc::new(BinaryArray::from_iter_values(cases.iter().map(|(_, data)| data)));
    let decoded = jpeg_decode(&ctx, &Column::from_array(column), &STRICT).expect("decoded");
    assert_eq!(decoded.errors, []);
    let images = Images::try_new(decoded.images).expect("images").to(&host).expect("a download");
    for (row, (case, data)) in cases.iter().enumerate() {
        let (width, height, pixels) = by_turbo(data).expect("a sound file");
        assert_eq!(images.size(row), Some((width as u32, height as u32)), "{case:?}");
        assert!(images.pixels(row) == Some(&pixels), "pixels differ: {case:?}");
    }
}
