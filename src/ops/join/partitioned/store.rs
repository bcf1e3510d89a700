//! Batches in memory, and from there in files.

use std::fmt;
use std::fs::File;
use std::io::{BufReader, BufWriter};
use std::path::{Path, PathBuf};

use arrow::array::RecordBatch;
use arrow::compute::concat_batches;
use arrow::datatypes::{DataType, SchemaRef};
use arrow::error::ArrowError;
use arrow::ipc::reader::StreamReader;
use arrow::ipc::writer::StreamWriter;
use tempfile::TempDir;

use super::FAN_IN;
use crate::error::{Error, Result};
use crate::ops::join::OP;

/// What all stores of a join share: the bytes that they have in memory, and the folder of their files.
#[derive(Debug)]
pub(super) struct Pool {
    /// Bytes that all of the join may have in memory.
    pub(super) memory: u64,
    used: u64,
    peak: u64,
    spilled: u64,
    parent: PathBuf,
    folder: Option<TempDir>,
    files: u64,
}

impl Pool {
    pub(super) fn new(memory: u64, parent: PathBuf) -> Self {
        Pool { memory, used: 0, peak: 0, spilled: 0, parent, folder: None, files: 0 }
    }

    /// Counts bytes that are in memory until [`Pool::give`].
    pub(super) fn take(&mut self, bytes: u64) {
        self.used += bytes;
        self.peak = self.peak.max(self.used);
    }

    pub(super) fn give(&mut self, bytes: u64) {
        self.used -= bytes;
    }

    pub(super) fn used(&self) -> u64 {
        self.used
    }

    pub(super) fn peak(&self) -> u64 {
        self.peak
    }

    pub(super) fn spilled(&self) -> u64 {
        self.spilled
    }

    /// Bytes of the batches in which rows are kept and read, of which there may be one of each run at a time.
    pub(super) fn piece(&self) -> u64 {
        self.memory / (4 * FAN_IN as u64)
    }

    fn new_file(&mut self) -> Result<PathBuf> {
        if self.folder.is_none() {
            let made = tempfile::Builder::new().prefix("warpline-join-").tempdir_in(&self.parent);
            self.folder = Some(made.map_err(|e| Error::io(&self.parent, e))?);
        }
        self.files += 1;
        let folder = self.folder.as_ref().map_or(Path::new(""), TempDir::path);
        Ok(folder.join(format!("{}.arrows", self.files)))
    }
}

/// Batches of one schema in the order in which they came: the first ones in a file, the last ones in memory.
#[derive(Debug)]
pub(super) struct Store {
    schema: SchemaRef,
    batches: Vec<RecordBatch>,
    /// Bytes of those.
    bytes: u64,
    /// Bytes and rows of all.
    pub(super) total_bytes: u64,
    pub(super) rows: u64,
    file: Option<Written>,
}

struct Written {
    path: PathBuf,
    writer: StreamWriter<BufWriter<File>>,
}

impl fmt::Debug for Written {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.path.fmt(f)
    }
}

impl Store {
    pub(super) fn new(schema: SchemaRef) -> Self {
        Store { schema, batches: Vec::new(), bytes: 0, total_bytes: 0, rows: 0, file: None }
    }

    /// Bytes in memory.
    pub(super) fn bytes(&self) -> u64 {
        self.bytes
    }

    /// Keeps a batch in memory.
    pub(super) fn push(&mut self, pool: &mut Pool, batch: RecordBatch) {
        if batch.num_rows() == 0 {
            return;
        }
        let bytes = size(&batch);
        pool.take(bytes);
        self.bytes += bytes;
        self.total_bytes += bytes;
        self.rows += batch.num_rows() as u64;
        self.batches.push(batch);
    }

    /// Moves what is in memory to the file.
    pub(super) fn spill(&mut self, pool: &mut Pool) -> Result<()> {
        if self.batches.is_empty() {
            return Ok(());
        }
        let mut written = match self.file.take() {
            Some(written) => written,
            None => {
                let path = pool.new_file()?;
                let file = File::create_new(&path).map_err(|e| Error::io(&path, e))?;
                let writer = StreamWriter::try_new(BufWriter::new(file), &self.schema).map_err(|e| at(&path, e))?;
                Written { path, writer }
            }
        };
        let batches = std::mem::take(&mut self.batches).into_iter().map(Ok);
        for batch in Pieces::new(&self.schema, batches, pool.piece()) {
            written.writer.write(&batch?).map_err(|e| at(&written.path, e))?;
        }
        self.file = Some(written);
        pool.give(self.bytes);
        pool.spilled += self.bytes;
        self.bytes = 0;
        Ok(())
    }

