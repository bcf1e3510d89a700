//! One representative piece of work per operator, whose counters `cargo xtask kernels` prints beside the fewest bytes that
//! the operator must move. Not a test of results: those are elsewhere.

use std::sync::Arc;

use arrow::array::{
    ArrayRef, BinaryArray, BooleanArray, Int32Array, Int64Array, RecordBatch, StringArray, UInt32Array,
};
use jpeg_encoder::{ColorType, Encoder, SamplingFactor};
use warpline::image::jpeg_decode::{DecodeOptions, jpeg_decode};
use warpline::image::{
    DType, Images, Layout, Normalize, Patches, Preprocess, RandomCrop, Resize, normalize, preprocess, resize,
};
use warpline::ops::expr::{Expr, Select};
use warpline::ops::join::{HashJoin, JoinType};
use warpline::{Batch, Column, ExecCtx, ops};

use crate::common::samples::Random;
use crate::common::with_device;

const ROWS: usize = 100_000;

/// A column of i64, one of i32 of which a tenth is null, and with `text` one of strings of up to 31 bytes.
fn table(text: bool) -> Batch {
    let (mut random, mut other) = (Random(1), Random(2));
    let wide: ArrayRef = Arc::new(Int64Array::from_iter_values((0..ROWS).map(|_| random.next() as i64)));
    let values = (0..ROWS).map(|_| (random.next() % 10 != 0).then_some(random.next() as i32));
    let narrow: ArrayRef = Arc::new(Int32Array::from_iter(values));
    let mut columns = vec![("wide", wide), ("narrow", narrow)];
    if text {
        let pool = "the quick brown fox jumps over the lazy dog";
        let strings = (0..ROWS).map(|_| &pool[..other.next() as usize % 32]);
        columns.push(("text", Arc::new(StringArray::from_iter_values(strings))));
    }
    Batch::from_record_batch(&RecordBatch::try_from_iter(columns).expect("a batch"))
}

fn noise(width: u32, height: u32, rows: usize) -> Images {
    let mut random = Random(3);
    let pixels = (0..3 * width as usize * height as usize * rows).map(|_| random.next() as u8).collect();
    Images::from_pixels(pixels, &vec![Some((width, height)); rows]).expect("images")
}

/// Half of the rows, at random. The mask is read, and all rows, as no sector of 32 bytes is without a kept one; those are
/// written.
fn filter(ctx: &ExecCtx) -> usize {
    let mut random = Random(4);
    let mask: ArrayRef = Arc::new(BooleanArray::from_iter((0..ROWS).map(|_| Some(random.next().is_multiple_of(2)))));
    let mask = Column::from_array(mask);
    let input = table(false).to(ctx).expect("upload");
    let output = ops::filter(ctx, &input, &mask.to(ctx).expect("upload")).expect("a filter");
    mask.nbytes() + input.nbytes() + output.nbytes()
}

/// Half of the rows, by a condition on both columns. All rows of both are read, the kept ones read again and written.
fn filter_where(ctx: &ExecCtx) -> usize {
    let input = table(false).to(ctx).expect("upload");
    let condition = Expr::parse("wide > 0 AND (narrow IS NULL OR narrow < 2000000000)").expect("it parses");
    let predicate = condition.bind(input.schema()).expect("it binds");
    let output = ops::filter_where(ctx, &input, &predicate).expect("a filter");
    input.nbytes() + 2 * output.nbytes()
}

/// Three outputs of two columns. Each column is read once and each output written once.
fn projected(ctx: &ExecCtx) -> usize {
    let input = table(false).to(ctx).expect("upload");
    let list = "wrapping_add(wide, 1) AS a, COALESCE(narrow, 0) * 2 AS b, narrow > 0 AND wide > 0 AS c";
    let projection = Select::parse(list).and_then(|list| list.bind(input.schema())).expect("it binds");
    input.nbytes() + projection.evaluate_on(ctx, &input).expect("outputs").nbytes()
}

