//! Where batches come from.

use std::collections::VecDeque;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use arrow::array::{ArrayRef, LargeBinaryBuilder, RecordBatch, StringBuilder};
use arrow::datatypes::{DataType, Field, Schema, SchemaRef};

use crate::column::Batch;
use crate::error::{Error, Result};
use crate::image::image_decode::ImageFormat;
use crate::parquet::{ParquetReader, expand_paths};
use crate::storage;

use super::item::Origins;
use super::rows;

/// How large the batches of a source should be.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct BatchLimit {
    /// Bytes in Arrow's layout. A single row that is larger makes a batch of its own.
    pub bytes: u64,
    /// Rows.
    pub rows: usize,
}

/// A batch as read, with the origin of its rows.
#[derive(Clone, Debug)]
pub struct SourceBatch {
    /// The batch, on the host.
    pub batch: Batch,
    /// Where its rows came from.
    pub origins: Origins,
}

/// The start of a pipeline. Runs on a thread of its own.
pub trait Source: Send {
    /// The name in reports.
    fn name(&self) -> &str;

    /// The schema of every batch.
    fn schema(&self) -> SchemaRef;

    /// Number of rows in all, where it is known before reading.
    fn total_rows(&self) -> Option<u64>;

    /// Bytes that the next call of `next` may allocate: reserved in the ledger before it is called.
    fn bound(&self, limit: &BatchLimit) -> u64 {
        limit.bytes
    }

    /// The next batch, `None` at the end. An error ends the run.
    fn next(&mut self, limit: &BatchLimit) -> Result<Option<SourceBatch>>;
}

/// Reads Parquet files one after the other, a few rows at a time.
///
/// All files must have the columns of the first one, with the same types; see [`ParquetReader`].
pub struct ParquetSource {
    files: VecDeque<PathBuf>,
    current: Option<(Arc<str>, ParquetReader)>,
    columns: Option<Vec<String>>,
    schema: SchemaRef,
    total_rows: u64,
}

impl ParquetSource {
    /// Opens files, folders (all `*.parquet` in them, sorted) or patterns with `*`, `?` and `[..]`. Reads the footer of
    /// every file, so that an unreadable one is found before the run starts.
    pub fn open(paths: &[impl AsRef<Path>]) -> Result<Self> {
        let files = expand_paths(paths, &["parquet"])?;
        let first = ParquetReader::open(&files[0])?;
        let (schema, mut total_rows) = (first.schema().clone(), first.num_rows());
        for file in &files[1..] {
            let reader = ParquetReader::open(file)?;
            reader.check_schema(&schema)?;
            total_rows += reader.num_rows();
        }
        Ok(ParquetSource { files: files.into(), current: None, columns: None, schema, total_rows })
    }

    /// Reads only these columns, in this order; `InvalidInput` names a missing one and those that exist.
    pub fn columns(mut self, columns: &[impl AsRef<str>]) -> Result<Self> {
        let columns: Vec<String> = columns.iter().map(|name| name.as_ref().to_string()).collect();
        self.schema = ParquetReader::open(&self.files[0])?.columns(&columns)?.schema().clone();
        self.columns = Some(columns);
        Ok(self)
    }
}

impl Source for ParquetSource {
    fn name(&self) -> &str {
        "read parquet"
    }

    fn schema(&self) -> SchemaRef {
        self.schema.clone()
    }

    fn total_rows(&self) -> Option<u64> {
        Some(self.total_rows)
    }

    fn bound(&self, limit: &BatchLimit) -> u64 {
        // A batch is made of pieces of a quarter of its size and may run over by one of them.
        limit.bytes + limit.bytes / 4
    }

    fn next(&mut self, limit: &BatchLimit) -> Result<Option<SourceBatch>> {
        loop {
            if self.current.is_none() {
                let Some(file) = self.files.pop_front() else { return Ok(None) };
                let columns: Vec<&str> = self.schema.fields().iter().map(|field| field.name().as_str()).collect();
                let reader = ParquetReader::open(&file)?;
                reader.check_schema(&self.schema)?;
                self.current = Some((file.display().to_string().into(), reader.columns(&columns)?));
            }
            let Some((name, reader)) = &mut self.current else { continue };
            match reader.next_batch(limit.bytes, limit.rows)? {
                Some((first, batch)) => {
                    let origins = Origins::rows(name.clone(), first, batch.num_rows());
                    let batch = rows::relabel(&self.schema, &Batch::from_record_batch(&batch))?;
                    return Ok(Some(SourceBatch { batch, origins }));
                }
                None => self.current = None,
            }
        }
    }
}

