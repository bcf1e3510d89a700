//! Decoding on a device: the host reads headers, the kernels do the rest, and files that the kernels find irregular go to
//! the host twin.

mod header;
mod layout;
#[cfg(test)]
mod model;
mod resident;

use std::borrow::Cow;
use std::collections::HashMap;

use arrow::buffer::Buffer;
use rayon::ThreadPool;
use rayon::prelude::*;

use self::header::{Route, Routed, route};
use self::layout::{
    BatchLayout, Descriptors, IDCT_BLOCKS, SLOT_THREADS, STATE_BYTES, THREADS, TILE_BASE_BYTES, TILE_COUNT_BYTES,
};
use super::operator::{OP, RowError};
use super::{DecodeError, DecodeOptions, Formats, RgbImage};
use crate::column::DeviceColumn;
use crate::device::kernels::entries::jpeg_decode as entries;
use crate::device::launch::kernel;
use crate::device::{CudaCtx, DeviceBuffer, DeviceBufferMut, Grid, In, MemoryPlan, Out, ReadGuard};
use crate::error::{Error, Result};
use crate::image::Images;

/// Launches of `synchronize`: the first decodes every slot, the others carry places from block to block. Photographs need
/// one more than the first; what is left after the last is decoded serially.
const ROUNDS: usize = 3;

/// Threads of a block that decodes progressive scans, `kChainThreads` of the kernels.
const CHAIN_THREADS: u32 = 32;

/// Progressive files for each thread of the host from which on the device decodes them: their scans are serial there, so
/// that it takes many at once. Which number is best was not measured yet.
const PROGRESSIVE_FILES: usize = 8;

