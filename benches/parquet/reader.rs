//! Reading a table of photographs in bounded batches, beside arrow-rs's reader at its default of 1,024 rows.

use std::fs::File;

use criterion::{Criterion, Throughput};
use parquet::arrow::arrow_reader::ParquetRecordBatchReaderBuilder;
use warpline::parquet::{ParquetReader, ParquetWriter, WriteOptions};

use super::photos;

pub fn benches(criterion: &mut Criterion) {
    let folder = tempfile::tempdir().expect("a folder");
    let batch = photos(2000);
    let out = folder.path().join("photos");
    let mut writer = ParquetWriter::create(&out, &batch.schema(), WriteOptions::default()).expect("a writer");
    writer.write(&batch).expect("written");
    writer.finish().expect("finished");
    let path = out.join("part-00000.parquet");

    let mut group = criterion.benchmark_group("parquet read/2000 photographs of 20 KB");
    group.sample_size(10).throughput(Throughput::Bytes(batch.get_array_memory_size() as u64));
    group.bench_function("warpline, batches of 2 MiB", |b| {
        b.iter(|| {
            let (mut reader, mut rows) = (ParquetReader::open(&path).expect("a reader"), 0);
            while let Some((_, batch)) = reader.next_batch(2 << 20, usize::MAX).expect("a batch") {
                rows += batch.num_rows();
            }
            rows
        });
    });
    group.bench_function("arrow-rs, batches of 1024 rows", |b| {
        b.iter(|| {
            let file = File::open(&path).expect("a file");
            let reader = ParquetRecordBatchReaderBuilder::try_new(file).expect("a footer").build().expect("a reader");
            reader.map(|batch| batch.expect("a batch").num_rows()).sum::<usize>()
        });
    });
    group.finish();
}
