//! Commands and flags.

use std::path::PathBuf;

use clap::{Args, Parser, Subcommand, ValueEnum};
use warpline::ExecCtx;
use warpline::image::{DType, Interpolation, Layout, Normalize, Preprocess, Resize};
use warpline::pipeline::Bytes;

use crate::exit::{self, Failure};

/// Images and tables through a GPU, or through the host with the same bytes: filter, decode, resize, normalise, infer.
#[derive(Debug, Parser)]
#[command(name = "warpline", version, after_help = exit::HELP, args_override_self = true)]
pub struct Cli {
    #[command(subcommand)]
    pub command: Command,
}

#[derive(Debug, Subcommand)]
pub enum Command {
    Run(Box<RunArgs>),
    Demo(DemoArgs),
    Tensor(TensorArgs),
    Info(InfoArgs),
    Cat(CatArgs),
}

/// Run a pipeline: read, filter, join, decode, resize, normalise, infer, write Parquet.
#[derive(Debug, Args)]
pub struct RunArgs {
    /// Parquet files, or JPEG files; folders and patterns of either.
    #[arg(long, num_args = 1.., value_name = "PATH|GLOB|DIR")]
    pub input: Vec<PathBuf>,
    /// Keep rows for which this SQL condition is true, as 'width >= 224 AND label IS NOT NULL'.
    #[arg(long, value_name = "SQL")]
    pub filter: Option<String>,
    /// Join this Parquet file (an inner join, on the host) on the columns of --on.
    #[arg(long, value_name = "FILE", requires = "on")]
    pub join: Option<PathBuf>,
    /// Key columns of --join, of the same names on both sides.
    #[arg(long, value_name = "COL", value_delimiter = ',', requires = "join")]
    pub on: Vec<String>,
    /// The column of encoded images. [default: the only binary column; with none, a table is filtered and joined]
    #[arg(long, value_name = "COLUMN")]
    pub image: Option<String>,
    #[command(flatten)]
    pub images: ImageArgs,
    /// Run this ONNX model; its outputs are written as columns. Without one the tensors are, as arrow.fixed_shape_tensor.
    #[arg(long, value_name = "FILE.onnx")]
    pub model: Option<PathBuf>,
    /// Folder for the result, which must not exist; it appears under its name only when it is complete.
    #[arg(long, value_name = "DIR")]
    pub output: Option<PathBuf>,
    /// Where to filter, resize and normalise.
    #[arg(long, default_value = "auto", value_name = "auto|host|cuda:N")]
    pub device: Device,
    /// Memory for all batches in flight, and on a device its memory for this run.
    #[arg(long, default_value_t = Bytes::gib(1), value_name = "SIZE")]
    pub budget: Bytes,
    /// Bytes that are read as one batch. [default: 2 MiB, or a sixteenth of the budget]
    #[arg(long, value_name = "SIZE")]
    pub batch_bytes: Option<Bytes>,
    /// Order of the result.
    #[arg(long, value_enum, default_value_t = OrderArg::Input)]
    pub order: OrderArg,
    /// What to do about an image that cannot be processed: end the run, write nulls, or leave the row out.
    #[arg(long, value_enum, default_value_t = OnErrorArg::Fail)]
    pub on_error: OnErrorArg,
    /// Write the rows that could not be processed to this file: .parquet, .json (one object a line) or .csv.
    #[arg(long, value_name = "FILE")]
    pub errors: Option<PathBuf>,
    /// Write a trace that ui.perfetto.dev opens.
    #[arg(long, value_name = "FILE")]
    pub trace: Option<PathBuf>,
    /// Write a contact sheet of the first 96 images.
    #[arg(long, value_name = "FILE.png")]
    pub preview: Option<PathBuf>,
    /// Take flags from this file; keys are the flags' names. The command line wins.
    #[arg(long, value_name = "FILE.toml")]
    pub config: Option<PathBuf>,
}

/// Order of results.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub enum OrderArg {
    /// That of the input, whatever finishes first.
    Input,
    /// As batches finish.
    Completion,
}

/// What happens to rows that cannot be processed.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub enum OnErrorArg {
    Fail,
    Null,
    Skip,
}

/// Turn images into one array: a .npy file of shape [N, 3, H, W] (or [N, H, W, 3]), in the order of the arguments.
#[derive(Debug, Args)]
pub struct TensorArgs {
    /// JPEG files.
    #[arg(required = true, value_name = "IMAGE")]
    pub images: Vec<PathBuf>,
    #[command(flatten)]
    pub image: ImageArgs,
    /// Where to run.
    #[arg(long, default_value = "auto", value_name = "auto|host|cuda:N")]
    pub device: Device,
    /// The file to write; it appears under its name only when it is complete.
    #[arg(short, long, value_name = "FILE.npy")]
    pub output: PathBuf,
}

