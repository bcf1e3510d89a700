//! The side stream of rows that could not be processed, as a file of one of three kinds.

use std::io::Write;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, PoisonError};

use arrow::array::{ArrayRef, RecordBatch, StringArray, UInt64Array};
use parquet::arrow::ArrowWriter;
use warpline::pipeline::RowError;

use crate::exit::{Exit, Failure, OrExit};
use crate::files::OutputFile;

/// Collects error rows; without a file it only takes them. Clones share.
#[derive(Clone, Default)]
pub struct RowErrors {
    rows: Arc<Mutex<Vec<RowError>>>,
    file: Option<PathBuf>,
}

impl RowErrors {
    /// Will write to this file, whose extension chooses the format.
    pub fn create(path: &Path) -> Result<Self, Failure> {
        match extension(path).as_str() {
            "parquet" | "json" | "csv" => {
                // Found now, not after an hour: a folder that cannot be written.
                drop(OutputFile::create(path)?);
                Ok(RowErrors { rows: Arc::default(), file: Some(path.to_path_buf()) })
            }
            _ => {
                let message = format!("{}: --errors takes a name in .parquet, .json or .csv", path.display());
                Err(Failure::new(Exit::Usage, message))
            }
        }
    }

    pub fn push(&self, error: &RowError) {
        self.rows.lock().unwrap_or_else(PoisonError::into_inner).push(error.clone());
    }

    /// Writes the file, also when there were no errors.
    pub fn finish(&self) -> Result<(), Failure> {
        let Some(path) = &self.file else { return Ok(()) };
        let rows = self.rows.lock().unwrap_or_else(PoisonError::into_inner);
        let batch = batch(&rows).or_exit(Exit::Internal)?;
        let mut file = OutputFile::create(path)?;
        let written = match extension(path).as_str() {
            "parquet" => parquet(&mut file, &batch),
            "json" => json(&mut file, &batch),
            _ => csv(&mut file, &batch),
        };
        written.map_err(|e| Failure::new(Exit::Output, format!("{}: {e}", path.display())))?;
        file.commit()
    }
}

fn extension(path: &Path) -> String {
    path.extension().map(|e| e.to_string_lossy().to_ascii_lowercase()).unwrap_or_default()
}

fn batch(rows: &[RowError]) -> Result<RecordBatch, arrow::error::ArrowError> {
    let text =
        |f: &dyn Fn(&RowError) -> String| Arc::new(StringArray::from_iter_values(rows.iter().map(f))) as ArrayRef;
    RecordBatch::try_from_iter([
        ("source", text(&|e| e.source.to_string())),
        ("row", Arc::new(UInt64Array::from_iter_values(rows.iter().map(|e| e.row))) as ArrayRef),
        ("stage", text(&|e| e.stage.to_string())),
        ("code", text(&|e| e.code.to_string())),
        ("message", text(&|e| e.message.clone())),
    ])
}

type Written = Result<(), Box<dyn std::error::Error>>;

fn parquet(out: &mut (impl Write + Send), batch: &RecordBatch) -> Written {
    let mut writer = ArrowWriter::try_new(out, batch.schema(), None)?;
    writer.write(batch)?;
    writer.close()?;
    Ok(())
}

fn json(out: &mut impl Write, batch: &RecordBatch) -> Written {
    let mut writer = arrow::json::LineDelimitedWriter::new(out);
    writer.write(batch)?;
    Ok(writer.finish()?)
}

fn csv(out: &mut impl Write, batch: &RecordBatch) -> Written {
    writeln!(out, "source,row,stage,code,message")?;
    Ok(arrow::csv::WriterBuilder::new().with_header(false).build(out).write(batch)?)
}
