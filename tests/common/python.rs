//! A Python interpreter inside the test process, so that pyarrow can judge through the Arrow C Data interface.

use std::ffi::{CString, c_char, c_int};
use std::mem::ManuallyDrop;
use std::process::Command;

use libloading::os::unix::{Library, RTLD_GLOBAL, RTLD_NOW, Symbol};

/// The interpreter, once a process.
pub struct Python {
    /// Never closed: extension modules and their threads go on to call the interpreter.
    library: ManuallyDrop<Library>,
}

impl Python {
    /// Starts the `python3` of `PATH` from its shared library; an error says why there is none, or no pyarrow.
    pub fn start() -> Result<Python, String> {
        let report = "import sys, sysconfig as s, pyarrow; \
                      print(s.get_config_var('LIBDIR'), s.get_config_var('INSTSONAME'), sep='/'); print(sys.path)";
        let output = Command::new("python3").args(["-c", report]).output().map_err(|e| format!("python3: {e}"))?;
        if !output.status.success() {
            return Err("python3 cannot import pyarrow".into());
        }
        let text = String::from_utf8_lossy(&output.stdout).into_owned();
        let (path, sys_path) = text.trim().split_once('\n').ok_or("python3 said too little")?;
        // Global, because extension modules take the interpreter's symbols from the process.
        // SAFETY: CPython's library runs no code of consequence when it is loaded.
        let library = unsafe { Library::open(Some(path), RTLD_NOW | RTLD_GLOBAL) }.map_err(|e| e.to_string())?;
        let python = Python { library: ManuallyDrop::new(library) };
        // SAFETY: the signature is CPython's; 0 leaves signal handlers alone.
        unsafe { python.symbol::<unsafe extern "C" fn(c_int)>("Py_InitializeEx")(0) };
        python.run(&format!("import sys; sys.path[:] = {sys_path}"))?;
        Ok(python)
    }

    /// Runs statements in `__main__`. Call it from the thread that started the interpreter, which holds its lock.
    pub fn run(&self, code: &str) -> Result<(), String> {
        let text = CString::new(code).expect("no NUL in code");
        // SAFETY: the signature is CPython's, the text ends in NUL, and this thread holds the interpreter's lock.
        let status =
            unsafe { self.symbol::<unsafe extern "C" fn(*const c_char) -> c_int>("PyRun_SimpleString")(text.as_ptr()) };
        if status == 0 { Ok(()) } else { Err(format!("Python failed (its traceback is on stderr) in:\n{code}")) }
    }

    /// # Safety
    /// `F` must be the symbol's type.
    unsafe fn symbol<F>(&self, name: &str) -> Symbol<F> {
        // SAFETY: the caller vouches for the type.
        unsafe { self.library.get(name.as_bytes()) }.unwrap_or_else(|e| panic!("{name}: {e}"))
    }
}
