//! `warpline cat`: print or convert a Parquet file.

use std::fs::File;
use std::io::Write;
use std::sync::Arc;

use arrow::array::{Array, ArrayRef, RecordBatch, RecordBatchReader, StringArray};
use arrow::compute::filter_record_batch;
use arrow::datatypes::{DataType, Field, Schema, SchemaRef};
use arrow::error::ArrowError;
use arrow::util::display::{ArrayFormatter, FormatOptions};
use arrow::util::pretty::pretty_format_batches;
use parquet::arrow::ArrowWriter;
use parquet::arrow::ProjectionMask;
use parquet::arrow::arrow_reader::{ParquetRecordBatchReader, ParquetRecordBatchReaderBuilder};
use warpline::ops::expr::{Expr, Predicate};
use warpline::{Batch, Error, ExecCtx, ops};

use crate::args::{CatArgs, Format};
use crate::exit::{Exit, Failure, OrExit};
use crate::files::{OutputFile, stdout_failure};

const BATCH_ROWS: usize = 4096;
const TABLE_ROWS: u64 = 50;
/// Longest cell of a table, in characters.
const CELL: usize = 60;

/// Prints or converts.
pub fn run(args: &CatArgs) -> Result<(), Failure> {
    let filter = args.filter.as_deref().map(Expr::parse).transpose().or_exit(Exit::Usage)?;
    let ctx = args.device.open()?;
    let (reader, shown) = open(args, filter.as_ref())?;
    let schema = Arc::new(reader.schema().project(&shown).or_exit(Exit::Internal)?);
    let predicate = filter.map(|f| f.bind(reader.schema().as_ref())).transpose()?;
    refuse_nested_csv(args.format, &schema)?;
    let limit = args.limit.unwrap_or(if args.format == Format::Table { TABLE_ROWS } else { u64::MAX });

    match &args.output {
        Some(path) => {
            let file = OutputFile::create(path)?;
            let sink = Sink::new(args.format, file, &schema, true).or_exit(Exit::Output)?;
            let file = copy(reader, &shown, predicate.as_ref(), &ctx, limit, args, sink, |e| output_failure(path, e))?;
            file.commit()
        }
        None => {
            let fail = |e: ArrowError| io_error(&e).map_or_else(|| Failure::new(Exit::Output, &e), stdout_failure);
            let sink = Sink::new(args.format, std::io::stdout(), &schema, false).map_err(&fail)?;
            copy(reader, &shown, predicate.as_ref(), &ctx, limit, args, sink, fail)?
                .flush()
                .map_err(|e| stdout_failure(&e))
        }
    }
}

/// A reader of the columns that are shown or filtered by, and where the shown ones are in its batches.
fn open(args: &CatArgs, filter: Option<&Expr>) -> Result<(ParquetRecordBatchReader, Vec<usize>), Failure> {
    let name = |e: &dyn std::fmt::Display| Failure::new(Exit::Input, format!("{}: {e}", args.file.display()));
    let file = File::open(&args.file).map_err(|e| Failure::io(Exit::Input, &args.file, &e))?;
    let builder = ParquetRecordBatchReaderBuilder::try_new(file).map_err(|e| name(&e))?;
    let schema = builder.schema().clone();
    let shown: Vec<&str> = match args.columns.as_slice() {
        [] => schema.fields().iter().map(|f| f.name().as_str()).collect(),
        columns => columns.iter().map(String::as_str).collect(),
    };
    if let Some(missing) = shown.iter().find(|c| schema.index_of(c).is_err()) {
        let names: Vec<&str> = schema.fields().iter().map(|f| f.name().as_str()).collect();
        return Err(name(&format!("no column '{missing}'; there are: {}", names.join(", "))));
    }
    // Reading keeps the file's order of columns.
    let used = |field: &str| shown.contains(&field) || filter.is_some_and(|f| f.columns().contains(field));
    let roots: Vec<usize> = (0..schema.fields().len()).filter(|i| used(schema.field(*i).name())).collect();
    let kept: Vec<&str> = roots.iter().map(|i| schema.field(*i).name().as_str()).collect();
    let shown = shown.iter().filter_map(|name| kept.iter().position(|k| k == name)).collect();
    let mask = ProjectionMask::roots(builder.parquet_schema(), roots.iter().copied());
    let reader = builder.with_projection(mask).with_batch_size(BATCH_ROWS).build().map_err(|e| name(&e))?;
    Ok((reader, shown))
}

