//! Writing a table of photographs, synced to disk, beside arrow-rs's writer into a plain file.

use std::fs::File;

use criterion::{Criterion, Throughput};
use parquet::arrow::ArrowWriter;
use parquet::basic::{Compression, ZstdLevel};
use parquet::file::properties::WriterProperties;
use warpline::parquet::{ParquetWriter, WriteOptions};

use super::photos;

pub fn benches(criterion: &mut Criterion) {
    let folder = tempfile::tempdir().expect("a folder");
    let batch = photos(1000);
    let mut group = criterion.benchmark_group("parquet write/1000 photographs of 20 KB");
    group.sample_size(10).throughput(Throughput::Bytes(batch.get_array_memory_size() as u64));
    let mut run = 0;
    group.bench_function("warpline, parts in a folder", |b| {
        b.iter(|| {
            run += 1;
            let out = folder.path().join(format!("out{run}"));
            let mut writer = ParquetWriter::create(&out, &batch.schema(), WriteOptions::default()).expect("a writer");
            writer.write(&batch).expect("written");
            let bytes = writer.finish().expect("finished");
            std::fs::remove_dir_all(&out).expect("removed");
            bytes
        });
    });
    group.bench_function("arrow-rs, one file", |b| {
        b.iter(|| {
            let file = File::create(folder.path().join("plain.parquet")).expect("a file");
            let zstd = Compression::ZSTD(ZstdLevel::try_new(1).expect("a level"));
            let properties = WriterProperties::builder().set_compression(zstd).build();
            let mut writer = ArrowWriter::try_new(file, batch.schema(), Some(properties)).expect("a writer");
            writer.write(&batch).expect("written");
            writer.into_inner().expect("closed").sync_all().expect("synced");
        });
    });
    group.finish();
}
