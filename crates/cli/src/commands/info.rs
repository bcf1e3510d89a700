//! `warpline info`: versions, driver, devices.

use std::fmt::Write as _;
use std::io::Write as _;

use serde_json::json;
use warpline::device::{DeviceState, SystemInfo};

use crate::args::InfoArgs;
use crate::exit::Failure;
use crate::{files, models};

/// Prints the state of this machine.
pub fn run(args: &InfoArgs) -> Result<(), Failure> {
    let info = SystemInfo::query()?;
    let text = if args.json {
        let mut value = serde_json::to_value(&info).unwrap_or_default();
        value["models"] = json!(models::runtimes());
        format!("{value:#}\n")
    } else {
        describe(&info)
    };
    files::to_stdout(|out| out.write_all(text.as_bytes()))
}

fn describe(info: &SystemInfo) -> String {
    let mut text = String::new();
    let mut line = |key: &str, value: &str| _ = writeln!(text, "{key:14}{value}");
    line("warpline", info.warpline);
    line("host", &format!("{} threads", info.host_threads));
    line("models", &models::runtimes().join(", "));
    match (info.driver_present, &info.driver, &info.cuda) {
        (false, ..) => line("CUDA driver", "none: everything runs on the host"),
        (true, Some(version), Some(cuda)) => line("CUDA driver", &format!("{version}, up to CUDA {cuda}")),
        (true, _, cuda) => line("CUDA driver", &format!("up to CUDA {}", cuda.as_deref().unwrap_or("unknown"))),
    }
    for device in &info.devices {
        for (key, value) in device_lines(device) {
            line(&key, &value);
        }
    }
    text
}

fn device_lines(device: &DeviceState) -> Vec<(String, String)> {
    let info = &device.info;
    let gib = |bytes: u64| bytes as f64 / (1u64 << 30) as f64;
    let (major, minor) = info.compute_capability;
    let mut lines = vec![
        (format!("cuda:{}", info.ordinal), format!("{}, compute capability {major}.{minor}", info.name)),
        ("  memory".into(), format!("{:.1} GiB, {:.1} free", gib(info.total_memory), gib(device.free_memory))),
        ("  cores".into(), format!("{} multiprocessors, rated {} MHz", info.multiprocessors, info.clock_khz / 1000)),
    ];
    let Some(sensors) = &device.sensors else { return lines };
    let reading = |value: Option<u32>, unit: &str| value.map_or_else(|| "?".into(), |v| format!("{v}{unit}"));
    let clocks = [reading(sensors.sm_clock_mhz, " MHz"), reading(sensors.memory_clock_mhz, " MHz memory")];
    let used = [reading(sensors.gpu_utilization, "%"), reading(sensors.memory_utilization, "% memory")];
    let power = sensors.power_mw.map_or_else(|| "?".into(), |mw| format!("{:.0} W", f64::from(mw) / 1000.0));
    lines.push(("  clocks".into(), clocks.join(", ")));
    lines.push(("  utilisation".into(), used.join(", ")));
    lines.push(("  sensors".into(), format!("{}, {power}", reading(sensors.temperature_c, " C"))));
    lines
}
