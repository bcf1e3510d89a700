//! Joins of tables that do not fit in memory.
//!
//! The Grace hash join (Kitsuregawa, Tanaka, Moto-oka: Application of Hash to Data Base Machine and Its Architecture,
//! 1983): both sides are partitioned by a hash of their keys, to memory and from there to files, and the partitions are
//! joined one after the other by [`HashJoin`]. A partition that is still too large is partitioned again by another hash;
//! one whose rows all have one key is joined by chunks of the built side. Rows carry their numbers, by which the joined
//! rows of all partitions are merged, so that they come in the order of one [`HashJoin`] over everything.

mod merge;
mod store;

use std::path::{Path, PathBuf};
use std::sync::Arc;

use arrow::array::{
    Array, ArrayRef, AsArray, BooleanArray, BooleanBufferBuilder, RecordBatch, UInt64Array, new_null_array,
};
use arrow::buffer::BooleanBuffer;
use arrow::compute::concat_batches;
use arrow::datatypes::{DataType, Field, Fields, Schema, SchemaRef, UInt64Type};

use self::merge::Merge;
use self::store::{Pool, Store, size};
use super::host::{taken, with_rows};
use super::keys::{Keys, cast_key};
use super::spec::Spec;
use super::{HashJoin, JoinOptions, JoinType, OP};
use crate::column::Batch;
use crate::device::ExecCtx;
use crate::error::{Error, Result};

/// Columns that carry the numbers of rows.
const NUMBERS: [&str; 2] = ["__built_row", "__probe_row"];
const BUILT: usize = 0;
const PROBE: usize = 1;
/// What the index of a built row takes, about: a slot or two, its key, links.
const INDEX_BYTES: u64 = 64;
/// How often a partition is partitioned again.
const MOST_LEVELS: u64 = 6;
/// Runs that are merged at a time.
const FAN_IN: usize = 64;
/// The fewest rows of a piece, whatever its size.
const FEWEST_ROWS: u64 = 16;

/// Memory and disk of a [`PartitionedJoin`].
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Spill {
    memory: u64,
    partitions: usize,
    folder: Option<PathBuf>,
}

impl Spill {
    /// At most about so many bytes in memory, 64 partitions, files in the system's folder for temporary files.
    pub fn new(memory: u64) -> Self {
        Spill { memory, partitions: 64, folder: None }
    }

    /// Into how many partitions a side is cut at a time; at least 2.
    #[must_use]
    pub fn partitions(mut self, partitions: usize) -> Self {
        self.partitions = partitions.clamp(2, 4096);
        self
    }

    /// The bytes in memory.
    pub fn memory(&self) -> u64 {
        self.memory
    }

    /// The folder for a folder of files, which is removed with the join.
    #[must_use]
    pub fn folder(mut self, folder: impl AsRef<Path>) -> Self {
        self.folder = Some(folder.as_ref().to_path_buf());
        self
    }
}

/// A join of a built side and a probe side that come in batches and need not fit in memory, nor on the device.
///
/// ```
/// use std::sync::Arc;
/// use arrow::array::{ArrayRef, Int64Array, RecordBatch};
/// use warpline::ops::join::{JoinType, PartitionedJoin, Spill};
/// use warpline::{Batch, ExecCtx};
///
/// let batch = |ids: std::ops::Range<i64>| {
///     let ids: ArrayRef = Arc::new(Int64Array::from_iter_values(ids));
///     Batch::from_record_batch(&RecordBatch::try_from_iter([("id", ids)]).unwrap())
/// };
/// let (ctx, schema) = (ExecCtx::host(0)?, batch(0..0).schema().clone());
/// let mut join = PartitionedJoin::new(&ctx, &schema, &["id"], &schema, JoinType::Inner, Spill::new(1 << 20))?;
/// for from in (0..100_000).step_by(10_000) {
///     join.build(&batch(from..from + 10_000))?;
/// }
/// join.probe(&batch(99_990..100_010))?;
/// let joined: Vec<Batch> = join.finish()?.collect::<warpline::Result<_>>()?;
/// assert_eq!(joined.iter().map(Batch::num_rows).sum::<usize>(), 10);
/// # Ok::<(), warpline::Error>(())
/// ```
#[derive(Debug)]
pub struct PartitionedJoin {
    ctx: ExecCtx,
    on: Vec<String>,
    options: JoinOptions,
    spec: Spec,
    /// Of both sides, with the numbers of rows.
    schemas: [SchemaRef; 2],
    /// Of joined rows, with the numbers of both sides' rows.
    run_schema: SchemaRef,
    partitions: usize,
    pool: Pool,
    sides: [Vec<Store>; 2],
    rows: [u64; 2],
    runs: Vec<Store>,
}

