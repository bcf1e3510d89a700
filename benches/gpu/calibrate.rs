//! What the machine can do at most, and what its arithmetic gives where the standard leaves a choice.

use std::path::Path;
use std::time::Instant;

use serde_json::{Map, Value, json};
use warpline::arrow::array::UInt32Array;
use warpline::device::{CudaCtx, SystemInfo};
use warpline::{Column, ExecCtx, ops};

use super::driver::Driver;
use crate::ops::{one_column, random};

/// Bytes of a copy: far past any L2 cache.
const COPY: usize = 1 << 30;
/// Repeats of a measurement, of which the median counts.
const REPEATS: usize = 15;

/// Measures device 0 and writes what it found as JSON. On the emulator every time is null.
pub fn run(file: &Path) {
    let ctx = ExecCtx::cuda(0).expect("device 0");
    let cuda = ctx.as_cuda().expect("a device context");
    let real = !cuda.info().emulated;
    let driver = Driver::open();
    let facts = json!({
        "device": cuda.info(),
        "system": SystemInfo::query().expect("the system answers"),
        "nan": nan_makers(cuda),
        "copy_gb_s": real.then(|| copy(cuda, &driver)),
        "pcie_gb_s": real.then(|| pcie(cuda, &driver)),
        "random_gather_g_rows_s": real.then(|| random_gather(&ctx)),
        "launch_us": launches(cuda, &driver, real),
        "jit_ms": modules(cuda, &driver, real),
    });
    std::fs::write(file, serde_json::to_string_pretty(&facts).expect("JSON")).expect("the file is written");
}

/// Milliseconds of device time that `work` takes, the median of several.
fn device_ms(cuda: &CudaCtx, mut work: impl FnMut()) -> f64 {
    work();
    let mut times: Vec<f32> = (0..REPEATS)
        .map(|_| {
            let start = cuda.stream().record_timed().expect("an event");
            work();
            let end = cuda.stream().record_timed().expect("an event");
            end.synchronize().expect("the work ends");
            start.elapsed_ms(&end).expect("done")
        })
        .collect();
    times.sort_by(f32::total_cmp);
    f64::from(times[REPEATS / 2])
}

/// Gigabytes read plus written a second by a device-to-device copy.
fn copy(cuda: &CudaCtx, driver: &Driver) -> f64 {
    let from = cuda.allocate_zeroed("calibrate", COPY).expect("memory").freeze();
    let mut to = cuda.allocate("calibrate", COPY).expect("memory");
    let (from, to) = (from.for_stream(cuda.stream()).expect("order"), to.for_stream(cuda.stream()).expect("order"));
    // SAFETY: both buffers have COPY bytes and live until after the last measurement.
    let ms = device_ms(cuda, || unsafe {
        driver.on_device(to.pointer(), from.pointer(), COPY, cuda.stream().as_raw());
    });
    2.0 * COPY as f64 / ms / 1e6
}

/// Gigabytes a second from and to pinned memory.
fn pcie(cuda: &CudaCtx, driver: &Driver) -> Value {
    let bytes = COPY / 4;
    let mut there = cuda.allocate_zeroed("calibrate", bytes).expect("memory");
    let there = there.for_stream(cuda.stream()).expect("order");
    let here = driver.pinned(bytes);
    let rate = |ms: f64| bytes as f64 / ms / 1e6;
    let raw = cuda.stream().as_raw();
    // SAFETY: both sides have that many bytes and live until after the last measurement.
    let up = device_ms(cuda, || unsafe { driver.to_device(there.pointer(), &here, bytes, raw) });
    // SAFETY: as above.
    let down = device_ms(cuda, || unsafe { driver.to_host(&here, there.pointer(), bytes, raw) });
    json!({ "host_to_device": rate(up), "device_to_host": rate(down) })
}

/// Billions of 8-byte values a second that our gather takes from random places of 512 MiB.
fn random_gather(ctx: &ExecCtx) -> f64 {
    let rows = 1 << 26;
    let mut next = random(9);
    let indices = UInt32Array::from_iter_values((0..rows / 4).map(|_| (next() % rows as u64) as u32));
    let batch = one_column(rows).to(ctx).expect("upload");
    let indices = Column::from_array(std::sync::Arc::new(indices)).to(ctx).expect("upload");
    let ms = device_ms(ctx.as_cuda().expect("a device"), || {
        ops::gather(ctx, &batch, &indices).expect("a gather");
    });
    (rows / 4) as f64 / ms / 1e6
}

const EMPTY: &str = ".version 8.0\n.target sm_75\n.address_size 64\n\
                     .visible .entry empty(.param .u64 p) .maxntid 1, 1, 1 { ret; }\n";

/// Microseconds per launch of an empty kernel: on the device one behind the other, and for the host to give one.
fn launches(cuda: &CudaCtx, driver: &Driver, real: bool) -> Value {
    let count = if real { 1000 } else { 10 };
    let empty = driver.load(EMPTY, "empty");
    let mut host_us = 0.0;
    let mut work = || {
        let start = Instant::now();
        for _ in 0..count {
            // SAFETY: the kernel reads nothing.
            unsafe { driver.launch(&empty, 0, cuda.stream().as_raw()) };
        }
        host_us = start.elapsed().as_secs_f64() * 1e6 / f64::from(count);
    };
    let device_us = if real {
        Some(device_ms(cuda, &mut work) * 1e3 / f64::from(count))
    } else {
        work();
        None
    };
    cuda.finish("calibrate").expect("the launches end");
    driver.unload(empty);
    json!({ "device": device_us, "host": real.then_some(host_us) })
}

