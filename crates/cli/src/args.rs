//! Commands and flags.

use std::path::{Path, PathBuf};

use clap::{Args, Parser, Subcommand, ValueEnum};
use warpline::ExecCtx;
use warpline::image::{DType, Interpolation, Layout, Normalize, Place, Preprocess, RandomCrop, Resize};
use warpline::ops::HashScheme;
use warpline::ops::join::JoinType;
use warpline::pipeline::Bytes;

use crate::exit::{self, Exit, Failure};

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

/// Run a pipeline: read, filter, join, decode, resize, normalise, infer, partition, write Parquet.
#[derive(Debug, Args)]
pub struct RunArgs {
    /// Parquet files, or images (JPEG, PNG, WebP); folders and patterns of either.
    #[arg(long, num_args = 1.., value_name = "PATH|GLOB|DIR")]
    pub input: Vec<PathBuf>,
    /// Keep rows for which this SQL condition is true, as 'width >= 224 AND label IS NOT NULL'.
    #[arg(long, value_name = "SQL")]
    pub filter: Option<String>,
    /// Join this Parquet file on the columns of --on. A file of more than a quarter of --budget is joined by partitions,
    /// of which files in the system's folder for temporary files (TMPDIR) hold what memory does not.
    #[arg(long, value_name = "FILE", requires = "on")]
    pub join: Option<PathBuf>,
    /// Key columns of --join, of the same names on both sides.
    #[arg(long, value_name = "COL", value_delimiter = ',', requires = "join")]
    pub on: Vec<String>,
    /// Which rows --join keeps. Of the input: those with a match (inner), all (left), those with a match but without the
    /// file's columns (semi), those without one (anti), all with a column `mark` that tells (mark). Of the file too, behind
    /// the others: those without a match (right, and full with all of the input); of the file alone: those with a match
    /// (right-semi), those without one (right-anti).
    #[arg(long, default_value = "inner", value_name = "TYPE", requires = "join")]
    pub join_type: JoinKind,
    /// A SQL condition that rows with equal keys must meet too, as in ON: over the columns of an inner join, where a name
    /// that both sides have ends in _right for the joined file's.
    #[arg(long, value_name = "EXPR", requires = "join")]
    pub join_filter: Option<String>,
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
    /// End when so many rows are written.
    #[arg(long, value_name = "N")]
    pub limit: Option<u64>,
    /// Write one file for each partition by the hash of these columns: part-00007.parquet has the rows of partition 7.
    #[arg(long, value_name = "COL", value_delimiter = ',', requires = "partitions")]
    pub partition_by: Vec<String>,
    /// How many partitions --partition-by makes. A quarter of the budget must hold 64 KiB for each.
    #[arg(long, value_name = "N", requires = "partition_by", value_parser = clap::value_parser!(u32).range(1..=65536))]
    pub partitions: Option<u32>,
    /// Whose hash and whose partitions: datafusion, spark, spark-xxhash64, xxhash64, iceberg or cudf.
    #[arg(long, default_value_t = HashScheme::DataFusion, value_name = "SCHEME", requires = "partition_by")]
    pub hash: HashScheme,
    /// Where to filter, join, hash, resize and normalise.
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

/// Which rows a join keeps; the input is its left side.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub enum JoinKind {
    Inner,
    Left,
    Right,
    Full,
    Semi,
    Anti,
    RightSemi,
    RightAnti,
    Mark,
}