kernel! {
    /// Lookup tables from the files' tables.
    fn tables[entries::TABLES](specs: In<'_, u8>, tables: Out<'_, u8>);
    /// What every tile keeps.
    fn count[entries::COUNT](scans: In<'_, u8>, n: u32, encoded: In<'_, u8>, counts: Out<'_, u8>);
    /// What lies before every tile of a scan, and how it ends.
    fn tiles[entries::TILES](
        scans: In<'_, u8>, encoded: In<'_, u8>, counts: In<'_, u8>, bases: Out<'_, u8>, plain: Out<'_, u8>,
        starts: Out<'_, u32>, status: Out<'_, u32>,
    );
    /// Data without stuffing.
    fn destuff[entries::DESTUFF](
        scans: In<'_, u8>, n: u32, encoded: In<'_, u8>, counts: In<'_, u8>, bases: In<'_, u8>, plain: Out<'_, u8>,
        starts: Out<'_, u32>, status: Out<'_, u32>,
    );
    /// A round of synchronisation.
    fn synchronize[entries::SYNCHRONIZE](
        scans: In<'_, u8>, n: u32, slots: u32, starts: In<'_, u32>, status: Out<'_, u32>, tables: In<'_, u8>,
        plain: In<'_, u8>, exits_before: In<'_, u32>, states: Out<'_, u8>, exits: Out<'_, u32>,
    );
    /// Segments that are not synchronised.
    fn check[entries::CHECK](
        scans: In<'_, u8>, n: u32, slots: u32, starts: In<'_, u32>, status: Out<'_, u32>, states: Out<'_, u8>,
        broken: Out<'_, u32>,
    );
    /// The serial path for them.
    fn repair[entries::REPAIR](
        scans: In<'_, u8>, n: u32, slots: u32, starts: In<'_, u32>, status: Out<'_, u32>, tables: In<'_, u8>,
        plain: In<'_, u8>, broken: In<'_, u32>, entries: u32, states: Out<'_, u8>,
    );
    /// Blocks before every slot.
    fn blocks[entries::BLOCKS](slots: u32, states: In<'_, u8>, blocks_before: Out<'_, u32>, scratch: Out<'_, u64>);
    /// Coefficients.
    fn coefficients[entries::COEFFICIENTS](
        scans: In<'_, u8>, n: u32, slots: u32, starts: In<'_, u32>, tables: In<'_, u8>, plain: In<'_, u8>,
        states: In<'_, u8>, blocks_before: In<'_, u32>, status: Out<'_, u32>, coefficients: Out<'_, i16>,
    );
    /// Coefficients of progressive images.
    fn progressive[entries::PROGRESSIVE](
        scans: In<'_, u8>, chains: In<'_, u32>, n: u32, members: In<'_, u32>, starts: In<'_, u32>, tables: In<'_, u8>,
        plain: In<'_, u8>, status: Out<'_, u32>, coefficients: Out<'_, i16>,
    );
    /// DC differences before every MCU of a tile.
    fn differences[entries::DIFFERENCES](
        scans: In<'_, u8>, n: u32, mcus: u32, coefficients: In<'_, i16>, local: Out<'_, u64>, tiles: Out<'_, u64>,
    );
    /// DC differences before every tile.
    fn predictors[entries::PREDICTORS](n: u32, tiles: Out<'_, u64>);
    /// Samples.
    fn samples[entries::SAMPLES](
        scans: In<'_, u8>, n: u32, blocks: u32, quants: In<'_, u16>, local: In<'_, u64>, tiles: In<'_, u64>,
        coefficients: In<'_, i16>, planes: Out<'_, u8>,
    );
    /// Pixels.
    fn pixels[entries::PIXELS](images: In<'_, u8>, n: u32, planes: In<'_, u8>, pixels: Out<'_, u8>);
}

/// A row that the host decoded.
type HostDecoded = (usize, std::result::Result<RgbImage, DecodeError>);

/// Where the files are.
enum Files<'r> {
    /// On the host; what the kernels need of them is copied.
    Host(&'r [Option<&'r [u8]>]),
    /// On the device; a file comes to the host only to be decoded there. The guards are those of the buffers; `kept` are
    /// files that came as a whole for their headers, by row, and may have to be decoded on the host.
    Device { buffers: &'r [DeviceBuffer], guards: Vec<ReadGuard>, places: Vec<Place>, kept: HashMap<usize, Buffer> },
}

/// A file in one of a column's buffers.
#[derive(Clone, Copy)]
struct Place {
    buffer: usize,
    start: usize,
    len: usize,
}

impl Files<'_> {
    fn len(&self) -> usize {
        match self {
            Files::Host(rows) => rows.len(),
            Files::Device { places, .. } => places.len(),
        }
    }

    /// The bytes of some files. Waits for the stream where they are on the device.
    fn fetch(&self, cuda: &CudaCtx, rows: &[usize]) -> Result<Vec<Cow<'_, [u8]>>> {
        match self {
            Files::Host(files) => Ok(rows.iter().map(|row| Cow::Borrowed(files[*row].unwrap_or_default())).collect()),
            Files::Device { buffers, places, kept, .. } => {
                let missing: Vec<usize> = rows.iter().copied().filter(|row| !kept.contains_key(row)).collect();
                let mut found = download(cuda, buffers, missing.iter().map(|row| places[*row]))?.into_iter();
                let file = |row: &usize| match kept.get(row) {
                    Some(bytes) => Cow::Borrowed(bytes.as_slice()),
                    None => Cow::Owned(found.next().map_or_else(Vec::new, |bytes| bytes.to_vec())),
                };
                Ok(rows.iter().map(file).collect())
            }
        }
    }
}

/// Files of the device, on the host. Waits for the stream.
fn download(cuda: &CudaCtx, buffers: &[DeviceBuffer], places: impl Iterator<Item = Place>) -> Result<Vec<Buffer>> {
    let parts: Vec<DeviceBuffer> = places.map(|at| buffers[at.buffer].slice(at.start, at.len)).collect();
    cuda.download_all(OP, &parts.iter().collect::<Vec<_>>())
}

/// A batch whose headers are read and whose places are known.
struct Plan<'r> {
    files: Files<'r>,
    routes: Vec<Option<Routed>>,
    layout: BatchLayout,
    /// Pixel bytes: one offset more than rows.
    offsets: Vec<i64>,
    /// The parts of the files that go to the device, in the order in which they lie there.
    encoded: Vec<(usize, std::ops::Range<usize>)>,
}

