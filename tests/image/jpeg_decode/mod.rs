//! `jpeg_decode` against Pillow: golden files, the corpora, and thousands of broken files.

use std::io::Write;
use std::path::PathBuf;
use std::process::Command;
use std::sync::Arc;
use std::time::{Duration, Instant};

use warpline::arrow::array::{Array, ArrayRef, BinaryArray, BinaryViewArray, Int32Array, LargeBinaryArray};
use warpline::image::Images;
use warpline::image::jpeg_decode::{Corrupt, DecodeCode, DecodeOptions, decode, jpeg_decode};
use warpline::{Column, Error, ExecCtx};

use super::oracle::sha256;
use crate::common::samples::Random;

mod device;
mod grid;

const UPRIGHT: DecodeOptions =
    DecodeOptions { corrupt: Corrupt::AsPillow, exif_orientation: true, max_pixels: 178_956_970 };

/// Our answer to arithmetic coding, the one kind of file that Pillow decodes and we refuse.
const ARITHMETIC: &str = "arithmetic";

/// A file and what Pillow makes of it, as `make_jpeg.py` writes it.
struct Golden {
    name: String,
    answer: String,
    data: Vec<u8>,
}

fn golden_folder() -> PathBuf {
    crate::common::root().join("tests/golden")
}

fn golden() -> Vec<Golden> {
    let store = std::fs::read(golden_folder().join("jpeg.bin")).expect("jpeg.bin");
    let lines = std::fs::read_to_string(golden_folder().join("jpeg.tsv")).expect("jpeg.tsv");
    lines.lines().map(|line| parse(line, &store)).collect()
}

fn parse(line: &str, store: &[u8]) -> Golden {
    let fields: Vec<&str> = line.split('\t').collect();
    let (text, place) = fields.split_at(fields.len() - 5);
    let number = |i: usize| place[i].parse::<usize>().expect("a number");
    let mut data = store[number(0)..number(0) + number(1)].to_vec();
    let hex = |pair: &[u8]| u8::from_str_radix(std::str::from_utf8(pair).expect("ASCII"), 16).expect("hex");
    let put: Vec<u8> = place[4].as_bytes().chunks(2).map(hex).collect();
    data.splice(number(2)..number(2) + number(3), put);
    Golden { name: text[0].to_owned(), answer: text[1..].join("\t"), data }
}

/// Our result in the words of `make_jpeg.py`.
fn answer(data: &[u8]) -> String {
    let fields = |options: &DecodeOptions| {
        decode(data, options).map(|image| format!("{}\t{}\t{}", image.width, image.height, sha256(&image.data)))
    };
    match (fields(&DecodeOptions::default()), fields(&UPRIGHT)) {
        (Ok(plain), Ok(upright)) => format!("{plain}\t{upright}"),
        (Err(error), Err(_)) if error.message.contains("arithmetic") => ARITHMETIC.to_owned(),
        (Err(_), Err(_)) => "error".to_owned(),
        (plain, upright) => panic!("orientation changes the outcome: {plain:?}, {upright:?}"),
    }
}

/// Pillow's answers to these files; `None`, with the reason printed, where Python has no Pillow < 13. With
/// `REQUIRE_ORACLE` set, that is a failure.
fn pillow(files: &[Vec<u8>]) -> Option<Vec<String>> {
    let probe = "import PIL; assert int(PIL.__version__.split('.')[0]) < 13, PIL.__version__";
    if !Command::new("python3").args(["-c", probe]).output().is_ok_and(|out| out.status.success()) {
        assert!(std::env::var_os("REQUIRE_ORACLE").is_none(), "REQUIRE_ORACLE is set, but python3 has no Pillow < 13");
        eprintln!("skipped: live comparison needs python3 with Pillow < 13");
        return None;
    }
    let mut records = tempfile::NamedTempFile::new().expect("a temporary file");
    for data in files {
        records.write_all(&(data.len() as u32).to_le_bytes()).expect("a record");
        records.write_all(data).expect("a record");
    }
    let script = golden_folder().join("make_jpeg.py");
    let mut python = Command::new("python3");
    let output = python.arg("-B").arg(script).arg("--records").arg(records.path()).output().expect("python3 runs");
    assert!(output.status.success(), "make_jpeg.py: {}", String::from_utf8_lossy(&output.stderr));
    Some(String::from_utf8(output.stdout).expect("ASCII").lines().map(str::to_owned).collect())
}

