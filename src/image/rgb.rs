//! The image column: ragged RGB images in one Arrow struct column.

use std::sync::Arc;

use arrow::array::{Array, ArrayRef, AsArray, LargeBinaryArray, StructArray, UInt32Array};
use arrow::buffer::{Buffer, NullBuffer, OffsetBuffer, ScalarBuffer};
use arrow::datatypes::{DataType, Field, Fields, UInt32Type};

use crate::column::{Column, Placement};
use crate::error::{Error, Result};

const OP: &str = "images";

/// Where one image's pixels are in the column's data buffer, and its size.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ImageRow {
    /// First byte in the data buffer.
    pub offset: usize,
    /// Columns of pixels, at least 1.
    pub width: u32,
    /// Rows of pixels, at least 1.
    pub height: u32,
}

impl ImageRow {
    /// Bytes of the image: three per pixel.
    pub fn nbytes(&self) -> usize {
        3 * self.width as usize * self.height as usize
    }
}

/// A column of RGB images of any sizes.
///
/// In Arrow it is `Struct{data: LargeBinary, width: UInt32, height: UInt32}` with non-null children: pixels row by row,
/// three bytes each. A null row is an image that could not be decoded. Sizes are kept on the host as well, because
/// operators plan with them. Cheap to clone.
///
/// ```
/// use warpline::image::Images;
/// let two = Images::from_pixels(vec![255, 0, 0, 0, 0, 255], &[Some((1, 1)), None, Some((1, 1))])?;
/// assert_eq!(two.len(), 3);
/// assert_eq!(two.pixels(2), Some(&[0, 0, 255][..]));
/// assert_eq!(two.size(1), None);
/// # Ok::<(), warpline::Error>(())
/// ```
#[derive(Clone, Debug)]
pub struct Images {
    column: Column,
    rows: Arc<[Option<ImageRow>]>,
    /// The data child's bytes where the column is on the host.
    host: Option<Buffer>,
}

impl Images {
    /// The Arrow type of an image column.
    pub fn data_type() -> DataType {
        DataType::Struct(fields())
    }

    /// Reads a host column of the image type; every valid row must have 3 x width x height bytes.
    ///
    /// Cost: one pass over the sizes, none over the pixels. No copy.
    pub fn try_new(column: Column) -> Result<Self> {
        if *column.data_type() != Images::data_type() {
            let why = format!("type {} is not the image type {}", column.data_type(), Images::data_type());
            return Err(Error::invalid(OP, why));
        }
        let array = column.to_array()?;
        let array = array.as_struct();
        let data = array.column(0).as_binary::<i64>();
        let (widths, heights) =
            (array.column(1).as_primitive::<UInt32Type>(), array.column(2).as_primitive::<UInt32Type>());
        let rows = (0..array.len())
            .map(|i| {
                if array.is_null(i) {
                    return Ok(None);
                }
                let row = ImageRow {
                    offset: data.value_offsets()[i] as usize,
                    width: widths.value(i),
                    height: heights.value(i),
                };
                check_row(i, &row, data.value_length(i) as u128)?;
                Ok(Some(row))
            })
            .collect::<Result<Arc<[_]>>>()?;
        let host = Some(data.values().clone());
        Ok(Images { column, rows, host })
    }

