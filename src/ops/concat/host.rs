//! Host twin: buffers one behind the other, by layout.
//!
//! Not arrow-rs's `concat`, which loses rows of no width and merges dictionaries by a rule of thumb; it is the judge.

use arrow::array::{BooleanBufferBuilder, ByteView};
use arrow::buffer::{Buffer, MutableBuffer, NullBuffer};
use arrow::datatypes::{ArrowNativeType, Schema};
use rayon::prelude::*;

use crate::column::layout::{Layout, OffsetWidth};
use crate::column::parts::Parts;
use crate::column::views::INLINE;
use crate::column::{Batch, Column};
use crate::device::ExecCtx;
use crate::error::{Error, Result};

use super::OP;
use super::dictionary::{most_keys, too_many, unify};

/// See [`super::concat`]; a task per column.
pub(super) fn concat(ctx: &ExecCtx, schema: &Schema, batches: &[Batch]) -> Result<Vec<Column>> {
    let one = |(column, field): (usize, &str)| {
        let pieces = batches.iter().map(|batch| Parts::of(batch.columns()[column].to_array()?.as_ref()));
        let joined = Join { column: field }.parts(pieces.collect::<Result<_>>()?)?;
        Ok(Column::from_array(joined.into_array()))
    };
    let fields: Vec<_> = schema.fields().iter().map(|field| field.name().as_str()).enumerate().collect();
    ctx.pool().install(|| fields.into_par_iter().map(one).collect())
}

/// Joins the pieces of a column, whose name errors tell.
struct Join<'a> {
    column: &'a str,
}

impl Join<'_> {
    /// The pieces' rows; there is at least one piece.
    fn parts(&self, mut pieces: Vec<Parts>) -> Result<Parts> {
        if pieces.iter().any(|piece| piece.len > 0) {
            pieces.retain(|piece| piece.len > 0);
        } else {
            pieces.truncate(1);
        }
        if pieces.len() == 1 {
            return pieces.pop().ok_or_else(|| Error::Internal { op: OP, why: "a column without a piece".into() });
        }
        let data_type = pieces[0].data_type.clone();
        let len = pieces.iter().map(|piece| piece.len).sum();
        let nulls = nulls(&pieces, len);
        let (buffers, children) = match Layout::of(&data_type)? {
            Layout::Null => (Vec::new(), Vec::new()),
            Layout::Bits => (vec![bits(&pieces, len)], Vec::new()),
            Layout::Fixed(_) => (vec![bytes(&pieces, 0)], Vec::new()),
            Layout::Views => (views(&pieces), Vec::new()),
            Layout::Bytes(width) => (vec![self.offsets(&pieces, width)?, bytes(&pieces, 1)], Vec::new()),
            Layout::List(width) => (vec![self.offsets(&pieces, width)?], self.children(pieces)?),
            Layout::Struct | Layout::FixedList(_) => (Vec::new(), self.children(pieces)?),
            Layout::Dictionary(width) => {
                let (keys, values) = self.dictionary(pieces, width)?;
                (vec![keys], vec![values])
            }
        };
        Ok(Parts { data_type, len, nulls, buffers, children })
    }

    /// Each child, joined.
    fn children(&self, pieces: Vec<Parts>) -> Result<Vec<Parts>> {
        let mut children: Vec<Vec<Parts>> = pieces[0].children.iter().map(|_| Vec::new()).collect();
        for piece in pieces {
            children.iter_mut().zip(piece.children).for_each(|(all, child)| all.push(child));
        }
        children.into_iter().map(|pieces| self.parts(pieces)).collect()
    }

    fn offsets(&self, pieces: &[Parts], width: OffsetWidth) -> Result<Buffer> {
        match width {
            OffsetWidth::W32 => self.rebased::<i32>(pieces, width),
            OffsetWidth::W64 => self.rebased::<i64>(pieces, width),
        }
    }

    /// Offsets of all pieces from 0 on; a piece's end is the beginning of the next.
    fn rebased<O: ArrowNativeType>(&self, pieces: &[Parts], width: OffsetWidth) -> Result<Buffer> {
        let ends = |piece: &Parts| piece.buffers[0].typed_data::<O>()[piece.len].as_usize();
        let total = pieces.iter().map(|piece| ends(piece) as u64).sum::<u64>();
        if total > width.max() {
            let why = format!("{total} bytes or child rows do not fit the offsets of {}", pieces[0].data_type);
            return Err(Error::invalid_column(OP, self.column, format!("{why}: put fewer rows together")));
        }
        let mut out = vec![O::usize_as(0)];
        let mut base = 0;
        for piece in pieces {
            let offsets = &piece.buffers[0].typed_data::<O>()[1..=piece.len];
            out.extend(offsets.iter().map(|offset| O::usize_as(base + offset.as_usize())));
            base += ends(piece);
        }
        Ok(Buffer::from_vec(out))
    }

    /// Keys and their dictionary: the one that all share, or theirs one behind the other, or their different values.
    fn dictionary(&self, pieces: Vec<Parts>, width: usize) -> Result<(Buffer, Parts)> {
        let data_type = pieces[0].data_type.clone();
        if pieces.iter().all(|piece| is_same(&piece.children[0], &pieces[0].children[0])) {
            return Ok((bytes(&pieces, 0), pieces[0].children[0].clone()));
        }
        let mut out = MutableBuffer::new(pieces.iter().map(|piece| piece.len * width).sum());
        let total: usize = pieces.iter().map(|piece| piece.children[0].len).sum();
        if total as u64 <= most_keys(&data_type) {
            let mut base = 0;
            for piece in &pieces {
                map_keys(&piece.buffers[0], width, &mut out, |key| key.wrapping_add(base));
                base += piece.children[0].len as u64;
            }
            let mut values = self.children(pieces)?;
            let missing = || Error::Internal { op: OP, why: "a dictionary went missing".into() };
            return Ok((out.into(), values.pop().ok_or_else(missing)?));
        }
        let dictionaries: Vec<_> = pieces.iter().map(|piece| piece.children[0].clone().into_array()).collect();
        let (values, keys) = unify(OP, &dictionaries)?;
        if values.len() as u64 > most_keys(&data_type) {
            return Err(Error::invalid_column(OP, self.column, too_many(&data_type, values.len() as u64)));
        }
        for (piece, map) in pieces.iter().zip(&keys) {
            // Keys under nulls may be anything.
            map_keys(&piece.buffers[0], width, &mut out, |key| map.get(key as usize).copied().unwrap_or(0));
        }
        Ok((out.into(), Parts::of(values.as_ref())?))
    }
}

