//! A folder that appears under its name only when all of it is written.

use std::fs::{self, File};
use std::io;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{SystemTime, UNIX_EPOCH};

use crate::error::{Error, Result};

use super::OP;

/// `FOLDER.partial-RUN` until [`finish`](NewFolder::finish) gives it its name; removed when it is dropped before.
pub(super) struct NewFolder {
    folder: PathBuf,
    partial: PathBuf,
    finished: bool,
}

impl NewFolder {
    pub(super) fn create(folder: &Path) -> Result<Self> {
        let folder = normal(folder)?;
        refuse_existing(&folder)?;
        let partial = partial_name(&folder);
        fs::create_dir_all(&partial).map_err(|e| Error::io(&partial, e))?;
        Ok(NewFolder { folder, partial, finished: false })
    }

    /// The path of a part.
    pub(super) fn part(&self, number: usize) -> PathBuf {
        self.partial.join(format!("part-{number:05}.parquet"))
    }

    /// Syncs the folder, whose parts are synced, and renames it.
    pub(super) fn finish(mut self) -> Result<()> {
        sync_folder(&self.partial)?;
        refuse_existing(&self.folder)?;
        fs::rename(&self.partial, &self.folder).map_err(|e| Error::io(&self.folder, e))?;
        self.finished = true;
        match self.folder.parent() {
            Some(parent) if parent.as_os_str().is_empty() => sync_folder(Path::new(".")),
            Some(parent) => sync_folder(parent),
            None => Ok(()),
        }
    }
}

impl Drop for NewFolder {
    fn drop(&mut self) {
        if !self.finished {
            // Nothing to be done about a failure here: the name says that the folder is not a result.
            let _ = fs::remove_dir_all(&self.partial);
        }
    }
}

/// The folder without a trailing slash, so that the unfinished one lies beside it.
fn normal(folder: &Path) -> Result<PathBuf> {
    match folder.file_name() {
        Some(name) => Ok(folder.with_file_name(name)),
        None => Err(Error::invalid(OP, format!("'{}' does not name an output folder", folder.display()))),
    }
}

fn refuse_existing(folder: &Path) -> Result<()> {
    match fs::symlink_metadata(folder) {
        Ok(_) => {
            let why = format!("{} exists already: choose another output folder or remove it", folder.display());
            Err(Error::invalid(OP, why))
        }
        Err(e) if e.kind() == io::ErrorKind::NotFound => Ok(()),
        Err(e) => Err(Error::io(folder, e)),
    }
}

/// `FOLDER.partial-RUN`: process, time and a count make RUN unique.
fn partial_name(folder: &Path) -> PathBuf {
    static COUNT: AtomicU64 = AtomicU64::new(0);
    let time = SystemTime::now().duration_since(UNIX_EPOCH).map_or(0, |d| d.as_millis());
    let (process, count) = (std::process::id(), COUNT.fetch_add(1, Ordering::Relaxed));
    let mut name = folder.file_name().unwrap_or_default().to_os_string();
    name.push(format!(".partial-{time:x}-{process:x}-{count:x}"));
    folder.with_file_name(name)
}

fn sync_folder(folder: &Path) -> Result<()> {
    File::open(folder).and_then(|f| f.sync_all()).map_err(|e| Error::io(folder, e))
}
