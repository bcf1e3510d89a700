//! One image from bytes to RGB: the order of the stages.

use super::coefficients::{self, Coefficients, Progress};
use super::error::{DecodeCode, DecodeError};
use super::frame::Frame;
use super::markers::{Halt, Reached, Reader, Scan};
use super::output::Output;
use super::scan::{Layout, MAX_BLOCKS, Segment, block_plans, sequential_tables};
use super::upsample::Plane;
use super::{Corrupt, DecodeOptions, RgbImage, idct, orientation, pillow, smoothing};

/// A file read up to its first scan, its frame checked.
pub(crate) struct Opened<'a> {
    pub walk: pillow::Walk,
    pub reader: Reader<'a>,
    pub frame: Frame,
    pub scan: Scan,
}

impl Opened<'_> {
    /// Whether the file's only scan has all components.
    pub fn is_single_scan(&self) -> bool {
        !self.frame.progressive && self.scan.components.len() == self.frame.components.len()
    }

    /// The orientation that the options ask to undo, 1 for none.
    pub fn orientation(&self, options: &DecodeOptions) -> u8 {
        if options.exif_orientation { orientation::find(&self.walk) } else { 1 }
    }
}

/// Reads a file up to its first scan.
pub(crate) fn open<'a>(bytes: &'a [u8], options: &DecodeOptions) -> Result<Opened<'a>, DecodeError> {
    let walk = pillow::walk(bytes)?;
    let pixels = u64::from(walk.width) * u64::from(walk.height);
    if pixels > options.max_pixels {
        let message = format!("{} x {} is more than {} pixels", walk.width, walk.height, options.max_pixels);
        return Err(DecodeError::new(DecodeCode::TooLarge, message));
    }
    let mut reader = Reader::new(bytes);
    let (mut frame, scan) = first_scan(&mut reader)?;
    if (frame.width, frame.height, frame.components.len()) != (walk.width, walk.height, usize::from(walk.layers)) {
        return Err(DecodeError::corrupt("two frame headers that differ"));
    }
    frame.set_up()?;
    Ok(Opened { walk, reader, frame, scan })
}

/// Decodes a JPEG.
pub(crate) fn decode(bytes: &[u8], options: &DecodeOptions) -> Result<RgbImage, DecodeError> {
    let opened = open(bytes, options)?;
    let orientation = opened.orientation(options);
    let (width, height) = (opened.frame.width, opened.frame.height);
    let mut data = vec![0; width as usize * height as usize * 3];
    decode_opened(opened, options, &mut data)?;
    Ok(orientation::apply(RgbImage { width, height, data }, orientation))
}

/// Decodes a JPEG, not turned, into `pixels`, as many bytes as its header tells; returns its width and height.
pub(crate) fn decode_into(bytes: &[u8], options: &DecodeOptions, pixels: &mut [u8]) -> Result<(u32, u32), DecodeError> {
    let opened = open(bytes, options)?;
    let size = (opened.frame.width, opened.frame.height);
    decode_opened(opened, options, pixels)?;
    Ok(size)
}

fn decode_opened(opened: Opened<'_>, options: &DecodeOptions, pixels: &mut [u8]) -> Result<(), DecodeError> {
    let single = opened.is_single_scan();
    let Opened { mut reader, mut frame, scan, .. } = opened;
    match single {
        true => single_scan(&mut reader, &mut frame, &scan, pixels)?,
        false => several_scans(&mut reader, &mut frame, scan, pixels)?,
    }
    match (options.corrupt, reader.warning) {
        (Corrupt::Strict, Some((code, what))) => Err(DecodeError::new(code, what)),
        _ => Ok(()),
    }
}

/// The end of the file where more must follow.
fn blocking(halt: Halt) -> DecodeError {
    match halt {
        Halt::Failed(error) => error,
        Halt::Suspended => DecodeError::truncated(),
    }
}

/// Reads to the first scan, through streams of tables only.
fn first_scan(reader: &mut Reader<'_>) -> Result<(Frame, Scan), DecodeError> {
    loop {
        let reached = reader.read_markers().map_err(blocking)?;
        match (reached, reader.frame.take()) {
            (Reached::Scan(scan), Some(frame)) => return Ok((frame, scan)),
            (Reached::EndOfImage, None) => reader.restart_stream(),
            _ => return Err(DecodeError::corrupt("the image ends before its first scan")),
        }
    }
}

