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
    let run = ["run", "--input", text(&big), "--output", text(&out), "--budget", "24MiB"];
    let peak = peak_kib(&[&run[..], &flags].concat());
    // The budget, plus the program itself with its threads, allocator slack and Parquet's pages and encoders.
    assert!(peak < (24 + 72) << 10, "peak {peak} KiB");
    eprintln!("peak {} MiB resident over an input of {} MiB", peak >> 10, size >> 20);
}

/// Runs to the end; the most memory that it had resident.
#[cfg(target_os = "linux")]
fn peak_kib(args: &[&str]) -> u64 {
    let mut child = super::warpline(args).stdout(std::process::Stdio::piped()).spawn().expect("starts");
    let status = format!("/proc/{}/status", child.id());
    let mut peak = 0u64;
    while child.try_wait().expect("a state").is_none() {
        let text = std::fs::read_to_string(&status).unwrap_or_default();
        let kib = text.lines().find_map(|l| l.strip_prefix("VmHWM:")?.trim().strip_suffix(" kB")?.trim().parse().ok());
        peak = peak.max(kib.unwrap_or(0));
        std::thread::sleep(std::time::Duration::from_millis(20));
    }
    let output = child.wait_with_output().expect("ends");
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stdout));
    peak
}

/// Rows that wait for their partition's row group are paid for as well, and no file is open but the one written to.
#[cfg(target_os = "linux")]
#[test]
fn three_hundred_partitions_stay_within_the_budget() {
    if !oracle::is_there() {
        return;
    }
    let root = folder();
    let big = root.path().join("big.parquet");
    let script = r#"
import sys, random, pyarrow as pa, pyarrow.parquet as pq
random.seed(1)
schema = pa.schema([("k", pa.int64()), ("data", pa.string())])
with pq.ParquetWriter(sys.argv[1], schema, compression="none", use_dictionary=False) as writer:
    for _ in range(300):
        data = random.randbytes(1 << 19).hex()
        rows = [data[i:i + 256] for i in range(0, len(data), 256)]
        writer.write_table(pa.table([[random.getrandbits(63) for _ in rows], rows], schema=schema))
"#;
    oracle::check(script, &[text(&big)]);
    let out = root.path().join("out");
    let run = ["run", "--input", text(&big), "--output", text(&out), "--budget", "96MiB", "--device", "host"];
    let flags = ["--partition-by", "k", "--partitions", "300"];
    let peak = peak_kib(&[&run[..], &flags].concat());
    assert!(peak < (96 + 72) << 10, "peak {peak} KiB");
    assert_eq!(super::names(&out).len(), 300);
    eprintln!("peak {} MiB resident over an input of 300 MiB in 300 partitions", peak >> 10);
}