/// Reads image files: columns `path` (utf8) and `image` (large binary, the file's bytes).
pub struct ImageSource {
    files: VecDeque<PathBuf>,
    read: u64,
    total: u64,
    schema: SchemaRef,
}

impl ImageSource {
    /// Opens files, folders (all `*.jpg`, `*.jpeg`, `*.jpe`, `*.png` and `*.webp` in them and below, sorted) or patterns.
    /// Nothing found is `InvalidInput`.
    pub fn open(paths: &[impl AsRef<Path>]) -> Result<Self> {
        let files = expand_paths(paths, &ImageFormat::EXTENSIONS)?;
        let fields = [Field::new("path", DataType::Utf8, false), Field::new("image", DataType::LargeBinary, true)];
        let (total, schema) = (files.len() as u64, Arc::new(Schema::new(Vec::from(fields))));
        Ok(ImageSource { files: files.into(), read: 0, total, schema })
    }
}

impl Source for ImageSource {
    fn name(&self) -> &str {
        "read images"
    }

    fn schema(&self) -> SchemaRef {
        self.schema.clone()
    }

    fn total_rows(&self) -> Option<u64> {
        Some(self.total)
    }

    fn next(&mut self, limit: &BatchLimit) -> Result<Option<SourceBatch>> {
        let (mut paths, mut images, mut origins) =
            (StringBuilder::new(), LargeBinaryBuilder::new(), Origins::default());
        let mut bytes = 0;
        while let Some(file) = self.files.front() {
            let size = std::fs::metadata(file).map_err(|e| Error::io(file, e))?.len();
            if origins.len() == limit.rows || (bytes > 0 && bytes + size > limit.bytes) {
                break;
            }
            let name = file.display().to_string();
            images.append_value(storage::read(file).map_err(|e| Error::io(file, e))?);
            origins.push(&name.as_str().into(), 0, 1);
            paths.append_value(name);
            bytes += size.max(1);
            self.read += 1;
            self.files.pop_front();
        }
        if origins.is_empty() {
            return Ok(None);
        }
        let columns: Vec<ArrayRef> = vec![Arc::new(paths.finish()), Arc::new(images.finish())];
        let batch = RecordBatch::try_new(self.schema.clone(), columns).map_err(|e| Error::arrow("read images", e))?;
        Ok(Some(SourceBatch { batch: Batch::from_record_batch(&batch), origins }))
    }
}

/// Batches that are in memory already, cut to the size asked for. Their rows count from 0 over all batches, under the
/// source name `memory`.
pub struct MemorySource {
    batches: VecDeque<Batch>,
    schema: SchemaRef,
    read: u64,
    total: u64,
}

impl MemorySource {
    /// Host batches of one schema.
    pub fn new(schema: SchemaRef, batches: Vec<Batch>) -> Result<Self> {
        let batches = batches.iter().map(|b| rows::relabel(&schema, b)).collect::<Result<VecDeque<_>>>()?;
        let total = batches.iter().map(|b| b.num_rows() as u64).sum();
        Ok(MemorySource { batches, schema, read: 0, total })
    }
}

impl Source for MemorySource {
    fn name(&self) -> &str {
        "memory"
    }

    fn schema(&self) -> SchemaRef {
        self.schema.clone()
    }

    fn total_rows(&self) -> Option<u64> {
        Some(self.total)
    }

    fn next(&mut self, limit: &BatchLimit) -> Result<Option<SourceBatch>> {
        let Some(batch) = self.batches.pop_front() else { return Ok(None) };
        let per_row = (rows::bytes(&batch) / batch.num_rows().max(1) as u64).max(1);
        let mut fit = ((limit.bytes / per_row) as usize).clamp(1, limit.rows.max(1)).min(batch.num_rows());
        let host = batch.to_record_batch()?;
        while fit > 1 && rows::bytes(&Batch::from_record_batch(&host.slice(0, fit))) > self.bound(limit) {
            fit = fit.div_ceil(2);
        }
        let head = if batch.num_rows() > fit {
            let rest = host.slice(fit, host.num_rows() - fit);
            self.batches.push_front(Batch::from_record_batch(&rest));
            Batch::from_record_batch(&host.slice(0, fit))
        } else {
            batch
        };
        let origins = Origins::rows("memory".into(), self.read, head.num_rows());
        self.read += head.num_rows() as u64;
        Ok(Some(SourceBatch { batch: head, origins }))
    }
}
