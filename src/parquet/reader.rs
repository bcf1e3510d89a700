//! Reads a Parquet file a few rows at a time.

use std::any::Any;
use std::cell::Cell;
use std::io;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::path::{Path, PathBuf};
use std::sync::Once;

use arrow::array::{RecordBatch, RecordBatchOptions};
use arrow::compute::concat_batches;
use arrow::datatypes::SchemaRef;
use parquet::arrow::ProjectionMask;
use parquet::arrow::arrow_reader::{
    ArrowReaderMetadata, ArrowReaderOptions, ParquetRecordBatchReader, ParquetRecordBatchReaderBuilder,
};
use parquet::errors::ParquetError;
use parquet::file::reader::Length;

use crate::error::{Error, Result};
use crate::storage::StoredFile;

const OP: &str = "read parquet";

/// A batch is put together from pieces of about this part of its size, so that it runs over by at most one piece.
const PIECES: u64 = 4;

/// Streams the rows of one Parquet file.
///
/// Reads pages as it goes; what is in memory is the batch being made and one page per column. Rows come in the order of
/// the file.
///
/// # Errors
/// `Io` for a file that cannot be opened, `Corrupt` for one that is not Parquet, is truncated or malformed (naming row
/// group and column), `Unsupported` for what the `parquet` crate cannot read, `InvalidInput` for a missing column.
///
/// ```no_run
/// use warpline::parquet::ParquetReader;
/// let mut reader = ParquetReader::open("photos.parquet")?.columns(&["id", "image"])?;
/// while let Some((first_row, batch)) = reader.next_batch(8 << 20, 4096)? {
///     println!("rows {first_row}.. : {} rows", batch.num_rows());
/// }
/// # Ok::<(), warpline::Error>(())
/// ```
pub struct ParquetReader {
    path: PathBuf,
    file: StoredFile,
    metadata: ArrowReaderMetadata,
    /// Top-level columns to read, as places in the file's schema, in the order of the output.
    columns: Vec<usize>,
    schema: SchemaRef,
    group: usize,
    rows: Option<Group>,
    /// Rows read that did not fit in the last batch.
    left_over: Option<RecordBatch>,
    next_row: u64,
}

/// The row group being read.
struct Group {
    reader: ParquetRecordBatchReader,
    rows_left: u64,
}

impl ParquetReader {
    /// Opens a file and reads its footer.
    pub fn open(path: impl AsRef<Path>) -> Result<Self> {
        let path = path.as_ref().to_path_buf();
        let file = StoredFile::open(&path).map_err(|e| Error::io(&path, e))?;
        let metadata = guarded(|| ArrowReaderMetadata::load(&file, ArrowReaderOptions::new()))
            .map_err(|e| footer_error(&path, file.len(), e))?;
        let schema = metadata.schema().clone();
        let columns = (0..schema.fields().len()).collect();
        Ok(ParquetReader { path, file, metadata, columns, schema, group: 0, rows: None, left_over: None, next_row: 0 })
    }

    /// Reads only these columns, in this order. `InvalidInput` names one that is missing and lists those that exist.
    pub fn columns(mut self, names: &[impl AsRef<str>]) -> Result<Self> {
        let all = self.metadata.schema();
        let mut columns = Vec::with_capacity(names.len());
        for name in names {
            let name = name.as_ref();
            let Ok(index) = all.index_of(name) else { return Err(self.missing(name)) };
            if columns.contains(&index) {
                return Err(Error::invalid_column(OP, name, "asked for twice"));
            }
            columns.push(index);
        }
        self.schema = all.project(&columns).map(SchemaRef::new).map_err(|e| Error::arrow(OP, e))?;
        self.columns = columns;
        Ok(self)
    }

    /// Checks that this file has all columns of `schema`, with the same types. Errors name the file and the column.
    pub fn check_schema(&self, schema: &SchemaRef) -> Result<()> {
        let own = self.metadata.schema();
        for field in schema.fields() {
            let Ok(found) = own.field_with_name(field.name()) else { return Err(self.missing(field.name())) };
            if found.data_type() != field.data_type() {
                let (is, should) = (found.data_type(), field.data_type());
                let why = format!("{} has type {is}, the first file has {should}", self.path.display());
                return Err(Error::invalid_column(OP, field.name(), why));
            }
            if found.is_nullable() && !field.is_nullable() {
                let why = format!("{} may hold nulls there, the first file must not", self.path.display());
                return Err(Error::invalid_column(OP, field.name(), why));
            }
        }
        Ok(())
    }

    fn missing(&self, name: &str) -> Error {
        let names: Vec<&str> = self.metadata.schema().fields().iter().map(|field| field.name().as_str()).collect();
        let why = format!("not in {}; it has {}", self.path.display(), names.join(", "));
        Error::invalid_column(OP, name, why)
    }

    /// The schema of the batches.
    pub fn schema(&self) -> &SchemaRef {
        &self.schema
    }

    /// Number of rows in the file.
    pub fn num_rows(&self) -> u64 {
        let groups = self.metadata.metadata().row_groups();
        groups.iter().map(|group| group.num_rows().max(0) as u64).fold(0, u64::saturating_add)
    }