impl From<JoinKind> for JoinType {
    fn from(kind: JoinKind) -> Self {
        match kind {
            JoinKind::Inner => JoinType::Inner,
            JoinKind::Left => JoinType::Left,
            JoinKind::Right => JoinType::Right,
            JoinKind::Full => JoinType::Full,
            JoinKind::RightSemi => JoinType::RightSemi,
            JoinKind::RightAnti => JoinType::RightAnti,
            JoinKind::Semi => JoinType::LeftSemi,
            JoinKind::Anti => JoinType::LeftAnti,
            JoinKind::Mark => JoinType::LeftMark,
        }
    }
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
    /// JPEG, PNG or WebP files.
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
    /// Resize the shorter side to N pixels, keeping the aspect ratio, as torchvision does, or to W x H. [default: no resize]
    #[arg(long, value_name = "N|WxH", conflicts_with_all = ["letterbox", "random_resized_crop"])]
    pub resize: Option<Size>,
    /// Crop the centre N x N or W x H pixels. [default: no crop; then all images must come out at one size]
    #[arg(long, value_name = "N|WxH", conflicts_with_all = ["letterbox", "random_resized_crop"])]
    pub crop: Option<Size>,
    /// Resize to fit into N x N or W x H pixels, keeping the aspect ratio, and pad to that size, as Pillow's ImageOps.pad.
    #[arg(long, value_name = "N|WxH", conflicts_with_all = ["random_resized_crop", "pad"])]
    pub letterbox: Option<Size>,
    /// Pad to N x N or W x H pixels, after resize and crop.
    #[arg(long, value_name = "N|WxH")]
    pub pad: Option<Size>,
    /// Colour of padding.
    #[arg(long, value_name = "GRAY|R,G,B", default_value = "0")]
    pub fill: Color,
    /// Where padding leaves the image: center, top-left, top-right, bottom-left or bottom-right.
    #[arg(long, value_name = "PLACE", default_value_t = Place::Center)]
    pub place: Place,
    /// Take a random part of each image and resize it to N x N or W x H, as torchvision's RandomResizedCrop.
    #[arg(long, value_name = "N|WxH")]
    pub random_resized_crop: Option<Size>,
    /// Least and greatest share of the area that --random-resized-crop takes. [default: 0.08,1]
    #[arg(long, value_name = "LEAST,MOST", requires = "random_resized_crop")]
    pub scale: Option<Range>,
    /// Least and greatest width by height that --random-resized-crop takes. [default: 0.75,1.3333333333333333]
    #[arg(long, value_name = "LEAST,MOST", requires = "random_resized_crop")]
    pub ratio: Option<Range>,
    /// Mirror left to right with this probability: 1 always.
    #[arg(long, value_name = "P", default_value_t = 0.0)]
    pub horizontal_flip: f64,
    /// Mirror top to bottom with this probability: 1 always.
    #[arg(long, value_name = "P", default_value_t = 0.0)]
    pub vertical_flip: f64,
    /// Seed of random parts and flips, which depend on it and on the row alone.
    #[arg(long, value_name = "N", default_value_t = 0)]
    pub seed: u64,
    /// Do what this image processor's configuration says, as transformers' slow processors do it, to --dtype.
    #[arg(
        long,
        value_name = "FILE.json",
        conflicts_with_all = [
            "resize", "crop", "letterbox", "pad", "fill", "place", "random_resized_crop", "interpolation", "normalize",
            "layout",
        ],
    )]
    pub preprocessor: Option<PathBuf>,
    /// Resampling filter: nearest, box, bilinear, hamming, bicubic or lanczos.
    #[arg(long, value_name = "FILTER", default_value_t = Interpolation::Bilinear)]
    pub interpolation: Interpolation,
    /// imagenet, clip, none (0 to 1; raw bytes with --dtype u8), MEAN/STD as 0.5/0.5 or R,G,B/R,G,B, or MEAN/STD/RESCALE.
    #[arg(long, value_name = "HOW", default_value_t = Normalize::IMAGENET, default_value_if("dtype", "u8", "none"))]
    pub normalize: Normalize,
    /// Element type: f32, f16, bf16 or u8.
    #[arg(long, value_name = "TYPE", default_value_t = DType::F32)]
    pub dtype: DType,
    /// Order of the axes: nchw, nhwc, or patches:SIZE with any of ,merge=N ,temporal=N ,channels=last after it.
    #[arg(long, value_name = "ORDER", default_value_t = Layout::Nchw)]
    pub layout: Layout,
    /// Turn images upright by their EXIF orientation.
    #[arg(long)]
    pub exif_orientation: bool,
}

