//! Host twin: moves by layout, not by type.
//!
//! Not arrow-rs's `take`: that drops the bytes under null rows, and leaves what the index happens to point at under a
//! null index. Here both twins copy the former and zero the latter.

use arrow::array::{Array, ArrayRef, AsArray, OffsetSizeTrait, PrimitiveArray};
use arrow::buffer::{BooleanBuffer, Buffer, MutableBuffer, NullBuffer};
use arrow::datatypes::{ArrowPrimitiveType, DataType, Int32Type, Int64Type, UInt32Type, UInt64Type};
use rayon::prelude::*;

use crate::column::layout::{Layout, OffsetWidth};
use crate::column::parts::{Parts, fixed, list_values, offset_range, offsets_of};
use crate::column::{Batch, Column, Placement, views};
use crate::device::ExecCtx;
use crate::error::{Error, Result};

use super::{OutOfRange, outside, too_long};

/// Rows of a task: enough to outweigh handing it to a thread.
const TASK_ROWS: usize = 1 << 16;

/// See [`super::gather`]; a task per column, values of fixed width in tasks of [`TASK_ROWS`].
pub(super) fn gather(ctx: &ExecCtx, batch: &Batch, indices: &Column, out_of_range: OutOfRange) -> Result<Batch> {
    rows(ctx, batch, &sources(&indices.to_array()?, batch.num_rows(), out_of_range)?)
}

/// The batch's rows of these numbers, the greatest of which stands for none.
fn rows(ctx: &ExecCtx, batch: &Batch, rows: &[u32]) -> Result<Batch> {
    let one = |column: &Column| Ok(Column::from_array(taken(&column.to_array()?, rows)?));
    let columns = ctx.pool().install(|| batch.columns().par_iter().map(one).collect::<Result<Vec<_>>>())?;
    Batch::try_new(batch.schema().clone(), columns, rows.len(), Placement::Host)
}

/// The column's rows of these numbers, the greatest of which stands for none.
pub(in crate::ops) fn taken(array: &ArrayRef, rows: &[u32]) -> Result<ArrayRef> {
    Ok(gathered(array, rows)?.into_array())
}

/// A source row, or none: the greatest value, which is past the end of every array, stands for a null index.
pub(in crate::ops) trait Source: Copy + Sync {
    const NONE: Self;
    fn row(self) -> usize;
    fn is_none(self) -> bool;
}

impl Source for u32 {
    const NONE: u32 = u32::MAX;
    fn row(self) -> usize {
        self as usize
    }
    fn is_none(self) -> bool {
        self == Self::NONE
    }
}

impl Source for usize {
    const NONE: usize = usize::MAX;
    fn row(self) -> usize {
        self
    }
    fn is_none(self) -> bool {
        self == Self::NONE
    }
}

/// The indices as source rows, checked once for all columns.
fn sources(indices: &ArrayRef, rows: usize, out_of_range: OutOfRange) -> Result<Vec<u32>> {
    match indices.data_type() {
        DataType::Int32 => check::<Int32Type>(indices.as_primitive(), rows, out_of_range),
        DataType::UInt32 => check::<UInt32Type>(indices.as_primitive(), rows, out_of_range),
        DataType::Int64 => check::<Int64Type>(indices.as_primitive(), rows, out_of_range),
        DataType::UInt64 => check::<UInt64Type>(indices.as_primitive(), rows, out_of_range),
        other => Err(Error::Internal { op: super::OP, why: format!("indices of type {other}") }),
    }
}

fn check<T>(indices: &PrimitiveArray<T>, rows: usize, out_of_range: OutOfRange) -> Result<Vec<u32>>
where
    T: ArrowPrimitiveType,
    T::Native: TryInto<u32>,
{
    let mut sources = Vec::with_capacity(indices.len());
    for (row, &index) in indices.values().iter().enumerate() {
        let source = match index.try_into() {
            _ if indices.is_null(row) => u32::NONE,
            Ok(source) if (source as usize) < rows => source,
            _ if out_of_range == OutOfRange::IsNull => u32::NONE,
            _ => return Err(outside(row, rows)),
        };
        sources.push(source);
    }
    Ok(sources)
}

/// The source rows of one column, in order.
fn gathered<S: Source>(array: &ArrayRef, rows: &[S]) -> Result<Parts> {
    let layout = Layout::of(array.data_type())?;
    let (buffers, children) = match layout {
        Layout::Null => (Vec::new(), Vec::new()),
        Layout::Bits => (vec![bits(array.as_boolean().values(), rows).into_inner()], Vec::new()),
        Layout::Fixed(width) => (vec![values(&fixed(array.as_ref(), width), width, rows)], Vec::new()),
        Layout::Dictionary(width) => {
            let dictionary = array.as_any_dictionary();
            let keys = values(&fixed(dictionary.keys(), width), width, rows);
            (vec![keys], vec![Parts::of(dictionary.values().as_ref())?])
        }
        Layout::Views => {
            let mut buffers = views::all(array.as_ref());
            buffers[0] = values(&buffers[0], 16, rows);
            (buffers, Vec::new())
        }
        Layout::Bytes(OffsetWidth::W32) => (bytes::<i32, S>(array, OffsetWidth::W32, rows)?, Vec::new()),
        Layout::Bytes(OffsetWidth::W64) => (bytes::<i64, S>(array, OffsetWidth::W64, rows)?, Vec::new()),
        Layout::List(OffsetWidth::W32) => list::<i32, S>(array, OffsetWidth::W32, rows)?,
        Layout::List(OffsetWidth::W64) => list::<i64, S>(array, OffsetWidth::W64, rows)?,
        Layout::FixedList(size) => {
            let child = array.as_fixed_size_list().values().slice(0, array.len() * size);
            (Vec::new(), vec![gathered(&child, &spread(rows, size))?])
        }
        Layout::Struct => {
            let children = array.as_struct().columns().iter().map(|child| gathered(child, rows));
            (Vec::new(), children.collect::<Result<_>>()?)
        }
    };
    let nulls = if layout == Layout::Null { None } else { nulls(array, rows) };
    Ok(Parts { data_type: array.data_type().clone(), len: rows.len(), nulls, buffers, children })
}