    /// The next rows, at least one, with the number of the first of them in the file: at most `max_rows`, and at most
    /// about `max_bytes` (sizes are known only once read; a batch runs over by at most a piece of a quarter of it, or
    /// by one row). `None` at the end.
    pub fn next_batch(&mut self, max_bytes: u64, max_rows: usize) -> Result<Option<(u64, RecordBatch)>> {
        let max_rows = max_rows.max(1);
        let (mut pieces, mut rows, mut bytes) = (Vec::new(), 0, 0);
        while rows < max_rows && bytes < max_bytes.max(1) {
            // Row groups are not merged into one batch, so that an error belongs to one of them.
            if !pieces.is_empty() && self.rows.is_none() && self.left_over.is_none() {
                break;
            }
            let Some(mut piece) = self.piece(max_bytes, max_rows)? else { break };
            let room = max_rows - rows;
            if piece.num_rows() > room {
                self.left_over = Some(piece.slice(room, piece.num_rows() - room));
                piece = piece.slice(0, room);
            }
            rows += piece.num_rows();
            bytes += piece.get_array_memory_size() as u64;
            pieces.push(piece);
        }
        if pieces.is_empty() {
            return Ok(None);
        }
        let first = self.next_row;
        self.next_row += rows as u64;
        let batch = match pieces.len() {
            1 => pieces.swap_remove(0),
            _ => concat_batches(&self.schema, &pieces).map_err(|e| Error::arrow(OP, e))?,
        };
        Ok(Some((first, batch)))
    }

    /// The next few rows of the current row group, or of the next one.
    fn piece(&mut self, max_bytes: u64, max_rows: usize) -> Result<Option<RecordBatch>> {
        if let Some(rows) = self.left_over.take() {
            return Ok(Some(rows));
        }
        loop {
            if self.rows.is_none() {
                if self.group == self.metadata.metadata().num_row_groups() {
                    return Ok(None);
                }
                self.rows = Some(self.open_group(&self.columns, self.piece_rows(max_bytes, max_rows))?);
            }
            let Some(group) = &mut self.rows else { continue };
            let next = guarded(|| group.reader.next().transpose().map_err(ParquetError::from));
            match next {
                Ok(Some(batch)) => {
                    let Some(left) = group.rows_left.checked_sub(batch.num_rows() as u64) else {
                        return Err(self.corrupt(None, "more rows than the footer says".to_string()));
                    };
                    group.rows_left = left;
                    if group.rows_left == 0 {
                        (self.rows, self.group) = (None, self.group + 1);
                    }
                    if batch.num_rows() > 0 {
                        return self.in_order(batch).map(Some);
                    }
                }
                Ok(None) => {
                    let left = group.rows_left;
                    if left > 0 {
                        return Err(self.corrupt(None, format!("{left} rows fewer than the footer says")));
                    }
                    (self.rows, self.group) = (None, self.group + 1);
                }
                Err(problem) => return Err(self.blame(problem)),
            }
        }
    }

    /// Rows for a piece, from the average size of a row in this row group.
    fn piece_rows(&self, max_bytes: u64, max_rows: usize) -> usize {
        let group = self.metadata.metadata().row_group(self.group);
        let mask = self.mask(&self.columns);
        let bytes = (0..group.num_columns()).filter(|&leaf| mask.leaf_included(leaf));
        let bytes: u64 = bytes.map(|leaf| group.column(leaf).uncompressed_size().max(0) as u64).sum();
        let row = (bytes / group.num_rows().max(1) as u64).max(1);
        usize::try_from(max_bytes / PIECES / row).unwrap_or(usize::MAX).clamp(1, max_rows.min(1 << 16))
    }

    fn mask(&self, columns: &[usize]) -> ProjectionMask {
        ProjectionMask::roots(self.metadata.metadata().file_metadata().schema_descr(), columns.iter().copied())
    }

    fn open_group(&self, columns: &[usize], piece_rows: usize) -> Result<Group> {
        let file = self.file.clone();
        let rows_left = self.metadata.metadata().row_group(self.group).num_rows().max(0) as u64;
        let reader = guarded(|| {
            ParquetRecordBatchReaderBuilder::new_with_metadata(file, self.metadata.clone())
                .with_row_groups(vec![self.group])
                .with_projection(self.mask(columns))
                .with_batch_size(piece_rows)
                .build()
        });
        Ok(Group { reader: reader.map_err(|problem| self.problem(None, problem))?, rows_left })
    }

    /// The columns of a batch in the order asked for; the `parquet` crate returns them in the file's.
    fn in_order(&self, batch: RecordBatch) -> Result<RecordBatch> {
        let mut sorted = self.columns.clone();
        sorted.sort_unstable();
        let place = |column: &usize| sorted.iter().position(|c| c == column).expect("a permutation of the same");
        let columns = self.columns.iter().map(|column| batch.column(place(column)).clone()).collect();
        let options = RecordBatchOptions::new().with_row_count(Some(batch.num_rows()));
        RecordBatch::try_new_with_options(self.schema.clone(), columns, &options)
            .map_err(|e| self.corrupt(None, e.to_string()))
    }

