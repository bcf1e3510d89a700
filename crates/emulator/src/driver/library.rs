//! Libraries: modules that belong to no context. Each context gets a module of its own when it first uses the library,
//! which nobody can tell from one that is there from the start.

use std::collections::{BTreeMap, HashMap};
use std::ffi::{CString, c_char, c_int, c_uint, c_void};
use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering};

use parking_lot::Mutex;

use super::errors::code;
use super::module::{attribute, image_text, kernels, name_of, place, read, refuse, set_attribute, unload, write_log};
use super::state::*;
use crate::exec::code::Program;
use crate::lower::Symbols;
use crate::ptx;

/// A loaded library.
pub struct Library {
    module: ptx::Module,
    /// Handles of its kernels by name.
    kernels: BTreeMap<String, usize>,
    /// Its modules by context.
    placed: Mutex<HashMap<usize, usize>>,
}

/// A kernel of a library.
pub struct Kernel {
    library: usize,
    name: CString,
    /// What does not depend on a context; its addresses are not those of any module.
    program: Arc<Program>,
    version: (u32, u32),
    /// Dynamic shared memory allowed on each device, 0 where nothing was set.
    limits: Vec<Arc<AtomicU32>>,
}

fn library(handle: usize) -> Res<Arc<Library>> {
    driver()?.libraries.lock().get(&handle).cloned().ok_or(code::INVALID_HANDLE)
}

fn kernel(handle: usize) -> Res<Arc<Kernel>> {
    driver()?.kernels.lock().get(&handle).cloned().ok_or(code::INVALID_HANDLE)
}

/// The library's module in a context, placed there if this is the first use.
fn module_in(d: &Driver, library: &Library, context: &Arc<Context>) -> Res<usize> {
    let mut placed = library.placed.lock();
    if let Some(id) = placed.get(&context.id) {
        return Ok(*id);
    }
    let device = context.device as usize;
    let limit = |name: &str| {
        let kernel = library.kernels.get(name).and_then(|id| d.kernels.lock().get(id).cloned());
        kernel.map(|k| k.limits[device].clone()).unwrap_or_default()
    };
    let id = place(d, context, &library.module, limit).map_err(|why| refuse(why, |_| {}))?;
    placed.insert(context.id, id);
    Ok(id)
}

/// The handle of the function that a kernel is in a context.
pub(super) fn function_of(d: &Driver, handle: usize, context: &Arc<Context>) -> Res<usize> {
    let kernel = kernel(handle)?;
    let module = module_in(d, &*library(kernel.library)?, context)?;
    let modules = d.modules.lock();
    let found = modules.get(&module).and_then(|m| m.functions.get(&kernel.program.name));
    found.copied().ok_or(code::NOT_FOUND)
}

/// Loads a library. Its kernels are lowered here too, for no address, so that it is refused now if ever.
fn load(d: &Driver, text: &str) -> Result<usize, (i32, String)> {
    let module = read(d, text)?;
    let symbols = Symbols { memory: module.vars.iter().map(|v| (v.name.clone(), 0)).collect() };
    let programs = kernels(&module, &symbols)?;
    let library = d.handle();
    let mut handles = BTreeMap::new();
    for program in programs {
        let id = d.handle();
        handles.insert(program.name.clone(), id);
        let kernel = Kernel {
            library,
            // Names in PTX hold no NUL.
            name: CString::new(program.name.as_str()).unwrap_or_default(),
            program: Arc::new(program),
            version: module.version,
            limits: d.devices.iter().map(|_| Arc::default()).collect(),
        };
        d.kernels.lock().insert(id, Arc::new(kernel));
    }
    d.libraries.lock().insert(library, Arc::new(Library { module, kernels: handles, placed: Mutex::default() }));
    Ok(library)
}

/// Options of loading: what the caller promises of its image is taken as it is.
unsafe fn options(count: c_uint, list: *const c_uint) -> Res {
    const BINARY_IS_PRESERVED: c_uint = 1;
    if count > 0 && list.is_null() {
        return Err(code::INVALID_VALUE);
    }
    for i in 0..count as usize {
        // SAFETY: the list has `count` entries.
        if unsafe { *list.add(i) } != BINARY_IS_PRESERVED {
            return Err(code::NOT_SUPPORTED);
        }
    }
    Ok(())
}

fn limit(kernel: &Kernel, device: c_int) -> Res<&AtomicU32> {
    let found = usize::try_from(device).ok().and_then(|d| kernel.limits.get(d));
    found.map(|l| &**l).ok_or(code::INVALID_DEVICE)
}

