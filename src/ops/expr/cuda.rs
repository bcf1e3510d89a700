//! Expressions on a device: programs kept by the shapes of the columns, their launches, their outputs.

use std::collections::HashMap;
use std::sync::Arc;

use arrow::array::{Array, AsArray, RecordBatch};
use arrow::datatypes::DataType;
use parking_lot::Mutex;

use super::bind::Bound;
use super::emit::{Constant, Kind, OP, Output, Part, Program, Shape, THREADS, TILE_ROWS, Word};
use super::zone::reads_names;
use crate::column::layout::bit_bytes;
use crate::column::{Batch, Column, DeviceColumn};
use crate::device::launch::ArgPack;
use crate::device::{CudaCtx, DeviceBuffer, DeviceBufferMut, ExecCtx, Grid, MemoryPlan, ReadGuard, StatusWord, padded};
use crate::error::{Error, Result};
use crate::ops::gather::cuda::on_device;
use crate::ops::gather::plan::Forecast;
use crate::ops::spans::{self, SPAN, Spans};

/// What an expression became, by the shapes of the columns and by whether rows are selected.
#[derive(Debug, Default)]
pub(in crate::ops) struct Programs(Mutex<HashMap<Key, Arc<Program>>>);

/// Whether rows are selected, and the columns' shapes.
type Key = (bool, Vec<Shape>);

impl Programs {
    /// The kernel that writes the values of these roots.
    pub(super) fn evaluate(&self, roots: &[&Bound], columns: &[&DeviceColumn]) -> Result<Arc<Program>> {
        self.get(false, columns, |shapes| Program::evaluate(roots, shapes))
    }

    /// The kernel that selects the rows for which the condition is true.
    pub(super) fn select(&self, root: &Bound, columns: &[&DeviceColumn]) -> Result<Arc<Program>> {
        self.get(true, columns, |shapes| Program::select(root, shapes))
    }

    fn get(
        &self,
        selects: bool,
        columns: &[&DeviceColumn],
        emit: impl FnOnce(&[Shape]) -> Result<Program>,
    ) -> Result<Arc<Program>> {
        self.get_for((selects, columns.iter().map(|column| shape(column)).collect()), emit)
    }

    /// The text of the kernel that selects rows of such a batch.
    pub(super) fn text(&self, root: &Bound, batch: &Batch) -> Result<String> {
        Ok(self.get_for((true, shapes(&each(batch))?), |shapes| Program::select(root, shapes))?.text.clone())
    }

    /// The text of the kernel that writes the values of these roots for such a batch.
    pub(super) fn evaluation_text(&self, roots: &[&Bound], batch: &Batch) -> Result<String> {
        Ok(self.get_for((false, shapes(&each(batch))?), |shapes| Program::evaluate(roots, shapes))?.text.clone())
    }

    /// Bytes of what a selection holds while it is queued.
    pub(super) fn launch_bytes(&self, root: &Bound, batch: &Batch) -> Result<u64> {
        let columns = each(batch);
        let program = self.get_for((true, shapes(&columns)?), |shapes| Program::select(root, shapes))?;
        launch_bytes(&program, &columns, batch.num_rows())
    }

    /// What [`evaluate`] takes for so many rows of such columns, all of it at once.
    pub(super) fn plan(&self, roots: &[&Bound], columns: &[&Column], rows: usize) -> Result<MemoryPlan> {
        let program = self.get_for((false, shapes(columns)?), |shapes| Program::evaluate(roots, shapes))?;
        let mut ledger = Forecast::default();
        ledger.temporary(launch_bytes(&program, columns, rows)?);
        let mut texts = Vec::new();
        for output in &program.outputs {
            let [values, validity] = sizes(output, rows)?.map(|bytes| bytes.map(|bytes| bytes as u64));
            match &output.reach {
                Some(reach) => {
                    ledger.temporary(values.unwrap_or(0));
                    texts.push((&output.data_type, reach.bytes(columns, rows)?));
                }
                None => values.into_iter().for_each(|bytes| ledger.output(bytes)),
            }
            validity.into_iter().for_each(|bytes| ledger.output(bytes));
        }
        if program.fallible {
            let status = ledger.temporary(8);
            ledger.free(status);
        }
        spans::forecast(&mut ledger, &texts, rows)?;
        Ok(ledger.plan())
    }