    /// The error of a row group that could not be read, with the first column that cannot be read by itself.
    fn blame(&self, problem: ParquetError) -> Error {
        for &column in &self.columns {
            let Ok(mut group) = self.open_group(&[column], 1024) else { return self.problem(Some(column), problem) };
            loop {
                match guarded(|| group.reader.next().transpose().map_err(ParquetError::from)) {
                    Ok(Some(_)) => {}
                    Ok(None) => break,
                    Err(problem) => return self.problem(Some(column), problem),
                }
            }
        }
        self.problem(None, problem)
    }

    fn problem(&self, column: Option<usize>, problem: ParquetError) -> Error {
        match problem {
            ParquetError::External(cause) if is_io(cause.as_ref()) => io_error(&self.path, cause),
            ParquetError::NYI(what) => {
                let what = format!("{}: {what}", self.path.display());
                Error::unsupported(OP, what, "rewrite the file with another encoding or codec")
            }
            other => self.corrupt(column, text(&other)),
        }
    }

    fn corrupt(&self, column: Option<usize>, why: String) -> Error {
        let metadata = self.metadata.metadata();
        let group = metadata.row_groups().get(self.group);
        let leaf = group.and_then(|group| {
            let mask = self.mask(&[column.unwrap_or(0)]);
            (0..group.num_columns()).find(|&leaf| mask.leaf_included(leaf)).map(|leaf| group.column(leaf))
        });
        let offset = leaf.map(|leaf| leaf.dictionary_page_offset().unwrap_or(leaf.data_page_offset()));
        let column = column.map(|c| format!(", column '{}'", self.metadata.schema().field(c).name()));
        Error::Corrupt {
            source_name: self.path.display().to_string(),
            offset: offset.map_or(0, |offset| offset.max(0) as u64),
            why: format!("row group {}{}: {why}", self.group, column.unwrap_or_default()),
        }
    }
}

/// What is wrong with a file whose footer cannot be read.
fn footer_error(path: &Path, len: u64, problem: ParquetError) -> Error {
    let source_name = path.display().to_string();
    match problem {
        ParquetError::External(cause) if is_io(cause.as_ref()) => io_error(path, cause),
        ParquetError::NYI(what) => Error::unsupported(OP, format!("{source_name}: {what}"), "rewrite the file"),
        _ if len < 12 => {
            Error::Corrupt { source_name, offset: 0, why: format!("{len} bytes are too few for a Parquet file") }
        }
        ParquetError::General(why) if why.contains("Corrupt footer") => {
            let why = "no Parquet footer: not a Parquet file, or truncated".to_string();
            Error::Corrupt { source_name, offset: len - 8, why }
        }
        other => Error::Corrupt { source_name, offset: len - 8, why: format!("footer: {}", text(&other)) },
    }
}

/// Whether storage failed, and not the file's contents: an end that comes too soon is the contents' fault.
fn is_io(cause: &(dyn std::error::Error + 'static)) -> bool {
    cause.downcast_ref::<io::Error>().is_some_and(|e| e.kind() != io::ErrorKind::UnexpectedEof)
}

fn io_error(path: &Path, cause: Box<dyn std::error::Error + Send + Sync>) -> Error {
    Error::io(path, cause.downcast::<io::Error>().map_or_else(io::Error::other, |e| *e))
}

/// The error's text on one line, without the prefix that says it is one.
fn text(problem: &ParquetError) -> String {
    let mut text = problem.to_string();
    for prefix in ["External: ", "Parquet argument error: ", "Parquet error: ", "EOF: "] {
        text = text.strip_prefix(prefix).map(str::to_string).unwrap_or(text);
    }
    text.lines().collect::<Vec<_>>().join(" ")
}

thread_local! {
    /// Whether this thread is in code of the `parquet` crate whose panics are caught.
    static GUARDED: Cell<bool> = const { Cell::new(false) };
}

/// Runs code of the `parquet` crate with its panics turned into errors: some malformed files make it panic. Such a panic
/// is an error like any other, so its message is kept off standard error: the first call puts a panic hook before the
/// one in place, which passes on every other panic.
fn guarded<T>(f: impl FnOnce() -> Result<T, ParquetError>) -> Result<T, ParquetError> {
    static HOOK: Once = Once::new();
    HOOK.call_once(|| {
        let previous = std::panic::take_hook();
        std::panic::set_hook(Box::new(move |panic| {
            if !GUARDED.try_with(Cell::get).unwrap_or(false) {
                previous(panic);
            }
        }));
    });
    GUARDED.set(true);
    let result = catch_unwind(AssertUnwindSafe(f));
    GUARDED.set(false);
    result.unwrap_or_else(|panic| Err(ParquetError::General(panic_text(panic.as_ref()))))
}

fn panic_text(panic: &(dyn Any + Send)) -> String {
    let text = panic.downcast_ref::<&str>().map(|s| s.to_string());
    text.or_else(|| panic.downcast_ref::<String>().cloned()).unwrap_or_else(|| "malformed".to_string())
}
