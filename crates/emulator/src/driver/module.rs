//! Modules: PTX text in, kernels and device variables out.

use std::collections::HashMap;
use std::ffi::{CStr, CString, c_char, c_int, c_uint, c_void};
use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering};

use super::errors::code;
use super::library;
use super::state::*;
use crate::exec::code::Program;
use crate::lower::{self, Symbols};
use crate::mem::Kind;
use crate::ptx::{self, PtxError, Space};

/// Why a module was refused: the code and the text for the log.
pub(super) type Refusal = (i32, String);

fn errors(list: &[PtxError]) -> String {
    list.iter().map(|e| format!("PTX {e}")).collect::<Vec<_>>().join("\n")
}

/// Puts a module's variables into device memory with their initial values.
fn place_variables(
    d: &Driver,
    context: &Context,
    module: &ptx::Module,
) -> Result<HashMap<String, (u64, u64)>, Refusal> {
    let mut out = HashMap::new();
    let vars: Vec<_> = module.vars.iter().filter(|v| matches!(v.space, Space::Global | Space::Const)).collect();
    for v in &vars {
        if v.external {
            return Err((
                code::INVALID_PTX,
                format!("PTX line {}: {} is external; modules are not linked", v.line, v.name),
            ));
        }
        let at = d.arena.alloc(context.device, v.size.max(1), Kind::Module);
        let at = at.map_err(|_| (code::OUT_OF_MEMORY, format!("no memory for {}", v.name)))?;
        // SAFETY: the allocation is ours alone; memory may be reused, so it is cleared first.
        unsafe {
            (at as *mut u8).write_bytes(0, v.size as usize);
            if let Some(init) = &v.init {
                let n = init.bytes.len().min(v.size as usize);
                std::ptr::copy_nonoverlapping(init.bytes.as_ptr(), at as *mut u8, n);
            }
        }
        out.insert(v.name.clone(), (at, v.size));
    }
    for v in vars {
        let (at, size) = out[&v.name];
        for (offset, symbol, add) in v.init.iter().flat_map(|i| &i.addresses) {
            let target = match out.get(symbol) {
                Some((a, _)) => a.wrapping_add(*add as u64),
                None => match lower::function_address(module, symbol) {
                    Some(at) => at,
                    None => return Err((code::INVALID_PTX, format!("PTX line {}: unknown name {symbol}", v.line))),
                },
            };
            if *offset as u64 + 8 <= size {
                // SAFETY: inside the variable, as just checked.
                unsafe { ((at + *offset as u64) as *mut u64).write_unaligned(target) };
            }
        }
    }
    Ok(out)
}

fn target_allowed(target: &str, cc: (u32, u32)) -> bool {
    let digits: String = target.trim_start_matches("sm_").chars().take_while(char::is_ascii_digit).collect();
    digits.parse::<u32>().is_ok_and(|n| n <= cc.0 * 10 + cc.1)
}

/// Parses a module and sees whether the device can run it.
pub(super) fn read(d: &Driver, text: &str) -> Result<ptx::Module, Refusal> {
    let module = ptx::parse(text).map_err(|e| (code::INVALID_PTX, format!("PTX {e}")))?;
    if module.version.0 > 9 {
        return Err((code::UNSUPPORTED_PTX_VERSION, format!("PTX version {}.{}", module.version.0, module.version.1)));
    }
    if !target_allowed(&module.target, d.config.cc) {
        let (a, b) = d.config.cc;
        return Err((code::NO_BINARY_FOR_GPU, format!("the module is for {}, the device is sm_{a}{b}", module.target)));
    }
    Ok(module)
}

/// Lowers the kernels of a module whose variables are at these addresses.
pub(super) fn kernels(module: &ptx::Module, symbols: &Symbols) -> Result<Vec<Program>, Refusal> {
    let mut failed = Vec::new();
    let mut ready = Vec::new();
    for f in module.functions.iter().filter(|f| f.entry && f.defined) {
        match lower::lower(module, f, symbols) {
            Ok(program) => ready.push(program),
            Err(list) => failed.extend(list),
        }
    }
    if failed.is_empty() {
        return Ok(ready);
    }
    failed.sort_by(|a, b| (a.line, &a.message).cmp(&(b.line, &b.message)));
    failed.dedup();
    Err((code::INVALID_PTX, errors(&failed)))
}