impl<'r> Plan<'r> {
    /// Reads all headers. Unless it is only for planning, files of other formats are decoded.
    fn new(
        pool: &ThreadPool,
        rows: &'r [Option<&'r [u8]>],
        formats: &Formats,
        options: &DecodeOptions,
        planning: bool,
    ) -> Self {
        let read = |row: &Option<&[u8]>| {
            row.map(|bytes| match (formats.is_foreign)(bytes) {
                true => Routed::foreign(bytes, formats, options, planning),
                false => route(bytes, options),
            })
        };
        let routes = pool.install(|| rows.par_iter().map(read).collect());
        Self::of(pool, Files::Host(rows), routes)
    }

    /// Lays out a batch.
    fn of(pool: &ThreadPool, files: Files<'r>, mut routes: Vec<Option<Routed>>) -> Self {
        let is_progressive = |routed: &Routed| matches!(&routed.route, Route::Device(job) if job.frame.progressive);
        let progressive = routes.iter().flatten().filter(|routed| is_progressive(routed)).count();
        if progressive < PROGRESSIVE_FILES * pool.current_num_threads() {
            let few = routes.iter_mut().flatten().filter(|routed| is_progressive(routed));
            few.for_each(|routed| routed.route = Route::Host);
        }
        let mut plan = Plan { files, routes, layout: BatchLayout::new(), offsets: vec![0], encoded: Vec::new() };
        plan.lay_out();
        plan
    }

    fn lay_out(&mut self) {
        let (mut pixels, mut encoded) = (0u64, 0u64);
        for (row, routed) in self.routes.iter_mut().enumerate() {
            if let Some(Routed { route, pixels: own, .. }) = routed {
                if let Route::Device(job) = route {
                    let added = match &self.files {
                        Files::Device { guards, places, .. } => {
                            // The kernels count from the first buffer, wherever the file's lies.
                            let Place { buffer, start, .. } = places[row];
                            let distance = guards[buffer].pointer().wrapping_sub(guards[0].pointer());
                            self.layout.add(row, job, distance.wrapping_add(start as u64), pixels)
                        }
                        Files::Host(_) => {
                            let first = job.scans.iter().map(|scan| scan.raw.start).min().unwrap_or(0);
                            let end = job.scans.iter().map(|scan| scan.raw.end).max().unwrap_or(0);
                            let shift = |scan: &mut header::ScanJob| {
                                scan.raw = scan.raw.start - first..scan.raw.end - first;
                            };
                            job.scans.iter_mut().for_each(shift);
                            let added = self.layout.add(row, job, encoded, pixels);
                            if added {
                                encoded += (end - first) as u64;
                                self.encoded.push((row, first..end));
                            }
                            added
                        }
                    };
                    if !added {
                        *route = Route::Host;
                    }
                }
                pixels += 3 * *own;
            }
            self.offsets.push(pixels as i64);
        }
    }

    /// The images of other formats.
    fn take_decoded(&mut self) -> Vec<HostDecoded> {
        let take = |(row, routed): (usize, &mut Option<Routed>)| {
            let route = &mut routed.as_mut()?.route;
            match std::mem::replace(route, Route::Host) {
                Route::Decoded(image) => Some((row, Ok(image))),
                other => {
                    *route = other;
                    None
                }
            }
        };
        self.routes.iter_mut().enumerate().filter_map(take).collect()
    }

    fn pixel_bytes(&self) -> usize {
        self.offsets.last().map_or(0, |end| *end as usize)
    }

    /// The entropy-coded data of all files, on the device, or the buffer from which places in them count.
    fn encoded(&self, cuda: &CudaCtx) -> Result<DeviceBuffer> {
        match &self.files {
            Files::Device { buffers, .. } => Ok(buffers[0].clone()),
            Files::Host(rows) => {
                let parts = self.encoded.iter().filter_map(|(row, range)| rows[*row]?.get(range.clone()));
                cuda.upload(OP, &parts.collect::<Vec<_>>().concat())
            }
        }
    }

    fn memory(&self) -> MemoryPlan {
        let encoded = self.encoded.iter().map(|(_, range)| range.len() as u64).sum();
        layout::plan(self.layout.workspace(encoded), self.files.len() as u64, self.pixel_bytes() as u64)
    }
}

