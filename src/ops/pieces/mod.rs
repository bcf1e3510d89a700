//! Rows of columns put one behind the other on a device: a slice is one piece of each column, a concatenation many.
//!
//! Three steps. The pieces of all columns and of all children become a tree; how many bytes or child rows a piece of
//! strings or of a list covers is read from its offsets, level by level. Then every buffer is either shared (one piece
//! that begins where a buffer may begin) or allocated, and all that has to be moved goes into one table. One launch moves
//! it.

mod outputs;
pub(in crate::ops) mod plan;

use std::ops::Range;

use arrow::datatypes::{DataType, Schema};

use crate::column::DeviceColumn;
use crate::column::layout::{Layout, OffsetWidth};
use crate::device::kernels::entries::pieces as entries;
use crate::device::launch::kernel;
use crate::device::{CudaCtx, DeviceBuffer, Grid, In, Out};
use crate::error::{Error, Result};
use crate::ops::concat::dictionary::{most_keys, too_many, unify};
use crate::ops::gather::table::Table;

use outputs::Outputs;

/// Threads of every block here; `Policy::kThreads` of the kernels.
const THREADS: u32 = 256;
/// Items of a block of `pieces_move`: segments of 16 bytes, words of bits, or values.
const TILE_ITEMS: u64 = 1024;
/// Where a buffer may begin: see [`DeviceColumn`].
const ALIGNMENT: usize = 64;

kernel! {
    /// The first and the last offset of each piece of a table of `EndsPiece`s.
    fn read_ends[entries::READ_ENDS](pieces: In<'_, u64>, n: u64, ends: Out<'_, u64>);
    /// Everything of a table of `Piece`s, a block for each tile.
    fn move_pieces[entries::MOVE](pieces: In<'_, u64>, n: u32);
}

/// Rows of a column.
#[derive(Clone, Copy)]
pub(in crate::ops) struct Piece<'c> {
    pub(in crate::ops) column: &'c DeviceColumn,
    pub(in crate::ops) first: usize,
    pub(in crate::ops) rows: usize,
}

impl<'c> Piece<'c> {
    /// All rows.
    pub(in crate::ops) fn whole(column: &'c DeviceColumn) -> Self {
        Piece { column, first: 0, rows: column.len() }
    }
}

/// A column for each field of the schema: the rows of its pieces, at least one, one behind the other. All pieces of a
/// column have its type.
///
/// Waits once for each level of strings, binary and lists, whose offsets tell what has to be moved; nothing is moved
/// before all sizes are known to fit.
pub(in crate::ops) fn join<'c>(
    ctx: &CudaCtx,
    op: &'static str,
    schema: &Schema,
    columns: Vec<Vec<Piece<'c>>>,
) -> Result<Vec<DeviceColumn>> {
    let mut tree = Tree { ctx, op, schema, nodes: Vec::new() };
    let columns = columns.into_iter().enumerate();
    let roots = columns.map(|(root, pieces)| tree.add(root, pieces)).collect::<Result<Vec<_>>>()?;
    tree.measure()?;
    let mut outputs = Outputs::new(ctx, op);
    let made = tree.nodes.iter().map(|node| outputs.allocate(node)).collect::<Result<Vec<_>>>()?;
    outputs.launch()?;
    // Children stand behind their parents.
    let mut done: Vec<Option<DeviceColumn>> = tree.nodes.iter().map(|_| None).collect();
    let missing = || Error::Internal { op, why: "a column went missing".into() };
    for (i, (node, made)) in tree.nodes.iter().zip(made).enumerate().rev() {
        let children = match &node.dictionary {
            Some(dictionary) => vec![dictionary.clone()],
            None => {
                let children = node.children.iter().map(|&child| done[child].take().ok_or_else(missing));
                children.collect::<Result<_>>()?
            }
        };
        let (validity, buffers) = made.freeze();
        let data_type = node.data_type().clone();
        done[i] = Some(DeviceColumn::from_parts(ctx, data_type, node.rows, validity, buffers, children)?);
    }
    roots.into_iter().map(|root| done[root].take().ok_or_else(missing)).collect()
}

