//! `warpline tensor` against Pillow and numpy.

use std::path::PathBuf;

use super::{data, folder, names, oracle, refuse, succeed, text};

/// The good JPEGs of the data set as files, some also as PNG and WebP, and those of the corpora where they are.
fn photos(into: &std::path::Path) -> Vec<PathBuf> {
    let (_, images, _) = data();
    let script = r#"
import io, sys, pyarrow.parquet as pq
from PIL import Image
for i, jpeg in enumerate(pq.read_table(sys.argv[1])["jpeg"].to_pylist()):
    if i not in (20, 40):
        open(f"{sys.argv[2]}/{i:03}.jpg", "wb").write(jpeg)
        if i < 8:
            image = Image.open(io.BytesIO(jpeg)).convert("RGB")
            image.save(f"{sys.argv[2]}/{i:03}.png")
            image.save(f"{sys.argv[2]}/{i:03}.webp", lossless=i % 2 == 0)
"#;
    oracle::check(script, &[text(images), text(into)]);
    let mut files: Vec<PathBuf> = names(into).iter().map(|n| into.join(n)).collect();
    if let Some(corpora) = std::env::var_os("CORPORA") {
        let corpus = PathBuf::from(corpora).join("photos");
        files.extend(names(&corpus).iter().filter(|n| n.ends_with(".jpg")).map(|n| corpus.join(n)));
    }
    files
}

#[test]
fn equals_pillow_and_numpy() {
    if !oracle::is_there() {
        return;
    }
    let root = folder();
    let images = root.path().join("images");
    std::fs::create_dir(&images).expect("a folder");
    let files = photos(&images);
    let cases: [(&[&str], &str); 5] = [
        (&["--resize", "256", "--crop", "224"], "256, 224"),
        (
            &["--resize", "80", "--crop", "64", "--interpolation", "bicubic", "--normalize", "clip"],
            "80, 64, 'bicubic', 'clip'",
        ),
        (&["--crop", "100", "--dtype", "u8"], "None, 100, dtype='u8'"),
        (
            &["--resize", "33", "--crop", "40", "--dtype", "f16", "--layout", "nhwc"],
            "33, 40, dtype='f16', layout='nhwc'",
        ),
        (
            &["--resize", "50", "--crop", "50", "--interpolation", "lanczos", "--normalize", "none"],
            "50, 50, 'lanczos', 'none'",
        ),
    ];
    for (flags, call) in cases {
        let out = root.path().join("out.npy");
        let mut args = vec!["tensor"];
        args.extend(files.iter().map(|f| text(f)));
        args.extend(flags);
        args.extend(["--device", "host", "-o", text(&out)]);
        succeed(&args);
        let script = format!(
            "{}\nout, *files = sys.argv[1:]\narray = np.load(out)\nassert len(array) == len(files)\n\
             for row, file in zip(array, files):\n    want = transform(file, {call})\n    \
             assert row.dtype == want.dtype and np.array_equal(row, want), file\nprint(array.shape)\n",
            oracle::TRANSFORM
        );
        let mut args = vec![text(&out)];
        args.extend(files.iter().map(|f| text(f)));
        oracle::check(&script, &args);
    }
}