/// The device memory that [`decode_rows`] takes at most.
pub(super) fn memory(
    pool: &ThreadPool,
    rows: &[Option<&[u8]>],
    formats: &Formats,
    options: &DecodeOptions,
) -> MemoryPlan {
    Plan::new(pool, rows, formats, options, true).memory()
}

/// Decodes files that lie on the host into images on the device.
pub(super) fn decode_rows(
    cuda: &CudaCtx,
    pool: &ThreadPool,
    rows: &[Option<&[u8]>],
    formats: &Formats,
    options: &DecodeOptions,
) -> Result<(Images, Vec<RowError>)> {
    decode_plan(cuda, pool, Plan::new(pool, rows, formats, options, false), formats, options)
}

/// Decodes files that lie on the device.
pub(super) fn decode_resident(
    cuda: &CudaCtx,
    pool: &ThreadPool,
    column: &DeviceColumn,
    formats: &Formats,
    options: &DecodeOptions,
) -> Result<(Images, Vec<RowError>)> {
    decode_plan(cuda, pool, resident::plan(cuda, pool, column, formats, options)?, formats, options)
}

fn decode_plan(
    cuda: &CudaCtx,
    pool: &ThreadPool,
    mut plan: Plan<'_>,
    formats: &Formats,
    options: &DecodeOptions,
) -> Result<(Images, Vec<RowError>)> {
    let mut out = cuda.allocate(OP, plan.pixel_bytes())?;
    let status = launch(cuda, &plan, &mut out)?;

    // While the device works.
    let decode_on_host = |files: &Files<'_>, rows: Vec<usize>| -> Result<Vec<HostDecoded>> {
        let bytes = files.fetch(cuda, &rows)?;
        let one = |(row, bytes): (usize, Cow<'_, [u8]>)| (row, (formats.decode)(&bytes, options));
        Ok(pool.install(|| rows.into_par_iter().zip(bytes).with_max_len(1).map(one).collect()))
    };
    let routes = plan.routes.iter().enumerate();
    let unsupported = routes.filter(|(_, r)| matches!(r, Some(Routed { route: Route::Host, .. }))).map(|(row, _)| row);
    let unsupported = unsupported.collect();
    let mut decoded = plan.take_decoded();
    decoded.extend(decode_on_host(&plan.files, unsupported)?);
    let irregular = irregular_rows(cuda, &plan, status)?;
    decoded.extend(decode_on_host(&plan.files, irregular)?);
    finish(cuda, &plan, decoded, out)
}

