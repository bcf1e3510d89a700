//! Any bytes through image decode on the host and on a device, from the host and from a column that is only there: the same
//! pixels and the same errors, and a sound neighbour that is not touched. The emulator in `LD_LIBRARY_PATH` is the device
//! (`cargo xtask emulate -- cargo fuzz ...`).
//!
//! `RUSTC_BOOTSTRAP=1 cargo fuzz run image_device CORPUS_FOLDER -- -timeout=60`
#![no_main]

use std::sync::{Arc, OnceLock};

use libfuzzer_sys::fuzz_target;
use warpline::arrow::array::BinaryArray;
use warpline::image::Images;
use warpline::image::jpeg_decode::{Corrupt, DecodeOptions, Decoded, jpeg_decode};
use warpline::{Column, ExecCtx};

/// A gray JPEG of 8 x 8.
const NEIGHBOUR: &[u8] = include_bytes!("../seeds/gray8.jpg");

fn contexts() -> &'static (ExecCtx, ExecCtx) {
    static CONTEXTS: OnceLock<(ExecCtx, ExecCtx)> = OnceLock::new();
    CONTEXTS.get_or_init(|| (ExecCtx::host(1).expect("a host"), ExecCtx::cuda(0).expect("a device: the emulator")))
}

/// Pixels of each row, and the errors.
type Seen = (Vec<Option<Vec<u8>>>, Vec<String>);

fn seen(host: &ExecCtx, decoded: Decoded) -> Seen {
    let errors = decoded.errors.iter().map(|e| format!("{}: {}: {}", e.row, e.code, e.message)).collect();
    let images = Images::try_new(decoded.images).expect("images").to(host).expect("a download");
    ((0..images.len()).map(|row| images.pixels(row).map(<[u8]>::to_vec)).collect(), errors)
}

fuzz_target!(|data: &[u8]| {
    let (host, device) = contexts();
    let column = Column::from_array(Arc::new(BinaryArray::from_iter_values([NEIGHBOUR, data, NEIGHBOUR])));
    let resident = column.to(device).expect("an upload");
    for corrupt in [Corrupt::AsPillow, Corrupt::Strict] {
        let options = DecodeOptions { corrupt, max_pixels: 1 << 16, ..DecodeOptions::default() };
        let run = |ctx: &ExecCtx, column: &Column| seen(host, jpeg_decode(ctx, column, &options).expect("decodes"));
        let expected = run(host, &column);
        assert!(expected.0[0].is_some() && expected.0[0] == expected.0[2]);
        assert_eq!(run(device, &column), expected);
        assert_eq!(run(device, &resident), expected);
    }
});
