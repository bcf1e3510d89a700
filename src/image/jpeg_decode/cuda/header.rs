//! What the device needs to know of a file. The host twin's own parser reads the headers, so that both accept the same.

use std::ops::Range;

use crate::image::jpeg_decode::coefficients::Progress;
use crate::image::jpeg_decode::decoder::{Opened, open};
use crate::image::jpeg_decode::error::DecodeError;
use crate::image::jpeg_decode::frame::{ColorModel, Frame};
use crate::image::jpeg_decode::huffman::{Table, TableSpec};
use crate::image::jpeg_decode::markers::{Reached, Reader, Scan};
use crate::image::jpeg_decode::progressive;
use crate::image::jpeg_decode::scan::Layout;
use crate::image::jpeg_decode::{Corrupt, DecodeOptions, Formats, RgbImage};

/// The marker that ends an image.
const END_OF_IMAGE: u8 = 0xd9;

/// A progressive file of more scans goes to the host twin, which passes over a scan without data at once; a chain of scans
/// is one thread's work on the device, and each costs it a step for every block.
const MAX_SCANS: usize = 64;

/// How a row is decoded.
pub(super) enum Route {
    /// By the kernels, unless they find it irregular.
    Device(Box<Job>),
    /// By the host twin: what breaks the format in its headers, and few progressive files.
    Host,
    /// Not at all.
    Failed(DecodeError),
    /// Another format, decoded before anything is laid out, since only that tells its size.
    Decoded(RgbImage),
}

/// A row, and the pixels and the size that its image will have, upright.
pub(super) struct Routed {
    pub route: Route,
    pub pixels: u64,
    pub size: (u32, u32),
}

impl Routed {
    fn new(route: Route, size: (u32, u32)) -> Self {
        Routed { route, pixels: u64::from(size.0) * u64::from(size.1), size }
    }

    /// A file of another format: decoded, or when only planning weighed by its header.
    pub fn foreign(bytes: &[u8], formats: &Formats, options: &DecodeOptions, planning: bool) -> Self {
        if planning {
            let pixels = (formats.pixels)(bytes).filter(|pixels| *pixels <= options.max_pixels).unwrap_or(0);
            return Routed { route: Route::Host, pixels, size: (0, 0) };
        }
        match (formats.decode)(bytes, options) {
            Ok(image) => {
                let size = (image.width, image.height);
                Routed::new(Route::Decoded(image), size)
            }
            Err(error) => Routed::new(Route::Failed(error), (0, 0)),
        }
    }
}

/// An image for the device.
pub(super) struct Job {
    pub frame: Frame,
    pub model: ColorModel,
    pub orientation: u8,
    pub scans: Vec<ScanJob>,
}

/// A DC and an AC table.
pub(super) type TablePair = (Option<TableSpec>, Option<TableSpec>);

/// A scan of it.
pub(super) struct ScanJob {
    /// Where its entropy-coded data may lie in the file, with the marker that ends them.
    pub raw: Range<usize>,
    pub end_marker: u8,
    pub layout: Layout,
    /// MCUs between restarts, 0 for no restarts.
    pub restart_interval: u32,
    /// DC and AC table for each component of the scan, as far as it needs them.
    pub tables: Vec<TablePair>,
    /// The coefficients and bits that a progressive scan codes: `Ss`, `Se`, `Ah`, `Al`.
    pub band: [u8; 4],
}

/// Reads the headers of a file of which only they are there, the data between them left out: `places` says where those are
/// in the file, for each scan. `None` where the whole file is needed to tell.
pub(super) fn route_header(header: &[u8], places: &[Range<usize>], options: &DecodeOptions) -> Option<Routed> {
    let opened = open(header, options).ok()?;
    Some(route_opened(opened, Some(places), options)).filter(|routed| matches!(routed.route, Route::Device(_)))
}

/// Reads the headers of a file.
pub(super) fn route(bytes: &[u8], options: &DecodeOptions) -> Routed {
    let opened = match open(bytes, options) {
        Ok(opened) => opened,
        Err(error) => return Routed::new(Route::Failed(error), (0, 0)),
    };
    route_opened(opened, None, options)
}

/// `places` are those of the scans' data, where they are not behind the scans' headers.
fn route_opened(opened: Opened<'_>, places: Option<&[Range<usize>]>, options: &DecodeOptions) -> Routed {
    let (width, height) = (opened.frame.width, opened.frame.height);
    let orientation = opened.orientation(options);
    let size = if orientation >= 5 { (height, width) } else { (width, height) };
    let route = match job(opened, places, orientation, options) {
        Some(job) => Route::Device(Box::new(job)),
        None => Route::Host,
    };
    Routed::new(route, size)
}

