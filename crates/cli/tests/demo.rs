//! `warpline demo` from end to end.

use super::{folder, oracle, refuse, succeed, text};

#[test]
fn tells_the_shapes_apart_and_finds_both_spoilt_images() {
    let root = folder();
    let output = root.path().join("demo");
    let told = succeed(&["demo", "--rows", "300", "--output", text(&output), "--device", "host"]);
    let told = String::from_utf8(told.stdout).expect("UTF-8");
    let accuracy: f64 = told
        .lines()
        .find_map(|l| l.strip_prefix("accuracy: ")?.split('%').next()?.parse().ok())
        .unwrap_or_else(|| panic!("no accuracy in:\n{told}"));
    assert!(accuracy >= 90.0, "{told}");
    assert!(told.contains("2 error rows"), "{told}");
    assert!(told.contains("row 100: decode: truncated") && told.contains("row 200: decode: not_an_image"), "{told}");
    assert!(told.contains("bottleneck: "), "{told}");
    for stage in ["read parquet", "filter", "join", "decode", "preprocess", "infer", "predict"] {
        assert!(told.lines().any(|l| l.starts_with(stage)), "no line for {stage} in:\n{told}");
    }
    refuse(&["demo", "--output", text(&output)], 4, &["exists already"]);
    if oracle::is_there() {
        oracle::check(CHECK, &[text(&output)]);
    }
}

/// The same by Pillow, numpy and, where it is installed, ONNX Runtime.
pub const CHECK: &str = r#"
import sys, io, glob, numpy as np, pyarrow as pa, pyarrow.parquet as pq, pyarrow.compute as pc
from PIL import Image
folder = sys.argv[1]
images = pq.read_table(folder + "/images.parquet")
labels = pq.read_table(folder + "/labels.parquet")
label_of = dict(zip(labels["id"].to_pylist(), labels["label"].to_pylist()))
images = images.filter(pc.and_(pc.greater_equal(images["width"], 64), pc.not_equal(images["source"], "web")))
out = pa.concat_tables([pq.read_table(f) for f in sorted(glob.glob(folder + "/output/*.parquet"))])
assert out["id"].to_pylist() == images["id"].to_pylist()
assert out["label"].to_pylist() == [label_of[i] for i in out["id"].to_pylist()]
null = [i for i, v in zip(out["id"].to_pylist(), out["prediction"].to_pylist()) if v is None]
assert null == [1100, 1200], null
try:
    import onnxruntime as ort
except ImportError:
    sys.exit()
session = ort.InferenceSession(folder + "/shapes.onnx")
mean, std = np.array([0.485, 0.456, 0.406], np.float32), np.array([0.229, 0.224, 0.225], np.float32)
def tensor(jpeg):
    image = Image.open(io.BytesIO(jpeg)).convert("RGB")
    w, h = image.size
    image = image.resize((64, int(64 * h / w)) if w <= h else (int(64 * w / h), 64), Image.BILINEAR)
    left, top = int(round((image.width - 64) / 2.0)), int(round((image.height - 64) / 2.0))
    return ((np.asarray(image.crop((left, top, left + 64, top + 64)), np.float32) / np.float32(255) - mean) / std).transpose(2, 0, 1)
rows = [(j, e, l) for j, e, l in zip(images["jpeg"].to_pylist(), out["embedding"].to_pylist(), out["logits"].to_pylist()) if l is not None]
embedding, logits = session.run(["embedding", "logits"], {"input": np.stack([tensor(j) for j, _, _ in rows])})
np.testing.assert_allclose(np.array([e for _, e, _ in rows], np.float32), embedding, rtol=1e-4, atol=1e-4)
np.testing.assert_allclose(np.array([l for _, _, l in rows], np.float32), logits, rtol=1e-4, atol=1e-4)
"#;