/// Puts what the host decoded to its place and assembles the column.
fn finish(
    cuda: &CudaCtx,
    plan: &Plan<'_>,
    decoded: Vec<HostDecoded>,
    mut out: DeviceBufferMut,
) -> Result<(Images, Vec<RowError>)> {
    let valid = |r: &Option<Routed>| r.as_ref().filter(|r| !matches!(r.route, Route::Failed(_))).map(|r| r.size);
    let mut sizes: Vec<Option<(u32, u32)>> = plan.routes.iter().map(valid).collect();
    let mut errors = Vec::new();
    let mut fail = |row: usize, error: &DecodeError| {
        errors.push(RowError { row, code: error.code, message: error.message.clone() });
    };
    for (row, routed) in plan.routes.iter().enumerate() {
        if let Some(Routed { route: Route::Failed(error), .. }) = routed {
            fail(row, error);
        }
    }
    for (row, result) in decoded {
        match result {
            Ok(image) if sizes[row] == Some((image.width, image.height)) => {
                cuda.upload_into(OP, &mut out, plan.offsets[row] as usize, &image.data)?;
            }
            Ok(_) => {
                return Err(Error::Internal { op: OP, why: format!("row {row} has another size than its header") });
            }
            Err(error) => {
                fail(row, &error);
                sizes[row] = None;
                let (from, to) = (plan.offsets[row] as usize, plan.offsets[row + 1] as usize);
                cuda.fill_zero(OP, &mut out, from, to - from)?;
            }
        }
    }
    errors.sort_by_key(|error| error.row);
    let validity = match sizes.iter().all(Option::is_some) {
        true => None,
        false => {
            let bits: arrow::buffer::BooleanBuffer = sizes.iter().map(Option::is_some).collect();
            Some(cuda.upload(OP, bits.values())?)
        }
    };
    let images = Images::on_device(cuda, out.freeze(), &plan.offsets, &sizes, validity)?;
    Ok((images, errors))
}

/// Rows that the device could not decode. Waits for the stream.
fn irregular_rows(cuda: &CudaCtx, plan: &Plan<'_>, status: Option<DeviceBuffer>) -> Result<Vec<usize>> {
    let Some(status) = status else { return Ok(Vec::new()) };
    let mut words = vec![0; status.len()];
    cuda.download_into(OP, &status, &mut words)?;
    let found = words.chunks_exact(4).map(|word| u32::from_le_bytes([word[0], word[1], word[2], word[3]]));
    let scans = plan.layout.scans.iter().zip(found);
    let mut rows: Vec<usize> =
        scans.filter(|((_, segments), found)| segments != found).map(|((row, _), _)| *row).collect();
    rows.dedup();
    Ok(rows)
}

/// What every launch needs.
struct Batch<'a> {
    cuda: &'a CudaCtx,
    layout: &'a BatchLayout,
    scans: DeviceBuffer,
    images: DeviceBuffer,
    chains: DeviceBuffer,
    members: DeviceBuffer,
    specs: DeviceBuffer,
    quants: DeviceBuffer,
}

/// Launches all stages; the answer is the scans' status.
fn launch(cuda: &CudaCtx, plan: &Plan<'_>, out: &mut DeviceBufferMut) -> Result<Option<DeviceBuffer>> {
    if plan.layout.totals.images == 0 {
        return Ok(None);
    }
    let Descriptors { bytes, scans, images, chains, members, tables, quants } = plan.layout.descriptors();
    let uploaded = cuda.upload(OP, &bytes)?;
    let part = |(at, len): (usize, usize)| uploaded.slice(at, len);
    let (scans, images, specs, quants) = (part(scans), part(images), part(tables), part(quants));
    let (chains, members) = (part(chains), part(members));
    let batch = Batch { cuda, layout: &plan.layout, scans, images, chains, members, specs, quants };
    let mut status = cuda.allocate(OP, 4 * batch.totals().scans as usize)?;
    let coefficients = batch.entropy_decode(plan.encoded(cuda)?, &mut status)?;
    batch.transform(&coefficients, out)?;
    Ok(Some(status.freeze()))
}

/// The grid with a thread for each of `items`.
fn threads(items: u32, threads: u32) -> Grid {
    Grid::linear(items.div_ceil(threads), threads)
}

