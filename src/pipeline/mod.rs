//! The streaming executor: a source, stages and a sink, all running at once under a memory budget.
//!
//! ```text
//! source -> queue -> stage -> queue -> stage -> ... -> queue -> sink
//!    \________________ one ledger, one order ________________/
//! ```
//!
//! - A [`Pipeline`] is built from a [`Source`], any number of [`Stage`]s and a [`Sink`]. Every stage has threads of its
//!   own, so all stages work at the same time on different batches; there is no barrier.
//! - Every batch in flight is paid for in one [`Ledger`], wherever its bytes are. A stage starts on a batch only when the
//!   ledger grants its workspace and output; half of the budget is kept for the oldest batch, so the run cannot
//!   deadlock. Batches too large for their part are split by rows; a single row that does not fit is an error of that
//!   row, found before anything is allocated for it.
//! - Queues are bounded by bytes and by items ([`Pipeline::queue_depth`]).
//! - Results come in the order of the input ([`Order::Input`], the default, deterministic for any number of workers) or
//!   as they finish ([`Order::Completion`]).
//! - Errors belong to rows ([`RowError`], [`OnError`]); a stage that panics is an error of the rows that made it panic.
//! - [`Pipeline::explain`] tells what will run, [`Report`] what ran and which stage was the bottleneck.

mod builder;
mod bytes;
mod errors;
mod item;
mod ledger;
mod order;
mod queue;
mod report;
mod rows;
mod run;
mod sink;
mod source;
mod stage;
pub mod stages;
mod trace;

pub use builder::{Collected, Pipeline};
pub use bytes::Bytes;
pub use errors::{OnError, RowError};
pub use item::{Item, Origins};
pub use ledger::Ledger;
pub use order::Order;
pub use report::{DeviceUse, Progress, Report, StageReport};
pub use run::{Cancel, Stream, StreamReader};
pub use sink::{ParquetSink, PartitionedSink, Sink};
pub use source::{BatchLimit, ImageSource, MemorySource, ParquetSource, Source, SourceBatch};
pub use stage::{Bound, Ending, MapStage, Stage};
