//! Files, read so that storage which fails for a moment does not end a run: what may pass is tried again, with longer and
//! longer waits, and an error that stays is the caller's.

use std::fs::File;
use std::io::{self, BufReader, ErrorKind, Read};
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use parquet::errors::ParquetError;
use parquet::file::reader::{ChunkReader, Length};

/// Waits between tries. In all they are little more than the 100 ms within which a cancelled run ends.
const WAITS: [Duration; 3] = [Duration::from_millis(10), Duration::from_millis(30), Duration::from_millis(90)];

/// Whether the same call may succeed later: networks, busy devices, and the errors by which network file systems report
/// them.
fn may_pass(error: &io::Error) -> bool {
    // EIO has no kind of its own.
    const EIO: i32 = 5;
    matches!(
        error.kind(),
        ErrorKind::Interrupted
            | ErrorKind::WouldBlock
            | ErrorKind::TimedOut
            | ErrorKind::ConnectionReset
            | ErrorKind::ConnectionAborted
            | ErrorKind::HostUnreachable
            | ErrorKind::NetworkUnreachable
            | ErrorKind::NetworkDown
            | ErrorKind::ResourceBusy
            | ErrorKind::StaleNetworkFileHandle
    ) || (cfg!(unix) && error.raw_os_error() == Some(EIO))
}

/// Calls `attempt` until it succeeds, fails for good, or has failed once more than there are waits.
fn retrying<T>(mut attempt: impl FnMut() -> io::Result<T>) -> io::Result<T> {
    for wait in WAITS {
        match attempt() {
            Err(error) if may_pass(&error) => {
                tracing::warn!(%error, ?wait, "reading again");
                std::thread::sleep(wait);
            }
            done => return done,
        }
    }
    attempt()
}

/// The whole file.
pub(crate) fn read(path: &Path) -> io::Result<Vec<u8>> {
    retrying(|| std::fs::read(path))
}

/// Reads at a place, without a cursor that readers would share.
pub(crate) trait ReadAt: Send + Sync {
    /// Reads some bytes from `offset` on; 0 at the end.
    fn read_at(&self, buffer: &mut [u8], offset: u64) -> io::Result<usize>;
}

impl ReadAt for File {
    fn read_at(&self, buffer: &mut [u8], offset: u64) -> io::Result<usize> {
        #[cfg(unix)]
        return std::os::unix::fs::FileExt::read_at(self, buffer, offset);
        #[cfg(windows)]
        return std::os::windows::fs::FileExt::seek_read(self, buffer, offset);
    }
}

/// An open file of known length that several readers may read at once. Cheap to clone.
pub(crate) struct StoredFile<F = File> {
    file: Arc<F>,
    /// Bytes when it was opened.
    len: u64,
}

impl<F> Clone for StoredFile<F> {
    fn clone(&self) -> Self {
        StoredFile { file: self.file.clone(), len: self.len }
    }
}

impl StoredFile {
    /// Opens a file; a folder is an error.
    pub(crate) fn open(path: &Path) -> io::Result<Self> {
        let file = retrying(|| File::open(path))?;
        let found = retrying(|| file.metadata())?;
        if found.is_dir() {
            return Err(ErrorKind::IsADirectory.into());
        }
        Ok(StoredFile { file: Arc::new(file), len: found.len() })
    }
}

/// A reader of a file from some place on.
pub(crate) struct Tail<F> {
    file: Arc<F>,
    at: u64,
}

impl<F: ReadAt> Read for Tail<F> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let read = retrying(|| self.file.read_at(buffer, self.at))?;
        self.at += read as u64;
        Ok(read)
    }
}

impl<F> Length for StoredFile<F> {
    fn len(&self) -> u64 {
        self.len
    }
}

impl<F: ReadAt> ChunkReader for StoredFile<F> {
    type T = BufReader<Tail<F>>;

    fn get_read(&self, start: u64) -> Result<Self::T, ParquetError> {
        Ok(BufReader::new(Tail { file: self.file.clone(), at: start }))
    }

    fn get_bytes(&self, start: u64, length: usize) -> Result<Bytes, ParquetError> {
        // A malformed footer must not ask for more memory than the file can fill.
        if start.checked_add(length as u64).is_none_or(|end| end > self.len) {
            return Err(ParquetError::EOF(format!("bytes {start}..+{length} of a file of {} bytes", self.len)));
        }
        let mut bytes = vec![0; length];
        Tail { file: self.file.clone(), at: start }.read_exact(&mut bytes)?;
        Ok(bytes.into())
    }
}

#[cfg(test)]
mod tests {
    use std::sync::atomic::{AtomicU64, Ordering};

    use arrow::array::{Int32Array, RecordBatch};
    use parquet::arrow::ArrowWriter;
    use parquet::arrow::arrow_reader::ParquetRecordBatchReaderBuilder;

    use super::*;

    /// Fails `failures` times in a row before each read that works, and reads at most 1000 bytes.
    struct Flaky {
        bytes: Vec<u8>,
        failures: u64,
        calls: AtomicU64,
        kind: ErrorKind,
    }

    impl ReadAt for Flaky {
        fn read_at(&self, buffer: &mut [u8], offset: u64) -> io::Result<usize> {
            if self.calls.fetch_add(1, Ordering::Relaxed) % (self.failures + 1) < self.failures {
                return Err(self.kind.into());
            }
            let rest = &self.bytes[(offset as usize).min(self.bytes.len())..];
            let len = rest.len().min(buffer.len()).min(1000);
            buffer[..len].copy_from_slice(&rest[..len]);
            Ok(len)
        }
    }

    fn flaky(failures: u64, kind: ErrorKind) -> (RecordBatch, StoredFile<Flaky>) {
        let column = Int32Array::from_iter_values(0..2000);
        let batch = RecordBatch::try_from_iter([("n", Arc::new(column) as _)]).unwrap();
        let mut bytes = Vec::new();
        let mut writer = ArrowWriter::try_new(&mut bytes, batch.schema(), None).unwrap();
        writer.write(&batch).unwrap();
        writer.close().unwrap();
        let len = bytes.len() as u64;
        (batch, StoredFile { file: Arc::new(Flaky { bytes, failures, calls: AtomicU64::new(0), kind }), len })
    }

    fn read_all(file: StoredFile<Flaky>) -> Result<Vec<RecordBatch>, ParquetError> {
        let reader = ParquetRecordBatchReaderBuilder::try_new(file)?.with_batch_size(4000).build()?;
        reader.map(|batch| batch.map_err(ParquetError::from)).collect()
    }

    #[test]
    fn a_file_whose_reads_fail_for_a_moment_is_read() {
        let (batch, file) = flaky(2, ErrorKind::TimedOut);
        assert_eq!(read_all(file).unwrap(), [batch]);
    }

    #[test]
    fn failures_that_stay_are_the_callers() {
        let (_, file) = flaky(u64::MAX - 1, ErrorKind::TimedOut);
        assert!(read_all(file.clone()).unwrap_err().to_string().contains("timed out"));
        assert_eq!(file.file.calls.load(Ordering::Relaxed), WAITS.len() as u64 + 1);
    }

    #[test]
    fn failures_that_cannot_pass_are_not_tried_again() {
        let (_, file) = flaky(1, ErrorKind::PermissionDenied);
        assert!(read_all(file.clone()).is_err());
        assert_eq!(file.file.calls.load(Ordering::Relaxed), 1);
    }
}
