//! The buffers of the result, shared or in the table of what has to be moved.

use crate::column::DeviceColumn;
use crate::column::layout::{Layout, OffsetWidth, bit_bytes};
use crate::device::{CudaCtx, DeviceBuffer, DeviceBufferMut, Grid};
use crate::error::{Error, Result};
use crate::ops::gather::table::Table;

use super::{ALIGNMENT, Keys, Node, Piece, THREADS, TILE_ITEMS, move_pieces};

/// `PieceKind` in `kernels/pieces.cu`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(u32)]
enum Kind {
    Bytes = 0,
    Bits = 1,
    AddU8 = 2,
    AddU16 = 3,
    AddU32 = 4,
    AddU64 = 5,
    Views = 6,
    MapU8 = 7,
    MapU16 = 8,
    MapU32 = 9,
    MapU64 = 10,
}

impl Kind {
    /// Values of this many bytes, to which a number is added.
    fn adding(width: usize) -> Kind {
        match width {
            1 => Kind::AddU8,
            2 => Kind::AddU16,
            4 => Kind::AddU32,
            _ => Kind::AddU64,
        }
    }

    /// Dictionary keys of this many bytes, which become others.
    fn mapping(width: usize) -> Kind {
        match width {
            1 => Kind::MapU8,
            2 => Kind::MapU16,
            4 => Kind::MapU32,
            _ => Kind::MapU64,
        }
    }
}

/// A buffer of the result.
enum Buffer {
    Shared(DeviceBuffer),
    Written(DeviceBufferMut),
}

impl Buffer {
    fn freeze(self) -> DeviceBuffer {
        match self {
            Buffer::Shared(buffer) => buffer,
            Buffer::Written(buffer) => buffer.freeze(),
        }
    }
}

/// The buffers of one node.
pub(super) struct Made {
    validity: Option<Buffer>,
    buffers: Vec<Buffer>,
}

impl Made {
    pub(super) fn freeze(self) -> (Option<DeviceBuffer>, Vec<DeviceBuffer>) {
        (self.validity.map(Buffer::freeze), self.buffers.into_iter().map(Buffer::freeze).collect())
    }
}

/// The table of what has to be moved.
pub(super) struct Outputs<'a> {
    ctx: &'a CudaCtx,
    op: &'static str,
    table: Table<'a>,
    pieces: u32,
    tiles: u64,
}

impl<'a> Outputs<'a> {
    pub(super) fn new(ctx: &'a CudaCtx, op: &'static str) -> Self {
        Outputs { ctx, op, table: Table::new(ctx, op), pieces: 0, tiles: 0 }
    }

    /// The buffers of a node, shared or entered into the table.
    pub(super) fn allocate(&mut self, node: &Node<'_>) -> Result<Made> {
        let nullable = node.pieces.iter().any(|piece| piece.column.validity().is_some());
        let validity = nullable.then(|| self.bits(node, DeviceColumn::validity)).transpose()?;
        let buffers = match node.layout {
            Layout::Null | Layout::Struct | Layout::FixedList(_) => Vec::new(),
            Layout::Bits => vec![self.bits(node, |column| column.buffers().first())?],
            Layout::Fixed(width) => vec![self.values(node, width, |_| (Kind::Bytes, 0))?],
            Layout::Dictionary(width) => vec![self.keys(node, width)?],
            Layout::Views => self.views(node)?,
            Layout::List(width) => vec![self.offsets(node, width)?],
            Layout::Bytes(width) => vec![self.offsets(node, width)?, self.bytes(node)?],
        };
        Ok(Made { validity, buffers })
    }

    /// Bits of all pieces, ones for a piece without.
    fn bits(&mut self, node: &Node<'_>, of: impl Fn(&DeviceColumn) -> Option<&DeviceBuffer>) -> Result<Buffer> {
        if let [Piece { column, first, rows }] = node.pieces[..]
            && let Some(bits) = of(column)
            && first % (8 * ALIGNMENT) == 0
            // Bits past the end are zero.
            && first + rows == column.len()
        {
            return Ok(Buffer::Shared(bits.slice(first / 8, bit_bytes(rows))));
        }
        let mut out = self.ctx.allocate_zeroed(self.op, bit_bytes(node.rows))?;
        let to = self.table.writes(&mut out)?;
        let mut at = 0;
        for Piece { column, first, rows } in &node.pieces {
            let (from, first) = match self.table.reads(of(column))? {
                0 => (0, 0),
                from => (from + 4 * (first / 32) as u64, first % 32),
            };
            let begins = first as u64 | (at as u64 % 32) << 32;
            let words = (at % 32 + rows).div_ceil(32);
            self.push([from, to + 4 * (at / 32) as u64], *rows, begins, Kind::Bits, words as u64)?;
            at += rows;
        }
        Ok(Buffer::Written(out))
    }

    /// The first buffers of all pieces, as values of this width; `kind` says what happens to those of each piece.
    fn values(&mut self, node: &Node<'_>, width: usize, kind: impl Fn(usize) -> (Kind, u64)) -> Result<Buffer> {
        let ranges = node.pieces.iter().map(|piece| (piece.first * width, piece.rows * width));
        let ranges: Vec<_> = ranges.collect();
        if let Some(shared) = self.share(node, 0, &ranges)? {
            return Ok(Buffer::Shared(shared));
        }
        let mut out = self.ctx.allocate(self.op, node.rows * width)?;
        let mut to = self.table.writes(&mut out)?;
        for (i, (piece, (first, len))) in node.pieces.iter().zip(ranges).enumerate() {
            let from = self.table.reads(piece.column.buffers().first())? + first as u64;
            match kind(i) {
                (Kind::Bytes, _) => self.push_bytes(from, to, len)?,
                (kind, delta) => self.push([from, to], piece.rows, delta, kind, piece.rows as u64)?,
            }
            to += len as u64;
        }
        Ok(Buffer::Written(out))
    }