/// Streams batches from the reader to the sink; returns the sink's writer.
#[allow(clippy::too_many_arguments, reason = "one caller, which has them all at hand")]
fn copy<W: Write + Send>(
    reader: ParquetRecordBatchReader,
    shown: &[usize],
    predicate: Option<&Predicate>,
    ctx: &ExecCtx,
    limit: u64,
    args: &CatArgs,
    mut sink: Sink<W>,
    fail: impl Fn(ArrowError) -> Failure,
) -> Result<W, Failure> {
    let (mut left, mut cut, mut first_row) = (limit, false, 0u64);
    for batch in reader {
        let batch = batch
            .map_err(|e| Failure::new(Exit::Input, format!("{}: after row {first_row}: {e}", args.file.display())))?;
        first_row += batch.num_rows() as u64;
        let selected = match predicate {
            Some(predicate) => select(&batch, predicate, ctx)?.project(shown),
            None => batch.project(shown),
        };
        let selected = selected.or_exit(Exit::Internal)?;
        let rows = usize::try_from(left).map_or(selected.num_rows(), |left| left.min(selected.num_rows()));
        cut |= rows < selected.num_rows();
        left -= rows as u64;
        if rows > 0 {
            sink.write(&selected.slice(0, rows)).map_err(&fail)?;
        }
        // Without a limit of the caller's, whether there is more has to be known.
        if cut || (left == 0 && args.limit.is_some()) {
            break;
        }
    }
    if cut && args.limit.is_none() {
        eprintln!("only the first {limit} rows are shown: --limit N shows more");
    }
    sink.finish().map_err(fail)
}

/// The rows for which the condition is true; on a device when the context is one that can.
fn select(batch: &RecordBatch, predicate: &Predicate, ctx: &ExecCtx) -> Result<RecordBatch, Failure> {
    let host = Batch::from_record_batch(batch);
    let kept = host.to(ctx).and_then(|there| ops::filter_where(ctx, &there, predicate)?.to_host());
    match kept {
        Err(Error::Unsupported { .. }) => {
            let mask = predicate.evaluate(batch)?;
            filter_record_batch(batch, &mask).or_exit(Exit::Internal)
        }
        kept => Ok(kept?.to_record_batch()?),
    }
}

fn refuse_nested_csv(format: Format, schema: &SchemaRef) -> Result<(), Failure> {
    match schema.fields().iter().find(|f| f.data_type().is_nested()) {
        Some(field) if format == Format::Csv => {
            let name = field.name();
            let message =
                format!("column '{name}': CSV has no nested values: use --format json, or --columns without it");
            Err(Failure::new(Exit::Usage, message))
        }
        _ => Ok(()),
    }
}

fn io_error(error: &ArrowError) -> Option<&std::io::Error> {
    match error {
        ArrowError::IoError(_, e) => Some(e),
        ArrowError::ExternalError(e) => e.downcast_ref(),
        _ => None,
    }
}

fn output_failure(path: &std::path::Path, error: ArrowError) -> Failure {
    match io_error(&error) {
        Some(e) => Failure::io(Exit::Output, path, e),
        None => Failure::new(Exit::Output, format!("{}: {error}", path.display())),
    }
}

/// A writer in one of the formats.
enum Sink<W: Write + Send> {
    Table { out: W, schema: SchemaRef, batches: Vec<RecordBatch> },
    Csv(Box<arrow::csv::Writer<W>>),
    Json(arrow::json::LineDelimitedWriter<W>),
    ArrowFile(Box<arrow::ipc::writer::FileWriter<W>>),
    ArrowStream(Box<arrow::ipc::writer::StreamWriter<W>>),
    Parquet(Box<ArrowWriter<W>>),
}

impl<W: Write + Send> Sink<W> {
    fn new(format: Format, out: W, schema: &SchemaRef, to_file: bool) -> Result<Self, ArrowError> {
        Ok(match format {
            Format::Table => Sink::Table { out, schema: schema.clone(), batches: Vec::new() },
            Format::Csv => {
                let mut out = out;
                // Also when there are no rows.
                let names: Vec<String> = schema.fields().iter().map(|f| csv_field(f.name())).collect();
                writeln!(out, "{}", names.join(","))?;
                Sink::Csv(Box::new(arrow::csv::WriterBuilder::new().with_header(false).build(out)))
            }
            Format::Json => Sink::Json(arrow::json::LineDelimitedWriter::new(out)),
            Format::Arrow if to_file => {
                Sink::ArrowFile(Box::new(arrow::ipc::writer::FileWriter::try_new(out, schema)?))
            }
            Format::Arrow => Sink::ArrowStream(Box::new(arrow::ipc::writer::StreamWriter::try_new(out, schema)?)),
            Format::Parquet => Sink::Parquet(Box::new(ArrowWriter::try_new(out, schema.clone(), None)?)),
        })
    }

