//! A folder that is complete or not there.

use std::fs;
use std::path::Path;
use std::sync::Arc;

use warpline::arrow::array::*;
use warpline::arrow::compute::{cast, concat_batches, take_record_batch};
use warpline::arrow::datatypes::{DataType, Int32Type};
use warpline::parquet::{ParquetReader, ParquetWriter, PartitionedWriter, WriteOptions, expand_paths};
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

/// Rows with their partition: numbers, strings, views and a dictionary, whose memory slices of a batch would share.
fn table(rows: usize, partitions: usize) -> (RecordBatch, UInt32Array) {
    let number: ArrayRef = Arc::new(Int64Array::from_iter_values(0..rows as i64));
    let text: ArrayRef = Arc::new(StringArray::from_iter((0..rows).map(|i| (i % 9 > 0).then(|| "x".repeat(i % 40)))));
    let views = StringViewArray::from_iter_values((0..rows).map(|i| format!("a value that is not inline: {i}")));
    let colours: DictionaryArray<Int32Type> = (0..rows).map(|i| Some(["red", "green", "blue"][i % 3])).collect();
    let columns = [("n", number), ("text", text), ("view", Arc::new(views) as _), ("colour", Arc::new(colours) as _)];
    let ids = UInt32Array::from_iter_values((0..rows).map(|i| (i * i + i / 7) as u32 % partitions as u32));
    (RecordBatch::try_from_iter(columns).unwrap(), ids)
}

fn read(file: &Path) -> RecordBatch {
    let mut reader = ParquetReader::open(file).unwrap();
    let mut rows = vec![RecordBatch::new_empty(reader.schema().clone())];
    while let Some((_, batch)) = reader.next_batch(1 << 20, 1 << 20).unwrap() {
        rows.push(batch);
    }
    concat_batches(reader.schema(), &rows).unwrap()
}

#[test]
fn a_file_for_each_partition_whatever_the_memory() {
    let folder = tempfile::tempdir().unwrap();
    for (memory, partitions) in [(1 << 20, 3), (1 << 20, 7), (1 << 30, 100)] {
        let out = folder.path().join(format!("{partitions}"));
        let (all, ids) = table(30_000, partitions);
        // Partition 1 stays empty.
        let ids: UInt32Array = ids.iter().map(|id| id.filter(|&id| id != 1)).collect();
        let options = WriteOptions { row_group_rows: 5000, ..WriteOptions::default() };
        let mut writer = PartitionedWriter::create(&out, &all.schema(), partitions, memory, options).unwrap();
        for first in (0..30_000).step_by(600) {
            writer.write(&all.slice(first, 600), &ids.slice(first, 600)).unwrap();
            assert!(writer.bytes_held() <= memory && !out.exists());
        }
        assert_eq!(memory < 1 << 30, writer.bytes_written() > 0);
        let written = writer.finish().unwrap();
        let files = expand_paths(&[&out], &["parquet"]).unwrap();
        assert_eq!(
            (files.len(), files[partitions - 1].file_name().unwrap().len()),
            (partitions, "part-00000.parquet".len())
        );
        assert_eq!(files.iter().map(|f| f.metadata().unwrap().len()).sum::<u64>(), written);
        for (partition, file) in files.iter().enumerate() {
            let id = |row: u32| if ids.is_null(row as usize) { 0 } else { ids.value(row as usize) };
            let rows = (0..ids.len() as u32).filter(|&row| id(row) as usize == partition);
            let wanted = take_record_batch(&all, &UInt32Array::from_iter_values(rows)).unwrap();
            let found = read(file);
            assert_eq!(found.num_rows(), wanted.num_rows());
            for (found, wanted) in found.columns().iter().zip(wanted.columns()) {
                let plain = |column: &ArrayRef| match column.data_type() {
                    DataType::Dictionary(_, values) => cast(column, values).unwrap(),
                    _ => column.clone(),
                };
                assert_eq!(&plain(found), &plain(wanted), "partition {partition} of {partitions}");
            }
        }
    }
}

#[test]
fn partitions_that_cannot_be_are_refused_and_nothing_is_left() {
    let folder = tempfile::tempdir().unwrap();
    let out = folder.path().join("out");
    let (batch, ids) = table(100, 10);
    let create = |partitions, memory| {
        PartitionedWriter::create(&out, &batch.schema(), partitions, memory, WriteOptions::default())
    };
    for (partitions, memory, why) in
        [(0, 1 << 20, "no partitions"), (100, 1 << 20, "100 partitions need 6553600 bytes")]
    {
        let error = create(partitions, memory).err().unwrap();
        assert!(matches!(error, Error::InvalidInput { .. }) && error.to_string().contains(why), "{error}");
    }
    let mut writer = create(9, 1 << 20).unwrap();
    let error = writer.write(&batch, &ids).unwrap_err();
    assert!(matches!(error, Error::InvalidInput { row: Some(_), .. }), "{error}");
    assert!(writer.write(&batch, &ids.slice(0, 5)).is_err());
    drop(writer);
    // Footers of very many small row groups are not kept without end.
    let mut writer = create(10, 700 << 10).unwrap();
    let error = (0..3000).find_map(|_| writer.write(&table(4000, 10).0, &table(4000, 10).1).err()).unwrap();
    assert!(error.to_string().contains("footers"), "{error}");
    drop(writer);
    assert_eq!(entries(folder.path()), [""; 0]);
}