/// Milliseconds in which the driver compiles each of our modules (run with `CUDA_CACHE_DISABLE=1`).
fn modules(cuda: &CudaCtx, driver: &Driver, real: bool) -> Value {
    let root =
        std::env::var_os("CARGO_MANIFEST_DIR").map_or(env!("CARGO_MANIFEST_DIR").into(), std::path::PathBuf::from);
    let mut files: Vec<_> =
        std::fs::read_dir(root.join("ptx")).expect("ptx/").map(|e| e.expect("a file").path()).collect();
    files.retain(|path| path.extension().is_some_and(|e| e == "ptx"));
    files.sort();
    let mut times = Map::new();
    for path in files {
        let ptx = std::fs::read_to_string(&path).expect("PTX");
        // expr.ptx holds functions alone, which are loaded as parts of emitted kernels.
        let Some(entry) = ptx.split(".entry ").nth(1).and_then(|rest| rest.split('(').next()).map(str::trim) else {
            continue;
        };
        cuda.stream().synchronize("calibrate").expect("a context");
        let start = Instant::now();
        let function = driver.load(&ptx, entry);
        let ms = start.elapsed().as_secs_f64() * 1e3;
        driver.unload(function);
        let name = path.file_stem().expect("a name").to_string_lossy().into_owned();
        times.insert(name, json!(real.then_some(ms)));
    }
    Value::Object(times)
}

/// Operations that make a NaN: instruction, operands as bits, register class.
const NAN_MAKERS: [(&str, &str, [u64; 3]); 12] = [
    ("div.rn.f32", "f32", [0, 0, 0]),
    ("mul.rn.f32", "f32", [0, 0x7f80_0000, 0]),
    ("add.rn.f32", "f32", [0x7f80_0000, 0xff80_0000, 0]),
    ("sub.rn.f32", "f32", [0x7f80_0000, 0x7f80_0000, 0]),
    ("fma.rn.f32", "f32", [0, 0x7f80_0000, 0x3f80_0000]),
    ("sqrt.rn.f32", "f32", [0xbf80_0000, 0, 0]),
    ("add.rn.f32", "f32", [0x7fa0_1234, 0x3f80_0000, 0]),
    ("min.f32", "f32", [0x7fa0_1234, 0x7fc0_0001, 0]),
    ("div.rn.f64", "f64", [0, 0, 0]),
    ("sub.rn.f64", "f64", [0x7ff0 << 48, 0x7ff0 << 48, 0]),
    ("sqrt.rn.f64", "f64", [0xbff0 << 48, 0, 0]),
    ("add.rn.f64", "f64", [0xfff8_0000_0000_1234, 0x3ff0 << 48, 0]),
];

/// The bits that each of them gives here.
fn nan_makers(cuda: &CudaCtx) -> Value {
    let mut body = String::new();
    for (i, (op, class, bits)) in NAN_MAKERS.iter().enumerate() {
        let (register, digits, width) = if *class == "f32" { ("%f", "0f", 8) } else { ("%d", "0d", 16) };
        let operands = if op.starts_with("sqrt") {
            1
        } else if op.starts_with("fma") {
            3
        } else {
            2
        };
        for (k, bits) in bits.iter().take(operands).enumerate() {
            // Through memory, so that no compiler folds the operation.
            body += &format!("mov.{class} {register}{k}, {digits}{bits:0width$X};\n");
            body += &format!("st.volatile.global.{class} [%rd1+{}], {register}{k};\n", 8 * k);
        }
        for k in 0..operands {
            body += &format!("ld.volatile.global.{class} {register}{k}, [%rd1+{}];\n", 8 * k);
        }
        let list: Vec<String> = (0..operands).map(|k| format!("{register}{k}")).collect();
        body += &format!("{op} {register}3, {};\n", list.join(", "));
        body += &format!("st.global.{class} [%rd1+{}], {register}3;\n", 64 + 8 * i);
    }
    let ptx = format!(
        ".version 8.0\n.target sm_75\n.address_size 64\n.visible .entry nan_makers(.param .u64 p) .maxntid 1, 1, 1 {{\n\
         .reg .f32 %f<4>;\n.reg .f64 %d<4>;\n.reg .b64 %rd<3>;\n\
         ld.param.u64 %rd0, [p];\ncvta.to.global.u64 %rd1, %rd0;\n{body}ret;\n}}\n"
    );
    let module = warpline::device::UserModule::from_ptx(cuda, "nan_makers", &ptx).expect("the module loads");
    let mut out = cuda.allocate_zeroed("calibrate", 64 + 8 * NAN_MAKERS.len()).expect("memory");
    let grid = warpline::device::Grid::cover("calibrate", 1, 1).expect("a grid");
    // SAFETY: the kernel takes one pointer and writes within the buffer.
    unsafe { module.launch(cuda, "nan_makers", grid, vec![warpline::device::UserArg::Out(&mut out)]) }
        .expect("a launch");
    let bytes = cuda.download("calibrate", &out.freeze()).expect("the results");
    let made = NAN_MAKERS.iter().enumerate().map(|(i, (op, class, operands))| {
        let cell: [u8; 8] = bytes[64 + 8 * i..][..8].try_into().expect("8 bytes");
        let (bits, digits) = (u64::from_le_bytes(cell), if *class == "f32" { 8 } else { 16 });
        let operands: Vec<String> = operands.iter().map(|b| format!("{b:#x}")).collect();
        json!({ "op": op, "operands": operands, "result": format!("{bits:#0width$x}", width = digits + 2) })
    });
    Value::Array(made.collect())
}