/// Half as many rows as there are, drawn at random. The indices and the drawn rows are read, those rows are written.
fn gather(ctx: &ExecCtx) -> usize {
    let mut random = Random(5);
    let indices = UInt32Array::from_iter_values((0..ROWS / 2).map(|_| (random.next() % ROWS as u64) as u32));
    let indices = Column::from_array(Arc::new(indices));
    let input = table(true).to(ctx).expect("upload");
    let output = ops::gather(ctx, &input, &indices.to(ctx).expect("upload")).expect("a gather");
    indices.nbytes() + 2 * output.nbytes()
}

/// Spark's hash of three columns. Keys are read, 4 bytes a row are written.
fn hashed(ctx: &ExecCtx) -> usize {
    let input = table(true).to(ctx).expect("upload");
    let columns: Vec<&Column> = input.columns().iter().collect();
    let output = ops::hash(ctx, &columns, ops::HashScheme::SparkMurmur3).expect("hashes");
    input.nbytes() + output.nbytes()
}

/// Two columns into 256 partitions by the wide one, without nulls. The key is read, 4 bytes a row are written and read,
/// the columns are read and written.
fn partitioned(ctx: &ExecCtx) -> usize {
    let input = table(false).to(ctx).expect("upload");
    ops::hash_partition(ctx, &input, &["wide"], ops::HashScheme::DataFusion, 256).expect("partitions");
    input.columns()[0].nbytes() + 8 * ROWS + 2 * input.nbytes()
}

/// How keys are spread over rows.
#[derive(Clone, Copy)]
enum Skew {
    /// Two rows a key on average.
    Uniform,
    /// Key r as often as 1/r: an exponential of a uniform number has these odds.
    Zipf,
    Keys(i64),
}

/// An odd number, which spreads integers over all 64 bits and keeps different ones different: no table of all numbers
/// between the lowest and the highest key is possible then.
const SPREAD: i64 = 0x9e37_79b9_7f4a_7c15_u64 as i64;

/// A key of i64 and a number for each row.
fn keyed(skew: Skew) -> Batch {
    let mut random = Random(6);
    let mut key = |_| match skew {
        Skew::Uniform => random.below(ROWS / 2) as i64,
        Skew::Zipf => (random.below(1 << 30) as f64 / f64::from(1 << 30) * (ROWS as f64).ln()).exp() as i64,
        Skew::Keys(keys) => random.below(keys as usize) as i64,
    };
    let keys = (0..ROWS).map(|row| key(row).wrapping_mul(SPREAD));
    let keys: ArrayRef = Arc::new(Int64Array::from_iter_values(keys));
    let number: ArrayRef = Arc::new(Int32Array::from_iter_values(0..ROWS as i32));
    Batch::from_record_batch(&RecordBatch::try_from_iter([("key", keys), ("number", number)]).expect("a batch"))
}

/// Two columns into 256 partitions by the first; bytes as above.
fn partitioned_under(skew: Skew, ctx: &ExecCtx) -> usize {
    let input = keyed(skew).to(ctx).expect("upload");
    ops::hash_partition(ctx, &input, &["key"], ops::HashScheme::DataFusion, 256).expect("partitions");
    input.columns()[0].nbytes() + 8 * ROWS + 2 * input.nbytes()
}

/// A table to join with, whose keys come more than once. Keys are read, slots written, and each row's number.
fn built_under(skew: Skew, ctx: &ExecCtx) -> usize {
    let table = keyed(skew).to(ctx).expect("upload");
    HashJoin::build(ctx, &table, &["key"], table.schema(), JoinType::Inner).expect("builds");
    8 * ROWS + 16 * ROWS + 4 * ROWS
}

/// The rows of three columns, two of them with nulls. Both bitmaps are read, all rows, as no sector of 32 bytes is without
/// a kept one, and the kept rows are written.
fn without_nulls(ctx: &ExecCtx) -> usize {
    let nulls = table(false).to_record_batch().expect("host").column(1).clone();
    let wide = table(false).to_record_batch().expect("host").column(0).clone();
    let other: ArrayRef = Arc::new(Int32Array::from_iter((0..ROWS as i32).map(|row| (row % 5 > 0).then_some(row))));
    let columns = [("wide", wide), ("narrow", nulls), ("other", other)];
    let input = Batch::from_record_batch(&RecordBatch::try_from_iter(columns).expect("a batch"));
    let there = input.to(ctx).expect("upload");
    let kept = ops::drop_nulls(ctx, &there, &["narrow", "other"]).expect("rows");
    2 * ROWS / 8 + input.nbytes() + kept.nbytes()
}

