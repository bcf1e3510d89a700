//! Cases shared with `tests/golden/make_resize.py` and `make_normalize.py`, and live answers from those scripts.

use std::fmt::Debug;
use std::io::Write;
use std::process::{Command, Stdio};
use std::str::FromStr;

use sha2::{Digest, Sha256};
use warpline::image::{Crop, Images, RandomCrop, Resize, Target};

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
    let [width, height, kind, interpolation, target, steps] = fields[..6] else { panic!("six fields") };
    let target = match target.split_once(':') {
        None => Target::Keep,
        Some(("shorter", n)) => Target::Shorter(number(n)),
        Some((kind, size)) => match (kind, pair(size)) {
            ("exact", (width, height)) => Target::Exact { width, height },
            (_, (width, height)) => Target::Fit { width, height },
        },
    };
    let mut steps = steps.split(';');
    let crop = steps.next().filter(|crop| *crop != "none").map(pair).map(|(width, height)| Crop { width, height });
    let start = Resize { target, crop, interpolation: interpolation.parse().expect("a filter"), ..Resize::keep() };
    let images = one(number(width), number(height), kind);
    steps.fold((images, start), |(images, resize), step| {
        let (name, value) = step.split_once(':').expect("NAME:VALUE");
        match name {
            "pad" => {
                let (size, place) = value.split_once('@').expect("WxH@PLACE");
                let (width, height) = pair(size);
                (images, resize.pad_to(width, height).place(place.parse().expect("a place")))
            }
            "fill" => (images, resize.fill(numbers(value))),
            "part" => {
                let [least, most, thin, wide] = numbers(value);
                (images, resize.random_crop(RandomCrop { scale: (least, most), ratio: (thin, wide) }))
            }
            "hflip" => (images, resize.hflip(number(value))),
            "vflip" => (images, resize.vflip(number(value))),
            "seed" => {
                let [seed, row] = numbers(value);
                (images.with_row_ids(&[row]).expect("one row"), resize.seed(seed))
            }
            other => panic!("no step {other}"),
        }
    })
}

fn number<T: FromStr<Err: Debug>>(text: &str) -> T {
    text.parse().expect("a number")
}

fn numbers<T: FromStr<Err: Debug> + Debug, const N: usize>(text: &str) -> [T; N] {
    text.split(',').map(number).collect::<Vec<T>>().try_into().expect("as many numbers")
}

fn pair(text: &str) -> (u32, u32) {
    text.split_once('x').map(|(w, h)| (number(w), number(h))).expect("WxH")
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
