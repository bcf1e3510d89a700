//! `image_decode` against Pillow: golden PNG and WebP files, photographs, and thousands of broken files.

use std::io::Write;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::Arc;

use warpline::arrow::array::{Array, ArrayRef, BinaryArray, BinaryViewArray, Int32Array, LargeBinaryArray};
use warpline::image::Images;
use warpline::image::image_decode::{ImageFormat, decode, image_decode};
use warpline::image::jpeg_decode::{DecodeCode, DecodeOptions};
use warpline::{Column, Error, ExecCtx};

use super::oracle::sha256;
use crate::common::samples::Random;

/// A file and what Pillow makes of it, as `make_image.py` writes it.
#[derive(Clone)]
struct Golden {
    name: String,
    answer: String,
    data: Vec<u8>,
}

fn golden_folder() -> PathBuf {
    crate::common::root().join("tests/golden")
}

fn golden() -> Vec<Golden> {
    let store = std::fs::read(golden_folder().join("image.bin")).expect("image.bin");
    let lines = std::fs::read_to_string(golden_folder().join("image.tsv")).expect("image.tsv");
    let parse = |line: &str| {
        let fields: Vec<&str> = line.split('\t').collect();
        let (text, place) = fields.split_at(fields.len() - 2);
        let [offset, length] = [place[0], place[1]].map(|field| field.parse::<usize>().expect("a number"));
        let data = store[offset..offset + length].to_vec();
        Golden { name: text[0].to_owned(), answer: text[1..].join("\t"), data }
    };
    lines.lines().map(parse).collect()
}

fn golden_data(name: &str) -> Vec<u8> {
    golden().into_iter().find(|file| file.name == name).expect("a golden file of that name").data
}

/// Our result in the words of `make_image.py`.
fn answer(data: &[u8]) -> String {
    let fields = |exif_orientation: bool| {
        let options = DecodeOptions { exif_orientation, ..DecodeOptions::default() };
        decode(data, &options).map(|image| {
            assert_eq!(image.data.len(), 3 * image.width as usize * image.height as usize);
            let declared = ImageFormat::declared_pixels(data).expect("a size");
            assert_eq!(u64::from(image.width) * u64::from(image.height), declared);
            format!("{}\t{}\t{}", image.width, image.height, sha256(&image.data))
        })
    };
    match (fields(false), fields(true)) {
        (Ok(plain), Ok(upright)) => format!("{plain}\t{upright}"),
        (Err(_), Err(_)) => "error".to_owned(),
        (plain, upright) => panic!("orientation changes the outcome: {plain:?}, {upright:?}"),
    }
}

/// Runs `make_image.py`; `None`, with the reason printed, where Python has no Pillow < 13. With `REQUIRE_ORACLE` set,
/// that is a failure.
fn script(args: &[&Path]) -> Option<String> {
    let probe = "import PIL; assert int(PIL.__version__.split('.')[0]) < 13, PIL.__version__";
    if !Command::new("python3").args(["-c", probe]).output().is_ok_and(|out| out.status.success()) {
        assert!(std::env::var_os("REQUIRE_ORACLE").is_none(), "REQUIRE_ORACLE is set, but python3 has no Pillow < 13");
        eprintln!("skipped: live comparison needs python3 with Pillow < 13");
        return None;
    }
    let script = golden_folder().join("make_image.py");
    let output = Command::new("python3").arg("-B").arg(script).args(args).output().expect("python3 runs");
    assert!(output.status.success(), "make_image.py: {}", String::from_utf8_lossy(&output.stderr));
    Some(String::from_utf8(output.stdout).expect("ASCII"))
}

/// Pillow's answers to these files.
fn pillow<'a>(files: impl IntoIterator<Item = &'a [u8]>) -> Option<Vec<String>> {
    let mut records = tempfile::NamedTempFile::new().expect("a temporary file");
    for data in files {
        records.write_all(&(data.len() as u32).to_le_bytes()).expect("a record");
        records.write_all(data).expect("a record");
    }
    let answers = script(&[Path::new("--records"), records.path()])?;
    Some(answers.lines().map(str::to_owned).collect())
}