/// A table of 100,000 rows by a key of i64 that no two rows share, probed with as many rows, of which half have a match.
/// Keys are read, a slot of so many bytes for each row of the table is written and one for each probed row read; pairs of
/// row numbers are written and read, and the columns of both sides are read and written for the joined rows.
fn joined_by_key(apart: i64, slot: usize, ctx: &ExecCtx) -> usize {
    let keys = |first: i64| -> ArrayRef {
        // Every number once, in an order that is not theirs.
        let numbers = (0..ROWS as i64).map(|i| first + i * 7919 % ROWS as i64);
        Arc::new(Int64Array::from_iter_values(numbers.map(|number| number.wrapping_mul(apart))))
    };
    let number: ArrayRef = Arc::new(Int64Array::from_iter_values(0..ROWS as i64));
    let side = |name, first| {
        let columns = [("key", keys(first)), (name, number.clone())];
        Batch::from_record_batch(&RecordBatch::try_from_iter(columns).expect("a batch")).to(ctx).expect("upload")
    };
    let (table, batch) = (side("right", 0), side("left", ROWS as i64 / 2));
    let join = HashJoin::build(ctx, &table, &["key"], batch.schema(), JoinType::Inner).expect("builds");
    let output = join.probe(ctx, &batch).expect("joins");
    assert_eq!(output.num_rows(), ROWS / 2);
    2 * 8 * ROWS + 2 * slot * ROWS + 2 * 8 * ROWS / 2 + 2 * output.nbytes()
}

/// All rows but the first of three columns. They are read and written, but for what the slice shares.
fn sliced(ctx: &ExecCtx) -> usize {
    let input = table(true).to(ctx).expect("upload");
    2 * ops::slice(ctx, &input, 1, ROWS - 1).expect("a slice").nbytes()
}

/// Three columns of three batches. They are read and written.
fn joined(ctx: &ExecCtx) -> usize {
    let input = table(true);
    let host = ExecCtx::host(1).expect("a host context");
    let cut = |first, rows| ops::slice(&host, &input, first, rows).expect("a slice").to(ctx).expect("upload");
    let pieces = [cut(0, 33_333), cut(33_333, 7), cut(33_340, 66_660)];
    2 * ops::concat(ctx, &pieces).expect("a concatenation").nbytes()
}

/// A slice and a concatenation, which move by the same kernel.
fn moved_in_pieces(ctx: &ExecCtx) -> usize {
    sliced(ctx) + joined(ctx)
}

const WIDTH: usize = 500;
const HEIGHT: usize = 375;
const IMAGES: usize = 2;

/// The shorter side becomes 256. The pixels are read, the rows between the passes are written and read, the result is
/// written.
fn resized(ctx: &ExecCtx) -> usize {
    let input = noise(WIDTH as u32, HEIGHT as u32, IMAGES).to(ctx).expect("upload");
    let output = resize(ctx, &input, &Resize::shorter(256)).expect("a resize");
    let (w, h) = output.size(0).expect("an image");
    let (w, h) = (w as usize, h as usize);
    IMAGES * 3 * (WIDTH * HEIGHT + 2 * w * HEIGHT + w * h)
}

/// A byte is read and four are written for each element.
fn normalized(ctx: &ExecCtx) -> usize {
    let input = noise(224, 224, IMAGES).to(ctx).expect("upload");
    normalize(ctx, &input, &Normalize::IMAGENET, DType::F32, Layout::Nchw).expect("tensors");
    IMAGES * 3 * 224 * 224 * (1 + 4)
}

