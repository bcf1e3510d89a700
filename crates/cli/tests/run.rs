//! `warpline run`: results against Pillow, flags, order, errors, and what a killed run leaves.

use std::path::Path;
use std::time::Duration;

use super::{data, folder, names, oracle, refuse, succeed, text, warpline};

/// Flags for tensors of the data set.
const IMAGES: [&str; 6] = ["--resize", "40", "--crop", "32", "--device", "host"];

fn run(output: &Path, flags: &[&str]) -> String {
    let (_, images, _) = data();
    let mut args = vec!["run", "--input", text(images), "--output", text(output)];
    args.extend(IMAGES);
    args.extend(flags);
    String::from_utf8(succeed(&args).stdout).expect("UTF-8")
}

#[test]
fn tensors_equal_pillow_and_spoilt_rows_are_null() {
    let root = folder();
    let (_, images, labels) = data();
    let out = root.path().join("out");
    let errors = root.path().join("errors.json");
    let told = run(
        &out,
        &[
            "--on-error",
            "null",
            "--errors",
            text(&errors),
            "--join",
            text(labels),
            "--on",
            "id",
            "--filter",
            "width >= 70 AND label <> 'heart'",
        ],
    );
    assert!(told.contains("2 error rows"), "{told}");
    let lines = std::fs::read_to_string(&errors).expect("an errors file");
    assert_eq!(lines.lines().count(), 2, "{lines}");
    assert!(lines.contains("\"truncated\"") && lines.contains("\"row\":40"), "{lines}");
    if !oracle::is_there() {
        return;
    }
    let script = format!(
        "{}{}",
        oracle::TRANSFORM,
        r#"
import glob, pyarrow as pa, pyarrow.parquet as pq, pyarrow.compute as pc
source, labels, folder = sys.argv[1:]
images, labels = pq.read_table(source), pq.read_table(labels)
label_of = dict(zip(labels["id"].to_pylist(), labels["label"].to_pylist()))
keep = [w >= 70 and label_of[i] != "heart" for i, w in zip(images["id"].to_pylist(), images["width"].to_pylist())]
images = images.filter(pa.array(keep))
out = pa.concat_tables([pq.read_table(f) for f in sorted(glob.glob(folder + "/*.parquet"))])
assert out.schema.field("jpeg").type.extension_name == "arrow.fixed_shape_tensor", out.schema
assert out.schema.field("jpeg").type.shape == [3, 32, 32]
assert out["id"].to_pylist() == images["id"].to_pylist() and 20 < len(out) < 60
assert out["label"].to_pylist() == [label_of[i] for i in out["id"].to_pylist()]
tensors = out["jpeg"].combine_chunks().storage
bad = 0
for i, jpeg, tensor in zip(out["id"].to_pylist(), images["jpeg"].to_pylist(), tensors):
    if i in (1020, 1040):
        assert not tensor.is_valid
        bad += 1
        continue
    got = np.array(tensor.as_py(), np.float32).reshape(3, 32, 32)
    assert np.array_equal(got, transform(io.BytesIO(jpeg), 40, 32)), i
assert bad == 2
"#
    );
    oracle::check(&script, &[text(images), text(labels), text(&out)]);
}

#[test]
fn skip_leaves_rows_out_and_fail_leaves_nothing() {
    let root = folder();
    let (_, images, _) = data();
    let (out, failed) = (root.path().join("out"), root.path().join("failed"));
    let told = run(&out, &["--on-error", "skip", "--order", "completion"]);
    assert!(told.contains("58 rows out, 2 error rows"), "{told}");
    let mut args = vec!["run", "--input", text(images), "--output", text(&failed)];
    args.extend(IMAGES);
    refuse(&args, 6, &["images.parquet, row 20", "decode", "truncated"]);
    assert_eq!(names(root.path()), ["out"]);
}