    fn get_for(&self, key: (bool, Vec<Shape>), emit: impl FnOnce(&[Shape]) -> Result<Program>) -> Result<Arc<Program>> {
        let mut known = self.0.lock();
        if let Some(program) = known.get(&key) {
            return Ok(program.clone());
        }
        let program = Arc::new(emit(&key.1)?);
        known.insert(key, program.clone());
        Ok(program)
    }
}

/// Bytes of what a launch uploads for its literals, and for the view columns that it reads, and of its workspace.
fn launch_bytes(program: &Program, columns: &[&Column], rows: usize) -> Result<u64> {
    let mut bytes = program.blob.len();
    for word in &program.words {
        let Word::Column { column, dictionary, part: Part::DataTable } = *word else { continue };
        let data = match columns.get(column) {
            Some(column) => data_buffers(column, dictionary)?,
            None => 0,
        };
        bytes = bytes.next_multiple_of(8) + 8 * data;
    }
    Ok(padded(bytes as u64) + padded((rows * program.slots) as u64))
}

fn shape(column: &DeviceColumn) -> Shape {
    let dictionary = match column.data_type() {
        DataType::Dictionary(..) => column.children().first(),
        _ => None,
    };
    Shape {
        data_type: column.data_type().clone(),
        nullable: column.validity().is_some(),
        nullable_dictionary: dictionary.is_some_and(|values| values.validity().is_some()),
    }
}

pub(super) fn each(batch: &Batch) -> Vec<&Column> {
    batch.columns().iter().collect()
}

/// The shapes of columns, wherever they are.
fn shapes(columns: &[&Column]) -> Result<Vec<Shape>> {
    let one = |column: &&Column| match column.as_device() {
        Some(column) => Ok(shape(column)),
        None => host_shape(column),
    };
    columns.iter().map(one).collect()
}

/// The shape that a host column will have on a device.
fn host_shape(column: &Column) -> Result<Shape> {
    let array = column.to_array()?;
    let nulls = |array: &dyn Array| array.nulls().is_some_and(|nulls| nulls.null_count() > 0);
    Ok(Shape {
        data_type: array.data_type().clone(),
        nullable: nulls(&array),
        nullable_dictionary: array.as_any_dictionary_opt().is_some_and(|any| nulls(any.values())),
    })
}

/// Data buffers of a view column, or of a dictionary of views.
fn data_buffers(column: &Column, dictionary: bool) -> Result<usize> {
    if let Some(column) = column.as_device() {
        return Ok(source(&[column], 0, dictionary)?.buffers().len() - 1);
    }
    let array = column.to_array()?;
    let values = array.as_any_dictionary_opt().filter(|_| dictionary).map_or(&array, |any| any.values());
    Ok(values.to_data().buffers().len() - 1)
}

/// The columns of a batch that was found to be on the device.
pub(in crate::ops) fn columns_of(batch: &Batch) -> Result<Vec<&DeviceColumn>> {
    batch.columns().iter().map(on_device).collect()
}

/// A launch of a program over a batch.
pub(in crate::ops) struct Launch<'a> {
    ctx: &'a CudaCtx,
    program: &'a Program,
    columns: &'a [&'a DeviceColumn],
    rows: usize,
    /// Constants, then tables of data buffers.
    constants: DeviceBuffer,
    /// Where each column's table is among the constants.
    tables: HashMap<(usize, bool), usize>,
    /// Workspace for text.
    slots: DeviceBufferMut,
    guards: Vec<ReadGuard>,
}

/// What the spans that a launch writes point to: keep it until what reads them is queued.
pub(in crate::ops) struct Held {
    _guards: Vec<ReadGuard>,
    _slots: DeviceBufferMut,
}

