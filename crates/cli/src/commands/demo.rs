//! `warpline demo`: sample data through the whole pipeline.

use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::Ordering;

use warpline::image::jpeg_decode::DecodeOptions;
use warpline::image::{DType, Layout, Normalize, Preprocess, Resize};
use warpline::ops::join::JoinType;
use warpline::pipeline::{OnError, Pipeline};

use crate::args::DemoArgs;
use crate::commands::run::{drive, join_file, print, refuse_existing};
use crate::demo::dataset;
use crate::demo::predict::{PredictStage, Score};
use crate::exit::{Exit, Failure, OrExit};
use crate::row_errors::RowErrors;
use crate::{models, progress};

/// The model that `demo/train.py` trains.
const MODEL: &[u8] = include_bytes!("../../demo/shapes.onnx");
const MODEL_FILE: &str = "shapes.onnx";
/// Keeps a good part of the rows, both spoilt images included.
const FILTER: &str = "width >= 64 AND source IS NOT NULL AND source <> 'web'";
/// What the model was trained on.
const PREPROCESS: fn() -> Preprocess = || Preprocess {
    resize: Resize::shorter(64).crop(64),
    normalize: Normalize::IMAGENET,
    dtype: DType::F32,
    layout: Layout::Nchw,
};

/// Makes the data set, and unless told otherwise runs the pipeline on it.
pub fn run(args: &DemoArgs) -> Result<(), Failure> {
    let folder = args.output.as_path();
    if args.data_only {
        return make_data(folder, args);
    }
    let ctx = args.device.open()?;
    make_data(folder, args)?;
    let model_path = folder.join(MODEL_FILE);
    std::fs::write(&model_path, MODEL).map_err(|e| Failure::io(Exit::Output, &model_path, &e))?;
    println!("model: {}, {} classes", model_path.display(), crate::demo::draw::CLASSES.len());

    let model = models::from_bytes(MODEL_FILE, MODEL).map_err(|e| Failure::from(e).with_exit(Exit::Model))?;
    let score = Arc::new(Score::default());
    let images = Pipeline::read_parquet(folder.join(dataset::IMAGES))?.on(&ctx).filter(FILTER)?;
    let labels = folder.join(dataset::LABELS);
    let pipeline = join_file(images, &labels, &["id"], JoinType::Inner.into(), u64::MAX)?
        .image_to_tensor("jpeg", DecodeOptions::default(), PREPROCESS())?
        .infer("jpeg", model)?
        .stage(PredictStage::new(score.clone()))?
        .on_error(OnError::Null);
    println!("pipeline on {}:\n{}\n", ctx.placement(), pipeline.explain()?);
    let output = folder.join("output");
    let report = drive(pipeline, &output, &RowErrors::default(), |pipeline| pipeline.write_parquet(&output))?;
    let (right, all) = (score.right.load(Ordering::Relaxed), score.all.load(Ordering::Relaxed));
    print(&report, &output);
    println!("accuracy: {:.1}% ({right} of {all} drawings told right)", 100.0 * right as f64 / all.max(1) as f64);
    println!("see it: warpline cat {}/*.parquet --columns id,label,prediction,logits", output.display());
    Ok(())
}

fn make_data(folder: &Path, args: &DemoArgs) -> Result<(), Failure> {
    refuse_existing(folder)?;
    std::fs::create_dir_all(folder).map_err(|e| Failure::io(Exit::Output, folder, &e))?;
    let options = dataset::Options { rows: args.rows as usize, seed: args.seed, corrupt: true };
    let bar = progress::bar(Some(u64::from(args.rows)));
    bar.set_message("drawing");
    let written = dataset::write(folder, options, |rows| bar.inc(rows as u64));
    bar.finish_and_clear();
    written.map_err(|e| format!("{e:#}")).or_exit(Exit::Output)?;
    println!("data: {}, {} drawings, two of them spoilt", folder.join(dataset::IMAGES).display(), args.rows);
    println!("labels: {}", folder.join(dataset::LABELS).display());
    Ok(())
}