/// Places a module into a context; `limit` gives what holds a kernel's limit of dynamic shared memory unless the
/// function has one of its own. Gives the module's handle.
pub(super) fn place(
    d: &Driver,
    context: &Arc<Context>,
    module: &ptx::Module,
    limit: impl Fn(&str) -> Arc<AtomicU32>,
) -> Result<usize, Refusal> {
    let globals = place_variables(d, context, module)?;
    let symbols = Symbols { memory: globals.iter().map(|(k, v)| (k.clone(), v.0)).collect() };
    let ready = kernels(module, &symbols).inspect_err(|_| {
        for (at, _) in globals.values() {
            // Just allocated here, so it can be freed.
            let _ = d.arena.free(*at);
        }
    })?;
    let mut functions = HashMap::new();
    for program in ready {
        let id = d.handle();
        functions.insert(program.name.clone(), id);
        let function = Function {
            context: context.clone(),
            // Names in PTX hold no NUL.
            name: CString::new(program.name.as_str()).unwrap_or_default(),
            inherited: limit(&program.name),
            program: Arc::new(program),
            max_dynamic: AtomicU32::new(0),
            version: module.version,
        };
        d.functions.lock().insert(id, Arc::new(function));
    }
    let id = d.handle();
    d.modules.lock().insert(id, Arc::new(Module { context: context.clone(), functions, globals }));
    Ok(id)
}

/// Drops a module with its kernels and variables.
pub(super) fn unload(d: &Driver, id: usize) {
    if let Some(m) = d.modules.lock().remove(&id) {
        let mut functions = d.functions.lock();
        for f in m.functions.values() {
            functions.remove(f);
        }
        for (at, _) in m.globals.values() {
            // Allocated by the module and freed only here.
            let _ = d.arena.free(*at);
        }
    }
}

/// The text of an image, or why it is none.
pub(super) unsafe fn image_text<'a>(image: *const c_void) -> Result<&'a str, Refusal> {
    if image.is_null() {
        return Err((code::INVALID_VALUE, "no image".into()));
    }
    // SAFETY: an image has at least four bytes, whatever its kind.
    let start = unsafe { image.cast::<[u8; 4]>().read_unaligned() };
    if start == [0x7f, b'E', b'L', b'F'] || start == [0x50, 0xed, 0x55, 0xba] {
        let why = "the image is a cubin or fat binary; the emulator runs PTX text only (compile with --ptx)";
        return Err((code::NO_BINARY_FOR_GPU, why.into()));
    }
    // SAFETY: PTX images end in a NUL byte, as the API says.
    let text = unsafe { CStr::from_ptr(image.cast()) };
    text.to_str().map_err(|_| (code::INVALID_IMAGE, "the image is no text".into()))
}

/// Buffers for the compiler's log among the options of `cuModuleLoadDataEx`.
pub(super) unsafe fn write_log(count: c_uint, options: *const c_uint, values: *const *mut c_void, text: &str) {
    const BUFFER: c_uint = 5;
    const SIZE: c_uint = 6;
    if options.is_null() || values.is_null() {
        return;
    }
    let (mut buffer, mut size) = (std::ptr::null_mut::<u8>(), 0usize);
    for i in 0..count as usize {
        // SAFETY: both arrays have `count` entries.
        let (option, value) = unsafe { (*options.add(i), *values.add(i)) };
        match option {
            BUFFER => buffer = value.cast(),
            SIZE => size = value as usize & 0xffff_ffff,
            _ => {}
        }
    }
    if !buffer.is_null() && size > 0 {
        let n = text.len().min(size - 1);
        // SAFETY: the caller's buffer has `size` bytes.
        unsafe {
            std::ptr::copy_nonoverlapping(text.as_ptr(), buffer, n);
            buffer.add(n).write(0);
        }
    }
}

