//! Cases shared with `tests/golden/make_resize.py` and `make_normalize.py`, and live answers from those scripts.

use std::io::Write;
use std::process::{Command, Stdio};

use sha2::{Digest, Sha256};
use warpline::image::{Crop, Images, Resize, Target};

/// The pattern that the scripts make: SplitMix64 of the byte's index, top byte.
pub fn pattern(width: u32, height: u32, kind: &str) -> Vec<u8> {
    let byte = |i: u64| {
        let mut z = i.wrapping_mul(0x9e37_79b9_7f4a_7c15);
        z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        ((z ^ (z >> 31)) >> 56) as u8
    };
    let bytes = (1..=3 * u64::from(width) * u64::from(height)).map(byte);
    match kind {
        "noise" => bytes.collect(),
        "black-white" => bytes.map(|b| if b < 128 { 0 } else { 255 }).collect(),
        other => panic!("no pattern {other}"),
    }
}

/// One image of a pattern.
pub fn one(width: u32, height: u32, kind: &str) -> Images {
    Images::from_pixels(pattern(width, height, kind), &[Some((width, height))]).expect("one image")
}

/// A case's source image and what to do with it, from the first six fields of its line.
pub fn parse_case(fields: &[&str]) -> (Images, Resize) {
    let number = |text: &str| text.parse::<u32>().expect("a number");
    let pair = |text: &str| text.split_once('x').map(|(w, h)| (number(w), number(h)));
    let [width, height, kind, interpolation, target, crop] = fields[..6] else { panic!("six fields") };
    let target = match target.split_once(':') {
        None => Target::Keep,
        Some(("shorter", n)) => Target::Shorter(number(n)),
        Some((_, size)) => pair(size).map(|(width, height)| Target::Exact { width, height }).expect("WxH"),
    };
    let resize = Resize {
        target,
        crop: pair(crop).map(|(width, height)| Crop { width, height }),
        interpolation: interpolation.parse().expect("a filter"),
    };
    (one(number(width), number(height), kind), resize)
}

/// SHA-256 in hexadecimal.
pub fn sha256(bytes: &[u8]) -> String {
    Sha256::digest(bytes).iter().map(|b| format!("{b:02x}")).collect()
}

/// Answers of a script in `tests/golden` to these cases; `None`, with the reason printed, where Python, Pillow < 13 or
/// numpy is missing. With `REQUIRE_ORACLE` set, that is a failure.
pub fn live(script: &str, cases: &[String]) -> Option<Vec<String>> {
    let path = crate::common::root().join("tests/golden").join(script);
    let required = std::env::var_os("REQUIRE_ORACLE").is_some();
    let probe = "import PIL, numpy, ml_dtypes; assert int(PIL.__version__.split('.')[0]) < 13, PIL.__version__";
    let ready = Command::new("python3").args(["-c", probe]).output().is_ok_and(|out| out.status.success());
    if !ready {
        assert!(!required, "REQUIRE_ORACLE is set, but python3 has no Pillow < 13, numpy and ml_dtypes");
        eprintln!("skipped: live comparison needs python3 with Pillow < 13, numpy and ml_dtypes");
        return None;
    }
    let mut python = Command::new("python3")
        .arg("-B")
        .arg(path)
        .arg("--cases")
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .spawn()
        .expect("python3 starts");
    let mut input = python.stdin.take().expect("a pipe");
    let text = cases.join("\n");
    let writer = std::thread::spawn(move || input.write_all(text.as_bytes()));
    let output = python.wait_with_output().expect("python3 ends");
    writer.join().expect("no panic").expect("cases are written");
    assert!(output.status.success(), "{script} failed");
    Some(String::from_utf8(output.stdout).expect("ASCII").lines().map(str::to_owned).collect())
}
