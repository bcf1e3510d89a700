//! The grid of what encoders write and transport breaks, judged by Pillow on the host and by the host twin on the device.

use jpeg_encoder::{ColorType, Encoder, SamplingFactor};
use warpline::image::jpeg_decode::{Corrupt, DecodeOptions, jpeg_decode};

use super::{compare_live, device, segment};
use crate::common::samples::Random;
use crate::common::with_device;

const QUALITIES: [u8; 4] = [10, 50, 90, 100];
const RESTARTS: [u16; 3] = [0, 1, 3];

/// Components and their sampling.
const KINDS: [(&str, ColorType, SamplingFactor); 9] = {
    use SamplingFactor as S;
    [
        ("4:4:4", ColorType::Rgb, S::R_4_4_4),
        ("4:2:2", ColorType::Rgb, S::R_4_2_2),
        ("4:2:0", ColorType::Rgb, S::R_4_2_0),
        ("4:4:0", ColorType::Rgb, S::R_4_4_0),
        ("4:1:1", ColorType::Rgb, S::R_4_1_1),
        ("4:1:0", ColorType::Rgb, S::R_4_1_0),
        ("gray", ColorType::Luma, S::R_4_4_4),
        ("CMYK", ColorType::Cmyk, S::R_4_4_4),
        ("YCCK", ColorType::CmykAsYcck, S::R_4_2_0),
    ]
};

/// What tells of the colour space.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Head {
    /// As the encoder writes it.
    Own,
    /// No application segments.
    Bare,
    /// Adobe's alone, with this transform.
    Adobe(u8),
}

const HEADS: [Head; 4] = [Head::Own, Head::Bare, Head::Adobe(0), Head::Adobe(1)];

/// What happens to a file.
#[derive(Clone, Copy, Debug)]
enum Damage {
    Plain,
    TrailingJunk,
    FillBytes,
    NoEnd,
    Sixteenths(usize),
    Flips(usize),
}

/// Every damage once.
fn damages() -> Vec<Damage> {
    let mut all = vec![Damage::Plain, Damage::TrailingJunk, Damage::FillBytes, Damage::NoEnd];
    all.extend((1..16).map(Damage::Sixteenths));
    all.extend([1, 1, 3].map(Damage::Flips));
    all
}

/// Every side from 1 to 17, and two larger sizes.
fn sizes() -> Vec<(u16, u16)> {
    let small = (1..=17).map(|width| (width, 1 + width * 7 % 17));
    small.chain([(33, 17), (641, 3)]).collect()
}

/// One encoded file of the grid.
#[derive(Clone, Copy, Debug)]
struct Case {
    kind: usize,
    quality: u8,
    progressive: bool,
    restart: u16,
    head: Head,
    size: (u16, u16),
}

impl Case {
    fn name(&self) -> String {
        format!("{} {self:?}", KINDS[self.kind].0)
    }

    /// A gradient with noise, encoded.
    fn file(&self) -> Vec<u8> {
        let (_, color, sampling) = KINDS[self.kind];
        let (width, height) = (usize::from(self.size.0), usize::from(self.size.1));
        let channels = match color {
            ColorType::Luma => 1,
            ColorType::Rgb => 3,
            _ => 4,
        };
        let mut random = Random((width * 700 + height * 30 + self.kind) as u64);
        let noise = [1, 9, 90, 256][(width + height) % 4];
        let mut sample = |i: usize| {
            let (x, y, channel) = (i / channels % width, i / channels / width, i % channels);
            (x * 3 + y * 5 + channel * 70 + random.below(noise)) as u8
        };
        let pixels: Vec<u8> = (0..width * height * channels).map(&mut sample).collect();
        let mut data = Vec::new();
        let mut encoder = Encoder::new(&mut data, self.quality);
        encoder.set_sampling_factor(sampling);
        encoder.set_progressive(self.progressive);
        encoder.set_restart_interval(self.restart);
        encoder.encode(&pixels, self.size.0, self.size.1, color).expect("an encoded image");
        with_head(data, self.head)
    }
}

/// The file with other application segments, of which the encoder writes up to two, first.
fn with_head(data: Vec<u8>, head: Head) -> Vec<u8> {
    if head == Head::Own {
        return data;
    }
    let mut rest = 2;
    while (0xe0..=0xef).contains(&data[rest + 1]) {
        rest += 2 + usize::from(u16::from_be_bytes([data[rest + 2], data[rest + 3]]));
    }
    let mut with = data[..2].to_vec();
    if let Head::Adobe(transform) = head {
        with.extend(b"\xff\xee\x00\x0eAdobe\x00\x64\x00\x00\x00\x00");
        with.push(transform);
    }
    with.extend(&data[rest..]);
    with
}

/// The file with one kind of damage, its places drawn from `random`.
fn damaged(mut data: Vec<u8>, damage: Damage, random: &mut Random) -> Vec<u8> {
    match damage {
        Damage::Plain => {}
        Damage::TrailingJunk => data.extend((0..40).map(|_| random.next() as u8)),
        Damage::FillBytes => {
            // Before the first segments of several kinds, from the back so that places stay right, and before the end.
            let end = data.len() - 2;
            data.splice(end..end, [0xff; 3]);
            for marker in [0xda, 0xc4, 0xdb] {
                let at = segment(&data, marker);
                data.splice(at..at, vec![0xff; 1 + random.below(4)]);
            }
        }
        Damage::NoEnd => data.truncate(data.len() - 2),
        Damage::Sixteenths(part) => data.truncate(data.len() * part / 16),
        Damage::Flips(count) => {
            for _ in 0..count {
                let at = random.below(data.len());
                data[at] ^= 1 << random.below(8);
            }
        }
    }
    data
}

