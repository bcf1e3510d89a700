//! `cargo xtask report`: a page in docs/results from what a run of the bundle wrote.

use std::fmt::Write;
use std::fs;
use std::path::PathBuf;

use anyhow::{Context, Result};
use serde_json::Value;

use crate::workspace;

/// Options of `cargo xtask report`.
#[derive(clap::Args)]
pub struct Args {
    /// The `result.json` of `run.sh`.
    file: PathBuf,
    /// The folder of the page, `docs/results` unless said.
    #[arg(long)]
    output: Option<PathBuf>,
}

/// Writes `<device>-<date>.md`.
pub fn run(args: &Args) -> Result<()> {
    let text = fs::read_to_string(&args.file).with_context(|| format!("cannot read {}", args.file.display()))?;
    let result: Value = serde_json::from_str(&text).with_context(|| format!("{} is no JSON", args.file.display()))?;
    let folder = args.output.clone().unwrap_or_else(|| workspace::root().join("docs/results"));
    fs::create_dir_all(&folder)?;
    let path = folder.join(file_name(&result));
    fs::write(&path, page(&result)?)?;
    println!("{}", path.display());
    Ok(())
}

fn file_name(result: &Value) -> String {
    let device = result["calibration"]["device"]["name"].as_str().unwrap_or("unknown-device");
    let date = result["run"]["date"].as_str().unwrap_or("").get(..10).unwrap_or("unknown-date");
    let device: String =
        device.chars().map(|c| if c.is_ascii_alphanumeric() { c.to_ascii_lowercase() } else { '-' }).collect();
    format!("{device}-{date}.md")
}

fn page(result: &Value) -> Result<String> {
    let (device, run, bundle) = (&result["calibration"]["device"], &result["run"], &result["bundle"]);
    let mut page = String::new();
    writeln!(page, "# {}, {}\n", text(&device["name"]), text(&run["date"]))?;
    if run["emulated"] == true {
        writeln!(page, "**A rehearsal on the emulator: nothing here was timed, and nothing ran on a GPU.**\n")?;
    }
    writeln!(
        page,
        "Commit {}{}, PTX sha256 {}.",
        text(&bundle["commit"]),
        changed(bundle),
        text(&bundle["ptx_sha256"])
    )?;
    writeln!(page, "Made by `cargo xtask report` from the result of the bundle's `run.sh`.\n")?;
    machine(&mut page, &result["calibration"])?;
    tests(&mut page, &result["tests"])?;
    benches(&mut page, result)?;
    nan(&mut page, &result["calibration"]["nan"])?;
    Ok(page)
}

fn changed(bundle: &Value) -> &'static str {
    if bundle["changed"] == true { " with uncommitted changes" } else { "" }
}

fn machine(page: &mut String, calibration: &Value) -> Result<()> {
    let (device, system) = (&calibration["device"], &calibration["system"]);
    writeln!(page, "## Machine\n\n| what | figure |\n|---|---|")?;
    let capability = &device["compute_capability"];
    writeln!(page, "| compute capability | {}.{} |", capability[0], capability[1])?;
    writeln!(page, "| multiprocessors | {} |", device["multiprocessors"])?;
    writeln!(page, "| driver | {}, CUDA {} |", text(&system["driver"]), text(&system["cuda"]))?;
    let mut row = |name: &str, value: &Value, unit: &str| writeln!(page, "| {name} | {} |", figure(value, unit));
    row("device-to-device copy, read plus written", &calibration["copy_gb_s"], "GB/s")?;
    row("host to device, pinned", &calibration["pcie_gb_s"]["host_to_device"], "GB/s")?;
    row("device to host, pinned", &calibration["pcie_gb_s"]["device_to_host"], "GB/s")?;
    row("random gather of 8-byte values", &calibration["random_gather_g_rows_s"], "billion a second")?;
    row("empty kernel, one behind the other", &calibration["launch_us"]["device"], "us")?;
    row("launch call on the host", &calibration["launch_us"]["host"], "us")?;
    for (module, ms) in calibration["jit_ms"].as_object().into_iter().flatten() {
        row(&format!("compiling module {module}"), ms, "ms")?;
    }
    writeln!(page)?;
    Ok(())
}

