//! Files that are only on the device: their headers come to the host, 2 KB each at most.

use arrow::buffer::Buffer;
use arrow::datatypes::DataType;
use rayon::ThreadPool;
use rayon::prelude::*;

use super::header::{Routed, route, route_header};
use super::{Files, OP, Plan};
use crate::column::DeviceColumn;
use crate::device::kernels::entries::jpeg_decode as entries;
use crate::device::launch::kernel;
use crate::device::{CudaCtx, Grid, In, Out};
use crate::error::{Error, Result};
use crate::image::jpeg_decode::{DecodeOptions, Formats};

/// Bytes of a `FileHeader`, of its slot, and threads of a block: kernels/include/jpeg_headers.cuh.
const HEADER_BYTES: usize = 24;
const SLOT_BYTES: usize = 2048;
const THREADS: u32 = 64;
/// In place of where the data begin: a null row.
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
}

/// What the kernel found of a file.
struct FileHeader {
    start: usize,
    len: usize,
    scan: u32,
    kept: usize,
}

impl FileHeader {
    fn read(bytes: &[u8]) -> Self {
        let word = |at: usize| u32::from_le_bytes([bytes[at], bytes[at + 1], bytes[at + 2], bytes[at + 3]]);
        let start = u64::from(word(0)) | u64::from(word(4)) << 32;
        FileHeader { start: start as usize, len: word(8) as usize, scan: word(12), kept: word(16) as usize }
    }
}

/// Reads the headers of a column on the device. Files of other formats, of several scans, and strange ones come to the
/// host as a whole. Waits for the stream.
pub(super) fn plan<'r>(
    cuda: &CudaCtx,
    pool: &ThreadPool,
    column: &'r DeviceColumn,
    formats: &Formats,
    options: &DecodeOptions,
) -> Result<Plan<'r>> {
    let (offsets, data) = match (column.data_type(), column.buffers()) {
        (DataType::Binary | DataType::LargeBinary, [offsets, data]) => (offsets, data),
        (other, _) => {
            let hint = "cast to Binary or LargeBinary, or decode the column from the host";
            return Err(Error::unsupported(OP, format!("{other} on a device"), hint));
        }
    };
    let rows = column.len();
    let n = u32::try_from(rows).map_err(|_| Error::unsupported(OP, "2^32 rows", "split the batch"))?;
    let mut headers = cuda.allocate(OP, HEADER_BYTES * rows)?;
    // Zeroed, since all of it is copied and little of it written.
    let mut slots = cuda.allocate_zeroed(OP, SLOT_BYTES * rows)?;
    let (grid, exif) = (Grid::linear(n.div_ceil(THREADS), THREADS), u32::from(options.exif_orientation));
    let (validity, bytes) = (column.validity().into(), data.input());
    let (found, kept) = (headers.output(), slots.output());
    // SAFETY: one more offset than rows, which lie in the data; a header and a slot for each row.
    unsafe {
        match column.data_type() {
            DataType::Binary => headers_i32(cuda, grid, offsets.input(), validity, bytes, n, exif, found, kept),
            _ => headers_i64(cuda, grid, offsets.input(), validity, bytes, n, exif, found, kept),
        }
    }?;
    let (headers, slots) = (headers.freeze(), slots.freeze());
    let [headers, slots]: [Buffer; 2] = cuda
        .download_all(OP, &[&headers, &slots])?
        .try_into()
        .map_err(|_| Error::Internal { op: OP, why: "two buffers were asked for".into() })?;
    let headers: Vec<FileHeader> = headers.chunks_exact(HEADER_BYTES).map(FileHeader::read).collect();
    if let Some(row) = headers.iter().position(|header| header.len == u32::MAX as usize) {
        let why = "a file of 4 GB or more".to_owned();
        return Err(Error::InvalidInput { op: OP, column: None, row: Some(row as u64), why });
    }

    let read = |(row, header): (usize, &FileHeader)| {
        let slot = slots.get(row * SLOT_BYTES..row * SLOT_BYTES + header.kept).filter(|slot| !slot.is_empty())?;
        route_header(slot, header.scan as usize, header.len, options)
    };
    let mut routes: Vec<Option<Routed>> = pool.install(|| headers.par_iter().enumerate().map(read).collect());
    let whole = |(row, header): (usize, &FileHeader)| (routes[row].is_none() && header.scan != NULL_ROW).then_some(row);
    let whole: Vec<usize> = headers.iter().enumerate().filter_map(whole).collect();
    let files = Files::Device { data, places: headers.iter().map(|header| (header.start, header.len)).collect() };
    let fetched = files.fetch(cuda, &whole)?;
    let read = |bytes: &std::borrow::Cow<'_, [u8]>| match (formats.is_foreign)(bytes) {
        true => Routed::foreign(bytes, formats, options, false),
        false => route(bytes, options),
    };
    let read: Vec<Routed> = pool.install(|| fetched.par_iter().map(read).collect());
    drop(fetched);
    whole.into_iter().zip(read).for_each(|(row, routed)| routes[row] = Some(routed));
    Ok(Plan::of(pool, files, routes))
}