    /// Images from their pixels, one after the other in `data`, and their sizes (width, height); `None` is a null row
    /// and takes no bytes.
    pub fn from_pixels(data: Vec<u8>, sizes: &[Option<(u32, u32)>]) -> Result<Self> {
        let mut offsets = Vec::with_capacity(sizes.len() + 1);
        let mut end = 0u128;
        offsets.push(0i64);
        for size in sizes {
            end += size.map_or(0, |(w, h)| 3 * u128::from(w) * u128::from(h));
            offsets.push(end.min(data.len() as u128) as i64);
        }
        if end != data.len() as u128 {
            return Err(Error::invalid(OP, format!("{} bytes of pixels, the sizes need {end}", data.len())));
        }
        let offsets = OffsetBuffer::new(ScalarBuffer::from(offsets));
        let data = LargeBinaryArray::try_new(offsets, Buffer::from_vec(data), None).map_err(|e| Error::arrow(OP, e))?;
        let widths: UInt32Array = sizes.iter().map(|s| s.map_or(0, |s| s.0)).collect::<Vec<_>>().into();
        let heights: UInt32Array = sizes.iter().map(|s| s.map_or(0, |s| s.1)).collect::<Vec<_>>().into();
        let nulls = Some(NullBuffer::from_iter(sizes.iter().map(Option::is_some))).filter(|n| n.null_count() > 0);
        let children: Vec<ArrayRef> = vec![Arc::new(data), Arc::new(widths), Arc::new(heights)];
        let array = StructArray::try_new_with_length(fields(), children, nulls, sizes.len())
            .map_err(|e| Error::arrow(OP, e))?;
        Images::try_new(Column::from_array(Arc::new(array)))
    }

    /// Number of rows, null ones included.
    pub fn len(&self) -> usize {
        self.rows.len()
    }

    /// Whether there are no rows.
    pub fn is_empty(&self) -> bool {
        self.rows.is_empty()
    }

    /// Number of null rows.
    pub fn null_count(&self) -> usize {
        self.rows.iter().filter(|r| r.is_none()).count()
    }

    /// Where the pixels are.
    pub fn placement(&self) -> Placement {
        self.column.placement()
    }

    /// Sizes and offsets of all rows; `None` where a row is null.
    pub fn rows(&self) -> &[Option<ImageRow>] {
        &self.rows
    }

    /// Width and height of a row; `None` where it is null or there is no such row.
    pub fn size(&self, row: usize) -> Option<(u32, u32)> {
        self.rows.get(row).copied().flatten().map(|r| (r.width, r.height))
    }

    /// The pixels of a row; `None` where it is null, where there is no such row, or where the column is on a device.
    pub fn pixels(&self, row: usize) -> Option<&[u8]> {
        let place = self.rows.get(row).copied().flatten()?;
        self.host.as_ref()?.as_slice().get(place.offset..place.offset + place.nbytes())
    }

    /// The Arrow column.
    pub fn column(&self) -> &Column {
        &self.column
    }

    /// The Arrow column, giving up the sizes.
    pub fn into_column(self) -> Column {
        self.column
    }
}

/// Collects decoded images one by one into an image column.
#[derive(Debug, Default)]
pub struct ImagesBuilder {
    data: Vec<u8>,
    sizes: Vec<Option<(u32, u32)>>,
}

impl ImagesBuilder {
    /// An empty builder with room for this many rows and pixel bytes.
    pub fn with_capacity(rows: usize, nbytes: usize) -> Self {
        ImagesBuilder { data: Vec::with_capacity(nbytes), sizes: Vec::with_capacity(rows) }
    }

    /// Adds an image of 3 x width x height bytes.
    pub fn push(&mut self, width: u32, height: u32, pixels: &[u8]) -> Result<()> {
        let row = ImageRow { offset: self.data.len(), width, height };
        check_row(self.sizes.len(), &row, pixels.len() as u128)?;
        self.data.extend_from_slice(pixels);
        self.sizes.push(Some((width, height)));
        Ok(())
    }

    /// Adds a null row.
    pub fn push_null(&mut self) {
        self.sizes.push(None);
    }

    /// The column.
    pub fn finish(self) -> Result<Images> {
        Images::from_pixels(self.data, &self.sizes)
    }
}

fn fields() -> Fields {
    Fields::from(vec![
        Field::new("data", DataType::LargeBinary, false),
        Field::new("width", DataType::UInt32, false),
        Field::new("height", DataType::UInt32, false),
    ])
}

fn check_row(row: usize, image: &ImageRow, nbytes: u128) -> Result<()> {
    let expected = 3 * u128::from(image.width) * u128::from(image.height);
    if expected == 0 || expected != nbytes {
        let why = format!("{nbytes} bytes for {} x {} RGB pixels, expected {expected}", image.width, image.height);
        return Err(Error::InvalidInput { op: OP, column: None, row: Some(row as u64), why });
    }
    Ok(())
}
