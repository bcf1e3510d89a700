//! Hash join on key columns, on the host.
//!
//! [`HashJoin::build`] indexes the smaller table by arrow-rs's row format, which makes keys of any types comparable bytes;
//! [`HashJoin::probe`] joins batches of the other table to it, in a stable order: probe rows in their order, and for each
//! its matches in the order of the built table. Nulls match nothing, as in SQL.

use std::collections::HashMap;
use std::collections::hash_map::Entry;
use std::sync::Arc;

use arrow::array::{Array, ArrayRef, AsArray, RecordBatch, RecordBatchOptions, UInt32Array, UInt64Array};
use arrow::compute::{CastOptions, can_cast_types, cast_with_options, concat_batches, take};
use arrow::datatypes::{DataType, Field, Schema, SchemaRef};
use arrow::row::{RowConverter, Rows, SortField};

use crate::error::{Error, Result};

const OP: &str = "join";
/// End of a chain of equal keys.
const END: u32 = u32::MAX;

/// Which probe rows a join keeps.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub enum JoinType {
    /// Rows with a match.
    #[default]
    Inner,
    /// All rows; the built table's columns are null where there is no match.
    Left,
}

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
/// let images = RecordBatch::try_from_iter([("id", ids(vec![8, 9, 7]))]).unwrap();
///
/// let join = HashJoin::build(&[labels], &["id"], &images.schema(), JoinType::Inner)?;
/// let joined = join.probe(&images)?;
/// assert_eq!(joined.num_rows(), 2);
/// assert_eq!(joined.schema().field(1).name(), "label");
/// # Ok::<(), warpline::Error>(())
/// ```
#[derive(Debug)]
pub struct HashJoin {
    kind: JoinType,
    /// Positions of the keys in the probe schema, and the types in which they are compared.
    probe_keys: Vec<usize>,
    key_types: Vec<DataType>,
    /// The built table without its keys.
    payload: RecordBatch,
    index: Index,
    schema: SchemaRef,
    row_bytes: u64,
}

/// Built rows by key: the first row of a key, and for each row the next one with the same key.
#[derive(Debug, Default)]
struct Index {
    first: HashMap<Box<[u8]>, u32>,
    next: Vec<u32>,
    /// Bytes of the keys.
    key_bytes: usize,
}

impl Index {
    /// Indexes rows from the last to the first, so that chains run in row order.
    fn new(rows: &Rows, valid: impl Fn(usize) -> bool, len: usize) -> Self {
        let mut index = Index { first: HashMap::new(), next: vec![END; len], key_bytes: 0 };
        for row in (0..len).rev().filter(|row| valid(*row)) {
            match index.first.entry(rows.row(row).data().into()) {
                Entry::Occupied(mut head) => index.next[row] = head.insert(row as u32),
                Entry::Vacant(slot) => {
                    index.key_bytes += slot.key().len();
                    slot.insert(row as u32);
                }
            }
        }
        index
    }

    fn nbytes(&self) -> usize {
        // A slot and its control byte; the map keeps an eighth free and grows by doubling.
        let slots = self.first.capacity() * 8 / 7 * (size_of::<(Box<[u8]>, u32)>() + 1);
        slots + self.key_bytes + 4 * self.next.len()
    }

    /// The built rows with this key, ascending.
    fn matches(&self, key: &[u8]) -> impl Iterator<Item = u32> {
        let mut row = self.first.get(key).copied().unwrap_or(END);
        std::iter::from_fn(move || {
            let this = (row != END).then_some(row)?;
            row = self.next[this as usize];
            Some(this)
        })
    }
}