/// Whether both are the same buffers, and not just equal ones.
fn is_same(left: &Parts, right: &Parts) -> bool {
    let nulls = |parts: &Parts| parts.nulls.as_ref().map(|nulls| nulls.buffer().clone());
    let same = |(left, right): (&Buffer, &Buffer)| left.ptr_eq(right);
    left.len == right.len
        && nulls(left).is_some() == nulls(right).is_some()
        && nulls(left).iter().zip(&nulls(right)).all(same)
        && left.buffers.len() == right.buffers.len()
        && left.buffers.iter().zip(&right.buffers).all(same)
        && left.children.iter().zip(&right.children).all(|(left, right)| is_same(left, right))
}

/// Validity of all pieces, when one has nulls.
fn nulls(pieces: &[Parts], len: usize) -> Option<NullBuffer> {
    if pieces.iter().all(|piece| piece.nulls.is_none()) {
        return None;
    }
    let mut out = BooleanBufferBuilder::new(len);
    for piece in pieces {
        match &piece.nulls {
            Some(nulls) => out.append_buffer(nulls.inner()),
            None => out.append_n(piece.len, true),
        }
    }
    Some(NullBuffer::new(out.finish()))
}

fn bits(pieces: &[Parts], len: usize) -> Buffer {
    let mut out = BooleanBufferBuilder::new(len);
    pieces.iter().for_each(|piece| out.append_packed_range(0..piece.len, &piece.buffers[0]));
    out.finish().into_inner()
}

/// A buffer of all pieces.
fn bytes(pieces: &[Parts], buffer: usize) -> Buffer {
    let mut out = MutableBuffer::new(pieces.iter().map(|piece| piece.buffers[buffer].len()).sum());
    pieces.iter().for_each(|piece| out.extend_from_slice(&piece.buffers[buffer]));
    out.into()
}

/// Views, and the data buffers of all pieces.
fn views(pieces: &[Parts]) -> Vec<Buffer> {
    let mut views: Vec<u128> = Vec::with_capacity(pieces.iter().map(|piece| piece.len).sum());
    let mut data = Vec::new();
    for piece in pieces {
        let base = data.len() as u32;
        views.extend(piece.buffers[0].typed_data::<u128>().iter().map(|&view| {
            let parts = ByteView::from(view);
            match parts.length > INLINE {
                true => parts.with_buffer_index(parts.buffer_index.wrapping_add(base)).as_u128(),
                false => view,
            }
        }));
        data.extend_from_slice(&piece.buffers[1..]);
    }
    std::iter::once(Buffer::from_vec(views)).chain(data).collect()
}

/// Appends keys of `width` bytes, each changed.
fn map_keys(keys: &[u8], width: usize, out: &mut MutableBuffer, change: impl Fn(u64) -> u64) {
    for key in keys.chunks_exact(width) {
        let mut word = [0; 8];
        word[..width].copy_from_slice(key);
        out.extend_from_slice(&change(u64::from_le_bytes(word)).to_le_bytes()[..width]);
    }
}