    /// No more batches will come: what the file's writer still holds goes to the file.
    pub(super) fn close(&mut self) -> Result<()> {
        match &mut self.file {
            Some(written) => written.writer.finish().map_err(|e| at(&written.path, e)),
            None => Ok(()),
        }
    }

    /// The batches of a closed store, those of the file read one at a time, small ones put together.
    pub(super) fn read(&self, pool: &Pool) -> Result<Batches> {
        let file = match &self.file {
            None => None,
            Some(Written { path, .. }) => {
                let file = File::open(path).map_err(|e| Error::io(path, e))?;
                Some((path.clone(), StreamReader::try_new_buffered(file, None).map_err(|e| at(path, e))?))
            }
        };
        let stored = Stored { file, memory: self.batches.clone().into_iter() };
        Ok(Pieces::new(&self.schema, stored, pool.piece()))
    }

    /// Gives back the memory and removes the file.
    pub(super) fn discard(self, pool: &mut Pool) -> Result<()> {
        pool.give(self.bytes);
        match self.file {
            Some(Written { path, .. }) => std::fs::remove_file(&path).map_err(|e| Error::io(&path, e)),
            None => Ok(()),
        }
    }
}

/// Batches in which those of a [`Store`] are read.
pub(super) type Batches = Pieces<Stored>;

/// Batches one behind the other, as many together as a number of bytes holds: a partition gets some rows of each batch, and
/// what is done for each batch, not for each row, would take most of the time.
#[derive(Debug)]
pub(super) struct Pieces<I> {
    schema: SchemaRef,
    batches: I,
    /// The first batch of the next piece.
    next: Option<RecordBatch>,
    most: u64,
}

impl<I: Iterator<Item = Result<RecordBatch>>> Pieces<I> {
    /// Batches with dictionaries stay alone, as those of several may be more values than a key can tell apart.
    fn new(schema: &SchemaRef, batches: I, most: u64) -> Self {
        let alone = schema.flattened_fields().iter().any(|field| matches!(field.data_type(), DataType::Dictionary(..)));
        Pieces { schema: schema.clone(), batches, next: None, most: if alone { 0 } else { most } }
    }

    fn piece(&mut self) -> Result<Option<RecordBatch>> {
        let Some(first) = self.next.take().map(Ok).or_else(|| self.batches.next()).transpose()? else {
            return Ok(None);
        };
        let mut bytes = size(&first);
        let mut piece = vec![first];
        for batch in self.batches.by_ref() {
            let batch = batch?;
            bytes = bytes.saturating_add(size(&batch));
            if bytes > self.most {
                self.next = Some(batch);
                break;
            }
            piece.push(batch);
        }
        match piece.len() {
            1 => Ok(piece.pop()),
            _ => concat_batches(&self.schema, &piece).map(Some).map_err(|e| Error::arrow(OP, e)),
        }
    }
}

impl<I: Iterator<Item = Result<RecordBatch>>> Iterator for Pieces<I> {
    type Item = Result<RecordBatch>;

    fn next(&mut self) -> Option<Self::Item> {
        self.piece().transpose()
    }
}

/// The batches of a [`Store`], in their order.
#[derive(Debug)]
pub(super) struct Stored {
    file: Option<(PathBuf, StreamReader<BufReader<File>>)>,
    memory: std::vec::IntoIter<RecordBatch>,
}

impl Iterator for Stored {
    type Item = Result<RecordBatch>;

    fn next(&mut self) -> Option<Self::Item> {
        if let Some((path, reader)) = &mut self.file {
            match reader.next() {
                Some(batch) => return Some(batch.map_err(|e| at(path, e))),
                None => self.file = None,
            }
        }
        self.memory.next().map(Ok)
    }
}

/// An error of a spilled file; what the system says comes with its path.
fn at(path: &Path, error: ArrowError) -> Error {
    match error {
        ArrowError::IoError(_, source) => Error::io(path, source),
        other => Error::arrow(OP, other),
    }
}

/// Bytes of a batch's buffers.
pub(super) fn size(batch: &RecordBatch) -> u64 {
    batch.get_array_memory_size() as u64
}