impl HashJoin {
    /// Indexes `table` by the columns `on`, which `probe_schema` must have too, of the same or of castable types.
    ///
    /// The joined schema is the probe schema followed by the table's other columns; a name that the probe side already has
    /// gets `_right` appended. Under [`JoinType::Left`] those columns are nullable.
    ///
    /// # Errors
    /// `InvalidInput` on a missing key column (the existing ones are listed), on key types that do not compare, and on a
    /// table of 2^32 - 1 rows or more.
    ///
    /// # Cost
    /// Copies the table once, plus its keys in row format.
    pub fn build(table: &[RecordBatch], on: &[&str], probe_schema: &SchemaRef, kind: JoinType) -> Result<Self> {
        if on.is_empty() {
            return Err(Error::invalid(OP, "no key columns given"));
        }
        let Some(first) = table.first() else {
            return Err(Error::invalid(OP, "the table to join has no batches, so no schema"));
        };
        let whole = concat_batches(&first.schema(), table).map_err(|e| Error::arrow(OP, e))?;
        if whole.num_rows() >= END as usize {
            return Err(Error::invalid(
                OP,
                format!("the table to join has {} rows, at most 2^32 - 2 fit", whole.num_rows()),
            ));
        }
        let probe_keys = positions(probe_schema, on, "left")?;
        let table_keys = positions(&whole.schema(), on, "joined")?;
        let key_types = key_types(probe_schema, &whole.schema(), &probe_keys, &table_keys)?;

        let keys = Keys::new(&whole, &table_keys, &key_types)?;
        let index = Index::new(&keys.rows, |row| keys.valid(row), whole.num_rows());
        let rest: Vec<usize> = (0..whole.num_columns()).filter(|i| !table_keys.contains(i)).collect();
        let payload = whole.project(&rest).map_err(|e| Error::arrow(OP, e))?;
        let schema = joined_schema(probe_schema, &payload.schema(), kind);
        let row_bytes = payload.columns().iter().map(largest_value).sum();
        Ok(HashJoin { kind, probe_keys, key_types, payload, index, schema, row_bytes })
    }

    /// The schema of joined batches.
    pub fn schema(&self) -> &SchemaRef {
        &self.schema
    }

    /// Joins one batch of the probe side.
    ///
    /// # Errors
    /// As [`HashJoin::probe_chunks`].
    pub fn probe(&self, batch: &RecordBatch) -> Result<RecordBatch> {
        let (left, right) = self.pairs(batch)?;
        self.assemble(batch, &left, &right)
    }

    /// Joins one batch of the probe side, giving at most `max_rows` rows at a time however many matches there are.
    ///
    /// # Errors
    /// `InvalidInput` when the batch lacks the key columns or a key value does not fit the compared type.
    ///
    /// # Cost
    /// Two indices a joined row for the whole batch; each chunk's columns are copied when it is asked for.
    pub fn probe_chunks<'a>(
        &'a self,
        batch: &'a RecordBatch,
        max_rows: usize,
    ) -> Result<impl Iterator<Item = Result<RecordBatch>> + 'a> {
        let (left, right) = self.pairs(batch)?;
        let step = max_rows.max(1);
        Ok((0..left.len()).step_by(step).map(move |from| {
            let rows = step.min(left.len() - from);
            self.assemble(batch, &left.slice(from, rows), &right.slice(from, rows))
        }))
    }

    /// Joins one batch of the probe side, and tells for each joined row which probe row it came from.
    ///
    /// # Errors
    /// As [`HashJoin::probe_chunks`].
    pub fn probe_rows(&self, batch: &RecordBatch) -> Result<(RecordBatch, Vec<u64>)> {
        let (left, right) = self.pairs(batch)?;
        Ok((self.assemble(batch, &left, &right)?, left.values().to_vec()))
    }

    /// How many rows the batch would join to, and how many at most for one of its rows.
    ///
    /// # Errors
    /// As [`HashJoin::probe_chunks`].
    pub fn fan_out(&self, batch: &RecordBatch) -> Result<(u64, u64)> {
        let (left, _) = self.pairs(batch)?;
        let most = left.values().chunk_by(|a, b| a == b).map(<[u64]>::len).max().unwrap_or(0);
        Ok((left.len() as u64, most as u64))
    }

    /// Bytes that the built table and its index take.
    pub fn nbytes(&self) -> u64 {
        (self.payload.get_array_memory_size() + self.index.nbytes()) as u64
    }

    /// Bytes of the largest row of the table's own columns, for planning.
    pub fn row_bytes(&self) -> u64 {
        self.row_bytes
    }

    /// Probe row and built row (null for none) of every joined row.
    fn pairs(&self, batch: &RecordBatch) -> Result<(UInt64Array, UInt32Array)> {
        if self.probe_keys.iter().any(|key| *key >= batch.num_columns()) {
            return Err(Error::invalid(OP, "the batch has fewer columns than the schema that the join was built for"));
        }
        let keys = Keys::new(batch, &self.probe_keys, &self.key_types)?;
        let (mut left, mut right) = (Vec::new(), Vec::new());
        for row in 0..batch.num_rows() {
            let before = left.len();
            if keys.valid(row) {
                for matched in self.index.matches(keys.rows.row(row).data()) {
                    left.push(row as u64);
                    right.push(Some(matched));
                }
            }
            if before == left.len() && self.kind == JoinType::Left {
                left.push(row as u64);
                right.push(None);
            }
        }
        Ok((left.into(), right.into()))
    }

    fn assemble(&self, batch: &RecordBatch, left: &UInt64Array, right: &UInt32Array) -> Result<RecordBatch> {
        let from_probe = batch.columns().iter().map(|column| take(column, left, None));
        let from_table = self.payload.columns().iter().map(|column| take(column, right, None));
        let columns = from_probe.chain(from_table).collect::<Result<Vec<_>, _>>().map_err(|e| Error::arrow(OP, e))?;
        let options = RecordBatchOptions::new().with_row_count(Some(left.len()));
        RecordBatch::try_new_with_options(self.schema.clone(), columns, &options).map_err(|e| Error::arrow(OP, e))
    }
}

