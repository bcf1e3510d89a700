//! Where results go.

use std::path::{Path, PathBuf};

use arrow::datatypes::SchemaRef;

use crate::column::Batch;
use crate::error::Result;
use crate::parquet::{ParquetWriter, WriteOptions};

/// The end of a pipeline. Runs on the thread that started the run; a sink that is dropped before
/// [`finish`](Sink::finish) must leave nothing that looks complete.
pub trait Sink {
    /// The name in reports.
    fn name(&self) -> &str;

    /// Called once, before anything is read, with the schema of all batches to come.
    fn open(&mut self, schema: &SchemaRef) -> Result<()>;

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
