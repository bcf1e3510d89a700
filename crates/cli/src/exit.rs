//! Exit codes, and which error ends with which.

use std::fmt;
use std::path::Path;
use std::process::ExitCode;

use warpline::Error;

/// Shown by `warpline help`.
pub const HELP: &str = "\
Exit codes:
    0  all done
    2  usage: an unknown flag, a value that cannot be read, a filter that does not parse
    3  input: a file or folder missing, unreadable, truncated or without images; a column missing or of a wrong type
    4  output: it exists already, cannot be written, or the disk is full
    5  device: no driver, no such device, a CUDA error, a step that exceeds the budget
    6  item: an image that cannot be processed, under --on-error fail
    7  model: it cannot be read, or its input does not fit the tensors
   70  internal error: a bug in warpline
  130  interrupted";

/// How the process ends.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Exit {
    Usage = 2,
    Input = 3,
    Output = 4,
    Device = 5,
    Item = 6,
    Model = 7,
    Internal = 70,
    Interrupted = 130,
}

impl From<Exit> for ExitCode {
    fn from(exit: Exit) -> ExitCode {
        ExitCode::from(exit as u8)
    }
}

/// An error with its exit code. Displays as one line.
#[derive(Debug)]
pub struct Failure {
    pub exit: Exit,
    message: String,
}

impl Failure {
    pub fn new(exit: Exit, message: impl fmt::Display) -> Self {
        Failure { exit, message: one_line(&message.to_string()) }
    }

    /// An I/O error about a file, with what to do where that is known.
    pub fn io(exit: Exit, path: &Path, error: &std::io::Error) -> Self {
        let hint = match error.kind() {
            std::io::ErrorKind::StorageFull => ": free some space or write elsewhere",
            std::io::ErrorKind::AlreadyExists => ": remove it or choose another name",
            _ => "",
        };
        Failure::new(exit, format!("{}: {error}{hint}", path.display()))
    }

    /// The reader of our standard output went away: no error worth a word.
    pub fn is_quiet(&self) -> bool {
        self.message.is_empty()
    }

    /// The same failure under another code.
    pub fn with_exit(self, exit: Exit) -> Self {
        Failure { exit, ..self }
    }
}

impl fmt::Display for Failure {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.message)
    }
}

impl From<Error> for Failure {
    fn from(error: Error) -> Self {
        let exit = match &error {
            Error::NoDriver | Error::NoDevice { .. } | Error::WrongDevice { .. } => Exit::Device,
            Error::Cuda { .. } | Error::OutOfMemory { .. } => Exit::Device,
            Error::Item { .. } => Exit::Item,
            Error::Cancelled => Exit::Interrupted,
            Error::Internal { .. } => Exit::Internal,
            _ => Exit::Input,
        };
        Failure::new(exit, error)
    }
}

/// Lines joined: every error is one line, whatever a library below wrote.
fn one_line(text: &str) -> String {
    text.lines().map(str::trim).filter(|line| !line.is_empty()).collect::<Vec<_>>().join("; ")
}

/// Turns errors of any kind into failures with a code.
pub trait OrExit<T> {
    fn or_exit(self, exit: Exit) -> Result<T, Failure>;
}

impl<T, E: fmt::Display> OrExit<T> for Result<T, E> {
    fn or_exit(self, exit: Exit) -> Result<T, Failure> {
        self.map_err(|error| Failure::new(exit, error))
    }
}