/// Key columns in row format.
struct Keys {
    columns: Vec<ArrayRef>,
    rows: Rows,
}

impl Keys {
    fn new(batch: &RecordBatch, positions: &[usize], types: &[DataType]) -> Result<Self> {
        let options = CastOptions { safe: false, ..Default::default() };
        let columns = positions
            .iter()
            .zip(types)
            .map(|(at, to)| {
                let name = batch.schema_ref().field(*at).name().clone();
                let cast = cast_with_options(batch.column(*at), to, &options);
                cast.map_err(|e| Error::invalid_column(OP, name, format!("a key does not fit {to}: {e}")))
            })
            .collect::<Result<Vec<_>>>()?;
        let fields = types.iter().cloned().map(SortField::new).collect();
        let rows = RowConverter::new(fields).and_then(|converter| converter.convert_columns(&columns));
        Ok(Keys { rows: rows.map_err(|e| Error::arrow(OP, e))?, columns })
    }

    /// Whether no key of the row is null.
    fn valid(&self, row: usize) -> bool {
        self.columns.iter().all(|column| column.is_valid(row))
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

fn positions(schema: &Schema, on: &[&str], side: &str) -> Result<Vec<usize>> {
    let find = |name: &&str| {
        schema.index_of(name).map_err(|_| {
            let names: Vec<&str> = schema.fields().iter().map(|f| f.name().as_str()).collect();
            Error::invalid_column(OP, *name, format!("not in the {side} table; there are: {}", names.join(", ")))
        })
    };
    on.iter().map(find).collect()
}

/// The type in which each pair of keys compares: a common one where both sides fit, never a lossy one.
fn key_types(left: &Schema, right: &Schema, left_keys: &[usize], right_keys: &[usize]) -> Result<Vec<DataType>> {
    let value_type = |data_type: &DataType| match data_type {
        DataType::Dictionary(_, value) => (**value).clone(),
        other => other.clone(),
    };
    let pair = |(l, r): (&usize, &usize)| {
        let (a, b) = (value_type(left.field(*l).data_type()), value_type(right.field(*r).data_type()));
        let common = common_key(&a, &b).filter(|to| can_cast_types(&a, to) && can_cast_types(&b, to));
        common.ok_or_else(|| {
            let why = format!("the key is {a} on the left and {b} in the joined table: cast one of them");
            Error::invalid_column(OP, left.field(*l).name(), why)
        })
    };
    left_keys.iter().zip(right_keys).map(pair).collect()
}

fn common_key(a: &DataType, b: &DataType) -> Option<DataType> {
    use DataType::*;
    let text = |t: &DataType| matches!(t, Utf8 | LargeUtf8 | Utf8View);
    let binary = |t: &DataType| matches!(t, Binary | LargeBinary | BinaryView);
    match (a, b) {
        _ if a.is_nested() => None,
        _ if a == b => Some(a.clone()),
        _ if a.is_integer() && b.is_integer() => match (a.is_unsigned_integer(), b.is_unsigned_integer()) {
            (true, true) => Some(UInt64),
            _ if *a == UInt64 || *b == UInt64 => Some(Decimal128(20, 0)),
            _ => Some(Int64),
        },
        _ if text(a) && text(b) => Some(LargeUtf8),
        _ if binary(a) && binary(b) => Some(LargeBinary),
        _ => None,
    }
}

fn joined_schema(left: &Schema, right: &Schema, kind: JoinType) -> SchemaRef {
    let mut fields: Vec<Arc<Field>> = left.fields().iter().cloned().collect();
    for field in right.fields() {
        let mut name = field.name().clone();
        while fields.iter().any(|f| *f.name() == name) {
            name.push_str("_right");
        }
        let nullable = field.is_nullable() || kind == JoinType::Left;
        fields.push(Arc::new(field.as_ref().clone().with_name(name).with_nullable(nullable)));
    }
    Arc::new(Schema::new_with_metadata(fields, left.metadata().clone()))
}