/// What happens to images; the same flags for every command that takes images.
#[derive(Clone, Debug, Args)]
pub struct ImageArgs {
    /// Resize the shorter side to N pixels, keeping the aspect ratio, as torchvision does. [default: no resize]
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u32).range(1..))]
    pub resize: Option<u32>,
    /// Crop the centre N x N pixels. [default: no crop; then all images must come out at one size]
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u32).range(1..))]
    pub crop: Option<u32>,
    /// Resampling filter: nearest, box, bilinear, hamming, bicubic or lanczos.
    #[arg(long, value_name = "FILTER", default_value_t = Interpolation::Bilinear)]
    pub interpolation: Interpolation,
    /// imagenet, clip, none (0 to 1; raw bytes with --dtype u8), or MEAN/STD as 0.5/0.5 or R,G,B/R,G,B.
    #[arg(long, value_name = "HOW", default_value_t = Normalize::IMAGENET, default_value_if("dtype", "u8", "none"))]
    pub normalize: Normalize,
    /// Element type: f32, f16, bf16 or u8.
    #[arg(long, value_name = "TYPE", default_value_t = DType::F32)]
    pub dtype: DType,
    /// Order of the axes: nchw or nhwc.
    #[arg(long, value_name = "ORDER", default_value_t = Layout::Nchw)]
    pub layout: Layout,
    /// Turn images upright by their EXIF orientation.
    #[arg(long)]
    pub exif_orientation: bool,
}

impl ImageArgs {
    /// Resize, crop, normalise, cast.
    pub fn preprocess(&self) -> Preprocess {
        let mut resize = self.resize.map_or_else(Resize::keep, Resize::shorter).interpolation(self.interpolation);
        if let Some(side) = self.crop {
            resize = resize.crop(side);
        }
        Preprocess { resize, normalize: self.normalize, dtype: self.dtype, layout: self.layout }
    }
}

/// Make sample data, run the whole pipeline on it, and print what happened.
#[derive(Debug, Args)]
pub struct DemoArgs {
    /// Folder for the data set and the results; it must not exist yet.
    #[arg(short, long, default_value = "warpline-demo", value_name = "DIR")]
    pub output: PathBuf,
    /// Images to draw.
    #[arg(long, default_value_t = 2000, value_parser = clap::value_parser!(u32).range(6..=10_000_000))]
    pub rows: u32,
    /// Seed of the drawings.
    #[arg(long, default_value_t = 20)]
    pub seed: u64,
    /// Write the data set into DIR and stop; the model's training script reads that.
    #[arg(long)]
    pub data_only: bool,
    /// Where to run.
    #[arg(long, default_value = "auto", value_name = "auto|host|cuda:N")]
    pub device: Device,
}

/// Tell versions, driver and devices: memory, clocks, utilisation.
#[derive(Debug, Args)]
pub struct InfoArgs {
    /// One JSON object instead of text.
    #[arg(long)]
    pub json: bool,
}

/// Print or convert a Parquet file.
#[derive(Debug, Args)]
pub struct CatArgs {
    /// The file.
    #[arg(value_name = "FILE.parquet")]
    pub file: PathBuf,
    /// Only these columns, in this order.
    #[arg(long, value_delimiter = ',', value_name = "A,B,...")]
    pub columns: Vec<String>,
    /// Only rows for which this SQL condition is true. It may use columns that are not printed.
    #[arg(long, value_name = "SQL")]
    pub filter: Option<String>,
    /// At most this many rows. [default: 50 for a table, else all]
    #[arg(long, value_name = "N")]
    pub limit: Option<u64>,
    /// Where rows are filtered.
    #[arg(long, default_value = "auto", value_name = "auto|host|cuda:N")]
    pub device: Device,
    /// How to write them. json is one object a line; arrow is an IPC file with -o, an IPC stream without.
    #[arg(long, value_enum, default_value_t = Format::Table)]
    pub format: Format,
    /// Write to this file instead of the standard output.
    #[arg(short, long, value_name = "FILE")]
    pub output: Option<PathBuf>,
}

/// Output format of `cat`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub enum Format {
    Table,
    Csv,
    Json,
    Arrow,
    Parquet,
}

/// Where to run.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Device {
    Auto,
    Host,
    Cuda(usize),
}

impl std::str::FromStr for Device {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        match text {
            "auto" => Ok(Device::Auto),
            "host" => Ok(Device::Host),
            "cuda" => Ok(Device::Cuda(0)),
            _ => text
                .strip_prefix("cuda:")
                .and_then(|n| n.parse().ok())
                .map(Device::Cuda)
                .ok_or_else(|| "expected auto, host or cuda:N".into()),
        }
    }
}

impl Device {
    /// The context. `auto` is the first GPU, or the host where there is none.
    pub fn open(self) -> Result<ExecCtx, Failure> {
        Ok(match self {
            Device::Auto => ExecCtx::auto()?,
            Device::Host => ExecCtx::host(0)?,
            Device::Cuda(ordinal) => ExecCtx::cuda(ordinal)?,
        })
    }
}
