//! `warpline run`: a pipeline from flags.

use std::path::{Path, PathBuf};

use arrow::array::RecordBatch;
use arrow::datatypes::{DataType, Schema};
use warpline::Error;
use warpline::image::image_decode::ImageFormat;
use warpline::image::jpeg_decode::DecodeOptions;
use warpline::ops::expr::Expr;
use warpline::ops::join::{JoinOptions, JoinType, Spill};
use warpline::parquet::{ParquetReader, expand_paths};
use warpline::pipeline::stages::DecodeStage;
use warpline::pipeline::{ImageSource, OnError, Order, ParquetSource, Pipeline, Report, Stage};

use crate::args::{OnErrorArg, OrderArg, RunArgs};
use crate::exit::{Exit, Failure, OrExit};
use crate::preview::{Preview, PreviewStage};
use crate::row_errors::RowErrors;
use crate::{interrupt, models, progress};

/// Runs the pipeline and prints what it did.
pub fn run(args: &RunArgs) -> Result<(), Failure> {
    if args.input.is_empty() {
        return Err(Failure::new(Exit::Usage, "no input: give --input PATH, or input in the --config file"));
    }
    let Some(output) = &args.output else {
        return Err(Failure::new(Exit::Usage, "no output: give --output DIR, or output in the --config file"));
    };
    refuse_existing(output)?;
    let filter = args.filter.as_deref().map(Expr::parse).transpose().or_exit(Exit::Usage)?;
    let ctx = args.device.open()?.with_budget(args.budget.0)?;
    let preview = args.preview.as_deref().map(Preview::create).transpose()?;
    let errors = args.errors.as_deref().map(RowErrors::create).transpose()?.unwrap_or_default();

    let pipeline = source(&args.input)?.on(&ctx).budget(args.budget);
    let pipeline = filter_and_join(pipeline, args, filter.as_ref())?;
    let pipeline = images(pipeline, args, preview.as_ref())?;
    let pipeline = options(pipeline, args);
    let report = drive(pipeline, output, &errors, |pipeline| write(pipeline, args, output))?;
    if let Some(preview) = preview {
        preview.finish()?;
    }
    errors.finish()?;
    print(&report, output);
    Ok(())
}

/// An output that exists is never touched.
pub fn refuse_existing(output: &Path) -> Result<(), Failure> {
    match std::fs::symlink_metadata(output) {
        Err(e) if e.kind() == std::io::ErrorKind::NotFound => Ok(()),
        Err(e) => Err(Failure::io(Exit::Output, output, &e)),
        Ok(_) => {
            let message = format!("{}: exists already: remove it or choose another --output", output.display());
            Err(Failure::new(Exit::Output, message))
        }
    }
}

/// Parquet where the inputs are that, images where they are those.
fn source(inputs: &[PathBuf]) -> Result<Pipeline, Failure> {
    let all: Vec<&str> = ImageFormat::EXTENSIONS.into_iter().chain(["parquet"]).collect();
    let files = expand_paths(inputs, &all)?;
    let is_image = |file: &PathBuf| {
        let extension = file.extension().and_then(|e| e.to_str()).unwrap_or_default().to_ascii_lowercase();
        ImageFormat::EXTENSIONS.contains(&extension.as_str())
    };
    let count = files.iter().filter(|f| is_image(f)).count();
    match count {
        0 => Ok(Pipeline::from_source(ParquetSource::open(&files)?)),
        n if n == files.len() => Ok(Pipeline::from_source(ImageSource::open(&files)?)),
        n => {
            let message = format!("--input names {n} images and {} other files: give one kind", files.len() - n);
            Err(Failure::new(Exit::Input, message))
        }
    }
}