/// A column of the result, or a child.
struct Node<'c> {
    /// The field that it is of.
    root: usize,
    layout: Layout,
    /// Those that have rows, or else one of them.
    pieces: Vec<Piece<'c>>,
    rows: usize,
    /// What each piece's offsets cover.
    ends: Vec<Range<u64>>,
    keys: Keys,
    children: Vec<usize>,
    /// A dictionary that is there already.
    dictionary: Option<DeviceColumn>,
}

/// What becomes of the pieces' dictionary keys.
enum Keys {
    Same,
    /// What is added to each piece's.
    Based(Vec<u64>),
    /// A `KeyMap` for each piece.
    Mapped(Vec<DeviceBuffer>),
}

impl Node<'_> {
    fn data_type(&self) -> &DataType {
        self.pieces[0].column.data_type()
    }
}

struct Tree<'a, 'c> {
    ctx: &'a CudaCtx,
    op: &'static str,
    schema: &'a Schema,
    nodes: Vec<Node<'c>>,
}

impl<'c> Tree<'_, 'c> {
    /// Adds a column and all below it that needs no look at offsets.
    fn add(&mut self, root: usize, pieces: Vec<Piece<'c>>) -> Result<usize> {
        let mut kept: Vec<_> = pieces.iter().filter(|piece| piece.rows > 0).copied().collect();
        if kept.is_empty() {
            kept.extend(pieces.first());
        }
        let empty = || Error::Internal { op: self.op, why: "a column without a piece".into() };
        let layout = Layout::of(kept.first().ok_or_else(empty)?.column.data_type())?;
        let rows = kept.iter().map(|piece| piece.rows).sum();
        let (ends, children) = (Vec::new(), Vec::new());
        let at = self.nodes.len();
        let node = Node { root, layout, pieces: kept, rows, ends, keys: Keys::Same, children, dictionary: None };
        self.nodes.push(node);
        match layout {
            Layout::Struct => {
                for field in 0..self.nodes[at].pieces[0].column.children().len() {
                    self.add_child(at, |_, piece| Piece { column: &piece.column.children()[field], ..*piece })?;
                }
            }
            Layout::FixedList(size) => self.add_child(at, |_, piece| Piece {
                column: &piece.column.children()[0],
                first: piece.first * size,
                rows: piece.rows * size,
            })?,
            Layout::Dictionary(_) => self.add_dictionary(at)?,
            _ => {}
        }
        Ok(at)
    }

    /// Adds a child of the node; `piece` makes the child's pieces out of the node's.
    fn add_child(&mut self, at: usize, piece: impl Fn(usize, &Piece<'c>) -> Piece<'c>) -> Result<()> {
        let node = &self.nodes[at];
        let pieces = node.pieces.iter().enumerate().map(|(i, of)| piece(i, of)).collect();
        let child = self.add(node.root, pieces)?;
        self.nodes[at].children.push(child);
        Ok(())
    }

    /// One dictionary for all pieces: the one that they share, or theirs one behind the other, or, where the keys cannot
    /// tell so many values, the different ones of them, which are found on the host.
    fn add_dictionary(&mut self, at: usize) -> Result<()> {
        let node = &mut self.nodes[at];
        let dictionaries: Vec<_> = node.pieces.iter().map(|piece| &piece.column.children()[0]).collect();
        if dictionaries.iter().all(|dictionary| dictionary.is_same(dictionaries[0])) {
            node.dictionary = Some(dictionaries[0].clone());
            return Ok(());
        }
        let mut total = 0;
        let bases = dictionaries.iter().map(|dictionary| {
            let base = total;
            total += dictionary.len() as u64;
            base
        });
        node.keys = Keys::Based(bases.collect());
        if total <= most_keys(node.data_type()) {
            return self.add_child(at, |_, piece| Piece::whole(&piece.column.children()[0]));
        }
        let host = dictionaries.iter().map(|dictionary| dictionary.download()).collect::<Result<Vec<_>>>()?;
        let (values, keys) = unify(self.op, &host)?;
        let data_type = node.data_type().clone();
        if values.len() as u64 > most_keys(&data_type) {
            return Err(self.invalid(at, too_many(&data_type, values.len() as u64)));
        }
        let map = |keys: Vec<u64>| {
            let words: Vec<u64> = std::iter::once(keys.len() as u64).chain(keys).collect();
            self.ctx.upload_slice(self.op, &words)
        };
        let maps = keys.into_iter().map(map).collect::<Result<_>>()?;
        let node = &mut self.nodes[at];
        node.keys = Keys::Mapped(maps);
        node.dictionary = Some(DeviceColumn::upload(self.ctx, values.as_ref())?);
        Ok(())
    }

    /// Reads what the pieces of variable length cover, and adds the children of lists, until there are no more.
    fn measure(&mut self) -> Result<()> {
        let mut known = 0;
        while known < self.nodes.len() {
            let open: Vec<_> = (known..self.nodes.len())
                .filter_map(|at| match self.nodes[at].layout {
                    Layout::Bytes(width) | Layout::List(width) => Some((at, width)),
                    _ => None,
                })
                .collect();
            known = self.nodes.len();
            if open.is_empty() {
                return Ok(());
            }
            let mut ends = self.read_ends(&open)?.into_iter();
            for (at, width) in open {
                self.nodes[at].ends = ends.by_ref().take(self.nodes[at].pieces.len()).collect();
                self.check_ends(at, width)?;
                if self.nodes[at].layout == Layout::List(width) {
                    let ends = self.nodes[at].ends.clone();
                    self.add_child(at, |i, piece| Piece {
                        column: &piece.column.children()[0],
                        first: ends[i].start as usize,
                        rows: (ends[i].end - ends[i].start) as usize,
                    })?;
                }
            }
        }
        Ok(())
    }

    /// The first and the last offset of every piece of these nodes. Waits for the stream.
    fn read_ends(&self, open: &[(usize, OffsetWidth)]) -> Result<Vec<Range<u64>>> {
        let mut table = Table::new(self.ctx, self.op);
        let mut count = 0;
        for (at, width) in open {
            for piece in &self.nodes[*at].pieces {
                let offsets = table.reads(piece.column.buffers().first())?;
                let (first, last) = (piece.first as u64, (piece.first + piece.rows) as u64);
                table.push(&[offsets, first, last, u64::from(*width == OffsetWidth::W64)]);
                count += 1;
            }
        }
        let words = table.upload()?;
        let mut ends = self.ctx.allocate(self.op, count * 16)?;
        let grid = Grid::cover(self.op, count as u64, THREADS)?;
        // SAFETY: a column has one offset more than rows, and its pieces lie within its rows; there are two words for
        // each piece.
        unsafe { read_ends(self.ctx, grid, words.input(), count as u64, ends.output()) }?;
        let ends = self.ctx.download(self.op, &ends.freeze())?;
        Ok(ends.typed_data::<u64>().chunks_exact(2).map(|ends| ends[0]..ends[1]).collect())
    }

    /// Refuses what the result's offsets cannot hold, and offsets that lead out of the column.
    fn check_ends(&self, at: usize, width: OffsetWidth) -> Result<()> {
        let node = &self.nodes[at];
        let mut total = 0u64;
        for (piece, ends) in node.pieces.iter().zip(&node.ends) {
            let there = match (node.layout, piece.column.buffers(), piece.column.children()) {
                (Layout::Bytes(_), [_, bytes], _) => bytes.len(),
                (_, _, [child]) => child.len(),
                _ => 0,
            };
            if ends.start > ends.end || ends.end > there as u64 {
                let why =
                    format!("offsets {} to {} of a column with {there} bytes or child rows", ends.start, ends.end);
                return Err(self.invalid(at, why));
            }
            total = total.saturating_add(ends.end - ends.start);
        }
        if total > width.max() {
            let why = format!("{total} bytes or child rows do not fit the offsets of {}", node.data_type());
            return Err(self.invalid(at, format!("{why}: put fewer rows together")));
        }
        Ok(())
    }

    fn invalid(&self, at: usize, why: String) -> Error {
        let name = self.schema.fields().get(self.nodes[at].root).map_or("", |field| field.name());
        Error::invalid_column(self.op, name, why)
    }
}