impl ImageArgs {
    /// Crop, resize, pad, flip, normalise, cast.
    pub fn preprocess(&self) -> Result<Preprocess, Failure> {
        let mut what = match &self.preprocessor {
            Some(path) => self.configured(path)?,
            None => {
                let (normalize, dtype, layout) = (self.normalize, self.dtype, self.layout);
                Preprocess { resize: self.geometry(), normalize, dtype, layout }
            }
        };
        what.resize = what.resize.hflip(self.horizontal_flip).vflip(self.vertical_flip).seed(self.seed);
        Ok(what)
    }

    /// Whether a flag says what size images come out at.
    pub fn is_sized(&self) -> bool {
        let sizes = [self.resize, self.crop, self.letterbox, self.pad, self.random_resized_crop];
        sizes.iter().any(Option::is_some) || self.preprocessor.is_some()
    }

    fn geometry(&self) -> Resize {
        let mut resize = match (self.resize, self.letterbox, self.random_resized_crop) {
            (Some(Size { width, height: None }), _, _) => Resize::shorter(width),
            (Some(size), _, _) => Resize::exact(size.width, size.height()),
            (_, Some(size), _) => Resize::letterbox(size.width, size.height()),
            (_, _, Some(size)) => {
                let RandomCrop { scale, ratio } = RandomCrop::default();
                let scale = self.scale.map_or(scale, |Range(least, most)| (least, most));
                let ratio = self.ratio.map_or(ratio, |Range(least, most)| (least, most));
                Resize::exact(size.width, size.height()).random_crop(RandomCrop { scale, ratio })
            }
            (None, None, None) => Resize::keep(),
        };
        if let Some(size) = self.crop {
            resize = resize.crop_to(size.width, size.height());
        }
        if let Some(size) = self.pad {
            resize = resize.pad_to(size.width, size.height());
        }
        resize.place(self.place).fill(self.fill.0).interpolation(self.interpolation)
    }

    fn configured(&self, path: &Path) -> Result<Preprocess, Failure> {
        let text = std::fs::read_to_string(path).map_err(|e| Failure::io(Exit::Input, path, &e))?;
        let fail = |e: warpline::Error| Failure::new(Exit::Usage, format!("{}: {e}", path.display()));
        let what = Preprocess::from_hf(&text).map_err(fail)?;
        // Raw bytes stay raw bytes.
        let dtype = if what.dtype == DType::U8 { DType::U8 } else { self.dtype };
        Ok(Preprocess { dtype, ..what })
    }
}

/// A side for both, or a width and a height, in pixels.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Size {
    width: u32,
    height: Option<u32>,
}

impl Size {
    fn height(self) -> u32 {
        self.height.unwrap_or(self.width)
    }
}

impl std::str::FromStr for Size {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let side = |text: &str| {
            let length = text.parse().ok().filter(|n| *n > 0);
            length.ok_or_else(|| format!("'{text}' is no number of pixels above 0; as 224 or 320x240"))
        };
        Ok(match text.split_once('x') {
            Some((width, height)) => Size { width: side(width)?, height: Some(side(height)?) },
            None => Size { width: side(text)?, height: None },
        })
    }
}

/// Red, green and blue.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Color([u8; 3]);

impl std::str::FromStr for Color {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let bytes = text.split(',').map(|v| v.trim().parse().ok()).collect::<Option<Vec<u8>>>();
        match bytes.as_deref() {
            Some([gray]) => Ok(Color([*gray; 3])),
            Some([red, green, blue]) => Ok(Color([*red, *green, *blue])),
            _ => Err("expected one or three numbers from 0 to 255, as 114 or 255,0,0".into()),
        }
    }
}

/// Two numbers.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Range(f64, f64);

impl std::str::FromStr for Range {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let numbers = text.split_once(',').and_then(|(a, b)| Some((a.trim().parse().ok()?, b.trim().parse().ok()?)));
        numbers.map(|(least, most)| Range(least, most)).ok_or_else(|| "expected two numbers, as 0.08,1".into())
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
