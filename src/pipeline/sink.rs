//! Where results go.

use std::path::{Path, PathBuf};
use std::sync::Arc;

use arrow::array::AsArray;
use arrow::datatypes::{DataType, SchemaRef, UInt32Type};

use crate::column::Batch;
use crate::error::{Error, Result};
use crate::parquet::{ParquetWriter, PartitionedWriter, WriteOptions};

use super::bytes::Bytes;
use super::stages::find;

/// The end of a pipeline. Runs on the thread that started the run; a sink that is dropped before
/// [`finish`](Sink::finish) must leave nothing that looks complete.
pub trait Sink {
    /// The name in reports.
    fn name(&self) -> &str;

    /// Called once, before anything is read, with the schema of all batches to come.
    fn open(&mut self, schema: &SchemaRef) -> Result<()>;

    /// Bytes that the sink itself holds from the start of the run to its end, beside the batch that it is given: taken off
    /// the budget before the run. None unless overridden.
    fn held(&self) -> u64 {
        0
    }

    /// Takes the next batch: on the host, never empty. Returns the bytes written, which may lag behind.
    fn write(&mut self, batch: Batch) -> Result<u64>;

    /// Called once after the last batch of a run without errors. Returns where the output is, for sinks that write
    /// files, and the bytes written since the last `write`.
    fn finish(&mut self) -> Result<(Option<PathBuf>, u64)>;
}

/// Writes Parquet parts into a folder that appears under its name only when it is complete; see [`ParquetWriter`].
pub struct ParquetSink {
    folder: PathBuf,
    options: WriteOptions,
    writer: Option<ParquetWriter>,
    counted: u64,
}

impl ParquetSink {
    /// A sink into this folder, which must not exist yet.
    pub fn new(folder: impl AsRef<Path>, options: WriteOptions) -> Self {
        ParquetSink { folder: folder.as_ref().to_path_buf(), options, writer: None, counted: 0 }
    }

    fn newly_written(&mut self, total: u64) -> u64 {
        let new = total.saturating_sub(self.counted);
        self.counted = total;
        new
    }
}

impl Sink for ParquetSink {
    fn name(&self) -> &str {
        "write parquet"
    }

    fn open(&mut self, schema: &SchemaRef) -> Result<()> {
        self.writer = Some(ParquetWriter::create(&self.folder, schema, self.options.clone())?);
        Ok(())
    }

    fn write(&mut self, batch: Batch) -> Result<u64> {
        let Some(writer) = &mut self.writer else { return Ok(0) };
        writer.write(&batch.to_record_batch()?)?;
        let total = writer.bytes_written();
        Ok(self.newly_written(total))
    }

    fn finish(&mut self) -> Result<(Option<PathBuf>, u64)> {
        let Some(writer) = self.writer.take() else { return Ok((None, 0)) };
        let total = writer.finish()?;
        Ok((Some(self.folder.clone()), self.newly_written(total)))
    }
}

const PARTITIONS: &str = "write partitions";

/// Writes one Parquet file for each partition into a folder that appears under its name only when it is complete; see
/// [`PartitionedWriter`]. A column of the batches tells the partitions, as
/// [`PartitionStage`](super::stages::PartitionStage) makes it, and is not written.
pub struct PartitionedSink {
    folder: PathBuf,
    column: String,
    partitions: usize,
    memory: u64,
    options: WriteOptions,
    /// Where the column is, and the columns that are written.
    place: usize,
    kept: Vec<usize>,
    writer: Option<PartitionedWriter>,
    counted: u64,
}

impl PartitionedSink {
    /// A sink into this folder, which must not exist yet, of `partitions` files, that holds rows of `memory` bytes.
    pub fn new(
        folder: impl AsRef<Path>,
        column: &str,
        partitions: usize,
        memory: Bytes,
        options: WriteOptions,
    ) -> Self {
        PartitionedSink {
            folder: folder.as_ref().to_path_buf(),
            column: column.to_owned(),
            partitions,
            memory: memory.0,
            options,
            place: 0,
            kept: Vec::new(),
            writer: None,
            counted: 0,
        }
    }

    fn newly_written(&mut self, total: u64) -> u64 {
        total.saturating_sub(std::mem::replace(&mut self.counted, total))
    }
}

impl Sink for PartitionedSink {
    fn name(&self) -> &str {
        PARTITIONS
    }

    fn open(&mut self, schema: &SchemaRef) -> Result<()> {
        self.place = find(PARTITIONS, schema, &self.column)?;
        if schema.field(self.place).data_type() != &DataType::UInt32 {
            let why = format!("partitions are {}, they must be UInt32", schema.field(self.place).data_type());
            return Err(Error::invalid_column(PARTITIONS, &self.column, why));
        }
        self.kept = (0..schema.fields().len()).filter(|&i| i != self.place).collect();
        let schema = schema.project(&self.kept).map_err(|e| Error::arrow(PARTITIONS, e))?;
        let (partitions, memory, options) = (self.partitions, self.memory, self.options.clone());
        self.writer = Some(PartitionedWriter::create(&self.folder, &Arc::new(schema), partitions, memory, options)?);
        Ok(())
    }

    fn held(&self) -> u64 {
        self.memory
    }

    fn write(&mut self, batch: Batch) -> Result<u64> {
        let Some(writer) = &mut self.writer else { return Ok(0) };
        let batch = batch.to_record_batch()?;
        let rows = batch.project(&self.kept).map_err(|e| Error::arrow(PARTITIONS, e))?;
        let ids = batch.column(self.place).as_primitive_opt::<UInt32Type>();
        let missing = || Error::Internal { op: PARTITIONS, why: "the partitions have another type".to_owned() };
        writer.write(&rows, ids.ok_or_else(missing)?)?;
        let total = writer.bytes_written();
        Ok(self.newly_written(total))
    }

    fn finish(&mut self) -> Result<(Option<PathBuf>, u64)> {
        let Some(writer) = self.writer.take() else { return Ok((None, 0)) };
        let total = writer.finish()?;
        Ok((Some(self.folder.clone()), self.newly_written(total)))
    }
}

/// Keeps all batches; see [`Pipeline::collect`](super::Pipeline::collect).
pub(super) struct CollectSink {
    pub(super) batches: Vec<Batch>,
    pub(super) schema: Option<SchemaRef>,
}

impl Sink for CollectSink {
    fn name(&self) -> &str {
        "collect"
    }

    fn open(&mut self, schema: &SchemaRef) -> Result<()> {
        self.schema = Some(schema.clone());
        Ok(())
    }

    fn write(&mut self, batch: Batch) -> Result<u64> {
        self.batches.push(batch);
        Ok(0)
    }

    fn finish(&mut self) -> Result<(Option<PathBuf>, u64)> {
        Ok((None, 0))
    }
}
