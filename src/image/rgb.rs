//! The image column: ragged RGB images in one Arrow struct column.

use std::sync::Arc;

use arrow::array::{Array, ArrayRef, AsArray, LargeBinaryArray, StructArray, UInt32Array};
use arrow::buffer::{BooleanBuffer, Buffer, NullBuffer, OffsetBuffer, ScalarBuffer};
use arrow::datatypes::{DataType, Field, Fields, UInt32Type};

use crate::column::{Column, DeviceColumn, Placement};
use crate::device::{CudaCtx, DeviceBuffer, ExecCtx};
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
    /// What random choices know the rows by; their numbers where absent.
    ids: Option<Arc<[u64]>>,
}

impl Images {
    /// The Arrow type of an image column.
    pub fn data_type() -> DataType {
        DataType::Struct(fields())
    }

    /// Reads a column of the image type; every valid row must have 3 x width x height bytes.
    ///
    /// Cost: one pass over the sizes, none over the pixels. No copy of a host column.
    ///
    /// # Synchronization
    /// A column on a device: sizes, offsets and validity are copied to the host, which waits for them.
    pub fn try_new(column: Column) -> Result<Self> {
        if *column.data_type() != Images::data_type() {
            let why = format!("type {} is not the image type {}", column.data_type(), Images::data_type());
            return Err(Error::invalid(OP, why));
        }
        if let Some(device) = column.as_device() {
            let rows = device_rows(device)?;
            return Ok(Images { column, rows, host: None, ids: None });
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
        Ok(Images { column, rows, host, ids: None })
    }

    /// Images from their pixels, one after the other in `data`, and their sizes (width, height); `None` is a null row
    /// and takes no bytes.
    pub fn from_pixels(data: Vec<u8>, sizes: &[Option<(u32, u32)>]) -> Result<Self> {
        Images::from_buffer(Buffer::from_vec(data), sizes)
    }

    /// [`from_pixels`](Images::from_pixels) over any host memory.
    pub(crate) fn from_buffer(data: Buffer, sizes: &[Option<(u32, u32)>]) -> Result<Self> {
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
        let data = LargeBinaryArray::try_new(offsets, data, None).map_err(|e| Error::arrow(OP, e))?;
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

    /// With these numbers, one for each row, as what random choices know the rows by ([`Resize::seed`]): a row keeps its
    /// random crop and flips wherever it stands if its number stays. They are not part of the Arrow column.
    ///
    /// ```
    /// use warpline::image::Images;
    /// let images = Images::from_pixels(vec![0; 6], &[Some((1, 1)), Some((1, 1))])?;
    /// assert_eq!(images.row_id(1), 1);
    /// assert_eq!(images.with_row_ids(&[40, 41])?.row_id(1), 41);
    /// # Ok::<(), warpline::Error>(())
    /// ```
    ///
    /// # Errors
    /// `InvalidInput` when there are more or fewer numbers than rows.
    ///
    /// [`Resize::seed`]: crate::image::Resize::seed
    pub fn with_row_ids(self, ids: &[u64]) -> Result<Self> {
        if ids.len() != self.len() {
            return Err(Error::invalid(OP, format!("{} row ids for {} rows", ids.len(), self.len())));
        }
        Ok(Images { ids: Some(ids.into()), ..self })
    }

    /// With the row ids of the images that these were made from.
    pub(crate) fn ids_of(self, source: &Images) -> Self {
        Images { ids: source.ids.clone(), ..self }
    }

    /// What random choices know a row by: the number that [`with_row_ids`](Images::with_row_ids) gave it, by default the
    /// row's own.
    pub fn row_id(&self, row: usize) -> u64 {
        self.ids.as_ref().and_then(|ids| ids.get(row).copied()).unwrap_or(row as u64)
    }

    /// The images where `ctx` runs: themselves when they are there already, otherwise a copy.
    ///
    /// # Synchronization
    /// A copy to the host waits for the device; a copy to a device is queued.
    pub fn to(&self, ctx: &ExecCtx) -> Result<Images> {
        if self.placement() == ctx.placement() {
            return Ok(self.clone());
        }
        let column = self.column.to(ctx)?;
        match column.placement() {
            Placement::Host => Ok(Images::try_new(column)?.ids_of(self)),
            Placement::Cuda(_) => {
                // An upload begins at the first row's first byte.
                let first = match self.host {
                    Some(_) => self.column.to_array()?.as_struct().column(0).as_binary::<i64>().value_offsets()[0],
                    None => 0,
                };
                let rebase = |row: ImageRow| ImageRow { offset: row.offset - first as usize, ..row };
                let rows = self.rows.iter().map(|row| row.map(rebase)).collect();
                Ok(Images { column, rows, host: None, ids: self.ids.clone() })
            }
        }
    }

    /// Images over pixels on a device: row by row from the offsets, one more than rows, sizes known to the host.
    pub(crate) fn on_device(
        cuda: &CudaCtx,
        pixels: DeviceBuffer,
        offsets: &[i64],
        sizes: &[Option<(u32, u32)>],
        validity: Option<DeviceBuffer>,
    ) -> Result<Self> {
        let side = |pick: fn((u32, u32)) -> u32| {
            let values: Vec<u32> = sizes.iter().map(|size| size.map_or(0, pick)).collect();
            DeviceColumn::fixed(cuda, DataType::UInt32, sizes.len(), None, cuda.upload_slice(OP, &values)?)
        };
        let offset_buffer = cuda.upload_slice(OP, offsets)?;
        let buffers = vec![offset_buffer, pixels];
        let data = DeviceColumn::from_parts(cuda, DataType::LargeBinary, sizes.len(), None, buffers, vec![])?;
        let children = vec![data, side(|s| s.0)?, side(|s| s.1)?];
        let column = DeviceColumn::from_parts(cuda, Images::data_type(), sizes.len(), validity, vec![], children)?;
        let rows = sizes
            .iter()
            .zip(offsets)
            .map(|(size, &offset)| size.map(|(width, height)| ImageRow { offset: offset as usize, width, height }));
        Ok(Images { rows: rows.collect(), column: column.into(), host: None, ids: None })
    }

    /// The pixels of all rows on the device.
    pub(crate) fn device_pixels(&self, op: &'static str) -> Result<&DeviceBuffer> {
        let device = self.column.as_device().and_then(|column| column.children().first());
        device
            .and_then(|data| data.buffers().get(1))
            .ok_or_else(|| Error::Internal { op, why: "images on a device without pixels".into() })
    }

    /// The validity bitmap on the device, where a row may be null.
    pub(crate) fn device_validity(&self) -> Option<DeviceBuffer> {
        self.column.as_device().and_then(|column| column.validity().cloned())
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

/// Rows of a column on a device; the pixels stay there.
fn device_rows(column: &DeviceColumn) -> Result<Arc<[Option<ImageRow>]>> {
    let [data, widths, heights] = column.children() else {
        return Err(Error::Internal { op: OP, why: "an image column has three children".into() });
    };
    let rows = column.len();
    let needed = [&data.buffers()[0], &widths.buffers()[0], &heights.buffers()[0]];
    let mut found = column.ctx().download_all(OP, &needed.into_iter().chain(column.validity()).collect::<Vec<_>>())?;
    let valid = column.validity().and_then(|_| found.pop()).map(|bits| BooleanBuffer::new(bits, 0, rows));
    let [offsets, widths, heights] = <[_; 3]>::try_from(found)
        .map_err(|_| Error::Internal { op: OP, why: "not as many buffers came back as were asked for".into() })?;
    let offsets = ScalarBuffer::<i64>::new(offsets, 0, rows + 1);
    let (widths, heights) = (ScalarBuffer::<u32>::new(widths, 0, rows), ScalarBuffer::<u32>::new(heights, 0, rows));
    (0..rows)
        .map(|i| {
            if valid.as_ref().is_some_and(|valid| !valid.value(i)) {
                return Ok(None);
            }
            let row = ImageRow { offset: offsets[i] as usize, width: widths[i], height: heights[i] };
            check_row(i, &row, (offsets[i + 1] - offsets[i]) as u128)?;
            if offsets[i] < 0 || offsets[i + 1] as usize > data.buffers()[1].len() {
                return Err(Error::invalid(OP, format!("row {i} lies outside the pixels")));
            }
            Ok(Some(row))
        })
        .collect()
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