impl<'a> Launch<'a> {
    /// Uploads what the program's literals and the batch's view columns point to.
    pub(in crate::ops) fn new(
        ctx: &'a CudaCtx,
        program: &'a Program,
        columns: &'a [&'a DeviceColumn],
        rows: usize,
    ) -> Result<Self> {
        let mut bytes = program.blob.clone();
        let (mut tables, mut guards) = (HashMap::new(), Vec::new());
        for word in &program.words {
            let Word::Column { column, dictionary, part: Part::DataTable } = word else { continue };
            bytes.resize(bytes.len().next_multiple_of(8), 0);
            tables.insert((*column, *dictionary), bytes.len());
            for buffer in source(columns, *column, *dictionary)?.buffers().iter().skip(1) {
                let guard = buffer.for_stream(ctx.stream())?;
                bytes.extend_from_slice(&guard.pointer().to_le_bytes());
                guards.push(guard);
            }
        }
        let constants = ctx.upload(OP, &bytes)?;
        let slots = ctx.allocate(OP, rows * program.slots)?;
        Ok(Launch { ctx, program, columns, rows, constants, tables, slots, guards })
    }

    /// Queues the kernel; `own` gives the addresses of what it writes.
    ///
    /// # Safety
    /// What `own` gives must be device memory as large as the program's outputs for these rows, which only this stream
    /// uses.
    pub(in crate::ops) unsafe fn queue(mut self, own: impl Fn(&Word) -> u64) -> Result<Held> {
        let constants = self.constants.for_stream(self.ctx.stream())?;
        let base = constants.pointer();
        self.guards.push(constants);
        let slots = self.slots.for_stream(self.ctx.stream())?.pointer();
        let program = self.program;
        let words = program.words.iter().map(|word| match word {
            Word::Rows => Ok(self.rows as u64),
            Word::Constant(Constant::Word(value)) => Ok(*value),
            Word::Constant(Constant::Blob(at)) => Ok(base + *at as u64),
            Word::Column { column, dictionary, part: Part::DataTable } => {
                Ok(base + self.tables.get(&(*column, *dictionary)).copied().unwrap_or(0) as u64)
            }
            Word::Column { column, dictionary, part } => self.pointer(*column, *dictionary, *part),
            // Offsets are multiples of 8, for whole words.
            Word::Slots(at) => Ok(slots + (self.rows * at) as u64),
            other => Ok(own(other)),
        });
        let words = words.collect::<Result<Vec<_>>>()?;
        let module = self.ctx.emitted(program.entry, &program.text)?;
        let grid = Grid::linear(self.rows.div_ceil(TILE_ROWS) as u32, THREADS);
        // SAFETY: the words are the program's, in its order; columns have `rows` rows, which the kernel does not pass;
        // there are as many slots; the guards outlive the call; the caller answers for the outputs.
        unsafe { ArgPack::launch_emitted(self.ctx, &module, grid, words) }?;
        Ok(Held { _guards: self.guards, _slots: self.slots })
    }

    fn pointer(&mut self, column: usize, dictionary: bool, part: Part) -> Result<u64> {
        let source = source(self.columns, column, dictionary)?;
        let buffer = match part {
            Part::Validity => source.validity(),
            Part::Buffer(i) => source.buffers().get(i),
            Part::Values { .. } | Part::DataTable => source.buffers().first(),
        };
        let Some(buffer) = buffer else { return Err(internal("a buffer is missing")) };
        let guard = buffer.for_stream(self.ctx.stream())?;
        let pointer = guard.pointer();
        self.guards.push(guard);
        match part {
            Part::Values { align } if pointer % align as u64 != 0 => {
                let what = format!("column {column}, whose values begin at an address that is no multiple of {align},");
                Err(Error::unsupported(OP, what, "copy the column first"))
            }
            _ => Ok(pointer),
        }
    }
}

fn source<'a>(columns: &[&'a DeviceColumn], column: usize, dictionary: bool) -> Result<&'a DeviceColumn> {
    let column = columns.get(column).ok_or_else(|| internal("a column is missing"))?;
    match dictionary {
        true => column.children().first().ok_or_else(|| internal("a dictionary is missing")),
        false => Ok(column),
    }
}

fn internal(why: &str) -> Error {
    Error::Internal { op: OP, why: why.to_owned() }
}

/// Bytes of an output's values and of its validity, for those that it has.
fn sizes(output: &Output, rows: usize) -> Result<[Option<usize>; 2]> {
    let values = match Kind::of(OP, &output.data_type)? {
        Kind::Null => None,
        Kind::Bool => Some(bit_bytes(rows)),
        Kind::Bytes if output.reach.is_none() => Some(rows * fixed_width(&output.data_type)),
        Kind::Bytes => Some(rows * SPAN),
        kind => Some(rows * kind.width()),
    };
    Ok([values, output.nullable.then(|| bit_bytes(rows))])
}

/// Bytes of a value of fixed size.
fn fixed_width(data_type: &DataType) -> usize {
    match data_type {
        DataType::FixedSizeBinary(width) => *width as usize,
        _ => 0,
    }
}

/// A column in the making.
struct Writing {
    output: Output,
    values: Option<DeviceBufferMut>,
    validity: Option<DeviceBufferMut>,
}

impl Writing {
    fn new(ctx: &CudaCtx, output: &Output, rows: usize) -> Result<Self> {
        let allocate = |bytes: Option<usize>| bytes.map(|bytes| ctx.allocate(OP, bytes)).transpose();
        let [values, validity] = sizes(output, rows)?.map(allocate);
        let (values, validity) = (values?, validity?);
        Ok(Writing { output: output.clone(), values, validity })
    }