/// The evaluation of a classifier, a letterbox, a random quarter of the image flipped, and a vision model's patches. Each
/// reads its window of the source, writes and reads the rows between the passes, and writes its tensors.
fn preprocessed(ctx: &ExecCtx) -> usize {
    let input = noise(WIDTH as u32, HEIGHT as u32, IMAGES).to(ctx).expect("upload");
    let run = |resize, dtype: DType, layout, window: (usize, usize)| {
        let what = Preprocess { resize, normalize: Normalize::IMAGENET, dtype, layout };
        let spec = preprocess(ctx, &input, &what).expect("tensors").spec;
        let between = 3 * spec.width as usize * window.1;
        IMAGES * (3 * window.0 * window.1 + 2 * between + dtype.size() * spec.elements())
    };
    // The crop's window of the source has a side of 328 pixels; a quarter of the area is a square of 217.
    let side = 224 * HEIGHT / 256;
    let quarter = RandomCrop { scale: (0.25, 0.25), ratio: (1.0, 1.0) };
    let patches = Layout::Patches(Patches::new(14).merge(2).temporal(2));
    run(Resize::shorter(256).crop(224), DType::F32, Layout::Nchw, (side, side))
        + run(Resize::letterbox(224, 224).fill([114; 3]), DType::F32, Layout::Nhwc, (WIDTH, HEIGHT))
        + run(Resize::exact(224, 224).random_crop(quarter).hflip(1.0), DType::F16, Layout::Nchw, (217, 217))
        + run(Resize::exact(252, 252), DType::BF16, patches, (WIDTH, HEIGHT))
}

/// A JPEG of 4:2:0, in one scan or progressive.
fn encoded(width: usize, height: usize, quality: u8, progressive: bool) -> Vec<u8> {
    let pixels = noise(width as u32, height as u32, 1);
    // Waves under the noise, so that blocks are as full as those of photographs.
    let wave = |(i, noise): (usize, &u8)| {
        let (x, y) = ((i / 3 % width) as f32, (i / 3 / width) as f32);
        (128.0 + 60.0 * (x * 0.011).sin() + 50.0 * (y * 0.017).cos() + f32::from(noise >> 4)) as u8
    };
    let pixels: Vec<u8> = pixels.pixels(0).expect("pixels").iter().enumerate().map(wave).collect();
    let mut data = Vec::new();
    let mut encoder = Encoder::new(&mut data, quality);
    encoder.set_sampling_factor(SamplingFactor::F_2_2);
    encoder.set_progressive(progressive);
    encoder.encode(&pixels, width as u16, height as u16, ColorType::Rgb).expect("an encoded image");
    data
}

/// Images of a width, a height and a quality, each this many times. Destuffing reads the data twice and writes them; they
/// are decoded twice, once if progressive; coefficients and samples are written and read; pixels are written.
fn decode(ctx: &ExecCtx, progressive: bool, images: &[(usize, usize, u8, usize)]) -> usize {
    let (mut files, mut fewest) = (Vec::new(), 0);
    let passes = if progressive { 4 } else { 5 };
    for &(width, height, quality, count) in images {
        let data = encoded(width, height, quality, progressive);
        let blocks = 6 * width.div_ceil(16) * height.div_ceil(16);
        fewest += count * (passes * data.len() + 2 * 128 * blocks + 2 * 64 * blocks + 3 * width * height);
        files.extend(std::iter::repeat_n(data, count));
    }
    let column = Column::from_array(Arc::new(BinaryArray::from_iter_values(files)));
    let images = jpeg_decode(ctx, &column, &DecodeOptions::default()).expect("images");
    assert_eq!(images.errors, []);
    fewest
}

/// Two photographs.
fn decoded(ctx: &ExecCtx) -> usize {
    decode(ctx, false, &[(WIDTH, HEIGHT, 85, IMAGES)])
}

/// Thumbnails, photographs and a large image, of several qualities.
fn decoded_mixed(ctx: &ExecCtx) -> usize {
    decode(ctx, false, &[(96, 128, 60, 16), (1280, 720, 92, 1), (WIDTH, HEIGHT, 75, 3), (224, 224, 95, 4)])
}

