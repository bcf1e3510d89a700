//! Hash join on key columns, on the host.
//!
//! [`HashJoin::build`] indexes the smaller table by arrow-rs's row format, which makes keys of any types comparable bytes;
//! [`HashJoin::probe`] joins batches of the other table to it, in a stable order: probe rows in their order, and for each
//! its matches in the order of the built table. [`HashJoin::finish`] then gives the built rows that some joins keep
//! beside those, in their order. Nulls match nothing, as in SQL, unless [`JoinOptions`] says otherwise; NaN matches NaN
//! and -0.0 matches 0.0, as in DataFusion.

mod keys;
mod options;
mod schema;

use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering};

use arrow::array::{
    Array, ArrayRef, AsArray, BooleanArray, RecordBatch, RecordBatchOptions, UInt32Array, UInt64Array, new_null_array,
};
use arrow::compute::{concat_batches, is_not_null, take, take_record_batch};
use arrow::datatypes::{DataType, SchemaRef};

use self::keys::{END, Index, Keys, cast_key, key_types, positions};
pub use self::options::{JoinOptions, JoinType};
use self::schema::Sides;
use crate::error::{Error, Result};
use crate::ops::expr::Predicate;

const OP: &str = "join";
/// Pairs that a residual condition sees at a time.
const RESIDUAL_ROWS: usize = 1 << 16;

/// A table indexed by key columns, ready to be probed from any thread.
///
/// ```
/// use std::sync::Arc;
/// use arrow::array::{ArrayRef, Int64Array, RecordBatch, StringArray};
/// use warpline::ops::join::{HashJoin, JoinType};
///
/// let ids = |ids: Vec<i64>| Arc::new(Int64Array::from(ids)) as ArrayRef;
/// let names: ArrayRef = Arc::new(StringArray::from(vec!["star", "ring"]));
/// let labels = RecordBatch::try_from_iter([("id", ids(vec![7, 8])), ("label", names)]).unwrap();
/// let images = RecordBatch::try_from_iter([("id", ids(vec![8, 9]))]).unwrap();
///
/// let join = HashJoin::build(&[labels], &["id"], &images.schema(), JoinType::Full)?;
/// let joined = join.probe(&images)?;
/// assert_eq!((joined.num_rows(), joined.schema().field(1).name().as_str()), (2, "label"));
/// // The label of image 7, which no batch had.
/// assert_eq!(join.finish()?.num_rows(), 1);
/// # Ok::<(), warpline::Error>(())
/// ```
#[derive(Debug)]
pub struct HashJoin {
    options: JoinOptions,
    /// Positions of the keys in the probe schema and in the table, and the types in which they are compared.
    probe_keys: Vec<usize>,
    table_keys: Vec<usize>,
    key_types: Vec<DataType>,
    /// The built table without its keys.
    payload: RecordBatch,
    /// The whole of it, for joins that give its rows alone.
    table: Option<RecordBatch>,
    index: Index,
    residual: Option<Residual>,
    schema: SchemaRef,
    row_bytes: u64,
    /// A bit a built row that has matched, for joins that ask at the end.
    matched: Vec<AtomicU32>,
}

/// The condition beside the keys, over the columns of an inner join.
#[derive(Debug)]
struct Residual {
    predicate: Predicate,
    schema: SchemaRef,
}

