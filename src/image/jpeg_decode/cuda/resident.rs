//! Files that are only on the device: their headers come to the host, 2 KB each at most.

use std::collections::HashMap;
use std::ops::Range;

use arrow::buffer::Buffer;
use arrow::datatypes::DataType;
use rayon::ThreadPool;
use rayon::prelude::*;

use super::header::{Route, Routed, route, route_header};
use super::{Files, OP, Place, Plan, download};
use crate::column::DeviceColumn;
use crate::device::kernels::entries::jpeg_decode as entries;
use crate::device::launch::kernel;
use crate::device::{CudaCtx, Grid, In, Out, ReadGuard};
use crate::error::{Error, Result};
use crate::image::jpeg_decode::operator::not_images;
use crate::image::jpeg_decode::{DecodeOptions, Formats};

/// Bytes of a `FileHeader` and of its slot; threads and files of a block: kernels/include/jpeg_headers.cuh.
const HEADER_BYTES: usize = 24;
const SLOT_BYTES: usize = 2048;
const THREADS: u32 = 128;
const FILES: u32 = THREADS / 32;
/// In place of the number of scans: a null row.
const NULL_ROW: u32 = u32::MAX;

kernel! {
    /// Headers of a column with 32-bit offsets.
    fn headers_i32[entries::HEADERS_I32](
        offsets: In<'_, i32>, validity: In<'_, u32>, data: In<'_, u8>, n: u32, exif: u32, headers: Out<'_, u8>,
        slots: Out<'_, u8>,
    );
    /// Headers of a column with 64-bit offsets.
    fn headers_i64[entries::HEADERS_I64](
        offsets: In<'_, i64>, validity: In<'_, u32>, data: In<'_, u8>, n: u32, exif: u32, headers: Out<'_, u8>,
        slots: Out<'_, u8>,
    );
    /// Headers of a column of views; the addresses are those of all its buffers.
    fn headers_views[entries::HEADERS_VIEWS](
        views: In<'_, u32>, validity: In<'_, u32>, addresses: In<'_, u64>, n: u32, exif: u32, headers: Out<'_, u8>,
        slots: Out<'_, u8>,
    );
}

/// What the kernel found of a file.
struct FileHeader {
    place: Place,
    scans: u32,
    kept: usize,
}

impl FileHeader {
    fn read(bytes: &[u8]) -> Self {
        let word = |at: usize| word(bytes, at);
        let start = u64::from(word(0)) | u64::from(word(4)) << 32;
        let place = Place { buffer: word(20) as usize, start: start as usize, len: word(8) as usize };
        FileHeader { place, scans: word(12), kept: word(16) as usize }
    }

    /// What the file's slot makes of the row; `None` where the host needs the whole file.
    fn route(&self, slot: &[u8], options: &DecodeOptions) -> Option<Routed> {
        let kept = slot.get(..self.kept).filter(|kept| !kept.is_empty())?;
        let places = slot.rchunks_exact(8).take(self.scans as usize);
        let places: Vec<Range<usize>> = places.map(|at| word(at, 0) as usize..word(at, 4) as usize).collect();
        route_header(kept, &places, options)
    }
}

fn word(bytes: &[u8], at: usize) -> u32 {
    u32::from_le_bytes([bytes[at], bytes[at + 1], bytes[at + 2], bytes[at + 3]])
}

/// Reads the headers of a column on the device. Files of other formats, and strange ones, come to the host as a whole.
/// Waits for the stream.
pub(super) fn plan<'r>(
    cuda: &CudaCtx,
    pool: &ThreadPool,
    column: &'r DeviceColumn,
    formats: &Formats,
    options: &DecodeOptions,
) -> Result<Plan<'r>> {
    let buffers = column.buffers();
    if !matches!(
        (column.data_type(), buffers),
        (DataType::Binary | DataType::LargeBinary, [_, _]) | (DataType::BinaryView, [_, ..])
    ) {
        return Err(not_images(OP, column.data_type()));
    }
    let guards: Vec<ReadGuard> = buffers.iter().map(|b| b.for_stream(cuda.stream())).collect::<Result<_>>()?;
    let rows = column.len();
    let n = u32::try_from(rows).map_err(|_| Error::unsupported(OP, "2^32 rows", "split the batch"))?;
    let mut headers = cuda.allocate(OP, HEADER_BYTES * rows)?;
    // Zeroed, since all of it is copied and little of it written.
    let mut slots = cuda.allocate_zeroed(OP, SLOT_BYTES * rows)?;
    let (grid, exif) = (Grid::linear(n.div_ceil(FILES), THREADS), u32::from(options.exif_orientation));
    let (validity, found, kept) = (column.validity().into(), headers.output(), slots.output());
    // SAFETY: places of all rows, which lie in the column's buffers; a header and a slot for each row. The guards keep
    // what the addresses point to.
    unsafe {
        match (column.data_type(), buffers) {
            (DataType::Binary, [offsets, data, ..]) => {
                headers_i32(cuda, grid, offsets.input(), validity, data.input(), n, exif, found, kept)
            }
            (DataType::LargeBinary, [offsets, data, ..]) => {
                headers_i64(cuda, grid, offsets.input(), validity, data.input(), n, exif, found, kept)
            }
            _ => {
                let addresses: Vec<u8> = guards.iter().flat_map(|guard| guard.pointer().to_le_bytes()).collect();
                let addresses = cuda.upload(OP, &addresses)?;
                headers_views(cuda, grid, buffers[0].input(), validity, addresses.input(), n, exif, found, kept)
            }
        }
    }?;
    let (headers, slots) = (headers.freeze(), slots.freeze());
    let [headers, slots]: [Buffer; 2] = cuda
        .download_all(OP, &[&headers, &slots])?
        .try_into()
        .map_err(|_| Error::Internal { op: OP, why: "two buffers were asked for".into() })?;
    let headers: Vec<FileHeader> = headers.chunks_exact(HEADER_BYTES).map(FileHeader::read).collect();
    if let Some(row) = headers.iter().position(|header| header.place.len == u32::MAX as usize) {
        let why = "a file of 4 GB or more".to_owned();
        return Err(Error::InvalidInput { op: OP, column: None, row: Some(row as u64), why });
    }

    let slots = slots.par_chunks_exact(SLOT_BYTES);
    let read = |(header, slot): (&FileHeader, &[u8])| header.route(slot, options);
    let mut routes: Vec<Option<Routed>> = pool.install(|| headers.par_iter().zip(slots).map(read).collect());
    let whole =
        |(row, header): (usize, &FileHeader)| (routes[row].is_none() && header.scans != NULL_ROW).then_some(row);
    let whole: Vec<usize> = headers.iter().enumerate().filter_map(whole).collect();
    let fetched = download(cuda, buffers, whole.iter().map(|row| headers[*row].place))?;
    let read = |bytes: &Buffer| match (formats.is_foreign)(bytes) {
        true => Routed::foreign(bytes, formats, options, false),
        false => route(bytes, options),
    };
    let read: Vec<Routed> = pool.install(|| fetched.par_iter().map(read).collect());
    let mut kept = HashMap::new();
    for ((row, bytes), routed) in whole.into_iter().zip(fetched).zip(read) {
        if matches!(routed.route, Route::Host | Route::Device(_)) {
            kept.insert(row, bytes);
        }
        routes[row] = Some(routed);
    }
    let places = headers.iter().map(|header| header.place).collect();
    Ok(Plan::of(pool, Files::Device { buffers, guards, places, kept }, routes))
}
