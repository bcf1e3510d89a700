//! Decoding on the device: the host twin, whose judge is Pillow, says what every row must be.

use std::sync::Arc;

use jpeg_encoder::{ColorType, Encoder, SamplingFactor};
use warpline::arrow::array::{ArrayRef, BinaryArray, BinaryViewBuilder, LargeBinaryArray, StringArray};
use warpline::device::CountLaunches;
use warpline::image::Images;
use warpline::image::jpeg_decode::{Corrupt, DecodeOptions, Decoded, jpeg_decode, jpeg_decode_plan};
use warpline::{Column, ExecCtx};

use super::{UPRIGHT, corpora, golden, mutate};
use crate::common::samples::Random;
use crate::common::with_device;

pub(super) fn column(files: &[Option<&[u8]>]) -> Column {
    let array: ArrayRef = Arc::new(BinaryArray::from_iter(files.iter()));
    Column::from_array(array)
}

/// Decodes files on the device and compares all rows and errors with the host twin's.
pub(super) fn compare(ctx: &ExecCtx, files: &[(String, Vec<u8>)], options: &DecodeOptions) {
    let rows: Vec<Option<&[u8]>> = files.iter().map(|(_, data)| Some(data.as_slice())).collect();
    let column = column(&rows);
    let host = ExecCtx::host(0).expect("a host context");
    let expected = jpeg_decode(&host, &column, options).expect("decoded");
    let found = jpeg_decode(ctx, &column, options).expect("decoded");
    let (expected, found) = (images(&host, expected), images(&host, found));
    let mut wrong = Vec::new();
    for (row, (name, data)) in files.iter().enumerate() {
        let same = found.0.size(row) == expected.0.size(row) && found.0.pixels(row) == expected.0.pixels(row);
        if !same {
            wrong.push(format!("{name} ({} bytes): {}", data.len(), difference(&expected.0, &found.0, row)));
        }
    }
    assert!(wrong.is_empty(), "{} of {} differ:\n{}", wrong.len(), files.len(), wrong.join("\n"));
    assert_eq!(found.1, expected.1);

    // The same from columns that are only on the device.
    for column in [column, views(&rows)] {
        let resident = column.to(ctx).expect("an upload");
        let resident = images(&host, jpeg_decode(ctx, &resident, options).expect("decoded"));
        assert_eq!(resident.1, expected.1);
        for (row, (name, _)) in files.iter().enumerate() {
            let same = resident.0.size(row) == expected.0.size(row) && resident.0.pixels(row) == expected.0.pixels(row);
            assert!(same, "{name}, {}: {}", column.data_type(), difference(&expected.0, &resident.0, row));
        }
    }
}

/// Views into several data buffers.
fn views(files: &[Option<&[u8]>]) -> Column {
    let longest = files.iter().flatten().map(|file| file.len()).max().unwrap_or(0);
    let mut builder = BinaryViewBuilder::new().with_fixed_block_size(longest.max(100_000) as u32);
    files.iter().for_each(|file| builder.append_option(*file));
    Column::from_array(Arc::new(builder.finish()))
}

fn images(host: &ExecCtx, decoded: Decoded) -> (Images, Vec<String>) {
    let errors = decoded.errors.iter().map(|e| format!("{}: {}: {}", e.row, e.code, e.message)).collect();
    (Images::try_new(decoded.images).expect("images").to(host).expect("a download"), errors)
}

/// The first pixel that differs.
fn difference(expected: &Images, found: &Images, row: usize) -> String {
    let (Some((width, height)), Some(other)) = (expected.size(row), found.size(row)) else {
        return format!("{:?}, expected {:?}", found.size(row), expected.size(row));
    };
    let pairs = expected.pixels(row).into_iter().flatten().zip(found.pixels(row).into_iter().flatten());
    let wrong: Vec<usize> = pairs.enumerate().filter(|(_, (a, b))| a != b).map(|(i, _)| i / 3).collect();
    let first = wrong.first().map(|i| (i % width as usize, i / width as usize));
    format!("{width} x {height} ({other:?}), {} samples differ, the first at {first:?}", wrong.len())
}