fn tests(page: &mut String, tests: &Value) -> Result<()> {
    writeln!(page, "## Tests\n\n| suite | passed | failed | ignored |\n|---|---|---|---|")?;
    for suite in tests.as_array().into_iter().flatten() {
        match suite["skipped"].as_str() {
            Some(why) => writeln!(page, "| {} | skipped: {why} | | |", text(&suite["suite"]))?,
            None => {
                let [passed, failed, ignored] = ["passed", "failed", "ignored"].map(|key| &suite[key]);
                writeln!(page, "| {} | {passed} | {failed} | {ignored} |", text(&suite["suite"]))?;
            }
        }
    }
    writeln!(page)?;
    Ok(())
}

/// Our device benches, each with the peers that did the same work, and the time that its bytes take at the speed of a
/// copy.
fn benches(page: &mut String, result: &Value) -> Result<()> {
    let peers: Vec<&Value> = result["peers"].as_array().into_iter().flatten().collect();
    let copy = result["calibration"]["copy_gb_s"].as_f64();
    writeln!(page, "## Benches\n")?;
    writeln!(
        page,
        "Medians by CUDA events. The roofline is the time of a copy of the fewest bytes that the work moves.\n"
    )?;
    writeln!(page, "| work | ours | roofline | of it | peer | its time | ours is faster by | its result |")?;
    writeln!(page, "|---|---|---|---|---|---|---|---|")?;
    let ours = result["benches"].as_array().into_iter().flatten();
    for bench in ours.filter(|bench| bench["function"].as_str().is_some_and(|f| f.contains("cuda"))) {
        let Some(ns) = bench["median_ns"].as_f64() else { continue };
        let name = format!("{} {}", text(&bench["group"]), text(&bench["value"]));
        let roofline = bench["throughput"]["Bytes"].as_f64().zip(copy).map(|(bytes, copy)| bytes / copy);
        let share = roofline.map_or("".to_owned(), |floor| format!("{:.0}%", 100.0 * floor / ns));
        let floor = roofline.map_or("".to_owned(), time);
        let same = |peer: &&&Value| peer["group"] == bench["group"] && peer["value"] == bench["value"];
        let mut beside = peers.iter().filter(same).peekable();
        if beside.peek().is_none() {
            writeln!(page, "| {name} | {} | {floor} | {share} | | | | |", time(ns))?;
        }
        for peer in beside {
            let theirs = peer["median_ns"].as_f64().unwrap_or(f64::NAN);
            let equal = if peer["equal"] == true { "equal" } else { "differs" };
            let note = peer["note"].as_str().map(|note| format!(", {note}")).unwrap_or_default();
            writeln!(
                page,
                "| {name} | {} | {floor} | {share} | {} {} | {} | {:.2} | {equal}{note} |",
                time(ns),
                text(&peer["peer"]),
                text(&peer["version"]),
                time(theirs),
                theirs / ns
            )?;
        }
    }
    writeln!(page)?;
    for peer in peers.iter().filter(|peer| peer["skipped"].is_string()) {
        writeln!(page, "- {}: skipped: {}", text(&peer["peer"]), text(&peer["skipped"]))?;
    }
    writeln!(page)?;
    Ok(())
}

fn nan(page: &mut String, nan: &Value) -> Result<()> {
    writeln!(page, "## What makes which NaN\n\n| operation | operands | result |\n|---|---|---|")?;
    for made in nan.as_array().into_iter().flatten() {
        let operands: Vec<&str> = made["operands"].as_array().into_iter().flatten().filter_map(Value::as_str).collect();
        writeln!(page, "| `{}` | {} | {} |", text(&made["op"]), operands.join(", "), text(&made["result"]))?;
    }
    Ok(())
}

fn text(value: &Value) -> &str {
    value.as_str().unwrap_or("unknown")
}

fn figure(value: &Value, unit: &str) -> String {
    value.as_f64().map_or("not measured".to_owned(), |figure| format!("{figure:.2} {unit}"))
}

fn time(ns: f64) -> String {
    match ns {
        ns if ns >= 1e6 => format!("{:.2} ms", ns / 1e6),
        ns => format!("{:.1} us", ns / 1e3),
    }
}