impl PartitionedJoin {
    /// A join on the columns `on` of batches of these schemas, `table` that of the built side. Partitions are joined
    /// where `ctx` runs.
    ///
    /// # Errors
    /// As [`HashJoin::build`], but that what a device refuses is found when a partition is joined; `InvalidInput` when
    /// there is a column `__built_row` or `__probe_row`.
    pub fn new(
        ctx: &ExecCtx,
        table: &SchemaRef,
        on: &[&str],
        probe: &SchemaRef,
        options: impl Into<JoinOptions>,
        spill: Spill,
    ) -> Result<Self> {
        let options = options.into();
        let spec = Spec::new(table, on, probe, options.clone())?;
        let schemas = [numbered(table, BUILT)?, numbered(probe, PROBE)?];
        let fields = spec.schema.fields().iter().map(|field| Arc::new(field.as_ref().clone().with_nullable(true)));
        let numbers = [PROBE, BUILT].map(|side| Arc::new(Field::new(NUMBERS[side], DataType::UInt64, true)));
        let run_schema = Arc::new(Schema::new(fields.chain(numbers).collect::<Fields>()));
        let stores = |side: usize| (0..spill.partitions).map(|_| Store::new(schemas[side].clone())).collect();
        Ok(PartitionedJoin {
            ctx: ctx.clone(),
            on: on.iter().map(|name| name.to_string()).collect(),
            options,
            sides: [stores(BUILT), stores(PROBE)],
            spec,
            schemas,
            run_schema,
            partitions: spill.partitions,
            pool: Pool::new(spill.memory, spill.folder.unwrap_or_else(std::env::temp_dir)),
            rows: [0; 2],
            runs: Vec::new(),
        })
    }

    /// The schema of joined batches.
    pub fn schema(&self) -> &SchemaRef {
        &self.spec.schema
    }

    /// Adds a batch of the built side, wherever it is. Sides may take turns.
    ///
    /// # Errors
    /// `InvalidInput` for other columns than those of the schema, or a key that does not fit the compared type; `Io`
    /// when a file cannot be written: see [`Spill::folder`].
    ///
    /// # Cost
    /// Its rows are copied once, by partition, and written once when memory is short: then the largest partitions go to
    /// files until a quarter of the memory is in use.
    pub fn build(&mut self, batch: &Batch) -> Result<()> {
        self.add(BUILT, batch)
    }

    /// Adds a batch of the probe side; as [`build`](Self::build).
    ///
    /// # Errors
    /// As [`build`](Self::build).
    pub fn probe(&mut self, batch: &Batch) -> Result<()> {
        self.add(PROBE, batch)
    }