/// Every combination of components, order and restarts under every kind of head.
fn combinations() -> impl Iterator<Item = (usize, bool, u16, Head)> {
    (0..KINDS.len() * 2 * RESTARTS.len() * HEADS.len()).map(|i| {
        let (kind, i) = (i % KINDS.len(), i / KINDS.len());
        let (progressive, i) = (i % 2 == 1, i / 2);
        (kind, progressive, RESTARTS[i % RESTARTS.len()], HEADS[i / RESTARTS.len()])
    })
}

/// All combinations, in all sizes and qualities.
fn all() -> impl Iterator<Item = Case> {
    combinations().flat_map(|(kind, progressive, restart, head)| {
        sizes()
            .into_iter()
            .flat_map(move |size| QUALITIES.map(|quality| Case { kind, quality, progressive, restart, head, size }))
    })
}

/// All combinations, each in a size and quality that `random` draws.
fn sample(random: &mut Random) -> Vec<Case> {
    let sizes = sizes();
    let draw = |(kind, progressive, restart, head)| {
        let (size, quality) = (sizes[random.below(sizes.len())], QUALITIES[random.below(QUALITIES.len())]);
        Case { kind, quality, progressive, restart, head, size }
    };
    combinations().map(draw).collect()
}

/// A gray file's header as one of three components that share its tables, so that its blocks are theirs in turns.
fn three_of_one(mut data: Vec<u8>, size: (u16, u16)) -> Vec<u8> {
    let scan = segment(&data, 0xda);
    data.splice(scan..scan + 10, *b"\xff\xda\0\x0c\x03\x01\0\x02\0\x03\0\0\x3f\0");
    let frame = segment(&data, 0xc0);
    let [[h1, h0], [w1, w0]] = [size.1, size.0].map(u16::to_be_bytes);
    let of_three = [0xff, 0xc0, 0, 17, 8, h1, h0, w1, w0, 3, 1, 0x11, 0, 2, 0x11, 0, 3, 0x11, 0];
    data.splice(frame..frame + 13, of_three);
    data
}

/// The published state of self-synchronising decoders does not tell such components apart.
#[test]
fn components_that_share_their_tables() {
    let mut random = Random(20261128);
    let mut files = Vec::new();
    for (quality, restart) in [(30, 0), (90, 0), (100, 0), (90, 25)] {
        // 180 x 50 blocks, as 60 x 50 of three components.
        let pixels: Vec<u8> = (0..1440 * 400).map(|_| random.below(200) as u8).collect();
        let mut data = Vec::new();
        let mut encoder = Encoder::new(&mut data, quality);
        encoder.set_restart_interval(3 * restart);
        encoder.encode(&pixels, 1440, 400, ColorType::Luma).expect("an encoded image");
        if restart > 0 {
            let at = segment(&data, 0xdd);
            data[at + 4..at + 6].copy_from_slice(&restart.to_be_bytes());
        }
        files.push((format!("quality {quality}, restart {restart}"), three_of_one(data, (480, 400))));
    }
    compare_live(files.clone());
    with_device(|ctx| {
        let cuda = ctx.as_cuda().expect("a device");
        device::compare(ctx, &files, &DecodeOptions { corrupt: Corrupt::Strict, ..DecodeOptions::default() });
        // Kernels decode them: pixels of the host twin would come up.
        let rows: Vec<_> = files.iter().map(|(_, data)| Some(data.as_slice())).collect();
        let before = cuda.copy_stats().host_to_device;
        jpeg_decode(ctx, &device::column(&rows), &DecodeOptions::default()).expect("decoded");
        let up = cuda.copy_stats().host_to_device - before;
        let encoded: usize = files.iter().map(|(_, data)| data.len()).sum();
        assert!(up as usize <= encoded + (64 << 10), "{up} bytes for {encoded}");
    });
}

#[test]
fn plain_files_like_pillow() {
    let files: Vec<_> = all().map(|case| (case.name(), case.file())).collect();
    assert_eq!(files.len(), 216 * 19 * 4);
    compare_live(files);
}

#[test]
fn damaged_files_like_pillow() {
    let mut random = Random(20261126);
    let mut files = Vec::new();
    for case in sample(&mut random) {
        let file = case.file();
        for damage in damages() {
            files.push((format!("{damage:?} {}", case.name()), damaged(file.clone(), damage, &mut random)));
        }
    }
    assert_eq!(files.len(), 216 * 22);
    compare_live(files);
}

/// Photographs' size: every kind of components once, the other choices in turns; one of them on the device.
#[test]
fn twelve_megapixels_like_pillow() {
    let case = |kind: usize| Case {
        kind,
        quality: QUALITIES[kind % QUALITIES.len()],
        progressive: kind % 2 == 1,
        restart: RESTARTS[kind % RESTARTS.len()],
        head: HEADS[kind % HEADS.len()],
        size: (4000, 3000),
    };
    let files: Vec<_> = (0..KINDS.len()).map(|kind| (case(kind).name(), case(kind).file())).collect();
    with_device(|ctx| device::compare(ctx, &files[2..3], &DecodeOptions::default()));
    compare_live(files);
}

/// Each combination whole, and with a damage that is drawn; every damage comes some twenty times.
#[test]
fn a_sample_on_the_device() {
    with_device(|ctx| {
        let mut random = Random(20261127);
        let mut files = Vec::new();
        for (i, case) in sample(&mut random).into_iter().enumerate() {
            let damage = damages()[i % damages().len()];
            files.push((case.name(), case.file()));
            files.push((format!("{damage:?} {}", case.name()), damaged(case.file(), damage, &mut random)));
        }
        device::compare(ctx, &files, &DecodeOptions::default());
        device::compare(ctx, &files, &DecodeOptions { corrupt: Corrupt::Strict, ..DecodeOptions::default() });
    });
}
