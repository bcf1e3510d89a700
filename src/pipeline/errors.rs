//! What happens to rows that cannot be processed.

use std::sync::Arc;

use crate::error::Error;

/// What the pipeline does with a row that a stage refuses. Errors that are not about a row (I/O, CUDA, a cancelled
/// run) always end the run.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum OnError {
    /// The first bad row, in the order of results, ends the run with its error. The default.
    Fail,
    /// Bad rows are left out of the output; the run ends with an error when more than `max` rows are bad.
    Skip {
        /// How many bad rows are tolerated; `u64::MAX` for any number.
        max: u64,
    },
    /// Bad rows stay in the output with nulls in the columns that the failing stage was to make.
    Null,
}

/// One row that a stage refused: an entry of the side stream of errors.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RowError {
    /// The file (or other source) that the row came from.
    pub source: Arc<str>,
    /// The row within that source, counted from 0.
    pub row: u64,
    /// The stage that refused it.
    pub stage: Arc<str>,
    /// A short stable code, such as `truncated`, `over_budget` or `panic`.
    pub code: Arc<str>,
    /// Explanation for people.
    pub message: String,
}

impl RowError {
    /// The error that ends a run under [`OnError::Fail`].
    pub fn into_error(self) -> Error {
        Error::Item {
            source_name: self.source.to_string(),
            row: self.row,
            stage: self.stage.to_string(),
            code: self.code.to_string(),
            message: self.message,
        }
    }
}

/// Whether an error of a stage is about its data, so that `OnError` applies; all else ends the run.
pub(super) fn about_data(error: &Error) -> bool {
    matches!(
        error,
        Error::InvalidInput { .. }
            | Error::Corrupt { .. }
            | Error::Item { .. }
            | Error::Unsupported { .. }
            | Error::Arrow { .. }
            | Error::OutOfMemory { .. }
    )
}

/// The short code and the text of an error for the side stream.
pub(super) fn code_and_message(error: &Error) -> (Arc<str>, String) {
    let code = match error {
        Error::Item { code, message, .. } => return (code.as_str().into(), message.clone()),
        Error::InvalidInput { .. } => "invalid_input",
        Error::Corrupt { .. } => "corrupt",
        Error::Unsupported { .. } => "unsupported",
        Error::OutOfMemory { .. } => "over_budget",
        Error::Arrow { .. } => "arrow",
        _ => "failed",
    };
    (code.into(), error.to_string())
}