/// How our answers to a number of files stand to Pillow's.
#[derive(Debug, Default)]
struct Tally {
    equal: usize,
    /// Equal, and both refuse.
    errors: usize,
    only_we_refuse: Vec<String>,
    only_pillow_refuses: Vec<String>,
    pixels_differ: Vec<String>,
}

/// Compares all files with Pillow, if it is there.
fn tally(files: &[(String, Vec<u8>)]) -> Option<Tally> {
    let theirs = pillow(files.iter().map(|(_, data)| data.as_slice()))?;
    assert_eq!(files.len(), theirs.len());
    let mut tally = Tally::default();
    for ((name, data), theirs) in files.iter().zip(theirs) {
        let ours = answer(data);
        let hex = || data.iter().take(2_000).map(|byte| format!("{byte:02x}")).collect::<String>();
        let told = |why: &str| format!("{name}: {why}{}", hex());
        match (ours == theirs, ours.as_str(), theirs.as_str()) {
            (true, answer, _) => {
                tally.equal += 1;
                tally.errors += usize::from(answer == "error");
            }
            (_, "error", _) => {
                let why = decode(data, &DecodeOptions::default()).map(|_| ()).unwrap_err();
                tally.only_we_refuse.push(told(&format!("{why}: ")));
            }
            (_, _, "error") => tally.only_pillow_refuses.push(told("")),
            _ => tally.pixels_differ.push(told("")),
        }
    }
    eprintln!(
        "{} of {} files equal to Pillow, {} of them errors; only we refuse {}, only Pillow {}, other pixels {}",
        tally.equal,
        files.len(),
        tally.errors,
        tally.only_we_refuse.len(),
        tally.only_pillow_refuses.len(),
        tally.pixels_differ.len()
    );
    Some(tally)
}

/// Fails unless every file is as Pillow has it.
fn compare_live(files: &[(String, Vec<u8>)]) {
    let Some(tally) = tally(files) else { return };
    assert_eq!(tally.equal, files.len(), "{tally:#?}");
}

#[test]
fn golden_files() {
    let golden = golden();
    let wrong: Vec<String> = golden
        .iter()
        .filter(|g| answer(&g.data) != g.answer)
        .map(|g| {
            let ours = decode(&g.data, &DecodeOptions::default()).map(|_| answer(&g.data));
            format!("{}:\n  ours   {ours:?}\n  Pillow {}", g.name, g.answer)
        })
        .collect();
    assert!(wrong.is_empty(), "{} of {} differ from Pillow:\n{}", wrong.len(), golden.len(), wrong.join("\n"));
    assert!(golden.iter().any(|g| g.answer == "error") && golden.iter().any(|g| g.answer != "error"));
}

/// Photographs as WebP of several qualities, lossless and with alpha, and as PNG of several kinds.
#[test]
fn photographs_like_pillow() {
    let Some(root) = std::env::var_os("CORPORA").map(PathBuf::from) else {
        eprintln!("skipped: CORPORA is not set");
        return;
    };
    let file = tempfile::NamedTempFile::new().expect("a temporary file");
    let Some(_) = script(&[Path::new("--photos"), &root.join("photos"), file.path()]) else { return };
    let mut rest = std::fs::read(file.path()).expect("records");
    let mut files = Vec::new();
    while !rest.is_empty() {
        let length = u32::from_le_bytes(rest[..4].try_into().expect("a length")) as usize;
        files.push((format!("photograph {}", files.len()), rest[4..4 + length].to_vec()));
        rest.drain(..4 + length);
    }
    assert!(files.len() > 20, "few photographs in the corpora");
    compare_live(&files);
}

/// Every golden file cut at each sixteenth and short of its last bytes.
#[test]
fn cut_files_like_pillow() {
    let mut cut = Vec::new();
    for Golden { name, data, .. } in golden().into_iter().filter(|g| g.answer != "error") {
        let ends =
            (0..16).map(|sixteenth| data.len() * sixteenth / 16).chain(data.len().saturating_sub(16)..data.len());
        cut.extend(ends.map(|end| (format!("{name} cut at {end}"), data[..end].to_vec())));
    }
    compare_live(&cut);
}

/// The chunks of a PNG: where each begins, and the length of its data.
fn png_chunks(data: &[u8]) -> Vec<(usize, usize)> {
    let mut found = Vec::new();
    let mut at = 8;
    while let Some(length) = data.get(at..at + 4) {
        let length = u32::from_be_bytes(length.try_into().expect("four bytes")) as usize;
        found.push((at, length));
        at += 12 + length;
    }
    found.retain(|(at, length)| at + 12 + length <= data.len());
    found
}