/// The work for the device; `None` where the host twin must look, be it only for the right error.
fn job(opened: Opened<'_>, places: Option<&[Range<usize>]>, orientation: u8, options: &DecodeOptions) -> Option<Job> {
    let single = opened.is_single_scan();
    let Opened { mut reader, mut frame, scan, .. } = opened;
    if !frame.progressive {
        reader.install_standard_tables();
    }
    let model = reader.color_model(&frame);
    let scans = match single {
        true => {
            let range = match places {
                Some(places) => places.first()?.clone(),
                None => reader.pos..reader.data.len(),
            };
            vec![scan_job(&mut reader, &mut frame, &scan, range, END_OF_IMAGE)?]
        }
        false => several_scans(&mut reader, &mut frame, scan, places)?,
    };
    // A warning in the headers; which error comes first is for the host twin to find.
    if options.corrupt == Corrupt::Strict && reader.warning.is_some() {
        return None;
    }
    Some(Job { frame, model, orientation, scans })
}

fn scan_job(
    reader: &mut Reader<'_>,
    frame: &mut Frame,
    scan: &Scan,
    raw: Range<usize>,
    end_marker: u8,
) -> Option<ScanJob> {
    let layout = Layout::new(frame, scan).ok()?;
    reader.latch_quantization(frame, scan).ok()?;
    let (needs_dc, needs_ac) = match frame.progressive {
        false => {
            reader.warn_unless_sequential(scan);
            (true, true)
        }
        true => (scan.spectral_start == 0 && scan.approx_high == 0, scan.spectral_start > 0),
    };
    let table = |slots: &[Option<TableSpec>; 4], slot: usize, dc: bool, needed: bool| {
        if !needed {
            return Some(None);
        }
        let spec = slots.get(slot)?.as_ref();
        Table::derive(spec, dc).ok()?;
        Some(spec.cloned())
    };
    let tables = scan
        .components
        .iter()
        .map(|&(_, dc, ac)| Some((table(&reader.dc, dc, true, needs_dc)?, table(&reader.ac, ac, false, needs_ac)?)));
    let tables = tables.collect::<Option<_>>()?;
    let band = [scan.spectral_start, scan.spectral_end, scan.approx_high, scan.approx_low];
    Some(ScanJob { raw, end_marker, layout, restart_interval: reader.restart_interval, tables, band })
}

/// The scans of a file that has several: a sequential one for each component or for some of them together, or a
/// progressive one whose scans are in order and tell everything.
fn several_scans(
    reader: &mut Reader<'_>,
    frame: &mut Frame,
    first: Scan,
    places: Option<&[Range<usize>]>,
) -> Option<Vec<ScanJob>> {
    reader.window = reader.data.len();
    let mut progress = Progress::new(frame.components.len());
    let mut scans = Vec::new();
    let mut scan = first;
    loop {
        if scans.len() == MAX_SCANS {
            return None;
        }
        let mut coded = scan.clone();
        if frame.progressive {
            progressive::check(&coded).ok()?;
        } else {
            (coded.spectral_start, coded.spectral_end, coded.approx_high, coded.approx_low) = (0, 63, 0, 0);
            // A component that is coded twice replaces what was there.
            if scan.components.iter().any(|&(component, ..)| progress.bits[component][0] == 0) {
                return None;
            }
        }
        progressive::note_progress(reader, &coded, &mut progress);
        let (raw, end) = match places {
            Some(places) => (places.get(scans.len())?.clone(), reader.pos),
            None => {
                let end = end_of_scan(reader.data, reader.pos, reader.restart_interval > 0)?;
                (reader.pos..end + 2, end)
            }
        };
        scans.push(scan_job(reader, frame, &scan, raw, *reader.data.get(end + 1)?)?);
        reader.pos = end;
        match reader.read_markers().ok()? {
            Reached::Scan(next) => scan = next,
            Reached::EndOfImage => break,
        }
    }
    // Of incomplete files the host twin guesses what is missing.
    let complete = progress.bits.iter().all(|bits| bits[..10].iter().all(|low| *low == 0));
    (complete && reader.warning.is_none()).then_some(scans)
}

/// Where the marker that ends a scan is.
fn end_of_scan(data: &[u8], mut at: usize, restarts: bool) -> Option<usize> {
    loop {
        at += data.get(at..)?.iter().position(|byte| *byte == 0xff)?;
        match data.get(at + 1)? {
            0 => at += 2,
            0xd0..=0xd7 if restarts => at += 2,
            _ => return Some(at),
        }
    }
}