/// Validity: the source row's, and null where there is no source.
pub(in crate::ops) fn nulls<S: Source>(array: &ArrayRef, rows: &[S]) -> Option<NullBuffer> {
    let valid = match array.nulls() {
        Some(nulls) => bits(nulls.inner(), rows),
        None if rows.iter().all(|row| !row.is_none()) => return None,
        None => BooleanBuffer::collect_bool(rows.len(), |i| !rows[i].is_none()),
    };
    Some(NullBuffer::new(valid)).filter(|nulls| nulls.null_count() > 0)
}

/// Bits of the source rows, 0 where there is none.
fn bits<S: Source>(source: &BooleanBuffer, rows: &[S]) -> BooleanBuffer {
    let (bytes, first, len) = (source.values(), source.offset(), source.len());
    BooleanBuffer::collect_bool(rows.len(), |i| {
        let row = rows[i].row();
        row < len && bytes[(first + row) / 8] >> ((first + row) % 8) & 1 == 1
    })
}

/// Values of the source rows, zero where there is none.
fn values<S: Source>(source: &Buffer, width: usize, rows: &[S]) -> Buffer {
    let mut out = MutableBuffer::from_len_zeroed(rows.len() * width);
    match width {
        1 => moves::<1, S>(source, out.as_slice_mut(), rows),
        2 => moves::<2, S>(source, out.as_slice_mut(), rows),
        4 => moves::<4, S>(source, out.as_slice_mut(), rows),
        8 => moves::<8, S>(source, out.as_slice_mut(), rows),
        16 => moves::<16, S>(source, out.as_slice_mut(), rows),
        32 => moves::<32, S>(source, out.as_slice_mut(), rows),
        0 => {}
        _ => {
            for (to, row) in out.as_slice_mut().chunks_exact_mut(width).zip(rows) {
                if !row.is_none() {
                    to.copy_from_slice(&source[row.row() * width..][..width]);
                }
            }
        }
    }
    out.into()
}

fn moves<const W: usize, S: Source>(source: &[u8], out: &mut [u8], rows: &[S]) {
    let (source, _) = source.as_chunks::<W>();
    let (out, _) = out.as_chunks_mut::<W>();
    out.par_chunks_mut(TASK_ROWS).zip(rows.par_chunks(TASK_ROWS)).for_each(|(out, rows)| {
        for (to, row) in out.iter_mut().zip(rows) {
            if let Some(from) = source.get(row.row()) {
                *to = *from;
            }
        }
    });
}

/// Offsets of the gathered rows from 0, each as long as its source and empty where there is none.
fn offsets<O: OffsetSizeTrait, S: Source>(
    data_type: &DataType,
    source: &[O],
    width: OffsetWidth,
    rows: &[S],
) -> Result<(Buffer, usize)> {
    let length = |row: S| if row.is_none() { 0 } else { (source[row.row() + 1] - source[row.row()]).as_usize() };
    let mut total = 0usize;
    let mut out = Vec::with_capacity(rows.len() + 1);
    out.push(O::zero());
    for &row in rows {
        total += length(row);
        // A total too long for the type is refused below, before anyone sees what it wrapped to.
        out.push(O::from_usize(total).unwrap_or_default());
    }
    if total as u64 > width.max() {
        return Err(too_long(data_type, total as u64));
    }
    Ok((Buffer::from_vec(out), total))
}

/// Offsets and bytes of strings and binary.
fn bytes<O: OffsetSizeTrait, S: Source>(array: &ArrayRef, width: OffsetWidth, rows: &[S]) -> Result<Vec<Buffer>> {
    let source = offsets_of::<O>(array.as_ref());
    let data = array.to_data().buffers()[1].clone();
    let (out_offsets, total) = offsets(array.data_type(), &source, width, rows)?;
    let mut out = MutableBuffer::with_capacity(total);
    for row in rows.iter().filter(|row| !row.is_none()).map(|row| row.row()) {
        out.extend_from_slice(&data[source[row].as_usize()..source[row + 1].as_usize()]);
    }
    Ok(vec![out_offsets, out.into()])
}

/// Offsets and child of lists and maps.
fn list<O: OffsetSizeTrait, S: Source>(
    array: &ArrayRef,
    width: OffsetWidth,
    rows: &[S],
) -> Result<(Vec<Buffer>, Vec<Parts>)> {
    let source = offsets_of::<O>(array.as_ref());
    let (first, last) = offset_range(array.as_ref(), width);
    let child = list_values(array.as_ref()).slice(first, last - first);
    let (out_offsets, total) = offsets(array.data_type(), &source, width, rows)?;
    let mut below = Vec::with_capacity(total);
    for row in rows.iter().filter(|row| !row.is_none()).map(|row| row.row()) {
        below.extend(source[row].as_usize() - first..source[row + 1].as_usize() - first);
    }
    Ok((vec![out_offsets], vec![gathered(&child, &below)?]))
}

/// Each source row as its `size` child rows.
fn spread<S: Source>(rows: &[S], size: usize) -> Vec<usize> {
    let child = |row: S, i: usize| if row.is_none() { usize::NONE } else { row.row() * size + i };
    rows.iter().flat_map(|&row| (0..size).map(move |i| child(row, i))).collect()
}
