//! Pillow, numpy and pyarrow in a Python process, where they are installed (`PYTHON`, else python3).

use std::io::Write;
use std::process::{Command, Stdio};

fn python() -> Command {
    Command::new(std::env::var_os("PYTHON").unwrap_or_else(|| "python3".into()))
}

/// Whether Pillow < 13, numpy and pyarrow import. Under `REQUIRE_ORACLE` their absence is a failure.
pub fn is_there() -> bool {
    let probe = "import PIL, numpy, pyarrow, sys; sys.exit(int(PIL.__version__.split('.')[0]) >= 13)";
    let there = python().args(["-c", probe]).stderr(Stdio::null()).status().is_ok_and(|status| status.success());
    assert!(there || std::env::var_os("REQUIRE_ORACLE").is_none(), "Pillow < 13, numpy and pyarrow are required");
    if !there {
        eprintln!("skipped: no Python with Pillow < 13, numpy and pyarrow");
    }
    there
}

/// Whether this module imports too. Under `REQUIRE_ORACLE` its absence is a failure.
pub fn has(module: &str) -> bool {
    let probe = python().args(["-c", &format!("import {module}")]).stderr(Stdio::null()).status();
    let there = probe.is_ok_and(|status| status.success());
    assert!(there || std::env::var_os("REQUIRE_ORACLE").is_none(), "Python's {module} is required");
    if !there {
        eprintln!("skipped: no Python with {module}");
    }
    is_there() && there
}

/// Runs a script, which fails by raising.
pub fn check(script: &str, args: &[&str]) -> String {
    let mut child = python()
        .arg("-")
        .args(args)
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .expect("python starts");
    child.stdin.take().expect("a pipe").write_all(script.as_bytes()).expect("python reads its script");
    let output = child.wait_with_output().expect("python ends");
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    String::from_utf8(output.stdout).expect("UTF-8")
}

/// What both image oracles need: torchvision's eval transform on PIL images in numpy.
pub const TRANSFORM: &str = r#"
import sys, io, json
import numpy as np
from PIL import Image, ImageOps
FILTERS = dict(nearest=0, box=4, bilinear=2, hamming=5, bicubic=3, lanczos=1)
STATS = dict(imagenet=([0.485, 0.456, 0.406], [0.229, 0.224, 0.225]),
             clip=([0.48145466, 0.4578275, 0.40821073], [0.26862954, 0.26130258, 0.27577711]))

def transform(source, resize, crop, interpolation="bilinear", normalize="imagenet", dtype="f32", layout="nchw", orient=False):
    image = Image.open(source)
    if orient:
        image = ImageOps.exif_transpose(image)
    image = image.convert("RGB")
    if resize:
        w, h = image.size
        size = (resize, int(resize * h / w)) if w <= h else (int(resize * w / h), resize)
        image = image.resize(size, FILTERS[interpolation])
    if crop:
        pixels = np.asarray(image)
        h, w = pixels.shape[:2]
        if w < crop or h < crop:
            left, top = max((crop - w) // 2, 0), max((crop - h) // 2, 0)
            pixels = np.pad(pixels, ((top, max(crop - h - top, 0)), (left, max(crop - w - left, 0)), (0, 0)))
            h, w = pixels.shape[:2]
        top, left = int(round((h - crop) / 2.0)), int(round((w - crop) / 2.0))
        pixels = pixels[top:top + crop, left:left + crop]
    else:
        pixels = np.asarray(image)
    if dtype != "u8":
        pixels = pixels.astype(np.float32) / np.float32(255)
        if normalize != "none":
            mean, std = STATS[normalize]
            pixels = (pixels - np.array(mean, np.float32)) / np.array(std, np.float32)
        if dtype == "f16":
            pixels = pixels.astype(np.float16)
    return pixels.transpose(2, 0, 1) if layout == "nchw" else pixels
"#;