    /// The column, or the spans that one is to be made of.
    fn finish(self, ctx: &CudaCtx, rows: usize) -> Result<Written> {
        let (data_type, validity) = (self.output.data_type, self.validity.map(DeviceBufferMut::freeze));
        match (self.output.reach, self.values) {
            (Some(_), Some(spans)) => Ok(Written::Spans(Spans { data_type, rows: spans, validity })),
            (_, values) => {
                let buffers = values.map(DeviceBufferMut::freeze).into_iter().collect();
                Ok(Written::Column(DeviceColumn::from_parts(ctx, data_type, rows, validity, buffers, Vec::new())?))
            }
        }
    }
}

/// An output that the kernel has written.
enum Written {
    Column(DeviceColumn),
    Spans(Spans),
}

/// The outputs as columns, in their order.
fn finish(ctx: &CudaCtx, writing: Vec<Writing>, rows: usize) -> Result<Vec<Column>> {
    let (mut columns, mut texts) = (Vec::new(), Vec::new());
    for column in writing {
        match column.finish(ctx, rows)? {
            Written::Column(column) => columns.push(Some(column)),
            Written::Spans(spans) => {
                columns.push(None);
                texts.push(spans);
            }
        }
    }
    let mut texts = spans::columns(ctx, OP, texts, rows)?.into_iter();
    let missing = || internal("a column of text went missing");
    columns.into_iter().map(|column| Ok(column.or_else(|| texts.next()).ok_or_else(missing)?.into())).collect()
}

/// The values of expressions over a batch of at least one row.
///
/// Asynchronous, but where a row may fail: then it waits for the stream, and gives the lowest failing row; and where
/// there is text, whose length is waited for.
pub(super) fn evaluate(
    ctx: &CudaCtx,
    program: &Program,
    columns: &[&DeviceColumn],
    rows: usize,
) -> Result<Result<Vec<Column>, u64>> {
    let launch = Launch::new(ctx, program, columns, rows)?;
    let mut writing =
        program.outputs.iter().map(|output| Writing::new(ctx, output, rows)).collect::<Result<Vec<_>>>()?;
    let mut status = program.fallible.then(|| StatusWord::new(ctx, OP)).transpose()?;
    let address = |buffer: &mut DeviceBufferMut| buffer.for_stream(ctx.stream()).map(|guard| guard.pointer());
    let mut own = HashMap::new();
    for (i, column) in writing.iter_mut().enumerate() {
        if let Some(values) = &mut column.values {
            own.insert(Word::Output(i), address(values)?);
        }
        if let Some(validity) = &mut column.validity {
            own.insert(Word::OutputValidity(i), address(validity)?);
        }
    }
    if let Some(status) = &mut status {
        own.insert(Word::Status, address(&mut status.word)?);
    }
    // SAFETY: every output has `rows` values and whole words of bits; all were just allocated on this stream.
    let held = unsafe { launch.queue(|word| own.get(word).copied().unwrap_or(0)) }?;
    if let Some(status) = status
        && let Some(row) = status.first_failure(ctx, OP)?
    {
        return Ok(Err(row));
    }
    let columns = finish(ctx, writing, rows)?;
    drop(held);
    Ok(Ok(columns))
}

/// The error of the row that failed on the device, in the host twin's words: one row comes to the host and is evaluated
/// there.
pub(in crate::ops) fn explain(
    ctx: &ExecCtx,
    batch: &Batch,
    row: u64,
    evaluate: impl FnOnce(&RecordBatch) -> Result<()>,
) -> Error {
    let one = || -> Result<RecordBatch> {
        let number = arrow::array::UInt32Array::from(vec![row as u32]);
        let number = Column::from_array(Arc::new(number)).to(ctx)?;
        crate::ops::gather(ctx, batch, &number)?.to_host()?.to_record_batch()
    };
    match one().and_then(|one| evaluate(&one)) {
        Err(Error::InvalidInput { op, column, row: Some(0), why }) => {
            Error::InvalidInput { op, column, row: Some(row), why }
        }
        Err(error) => error,
        // So that the caller evaluates all of it on the host.
        Ok(()) if reads_names() => Error::unsupported(
            OP,
            format!("row {row}, whose text names a time zone, on a device"),
            "evaluate it on the host",
        ),
        Ok(()) => internal(&format!("row {row} failed on the device and not on the host")),
    }
}