exports! {
    /// `cuLibraryLoadData`; errors go to the log buffer too.
    #[allow(clippy::too_many_arguments)]
    fn cuLibraryLoadData(
        out: *mut usize,
        image: *const c_void,
        jit_options: *const c_uint,
        jit_values: *const *mut c_void,
        jit_count: c_uint,
        library_options: *const c_uint,
        _library_values: *const *mut c_void,
        library_count: c_uint,
    ) {
        let d = driver()?;
        writable(out)?;
        options(library_count, library_options)?;
        let loaded = image_text(image).and_then(|text| load(d, text));
        put(out, loaded.map_err(|why| refuse(why, |text| write_log(jit_count, jit_options, jit_values, text)))?)
    }

    /// `cuLibraryLoadFromFile`
    #[allow(clippy::too_many_arguments)]
    fn cuLibraryLoadFromFile(
        out: *mut usize,
        path: *const c_char,
        jit_options: *const c_uint,
        jit_values: *const *mut c_void,
        jit_count: c_uint,
        library_options: *const c_uint,
        library_values: *const *mut c_void,
        library_count: c_uint,
    ) {
        driver()?;
        writable(out)?;
        let mut bytes = std::fs::read(name_of(path)?).map_err(|_| code::FILE_NOT_FOUND)?;
        bytes.extend([0; 4]);
        let image = bytes.as_ptr().cast();
        let (jit, own) = ((jit_options, jit_values, jit_count), (library_options, library_values, library_count));
        match cuLibraryLoadData(out, image, jit.0, jit.1, jit.2, own.0, own.1, own.2) {
            0 => Ok(()),
            e => Err(e),
        }
    }

    /// `cuLibraryUnload`; ends its modules in all contexts.
    fn cuLibraryUnload(handle: usize) {
        let d = driver()?;
        d.safe_in_capture()?;
        let library = d.libraries.lock().remove(&handle).ok_or(code::INVALID_VALUE)?;
        for id in library.placed.lock().values() {
            // Modules end with their context, if that ended first.
            let module = d.modules.lock().get(id).cloned();
            if let Some(module) = module {
                module.context.synchronize();
                unload(d, *id);
            }
        }
        let mut kernels = d.kernels.lock();
        for id in library.kernels.values() {
            kernels.remove(id);
        }
        Ok(())
    }

    /// `cuLibraryGetKernel`
    fn cuLibraryGetKernel(out: *mut usize, handle: usize, name: *const c_char) {
        put(out, *library(handle)?.kernels.get(name_of(name)?).ok_or(code::NOT_FOUND)?)
    }

    /// `cuLibraryGetKernelCount`
    fn cuLibraryGetKernelCount(out: *mut c_uint, handle: usize) {
        put(out, library(handle)?.kernels.len() as c_uint)
    }

    /// `cuLibraryEnumerateKernels`, in the order of their names.
    fn cuLibraryEnumerateKernels(out: *mut usize, most: c_uint, handle: usize) {
        let library = library(handle)?;
        for (i, id) in library.kernels.values().take(most as usize).enumerate() {
            writable(out)?;
            put(out.add(i), *id)?;
        }
        Ok(())
    }

    /// `cuLibraryGetModule`: the one of the current context.
    fn cuLibraryGetModule(out: *mut usize, handle: usize) {
        let (library, context) = (library(handle)?, current()?);
        put(out, module_in(driver()?, &library, &context)?)
    }

    /// `cuLibraryGetGlobal`: of the current context's module.
    fn cuLibraryGetGlobal(at: *mut u64, size: *mut usize, handle: usize, name: *const c_char) {
        let (d, library, context) = (driver()?, library(handle)?, current()?);
        if at.is_null() && size.is_null() {
            return Err(code::INVALID_VALUE);
        }
        let module = module_in(d, &library, &context)?;
        let module = d.modules.lock().get(&module).cloned().ok_or(code::NOT_FOUND)?;
        let (a, n) = *module.globals.get(name_of(name)?).ok_or(code::NOT_FOUND)?;
        if !at.is_null() {
            put(at, a)?;
        }
        if !size.is_null() {
            put(size, n as usize)?;
        }
        Ok(())
    }

    /// `cuKernelGetFunction`: the one of the current context.
    fn cuKernelGetFunction(out: *mut usize, handle: usize) {
        kernel(handle)?;
        put(out, function_of(driver()?, handle, &current()?)?)
    }

    /// `cuKernelGetLibrary`
    fn cuKernelGetLibrary(out: *mut usize, handle: usize) {
        put(out, kernel(handle)?.library)
    }

    /// `cuKernelGetName`; the name lives as long as the library.
    fn cuKernelGetName(out: *mut *const c_char, handle: usize) {
        if handle == 0 {
            return Err(code::INVALID_VALUE);
        }
        put(out, kernel(handle)?.name.as_ptr())
    }

    /// `cuKernelGetParamInfo`
    fn cuKernelGetParamInfo(handle: usize, index: usize, offset: *mut usize, size: *mut usize) {
        let kernel = kernel(handle)?;
        let (at, n) = *kernel.program.params.get(index).ok_or(code::INVALID_VALUE)?;
        put(offset, at as usize)?;
        if !size.is_null() {
            put(size, n as usize)?;
        }
        Ok(())
    }

    /// `cuKernelGetAttribute`
    fn cuKernelGetAttribute(out: *mut c_int, which: c_int, handle: usize, device: c_int) {
        let kernel = kernel(handle)?;
        let dynamic = limit(&kernel, device)?.load(Ordering::Acquire);
        put(out, attribute(driver()?, &kernel.program, kernel.version, dynamic, which)?)
    }

    /// `cuKernelSetAttribute`, for all contexts of a device.
    fn cuKernelSetAttribute(which: c_int, value: c_int, handle: usize, device: c_int) {
        let kernel = kernel(handle)?;
        set_attribute(driver()?, &kernel.program, limit(&kernel, device)?, which, value)
    }

    /// `cuKernelSetCacheConfig`; a preference, which nothing here depends on.
    fn cuKernelSetCacheConfig(handle: usize, _config: c_uint, device: c_int) {
        limit(&*kernel(handle)?, device).map(|_| ())
    }
}