    fn add(&mut self, side: usize, batch: &Batch) -> Result<()> {
        let record = batch.to_host()?.to_record_batch()?;
        let fields = &self.schemas[side].fields()[..self.schemas[side].fields().len() - 1];
        let types = |column: (&Arc<Field>, &ArrayRef)| column.0.data_type() == column.1.data_type();
        if record.num_columns() != fields.len() || !fields.iter().zip(record.columns()).all(types) {
            let why = format!("a batch of other columns than the join was made for: {}", record.schema());
            return Err(Error::invalid(OP, why));
        }
        let first = self.rows[side];
        self.rows[side] += record.num_rows() as u64;
        let numbers: ArrayRef = Arc::new(UInt64Array::from_iter_values(first..self.rows[side]));
        let columns = record.columns().iter().cloned().chain([numbers]).collect();
        let record = RecordBatch::try_new(self.schemas[side].clone(), columns).map_err(|e| Error::arrow(OP, e))?;
        scatter(&self.spec, side, 0, &record, &mut self.sides[side], &mut self.pool)?;
        balance(self.sides.iter_mut().flatten(), &mut self.pool, 0)
    }

    /// Joins what was added, and gives the rows that [`HashJoin::probe`] and [`HashJoin::finish`] over everything would,
    /// in their order.
    ///
    /// # Errors
    /// `Io` for files, and as [`HashJoin::probe_chunks`] and [`HashJoin::finish`].
    ///
    /// # Synchronization
    /// Blocks until all partitions are joined.
    ///
    /// # Cost
    /// Each partition's built side is read once; its probe side once for each chunk of the built side, of which there is
    /// one unless a single key has more rows than a quarter of the memory holds, and once more for joins that keep rows of
    /// it without a match. Joined rows are copied twice, and written and read once where memory is short. A partition
    /// that is too large is read and written once more. In memory are at most partitions, a chunk of the built side with
    /// its index (a quarter), a batch of the probe side and one of each run that is merged (a quarter).
    pub fn finish(mut self) -> Result<JoinedBatches> {
        if self.pool.spilled() > 0 {
            self.sides.iter_mut().flatten().try_for_each(|store| store.spill(&mut self.pool))?;
        }
        let [built, probe] = std::mem::take(&mut self.sides);
        for (built, probe) in built.into_iter().zip(probe) {
            self.join(built, probe, 1)?;
        }
        while self.runs.len() > FAN_IN {
            let group: Vec<Store> = self.runs.drain(..FAN_IN).collect();
            let mut merged = Store::new(self.run_schema.clone());
            for batch in Merge::new(&group, self.piece_rows(&group), &self.pool)? {
                self.keep(&mut merged, batch?)?;
            }
            group.into_iter().try_for_each(|run| run.discard(&mut self.pool))?;
            merged.close()?;
            self.runs.push(merged);
        }
        let merge = Merge::new(&self.runs, self.piece_rows(&self.runs), &self.pool)?;
        Ok(JoinedBatches { merge, schema: self.spec.schema.clone(), pool: self.pool, _runs: self.runs })
    }

    /// Joins one partition; `level` is that of the hash that would cut it.
    fn join(&mut self, mut built: Store, mut probe: Store, level: u64) -> Result<()> {
        built.close()?;
        probe.close()?;
        let needs = built.total_bytes + INDEX_BYTES * built.rows;
        let room = self.pool.memory / 4;
        if needs > room && level <= MOST_LEVELS {
            // Half as large as there is room for, since they will not be all alike; no more, as each has its files.
            let count = (2 * needs / room.max(1)).clamp(2, self.partitions.max(2) as u64) as usize;
            let parts = self.cut(BUILT, &built, level, count)?;
            if parts.iter().all(|part| part.rows < built.rows) {
                let probes = self.cut(PROBE, &probe, level, count)?;
                built.discard(&mut self.pool)?;
                probe.discard(&mut self.pool)?;
                return parts.into_iter().zip(probes).try_for_each(|(built, probe)| self.join(built, probe, level + 1));
            }
            // One key, or as good as one.
            for mut part in parts {
                part.close()?;
                part.discard(&mut self.pool)?;
            }
        }
        let mut matched = BooleanBufferBuilder::new(probe.rows as usize);
        matched.append_n(probe.rows as usize, false);
        let mut batches = built.read(&self.pool)?;
        while let Some(chunk) = self.chunk(&mut batches)? {
            let needs = size(&chunk) + INDEX_BYTES * chunk.num_rows() as u64;
            self.pool.take(needs);
            self.join_chunk(chunk, &probe, &mut matched)?;
            self.pool.give(needs);
        }
        self.alone(&probe, &matched.finish())?;
        built.discard(&mut self.pool)?;
        probe.discard(&mut self.pool)
    }