/// Progressive thumbnails and photographs, as many as two threads of the host leave to the device; `cargo xtask kernels`
/// sees to it that there are no more. Without the refining scans, which the encoder does not make.
fn decoded_in_several_scans(ctx: &ExecCtx) -> usize {
    decode(ctx, true, &[(96, 128, 60, 14), (WIDTH, HEIGHT, 85, 2)])
}

/// An operator: the name of its kernel file, what is done, and how.
type Workload = (&'static str, &'static str, fn(&ExecCtx) -> usize);

const WORKLOADS: [Workload; 23] = [
    ("drop_nulls", "100,000 rows of i64 and two of i32 with nulls, by those", without_nulls),
    ("expr", "half of 100,000 rows of i64 and nullable i32, by a condition on both", filter_where),
    ("expr_project", "two of i64 and a boolean of 100,000 rows of i64 and nullable i32", projected),
    ("filter", "half of 100,000 rows of i64 and nullable i32", filter),
    ("gather", "50,000 random rows of 100,000 of i64, nullable i32 and strings", gather),
    ("hash", "Spark's hash of 100,000 rows of i64, nullable i32 and strings", hashed),
    ("hash_partition", "100,000 rows of i64 and nullable i32 into 256 partitions by the first", partitioned),
    ("hash_partition_uniform", "the same by 50,000 keys", |ctx| partitioned_under(Skew::Uniform, ctx)),
    ("hash_partition_zipf", "the same by keys under Zipf's law", |ctx| partitioned_under(Skew::Zipf, ctx)),
    ("hash_partition_few_keys", "the same by 25 keys", |ctx| partitioned_under(Skew::Keys(25), ctx)),
    ("hash_partition_one_key", "the same by one key", |ctx| partitioned_under(Skew::Keys(1), ctx)),
    ("join_build_uniform", "a table of 100,000 rows of 50,000 keys of i64", |ctx| built_under(Skew::Uniform, ctx)),
    ("join_build_zipf", "the same of keys under Zipf's law", |ctx| built_under(Skew::Zipf, ctx)),
    ("join_build_few_keys", "the same of 25 keys", |ctx| built_under(Skew::Keys(25), ctx)),
    ("join", "100,000 rows of two columns with another 100,000 by i64, half with a match", |ctx| {
        joined_by_key(SPREAD, 16, ctx)
    }),
    // The half without a match is past the highest key, so half of the places are read.
    ("join_direct", "the same by numbers that follow each other", |ctx| joined_by_key(1, 8, ctx) - 8 * ROWS / 2),
    ("jpeg_decode", "2 images of 500x375, 4:2:0, quality 85", decoded),
    ("jpeg_decode_mixed", "24 images of 96x128 to 1280x720, 4:2:0, qualities 60 to 95", decoded_mixed),
    ("jpeg_decode_several_scans", "16 progressive images of 96x128 and 500x375, 4:2:0", decoded_in_several_scans),
    ("normalize", "2 images of 224x224 to f32", normalized),
    ("pieces", "a slice of 99,999 of 100,000 rows of i64, nullable i32 and strings; all out of three", moved_in_pieces),
    ("preprocess", "2 images of 500x375: crop, letterbox, random crop, patches", preprocessed),
    ("resize", "2 images of 500x375 to 256", resized),
];

/// Does all of it, and writes to the file that `WARPLINE_WORKLOADS` names a line for each operator: name, fewest bytes,
/// where in the emulator's file of counters its launches end, and what was done.
#[test]
#[ignore = "`cargo xtask kernels` runs it on the emulator and reads its counters"]
fn kernel_workloads() {
    with_device(|ctx| {
        let counters = std::env::var_os("WARPLINE_EMULATOR_COUNTERS");
        let lines = WORKLOADS.map(|(name, what, run)| {
            let fewest = run(ctx);
            ctx.finish().expect("all work succeeds");
            let end = counters.as_ref().map_or(0, |path| std::fs::metadata(path).expect("counters").len());
            format!("{name}\t{fewest}\t{end}\t{what}\n")
        });
        if let Some(path) = std::env::var_os("WARPLINE_WORKLOADS") {
            std::fs::write(path, lines.concat()).expect("the file can be written");
        }
    });
}