fn named(files: impl IntoIterator<Item = super::Golden>) -> Vec<(String, Vec<u8>)> {
    files.into_iter().map(|g| (g.name, g.data)).collect()
}

#[test]
fn golden_files_in_one_batch() {
    with_device(|ctx| {
        let files = named(golden());
        for options in [DecodeOptions::default(), UPRIGHT] {
            compare(ctx, &files, &options);
        }
        compare(ctx, &files, &DecodeOptions { corrupt: Corrupt::Strict, ..UPRIGHT });
        compare(ctx, &files, &DecodeOptions { max_pixels: 300, ..UPRIGHT });
    });
}

#[test]
fn corpora_in_one_batch() {
    with_device(|ctx| {
        // Files of more than a megapixel have a test of their own.
        let small: Vec<_> = corpora().into_iter().filter(|(_, data)| data.len() < 150_000).collect();
        compare(ctx, &small, &UPRIGHT);
    });
}

/// 600 broken files for each of `SOAK` seeds, one by default, as one batch.
#[test]
fn broken_files_leave_their_neighbours_alone() {
    let seeds = std::env::var("SOAK").ok().map_or(1, |seeds| seeds.parse().expect("SOAK is a number of seeds"));
    with_device(|ctx| {
        let sound: Vec<_> = named(golden().into_iter().filter(|g| g.answer != "error"));
        for seed in 1..=seeds {
            let mut random = Random(seed);
            let broken = |i: usize| {
                let (name, mut data) = sound[random.below(sound.len())].clone();
                for _ in 0..[0, 1, 1, 3][random.below(4)] {
                    if !data.is_empty() {
                        mutate(&mut data, &mut random);
                    }
                }
                (format!("{seed}, {i}: {name}"), data)
            };
            let files: Vec<_> = (0..600).map(broken).collect();
            compare(ctx, &files, &DecodeOptions::default());
            compare(ctx, &files, &DecodeOptions { corrupt: Corrupt::Strict, ..DecodeOptions::default() });
        }
    });
}

#[test]
fn nulls_and_no_rows() {
    with_device(|ctx| {
        let file = golden().into_iter().find(|g| g.answer != "error").expect("a file").data;
        let host = ExecCtx::host(1).expect("a host context");
        for rows in [vec![], vec![None], vec![None, Some(file.as_slice()), None, Some(b"text".as_slice())]] {
            let column = column(&rows);
            let expected = images(&host, jpeg_decode(&host, &column, &UPRIGHT).expect("decoded"));
            let wide: ArrayRef = Arc::new(LargeBinaryArray::from_iter(rows.iter()));
            let resident = [&column, &Column::from_array(wide), &views(&rows)].map(|c| c.to(ctx).expect("an upload"));
            for column in [&column].into_iter().chain(&resident) {
                let found = images(&host, jpeg_decode(ctx, column, &UPRIGHT).expect("decoded"));
                assert_eq!(found.1, expected.1);
                assert_eq!(found.0.len(), rows.len());
                for row in 0..rows.len() {
                    assert_eq!(found.0.pixels(row), expected.0.pixels(row));
                }
            }
        }
    });
}

/// Baseline files of a thousand pixels and more, that the device decodes from end to end.
fn regular() -> Vec<(String, Vec<u8>)> {
    let sound = |g: &super::Golden| g.answer != "error" && !g.name.contains("progTrue");
    named(golden().into_iter().filter(sound))
}