/// Breaks a file in one of the ways that files break. Half of the changes inside a PNG's chunks get a right checksum.
fn mutate(data: &mut Vec<u8>, random: &mut Random) {
    let spread = if random.below(3) == 0 { data.len().min(60) } else { data.len() };
    let at = random.below(spread);
    let end = (at + 1 + random.below(20)).min(data.len());
    let byte = random.next() as u8;
    match random.below(9) {
        0..=3 => data[at] ^= 1 << (byte & 7),
        4 => data[at] = byte,
        5 => data.truncate(at),
        6 => drop(data.drain(at..end)),
        7 => drop(data.splice(at..at, [byte, !byte, byte ^ 0x55])),
        _ => data[at..end].fill(0),
    }
    if data.starts_with(b"\x89PNG") && random.below(2) == 0 {
        for (at, length) in png_chunks(data) {
            let sum = crc32(&data[at + 4..at + 8 + length]);
            data[at + 8 + length..][..4].copy_from_slice(&sum.to_be_bytes());
        }
    }
}

/// The CRC of PNG, bit by bit.
fn crc32(bytes: &[u8]) -> u32 {
    !bytes.iter().fold(!0, |sum, byte| {
        (0..8).fold(sum ^ u32::from(*byte), |sum, _| if sum & 1 == 1 { sum >> 1 ^ 0xedb8_8320 } else { sum >> 1 })
    })
}

/// 4,000 broken files of a format for each of `SOAK` seeds, one by default.
fn broken(format: &str) -> Vec<(String, Vec<u8>)> {
    let seeds = std::env::var("SOAK").ok().map_or(1, |seeds| seeds.parse().expect("SOAK is a number of seeds"));
    let originals: Vec<Golden> =
        golden().into_iter().filter(|g| g.answer != "error" && g.name.starts_with(format)).collect();
    let mut files = Vec::new();
    for seed in 1..=seeds {
        let mut random = Random(seed);
        for i in 0..4_000 {
            let mut file = originals[random.below(originals.len())].clone();
            for _ in 0..[1, 1, 2, 4][random.below(4)] {
                if !file.data.is_empty() {
                    mutate(&mut file.data, &mut random);
                }
            }
            files.push((format!("{seed}, {i}: {}", file.name), file.data));
        }
    }
    files
}

#[test]
fn broken_png_like_pillow() {
    compare_live(&broken("png"));
}

/// The crate and libwebp disagree on few broken files (docs/images.md): mostly on whether there are pixels at all.
#[test]
fn broken_webp_like_pillow() {
    let files = broken("webp");
    let Some(tally) = tally(&files) else { return };
    assert!(tally.pixels_differ.len() * 1000 <= files.len(), "{tally:#?}");
    let disagree = files.len() - tally.equal;
    assert!(disagree * 100 <= files.len(), "{disagree} of {} broken files: {tally:#?}", files.len());
}

/// A size over the limit is refused by the header alone: the first of these would need 12 GiB.
#[test]
fn sizes_are_checked_first() {
    let mut data = golden_data("png-8-2-0-33x17");
    data[16..20].copy_from_slice(&65_000u32.to_be_bytes());
    data[20..24].copy_from_slice(&65_000u32.to_be_bytes());
    let sum = crc32(&data[12..29]);
    data[29..33].copy_from_slice(&sum.to_be_bytes());
    assert_eq!(ImageFormat::declared_pixels(&data), Some(65_000 * 65_000));
    assert_eq!(decode(&data, &DecodeOptions::default()).map_err(|e| e.code), Err(DecodeCode::TooLarge));
    for name in ["png-8-6-1-33x17", "webp-animation-True", "webp-canvas"] {
        let data = golden_data(name);
        let pixels = ImageFormat::declared_pixels(&data).expect("a size");
        let limit = |max_pixels| DecodeOptions { max_pixels, ..DecodeOptions::default() };
        assert!(decode(&data, &limit(pixels)).is_ok(), "{name}");
        assert_eq!(decode(&data, &limit(pixels - 1)).map_err(|e| e.code), Err(DecodeCode::TooLarge), "{name}");
    }
}

