//! One Parquet file for each partition, in a folder that is complete or not there.

use std::path::Path;
use std::sync::Arc;

use arrow::array::{Array, ArrayRef, AsArray, RecordBatch, RecordBatchOptions, UInt32Array};
use arrow::compute::{can_cast_types, cast, take_record_batch};
use arrow::datatypes::{DataType, SchemaRef};

use crate::error::{Error, Result};

use super::file::{PartFile, stored_schema};
use super::folder::NewFolder;
use super::{OP, WriteOptions};

/// What an unfinished file holds beside its rows: a write buffer, and the writer itself.
const FILE_BYTES: u64 = 16 << 10;
/// What the footer of an unfinished file holds for each column of a row group.
const CHUNK_BYTES: u64 = 1 << 10;

/// Writes `part-00000.parquet` for the rows of partition 0, and so on: one file for each partition, the empty ones too, each
/// with its rows in the order in which they came. Folder and files come to be as [`ParquetWriter`](super::ParquetWriter)'s
/// do.
///
/// Rows wait in memory, those of a partition together, until `memory` bytes are held; then the partition with the most
/// rows in memory is written as a row group. One file is open and one row group is encoded at a time, however many
/// partitions there are. So row groups hold at least about `memory` bytes divided by the number of partitions.
///
/// # Errors
/// `InvalidInput` when the folder exists, for no partitions, when `memory` is not enough for so many files, or for what
/// the footers of their row groups have come to, and for a row whose partition there is not; `Io` with the path for
/// everything that the disk refuses.
pub struct PartitionedWriter {
    schema: SchemaRef,
    options: WriteOptions,
    parts: Vec<Part>,
    memory: u64,
    /// Bytes of all rows that wait, and of all files.
    waiting: u64,
    held: u64,
    written: u64,
    /// Dropped last, with the files in it closed.
    folder: NewFolder,
}

/// A partition's rows that wait, and its file once some are written.
#[derive(Default)]
struct Part {
    rows: Vec<RecordBatch>,
    waiting: u64,
    file: Option<PartFile>,
}

impl PartitionedWriter {
    /// Makes the unfinished folder. [`WriteOptions::part_bytes`] means nothing here.
    pub fn create(
        folder: impl AsRef<Path>,
        schema: &SchemaRef,
        partitions: usize,
        memory: u64,
        options: WriteOptions,
    ) -> Result<Self> {
        let least = 4 * FILE_BYTES * partitions as u64;
        if partitions == 0 || memory < least {
            let why = match partitions {
                0 => "there are no partitions: ask for one at least".to_owned(),
                n => format!("{n} partitions need {least} bytes of memory for their files, not {memory}"),
            };
            return Err(Error::invalid(OP, why));
        }
        let parts = std::iter::repeat_with(Part::default).take(partitions).collect();
        let (folder, schema) = (NewFolder::create(folder.as_ref())?, stored_schema(schema));
        Ok(PartitionedWriter { folder, schema, options, parts, memory, waiting: 0, held: 0, written: 0 })
    }

    /// Appends the rows of a batch of the writer's schema, each to the partition in `ids`; a null is in partition 0.
    pub fn write(&mut self, batch: &RecordBatch, ids: &UInt32Array) -> Result<()> {
        if ids.len() != batch.num_rows() {
            return Err(Error::invalid(OP, format!("{} rows, {} partitions of rows", batch.num_rows(), ids.len())));
        }
        for (partition, rows) in self.rows_of(ids)? {
            let rows = own_rows(batch, &UInt32Array::from(rows))?;
            let bytes = rows.get_array_memory_size() as u64;
            let part = &mut self.parts[partition];
            part.rows.push(rows);
            part.waiting += bytes;
            self.waiting += bytes;
            while self.waiting > 0 && self.waiting + self.held > self.memory {
                self.write_largest()?;
            }
        }
        Ok(())
    }

    /// Bytes written to disk so far.
    pub fn bytes_written(&self) -> u64 {
        self.written
    }