#[test]
fn launches_do_not_depend_on_the_batch() {
    with_device(|ctx| {
        let files = regular();
        let launches = |count: usize| {
            let counter = Arc::new(CountLaunches::default());
            let ctx = ctx.with_launch_strategy(counter.clone());
            let rows: Vec<_> = files.iter().take(count).map(|(_, data)| Some(data.as_slice())).collect();
            jpeg_decode(&ctx, &column(&rows), &DecodeOptions::default()).expect("decoded");
            counter.count()
        };
        assert_eq!(launches(1), launches(files.len()));
        assert_eq!(launches(1), 15);
    });
}

/// What the host twin decodes comes to the device as pixels, so bytes copied tell how much that was.
#[test]
fn sound_files_are_decoded_by_kernels() {
    with_device(|ctx| {
        let sound = |g: &super::Golden| g.answer != "error" && !g.name.starts_with("rgb-");
        let (progressive, sequential): (Vec<_>, Vec<_>) =
            golden().into_iter().filter(sound).partition(|g| g.data.windows(2).any(|w| w == [0xff, 0xc2]));
        for files in [named(sequential), named(progressive)] {
            assert!(files.len() > 50, "{}", files.len());
            let rows: Vec<_> = files.iter().map(|(_, data)| Some(data.as_slice())).collect();
            let cuda = ctx.as_cuda().expect("a device");
            let before = cuda.copy_stats().host_to_device;
            jpeg_decode(ctx, &column(&rows), &DecodeOptions::default()).expect("decoded");
            let up = cuda.copy_stats().host_to_device - before;
            let encoded: usize = files.iter().map(|(_, data)| data.len()).sum();
            // Twelve scans of 240 bytes, three finished ones, eight chains and the image itself.
            let descriptors = files.len() * (15 * 240 + 120 + 64);
            assert!(up as usize <= encoded + descriptors + (64 << 10), "{up} bytes for {encoded}");
        }
    });
}

/// Photographs of the corpora that are baseline files.
fn photographs() -> Vec<Vec<u8>> {
    let baseline = |data: &[u8]| {
        data.windows(2).find(|w| w[0] == 0xff && (0xc0..=0xc2).contains(&w[1])).is_some_and(|w| w[1] != 0xc2)
    };
    let photos = corpora().into_iter().filter(|(name, data)| name.contains("photos") && baseline(data));
    photos.map(|(_, data)| data).collect()
}

#[test]
fn only_encoded_bytes_and_descriptors_cross() {
    with_device(|ctx| {
        let photos = photographs();
        if photos.is_empty() {
            return;
        }
        let rows: Vec<_> = photos.iter().map(|data| Some(data.as_slice())).collect();
        let cuda = ctx.as_cuda().expect("a device");
        // Files with Photoshop's resources come to the host as a whole.
        let ordinary = |data: &&Vec<u8>| !data.windows(14).any(|window| window == b"Photoshop 3.0\0");
        let ordinary: Vec<_> = photos.iter().filter(ordinary).map(|data| Some(data.as_slice())).collect();
        assert!(ordinary.len() > 10);
        let resident = column(&ordinary).to(ctx).expect("an upload");
        let before = cuda.copy_stats();
        let decoded = jpeg_decode(ctx, &resident, &DecodeOptions::default()).expect("decoded");
        let after = cuda.copy_stats();
        assert_eq!(decoded.errors, []);
        let (up, down) = (after.host_to_device - before.host_to_device, after.device_to_host - before.device_to_host);
        assert!(up <= 2048 * ordinary.len() as u64, "{up} bytes of descriptors");
        assert_eq!(down, (4 + 24 + 2048) * ordinary.len() as u64, "headers, and a status word for each scan");

        let before = cuda.copy_stats();
        let decoded = jpeg_decode(ctx, &column(&rows), &DecodeOptions::default()).expect("decoded");
        let after = cuda.copy_stats();
        assert_eq!(decoded.errors, []);
        let encoded: usize = photos.iter().map(Vec::len).sum();
        let up = after.host_to_device - before.host_to_device;
        let down = after.device_to_host - before.device_to_host;
        assert!(up as f64 <= 1.02 * encoded as f64, "{up} bytes up for {encoded} encoded");
        assert_eq!(down, 4 * photos.len() as u64, "a status word for each scan");
    });
}