unsafe fn load_image(image: *const c_void, log: impl FnOnce(&str)) -> Res<usize> {
    let (d, context) = (driver()?, current()?);
    // SAFETY: passed on.
    let loaded = unsafe { image_text(image) }
        .and_then(|text| read(d, text))
        .and_then(|module| place(d, &context, &module, |_| Arc::default()));
    loaded.map_err(|why| refuse(why, log))
}

/// Tells why a module was refused, and gives the code.
pub(super) fn refuse((error, text): Refusal, log: impl FnOnce(&str)) -> i32 {
    say(&text);
    log(&text);
    error
}

/// The function of a handle, which may be a kernel of a library: then it is that of the current context.
pub(super) fn function(handle: usize) -> Res<Arc<Function>> {
    let found = driver()?.functions.lock().get(&handle).cloned();
    match found {
        Some(f) => Ok(f),
        None => function_in(handle, &current()?),
    }
}

/// As [`function`], for a kernel in a certain context.
pub(super) fn function_in(handle: usize, context: &Arc<Context>) -> Res<Arc<Function>> {
    let d = driver()?;
    let own = d.functions.lock().get(&handle).cloned();
    let handle = match own {
        Some(f) => return Ok(f),
        None => library::function_of(d, handle, context)?,
    };
    d.functions.lock().get(&handle).cloned().ok_or(code::INVALID_HANDLE)
}

/// An attribute of a kernel whose limit of dynamic shared memory is `dynamic`, or 0 where none was set.
pub(super) fn attribute(d: &Driver, p: &Program, version: (u32, u32), dynamic: u32, attribute: c_int) -> Res<c_int> {
    let cc = d.config.cc;
    let value = match attribute {
        0 if p.max_threads == 0 => 1024,
        0 => p.max_threads.min(1024),
        1 => p.shared,
        2 => 0,
        3 => p.local,
        4 => p.registers,
        5 => version.0 * 10 + version.1,
        6 => cc.0 * 10 + cc.1,
        7 => 0,
        8 => dynamic.max((48 << 10) - p.shared.min(48 << 10)),
        9 => return Ok(-1),
        10..=15 => 0,
        _ => return Err(code::INVALID_VALUE),
    };
    Ok(value as c_int)
}

/// What setting an attribute changes: the limit of dynamic shared memory, or nothing.
pub(super) fn set_attribute(d: &Driver, p: &Program, dynamic: &AtomicU32, attribute: c_int, value: c_int) -> Res {
    match attribute {
        8 => {
            let most = super::device::shared_opt_in(d.config.cc);
            if value < 0 || (value as u32).saturating_add(p.shared) > most {
                return Err(code::INVALID_VALUE);
            }
            dynamic.store(value as u32, Ordering::Release);
            Ok(())
        }
        9 if (-1..=100).contains(&value) => Ok(()),
        _ => Err(code::INVALID_VALUE),
    }
}

pub(super) unsafe fn name_of<'a>(name: *const c_char) -> Res<&'a str> {
    if name.is_null() {
        return Err(code::INVALID_VALUE);
    }
    // SAFETY: a NUL-terminated string, as the API says.
    unsafe { CStr::from_ptr(name) }.to_str().map_err(|_| code::NOT_FOUND)
}

