//! The same bytes from the host and from a device (the emulator under `cargo xtask test`).

use std::path::Path;

use super::{data, folder, names, succeed, text};

/// Whether device 0 is there. Under `REQUIRE_DEVICE` its absence is a failure.
fn is_there() -> bool {
    let info = succeed(&["info", "--json"]).stdout;
    let info: serde_json::Value = serde_json::from_slice(&info).expect("JSON");
    let there = info["devices"].as_array().is_some_and(|devices| !devices.is_empty());
    let required = std::env::var_os("REQUIRE_DEVICE").is_some_and(|value| value != "0");
    assert!(there || !required, "a device is required, and there is none");
    if !there {
        eprintln!("skipped: no CUDA device; `cargo xtask test` runs this on the emulator");
    }
    there
}

/// Runs the command on both, with the place of its result last, and compares what it wrote.
fn same(args: &[&str], result: &str, read: impl Fn(&Path) -> Vec<u8>) {
    let root = folder();
    let [host, cuda] = ["host", "cuda:0"].map(|device| {
        let out = root.path().join(device.replace(':', ""));
        succeed(&[args, &["--device", device, result, text(&out)]].concat());
        read(&out)
    });
    assert!(!host.is_empty() && host == cuda, "host and device differ: {args:?}");
}

fn file(path: &Path) -> Vec<u8> {
    std::fs::read(path).expect("a file")
}

/// The parts of an output folder, one after the other.
fn parts(path: &Path) -> Vec<u8> {
    names(path).iter().flat_map(|name| file(&path.join(name))).collect()
}

#[test]
fn run_writes_the_same_tensors() {
    if !is_there() {
        return;
    }
    let (_, images, labels) = data();
    let common = ["run", "--input", text(images), "--on-error", "null", "--resize", "40", "--crop", "32"];
    for flags in [
        &["--dtype", "f32", "--interpolation", "bicubic"][..],
        &["--dtype", "bf16", "--layout", "nhwc", "--filter", "width > 100 AND caption IS NOT NULL"],
        &["--dtype", "u8", "--normalize", "none", "--join", text(labels), "--on", "id"],
        &["--join", text(labels), "--on", "id", "--join-type", "full", "--filter", "id IS NOT NULL"],
        &["--join", text(labels), "--on", "id", "--join-type", "left", "--join-filter", "width > 200 OR id % 2 = 0"],
    ] {
        same(&[&common, flags].concat(), "--output", parts);
    }
}

#[test]
fn cat_filters_the_same_rows() {
    if is_there() {
        let (_, images, _) = data();
        let filter = ["cat", text(images), "--filter", "width > 100 AND caption IS NOT NULL", "--format"];
        same(&[&filter[..], &["parquet"]].concat(), "-o", file);
        same(&[&filter[..], &["json"]].concat(), "-o", file);
    }
}

#[test]
fn tensor_writes_the_same_array() {
    if !is_there() {
        return;
    }
    let Some(corpora) = std::env::var_os("CORPORA") else {
        return eprintln!("skipped: CORPORA is not set");
    };
    let photos = Path::new(&corpora).join("photos");
    let files: Vec<String> = names(&photos).iter().take(3).map(|n| text(&photos.join(n)).to_owned()).collect();
    let mut args = vec!["tensor", "--resize", "72", "--crop", "64", "--dtype", "f16"];
    args.extend(files.iter().map(String::as_str));
    same(&args, "-o", file);
}

#[test]
fn run_writes_the_same_partitions() {
    if !is_there() {
        return;
    }
    let (_, _, labels) = data();
    let keys = ["--partition-by", "id,label", "--partitions", "5", "--hash", "spark-xxhash64"];
    same(&[&["run", "--input", text(labels)], &keys[..]].concat(), "--output", parts);
}