#[test]
fn the_same_bytes_whatever_the_batches_budget_and_model_batch() {
    let root = folder();
    let model = root.path().join("demo/shapes.onnx");
    succeed(&["demo", "--rows", "6", "--device", "host", "--output", text(&root.path().join("demo"))]);
    let mut results = Vec::new();
    for (i, flags) in
        [vec!["--batch-bytes", "1"], vec!["--batch-bytes", "100k", "--budget", "24MiB"], vec![]].iter().enumerate()
    {
        let out = root.path().join(format!("out{i}"));
        let mut all = vec!["--on-error", "null", "--resize", "64", "--crop", "64", "--model", text(&model)];
        all.extend(flags);
        run(&out, &all);
        let csv = root.path().join(format!("{i}.json"));
        let part = out.join(&names(&out)[0]);
        assert_eq!(names(&out).iter().filter(|n| n.ends_with(".parquet")).count(), 1);
        succeed(&[
            "cat",
            text(&part),
            "--columns",
            "id,embedding,logits",
            "--format",
            "json",
            "-o",
            text(&csv),
            "--device",
            "host",
        ]);
        results.push(std::fs::read(&csv).expect("rows"));
    }
    assert!(results[0] == results[1] && results[1] == results[2]);
}

#[test]
fn a_folder_of_images_a_config_file_a_trace_and_a_preview() {
    if !oracle::is_there() {
        return;
    }
    let root = folder();
    let (_, images, _) = data();
    let photos = root.path().join("photos");
    std::fs::create_dir(&photos).expect("a folder");
    // Every third as PNG, every fifth as WebP: a folder may hold all of them.
    let split = r#"
import io, sys, pyarrow.parquet as pq
from PIL import Image
for i, jpeg in enumerate(pq.read_table(sys.argv[1])["jpeg"].to_pylist()[:20]):
    kind = "png" if i % 3 == 0 else "webp" if i % 5 == 0 else None
    if kind:
        Image.open(io.BytesIO(jpeg)).convert("RGB").save(f"{sys.argv[2]}/{i:02}.{kind}")
    else:
        open(f"{sys.argv[2]}/{i:02}.jpg", "wb").write(jpeg)
"#;
    oracle::check(split, &[text(images), text(&photos)]);
    let (out, trace, sheet, config) = (
        root.path().join("out"),
        root.path().join("trace.json"),
        root.path().join("sheet.png"),
        root.path().join("run.toml"),
    );
    let settings = format!(
        "input = [{photos:?}]\noutput = \"overruled\"\nresize = 40\ncrop = 32\ndtype = \"u8\"\nexif-orientation = true\ntrace = {trace:?}\npreview = {sheet:?}\n"
    );
    std::fs::write(&config, settings).expect("writes");
    succeed(&["run", "--config", text(&config), "--output", text(&out), "--device", "host"]);
    let script = format!(
        "{}{}",
        oracle::TRANSFORM,
        r#"
import glob, pyarrow.parquet as pq
photos, out, trace, sheet = sys.argv[1:]
table = pq.read_table(sorted(glob.glob(out + "/*.parquet"))[0])
files = sorted(glob.glob(photos + "/*"))
assert {f.rsplit(".")[-1] for f in files} == {"jpg", "png", "webp"}
assert table["path"].to_pylist() == files
for file, tensor in zip(files, table["image"].combine_chunks().storage):
    assert np.array_equal(np.array(tensor.as_py(), np.uint8).reshape(3, 32, 32), transform(file, 40, 32, dtype="u8"))
assert json.load(open(trace))
sheet = np.asarray(Image.open(sheet))
assert sheet.shape == (2 * 98 + 2, 12 * 98 + 2, 3), sheet.shape
for i, file in enumerate(files):
    left, top = 2 + i % 12 * 98, 2 + i // 12 * 98
    want = transform(file, 96, 96, dtype="u8", layout="nhwc")
    assert np.array_equal(sheet[top:top + 96, left:left + 96], want), file
"#
    );
    oracle::check(&script, &[text(&photos), text(&out), text(&trace), text(&sheet)]);

    std::fs::write(&config, "inputs = 3\n").expect("writes");
    refuse(&["run", "--config", text(&config)], 2, &["run.toml", "unknown key 'inputs'", "input"]);
    std::fs::write(&config, "crop = [").expect("writes");
    refuse(&["run", "--config", text(&config)], 2, &["run.toml"]);
}