    fn write(&mut self, batch: &RecordBatch) -> Result<(), ArrowError> {
        match self {
            Sink::Table { batches, .. } => batches.push(cells(&in_utc(batch)?)?),
            Sink::Csv(writer) => writer.write(&in_utc(batch)?)?,
            Sink::Json(writer) => writer.write(&in_utc(batch)?)?,
            Sink::ArrowFile(writer) => writer.write(batch)?,
            Sink::ArrowStream(writer) => writer.write(batch)?,
            Sink::Parquet(writer) => writer.write(batch)?,
        }
        Ok(())
    }

    fn finish(self) -> Result<W, ArrowError> {
        Ok(match self {
            Sink::Table { mut out, schema, mut batches } => {
                if batches.is_empty() {
                    batches.push(cells(&in_utc(&RecordBatch::new_empty(schema))?)?);
                }
                writeln!(out, "{}", pretty_format_batches(&batches)?)?;
                out
            }
            Sink::Csv(writer) => writer.into_inner(),
            Sink::Json(mut writer) => {
                writer.finish()?;
                writer.into_inner()
            }
            Sink::ArrowFile(mut writer) => {
                writer.finish()?;
                writer.into_inner()?
            }
            Sink::ArrowStream(mut writer) => {
                writer.finish()?;
                writer.into_inner()?
            }
            Sink::Parquet(writer) => writer.into_inner()?,
        })
    }
}

fn csv_field(text: &str) -> String {
    match text.contains([',', '"', '\n', '\r']) {
        true => format!("\"{}\"", text.replace('"', "\"\"")),
        false => text.to_owned(),
    }
}

/// Zoned timestamps in UTC: text needs an offset, and a zone's name alone does not give one.
fn in_utc(batch: &RecordBatch) -> Result<RecordBatch, ArrowError> {
    let mut columns = batch.columns().to_vec();
    let mut fields: Vec<Arc<Field>> = batch.schema().fields().iter().cloned().collect();
    for (column, field) in columns.iter_mut().zip(&mut fields) {
        if let DataType::Timestamp(unit, Some(_)) = field.data_type() {
            let utc = DataType::Timestamp(*unit, Some("+00:00".into()));
            *column = arrow::compute::cast(column, &utc)?;
            *field = Arc::new(field.as_ref().clone().with_data_type(utc));
        }
    }
    let options = arrow::array::RecordBatchOptions::new().with_row_count(Some(batch.num_rows()));
    RecordBatch::try_new_with_options(Arc::new(Schema::new(fields)), columns, &options)
}

/// A batch as text for the table: bytes by their number, long cells cut.
fn cells(batch: &RecordBatch) -> Result<RecordBatch, ArrowError> {
    let column = |array: &ArrayRef| -> Result<ArrayRef, ArrowError> {
        let binary = match array.data_type() {
            DataType::Binary => Some(arrow::compute::kernels::length::length(array)?),
            DataType::LargeBinary => Some(arrow::compute::kernels::length::length(array)?),
            DataType::BinaryView => {
                Some(arrow::compute::kernels::length::length(&arrow::compute::cast(array, &DataType::LargeBinary)?)?)
            }
            _ => None,
        };
        let options = FormatOptions::new().with_null("null");
        let shown = binary.as_ref().unwrap_or(array);
        let format = ArrayFormatter::try_new(shown.as_ref(), &options)?;
        let text = (0..array.len()).map(|row| match (array.is_null(row), &binary) {
            (true, _) => "null".to_owned(),
            (false, Some(_)) => format!("<{} bytes>", format.value(row)),
            (false, None) => clip(&format.value(row).to_string()),
        });
        Ok(Arc::new(StringArray::from_iter_values(text)))
    };
    let columns = batch.columns().iter().map(column).collect::<Result<Vec<_>, _>>()?;
    let fields: Vec<Field> =
        batch.schema().fields().iter().map(|f| Field::new(f.name(), DataType::Utf8, false)).collect();
    let options = arrow::array::RecordBatchOptions::new().with_row_count(Some(batch.num_rows()));
    RecordBatch::try_new_with_options(Arc::new(Schema::new(fields)), columns, &options)
}

fn clip(text: &str) -> String {
    let line = text.replace(['\n', '\r'], " ");
    match line.char_indices().nth(CELL) {
        None => line,
        Some((at, _)) => format!("{}...", &line[..at]),
    }
}
