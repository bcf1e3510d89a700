//! Any bytes through image decode (PNG and WebP; JPEG has a target of its own): no panic, no hang, sizes that fit.
//!
//! `RUSTC_BOOTSTRAP=1 cargo fuzz run image_decode CORPUS_FOLDER -- -timeout=20`
#![no_main]

use libfuzzer_sys::fuzz_target;
use warpline::image::image_decode::{ImageFormat, decode};
use warpline::image::jpeg_decode::DecodeOptions;

fuzz_target!(|data: &[u8]| {
    let options = DecodeOptions { max_pixels: 1 << 20, ..DecodeOptions::default() };
    let upright = DecodeOptions { exif_orientation: true, ..options };
    let image = decode(data, &options);
    if let Ok(image) = &image {
        let pixels = u64::from(image.width) * u64::from(image.height);
        assert_eq!(image.data.len() as u64, 3 * pixels);
        assert_eq!(ImageFormat::declared_pixels(data), Some(pixels));
    }
    let turned = decode(data, &upright);
    assert_eq!(turned.map(|t| t.data.len()).ok(), image.map(|i| i.data.len()).ok());
});
