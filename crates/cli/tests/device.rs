//! The same bytes from the host and from a device (the emulator under `cargo xtask test`).

use std::path::Path;
use std::sync::Arc;

use arrow::array::{ArrayRef, Int64Array, RecordBatch};
use parquet::arrow::ArrowWriter;

use super::{data, folder, names, succeed, text, warpline};

fn devices() -> serde_json::Value {
    let info = succeed(&["info", "--json"]).stdout;
    let mut info: serde_json::Value = serde_json::from_slice(&info).expect("JSON");
    info["devices"].take()
}

/// Whether device 0 is there. Under `REQUIRE_DEVICE` its absence is a failure.
fn is_there() -> bool {
    let there = devices().as_array().is_some_and(|devices| !devices.is_empty());
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
    for (keys, scheme) in [
        ("id,label", "spark-xxhash64"),
        ("label,id", "datafusion"),
        ("id", "spark"),
        ("label", "xxhash64"),
        ("id", "iceberg"),
        ("id,label", "cudf"),
    ] {
        let keys = ["--partition-by", keys, "--partitions", "5", "--hash", scheme];
        same(&[&["run", "--input", text(labels)], &keys[..]].concat(), "--output", parts);
    }
}

/// A table to join that the device has no room for is joined on the host.
#[test]
fn run_joins_what_the_device_has_no_room_for() {
    if !is_there() {
        return;
    }
    let emulated = devices()[0]["emulated"] == true;
    let root = folder();
    let column = |values: Vec<i64>| -> ArrayRef { Arc::new(Int64Array::from(values)) };
    let write = |name: &str, columns: [(&str, ArrayRef); 2]| {
        let batch = RecordBatch::try_from_iter(columns).expect("a batch");
        let path = root.path().join(name);
        let file = std::fs::File::create(&path).expect("a file");
        let mut writer = ArrowWriter::try_new(file, batch.schema(), None).expect("a writer");
        writer.write(&batch).and_then(|()| writer.close()).expect("written");
        path
    };
    let spread = |i: i64| i * 7919 % 1_000_003;
    let rows = write("rows.parquet", [("k", column((0..3000).collect())), ("row", column((0..3000).collect()))]);
    let numbers = (0..200_000).collect::<Vec<_>>();
    let table =
        write("table.parquet", [("k", column(numbers.iter().map(|i| spread(*i)).collect())), ("v", column(numbers))]);
    let args = ["run", "--input", text(&rows), "--join", text(&table), "--on", "k", "--budget", "256M"];
    let [host, cuda] = ["host", "cuda:0"].map(|device| {
        let out = root.path().join(device.replace(':', ""));
        // An emulated device; a real one has room.
        let mut command = warpline(&[&args[..], &["--device", device, "--output", text(&out)]].concat());
        let ran = command.env("WARPLINE_EMULATOR_MEMORY", "8M").output().expect("warpline starts");
        assert!(ran.status.success(), "{}", String::from_utf8_lossy(&ran.stderr));
        let report = String::from_utf8_lossy(&ran.stdout);
        let join = report.lines().find(|line| line.starts_with("join ")).expect("a line of the report");
        assert!(!emulated || join.split_whitespace().nth(1) == Some("host"), "{join}");
        parts(&out)
    });
    assert!(!host.is_empty() && host == cuda);
}