impl HashJoin {
    /// Indexes `table` by the columns `on`, which `probe_schema` must have too, of the same or of castable types.
    ///
    /// The joined schema of inner and left joins is the probe schema followed by the table's other columns; a name that
    /// the probe side already has gets `_right` appended. Under [`JoinType::Left`] those columns are nullable. Right and
    /// full joins give the same columns, as SQL's `USING` does: a built row without a match has its keys in the key
    /// columns, which take the compared type where the sides' types differ. Semi and anti joins give the schema of
    /// their side, mark joins the probe schema and `mark`.
    ///
    /// # Errors
    /// `InvalidInput` on a missing key column (the existing ones are listed), on key types that do not compare, on a
    /// residual condition that does not fit the columns, and on a table of 2^32 - 1 rows or more.
    ///
    /// # Cost
    /// Copies the table once, plus its keys in row format.
    pub fn build(
        table: &[RecordBatch],
        on: &[&str],
        probe_schema: &SchemaRef,
        options: impl Into<JoinOptions>,
    ) -> Result<Self> {
        let options = options.into();
        if on.is_empty() {
            return Err(Error::invalid(OP, "no key columns given"));
        }
        let Some(first) = table.first() else {
            return Err(Error::invalid(OP, "the table to join has no batches, so no schema"));
        };
        let whole = concat_batches(&first.schema(), table).map_err(|e| Error::arrow(OP, e))?;
        let rows = whole.num_rows();
        if rows >= END as usize {
            return Err(Error::invalid(OP, format!("the table to join has {rows} rows, at most 2^32 - 2 fit")));
        }
        let probe_keys = positions(probe_schema, on, "left")?;
        let table_keys = positions(&whole.schema(), on, "joined")?;
        let key_types = key_types(probe_schema, &whole.schema(), &probe_keys, &table_keys)?;

        let rest: Vec<usize> = (0..whole.num_columns()).filter(|i| !table_keys.contains(i)).collect();
        let payload = whole.project(&rest).map_err(|e| Error::arrow(OP, e))?;
        let sides = Sides {
            probe: probe_schema,
            table: &whole.schema(),
            probe_keys: &probe_keys,
            table_keys: &table_keys,
            key_types: &key_types,
            payload: &payload.schema(),
        };
        let schema = sides.joined(options.kind)?;
        let residual = match &options.residual {
            None => None,
            Some(condition) => {
                let schema = sides.joined(JoinType::Inner)?;
                Some(Residual { predicate: condition.bind(&schema)?, schema })
            }
        };

        let index = Index::new(&Keys::new(&whole, &table_keys, &key_types, options.null_equals_null)?, rows);
        let row_bytes = if options.kind.pairs() { payload.columns().iter().map(largest_value).sum() } else { 1 };
        let at_end = options.kind.gives_built_rows();
        let matched = (0..if at_end { rows.div_ceil(32) } else { 0 }).map(|_| AtomicU32::new(0)).collect();
        let table = at_end.then_some(whole);
        Ok(HashJoin {
            options,
            probe_keys,
            table_keys,
            key_types,
            payload,
            table,
            index,
            residual,
            schema,
            row_bytes,
            matched,
        })
    }

    /// The schema of joined batches.
    pub fn schema(&self) -> &SchemaRef {
        &self.schema
    }

    /// Which rows the join keeps.
    pub fn join_type(&self) -> JoinType {
        self.options.kind
    }

    /// Whether a condition beside the keys decides what matches.
    pub fn has_residual(&self) -> bool {
        self.residual.is_some()
    }

    /// Joins one batch of the probe side. Right semi and right anti joins give no rows before [`finish`](Self::finish).
    ///
    /// # Errors
    /// As [`HashJoin::probe_chunks`].
    pub fn probe(&self, batch: &RecordBatch) -> Result<RecordBatch> {
        Ok(self.probe_rows(batch)?.0)
    }