/// Strange files too, which come to the host for their headers and again to be decoded, cross once.
#[test]
fn no_file_crosses_twice() {
    with_device(|ctx| {
        let cuda = ctx.as_cuda().expect("a device");
        for golden in golden() {
            let resident = column(&[Some(golden.data.as_slice())]).to(ctx).expect("an upload");
            let before = cuda.copy_stats();
            jpeg_decode(ctx, &resident, &DecodeOptions::default()).expect("a column");
            let down = cuda.copy_stats().device_to_host - before.device_to_host;
            let most = golden.data.len() as u64 + 24 + 2048 + 4 * 22;
            assert!(down <= most, "{}: {down} bytes came, {most} at most", golden.name);
        }
    });
}

/// Files of several scans, progressive ones and others, that are only on the device.
#[test]
fn data_of_several_scans_stay_on_the_device() {
    with_device(|ctx| {
        let several = |data: &[u8]| data.windows(2).filter(|w| *w == [0xff, 0xda]).count() > 1;
        // The host twin decodes these, so that they come to it.
        let broken = ["rgb-", "-flip", "-cut", "-sampling", "-adobe"];
        let sound = |g: &super::Golden| g.answer != "error" && !broken.iter().any(|part| g.name.contains(part));
        let files: Vec<_> = golden().into_iter().filter(|g| sound(g) && several(&g.data)).collect();
        assert!(files.len() > 30, "{}", files.len());
        // As many as it takes for the device to decode them.
        let few = 8 * ctx.pool().current_num_threads();
        let files: Vec<_> = files.iter().cycle().take(few.max(files.len())).collect();
        let rows: Vec<_> = files.iter().map(|g| Some(g.data.as_slice())).collect();
        for column in [column(&rows), views(&rows)] {
            let resident = column.to(ctx).expect("an upload");
            let cuda = ctx.as_cuda().expect("a device");
            let before = cuda.copy_stats();
            let decoded = jpeg_decode(ctx, &resident, &DecodeOptions::default()).expect("decoded");
            let after = cuda.copy_stats();
            assert_eq!(decoded.errors, []);
            let (up, down) =
                (after.host_to_device - before.host_to_device, after.device_to_host - before.device_to_host);
            let n = files.len() as u64;
            // Eighteen scans of four inks, and a finished one for each; a status word for each of them.
            let scans = 22;
            assert!(down <= n * (24 + 2048 + 4 * scans), "{down} bytes of {n} files came to the host");
            assert!(up <= n * (scans * 240 + 120 + 64) + (64 << 10), "{up} bytes of {n} files' descriptors");
        }
    });
}

#[test]
fn the_plan_holds() {
    with_device(|ctx| {
        for files in [regular(), named(golden())] {
            let rows: Vec<_> = files.iter().map(|(_, data)| Some(data.as_slice())).collect();
            let column = column(&rows);
            let plan = jpeg_decode_plan(ctx, &column, &DecodeOptions::default()).expect("a plan");
            let ctx = ctx.with_budget(plan.workspace + plan.output).expect("a budget");
            let decoded = jpeg_decode(&ctx, &column, &DecodeOptions::default()).expect("the plan is enough");
            let ledger = ctx.as_cuda().expect("a device").ledger();
            assert!(ledger.used() <= plan.output, "{} bytes of {plan:?}", ledger.used());
            assert!(ledger.peak() <= plan.workspace + plan.output, "{} bytes of {plan:?}", ledger.peak());
            drop(decoded);
            let small = ctx.with_budget(plan.output / 2).expect("a budget");
            let error = jpeg_decode(&small, &column, &DecodeOptions::default()).expect_err("too little memory");
            assert!(matches!(error, warpline::Error::OutOfMemory { .. }), "{error}");
        }
    });
}