    /// A side of a partition cut into so many by another hash.
    fn cut(&mut self, side: usize, store: &Store, level: u64, count: usize) -> Result<Vec<Store>> {
        let mut parts: Vec<Store> = (0..count).map(|_| Store::new(self.schemas[side].clone())).collect();
        for batch in store.read(&self.pool)? {
            scatter(&self.spec, side, level, &batch?, &mut parts, &mut self.pool)?;
            balance(parts.iter_mut(), &mut self.pool, store.bytes())?;
        }
        Ok(parts)
    }

    /// The next rows of a built side, as many as a quarter of the memory holds with their index.
    fn chunk(&self, batches: &mut store::Batches) -> Result<Option<RecordBatch>> {
        let (mut chunk, mut needs) = (Vec::new(), 0);
        while needs <= self.pool.memory / 4 {
            let Some(batch) = batches.next().transpose()? else { break };
            needs += size(&batch) + INDEX_BYTES * batch.num_rows() as u64;
            chunk.push(batch);
        }
        if chunk.is_empty() {
            return Ok(None);
        }
        concat_batches(&self.schemas[BUILT], &chunk).map(Some).map_err(|e| Error::arrow(OP, e))
    }

    /// Probes a chunk of the built side with all of the probe side, and notes which of its rows match.
    fn join_chunk(&mut self, chunk: RecordBatch, probe: &Store, matched: &mut BooleanBufferBuilder) -> Result<()> {
        let kind = match self.spec.kind() {
            JoinType::Left => JoinType::Inner,
            JoinType::Full => JoinType::Right,
            JoinType::LeftAnti | JoinType::LeftMark => JoinType::LeftSemi,
            other => other,
        };
        let (ctx, options) = (self.ctx.clone(), JoinOptions { kind, ..self.options.clone() });
        let on: Vec<&str> = self.on.iter().map(String::as_str).collect();
        let table = Batch::from_record_batch(&chunk).to(&ctx)?;
        let join = HashJoin::build(&ctx, &table, &on, &self.schemas[PROBE], options)?;
        let row_bytes = size(&chunk) / chunk.num_rows().max(1) as u64 + probe.total_bytes / probe.rows.max(1);
        let step = self.rows_of(row_bytes);
        let mut run = Store::new(self.run_schema.clone());
        let mut before = 0;
        for batch in probe.read(&self.pool)? {
            let batch = batch?;
            let numbers = batch.column(self.spec.probe_columns()).as_primitive::<UInt64Type>().clone();
            let there = Batch::from_record_batch(&batch).to(&ctx)?;
            for joined in join.probe_chunks(&ctx, &there, step)? {
                let joined = joined?.to_host()?.to_record_batch()?;
                if joined.num_rows() > 0 {
                    note(&numbers, joined.column(self.spec.probe_columns()), before, matched);
                }
                if kind.pairs() {
                    let pairs = self.pairs(&joined)?;
                    self.keep(&mut run, pairs)?;
                }
            }
            before += numbers.len();
        }
        for ended in join.finish_chunks(&ctx, step)? {
            let ended = ended?.to_host()?.to_record_batch()?;
            let ended = if kind.pairs() { self.pairs(&ended)? } else { self.built(&ended)? };
            self.keep(&mut run, ended)?;
        }
        self.done(run)
    }