    /// Dictionary keys, changed as the pieces' dictionaries ask for.
    fn keys(&mut self, node: &Node<'_>, width: usize) -> Result<Buffer> {
        match &node.keys {
            Keys::Same => self.values(node, width, |_| (Kind::Bytes, 0)),
            Keys::Based(bases) => self.values(node, width, |i| (Kind::adding(width), bases[i])),
            Keys::Mapped(maps) => {
                let maps = maps.iter().map(|map| self.table.reads(map)).collect::<Result<Vec<_>>>()?;
                self.values(node, width, |i| (Kind::mapping(width), maps[i]))
            }
        }
    }

    /// Views, and the data buffers of all pieces.
    fn views(&mut self, node: &Node<'_>) -> Result<Vec<Buffer>> {
        let mut data = Vec::new();
        let mut bases = Vec::with_capacity(node.pieces.len());
        for piece in &node.pieces {
            bases.push(data.len() as u64);
            data.extend(piece.column.buffers().iter().skip(1).cloned().map(Buffer::Shared));
        }
        let views = self.values(node, 16, |i| (Kind::Views, bases[i]))?;
        Ok(std::iter::once(views).chain(data).collect())
    }

    /// Offsets from 0 on.
    fn offsets(&mut self, node: &Node<'_>, width: OffsetWidth) -> Result<Buffer> {
        let width = width.bytes();
        if node.ends[0].start == 0
            && let Some(shared) = self.share(node, 0, &[(node.pieces[0].first * width, (node.rows + 1) * width)])?
        {
            return Ok(Buffer::Shared(shared));
        }
        let mut out = self.ctx.allocate(self.op, (node.rows + 1) * width)?;
        let mut to = self.table.writes(&mut out)?;
        let mut base = 0u64;
        for (i, (piece, ends)) in node.pieces.iter().zip(&node.ends).enumerate() {
            let from = self.table.reads(piece.column.buffers().first())? + (piece.first * width) as u64;
            // A piece's end is the beginning of the next.
            let count = piece.rows + usize::from(i + 1 == node.pieces.len());
            let delta = base.wrapping_sub(ends.start);
            self.push([from, to], count, delta, Kind::adding(width), count as u64)?;
            to += (piece.rows * width) as u64;
            base += ends.end - ends.start;
        }
        Ok(Buffer::Written(out))
    }

    /// Bytes of strings and binary.
    fn bytes(&mut self, node: &Node<'_>) -> Result<Buffer> {
        let ranges = node.ends.iter().map(|ends| (ends.start as usize, (ends.end - ends.start) as usize));
        let ranges: Vec<_> = ranges.collect();
        if let Some(shared) = self.share(node, 1, &ranges)? {
            return Ok(Buffer::Shared(shared));
        }
        let mut out = self.ctx.allocate(self.op, ranges.iter().map(|(_, len)| len).sum())?;
        let mut to = self.table.writes(&mut out)?;
        for (piece, (first, len)) in node.pieces.iter().zip(ranges) {
            let from = self.table.reads(piece.column.buffers().get(1))? + first as u64;
            self.push_bytes(from, to, len)?;
            to += len as u64;
        }
        Ok(Buffer::Written(out))
    }

    /// A buffer of the only piece, when its range begins where a buffer may begin.
    fn share(&self, node: &Node<'_>, buffer: usize, ranges: &[(usize, usize)]) -> Result<Option<DeviceBuffer>> {
        let ([piece], [(first, len)]) = (&node.pieces[..], ranges) else { return Ok(None) };
        let why = || Error::Internal { op: self.op, why: "a column without its buffers".into() };
        let buffer = piece.column.buffers().get(buffer).ok_or_else(why)?;
        Ok(first.is_multiple_of(ALIGNMENT).then(|| buffer.slice(*first, *len)))
    }

    fn push_bytes(&mut self, from: u64, to: u64, len: usize) -> Result<()> {
        self.push([from, to], len, 0, Kind::Bytes, (to % 16 + len as u64).div_ceil(16))
    }

    /// Enters a piece, which is so many items of work.
    fn push(&mut self, [from, to]: [u64; 2], count: usize, delta: u64, kind: Kind, items: u64) -> Result<()> {
        if count == 0 {
            return Ok(());
        }
        let first_tile = u32::try_from(self.tiles).map_err(|_| self.too_much())?;
        self.table.push(&[from, to, count as u64, delta, kind as u64 | u64::from(first_tile) << 32]);
        self.pieces = self.pieces.checked_add(1).ok_or_else(|| self.too_much())?;
        self.tiles += items.div_ceil(TILE_ITEMS);
        Ok(())
    }

    /// Moves all of it.
    pub(super) fn launch(&self) -> Result<()> {
        if self.table.is_empty() {
            return Ok(());
        }
        let table = self.table.upload()?;
        let blocks = i32::try_from(self.tiles).map_err(|_| self.too_much())?;
        // SAFETY: every piece lies within its source, and its place within its output: places follow one another and
        // outputs were allocated for their sum; outputs of bits are zeroed.
        unsafe { move_pieces(self.ctx, Grid::linear(blocks as u32, THREADS), table.input(), self.pieces) }
    }

    fn too_much(&self) -> Error {
        Error::unsupported(self.op, "more than 32 TiB in one launch", "split the batch")
    }
}
