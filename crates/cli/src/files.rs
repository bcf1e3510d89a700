//! Output files that appear under their name only when they are complete.

use std::io::{BufWriter, Write};
use std::path::{Path, PathBuf};

use tempfile::NamedTempFile;

use crate::exit::{Exit, Failure};

/// A file being written beside its final place. Dropped without [`commit`](Self::commit) it leaves nothing.
pub struct OutputFile {
    path: PathBuf,
    file: BufWriter<NamedTempFile>,
}

impl OutputFile {
    pub fn create(path: &Path) -> Result<Self, Failure> {
        let fail = |e: std::io::Error| Failure::io(Exit::Output, path, &e);
        if path.is_dir() {
            return Err(fail(std::io::ErrorKind::IsADirectory.into()));
        }
        let folder = path.parent().filter(|p| !p.as_os_str().is_empty()).unwrap_or(Path::new("."));
        let file =
            tempfile::Builder::new().prefix(".warpline-").suffix(".partial").tempfile_in(folder).map_err(fail)?;
        Ok(OutputFile { path: path.to_path_buf(), file: BufWriter::with_capacity(1 << 20, file) })
    }

    /// Flushes, makes durable, renames.
    pub fn commit(self) -> Result<(), Failure> {
        let OutputFile { path, file } = self;
        let fail = |e: std::io::Error| Failure::io(Exit::Output, &path, &e);
        let file = file.into_inner().map_err(|e| fail(e.into_error()))?;
        set_usual_permissions(file.as_file()).map_err(fail)?;
        file.as_file().sync_all().map_err(fail)?;
        file.persist(&path).map_err(|e| fail(e.error))?;
        Ok(())
    }
}

/// Temporary files are made for their owner alone; results get what a new file usually has.
#[cfg(unix)]
fn set_usual_permissions(file: &std::fs::File) -> std::io::Result<()> {
    use std::os::unix::fs::PermissionsExt;
    file.set_permissions(std::fs::Permissions::from_mode(0o644))
}

#[cfg(not(unix))]
fn set_usual_permissions(_: &std::fs::File) -> std::io::Result<()> {
    Ok(())
}

impl Write for OutputFile {
    fn write(&mut self, bytes: &[u8]) -> std::io::Result<usize> {
        self.file.write(bytes)
    }

    fn flush(&mut self) -> std::io::Result<()> {
        self.file.flush()
    }
}

/// Writes to the standard output. A reader that has gone away (`| head`) ends the command without a word.
pub fn to_stdout(f: impl FnOnce(&mut std::io::StdoutLock<'static>) -> std::io::Result<()>) -> Result<(), Failure> {
    let mut out = std::io::stdout().lock();
    f(&mut out).and_then(|()| out.flush()).map_err(|e| stdout_failure(&e))
}

/// What an error of the standard output ends with.
pub fn stdout_failure(error: &std::io::Error) -> Failure {
    match error.kind() {
        std::io::ErrorKind::BrokenPipe => Failure::new(Exit::Output, ""),
        _ => Failure::io(Exit::Output, Path::new("standard output"), error),
    }
}