    /// Joins one batch of the probe side, giving at most `max_rows` rows at a time however many matches there are.
    ///
    /// # Errors
    /// `InvalidInput` when the batch lacks the key columns, a key value does not fit the compared type, or the residual
    /// condition fails on a pair; the error then names the probe row.
    ///
    /// # Cost
    /// Two indices a joined row for the whole batch; each chunk's columns are copied when it is asked for. A residual
    /// condition copies the columns of every pair with equal keys once more.
    pub fn probe_chunks<'a>(
        &'a self,
        batch: &'a RecordBatch,
        max_rows: usize,
    ) -> Result<impl Iterator<Item = Result<RecordBatch>> + 'a> {
        let pairs = self.pairs(batch)?;
        self.remember(&pairs);
        let joined = self.joined(pairs, batch.num_rows());
        let step = max_rows.max(1);
        Ok((0..joined.left.len()).step_by(step).map(move |from| {
            let rows = step.min(joined.left.len() - from);
            self.assemble(batch, &joined.slice(from, rows))
        }))
    }

    /// Joins one batch of the probe side, and tells for each joined row which probe row it came from.
    ///
    /// # Errors
    /// As [`HashJoin::probe_chunks`].
    pub fn probe_rows(&self, batch: &RecordBatch) -> Result<(RecordBatch, Vec<u64>)> {
        let pairs = self.pairs(batch)?;
        self.remember(&pairs);
        let joined = self.joined(pairs, batch.num_rows());
        Ok((self.assemble(batch, &joined)?, joined.left.values().to_vec()))
    }

    /// The built rows that the join gives alone, in their order: without a match for right, full and right anti joins,
    /// with one for right semi joins; none for the others. Matches are those of all batches probed so far, so call it
    /// once, after the last.
    ///
    /// # Errors
    /// `InvalidInput` when a key does not fit the type of the joined key column.
    pub fn finish(&self) -> Result<RecordBatch> {
        self.finish_chunks(usize::MAX).next().unwrap_or_else(|| Ok(RecordBatch::new_empty(self.schema.clone())))
    }

    /// As [`finish`](Self::finish), at most `max_rows` rows at a time.
    pub fn finish_chunks(&self, max_rows: usize) -> impl Iterator<Item = Result<RecordBatch>> + '_ {
        let wanted = self.options.kind == JoinType::RightSemi;
        let total = self.table.as_ref().map_or(0, RecordBatch::num_rows) as u32;
        let rows: Vec<u32> = (0..total).filter(|row| self.has_matched(*row) == wanted).collect();
        let step = max_rows.clamp(1, rows.len().max(1));
        let starts = (0..rows.len()).step_by(step);
        starts.map(move |from| self.built_rows(&UInt32Array::from(rows[from..rows.len().min(from + step)].to_vec())))
    }

    /// How many rows the batch would join to, and how many at most for one of its rows.
    ///
    /// # Errors
    /// As [`HashJoin::probe_chunks`].
    pub fn fan_out(&self, batch: &RecordBatch) -> Result<(u64, u64)> {
        let joined = self.joined(self.pairs(batch)?, batch.num_rows());
        let most = joined.left.values().chunk_by(|a, b| a == b).map(<[u64]>::len).max().unwrap_or(0);
        Ok((joined.left.len() as u64, most as u64))
    }

    /// Bytes that the built table and its index take.
    pub fn nbytes(&self) -> u64 {
        // The payload shares its buffers with the whole table where that is kept.
        let table = self.table.as_ref().unwrap_or(&self.payload).get_array_memory_size();
        (table + self.index.nbytes() + 4 * self.matched.len()) as u64
    }

    /// Bytes of the largest row of the table's own columns, for planning.
    pub fn row_bytes(&self) -> u64 {
        self.row_bytes
    }

    /// The pairs of rows that match, by probe row, then built row. Where the join only asks whether a probe row has a
    /// match, one pair a row may stand for all.
    fn pairs(&self, batch: &RecordBatch) -> Result<Pairs> {
        if self.probe_keys.iter().any(|key| *key >= batch.num_columns()) {
            return Err(Error::invalid(OP, "the batch has fewer columns than the schema that the join was built for"));
        }
        let keys = Keys::new(batch, &self.probe_keys, &self.key_types, self.options.null_equals_null)?;
        let left_only = !self.options.kind.pairs() && !self.options.kind.gives_built_rows();
        let most = if left_only && self.residual.is_none() { 1 } else { usize::MAX };
        let mut pairs = Pairs::default();
        for row in 0..batch.num_rows() {
            for matched in self.index.matches(keys.get(row)).take(most) {
                pairs.left.push(row as u64);
                pairs.right.push(matched);
            }
        }
        match &self.residual {
            None => Ok(pairs),
            Some(residual) => self.meeting(residual, batch, &pairs),
        }
    }

    /// The pairs that meet the residual condition.
    fn meeting(&self, residual: &Residual, batch: &RecordBatch, pairs: &Pairs) -> Result<Pairs> {
        let mut met = Pairs::default();
        for (left, right) in pairs.left.chunks(RESIDUAL_ROWS).zip(pairs.right.chunks(RESIDUAL_ROWS)) {
            let rows = Joined { left: left.to_vec().into(), right: right.to_vec().into() };
            let columns = self.pair_columns(batch.columns(), &rows)?;
            let seen = with_rows(&residual.schema, columns, rows.left.len())?;
            let mask = residual.predicate.evaluate(&seen).map_err(|error| of_probe_row(error, left))?;
            for i in (0..left.len()).filter(|i| mask.is_valid(*i) && mask.value(*i)) {
                met.left.push(left[i]);
                met.right.push(right[i]);
            }
        }
        Ok(met)
    }

    /// Notes the built rows that have matched, for [`finish`](Self::finish).
    fn remember(&self, pairs: &Pairs) {
        if !self.matched.is_empty() {
            for row in &pairs.right {
                self.matched[*row as usize / 32].fetch_or(1 << (row % 32), Ordering::Relaxed);
            }
        }
    }

    fn has_matched(&self, row: u32) -> bool {
        self.matched[row as usize / 32].load(Ordering::Relaxed) >> (row % 32) & 1 == 1
    }

    /// The joined rows that probing gives, from the matches of a batch of `rows` rows.
    fn joined(&self, pairs: Pairs, rows: usize) -> Joined {
        let has_match = || {
            let mut has = vec![false; rows];
            pairs.left.iter().for_each(|row| has[*row as usize] = true);
            has
        };
        let kind = self.options.kind;
        match kind {
            JoinType::RightSemi | JoinType::RightAnti => Joined::default(),
            JoinType::LeftSemi | JoinType::LeftAnti => {
                let has = has_match();
                let kept = (0..rows as u64).filter(|row| has[*row as usize] == (kind == JoinType::LeftSemi));
                let left: UInt64Array = kept.collect::<Vec<_>>().into();
                Joined { right: UInt32Array::new_null(left.len()), left }
            }
            JoinType::LeftMark => {
                let right = has_match().into_iter().map(|has| has.then_some(0)).collect();
                Joined { left: (0..rows as u64).collect::<Vec<_>>().into(), right }
            }
            _ if kind.keeps_left() => pairs.with_unmatched(rows),
            _ => Joined { left: pairs.left.into(), right: pairs.right.into() },
        }
    }

    /// The columns of joined rows of a probed batch.
    fn assemble(&self, batch: &RecordBatch, rows: &Joined) -> Result<RecordBatch> {
        let kind = self.options.kind;
        let columns = match kind {
            JoinType::Inner | JoinType::Left => self.pair_columns(batch.columns(), rows)?,
            JoinType::Right | JoinType::Full => self.pair_columns(&self.merged_keys(batch)?, rows)?,
            JoinType::RightSemi | JoinType::RightAnti => return Ok(RecordBatch::new_empty(self.schema.clone())),
            JoinType::LeftSemi | JoinType::LeftAnti | JoinType::LeftMark => {
                let mut columns = take_all(batch.columns(), &rows.left)?;
                if kind == JoinType::LeftMark {
                    let mark: BooleanArray = is_not_null(&rows.right).map_err(|e| Error::arrow(OP, e))?;
                    columns.push(Arc::new(mark));
                }
                columns
            }
        };
        with_rows(&self.schema, columns, rows.left.len())
    }

    fn pair_columns(&self, probe: &[ArrayRef], rows: &Joined) -> Result<Vec<ArrayRef>> {
        let mut columns = take_all(probe, &rows.left)?;
        columns.extend(take_all(self.payload.columns(), &rows.right)?);
        Ok(columns)
    }

    /// The batch's columns, its keys in the types of the joined ones.
    fn merged_keys(&self, batch: &RecordBatch) -> Result<Vec<ArrayRef>> {
        let mut columns = batch.columns().to_vec();
        for at in &self.probe_keys {
            let field = self.schema.field(*at);
            columns[*at] = cast_key(&columns[*at], field.data_type(), field.name())?;
        }
        Ok(columns)
    }

    /// Rows of the table alone, under the joined schema.
    fn built_rows(&self, rows: &UInt32Array) -> Result<RecordBatch> {
        let Some(table) = &self.table else { return Ok(RecordBatch::new_empty(self.schema.clone())) };
        let taken = take_record_batch(table, rows).map_err(|e| Error::arrow(OP, e))?;
        if !self.options.kind.pairs() {
            return Ok(taken);
        }
        let probe_columns = self.schema.fields().len() - self.payload.num_columns();
        let mut columns = Vec::with_capacity(self.schema.fields().len());
        for (at, field) in self.schema.fields().iter().take(probe_columns).enumerate() {
            columns.push(match self.probe_keys.iter().position(|key| *key == at) {
                Some(key) => cast_key(taken.column(self.table_keys[key]), field.data_type(), field.name())?,
                None => new_null_array(field.data_type(), rows.len()),
            });
        }
        columns.extend(take_all(self.payload.columns(), rows)?);
        with_rows(&self.schema, columns, rows.len())
    }
}