impl Batch<'_> {
    fn totals(&self) -> &layout::Totals {
        &self.layout.totals
    }

    fn allocate(&self, items: u32, bytes: u64) -> Result<DeviceBufferMut> {
        self.cuda.allocate(OP, (u64::from(items) * bytes) as usize)
    }

    /// Files to coefficients, DC as differences.
    fn entropy_decode(&self, encoded: DeviceBuffer, status: &mut DeviceBufferMut) -> Result<DeviceBuffer> {
        let t = *self.totals();
        let (plain, starts) = self.destuff(&encoded, status)?;
        let mut lookup = self.cuda.allocate(OP, self.layout.table_bytes() as usize)?;
        let grid = Grid::linear(self.layout.tables(), SLOT_THREADS);
        // SAFETY: one block for each specification and table.
        unsafe { tables(self.cuda, grid, self.specs.input(), lookup.output()) }?;
        let lookup = lookup.freeze();
        let states = self.synchronize(&plain, &starts, &lookup, status)?;
        let before = self.blocks_before(&states)?;
        let mut out = self.cuda.allocate_zeroed(OP, 128 * t.blocks as usize)?;
        let (scans, starts, lookup, plain) = (self.scans.input(), starts.input(), lookup.input(), plain.input());
        let (states, before) = (states.input(), before.input());
        let grid = threads(t.slots, SLOT_THREADS);
        let by_chain = threads(t.chains, CHAIN_THREADS);
        let (chains, members) = (self.chains.input(), self.members.input());
        // SAFETY: a slot writes the blocks from its own first on, at most as many as its segment has, all of which lie
        // within the scan's part of the coefficients; reads lie within the scan's data and what is zeroed behind it. The
        // scans of a chain write the blocks of their components, and stop at the end of their data.
        unsafe {
            let (cuda, to, found) = (self.cuda, out.output(), status.output());
            coefficients(cuda, grid, scans, t.scans, t.slots, starts, lookup, plain, states, before, found, to)?;
            let (to, found) = (out.output(), status.output());
            progressive(cuda, by_chain, scans, chains, t.chains, members, starts, lookup, plain, found, to)?;
        }
        Ok(out.freeze())
    }

    /// The data without stuffing, and where segments start in them.
    fn destuff(&self, encoded: &DeviceBuffer, status: &mut DeviceBufferMut) -> Result<(DeviceBuffer, DeviceBuffer)> {
        let t = self.totals();
        let (cuda, encoded, scans) = (self.cuda, encoded.input(), self.scans.input());
        let mut counts = self.allocate(t.tiles, TILE_COUNT_BYTES)?;
        let mut bases = self.allocate(t.tiles, TILE_BASE_BYTES)?;
        let mut plain = cuda.allocate(OP, t.plain as usize)?;
        // Zeroed: segments that a file does not have keep no data.
        let mut starts = cuda.allocate_zeroed(OP, 4 * t.starts as usize)?;
        let (by_tile, by_scan) = (Grid::linear(t.tiles, THREADS), Grid::linear(t.scans, THREADS));
        // SAFETY: tiles lie within their scan's part of the encoded bytes, which are within the upload; destuffed data
        // are no longer than that part; a scan has as many starts as segments and one, and restarts beyond that many
        // make it irregular before anything is written.
        unsafe {
            count(cuda, by_tile, scans, t.scans, encoded, counts.output())?;
            let counts = counts.freeze();
            let counts = counts.input();
            tiles(
                cuda,
                by_scan,
                scans,
                encoded,
                counts,
                bases.output(),
                plain.output(),
                starts.output(),
                status.output(),
            )?;
            let bases = bases.freeze();
            let (plain, starts, status) = (plain.output(), starts.output(), status.output());
            destuff(cuda, by_tile, scans, t.scans, encoded, counts, bases.input(), plain, starts, status)?;
        }
        Ok((plain.freeze(), starts.freeze()))
    }

    /// The place where every slot ends.
    fn synchronize(
        &self,
        plain: &DeviceBuffer,
        starts: &DeviceBuffer,
        lookup: &DeviceBuffer,
        status: &mut DeviceBufferMut,
    ) -> Result<DeviceBuffer> {
        let t = self.totals();
        let (cuda, grid) = (self.cuda, threads(t.slots, SLOT_THREADS));
        let (scans, starts, plain, lookup) = (self.scans.input(), starts.input(), plain.input(), lookup.input());
        let mut states = self.allocate(t.slots, STATE_BYTES)?;
        let mut before: Option<DeviceBuffer> = None;
        for _ in 0..ROUNDS {
            let mut exits = self.allocate(grid.blocks.0, 4)?;
            let (status, from, to) = (status.output(), before.as_ref().into(), states.output());
            // SAFETY: a state for each slot and an exit for each block; slots read their segment's data.
            unsafe {
                synchronize(
                    cuda,
                    grid,
                    scans,
                    t.scans,
                    t.slots,
                    starts,
                    status,
                    lookup,
                    plain,
                    from,
                    to,
                    exits.output(),
                )?;
            }
            before = Some(exits.freeze());
        }
        let mut broken = cuda.allocate_zeroed(OP, 4 * t.starts as usize)?;
        let by_segment = threads(t.starts, SLOT_THREADS);
        // SAFETY: as above; a word for each segment.
        unsafe {
            let (found, looked_at) = (broken.output(), states.output());
            check(cuda, grid, scans, t.scans, t.slots, starts, status.output(), looked_at, found)?;
            let broken = broken.freeze();
            let (status, broken, states) = (status.output(), broken.input(), states.output());
            repair(cuda, by_segment, scans, t.scans, t.slots, starts, status, lookup, plain, broken, t.starts, states)?;
        }
        Ok(states.freeze())
    }

    /// Blocks completed before every slot.
    fn blocks_before(&self, states: &DeviceBuffer) -> Result<DeviceBuffer> {
        let slots = self.totals().slots;
        let grid = threads(slots, THREADS);
        let mut before = self.allocate(slots, 4)?;
        let mut scratch = self.cuda.allocate_zeroed(OP, 8 * (1 + grid.blocks.0 as usize))?;
        // SAFETY: a state and a count for each slot; a ticket, and a state for each tile.
        unsafe { blocks(self.cuda, grid, slots, states.input(), before.output(), scratch.output()) }?;
        Ok(before.freeze())
    }

    /// Coefficients to pixels.
    fn transform(&self, coefficients: &DeviceBuffer, out: &mut DeviceBufferMut) -> Result<()> {
        let t = self.totals();
        let (cuda, scans, coefficients) = (self.cuda, self.scans.input(), coefficients.input());
        let by_mcu = threads(t.mcus, THREADS);
        let mcu_tiles = by_mcu.blocks.0;
        let mut local = self.allocate(t.mcus, 8)?;
        let mut sums = self.allocate(mcu_tiles, 8)?;
        let mut planes = cuda.allocate(OP, t.planes as usize)?;
        let by_block = Grid::linear(t.blocks.div_ceil(IDCT_BLOCKS), 8 * IDCT_BLOCKS);
        // SAFETY: every MCU and block of a scan has its place; blocks that complete an MCU are not stored; an image's
        // samples and pixels lie where the layout has room for them.
        unsafe {
            differences(cuda, by_mcu, scans, t.scans, t.mcus, coefficients, local.output(), sums.output())?;
            predictors(cuda, Grid::linear(1, THREADS), mcu_tiles, sums.output())?;
            let (local, sums) = (local.freeze(), sums.freeze());
            let (quants, local, sums) = (self.quants.input(), local.input(), sums.input());
            samples(cuda, by_block, scans, t.scans, t.blocks, quants, local, sums, coefficients, planes.output())?;
            let planes = planes.freeze();
            let grid = Grid::linear(t.pixel_blocks, THREADS);
            pixels(cuda, grid, self.images.input(), t.images, planes.input(), out.output())
        }
    }
}
