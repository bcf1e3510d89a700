//! Missing columns, malformed files, batches of the size asked for.

use std::fs;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use warpline::arrow::array::*;
use warpline::parquet::{ParquetReader, ParquetWriter, WriteOptions};
use warpline::pipeline::ParquetSource;
use warpline::{Error, Result};

use crate::common::samples::Random;

fn golden(file: &str) -> PathBuf {
    crate::common::root().join("tests/golden/parquet").join(file)
}

/// Reads all rows; their number.
fn drain(path: &Path) -> Result<u64> {
    let mut reader = ParquetReader::open(path)?;
    let mut rows = 0;
    while let Some((first, batch)) = reader.next_batch(1 << 16, 1000)? {
        assert_eq!(first, rows);
        rows += batch.num_rows() as u64;
    }
    assert_eq!(rows, reader.num_rows());
    Ok(rows)
}

#[test]
fn a_missing_column_is_named_with_those_that_exist() {
    let missing = ParquetReader::open(golden("snappy_v1.parquet")).unwrap().columns(&["id", "img"]).err().unwrap();
    let text = missing.to_string();
    assert!(text.contains("column 'img': not in ") && text.contains("it has id, label, image, score"), "{text}");
    let twice = ParquetReader::open(golden("snappy_v1.parquet")).unwrap().columns(&["id", "id"]).err().unwrap();
    assert!(twice.to_string().contains("column 'id': asked for twice"), "{twice}");
}

/// Found by the fuzz target: the footer tells of no rows in a row group whose pages hold some.
#[test]
fn more_rows_than_the_footer_tells_are_an_error() {
    let problem = drain(&golden("more_rows_than_told.parquet")).unwrap_err();
    assert!(matches!(problem, Error::Corrupt { .. }), "{problem}");
    assert!(problem.to_string().contains("more rows than the footer says"), "{problem}");
}

#[test]
fn files_of_different_schemas_are_refused_by_name() {
    let folder = tempfile::tempdir().unwrap();
    let write = |name: &str, column: ArrayRef| {
        let batch = RecordBatch::try_from_iter([("n", column)]).unwrap();
        let out = folder.path().join(name);
        let mut writer = ParquetWriter::create(&out, &batch.schema(), WriteOptions::default()).unwrap();
        writer.write(&batch).unwrap();
        writer.finish().unwrap();
        out
    };
    let ints = write("a", Arc::new(Int32Array::from(vec![1, 2])));
    let texts = write("b", Arc::new(StringArray::from(vec!["1"])));
    let error = ParquetSource::open(&[ints, texts]).err().unwrap().to_string();
    assert!(error.contains("column 'n': ") && error.contains("b/part-00000.parquet has type Utf8"), "{error}");
}

#[test]
fn batches_are_of_the_size_asked_for_also_under_skew() {
    let folder = tempfile::tempdir().unwrap();
    let out = folder.path().join("skew");
    // 10,000 small rows and some of 100 KB: every byte different, so that nothing is encoded away.
    let mut random = Random(5);
    let blobs = (0..10_000).map(|row| {
        let len = if row % 1000 == 999 { 100_000 } else { 20 };
        (0..len).map(|_| random.next() as u8).collect::<Vec<_>>()
    });
    let column: ArrayRef = Arc::new(LargeBinaryArray::from_iter_values(blobs));
    let batch = RecordBatch::try_from_iter([("blob", column)]).unwrap();
    let mut writer = ParquetWriter::create(&out, &batch.schema(), WriteOptions::default()).unwrap();
    writer.write(&batch).unwrap();
    writer.finish().unwrap();
    let mut reader = ParquetReader::open(out.join("part-00000.parquet")).unwrap();
    let (mut rows, limit) = (0, 64 << 10);
    while let Some((_, batch)) = reader.next_batch(limit, usize::MAX).unwrap() {
        rows += batch.num_rows();
        let blobs = batch.column(0).as_binary::<i64>();
        let bytes = blobs.value_data().len() as u64;
        assert!(bytes <= limit + limit / 4 + 100_000, "{bytes} bytes in {} rows", batch.num_rows());
    }
    assert_eq!(rows, 10_000);
}

/// Errors about a file must name it, be of the right kind, and be one line.
fn assert_good_error(error: &Error, path: &Path) {
    assert!(matches!(error, Error::Corrupt { .. } | Error::Unsupported { .. } | Error::Io { .. }), "{error:?}");
    let text = error.to_string();
    assert!(text.contains(path.file_name().unwrap().to_str().unwrap()), "{text}");
    assert_eq!(text.lines().count(), 1, "{text}");
}

#[test]
fn truncated_files_and_other_files_are_typed_errors() {
    let folder = tempfile::tempdir().unwrap();
    let bytes = fs::read(golden("snappy_v1.parquet")).unwrap();
    let path = folder.path().join("cut.parquet");
    for len in (0..bytes.len()).step_by(41) {
        fs::write(&path, &bytes[..len]).unwrap();
        let error = drain(&path).unwrap_err();
        assert!(matches!(error, Error::Corrupt { .. }), "{len}: {error:?}");
        assert_good_error(&error, &path);
    }
    fs::write(&path, "id,label\n1,a\n2,b\n").unwrap();
    let text = drain(&path).unwrap_err().to_string();
    assert!(text.contains("not a Parquet file, or truncated"), "{text}");
    assert!(matches!(drain(folder.path()), Err(Error::Io { .. })));
    assert!(matches!(drain(&folder.path().join("none")), Err(Error::Io { .. })));
}

#[test]
fn changed_bytes_never_panic() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("fuzzed.parquet");
    let mut random = Random(23);
    let mut refused = 0;
    for file in ["snappy_v1.parquet", "zstd_v2.parquet"] {
        let bytes = fs::read(golden(file)).unwrap();
        for _ in 0..400 {
            let mut changed = bytes.clone();
            for _ in 0..1 + random.below(4) {
                let at = random.below(changed.len());
                changed[at] = random.next() as u8;
            }
            fs::write(&path, &changed).unwrap();
            if let Err(error) = drain(&path) {
                refused += 1;
                assert_good_error(&error, &path);
            }
        }
    }
    assert!(refused > 100, "{refused} of 800 changed files were refused");
}

/// Files of `data` that the `parquet` crate refuses, with typed errors, and pyarrow reads: a footer by Dremio that puts a
/// list where the format has `bloom_filter_length`, and a column chunk longer than its footer says.
const REFUSED: [&str; 2] = ["dict-page-offset-zero.parquet", "nation.dict-malformed.parquet"];

/// A file of `bad_data` that pyarrow reads as well: 21,186 rows.
const READABLE: &str = "ARROW-GH-43605.parquet";

#[test]
fn corpora_read_or_are_refused_by_typed_errors() {
    let Some(corpora) = std::env::var_os("CORPORA") else {
        eprintln!("skipped: CORPORA is not set");
        return;
    };
    for (folder, good) in [("parquet/data", true), ("parquet/bad_data", false)] {
        let folder = Path::new(&corpora).join(folder);
        let mut files: Vec<PathBuf> = fs::read_dir(&folder).unwrap().map(|entry| entry.unwrap().path()).collect();
        files.sort();
        assert!(!files.is_empty(), "{}", folder.display());
        for path in files {
            match drain(&path) {
                Ok(rows) => assert!(good || path.ends_with(READABLE), "{}: {rows} rows of a bad file", path.display()),
                Err(error) => {
                    assert_good_error(&error, &path);
                    assert!(!good || REFUSED.iter().any(|name| path.ends_with(name)), "{}: {error}", path.display());
                }
            }
        }
    }
}
