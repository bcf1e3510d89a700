//! Modules whose PTX was written at run time, kept by their text.

use std::collections::HashMap;
use std::ffi::CString;
use std::fmt;
use std::sync::Arc;

use cudarc::driver::{CudaContext, result, sys};
use parking_lot::Mutex;

use crate::device::context::{Function, load_ptx};
use crate::device::driver::check;
use crate::error::{Error, Result};

/// The most modules that a device keeps: each takes memory of the driver's.
const MOST: usize = 1024;

/// A loaded module with one entry.
pub(crate) struct Emitted {
    context: Arc<CudaContext>,
    module: sys::CUmodule,
    pub(crate) function: Function,
    pub(crate) entry: &'static str,
}

// SAFETY: module and function handles are tokens that any thread may use while the context is current.
unsafe impl Send for Emitted {}
// SAFETY: as above.
unsafe impl Sync for Emitted {}

impl fmt::Debug for Emitted {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Emitted({}, {:p})", self.entry, self.module)
    }
}

impl Drop for Emitted {
    fn drop(&mut self) {
        let _ = self.context.bind_to_thread();
        // Kernels in flight run the module's code.
        let _ = result::ctx::synchronize();
        // SAFETY: loaded by us; nobody holds the function any more, and what it queued is done.
        let _ = unsafe { result::module::unload(self.module) };
    }
}

/// The modules of a device by their PTX.
#[derive(Default)]
pub(crate) struct EmittedModules(Mutex<HashMap<Box<str>, Arc<Emitted>>>);

impl EmittedModules {
    /// The module of this text, and whether the driver had to compile it now.
    pub(crate) fn get(
        &self,
        context: &Arc<CudaContext>,
        entry: &'static str,
        ptx: &str,
    ) -> Result<(Arc<Emitted>, bool)> {
        // The lock is held while the driver compiles: whoever asks for the same text next finds it.
        let mut kept = self.0.lock();
        if let Some(module) = kept.get(ptx) {
            return Ok((module.clone(), false));
        }
        let module = load_ptx(context, entry, ptx)?;
        let name = CString::new(entry).map_err(|_| Error::invalid("load kernel module", "the name holds a NUL"))?;
        // SAFETY: the module is loaded.
        let found = unsafe { result::module::get_function(module, name) };
        let emitted = |function| Arc::new(Emitted { context: context.clone(), module, function, entry });
        let found = check(entry, found).map(|function| emitted(Function(function)));
        if found.is_err() {
            // SAFETY: loaded above, and nothing of it was launched.
            let _ = unsafe { result::module::unload(module) };
        }
        let found = found?;
        if kept.len() >= MOST {
            // Forgotten, not torn away: who launches one holds it.
            kept.clear();
        }
        kept.insert(ptx.into(), found.clone());
        Ok((found, true))
    }

    /// Unloads all of them.
    pub(crate) fn clear(&self) {
        self.0.lock().clear();
    }
}
