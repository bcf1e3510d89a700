//! One Parquet file while it is written.

use std::fs::File;
use std::io::{self, Write};
use std::path::{Path, PathBuf};
use std::sync::Arc;

use arrow::array::{Array, ArrayRef, AsArray, FixedSizeListArray, RecordBatch, RecordBatchOptions};
use arrow::datatypes::{DataType, Schema, SchemaRef};
use parking_lot::Mutex;
use parquet::arrow::ArrowWriter;
use parquet::basic::{Compression, ZstdLevel};
use parquet::errors::ParquetError;
use parquet::file::properties::WriterProperties;

use crate::error::{Error, Result};

use super::{OP, WriteOptions};

/// A file under way, compressed with zstd; synced when it is closed.
pub(super) struct PartFile {
    writer: ArrowWriter<Tracked>,
    fault: Arc<Fault>,
    path: PathBuf,
}

impl PartFile {
    /// A new file of this [`stored_schema`].
    pub(super) fn create(path: PathBuf, schema: &SchemaRef, options: &WriteOptions) -> Result<Self> {
        let file = File::create_new(&path).map_err(|e| Error::io(&path, e))?;
        Self::start(file, path, schema, options)
    }

    pub(super) fn start(file: File, path: PathBuf, schema: &SchemaRef, options: &WriteOptions) -> Result<Self> {
        let fault = Arc::new(Fault::default());
        let level = ZstdLevel::try_new(1).map_err(|e| Error::arrow(OP, e.into()))?;
        let properties = WriterProperties::builder()
            .set_compression(Compression::ZSTD(level))
            .set_max_row_group_row_count(Some(options.row_group_rows.max(1)))
            .set_created_by(concat!("warpline version ", env!("CARGO_PKG_VERSION")).to_string())
            .build();
        let tracked = Tracked { file: Some(file), path: path.clone(), fault: fault.clone() };
        let writer = ArrowWriter::try_new(tracked, schema.clone(), Some(properties))
            .map_err(|e| write_error(&path, &fault, e))?;
        Ok(PartFile { writer, fault, path })
    }

    /// Appends a batch; ends the row group when about `row_group_bytes` encoded bytes wait in memory.
    pub(super) fn write(&mut self, batch: &RecordBatch, schema: &SchemaRef, row_group_bytes: usize) -> Result<()> {
        let batch = relabel(batch, schema)?;
        self.writer.write(&batch).map_err(|e| write_error(&self.path, &self.fault, e))?;
        if self.writer.in_progress_size() >= row_group_bytes {
            self.end_row_group()?;
        }
        Ok(())
    }

    fn end_row_group(&mut self) -> Result<()> {
        self.writer.flush().map_err(|e| write_error(&self.path, &self.fault, e))
    }

    /// Ends the row group and closes the file until more is written.
    pub(super) fn park(&mut self) -> Result<()> {
        self.end_row_group()?;
        self.writer.sync().map_err(|e| Error::io(&self.path, e))?;
        self.writer.inner_mut().file = None;
        Ok(())
    }

    pub(super) fn bytes_written(&self) -> u64 {
        self.writer.bytes_written() as u64
    }

    pub(super) fn row_groups(&self) -> usize {
        self.writer.flushed_row_groups().len()
    }

    /// Writes the footer and syncs the file. Returns its length.
    pub(super) fn close(self) -> Result<u64> {
        let mut tracked = self.writer.into_inner().map_err(|e| write_error(&self.path, &self.fault, e))?;
        let file = tracked.open().map_err(|e| Error::io(&self.path, e))?;
        file.sync_all().map_err(|e| Error::io(&self.path, e))?;
        Ok(file.metadata().map_err(|e| Error::io(&self.path, e))?.len())
    }
}

/// The schema of the files: as given, but with elements of tensors that may be null. Arrow C++ (hence pyarrow) takes
/// `arrow.fixed_shape_tensor` for that type only over a list of nullable elements.
pub(super) fn stored_schema(schema: &SchemaRef) -> SchemaRef {
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

/// The last I/O error of a file: the `parquet` crate turns it into text, and its kind (disk full) would be lost.
#[derive(Default)]
struct Fault(Mutex<Option<io::Error>>);

/// A file that is open while something is written to it.
struct Tracked {
    file: Option<File>,
    path: PathBuf,
    fault: Arc<Fault>,
}

impl Tracked {
    /// The file, opened again where it was parked.
    fn open(&mut self) -> io::Result<&mut File> {
        if self.file.is_none() {
            self.file = Some(File::options().append(true).open(&self.path)?);
        }
        self.file.as_mut().ok_or_else(|| io::ErrorKind::NotFound.into())
    }

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
        let result = self.open().and_then(|file| file.write(bytes));
        self.note(result)
    }

    fn flush(&mut self) -> io::Result<()> {
        let result = self.file.as_mut().map_or(Ok(()), File::flush);
        self.note(result)
    }
}

fn write_error(path: &Path, fault: &Fault, error: ParquetError) -> Error {
    match fault.0.lock().take() {
        Some(io) => Error::io(path, io),
        None => Error::arrow(format!("{OP} {}", path.display()), error.into()),
    }
}