/// The filter goes before the join where it can, so that fewer rows are joined: not where the join gives rows that no row
/// of the input is part of.
fn filter_and_join(pipeline: Pipeline, args: &RunArgs, filter: Option<&Expr>) -> Result<Pipeline, Failure> {
    let Some(path) = &args.join else {
        return apply(pipeline, filter);
    };
    let kind = JoinType::from(args.join_type);
    let early = !kind.gives_built_rows()
        && filter.is_some_and(|f| f.columns().iter().all(|c| pipeline.schema().index_of(c).is_ok()));
    let pipeline = if early { apply(pipeline, filter)? } else { pipeline };
    let on: Vec<&str> = args.on.iter().map(String::as_str).collect();
    let options = match &args.join_filter {
        Some(condition) => JoinOptions::new(kind).residual(Expr::parse(condition)?),
        None => kind.into(),
    };
    let pipeline = join_file(pipeline, path, &on, options, args.budget.0)?;
    if early { Ok(pipeline) } else { apply(pipeline, filter) }
}

fn apply(pipeline: Pipeline, filter: Option<&Expr>) -> Result<Pipeline, Failure> {
    match filter {
        Some(filter) => Ok(pipeline.filter(&filter.to_string())?),
        None => Ok(pipeline),
    }
}

/// Joins a Parquet file: in memory where it and an index take at most a quarter of the budget (a join holds at most half,
/// and while it is made the file's batches too), else by partitions in a quarter of the budget and in files.
pub fn join_file(
    pipeline: Pipeline,
    path: &Path,
    on: &[&str],
    options: JoinOptions,
    budget: u64,
) -> Result<Pipeline, Failure> {
    const INDEX_BYTES: u64 = 64;
    let mut reader = ParquetReader::open(path).or_exit(Exit::Input)?;
    let (schema, most) = (reader.schema().clone(), (budget / 16).clamp(1, 8 << 20));
    // At least one batch, so that an empty file has its schema.
    let mut table = vec![RecordBatch::new_empty(schema.clone())];
    let (mut bytes, quarter) = (0, budget / 4);
    while bytes <= quarter {
        let Some((_, batch)) = reader.next_batch(most, 1 << 16).or_exit(Exit::Input)? else {
            return pipeline.join(&table, on, options).map_err(|e| in_file(path, e));
        };
        bytes += batch.get_array_memory_size() as u64 + INDEX_BYTES * batch.num_rows() as u64;
        table.push(batch);
    }
    let rest =
        std::iter::from_fn(|| reader.next_batch(most, 1 << 16).map(|next| next.map(|(_, batch)| batch)).transpose());
    let table = table.into_iter().map(Ok).chain(rest);
    pipeline.join_partitioned(&schema, table, on, options, Spill::new(quarter)).map_err(|e| in_file(path, e))
}

fn in_file(path: &Path, error: Error) -> Failure {
    let exit = Failure::from(error);
    Failure::new(exit.exit, format!("{}: {exit}", path.display()))
}

/// Decode, preview, preprocess and infer, where there is an image column.
fn images(pipeline: Pipeline, args: &RunArgs, preview: Option<&Preview>) -> Result<Pipeline, Failure> {
    let Some(column) = image_column(pipeline.schema(), args)? else {
        return Ok(pipeline);
    };
    let options = DecodeOptions { exif_orientation: args.images.exif_orientation, ..DecodeOptions::default() };
    let what = args.images.preprocess()?;
    if what.resize.output_size().is_none() {
        let message = "tensors of one size are needed: give --crop N (and --resize N to shrink images first)";
        return Err(Failure::new(Exit::Usage, message));
    }
    // A column that is not there is bad input; what the flags ask of it is usage.
    DecodeStage::new(&column, options).schema(pipeline.schema())?;
    let pipeline = match preview {
        None => pipeline.image_to_tensor(&column, options, what),
        // The contact sheet is made of pixels on the host.
        Some(preview) => {
            let pipeline = pipeline.decode_image(&column, options)?;
            pipeline.stage(PreviewStage::new(&column, preview))?.preprocess(&column, what)
        }
    };
    let pipeline = pipeline.map_err(|e| Failure::from(e).with_exit(Exit::Usage))?;
    match &args.model {
        None => Ok(pipeline),
        Some(path) => {
            let model = models::load(path)?;
            Ok(pipeline.infer(&column, model).map_err(|e| Failure::from(e).with_exit(Exit::Model))?)
        }
    }
}