exports! {
    /// `cuModuleLoadData`
    fn cuModuleLoadData(out: *mut usize, image: *const c_void) {
        writable(out)?;
        put(out, load_image(image, |_| {})?)
    }

    /// `cuModuleLoadDataEx`; errors go to the log buffer too.
    fn cuModuleLoadDataEx(
        out: *mut usize,
        image: *const c_void,
        count: c_uint,
        options: *const c_uint,
        values: *const *mut c_void,
    ) {
        writable(out)?;
        put(out, load_image(image, |text| write_log(count, options, values, text))?)
    }

    /// `cuModuleLoadFatBinary`; always refused, with the reason.
    fn cuModuleLoadFatBinary(out: *mut usize, image: *const c_void) {
        writable(out)?;
        put(out, load_image(image, |_| {})?)
    }

    /// `cuModuleLoad`
    fn cuModuleLoad(out: *mut usize, path: *const c_char) {
        current()?;
        writable(out)?;
        let path = std::path::Path::new(name_of(path)?);
        let mut bytes = std::fs::read(path).map_err(|_| code::FILE_NOT_FOUND)?;
        bytes.extend([0; 4]);
        put(out, load_image(bytes.as_ptr().cast(), |_| {})?)
    }

    /// `cuModuleUnload`
    fn cuModuleUnload(handle: usize) {
        let d = driver()?;
        let module = d.modules.lock().get(&handle).cloned().ok_or(code::INVALID_HANDLE)?;
        check(&module.context)?;
        d.safe_in_capture()?;
        module.context.synchronize();
        unload(d, handle);
        Ok(())
    }

    /// `cuModuleGetFunction`
    fn cuModuleGetFunction(out: *mut usize, handle: usize, name: *const c_char) {
        current()?;
        let module = driver()?.modules.lock().get(&handle).cloned().ok_or(code::INVALID_HANDLE)?;
        put(out, *module.functions.get(name_of(name)?).ok_or(code::NOT_FOUND)?)
    }

    /// `cuModuleGetGlobal_v2`
    fn cuModuleGetGlobal_v2(at: *mut u64, size: *mut usize, handle: usize, name: *const c_char) {
        current()?;
        let module = driver()?.modules.lock().get(&handle).cloned().ok_or(code::INVALID_HANDLE)?;
        let (a, n) = *module.globals.get(name_of(name)?).ok_or(code::NOT_FOUND)?;
        if !at.is_null() {
            put(at, a)?;
        }
        if !size.is_null() {
            put(size, n as usize)?;
        }
        Ok(())
    }

    /// `cuFuncGetAttribute`
    fn cuFuncGetAttribute(out: *mut c_int, which: c_int, handle: usize) {
        let f = function(handle)?;
        put(out, attribute(driver()?, &f.program, f.version, f.max_dynamic(), which)?)
    }

    /// `cuFuncSetAttribute`
    fn cuFuncSetAttribute(handle: usize, which: c_int, value: c_int) {
        let f = function(handle)?;
        set_attribute(driver()?, &f.program, &f.max_dynamic, which, value)
    }

    /// `cuFuncSetCacheConfig`; a preference, which nothing here depends on.
    fn cuFuncSetCacheConfig(handle: usize, _config: c_uint) {
        function(handle).map(|_| ())
    }

    /// `cuFuncGetModule`
    fn cuFuncGetModule(out: *mut usize, handle: usize) {
        function(handle)?;
        let modules = driver()?.modules.lock();
        let owner = modules.iter().find(|(_, m)| m.functions.values().any(|f| *f == handle));
        put(out, *owner.ok_or(code::INVALID_HANDLE)?.0)
    }

    /// `cuFuncGetName`; the name lives as long as the module.
    fn cuFuncGetName(out: *mut *const c_char, handle: usize) {
        put(out, function(handle)?.name.as_ptr())
    }

    /// `cuFuncIsLoaded`; modules are loaded at once.
    fn cuFuncIsLoaded(out: *mut c_int, handle: usize) {
        function(handle)?;
        put(out, 1)
    }

    /// `cuFuncLoad`
    fn cuFuncLoad(handle: usize) {
        function(handle).map(|_| ())
    }

    /// `cuModuleGetFunctionCount`
    fn cuModuleGetFunctionCount(out: *mut c_uint, handle: usize) {
        let module = driver()?.modules.lock().get(&handle).cloned().ok_or(code::INVALID_HANDLE)?;
        put(out, module.functions.len() as c_uint)
    }

    /// `cuModuleGetLoadingMode`: eager.
    fn cuModuleGetLoadingMode(out: *mut c_uint) {
        driver()?;
        put(out, 1)
    }

    /// `cuFuncGetParamCount`
    fn cuFuncGetParamCount(handle: usize, out: *mut usize) {
        put(out, function(handle)?.program.params.len())
    }

    /// `cuFuncGetParamInfo`
    fn cuFuncGetParamInfo(handle: usize, index: usize, offset: *mut usize, size: *mut usize) {
        let f = function(handle)?;
        let (at, n) = *f.program.params.get(index).ok_or(code::INVALID_VALUE)?;
        put(offset, at as usize)?;
        if !size.is_null() {
            put(size, n as usize)?;
        }
        Ok(())
    }
}