    /// The probe rows that joins give alone, once each: with a match or without, as the join type says.
    fn alone(&mut self, probe: &Store, matched: &BooleanBuffer) -> Result<()> {
        let kind = self.spec.kind();
        let mut run = Store::new(self.run_schema.clone());
        let mut before = 0;
        for batch in probe.read(&self.pool)? {
            let batch = batch?;
            let has = matched.slice(before, batch.num_rows());
            before += batch.num_rows();
            let keep = match kind {
                JoinType::Left | JoinType::Full | JoinType::LeftAnti => !&has,
                JoinType::LeftSemi => has.clone(),
                JoinType::LeftMark => BooleanBuffer::new_set(batch.num_rows()),
                _ => return Ok(()),
            };
            let keep: Vec<u32> = keep.set_indices_u32().collect();
            let columns = batch.columns().iter().map(|column| taken(column, &keep));
            let rows = with_rows(&batch.schema(), columns.collect::<Result<_>>()?, keep.len())?;
            let mut columns = Vec::with_capacity(self.run_schema.fields().len());
            for (at, field) in self.spec.schema.fields().iter().enumerate() {
                columns.push(match at < self.spec.probe_columns() {
                    true if self.spec.key_at(at).is_some() && kind == JoinType::Full => {
                        cast_key(rows.column(at), field.data_type(), field.name())?
                    }
                    true => rows.column(at).clone(),
                    false if kind == JoinType::LeftMark => Arc::new(BooleanArray::new(has.clone(), None)),
                    false => new_null_array(field.data_type(), rows.num_rows()),
                });
            }
            columns.push(rows.column(self.spec.probe_columns()).clone());
            columns.push(no_rows(rows.num_rows()));
            let rows = self.of_run(columns)?;
            self.keep(&mut run, rows)?;
        }
        self.done(run)
    }

    /// Joined pairs with the numbers of their rows last.
    fn pairs(&self, joined: &RecordBatch) -> Result<RecordBatch> {
        let mut columns = joined.columns().to_vec();
        let probe = columns.remove(self.spec.probe_columns());
        columns.insert(columns.len() - 1, probe);
        self.of_run(columns)
    }

    /// Rows of the built side alone.
    fn built(&self, ended: &RecordBatch) -> Result<RecordBatch> {
        let mut columns = ended.columns().to_vec();
        columns.insert(columns.len() - 1, no_rows(ended.num_rows()));
        self.of_run(columns)
    }

    fn of_run(&self, columns: Vec<ArrayRef>) -> Result<RecordBatch> {
        RecordBatch::try_new(self.run_schema.clone(), columns).map_err(|e| Error::arrow(OP, e))
    }

    /// Adds joined rows to a run, and writes all runs to files where memory is short.
    fn keep(&mut self, run: &mut Store, batch: RecordBatch) -> Result<()> {
        run.push(&mut self.pool, batch);
        if self.pool.used() > self.pool.memory / 2 {
            run.spill(&mut self.pool)?;
        }
        Ok(())
    }

    fn done(&mut self, mut run: Store) -> Result<()> {
        run.close()?;
        if run.rows > 0 {
            self.runs.push(run);
        }
        Ok(())
    }

    /// Rows of the pieces in which joined rows are kept and merged.
    fn rows_of(&self, row_bytes: u64) -> usize {
        (self.pool.piece() / row_bytes.max(1)).clamp(FEWEST_ROWS, 1 << 16) as usize
    }

    fn piece_rows(&self, runs: &[Store]) -> usize {
        let (bytes, rows) = runs.iter().fold((0, 0), |sum, run| (sum.0 + run.total_bytes, sum.1 + run.rows));
        self.rows_of(bytes / rows.max(1))
    }
}

/// The joined batches of a [`PartitionedJoin`], on the host, none of them empty.
#[derive(Debug)]
pub struct JoinedBatches {
    merge: Merge,
    schema: SchemaRef,
    // Behind the merge, which reads their files, and before the pool, which removes them.
    _runs: Vec<Store>,
    pool: Pool,
}

impl JoinedBatches {
    /// The most bytes that were in memory at a time, as far as the join counts them: partitions, joined rows that wait to
    /// be merged, and chunks of the built side with their index. Not counted are the batches of the caller and those on
    /// their way from one of these to another.
    pub fn peak(&self) -> u64 {
        self.pool.peak()
    }

