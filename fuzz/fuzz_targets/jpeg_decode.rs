//! Any bytes through JPEG decode: no panic, no hang, sizes that fit, and strict mode a subset of the lenient one.
//!
//! `RUSTC_BOOTSTRAP=1 cargo fuzz run jpeg_decode CORPUS_FOLDER -- -timeout=20`
#![no_main]

use libfuzzer_sys::fuzz_target;
use warpline::image::jpeg_decode::{Corrupt, DecodeOptions, decode};

fuzz_target!(|data: &[u8]| {
    let lenient = DecodeOptions { max_pixels: 1 << 20, ..DecodeOptions::default() };
    let strict = DecodeOptions { corrupt: Corrupt::Strict, ..lenient };
    let upright = DecodeOptions { exif_orientation: true, ..lenient };
    let image = decode(data, &lenient);
    if let Ok(image) = &image {
        assert_eq!(image.data.len(), 3 * image.width as usize * image.height as usize);
    }
    if let Ok(strict) = decode(data, &strict) {
        assert_eq!(Some(&strict), image.as_ref().ok());
    }
    let turned = decode(data, &upright);
    assert_eq!(turned.map(|t| t.data.len()).ok(), image.map(|i| i.data.len()).ok());
});
