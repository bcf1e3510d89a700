//! The progress bar: rows, rate, time left. On a terminal only.

use std::time::Duration;

use indicatif::{ProgressBar, ProgressStyle};
use warpline::pipeline::{Bytes, Progress};

/// A bar over this many rows, or a spinner where their number is unknown.
pub fn bar(rows: Option<u64>) -> ProgressBar {
    let (bar, template) = match rows {
        Some(rows) => (ProgressBar::new(rows), "{bar:30} {pos}/{len} rows  {per_sec}  {eta} left  {msg}"),
        None => (ProgressBar::new_spinner(), "{spinner} {pos} rows  {per_sec}  {msg}"),
    };
    if let Ok(style) = ProgressStyle::with_template(template) {
        bar.set_style(style);
    }
    bar.enable_steady_tick(Duration::from_millis(200));
    bar
}

/// Shows the state of a run.
pub fn update(bar: &ProgressBar, progress: &Progress) {
    bar.set_position(progress.rows_done);
    let errors = match progress.error_rows {
        0 => String::new(),
        n => format!(", {n} errors"),
    };
    bar.set_message(format!("{} in use{errors}", Bytes(progress.memory)));
}
