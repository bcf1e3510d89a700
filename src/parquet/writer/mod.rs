//! Writes Parquet parts into a folder that is complete or not there.

mod file;
mod folder;
mod partitioned;

use std::path::Path;

use arrow::array::RecordBatch;
use arrow::datatypes::SchemaRef;

use crate::error::Result;

use file::{PartFile, stored_schema};
use folder::NewFolder;
pub use partitioned::PartitionedWriter;

const OP: &str = "write parquet";

/// How Parquet is written.
#[derive(Clone, Debug)]
pub struct WriteOptions {
    /// A part is closed when it holds this many bytes.
    pub part_bytes: u64,
    /// A row group is closed when about this many encoded bytes wait in memory.
    pub row_group_bytes: usize,
    /// A row group has at most this many rows.
    pub row_group_rows: usize,
}

impl Default for WriteOptions {
    fn default() -> Self {
        WriteOptions { part_bytes: 512 << 20, row_group_bytes: 32 << 20, row_group_rows: 1 << 20 }
    }
}

/// Writes `part-00000.parquet`, `part-00001.parquet`, ... for batches of one schema, compressed with zstd.
///
/// Everything goes into `FOLDER.partial-RUN` first; every part is synced to disk; [`finish`](ParquetWriter::finish) renames
/// the folder as its last step. A writer that is dropped before removes what it wrote; a process that is killed leaves
/// the `.partial-` folder, which nothing takes for a result. Field metadata (such as that of
/// `arrow.fixed_shape_tensor`) is kept, and elements of such tensors become nullable, as pyarrow demands. There is at least one part, so that an empty result still has its schema.
///
/// # Errors
/// `InvalidInput` when the folder exists; `Io` with the path for everything that the disk refuses.
pub struct ParquetWriter {
    schema: SchemaRef,
    options: WriteOptions,
    part: Option<PartFile>,
    parts: usize,
    closed_bytes: u64,
    /// Dropped last, with the part in it closed.
    folder: NewFolder,
}

impl ParquetWriter {
    /// Makes the unfinished folder and the first part.
    pub fn create(folder: impl AsRef<Path>, schema: &SchemaRef, options: WriteOptions) -> Result<Self> {
        let folder = NewFolder::create(folder.as_ref())?;
        let schema = stored_schema(schema);
        let mut writer = ParquetWriter { folder, schema, options, part: None, parts: 0, closed_bytes: 0 };
        writer.open_part()?;
        Ok(writer)
    }

    /// Appends a batch of the writer's schema.
    pub fn write(&mut self, batch: &RecordBatch) -> Result<()> {
        if self.part.is_none() {
            self.open_part()?;
        }
        let Some(part) = &mut self.part else { return Ok(()) };
        part.write(batch, &self.schema, self.options.row_group_bytes)?;
        if part.bytes_written() >= self.options.part_bytes {
            self.close_part()?;
        }
        Ok(())
    }

    /// Bytes written to disk so far.
    pub fn bytes_written(&self) -> u64 {
        self.closed_bytes + self.part.as_ref().map_or(0, PartFile::bytes_written)
    }

    /// Closes the last part, syncs everything and gives the folder its name. Returns the bytes written.
    pub fn finish(mut self) -> Result<u64> {
        self.close_part()?;
        self.folder.finish()?;
        Ok(self.closed_bytes)
    }

    fn open_part(&mut self) -> Result<()> {
        self.part = Some(PartFile::create(self.folder.part(self.parts), &self.schema, &self.options)?);
        self.parts += 1;
        Ok(())
    }

    fn close_part(&mut self) -> Result<()> {
        if let Some(part) = self.part.take() {
            self.closed_bytes += part.close()?;
        }
        Ok(())
    }
}

#[cfg(all(test, target_os = "linux"))]
mod tests {
    use std::fs::File;
    use std::path::PathBuf;
    use std::sync::Arc;
    use std::{fs, io};

    use arrow::array::{ArrayRef, Int64Array};

    use crate::error::Error;

    use super::*;

    #[test]
    fn a_full_disk_is_an_io_error_with_the_path() {
        let folder = tempfile::tempdir().unwrap();
        let column: ArrayRef = Arc::new(Int64Array::from_iter_values(0..100_000));
        let batch = RecordBatch::try_from_iter([("n", column)]).unwrap();
        let out = folder.path().join("out");
        let mut writer = ParquetWriter::create(&out, &batch.schema(), WriteOptions::default()).unwrap();
        // /dev/full takes every open and refuses every write with ENOSPC.
        let full = File::options().write(true).open("/dev/full").unwrap();
        writer.part = Some(PartFile::start(full, PathBuf::from("/dev/full"), &writer.schema, &writer.options).unwrap());
        let error = writer.write(&batch).and_then(|()| writer.finish().map(|_| ())).unwrap_err();
        match &error {
            Error::Io { path, source } => {
                assert_eq!((path.as_str(), source.kind()), ("/dev/full", io::ErrorKind::StorageFull), "{error}");
            }
            other => panic!("{other}"),
        }
        assert!(fs::read_dir(folder.path()).unwrap().next().is_none(), "nothing is left");
    }
}