/// The image column that was asked for, else the only binary one. A table without images is fine unless flags say that
/// there should be some.
fn image_column(schema: &Schema, args: &RunArgs) -> Result<Option<String>, Failure> {
    if args.image.is_some() {
        return Ok(args.image.clone());
    }
    let binary = |t: &DataType| matches!(t, DataType::Binary | DataType::LargeBinary | DataType::BinaryView);
    let found: Vec<&str> =
        schema.fields().iter().filter(|f| binary(f.data_type())).map(|f| f.name().as_str()).collect();
    let wanted = args.model.is_some() || args.images.is_sized() || args.preview.is_some();
    match found.as_slice() {
        [one] => Ok(Some((*one).to_owned())),
        [] if !wanted => Ok(None),
        [] => {
            let names: Vec<&str> = schema.fields().iter().map(|f| f.name().as_str()).collect();
            let message = format!("the input has no column of bytes for images; there are: {}", names.join(", "));
            Err(Failure::new(Exit::Input, message))
        }
        several => {
            let message = format!("which column holds the images? Give --image with one of: {}", several.join(", "));
            Err(Failure::new(Exit::Usage, message))
        }
    }
}

fn options(mut pipeline: Pipeline, args: &RunArgs) -> Pipeline {
    if let Some(bytes) = args.batch_bytes {
        pipeline = pipeline.batch_bytes(bytes);
    }
    if let Some(trace) = &args.trace {
        pipeline = pipeline.trace(trace);
    }
    if let Some(rows) = args.limit {
        pipeline = pipeline.limit(rows);
    }
    let order = match args.order {
        OrderArg::Input => Order::Input,
        OrderArg::Completion => Order::Completion,
    };
    let on_error = match args.on_error {
        OnErrorArg::Fail => OnError::Fail,
        OnErrorArg::Null => OnError::Null,
        OnErrorArg::Skip => OnError::Skip { max: u64::MAX },
    };
    pipeline.order(order).on_error(on_error)
}

/// Into parts, or into a file for each partition.
fn write(pipeline: Pipeline, args: &RunArgs, output: &Path) -> warpline::Result<Report> {
    let Some(partitions) = args.partitions else { return pipeline.write_parquet(output) };
    let keys: Vec<&str> = args.partition_by.iter().map(String::as_str).collect();
    pipeline.write_partitions(output, &keys, args.hash, partitions as usize)
}

/// Runs `run`, which writes into the output folder, with a progress bar.
pub fn drive(
    pipeline: Pipeline,
    output: &Path,
    errors: &RowErrors,
    run: impl FnOnce(Pipeline) -> warpline::Result<Report>,
) -> Result<Report, Failure> {
    let bar = progress::bar(pipeline.total_rows());
    let shown = bar.clone();
    let sink = errors.clone();
    let pipeline = pipeline.progress(move |p| progress::update(&shown, p)).on_row_error(move |e| sink.push(e));
    interrupt::cancels(pipeline.cancel_handle());
    let result = run(pipeline);
    bar.finish_and_clear();
    result.map_err(|error| output_or_other(error, output))
}

/// I/O errors below the output folder, or its unfinished form, are errors of the output.
fn output_or_other(error: Error, output: &Path) -> Failure {
    let inside = |path: &str| path.starts_with(&*output.to_string_lossy());
    match &error {
        Error::Io { path, source } if inside(path) => Failure::io(Exit::Output, Path::new(path), source),
        _ => error.into(),
    }
}

/// The table of stages, the first error rows, and where the result is.
pub fn print(report: &Report, output: &Path) {
    const SHOWN: usize = 10;
    println!("{report}");
    for error in report.errors.iter().take(SHOWN) {
        println!("  {}, row {}: {}: {}: {}", error.source, error.row, error.stage, error.code, error.message);
    }
    if report.error_rows as usize > SHOWN {
        println!("  and {} more: --errors FILE lists all", report.error_rows as usize - SHOWN);
    }
    println!("output: {}", output.display());
}