/// A sequential file with all components in one scan: every MCU goes straight to its planes.
fn single_scan(reader: &mut Reader<'_>, frame: &mut Frame, scan: &Scan, pixels: &mut [u8]) -> Result<(), DecodeError> {
    reader.install_standard_tables();
    let layout = Layout::new(frame, scan)?;
    reader.latch_quantization(frame, scan)?;
    reader.warn_unless_sequential(scan);
    let tables = sequential_tables(reader, scan)?;
    let plans = block_plans(&layout, &tables);
    let model = reader.color_model(frame);
    let multipliers: Vec<_> = frame.components.iter().map(|c| c.multipliers()).collect();
    // Lines of each component in a row of MCUs.
    let mut lines = vec![0; frame.components.len()];
    for place in &layout.places {
        lines[place.component] = layout.steps[place.slot].1 * 8;
    }
    let window = |(component, &lines)| Plane::window(frame, component, lines);
    let mut planes: Vec<Plane> = frame.components.iter().zip(&lines).map(window).collect();
    let mut output = Output::new(frame, model, pixels);
    let mut segment = Segment::new(reader);

    let mut blocks = [[0i16; 64]; MAX_BLOCKS];
    let mut last = [0usize; MAX_BLOCKS];
    let count = plans.len();
    for row in 0..layout.mcus_y {
        for (plane, lines) in planes.iter_mut().zip(&lines) {
            plane.advance(row * lines);
        }
        for column in 0..layout.mcus_x {
            blocks[..count].fill([0; 64]);
            last[..count].fill(0);
            segment.sequential_mcu(&plans, &mut blocks[..count], &mut last[..count])?;
            for (i, place) in layout.places.iter().enumerate() {
                let component = &frame.components[place.component];
                let (h, v) = layout.steps[place.slot];
                let (x, y) = (column * h + place.dx, row * v + place.dy);
                if x < component.blocks_x && y < component.blocks_y {
                    let plane = &mut planes[place.component];
                    let (at, stride) = (plane.block(x, y), plane.stride);
                    idct::inverse(&blocks[i], &multipliers[place.component], last[i], &mut plane.samples, at, stride);
                }
            }
        }
        output.emit(&planes, ready_rows(frame, &layout, row));
    }
    segment.finish();
    trailer(reader)?;
    output.finish(&planes);
    Ok(())
}

/// Output rows that no later MCU row can change: the filters look one chroma row down.
fn ready_rows(frame: &Frame, layout: &Layout, mcu_row: usize) -> usize {
    match layout.places.len() {
        1 => (mcu_row + 1) * 8,
        _ => (mcu_row + 1) * 8 * usize::from(frame.v_max) - usize::from(frame.v_max),
    }
}

/// What follows the only scan, as far as libjpeg has it: errors there count, an end does not.
fn trailer(reader: &mut Reader<'_>) -> Result<(), DecodeError> {
    reader.blocking = false;
    match reader.read_markers() {
        Ok(Reached::Scan(_)) => Err(DecodeError::corrupt("a second scan in a single-scan file")),
        Ok(Reached::EndOfImage) | Err(Halt::Suspended) => Ok(()),
        Err(Halt::Failed(error)) => Err(error),
    }
}

/// Any other file: all scans into coefficients, then all coefficients into planes.
fn several_scans(
    reader: &mut Reader<'_>,
    frame: &mut Frame,
    first: Scan,
    pixels: &mut [u8],
) -> Result<(), DecodeError> {
    reader.window = reader.data.len();
    if !frame.progressive {
        reader.install_standard_tables();
    }
    let mut coefficients = Coefficients::for_frame(frame);
    let mut progress = Progress::new(frame.components.len());
    let model = reader.color_model(frame);
    let mut scan = first;
    loop {
        coefficients::decode_scan(reader, frame, &scan, &mut coefficients, &mut progress)?;
        match reader.read_markers().map_err(blocking)? {
            Reached::Scan(next) => scan = next,
            Reached::EndOfImage => break,
        }
    }
    let planes = if smoothing::applies(frame, &progress) {
        smoothing::to_planes(frame, &coefficients, &progress)
    } else {
        coefficients::to_planes(frame, &coefficients)
    };
    drop(coefficients);
    Output::new(frame, model, pixels).finish(&planes);
    Ok(())
}
