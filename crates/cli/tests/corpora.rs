//! Every JPEG of the corpora through `run` and `tensor`: Pillow's pixels, or refused where Pillow refuses.

use std::path::{Path, PathBuf};

use super::{folder, names, oracle, succeed, text, warpline};

/// What Pillow makes of the files: the transform's bytes, or nothing where it raises. Arithmetic coding is exempt:
/// Pillow decodes it, and Warpline refuses it by design.
const JUDGE: &str = r#"
def want(file):
    with open(file, "rb") as f:
        head = f.read()
    if any(bytes([0xff, marker]) in head[:4096] for marker in (0xc9, 0xca)):
        return None
    try:
        return transform(file, 64, 56, dtype="u8")
    except Exception:
        return None
"#;

const FLAGS: [&str; 8] = ["--resize", "64", "--crop", "56", "--dtype", "u8", "--device", "host"];

/// The folders of JPEGs in the corpora; none, with the reason printed, where they are not.
fn corpora() -> Vec<PathBuf> {
    let Some(root) = std::env::var_os("CORPORA").map(PathBuf::from).filter(|_| oracle::is_there()) else {
        eprintln!("skipped: CORPORA is not set");
        return Vec::new();
    };
    ["photos", "jpeg/orientation", "jpeg/pillow", "jpeg/reftest", "jpeg/zune"].iter().map(|f| root.join(f)).collect()
}

#[test]
fn run_takes_every_folder() {
    let root = folder();
    for (i, photos) in corpora().iter().enumerate() {
        let (out, errors) = (root.path().join(format!("out{i}")), root.path().join(format!("errors{i}.json")));
        let mut args = vec!["run", "--input", text(photos), "--output", text(&out), "--errors", text(&errors)];
        args.extend(["--on-error", "null", "--normalize", "none"]);
        args.extend(FLAGS);
        succeed(&args);
        let script = format!(
            "{}{JUDGE}{}",
            oracle::TRANSFORM,
            r#"
import glob, os, pyarrow.parquet as pq
photos, out, errors = sys.argv[1:]
table = pq.read_table(sorted(glob.glob(out + "/*.parquet")))
files = sorted(f for f in glob.glob(photos + "/*") if f.lower().endswith((".jpg", ".jpeg", ".jpe")))
assert sorted(table["path"].to_pylist()) == files
bad = 0
for file, tensor in zip(table["path"].to_pylist(), table["image"].combine_chunks().storage):
    pixels = want(file)
    assert (pixels is not None) == tensor.is_valid, file
    bad += not tensor.is_valid
    assert pixels is None or np.array_equal(np.array(tensor.as_py(), np.uint8).reshape(3, 56, 56), pixels), file
assert bad == len(open(errors).readlines())
"#
        );
        oracle::check(&script, &[text(photos), text(&out), text(&errors)]);
    }
}

#[test]
fn tensor_takes_every_good_file_and_names_every_bad_one() {
    let root = folder();
    let (good, all) = (root.path().join("good.npy"), root.path().join("one.npy"));
    for photos in corpora() {
        let script = format!(
            "{}{JUDGE}\nfor file in sys.argv[1:]:\n    print(int(want(file) is not None), file)\n",
            oracle::TRANSFORM
        );
        let files: Vec<PathBuf> = names(&photos).iter().map(|name| photos.join(name)).collect();
        let told = oracle::check(&script, &files.iter().map(|f| text(f)).collect::<Vec<_>>());
        let (fine, bad): (Vec<&str>, Vec<&str>) = told.lines().partition(|line| line.starts_with("1 "));
        let fine: Vec<&str> = fine.iter().map(|line| &line[2..]).collect();
        let mut args = vec!["tensor", "--normalize", "none"];
        args.extend(&fine);
        args.extend(FLAGS);
        args.extend(["-o", text(&good)]);
        succeed(&args);
        let script = format!(
            "{}{JUDGE}\narray = np.load(sys.argv[1])\nfor row, file in zip(array, sys.argv[2:], strict=True):\n    \
             assert np.array_equal(row, want(file)), file\n",
            oracle::TRANSFORM
        );
        oracle::check(&script, &[&[text(&good)], fine.as_slice()].concat());
        for file in bad.iter().map(|line| &line[2..]) {
            refused(file, &all);
        }
    }
}

fn refused(file: &str, out: &Path) {
    let mut args = vec!["tensor", "--normalize", "none", file];
    args.extend(FLAGS);
    args.extend(["-o", text(out)]);
    let output = warpline(&args).output().expect("warpline starts");
    let message = String::from_utf8_lossy(&output.stderr).into_owned();
    assert_eq!(output.status.code(), Some(6), "{file}: {message}");
    assert!(message.contains(file) && message.trim_end().lines().count() == 1, "{message}");
    assert!(!out.exists());
}