/// Rows of the two sides that match.
#[derive(Debug, Default)]
struct Pairs {
    left: Vec<u64>,
    right: Vec<u32>,
}

impl Pairs {
    /// The pairs and, in their places, the probe rows that have none.
    fn with_unmatched(self, rows: usize) -> Joined {
        let (mut left, mut right) = (Vec::with_capacity(rows), Vec::with_capacity(rows));
        let mut next = 0;
        for row in 0..rows as u64 {
            let before = next;
            while self.left.get(next) == Some(&row) {
                right.push(Some(self.right[next]));
                next += 1;
            }
            right.extend((before == next).then_some(None));
            left.resize(right.len(), row);
        }
        Joined { left: left.into(), right: right.into() }
    }
}

/// Probe row and built row (null for none) of every joined row.
#[derive(Debug)]
struct Joined {
    left: UInt64Array,
    right: UInt32Array,
}

impl Default for Joined {
    fn default() -> Self {
        Joined { left: Vec::<u64>::new().into(), right: Vec::<u32>::new().into() }
    }
}

impl Joined {
    fn slice(&self, from: usize, rows: usize) -> Self {
        Joined { left: self.left.slice(from, rows), right: self.right.slice(from, rows) }
    }
}

fn take_all(columns: &[ArrayRef], rows: &dyn Array) -> Result<Vec<ArrayRef>> {
    columns.iter().map(|column| take(column, rows, None).map_err(|e| Error::arrow(OP, e))).collect()
}

