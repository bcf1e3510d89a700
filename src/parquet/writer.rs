//! Writes Parquet parts into a folder that is complete or not there.

use std::fs::{self, File};
use std::io::{self, Write};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{SystemTime, UNIX_EPOCH};

use arrow::array::{Array, ArrayRef, AsArray, FixedSizeListArray, RecordBatch, RecordBatchOptions};
use arrow::datatypes::{DataType, Schema, SchemaRef};
use parking_lot::Mutex;
use parquet::arrow::ArrowWriter;
use parquet::basic::{Compression, ZstdLevel};
use parquet::errors::ParquetError;
use parquet::file::properties::WriterProperties;

use crate::error::{Error, Result};

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
    folder: PathBuf,
    partial: PathBuf,
    schema: SchemaRef,
    options: WriteOptions,
    part: Option<(ArrowWriter<Tracked>, Arc<Fault>, PathBuf)>,
    parts: usize,
    closed_bytes: u64,
    finished: bool,
}

impl ParquetWriter {
    /// Makes the unfinished folder and the first part.
    pub fn create(folder: impl AsRef<Path>, schema: &SchemaRef, options: WriteOptions) -> Result<Self> {
        let folder = normal(folder.as_ref())?;
        refuse_existing(&folder)?;
        let partial = partial_name(&folder);
        fs::create_dir_all(&partial).map_err(|e| Error::io(&partial, e))?;
        let mut writer = ParquetWriter {
            folder,
            partial,
            schema: stored_schema(schema),
            options,
            part: None,
            parts: 0,
            closed_bytes: 0,
            finished: false,
        };
        writer.open_part()?;
        Ok(writer)
    }

    /// Appends a batch of the writer's schema.
    pub fn write(&mut self, batch: &RecordBatch) -> Result<()> {
        if self.part.is_none() {
            self.open_part()?;
        }
        let Some((writer, fault, path)) = &mut self.part else { return Ok(()) };
        let batch = relabel(batch, &self.schema)?;
        writer.write(&batch).map_err(|e| write_error(path, fault, e))?;
        if writer.in_progress_size() >= self.options.row_group_bytes {
            writer.flush().map_err(|e| write_error(path, fault, e))?;
        }
        if writer.bytes_written() as u64 >= self.options.part_bytes {
            self.close_part()?;
        }
        Ok(())
    }

    /// Bytes written to disk so far.
    pub fn bytes_written(&self) -> u64 {
        self.closed_bytes + self.part.as_ref().map_or(0, |(writer, _, _)| writer.bytes_written() as u64)
    }

    /// Closes the last part, syncs everything and gives the folder its name. Returns the bytes written.
    pub fn finish(mut self) -> Result<u64> {
        self.close_part()?;
        sync_folder(&self.partial)?;
        refuse_existing(&self.folder)?;
        fs::rename(&self.partial, &self.folder).map_err(|e| Error::io(&self.folder, e))?;
        self.finished = true;
        if let Some(parent) = self.folder.parent() {
            sync_folder(if parent.as_os_str().is_empty() { Path::new(".") } else { parent })?;
        }
        Ok(self.closed_bytes)
    }

    fn open_part(&mut self) -> Result<()> {
        let path = self.partial.join(format!("part-{:05}.parquet", self.parts));
        let file = File::create_new(&path).map_err(|e| Error::io(&path, e))?;
        self.start_part(file, path)
    }

    fn start_part(&mut self, file: File, path: PathBuf) -> Result<()> {
        let fault = Arc::new(Fault::default());
        let level = ZstdLevel::try_new(1).map_err(|e| Error::arrow(OP, e.into()))?;
        let properties = WriterProperties::builder()
            .set_compression(Compression::ZSTD(level))
            .set_max_row_group_row_count(Some(self.options.row_group_rows.max(1)))
            .set_created_by(concat!("warpline version ", env!("CARGO_PKG_VERSION")).to_string())
            .build();
        let tracked = Tracked { file, fault: fault.clone() };
        let writer = ArrowWriter::try_new(tracked, self.schema.clone(), Some(properties))
            .map_err(|e| write_error(&path, &fault, e))?;
        self.part = Some((writer, fault, path));
        self.parts += 1;
        Ok(())
    }

    fn close_part(&mut self) -> Result<()> {
        let Some((writer, fault, path)) = self.part.take() else { return Ok(()) };
        let tracked = writer.into_inner().map_err(|e| write_error(&path, &fault, e))?;
        tracked.file.sync_all().map_err(|e| Error::io(&path, e))?;
        self.closed_bytes += tracked.file.metadata().map_err(|e| Error::io(&path, e))?.len();
        Ok(())
    }
}

impl Drop for ParquetWriter {
    fn drop(&mut self) {
        if !self.finished {
            self.part = None;
            // Nothing to be done about a failure here: the name says that the folder is not a result.
            let _ = fs::remove_dir_all(&self.partial);
        }
    }
}