#[test]
fn codes() {
    let code = |data: &[u8]| decode(data, &DecodeOptions::default()).map(|_| ()).map_err(|e| e.code);
    let png = golden_data("png-8-2-0-33x17");
    assert_eq!(code(&png), Ok(()));
    assert_eq!(code(&png[..png.len() / 2]), Err(DecodeCode::Truncated));
    assert_eq!(code(&png[..20]), Err(DecodeCode::Truncated));
    assert_eq!(code(&png[..7]), Err(DecodeCode::NotAnImage));
    assert_eq!(code(&golden_data("png-bad-crc")), Err(DecodeCode::Corrupt));
    assert_eq!(code(&golden_data("png-data-dictionary")), Err(DecodeCode::Corrupt));
    let webp = golden_data("webp-canvas");
    assert_eq!(code(&webp), Ok(()));
    assert_eq!(code(&webp[..webp.len() / 2]), Err(DecodeCode::Truncated));
    assert_eq!(code(&webp[..16]), Err(DecodeCode::Truncated));
    assert_eq!(code(b""), Err(DecodeCode::NotAnImage));
    assert_eq!(code(b"no image"), Err(DecodeCode::NotAnImage));
    assert_eq!(code(b"BM\0\0"), Err(DecodeCode::Unsupported));
    assert_eq!(code(b"\xff\xd8\xff"), Err(DecodeCode::Truncated));
}

/// JPEG, PNG, WebP, rubbish and nulls in one column: each row as if it were alone.
#[test]
fn columns_of_every_format_and_binary_type() {
    let jpeg = std::fs::read(golden_folder().join("jpeg.bin")).expect("jpeg.bin");
    let golden: Vec<Golden> = golden().into_iter().step_by(7).collect();
    let mut rows: Vec<Option<&[u8]>> = golden.iter().map(|g| Some(g.data.as_slice())).collect();
    rows.insert(2, Some(&jpeg));
    rows.insert(3, None);
    rows.insert(9, Some(b"no image"));
    let expected: Vec<_> = rows.iter().map(|row| row.map(|data| decode(data, &DecodeOptions::default()))).collect();
    assert!(expected[2].as_ref().is_some_and(|jpeg| jpeg.is_ok()));
    let arrays: [ArrayRef; 3] = [
        Arc::new(BinaryArray::from_iter(rows.iter())),
        Arc::new(LargeBinaryArray::from_iter(rows.iter())),
        Arc::new(BinaryViewArray::from_iter(rows.iter())),
    ];
    for array in arrays {
        let ctx = ExecCtx::host(3).expect("a host context");
        let sliced = Column::from_array(array.slice(1, array.len() - 2));
        let decoded = image_decode(&ctx, &sliced, &DecodeOptions::default()).expect("decoded");
        let images = Images::try_new(decoded.images).expect("an image column");
        assert_eq!(images.len(), rows.len() - 2);
        let mut errors = decoded.errors.iter();
        for (row, expected) in expected[1..rows.len() - 1].iter().enumerate() {
            match expected {
                Some(Ok(image)) => assert_eq!(images.pixels(row), Some(image.data.as_slice())),
                Some(Err(error)) => {
                    let found = errors.next().expect("an error row");
                    assert_eq!((found.row, found.code, &found.message), (row, error.code, &error.message));
                    assert_eq!(images.size(row), None);
                }
                None => assert_eq!(images.size(row), None),
            }
        }
        assert_eq!(errors.next(), None);
    }
}

#[test]
fn wrong_columns_are_refused() {
    let ctx = ExecCtx::host(1).expect("a host context");
    let numbers = Column::from_array(Arc::new(Int32Array::from(vec![1])));
    let result = image_decode(&ctx, &numbers, &DecodeOptions::default());
    assert!(matches!(result, Err(Error::InvalidInput { op: "image_decode", .. })), "{result:?}");
    let empty = Column::from_array(Arc::new(BinaryArray::from_iter_values(Vec::<&[u8]>::new())));
    let decoded = image_decode(&ctx, &empty, &DecodeOptions::default()).expect("no rows");
    assert_eq!((decoded.images.len(), decoded.errors.len()), (0, 0));
}