/// A batch whose number of rows holds also without columns.
fn with_rows(schema: &SchemaRef, columns: Vec<ArrayRef>, rows: usize) -> Result<RecordBatch> {
    let options = RecordBatchOptions::new().with_row_count(Some(rows));
    RecordBatch::try_new_with_options(schema.clone(), columns, &options).map_err(|e| Error::arrow(OP, e))
}

/// The error of a pair, under the number of its probe row.
fn of_probe_row(error: Error, left: &[u64]) -> Error {
    match error {
        Error::InvalidInput { column, row: Some(row), why, .. } => {
            Error::InvalidInput { op: OP, column, row: left.get(row as usize).copied(), why }
        }
        other => other,
    }
}

/// Bytes of the largest value of a column with its offset and validity; the whole column where values are nested.
fn largest_value(column: &ArrayRef) -> u64 {
    let longest = |lengths: &mut dyn Iterator<Item = usize>| 17 + lengths.max().unwrap_or(0) as u64;
    match column.data_type() {
        DataType::Utf8 => longest(&mut column.as_string::<i32>().iter().flatten().map(str::len)),
        DataType::LargeUtf8 => longest(&mut column.as_string::<i64>().iter().flatten().map(str::len)),
        DataType::Binary => longest(&mut column.as_binary::<i32>().iter().flatten().map(<[u8]>::len)),
        DataType::LargeBinary => longest(&mut column.as_binary::<i64>().iter().flatten().map(<[u8]>::len)),
        // Views are copied as views; what they point to is shared.
        DataType::Utf8View | DataType::BinaryView => 17,
        DataType::FixedSizeBinary(width) => 1 + *width as u64,
        other => match other.primitive_width() {
            Some(width) => 1 + width as u64,
            None => column.get_array_memory_size() as u64,
        },
    }
}