/// Compares all files with Pillow, if it is there, and fails with the names that differ.
fn compare_live(files: Vec<(String, Vec<u8>)>) {
    let (names, data): (Vec<_>, Vec<_>) = files.into_iter().unzip();
    let ours: Vec<String> = data.iter().map(|data| answer(data)).collect();
    let Some(theirs) = pillow(&data) else { return };
    assert_eq!(ours.len(), theirs.len());
    let hex = |data: &[u8]| data.iter().take(3_000).map(|byte| format!("{byte:02x}")).collect::<String>();
    let differing: Vec<String> = (0..ours.len())
        .filter(|&i| ours[i] != theirs[i] && ours[i] != ARITHMETIC)
        .map(|i| format!("{}:\n  ours   {}\n  Pillow {}\n  {}", names[i], ours[i], theirs[i], hex(&data[i])))
        .collect();
    assert!(differing.is_empty(), "{} of {} differ:\n{}", differing.len(), ours.len(), differing.join("\n"));
    eprintln!("{} files equal to Pillow, {} of them errors", ours.len(), ours.iter().filter(|a| *a == "error").count());
}

/// Every file of `$CORPORA/photos` and `$CORPORA/jpeg`; none, with the reason printed, where it is unset.
fn corpora() -> Vec<(String, Vec<u8>)> {
    let Some(root) = std::env::var_os("CORPORA").map(PathBuf::from) else {
        eprintln!("skipped: CORPORA is not set");
        return Vec::new();
    };
    let mut found = Vec::new();
    let mut open = vec![root.join("photos"), root.join("jpeg")];
    while let Some(folder) = open.pop() {
        for entry in std::fs::read_dir(&folder).expect("a readable corpus") {
            let path = entry.expect("a readable entry").path();
            if path.is_dir() {
                open.push(path);
            } else {
                found.push((path.display().to_string(), std::fs::read(&path).expect("a readable file")));
            }
        }
    }
    found.sort();
    assert!(!found.is_empty(), "CORPORA is set, but holds no images");
    found
}

/// Breaks a file in one of the ways that files break.
fn mutate(data: &mut Vec<u8>, random: &mut Random) {
    let spread = if random.below(3) == 0 { data.len().min(700) } else { data.len() };
    let at = random.below(spread);
    let end = (at + 1 + random.below(20)).min(data.len());
    let byte = random.next() as u8;
    match random.below(11) {
        0..=2 => data[at] ^= 1 << (byte & 7),
        3 => data[at] = byte,
        4 => data.truncate(at),
        5 => data.truncate(data.len() - random.below(30.min(data.len()))),
        6 => drop(data.drain(at..end)),
        7 => drop(data.splice(at..at, [byte, !byte, byte ^ 0x55])),
        8 => {
            let marker = [0xd0, 0xd1, 0xd5, 0xd7, 0xd8, 0xd9, 0xda, 0xc4, 0xdd, 0xff, 0x00, byte][random.below(12)];
            data.splice(at..(at + 2).min(data.len()), [0xff, marker]);
        }
        9 => data[at..end].fill(0),
        _ => data.extend_from_slice(&random.next().to_le_bytes()),
    }
}

#[test]
fn golden_files() {
    let golden = golden();
    let wrong = |g: &&Golden| {
        let ours = answer(&g.data);
        ours != g.answer && (ours != ARITHMETIC || g.answer != "error")
    };
    let wrong: Vec<&str> = golden.iter().filter(wrong).map(|g| g.name.as_str()).collect();
    assert!(wrong.is_empty(), "{} of {} differ from Pillow: {wrong:?}", wrong.len(), golden.len());
    assert!(golden.iter().any(|g| g.answer == "error") && golden.iter().any(|g| g.answer != "error"));
}

