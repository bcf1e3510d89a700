//! A folder that is complete or not there.

use std::fs;
use std::path::Path;
use std::sync::Arc;

use warpline::arrow::array::*;
use warpline::parquet::{ParquetReader, ParquetWriter, WriteOptions, expand_paths};
use warpline::pipeline::{MemorySource, Pipeline};
use warpline::{Batch, Error};

fn batch(rows: i64) -> RecordBatch {
    let column: ArrayRef = Arc::new(Int64Array::from_iter_values((0..rows).map(|v| v.wrapping_mul(0x9e37_79b9_7f4a))));
    RecordBatch::try_from_iter([("n", column)]).unwrap()
}

fn entries(folder: &Path) -> Vec<String> {
    let mut names: Vec<String> =
        fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().file_name().into_string().unwrap()).collect();
    names.sort();
    names
}

#[test]
fn parts_are_in_order_and_the_folder_comes_last() {
    let folder = tempfile::tempdir().unwrap();
    let out = folder.path().join("out");
    let options = WriteOptions { part_bytes: 20_000, row_group_bytes: 4000, row_group_rows: 900 };
    let mut writer = ParquetWriter::create(&out, &batch(0).schema(), options).unwrap();
    let all = batch(20_000);
    for first in (0..20_000).step_by(500) {
        writer.write(&all.slice(first, 500)).unwrap();
        assert!(!out.exists());
    }
    assert_eq!(entries(folder.path()).len(), 1);
    assert!(entries(folder.path())[0].starts_with("out.partial-"));
    let written = writer.finish().unwrap();
    assert_eq!(entries(folder.path()), ["out"]);
    let files = expand_paths(&[&out], &["parquet"]).unwrap();
    assert!(files.len() > 3, "{files:?}");
    assert_eq!(files.iter().map(|f| f.metadata().unwrap().len()).sum::<u64>(), written);
    let mut rows = Vec::new();
    for file in &files {
        let mut reader = ParquetReader::open(file).unwrap();
        while let Some((_, batch)) = reader.next_batch(1 << 20, 1 << 20).unwrap() {
            rows.push(batch);
        }
    }
    assert_eq!(warpline::arrow::compute::concat_batches(&all.schema(), &rows).unwrap(), all);
}

#[test]
fn an_output_that_exists_is_refused_and_left_alone() {
    let folder = tempfile::tempdir().unwrap();
    let out = folder.path().join("out");
    fs::create_dir(&out).unwrap();
    fs::write(out.join("mine"), b"x").unwrap();
    let refused = ParquetWriter::create(&out, &batch(0).schema(), WriteOptions::default());
    let text = refused.err().unwrap().to_string();
    assert!(text.contains("out exists already"), "{text}");
    assert_eq!((entries(folder.path()), entries(&out)), (vec!["out".to_string()], vec!["mine".to_string()]));
}

#[test]
fn an_output_that_appears_meanwhile_is_not_overwritten() {
    let folder = tempfile::tempdir().unwrap();
    let out = folder.path().join("out");
    let mut writer = ParquetWriter::create(&out, &batch(0).schema(), WriteOptions::default()).unwrap();
    writer.write(&batch(5)).unwrap();
    fs::create_dir(&out).unwrap();
    assert!(writer.finish().is_err());
    assert_eq!(entries(folder.path()), ["out"], "the unfinished folder is removed");
    assert!(entries(&out).is_empty());
}

#[test]
fn a_writer_dropped_before_its_end_leaves_nothing() {
    let folder = tempfile::tempdir().unwrap();
    let mut writer =
        ParquetWriter::create(folder.path().join("out"), &batch(0).schema(), WriteOptions::default()).unwrap();
    writer.write(&batch(100)).unwrap();
    drop(writer);
    assert!(entries(folder.path()).is_empty());
}

#[test]
fn a_run_that_fails_leaves_nothing_and_an_empty_one_leaves_its_schema() {
    let folder = tempfile::tempdir().unwrap();
    let source = |rows| {
        let batch = Batch::from_record_batch(&batch(rows));
        Pipeline::from_source(MemorySource::new(batch.schema().clone(), vec![batch]).unwrap())
    };
    let bad = source(1000).batch_rows(100).map("bad", |_| Err(Error::invalid("bad", "always")));
    assert!(bad.unwrap().write_parquet(folder.path().join("out")).is_err());
    assert!(entries(folder.path()).is_empty());

    let report = source(0).write_parquet(folder.path().join("out/")).unwrap();
    assert_eq!(report.output.as_deref(), Some(folder.path().join("out/").as_path()));
    let reader = ParquetReader::open(folder.path().join("out/part-00000.parquet")).unwrap();
    assert_eq!((reader.num_rows(), reader.schema().field(0).name().as_str()), (0, "n"));
}

#[test]
fn the_same_rows_give_the_same_bytes_for_any_number_of_workers() {
    let folder = tempfile::tempdir().unwrap();
    let mut files = Vec::new();
    for workers in [1, 2, 5] {
        let batch = Batch::from_record_batch(&batch(5000));
        let source = MemorySource::new(batch.schema().clone(), vec![batch]).unwrap();
        let out = folder.path().join(workers.to_string());
        let pipeline = Pipeline::from_source(source).batch_rows(77).workers(workers).queue_depth(workers);
        pipeline.map("pass", |b| Ok(b.clone())).unwrap().write_parquet(&out).unwrap();
        files.push(fs::read(out.join("part-00000.parquet")).unwrap());
    }
    assert!(files.iter().all(|file| *file == files[0]));
}

#[cfg(target_os = "linux")]
#[test]
fn an_output_that_cannot_be_made_is_an_io_error_with_the_path() {
    let folder = tempfile::tempdir().unwrap();
    let error = ParquetWriter::create("/proc/out", &batch(0).schema(), WriteOptions::default()).err().unwrap();
    assert!(matches!(error, Error::Io { ref path, .. } if path.starts_with("/proc/out.partial-")), "{error}");
    let file = folder.path().join("file");
    fs::write(&file, b"").unwrap();
    let error = ParquetWriter::create(file.join("out"), &batch(0).schema(), WriteOptions::default()).err().unwrap();
    assert!(matches!(error, Error::Io { .. }), "{error}");
}