/// An RGB image from a function of its place.
fn encoded(size: (u16, u16), quality: u8, sampling: SamplingFactor, pixel: impl Fn(u32, u32) -> [u8; 3]) -> Vec<u8> {
    let place = |i: u32| (i % u32::from(size.0), i / u32::from(size.0));
    let all = (0..u32::from(size.0) * u32::from(size.1)).map(place);
    let pixels: Vec<u8> = all.flat_map(|(x, y)| pixel(x, y)).collect();
    let mut data = Vec::new();
    let mut encoder = Encoder::new(&mut data, quality);
    encoder.set_sampling_factor(sampling);
    encoder.encode(&pixels, size.0, size.1, ColorType::Rgb).expect("an encoded image");
    data
}

/// A hash of a place: noise.
fn noise(x: u32, y: u32) -> [u8; 3] {
    let mut random = Random(u64::from(x) << 32 | u64::from(y));
    let [a, b, c, ..] = random.next().to_le_bytes();
    [a, b, c]
}

#[test]
fn poison() {
    use SamplingFactor as S;
    with_device(|ctx| {
        let thumbnail = |i: u32| encoded((40 + i as u16, 30), 80, S::F_2_2, move |x, y| noise(x / 4 + i, y / 4));
        let mut files: Vec<(String, Vec<u8>)> = (0..20).map(|i| (format!("thumbnail {i}"), thumbnail(i))).collect();
        let mut add = |name: &str, data: Vec<u8>| files.push((name.to_owned(), data));
        add("noise at quality 100", encoded((700, 500), 100, S::F_1_1, noise));
        add("noise at quality 100, 4:2:0", encoded((700, 500), 100, S::F_2_2, noise));
        add("4:1:0", encoded((640, 480), 85, S::F_4_2, |x, y| noise(x / 8, y / 8)));
        add("4:1:1", encoded((640, 480), 85, S::F_4_1, |x, y| noise(x / 8, y / 8)));
        add("flat 8K", encoded((7680, 4320), 90, S::F_2_2, |_, _| [90, 120, 200]));
        add("60000 x 1", encoded((60_000, 1), 85, S::F_2_2, |x, _| noise(x / 16, 0)));
        add("1 x 60000", encoded((1, 60_000), 85, S::F_1_1, |_, y| noise(0, y / 16)));
        compare(ctx, &files, &DecodeOptions::default());
    });
}

#[test]
fn one_image_of_a_hundred_megapixels_among_thumbnails() {
    with_device(|ctx| {
        let wave = |x: u32, y: u32| [(x / 40 + y / 50) as u8, (x / 70) as u8, (y / 30) as u8];
        let thumbnail = |i: u16| (format!("{i}"), encoded((60 + i, 45), 85, SamplingFactor::F_2_2, wave));
        let mut files: Vec<_> = (0..12).map(thumbnail).collect();
        files.insert(5, ("large".to_owned(), encoded((10_000, 10_000), 85, SamplingFactor::F_2_2, wave)));
        compare(ctx, &files, &DecodeOptions::default());
    });
}

#[test]
fn columns_in_other_places_and_of_other_types_are_refused() {
    with_device(|ctx| {
        let options = DecodeOptions::default();
        let host = ExecCtx::host(1).expect("a host context");
        let resident = column(&[Some(b"text".as_slice())]).to(ctx).expect("an upload");
        let error = jpeg_decode(&host, &resident, &options).expect_err("the host cannot read it");
        assert!(matches!(error, warpline::Error::WrongDevice { .. }), "{error}");
        let text = Column::from_array(Arc::new(StringArray::from(vec!["text"])));
        let on_host = jpeg_decode(ctx, &text, &options).expect_err("text");
        let error = jpeg_decode(ctx, &text.to(ctx).expect("an upload"), &options).expect_err("text on a device");
        assert!(matches!(error, warpline::Error::InvalidInput { .. }), "{error}");
        assert_eq!(error.to_string(), on_host.to_string());
    });
}