#[test]
fn corpora_like_pillow() {
    compare_live(corpora());
}

#[test]
fn corpora_cut_like_pillow() {
    let mut cut = Vec::new();
    for (name, data) in corpora() {
        for sixteenth in [1, 5, 9, 13, 15] {
            let end = data.len() * sixteenth / 16;
            let mut ended = data[..end].to_vec();
            ended.extend([0xff, 0xd9]);
            cut.push((format!("{name} cut at {end} with an end marker"), ended));
        }
        cut.push((format!("{name} without its last two bytes"), data[..data.len() - 2].to_vec()));
    }
    compare_live(cut);
}

/// 6,000 broken files for each of `SOAK` seeds, one by default.
#[test]
fn broken_files_like_pillow() {
    let seeds = std::env::var("SOAK").ok().map_or(1, |seeds| seeds.parse().expect("SOAK is a number of seeds"));
    let sound = golden().into_iter().filter(|g| g.answer != "error");
    let mut originals: Vec<(String, Vec<u8>)> = sound.map(|g| (g.name, g.data)).collect();
    originals.extend(corpora().into_iter().filter(|(_, data)| data.len() < 12_000));
    for seed in 1..=seeds {
        let mut random = Random(seed);
        let files = (0..6_000).map(|i| {
            let (name, mut data) = originals[random.below(originals.len())].clone();
            for _ in 0..[1, 1, 2, 5][random.below(4)] {
                if !data.is_empty() {
                    mutate(&mut data, &mut random);
                }
            }
            (format!("{seed}, {i}: {name}"), data)
        });
        let start = Instant::now();
        compare_live(files.collect());
        assert!(start.elapsed() < Duration::from_secs(300), "a broken file took too long");
    }
}

/// The position of the first segment with this marker.
fn segment(data: &[u8], marker: u8) -> usize {
    let mut at = 2;
    while data[at + 1] != marker {
        at += 2 + usize::from(u16::from_be_bytes([data[at + 2], data[at + 3]]));
    }
    at
}

/// Scans without data, over and over: the work must not be scans times pixels.
#[test]
fn empty_scans_cost_little() {
    let golden = golden();
    let file = golden.iter().find(|g| g.name.contains("progTrue-") && g.answer != "error").expect("a progressive file");
    let (frame, scan) = (segment(&file.data, 0xc2), segment(&file.data, 0xda));
    let header_end = scan + 2 + usize::from(file.data[scan + 3]);
    let mut data = file.data[..scan].to_vec();
    data[frame + 5..frame + 9].copy_from_slice(&[0x0b, 0xb8, 0x0b, 0xb8]); // 3000 x 3000
    for _ in 0..20_000 {
        data.extend_from_slice(&file.data[scan..header_end]);
    }
    data.extend_from_slice(&[0xff, 0xd9]);
    let start = Instant::now();
    let image = decode(&data, &DecodeOptions::default()).expect("an image without data");
    assert_eq!((image.width, image.height), (3000, 3000));
    // Zero bits make up the first MCU; the others stay gray.
    let last_row = &image.data[2999 * 9000..];
    assert!(last_row.iter().all(|&sample| sample == last_row[0]));
    assert!(start.elapsed() < Duration::from_secs(20), "{:?}", start.elapsed());
}

#[test]
fn strict_refuses_what_libjpeg_warns_of() {
    let strict = DecodeOptions { corrupt: Corrupt::Strict, ..DecodeOptions::default() };
    let (mut refused, mut accepted) = (0, 0);
    for file in golden().iter().filter(|file| file.answer != "error") {
        match decode(&file.data, &strict) {
            // An undamaged file has no anomaly, and what is decoded is the same in both modes.
            Ok(image) => {
                accepted += 1;
                assert_eq!(Ok(image), decode(&file.data, &DecodeOptions::default()), "{}", file.name);
            }
            Err(_) => {
                refused += 1;
                let damaged = ["flip", "cut", "sampling", "adobe"].iter().any(|how| file.name.contains(how));
                assert!(damaged, "{} is refused", file.name);
            }
        }
    }
    assert!(refused > 20 && accepted > 60, "{refused} refused, {accepted} accepted");
}

