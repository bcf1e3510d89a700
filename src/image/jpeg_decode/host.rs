//! The host twin of the operator: rows in parallel, straight into the column's memory where their headers tell how much.

use rayon::ThreadPool;
use rayon::prelude::*;

use super::operator::{Formats, RowError};
use super::{DecodeError, DecodeOptions, RgbImage, decoder, pillow};
use crate::error::Result;
use crate::image::memory::Zeroed;
use crate::image::{Images, ImagesBuilder};

/// A decoded row.
enum Row {
    /// The image lies in the row's place.
    InPlace(u32, u32),
    /// It has memory of its own: another format, an image to turn, more than can be had at once.
    Own(RgbImage),
}

impl Row {
    fn size(&self) -> (u32, u32) {
        match self {
            Row::InPlace(width, height) => (*width, *height),
            Row::Own(image) => (image.width, image.height),
        }
    }

    fn nbytes(&self) -> usize {
        let (width, height) = self.size();
        width as usize * height as usize * 3
    }
}

/// Decodes rows.
pub(super) fn decode_rows(
    pool: &ThreadPool,
    rows: &[Option<&[u8]>],
    formats: &Formats,
    options: &DecodeOptions,
) -> Result<(Images, Vec<RowError>)> {
    let claimed = |bytes: &Option<&[u8]>| bytes.map_or(0, |bytes| claimed_bytes(bytes, formats, options));
    let mut sizes: Vec<usize> = pool.install(|| rows.par_iter().map(claimed).collect());
    let sum = sizes.iter().fold(0usize, |sum, size| sum.saturating_add(*size));
    // Headers may lie. Then address space is taken in vain, but no memory; where there is not that much, images take
    // theirs when they are decoded.
    let mut data = Zeroed::new(sum).unwrap_or_else(|| {
        sizes.fill(0);
        Zeroed::Allocated(Vec::new())
    });
    let mut rest = &mut data[..];
    let mut places = Vec::with_capacity(rows.len());
    for size in &sizes {
        let (place, behind) = rest.split_at_mut(*size);
        places.push(place);
        rest = behind;
    }
    let one = |(bytes, place): (&Option<&[u8]>, _)| bytes.map(|bytes| decode_row(bytes, formats, options, place));
    let results: Vec<_> = pool.install(|| rows.par_iter().zip(places).with_max_len(1).map(one).collect());
    let mut errors = Vec::new();
    let mut decoded = Vec::with_capacity(rows.len());
    for (row, result) in results.into_iter().enumerate() {
        decoded.push(result.and_then(|result| {
            result.map_err(|DecodeError { code, message }| errors.push(RowError { row, code, message })).ok()
        }));
    }
    Ok((assemble(data, &sizes, decoded)?, errors))
}

/// The bytes of pixels that a JPEG's header tells, 0 where the image gets memory of its own. The decode walks the header
/// again: to keep what it read would take 3 KB and the EXIF data for every row of the column.
fn claimed_bytes(bytes: &[u8], formats: &Formats, options: &DecodeOptions) -> usize {
    if options.exif_orientation || (formats.is_foreign)(bytes) {
        return 0;
    }
    let pixels = pillow::walk(bytes).map_or(0, |walk| u64::from(walk.width) * u64::from(walk.height));
    if pixels <= options.max_pixels { pixels as usize * 3 } else { 0 }
}

fn decode_row(
    bytes: &[u8],
    formats: &Formats,
    options: &DecodeOptions,
    place: &mut [u8],
) -> std::result::Result<Row, DecodeError> {
    if place.is_empty() {
        return (formats.decode)(bytes, options).map(Row::Own);
    }
    let (width, height) = decoder::decode_into(bytes, options, place)?;
    Ok(Row::InPlace(width, height))
}

/// Builds the image column. The memory that the rows were decoded into becomes the column's where images fill it without
/// gaps; otherwise they are copied, and those with memory of their own released one by one.
fn assemble(data: Zeroed, sizes: &[usize], rows: Vec<Option<Row>>) -> Result<Images> {
    let fits = |(row, size): (&Option<Row>, &usize)| match row {
        Some(Row::InPlace(..)) => true,
        Some(Row::Own(_)) => false,
        None => *size == 0,
    };
    if rows.iter().zip(sizes).all(fits) {
        let shapes: Vec<_> = rows.iter().map(|row| row.as_ref().map(Row::size)).collect();
        return Images::from_buffer(data.into_buffer(), &shapes);
    }
    let nbytes = rows.iter().flatten().map(Row::nbytes).sum();
    let mut images = ImagesBuilder::with_capacity(rows.len(), nbytes);
    let mut at = 0;
    for (row, size) in rows.into_iter().zip(sizes) {
        match row {
            Some(Row::InPlace(width, height)) => images.push(width, height, &data[at..at + size])?,
            Some(Row::Own(image)) => images.push(image.width, image.height, &image.data)?,
            None => images.push_null(),
        }
        at += size;
    }
    images.finish()
}