/// The schema of the files: as given, but with elements of tensors that may be null. Arrow C++ (hence pyarrow) takes
/// `arrow.fixed_shape_tensor` for that type only over a list of nullable elements.
fn stored_schema(schema: &SchemaRef) -> SchemaRef {
    let fields = schema.fields().iter().map(|field| {
        let tensor = field.extension_type_name() == Some("arrow.fixed_shape_tensor");
        match field.data_type() {
            DataType::FixedSizeList(item, size) if tensor && !item.is_nullable() => {
                let item = Arc::new(item.as_ref().clone().with_nullable(true));
                Arc::new(field.as_ref().clone().with_data_type(DataType::FixedSizeList(item, *size)))
            }
            _ => field.clone(),
        }
    });
    Arc::new(Schema::new_with_metadata(fields.collect::<Vec<_>>(), schema.metadata().clone()))
}

/// The columns of a batch under the schema of the files.
fn relabel(batch: &RecordBatch, schema: &SchemaRef) -> Result<RecordBatch> {
    let columns = schema.fields().iter().zip(batch.columns()).map(|(field, column)| match field.data_type() {
        DataType::FixedSizeList(item, size) if column.data_type() != field.data_type() => {
            let list = column.as_fixed_size_list_opt().filter(|list| list.value_length() == *size);
            let list = list.map(|list| (list.values().clone(), list.nulls().cloned()));
            let (values, nulls) =
                list.ok_or_else(|| Error::invalid_column(OP, field.name(), "not the type declared"))?;
            let list = FixedSizeListArray::try_new(item.clone(), *size, values, nulls);
            list.map(|list| Arc::new(list) as ArrayRef).map_err(|e| Error::arrow(OP, e))
        }
        _ => Ok(column.clone()),
    });
    let columns = columns.collect::<Result<Vec<_>>>()?;
    let options = RecordBatchOptions::new().with_row_count(Some(batch.num_rows()));
    RecordBatch::try_new_with_options(schema.clone(), columns, &options).map_err(|e| Error::arrow(OP, e))
}

/// The folder without a trailing slash, so that the unfinished one lies beside it.
fn normal(folder: &Path) -> Result<PathBuf> {
    match folder.file_name() {
        Some(name) => Ok(folder.with_file_name(name)),
        None => Err(Error::invalid(OP, format!("'{}' does not name an output folder", folder.display()))),
    }
}

fn refuse_existing(folder: &Path) -> Result<()> {
    match fs::symlink_metadata(folder) {
        Ok(_) => {
            let why = format!("{} exists already: choose another output folder or remove it", folder.display());
            Err(Error::invalid(OP, why))
        }
        Err(e) if e.kind() == io::ErrorKind::NotFound => Ok(()),
        Err(e) => Err(Error::io(folder, e)),
    }
}

/// `FOLDER.partial-RUN`: process, time and a count make RUN unique.
fn partial_name(folder: &Path) -> PathBuf {
    static COUNT: AtomicU64 = AtomicU64::new(0);
    let time = SystemTime::now().duration_since(UNIX_EPOCH).map_or(0, |d| d.as_millis());
    let (process, count) = (std::process::id(), COUNT.fetch_add(1, Ordering::Relaxed));
    let mut name = folder.file_name().unwrap_or_default().to_os_string();
    name.push(format!(".partial-{time:x}-{process:x}-{count:x}"));
    folder.with_file_name(name)
}

fn sync_folder(folder: &Path) -> Result<()> {
    File::open(folder).and_then(|f| f.sync_all()).map_err(|e| Error::io(folder, e))
}

/// The last I/O error of a file: the `parquet` crate turns it into text, and its kind (disk full) would be lost.
#[derive(Default)]
struct Fault(Mutex<Option<io::Error>>);

struct Tracked {
    file: File,
    fault: Arc<Fault>,
}

impl Tracked {
    fn note<T>(&self, result: io::Result<T>) -> io::Result<T> {
        result.inspect_err(|e| {
            let copy = match e.raw_os_error() {
                Some(code) => io::Error::from_raw_os_error(code),
                None => io::Error::new(e.kind(), e.to_string()),
            };
            *self.fault.0.lock() = Some(copy);
        })
    }
}

impl Write for Tracked {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        let result = self.file.write(bytes);
        self.note(result)
    }

    fn flush(&mut self) -> io::Result<()> {
        let result = self.file.flush();
        self.note(result)
    }
}

fn write_error(path: &Path, fault: &Fault, error: ParquetError) -> Error {
    match fault.0.lock().take() {
        Some(io) => Error::io(path, io),
        None => Error::arrow(format!("{OP} {}", path.display()), error.into()),
    }
}

#[cfg(all(test, target_os = "linux"))]
mod tests {
    use arrow::array::Int64Array;

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
        writer.start_part(full, PathBuf::from("/dev/full")).unwrap();
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