#[test]
fn codes() {
    let original = golden().swap_remove(10).data;
    let code = |data: &[u8]| decode(data, &DecodeOptions::default()).map(|_| ()).map_err(|e| e.code);
    let with = |marker: u8| {
        let mut data = original.clone();
        let at = data.windows(2).position(|w| w[0] == 0xff && (0xc0..=0xc2).contains(&w[1])).expect("a frame header");
        data[at + 1] = marker;
        data
    };
    assert_eq!(code(&original), Ok(()));
    assert_eq!(code(&original[..original.len() / 2]), Err(DecodeCode::Truncated));
    assert_eq!(code(b""), Err(DecodeCode::NotAnImage));
    assert_eq!(code(b"\xff\xd8\xff"), Err(DecodeCode::Truncated));
    assert_eq!(code(b"RIFF\0\0\0\0WEBPVP8 "), Err(DecodeCode::Unsupported));
    assert_eq!(code(&with(0xc3)), Err(DecodeCode::Unsupported));
    assert_eq!(code(&with(0xc9)), Err(DecodeCode::Unsupported));
    let small = DecodeOptions { max_pixels: 3, ..DecodeOptions::default() };
    assert_eq!(decode(&original, &small).map(|_| ()).map_err(|e| e.code), Err(DecodeCode::TooLarge));
    let mut bad_table = original.clone();
    let at = bad_table.windows(2).position(|w| w == [0xff, 0xc4]).expect("a Huffman table");
    bad_table[at + 5] = 3;
    assert_eq!(code(&bad_table), Err(DecodeCode::BadHuffman));
}

#[test]
fn columns_of_every_binary_type() {
    let golden: Vec<Golden> = golden().into_iter().take(40).collect();
    let mut rows: Vec<Option<&[u8]>> = golden.iter().map(|g| Some(g.data.as_slice())).collect();
    rows.insert(3, None);
    rows.insert(9, Some(b"no image"));
    let expected: Vec<_> = rows.iter().map(|row| row.map(|data| decode(data, &DecodeOptions::default()))).collect();
    let arrays: [ArrayRef; 3] = [
        Arc::new(BinaryArray::from_iter(rows.iter())),
        Arc::new(LargeBinaryArray::from_iter(rows.iter())),
        Arc::new(BinaryViewArray::from_iter(rows.iter())),
    ];
    for array in arrays {
        let ctx = ExecCtx::host(3).expect("a host context");
        let sliced = Column::from_array(array.slice(1, array.len() - 2));
        let decoded = jpeg_decode(&ctx, &sliced, &DecodeOptions::default()).expect("decoded");
        let images = Images::try_new(decoded.images).expect("an image column");
        assert_eq!(images.len(), rows.len() - 2);
        let mut errors = decoded.errors.iter();
        for (row, expected) in expected[1..rows.len() - 1].iter().enumerate() {
            match expected {
                Some(Ok(image)) => {
                    assert_eq!(images.size(row), Some((image.width, image.height)));
                    assert_eq!(images.pixels(row), Some(image.data.as_slice()));
                }
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
    let result = jpeg_decode(&ctx, &numbers, &DecodeOptions::default());
    assert!(matches!(result, Err(Error::InvalidInput { .. })), "{result:?}");
    let empty = Column::from_array(Arc::new(BinaryArray::from_iter_values(Vec::<&[u8]>::new())));
    let decoded = jpeg_decode(&ctx, &empty, &DecodeOptions::default()).expect("no rows");
    assert_eq!((decoded.images.len(), decoded.errors.len()), (0, 0));
}
