//! The one error type of the library.

use std::fmt;

use arrow::datatypes::Schema;
use arrow::error::ArrowError;

use crate::column::Placement;

/// What every fallible function of Warpline returns.
pub type Result<T, E = Error> = std::result::Result<T, E>;

/// Why an operation failed. Display is one line that names what failed and what to do.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum Error {
    /// No CUDA driver library could be opened.
    #[error("no CUDA driver found: install the NVIDIA driver (R525 or newer), or use ExecCtx::host / --device host")]
    NoDriver,

    /// The driver is there but the device asked for is not.
    #[error("no CUDA device {ordinal}: the driver reports {available} device(s)")]
    NoDevice {
        /// The ordinal asked for.
        ordinal: usize,
        /// How many devices the driver reports.
        available: usize,
    },

    /// An input lives elsewhere than the context that runs the operator. Nothing is copied silently.
    #[error("{op}: input is on {found}, the context runs on {expected}: copy it with `.to(&ctx)` first")]
    WrongDevice {
        /// The operator.
        op: &'static str,
        /// Where the context runs.
        expected: Placement,
        /// Where the input is.
        found: Placement,
    },

    /// A CUDA driver call failed.
    #[error("{op}: CUDA error {code}: {message}")]
    Cuda {
        /// The operator or driver call.
        op: String,
        /// The driver's numeric code (`CUresult`).
        code: u32,
        /// The driver's name for it.
        message: String,
    },

    /// An allocation does not fit in the budget or in the device.
    #[error(
        "{op}: needs {requested} bytes of device memory, the budget is {budget} ({available} free): raise --budget or make batches smaller"
    )]
    OutOfMemory {
        /// The operator.
        op: String,
        /// Bytes asked for.
        requested: u64,
        /// The whole budget in bytes.
        budget: u64,
        /// Bytes of it that were free.
        available: u64,
    },

    /// A correct request that this version cannot serve.
    #[error("{op}: {what} is not supported: {hint}")]
    Unsupported {
        /// The operator.
        op: &'static str,
        /// What is not supported.
        what: String,
        /// What to do instead.
        hint: String,
    },

    /// The caller's input does not fit the operator.
    #[error("{op}: {}{why}", At(column, row))]
    InvalidInput {
        /// The operator.
        op: &'static str,
        /// The column, where one is at fault.
        column: Option<String>,
        /// The row, where one is at fault.
        row: Option<u64>,
        /// What is wrong and what to do.
        why: String,
    },

    /// Stored bytes that do not follow their format.
    #[error("{source_name}: corrupt at byte {offset}: {why}")]
    Corrupt {
        /// File or object.
        source_name: String,
        /// Byte offset within it.
        offset: u64,
        /// What is wrong.
        why: String,
    },

    /// One item of a stream failed under `OnError::Fail`.
    #[error("{source_name}, row {row}: {stage}: {code}: {message}")]
    Item {
        /// File or object the item came from.
        source_name: String,
        /// Row within it.
        row: u64,
        /// The stage that refused it.
        stage: String,
        /// Stable short code, such as `truncated`.
        code: String,
        /// Explanation.
        message: String,
    },

    /// A file could not be read or written.
    #[error("{path}: {source}")]
    Io {
        /// The path.
        path: String,
        /// The operating system's reason.
        source: std::io::Error,
    },

    /// An error of arrow-rs or of the `parquet` crate.
    #[error("{op}: {source}")]
    Arrow {
        /// The operator, with the file where there is one.
        op: String,
        /// arrow-rs's reason.
        source: ArrowError,
    },

    /// The run was cancelled.
    #[error("cancelled")]
    Cancelled,

    /// A bug in Warpline: an invariant of its own does not hold.
    #[error("internal error in {op}: {why}; please report it")]
    Internal {
        /// Where.
        op: &'static str,
        /// What does not hold.
        why: String,
    },
}

impl Error {
    /// `InvalidInput` without a column or row.
    pub fn invalid(op: &'static str, why: impl Into<String>) -> Self {
        Error::InvalidInput { op, column: None, row: None, why: why.into() }
    }

    /// `InvalidInput` about a column.
    pub fn invalid_column(op: &'static str, column: impl Into<String>, why: impl Into<String>) -> Self {
        Error::InvalidInput { op, column: Some(column.into()), row: None, why: why.into() }
    }

    /// `InvalidInput` about a column that is not there, `what` it is not; the message lists those that are.
    pub(crate) fn missing_column(op: &'static str, column: &str, what: &str, schema: &Schema) -> Self {
        let names: Vec<&str> = schema.fields().iter().map(|field| field.name().as_str()).collect();
        Error::invalid_column(op, column, format!("{what}; there are: {}", names.join(", ")))
    }

    /// `Unsupported` from its parts.
    pub fn unsupported(op: &'static str, what: impl Into<String>, hint: impl Into<String>) -> Self {
        Error::Unsupported { op, what: what.into(), hint: hint.into() }
    }

    /// An arrow-rs error with the operator that met it.
    pub fn arrow(op: impl Into<String>, source: ArrowError) -> Self {
        Error::Arrow { op: op.into(), source }
    }

    /// An I/O error with its path.
    pub fn io(path: impl AsRef<std::path::Path>, source: std::io::Error) -> Self {
        Error::Io { path: path.as_ref().display().to_string(), source }
    }
}

impl From<Error> for ArrowError {
    fn from(error: Error) -> Self {
        match error {
            Error::Arrow { source, .. } => source,
            other => ArrowError::ExternalError(Box::new(other)),
        }
    }
}

/// Writes `column 'c', row 7: ` as far as the parts are known.
struct At<'a>(&'a Option<String>, &'a Option<u64>);

impl fmt::Display for At<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match (self.0, self.1) {
            (Some(column), Some(row)) => write!(f, "column '{column}', row {row}: "),
            (Some(column), None) => write!(f, "column '{column}': "),
            (None, Some(row)) => write!(f, "row {row}: "),
            (None, None) => Ok(()),
        }
    }
}
