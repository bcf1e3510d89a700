//! ONNX Runtime as the model's runtime (feature `ort`), from the library inside the Python package.

use super::{demo, folder, oracle, succeed, text, warpline};

#[test]
fn the_demo_runs_by_it() {
    if !oracle::is_there() {
        return;
    }
    let script = "import glob, os, onnxruntime\nprint(glob.glob(os.path.dirname(onnxruntime.__file__) + '/capi/libonnxruntime.so*')[0])";
    let library = oracle::check(script, &[]);
    let root = folder();
    let output = root.path().join("demo");
    let args = ["demo", "--rows", "300", "--output", text(&output), "--device", "host"];
    let ran = warpline(&args).env("ORT_DYLIB_PATH", library.trim()).output().expect("starts");
    assert!(ran.status.success(), "{}", String::from_utf8_lossy(&ran.stderr));
    oracle::check(demo::CHECK, &[text(&output)]);
    assert!(String::from_utf8_lossy(&succeed(&["info"]).stdout).contains("onnxruntime"));
}

/// A library that is named is the one that is used: where it is missing, that is the error.
#[test]
fn a_library_that_is_missing_is_an_error() {
    let root = folder();
    let output = root.path().join("demo");
    let args = ["demo", "--rows", "6", "--output", text(&output), "--device", "host"];
    let ran = warpline(&args).env("ORT_DYLIB_PATH", "/no/such/libonnxruntime.so").output().expect("starts");
    let message = String::from_utf8_lossy(&ran.stderr).into_owned();
    assert_eq!(ran.status.code(), Some(7), "{message}");
    assert!(message.contains("/no/such/libonnxruntime.so") && message.trim_end().lines().count() == 1, "{message}");
}
