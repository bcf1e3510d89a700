//! Files, folders and patterns.

use std::fs;
use std::path::PathBuf;

use warpline::Error;
use warpline::parquet::expand_paths;

#[test]
fn folders_and_patterns_are_sorted_and_leave_out_what_is_unfinished() {
    let folder = tempfile::tempdir().unwrap();
    let root = folder.path();
    fs::create_dir_all(root.join("a/deep")).unwrap();
    fs::create_dir_all(root.join("out.partial-17")).unwrap();
    for file in ["b.parquet", "a/x.PARQUET", "a/deep/y.parquet", "c.txt", ".h.parquet", "out.partial-17/p.parquet"] {
        fs::write(root.join(file), b"").unwrap();
    }
    let names = |paths: &[PathBuf]| {
        let files = expand_paths(paths, &["parquet"]).unwrap();
        files.iter().map(|f| f.strip_prefix(root).unwrap().display().to_string()).collect::<Vec<_>>()
    };
    assert_eq!(names(&[root.to_path_buf()]), ["a/deep/y.parquet", "a/x.PARQUET", "b.parquet"]);
    assert_eq!(names(&[root.join("*.parquet")]), [".h.parquet", "b.parquet"]);
    assert_eq!(names(&[root.join("c.txt"), root.join("b.parquet")]), ["c.txt", "b.parquet"]);
    assert_eq!(names(&[root.join("**/y.*")]), ["a/deep/y.parquet"]);
}

#[test]
fn what_is_not_there_is_named() {
    let folder = tempfile::tempdir().unwrap();
    let empty = folder.path().join("empty");
    fs::create_dir(&empty).unwrap();
    let message = |path: PathBuf| expand_paths(&[path], &["jpg", "jpeg"]).unwrap_err().to_string();
    assert!(message(empty.clone()).contains("no .jpg or .jpeg file in "), "{}", message(empty));
    assert!(message(folder.path().join("*.jpg")).contains("no file matches "));
    let missing = expand_paths(&[folder.path().join("none.jpg")], &["jpg"]).unwrap_err();
    assert!(matches!(missing, Error::Io { ref path, .. } if path.ends_with("none.jpg")), "{missing}");
    assert!(expand_paths(&[] as &[PathBuf], &["jpg"]).is_err());
}
