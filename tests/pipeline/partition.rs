//! A file for each partition, on the host and by a device's hashes.

use warpline::arrow::array::UInt32Array;
use warpline::arrow::datatypes::UInt32Type;
use warpline::ops::{self, HashScheme};
use warpline::parquet::{ParquetReader, expand_paths};
use warpline::pipeline::{Bytes, OnError};
use warpline::{Column, Error};

use super::*;
use crate::common::contexts;

const SCHEME: HashScheme = HashScheme::SparkMurmur3;

/// The partition of each row of [`table`], by the operator itself.
fn partitions(rows: usize, keys: &[usize], count: usize) -> UInt32Array {
    let (ctx, table) = (ExecCtx::host(1).unwrap(), table(rows));
    let keys: Vec<Column> = keys.iter().map(|&i| Column::from_array(table.column(i).clone())).collect();
    let ids = ops::partition_ids(&ctx, &keys.iter().collect::<Vec<_>>(), SCHEME, count).unwrap();
    ids.to_array().unwrap().as_primitive::<UInt32Type>().clone()
}

#[test]
fn files_have_their_partitions_in_order_on_any_number_of_workers() {
    let folder = tempfile::tempdir().unwrap();
    let all = partitions(3000, &[0, 1], 23);
    for ctx in contexts() {
        for (workers, depth, batch) in [(1, 1, 3000), (4, 8, 7), (2, 3, 100)] {
            let out = folder.path().join(format!("{}-{batch}", ctx.placement()).replace(':', ""));
            let pipeline = numbers(3000).on(&ctx).workers(workers).queue_depth(depth).batch_rows(batch);
            let pipeline = pipeline.budget(Bytes::mib(64)).stage(Jitter).unwrap();
            let report = pipeline.write_partitions(&out, &["id", "blob"], SCHEME, 23).unwrap();
            assert_eq!((report.rows_out, report.output.as_deref()), (3000, Some(out.as_path())));
            let files = expand_paths(&[&out], &["parquet"]).unwrap();
            assert_eq!(files.len(), 23);
            for (partition, file) in files.iter().enumerate() {
                let mut found = Vec::new();
                let mut reader = ParquetReader::open(file).unwrap();
                assert_eq!(reader.schema().fields().len(), 2);
                while let Some((_, batch)) = reader.next_batch(1 << 20, 1 << 20).unwrap() {
                    found.extend(ids(&[Batch::from_record_batch(&batch)]));
                }
                let wanted = (0..3000).filter(|&row| all.value(row as usize) as usize == partition);
                assert_eq!(found, wanted.collect::<Vec<i64>>(), "partition {partition} on {}", ctx.placement());
            }
        }
    }
}

#[test]
fn the_stage_alone_adds_a_column() {
    let all = partitions(500, &[0], 6);
    let out = numbers(500).batch_rows(33).partition_ids("part", &["id"], SCHEME, 6).unwrap().collect().unwrap();
    let found = whole(&out.schema, &out.batches);
    assert_eq!(found.column(2).as_primitive::<UInt32Type>(), &all);
    assert_eq!(found.project(&[0, 1]).unwrap(), table(500));
}

#[test]
fn mistakes_are_found_before_anything_is_written() {
    let folder = tempfile::tempdir().unwrap();
    let out = folder.path().join("out");
    let refused = |pipeline: Pipeline, keys: &[&str], scheme, count| {
        let error = pipeline.write_partitions(&out, keys, scheme, count).unwrap_err();
        assert_eq!(std::fs::read_dir(folder.path()).unwrap().count(), 0);
        error
    };
    let text = refused(numbers(9), &["nowhere"], SCHEME, 4).to_string();
    assert!(text.contains("'nowhere'") && text.contains("id, blob"), "{text}");
    assert!(matches!(refused(numbers(9), &["id"], SCHEME, 0), Error::InvalidInput { .. }));
    assert!(matches!(refused(numbers(9), &[], SCHEME, 4), Error::InvalidInput { .. }));
    assert!(matches!(refused(numbers(9), &["id", "blob"], HashScheme::Iceberg, 4), Error::InvalidInput { .. }));
    // Files of more partitions than a quarter of the budget has memory for.
    let text = refused(numbers(9).budget(Bytes::mib(16)), &["id"], SCHEME, 65).to_string();
    assert!(text.contains("65 partitions need"), "{text}");
    let error = numbers(9).partition_ids("id", &["blob"], SCHEME, 4).err().unwrap();
    assert!(error.to_string().contains("there is a column of that name"), "{error}");
    // A failing run leaves nothing.
    let failing = numbers(900).batch_rows(10).on_error(OnError::Fail).map("fail", |batch| {
        match ids(std::slice::from_ref(batch))[0] {
            700 => Err(Error::invalid("fail", "as asked")),
            _ => Ok(batch.clone()),
        }
    });
    assert!(refused(failing.unwrap(), &["id"], SCHEME, 4).to_string().contains("as asked"));
}
