//! Any bytes as a Parquet file: no panic, no hang, and never more rows than the footer tells.
//!
//! `RUSTC_BOOTSTRAP=1 cargo fuzz run parquet CORPUS_FOLDER -- -timeout=20 -rss_limit_mb=4096`
#![no_main]

use std::path::PathBuf;
use std::sync::OnceLock;

use libfuzzer_sys::fuzz_target;
use warpline::parquet::ParquetReader;

/// One file of this process, in memory where the system has such a folder.
fn file() -> &'static PathBuf {
    static FILE: OnceLock<PathBuf> = OnceLock::new();
    FILE.get_or_init(|| {
        let memory = PathBuf::from("/dev/shm");
        let folder = if memory.is_dir() { memory } else { std::env::temp_dir() };
        folder.join(format!("warpline-fuzz-{}.parquet", std::process::id()))
    })
}

fuzz_target!(|data: &[u8]| {
    std::fs::write(file(), data).expect("the file can be written");
    let Ok(mut reader) = ParquetReader::open(file()) else { return };
    let told = reader.num_rows();
    let mut rows = 0u64;
    // A small file may tell of very many rows, run-length coded; a few batches are enough.
    for _ in 0..16 {
        match reader.next_batch(1 << 20, 4096) {
            Ok(Some((first, batch))) => {
                assert_eq!(first, rows);
                assert_eq!(batch.schema().fields().len(), reader.schema().fields().len());
                rows += batch.num_rows() as u64;
            }
            Ok(None) => {
                assert_eq!(rows, told);
                return;
            }
            Err(_) => return,
        }
    }
    assert!(rows <= told);
});