#[test]
fn a_table_without_images_is_filtered_and_joined() {
    let root = folder();
    let (_, _, labels) = data();
    let out = root.path().join("out");
    succeed(&[
        "run",
        "--input",
        text(labels),
        "--filter",
        "label = 'star'",
        "--output",
        text(&out),
        "--device",
        "host",
    ]);
    let part = out.join(&names(&out)[0]);
    let csv = succeed(&["cat", text(&part), "--format", "csv", "--device", "host"]).stdout;
    let csv = String::from_utf8(csv).expect("UTF-8");
    assert!(csv.lines().count() > 1 && csv.lines().skip(1).all(|l| l.ends_with(",star")), "{csv}");
}

/// kill -9 at several moments: the output is whole or not there under its name.
#[cfg(unix)]
#[test]
fn a_killed_run_leaves_nothing_that_looks_finished() {
    let root = folder();
    let big = root.path().join("big");
    succeed(&["demo", "--data-only", "--rows", "1500", "--output", text(&big)]);
    let images = big.join("images.parquet");
    let mut killed = 0;
    for (i, wait) in [5u64, 30, 80, 150, 300, 500, 800].into_iter().enumerate() {
        let out = root.path().join(format!("out{i}"));
        let mut child = warpline(&[
            "run",
            "--input",
            text(&images),
            "--output",
            text(&out),
            "--on-error",
            "null",
            "--batch-bytes",
            "64k",
        ])
        .args(IMAGES)
        .stdout(std::process::Stdio::null())
        .spawn()
        .expect("starts");
        std::thread::sleep(Duration::from_millis(wait));
        child.kill().expect("kills");
        let status = child.wait().expect("ends");
        if status.success() {
            let part = out.join(&names(&out)[0]);
            succeed(&["cat", text(&part), "--columns", "id", "--limit", "1"]);
        } else {
            killed += 1;
            assert!(!out.exists(), "a folder under the final name after kill -9");
        }
    }
    assert!(killed > 0, "no run was slow enough to be killed");
    // What is left is named as unfinished.
    assert!(names(root.path()).iter().all(|n| n == "big" || n.starts_with("out")), "{:?}", names(root.path()));
}

/// An interrupt ends the run with its own exit code and removes what is unfinished.
#[cfg(unix)]
#[test]
fn an_interrupted_run_cleans_up() {
    let root = folder();
    let big = root.path().join("big");
    succeed(&["demo", "--data-only", "--rows", "3000", "--output", text(&big)]);
    let (images, out) = (big.join("images.parquet"), root.path().join("out"));
    let mut child = warpline(&["run", "--input", text(&images), "--output", text(&out), "--on-error", "null"])
        .args(["--batch-bytes", "64k"])
        .args(IMAGES)
        .stdout(std::process::Stdio::null())
        .stderr(std::process::Stdio::null())
        .spawn()
        .expect("starts");
    // Once the unfinished folder is there, the handler is set and the run is at work.
    while names(root.path()).len() < 2 && child.try_wait().expect("a state").is_none() {
        std::thread::sleep(Duration::from_millis(1));
    }
    let pid = child.id().to_string();
    assert!(std::process::Command::new("kill").args(["-INT", &pid]).status().expect("kill runs").success());
    let status = child.wait().expect("ends");
    assert_eq!(status.code(), Some(130), "{status}");
    assert_eq!(names(root.path()), ["big"]);
}
