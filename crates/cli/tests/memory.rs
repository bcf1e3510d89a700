//! Memory stays flat over an input ten times the budget.

use super::{folder, oracle, succeed, text};

#[cfg(target_os = "linux")]
#[test]
fn an_input_of_ten_budgets_stays_within_one() {
    if !oracle::is_there() {
        return;
    }
    let root = folder();
    let small = root.path().join("small");
    succeed(&["demo", "--data-only", "--rows", "700", "--output", text(&small)]);
    // Each image again and again, with bytes after its end that decoders skip: 240 MiB of input for a budget of 24 MiB.
    let script = r#"
import sys, pyarrow as pa, pyarrow.parquet as pq
table = pq.read_table(sys.argv[1]).select(["id", "jpeg"])
schema, total = table.schema, 0
with pq.ParquetWriter(sys.argv[2], schema, compression="none", use_dictionary=False) as writer:
    while total < 240 << 20:
        jpegs = [j + bytes(60000) for j in table["jpeg"].to_pylist()]
        writer.write_table(pa.table([table["id"], pa.array(jpegs, pa.large_binary())], schema=schema), row_group_size=128)
        total += sum(map(len, jpegs))
"#;
    let big = root.path().join("big.parquet");
    oracle::check(script, &[text(&small.join("images.parquet")), text(&big)]);
    let size = std::fs::metadata(&big).expect("a file").len();
    assert!(size >= 240 << 20, "{size}");

    let out = root.path().join("out");
    let flags = ["--resize", "40", "--crop", "32", "--dtype", "u8", "--on-error", "null", "--device", "host"];
    let mut child = super::warpline(&["run", "--input", text(&big), "--output", text(&out), "--budget", "24MiB"])
        .args(flags)
        .stdout(std::process::Stdio::piped())
        .spawn()
        .expect("starts");
    let status = format!("/proc/{}/status", child.id());
    let mut peak = 0u64;
    while child.try_wait().expect("a state").is_none() {
        let text = std::fs::read_to_string(&status).unwrap_or_default();
        let kib = text.lines().find_map(|l| l.strip_prefix("VmHWM:")?.trim().strip_suffix(" kB")?.trim().parse().ok());
        peak = peak.max(kib.unwrap_or(0));
        std::thread::sleep(std::time::Duration::from_millis(20));
    }
    let output = child.wait_with_output().expect("ends");
    let told = String::from_utf8_lossy(&output.stdout);
    assert!(output.status.success(), "{told}");
    // The budget, plus the program itself with its threads, allocator slack and Parquet's pages and encoders.
    assert!(peak < (24 + 72) << 10, "peak {peak} KiB\n{told}");
    eprintln!("peak {} MiB resident over an input of {} MiB", peak >> 10, size >> 20);
}