    /// Bytes that wait in memory: never more than `memory` after a write.
    pub fn bytes_held(&self) -> u64 {
        self.waiting + self.held
    }

    /// Writes what waits, closes and syncs all files and gives the folder its name. Returns the bytes written.
    pub fn finish(mut self) -> Result<u64> {
        let mut bytes = 0;
        for partition in 0..self.parts.len() {
            self.write_part(partition)?;
            let file = match self.parts[partition].file.take() {
                Some(file) => file,
                None => PartFile::create(self.folder.part(partition), &self.schema, &self.options)?,
            };
            bytes += file.close()?;
        }
        self.folder.finish()?;
        Ok(bytes)
    }

    /// The rows of each partition that has some, in order.
    fn rows_of(&self, ids: &UInt32Array) -> Result<Vec<(usize, Vec<u32>)>> {
        let mut rows = vec![Vec::new(); self.parts.len()];
        for (row, id) in ids.iter().enumerate() {
            let id = id.unwrap_or(0) as usize;
            let Some(rows) = rows.get_mut(id) else {
                let why = format!("partition {id} of {}, from 0 on", self.parts.len());
                return Err(Error::InvalidInput { op: OP, column: None, row: Some(row as u64), why });
            };
            rows.push(row as u32);
        }
        Ok(rows.into_iter().enumerate().filter(|(_, rows)| !rows.is_empty()).collect())
    }

    fn write_largest(&mut self) -> Result<()> {
        let largest = (0..self.parts.len()).max_by_key(|&i| self.parts[i].waiting);
        self.write_part(largest.unwrap_or(0))?;
        if self.held > self.memory / 2 {
            let why = format!(
                "the footers of {} files with many small row groups take {} of {} bytes: raise the budget, or make fewer \
                 partitions",
                self.parts.len(),
                self.held,
                self.memory
            );
            return Err(Error::invalid(OP, why));
        }
        Ok(())
    }

    /// Writes the rows of a partition that wait, as a row group or several, and parks its file.
    fn write_part(&mut self, partition: usize) -> Result<()> {
        let part = &mut self.parts[partition];
        if part.rows.is_empty() {
            return Ok(());
        }
        let file = match &mut part.file {
            Some(file) => file,
            none => {
                self.held += FILE_BYTES;
                let path = self.folder.part(partition);
                none.insert(PartFile::create(path, &self.schema, &self.options)?)
            }
        };
        let (bytes, groups) = (file.bytes_written(), file.row_groups());
        for rows in std::mem::take(&mut part.rows) {
            file.write(&rows, &self.schema, self.options.row_group_bytes)?;
        }
        file.park()?;
        self.written += file.bytes_written() - bytes;
        self.held += (file.row_groups() - groups) as u64 * CHUNK_BYTES * self.schema.fields().len() as u64;
        self.waiting -= std::mem::take(&mut part.waiting);
        Ok(())
    }
}

/// The rows in memory of their own, so that it is free once they are written: views and dictionaries without what they
/// share with the batch.
fn own_rows(batch: &RecordBatch, rows: &UInt32Array) -> Result<RecordBatch> {
    let arrow = |e| Error::arrow(OP, e);
    let taken = take_record_batch(batch, rows).map_err(arrow)?;
    let own = |column: &ArrayRef| -> Result<ArrayRef> {
        match column.data_type() {
            DataType::Utf8View => Ok(Arc::new(column.as_string_view().gc())),
            DataType::BinaryView => Ok(Arc::new(column.as_binary_view().gc())),
            of @ DataType::Dictionary(_, values) if can_cast_types(values, of) => {
                let values = cast(column, values).map_err(arrow)?;
                cast(&values, of).map_err(arrow)
            }
            _ => Ok(column.clone()),
        }
    };
    let columns = taken.columns().iter().map(own).collect::<Result<_>>()?;
    let options = RecordBatchOptions::new().with_row_count(Some(rows.len()));
    RecordBatch::try_new_with_options(taken.schema(), columns, &options).map_err(arrow)
}