    /// Bytes that were written to files.
    pub fn spilled(&self) -> u64 {
        self.pool.spilled()
    }
}

impl Iterator for JoinedBatches {
    type Item = Result<Batch>;

    fn next(&mut self) -> Option<Self::Item> {
        let merged = self.merge.next()?;
        Some(merged.and_then(|merged| {
            let columns = merged.columns()[..self.schema.fields().len()].to_vec();
            Ok(Batch::from_record_batch(&with_rows(&self.schema, columns, merged.num_rows())?))
        }))
    }
}

/// The schema with a column for the numbers of rows.
fn numbered(schema: &SchemaRef, side: usize) -> Result<SchemaRef> {
    if let Some(name) = NUMBERS.iter().find(|name| schema.index_of(name).is_ok()) {
        return Err(Error::invalid_column(OP, *name, "the join numbers rows under this name: rename the column"));
    }
    let number = Arc::new(Field::new(NUMBERS[side], DataType::UInt64, false));
    let fields: Fields = schema.fields().iter().cloned().chain([number]).collect();
    Ok(Arc::new(Schema::new_with_metadata(fields, schema.metadata().clone())))
}

fn no_rows(rows: usize) -> ArrayRef {
    Arc::new(UInt64Array::new_null(rows))
}

/// Copies a batch's rows to the partitions of their keys. A row without a key, which matches nothing, may be anywhere.
fn scatter(
    spec: &Spec,
    side: usize,
    level: u64,
    batch: &RecordBatch,
    parts: &mut [Store],
    pool: &mut Pool,
) -> Result<()> {
    let positions = if side == BUILT { &spec.table_keys } else { &spec.probe_keys };
    let keys = Keys::new(batch, positions, &spec.key_types, spec.options.null_equals_null)?;
    let mut rows = vec![Vec::new(); parts.len()];
    for row in 0..batch.num_rows() {
        let hash = keys.hash(row, level).unwrap_or(row as u64);
        rows[(hash % parts.len() as u64) as usize].push(row as u32);
    }
    let row_bytes = (size(batch) / batch.num_rows().max(1) as u64).max(1);
    let most = (pool.piece() / row_bytes).max(FEWEST_ROWS) as usize;
    for (part, rows) in parts.iter_mut().zip(rows) {
        for rows in rows.chunks(most) {
            let columns = batch.columns().iter().map(|column| Ok(compact(taken(column, rows)?)));
            part.push(pool, with_rows(&batch.schema(), columns.collect::<Result<_>>()?, rows.len())?);
        }
    }
    Ok(())
}

/// Views that do not hold on to bytes of other rows.
fn compact(column: ArrayRef) -> ArrayRef {
    match column.data_type() {
        DataType::Utf8View => Arc::new(column.as_string_view().gc()),
        DataType::BinaryView => Arc::new(column.as_binary_view().gc()),
        _ => column,
    }
}

/// Writes the largest stores to files, when more than half of the memory is in use, until a quarter is, beside `others`.
fn balance<'a>(stores: impl Iterator<Item = &'a mut Store>, pool: &mut Pool, others: u64) -> Result<()> {
    if pool.used() <= pool.memory / 2 {
        return Ok(());
    }
    let mut stores: Vec<&mut Store> = stores.filter(|store| store.bytes() > 0).collect();
    stores.sort_by_key(|store| std::cmp::Reverse(store.bytes()));
    for store in stores {
        if pool.used() <= pool.memory / 4 + others {
            break;
        }
        store.spill(pool)?;
    }
    Ok(())
}

/// Sets the bits of the probe rows that joined rows came from. Numbers ascend in both.
fn note(numbers: &UInt64Array, joined: &ArrayRef, before: usize, matched: &mut BooleanBufferBuilder) {
    let joined = joined.as_primitive::<UInt64Type>();
    let mut row = 0;
    for number in joined.iter().flatten() {
        row += numbers.values()[row..].partition_point(|other| *other < number);
        matched.set_bit(before + row, true);
    }
}
