//! The list of bad inputs: each one line with a name in it, a code of its own, and nothing left behind.

use std::path::{Path, PathBuf};

use super::{data, folder, names, refuse, succeed, text};

const IMAGES: [&str; 6] = ["--resize", "40", "--crop", "32", "--device", "host"];

struct Case {
    root: tempfile::TempDir,
    out: PathBuf,
}

impl Case {
    fn new() -> Self {
        let root = folder();
        let out = root.path().join("out");
        Case { root, out }
    }

    fn path(&self, name: &str) -> PathBuf {
        self.root.path().join(name)
    }

    /// Runs to this error, and sees that nothing new is there.
    fn refuse(&self, input: &Path, flags: &[&str], code: i32, parts: &[&str]) {
        let before = names(self.root.path());
        let mut args = vec!["run", "--input", text(input), "--output", text(&self.out)];
        args.extend(IMAGES);
        args.extend(flags);
        refuse(&args, code, parts);
        assert_eq!(names(self.root.path()), before, "something was left behind");
    }
}

#[test]
fn columns_and_types() {
    let (case, (_, images, labels)) = (Case::new(), data());
    case.refuse(images, &["--image", "photo"], 3, &["photo", "no such column", "jpeg"]);
    case.refuse(images, &["--image", "caption"], 3, &["caption", "Utf8"]);
    case.refuse(labels, &[], 3, &["no column of bytes", "label"]);
    case.refuse(images, &["--join", text(labels), "--on", "key"], 3, &["labels.parquet", "'key'", "there are: id"]);
    let small = ["--join", text(labels), "--on", "id", "--budget", "1000"];
    case.refuse(images, &small, 5, &["join", "raise --budget"]);
    case.refuse(images, &["--filter", "size > 3"], 3, &["'size'", "there are: id"]);
    case.refuse(images, &["--filter", "width = 'wide'"], 3, &["UInt32", "Utf8"]);
}

#[test]
fn usage() {
    let (case, (_, images, _)) = (Case::new(), data());
    case.refuse(images, &["--filter", "width >="], 2, &["cannot parse 'width >='"]);
    case.refuse(images, &["--dtype", "u8", "--normalize", "imagenet"], 2, &["u8"]);
    refuse(&["run", "--output", text(&case.out)], 2, &["--input"]);
    refuse(&["run", "--input", text(images)], 2, &["--output"]);
    refuse(&["run", "--input", text(images), "--output", text(&case.out), "--device", "host"], 2, &["--crop"]);
    case.refuse(images, &["--errors", "errors.txt"], 2, &["errors.txt", ".parquet, .json or .csv"]);
}

#[test]
fn models() {
    let (case, (_, images, _)) = (Case::new(), data());
    let demo = case.path("demo");
    succeed(&["demo", "--rows", "6", "--output", text(&demo), "--device", "host"]);
    let model = demo.join("shapes.onnx");
    case.refuse(images, &["--model", text(&model)], 7, &["shapes.onnx", "[?, 3, 64, 64]", "[N, 3, 32, 32]"]);
    case.refuse(images, &["--model", text(&model), "--crop", "64", "--layout", "nhwc"], 7, &["[N, 64, 64, 3]"]);
    case.refuse(images, &["--model", text(&model), "--crop", "64", "--dtype", "f16"], 7, &["f16", "Float32"]);
    case.refuse(images, &["--model", text(images)], 7, &["images.parquet", "ONNX"]);
    case.refuse(images, &["--model", "/no/such.onnx"], 7, &["/no/such.onnx", "No such file"]);
}

#[test]
fn files() {
    let (case, (_, images, _)) = (Case::new(), data());
    let whole = std::fs::read(images).expect("a file");
    let short = case.path("short.parquet");
    std::fs::write(&short, &whole[..whole.len() / 2]).expect("writes");
    case.refuse(&short, &[], 3, &["short.parquet"]);
    // A file whose footer is whole and whose pages are not.
    let holed = case.path("holed.parquet");
    let mut bytes = whole.clone();
    let middle = bytes.len() / 3;
    bytes[middle..middle + 4096].fill(0xAB);
    std::fs::write(&holed, &bytes).expect("writes");
    case.refuse(&holed, &["--on-error", "null"], 3, &["holed.parquet"]);
    let empty = case.path("empty");
    std::fs::create_dir(&empty).expect("a folder");
    case.refuse(&empty, &[], 3, &["empty", ".jpg"]);
    case.refuse(&case.path("nowhere"), &[], 3, &["nowhere", "No such file"]);
    let pattern = case.path("*.nothing");
    case.refuse(&pattern, &[], 3, &["*.nothing"]);
}

#[test]
fn outputs() {
    let (case, (_, images, _)) = (Case::new(), data());
    std::fs::create_dir(&case.out).expect("a folder");
    case.refuse(images, &["--on-error", "null"], 4, &["out", "exists already"]);
    assert_eq!(names(&case.out), [""; 0]);
    // Below a file, where no folder can be made.
    std::fs::write(case.path("file"), "").expect("writes");
    let below = Case { out: case.path("file/out"), root: folder() };
    below.refuse(images, &["--on-error", "null"], 4, &["file/out", "Not a directory"]);
}

/// A disk that fills up: /dev/full takes no byte.
#[cfg(target_os = "linux")]
#[test]
fn a_full_disk() {
    let (_, images, _) = data();
    let full = std::fs::OpenOptions::new().write(true).open("/dev/full").expect("/dev/full");
    let mut command = super::warpline(&["cat", text(images), "--format", "json", "--device", "host"]);
    let output = command.stdout(full).stderr(std::process::Stdio::piped()).output().expect("starts");
    let message = String::from_utf8_lossy(&output.stderr);
    assert_eq!(output.status.code(), Some(4), "{message}");
    assert!(message.contains("No space left") && message.trim_end().lines().count() == 1, "{message}");
}

#[test]
fn devices() {
    let (case, (_, images, _)) = (Case::new(), data());
    case.refuse(images, &["--device", "cuda:63"], 5, &[]);
    let mut args = vec!["run", "--input", text(images), "--output", text(&case.out), "--device", "tpu"];
    args.extend(&IMAGES[..4]);
    let output = super::warpline(&args).output().expect("starts");
    assert_eq!(output.status.code(), Some(2));
}
