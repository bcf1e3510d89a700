//! Where data and contexts are.

use std::fmt;

/// Where a column's buffers are, or where a context runs its operators.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Placement {
    /// Host memory: arrow-rs buffers.
    Host,
    /// The memory of the CUDA device with this ordinal.
    Cuda(usize),
}

impl fmt::Display for Placement {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Placement::Host => f.write_str("host"),
            Placement::Cuda(ordinal) => write!(f, "cuda:{ordinal}"),
        }
    }
}
