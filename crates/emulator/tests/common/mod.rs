//! Runs a test body in a process of its own with the emulator in place of the driver.

use std::path::PathBuf;
use std::process::Command;
use std::sync::Arc;

use cudarc::driver::{CudaContext, CudaFunction, CudaModule, CudaSlice, CudaStream};
use cudarc::nvrtc::Ptx;

const CHILD: &str = "WARPLINE_EMULATOR_TEST_CHILD";

/// Whether this is the process with the emulator.
pub fn in_child() -> bool {
    std::env::var_os(CHILD).is_some()
}

/// The shared library, which cargo builds beside the test binary.
fn library() -> PathBuf {
    let exe = std::env::current_exe().expect("the test binary has a path");
    let deps = exe.parent().expect("it lies in a folder");
    let found = [deps.join("libwarpline_emulator.so"), deps.join("../libwarpline_emulator.so")];
    found.into_iter().find(|p| p.exists()).expect("cargo has built the shared library")
}

/// Runs `body` in a child process under the emulator with extra environment variables; gives the child's stderr.
///
/// `name` is the full name of the test that calls this.
pub fn emulated_with(name: &str, env: &[(&str, &str)], body: impl FnOnce()) -> String {
    emulated_output(name, env, body).1
}

/// As [`emulated_with`]; gives the child's stdout and stderr.
pub fn emulated_output(name: &str, env: &[(&str, &str)], body: impl FnOnce()) -> (String, String) {
    if in_child() {
        body();
        return Default::default();
    }
    let folder = tempfile::tempdir().expect("a temporary folder");
    for link in ["libcuda.so", "libcuda.so.1"] {
        std::os::unix::fs::symlink(library(), folder.path().join(link)).expect("a link");
    }
    let mut command = Command::new(std::env::current_exe().expect("the test binary has a path"));
    command.args(["--exact", name, "--nocapture", "--test-threads=1"]);
    command.env(CHILD, "1").env("LD_LIBRARY_PATH", folder.path()).envs(env.iter().copied());
    let output = command.output().expect("the child runs");
    let err = String::from_utf8_lossy(&output.stderr).into_owned();
    let out = String::from_utf8_lossy(&output.stdout).into_owned();
    assert!(output.status.success(), "child failed:\n{out}\n{err}");
    assert!(out.contains("1 passed"), "no such test: {name}");
    (out, err)
}

/// As [`emulated_with`], once in plain order and once under a seed.
pub fn emulated(name: &str, body: impl Fn()) {
    emulated_with(name, &[], &body);
    if !in_child() {
        for seed in ["7", "1234567"] {
            emulated_with(name, &[("WARPLINE_EMULATOR_SEED", seed)], &body);
        }
    }
}

/// A context with the kernels of a PTX text.
pub struct Gpu {
    pub context: Arc<CudaContext>,
    pub stream: Arc<CudaStream>,
    module: Arc<CudaModule>,
}

impl Gpu {
    pub fn new(ptx: &str) -> Gpu {
        let context = CudaContext::new(0).expect("a context");
        assert_eq!(context.name().expect("a name"), "Warpline emulator");
        let module = context.load_module(Ptx::from_src(ptx)).expect("the module loads");
        Gpu { stream: context.new_stream().expect("a stream"), context, module }
    }

    /// Memory that nothing has written.
    pub fn undefined(&self, n: usize) -> CudaSlice<u32> {
        // SAFETY: whoever reads it is caught.
        unsafe { self.stream.alloc(n) }.expect("memory")
    }

    pub fn kernel(&self, name: &str) -> CudaFunction {
        self.module.load_function(name).expect("the kernel exists")
    }
}

/// Launches a kernel of a test file with arguments that fit it.
#[macro_export]
macro_rules! launch {
    ($stream:expr, $kernel:expr, $config:expr $(, $arg:expr)* $(,)?) => {
        match ($stream.launch_builder($kernel), $config) {
            (mut builder, config) => {
                $(builder.arg($arg);)*
                // SAFETY: the arguments have the types of the kernel's parameters; defects are planted on purpose, and
                // the emulator catches them.
                unsafe { builder.launch(config) }
            }
        }
    };
}