/// Flags of canvases, flips, patches and a configuration, each beside the Pillow and NumPy expression that it stands for.
#[test]
fn geometry_equals_pillow() {
    if !oracle::is_there() {
        return;
    }
    let root = folder();
    let images = root.path().join("images");
    std::fs::create_dir(&images).expect("a folder");
    let files = photos(&images);
    let config = root.path().join("preprocessor_config.json");
    std::fs::write(&config, r#"{"image_processor_type": "ViTImageProcessor", "size": 48}"#).expect("writes");
    let raw = ["--dtype", "u8", "--layout", "nhwc"];
    let cases: [(&[&str], &str); 4] = [
        (
            &["--letterbox", "64x48", "--fill", "114,113,112", "--place", "top-left"],
            "np.asarray(ImageOps.pad(image, (64, 48), 2, (114, 113, 112), (0, 0)))",
        ),
        (
            &["--resize", "60x40", "--pad", "70", "--fill", "9", "--horizontal-flip", "1", "--vertical-flip", "1"],
            "np.asarray(ImageOps.expand(image.resize((60, 40), 2), (5, 15, 5, 15), (9, 9, 9)))[::-1, ::-1]",
        ),
        (
            &["--resize", "28x56", "--layout", "patches:14,channels=last"],
            "np.asarray(image.resize((28, 56), 2)).reshape(4, 14, 2, 14, 3).swapaxes(1, 2).reshape(8, 588)",
        ),
        (
            &["--preprocessor", text(&config), "--dtype", "f32"],
            "((np.asarray(image.resize((48, 48), 2)) * (1 / 255)).astype(np.float32).transpose(2, 0, 1) - \
             np.float32(0.5)) / np.float32(0.5)",
        ),
    ];
    for (flags, expression) in cases {
        let out = root.path().join("out.npy");
        let mut args = vec!["tensor"];
        args.extend(files.iter().map(|f| text(f)));
        // A flag given twice counts the last time; --layout would contradict --preprocessor.
        args.extend(raw.iter().filter(|_| !flags.contains(&"--preprocessor")));
        args.extend(flags);
        args.extend(["--device", "host", "-o", text(&out)]);
        succeed(&args);
        let script = format!(
            "{}\nout, *files = sys.argv[1:]\nfor row, file in zip(np.load(out), files, strict=True):\n    \
             image = Image.open(file).convert('RGB')\n    want = {expression}\n    \
             assert row.dtype == want.dtype and np.array_equal(row, want), file\n",
            oracle::TRANSFORM
        );
        let mut args = vec![text(&out)];
        args.extend(files.iter().map(|f| text(f)));
        oracle::check(&script, &args);
    }
}

/// Random parts and flips depend on the seed and on the image's place among the arguments alone.
#[test]
fn random_choices_repeat() {
    let root = folder();
    let (_, images, _) = data();
    let out = root.path().join("out");
    let run = |flags: &[&str]| {
        let mut args = vec!["run", "--input", text(images), "--output", text(&out), "--on-error", "null"];
        args.extend(["--random-resized-crop", "24x16", "--scale", "0.1,0.9", "--ratio", "0.5,2", "--device", "host"]);
        args.extend(["--horizontal-flip", "0.5", "--dtype", "u8"]);
        args.extend(flags);
        succeed(&args);
        let rows: Vec<u8> = names(&out)
            .iter()
            .flat_map(|part| {
                let part = out.join(part);
                succeed(&["cat", text(&part), "--columns", "jpeg", "--format", "json", "--device", "host"]).stdout
            })
            .collect();
        std::fs::remove_dir_all(&out).expect("a folder");
        rows
    };
    let all = run(&[]);
    assert_eq!(run(&["--batch-bytes", "10k"]), all);
    assert_ne!(run(&["--seed", "1"]), all);
}

#[test]
fn contradictory_flags_are_refused() {
    let refused = |flags: &[&str], parts: &[&str]| {
        let mut args = vec!["tensor", "a.jpg", "-o", "out.npy", "--device", "host"];
        args.extend(flags);
        let output = super::warpline(&args).output().expect("warpline starts");
        let message = String::from_utf8_lossy(&output.stderr).into_owned();
        assert_eq!(output.status.code(), Some(2), "{flags:?}: {message}");
        assert!(parts.iter().all(|part| message.contains(part)), "{flags:?}: {message}");
    };
    refused(&["--letterbox", "64", "--crop", "32"], &["--letterbox", "--crop"]);
    refused(&["--random-resized-crop", "64", "--resize", "32"], &["--random-resized-crop", "--resize"]);
    refused(&["--preprocessor", "x.json", "--normalize", "clip"], &["--preprocessor", "--normalize"]);
    refused(&["--scale", "0.1,1"], &["--random-resized-crop"]);
    refused(&["--resize", "0x4"], &["--resize", "'0'"]);
    refused(&["--fill", "1,2"], &["--fill", "three numbers"]);
    refused(&["--place", "middle"], &["--place", "bottom-left"]);
    refused(&["--layout", "patches:"], &["--layout", "patches:SIZE"]);
}

#[test]
fn exif_orientation_is_an_option() {
    let Some(corpora) = std::env::var_os("CORPORA").filter(|_| oracle::is_there()) else {
        eprintln!("skipped: no CORPORA");
        return;
    };
    let root = folder();
    let corpus = PathBuf::from(corpora).join("jpeg/orientation");
    let files: Vec<PathBuf> = names(&corpus).iter().filter(|n| n.ends_with(".jpg")).map(|n| corpus.join(n)).collect();
    assert!(!files.is_empty());
    for (flag, orient) in [(None, "False"), (Some("--exif-orientation"), "True")] {
        let out = root.path().join("out.npy");
        let mut args = vec!["tensor", "--resize", "48", "--crop", "40", "-o", text(&out), "--device", "host"];
        args.extend(flag);
        args.extend(files.iter().map(|f| text(f)));
        succeed(&args);
        let script = format!(
            "{}\nout, *files = sys.argv[1:]\nfor row, file in zip(np.load(out), files):\n    \
             assert np.array_equal(row, transform(file, 48, 40, orient={orient})), file\n",
            oracle::TRANSFORM
        );
        let mut args = vec![text(&out)];
        args.extend(files.iter().map(|f| text(f)));
        oracle::check(&script, &args);
    }
}

#[test]
fn mistakes_name_the_file_and_leave_nothing() {
    let root = folder();
    let path = |name: &str| root.path().join(name);
    std::fs::write(path("text.jpg"), "no image").expect("writes");
    std::fs::write(path("short.jpg"), [0xFF, 0xD8, 0xFF, 0xE0, 0, 16]).expect("writes");
    let out = path("out.npy");
    let (text_file, short) = (path("text.jpg"), path("short.jpg"));
    refuse(&["tensor", text(&text_file), "-o", text(&out)], 6, &["text.jpg", "not_an_image"]);
    refuse(&["tensor", text(&short), "-o", text(&out)], 6, &["short.jpg", "truncated"]);
    let missing = path("missing.jpg");
    refuse(&["tensor", text(&missing), "-o", text(&out)], 3, &["missing.jpg", "No such file"]);
    let nowhere = path("no/such/folder/out.npy");
    refuse(&["tensor", text(&text_file), "-o", text(&nowhere)], 4, &["out.npy", "No such file"]);
    refuse(&["tensor", text(&text_file), "-o", text(root.path())], 4, &["directory"]);
    refuse(&["tensor", text(&text_file), "--device", "cuda:63", "-o", text(&out)], 5, &[]);
    assert_eq!(names(root.path()), ["short.jpg", "text.jpg"]);
}
