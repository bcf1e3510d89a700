//! `warpline run --partition-by`: the rows of every file against Spark's rule, written out in Python, and DataFusion.

use super::{folder, names, oracle, refuse, succeed, text};

/// Numbers and strings with nulls, negative and repeated.
const TABLE: &str = r#"
import sys, random
import pyarrow as pa, pyarrow.parquet as pq
random.seed(8)
some = lambda value, n: [None if random.random() < 0.1 else value() for _ in range(n)]
rows = 5000
table = pa.table({"k": pa.array(some(lambda: random.randrange(-2**40, 2**40) % 900 - 450, rows), pa.int64()),
                  "s": pa.array(some(lambda: "caf\u00e9 and more"[:random.randrange(15)], rows), pa.string()),
                  "row": range(rows)})
pq.write_table(table, sys.argv[1], row_group_size=700)
"#;

/// MurmurHash3_x86_32 as Spark has it, and its pmod.
const SPARK: &str = r#"
import sys, glob, struct
import pyarrow as pa, pyarrow.parquet as pq
source, out, count = sys.argv[1], sys.argv[2], int(sys.argv[3])
M = 0xffffffff
rotl = lambda x, r: ((x << r) | (x >> (32 - r))) & M
def mix(h, k):
    k = rotl(k * 0xcc9e2d51 & M, 15) * 0x1b873593 & M
    return (rotl(h ^ k, 13) * 5 + 0xe6546b64) & M
def murmur3(data, seed):
    h, whole = seed, len(data) // 4 * 4
    for i in range(0, whole, 4):
        h = mix(h, int.from_bytes(data[i:i + 4], "little"))
    for byte in data[whole:]:
        h = mix(h, (byte - 256 if byte > 127 else byte) & M)
    h ^= len(data)
    h = (h ^ h >> 16) * 0x85ebca6b & M
    h = (h ^ h >> 13) * 0xc2b2ae35 & M
    return h ^ h >> 16
def partition(k, s):
    h = 42
    if k is not None:
        h = murmur3(struct.pack("<q", k), h)
    if s is not None:
        h = murmur3(s.encode(), h)
    return (h - 2**32 if h > 2**31 - 1 else h) % count  # Python's remainder is the positive one
table = pq.read_table(source)
wanted = [[] for _ in range(count)]
for row, (k, s) in enumerate(zip(table["k"].to_pylist(), table["s"].to_pylist())):
    wanted[partition(k, s)].append(row)
files = sorted(glob.glob(out + "/*.parquet"))
assert len(files) == count and files[-1].endswith("/part-%05d.parquet" % (count - 1)), files
assert sum(map(len, wanted)) == len(table) and any(wanted)
for file, rows in zip(files, wanted):
    assert pq.read_table(file).equals(table.take(pa.array(rows, pa.int64()))), (file, len(rows))
"#;

/// Where DataFusion's groups come out when it repartitions by the key.
const DATAFUSION: &str = r#"
import sys, glob
import datafusion, pyarrow.parquet as pq
source, out, count = sys.argv[1], sys.argv[2], int(sys.argv[3])
context = datafusion.SessionContext(datafusion.SessionConfig().with_target_partitions(count))
batches = pq.read_table(source).to_batches(max_chunksize=50)
context.register_record_batches("t", [batches[i::count] for i in range(count)])
frame = context.sql("SELECT k, count(*) FROM t GROUP BY k")
assert f"Hash([k@0], {count})" in frame.execution_plan().display_indent()
theirs = [{} for _ in range(count)]
for found, stream in zip(theirs, frame.execute_stream_partitioned()):
    for batch in stream:
        found.update(zip(*(column.to_pylist() for column in batch.to_pyarrow().columns)))
for file, found in zip(sorted(glob.glob(out + "/*.parquet")), theirs, strict=True):
    keys = pq.read_table(file)["k"].to_pylist()
    assert found == {key: keys.count(key) for key in set(keys)}, file
"#;

#[test]
fn partitions_equal_spark_and_datafusion() {
    if !oracle::has("datafusion") {
        return;
    }
    let root = folder();
    let source = root.path().join("source.parquet");
    oracle::check(TABLE, &[text(&source)]);
    let cases = [("spark", "k,s", "13", SPARK), ("spark", "k,s", "1", SPARK), ("datafusion", "k", "7", DATAFUSION)];
    for (scheme, keys, count, script) in cases {
        let out = root.path().join(format!("{scheme}-{count}"));
        let run =
            ["run", "--device", "host", "--input", text(&source), "--output", text(&out), "--batch-bytes", "9KiB"];
        succeed(&[&run[..], &["--partition-by", keys, "--partitions", count, "--hash", scheme]].concat());
        oracle::check(script, &[text(&source), text(&out), count]);
    }
    assert_eq!(names(root.path()), ["datafusion-7", "source.parquet", "spark-1", "spark-13"]);
}

#[test]
fn mistakes_about_partitions() {
    if !oracle::is_there() {
        return;
    }
    let root = folder();
    let [source, out] = ["source.parquet", "out"].map(|name| root.path().join(name));
    oracle::check(TABLE, &[text(&source)]);
    let run = ["run", "--device", "host", "--input", text(&source), "--output", text(&out)];
    let refused = |flags: &[&str], code, parts: &[&str]| refuse(&[&run[..], flags].concat(), code, parts);
    refused(&["--partition-by", "nowhere", "--partitions", "4"], 3, &["'nowhere'", "k, s, row"]);
    let few = ["--partition-by", "k", "--partitions", "1000", "--budget", "64MiB"];
    refused(&few, 3, &["1000 partitions need", "memory"]);
    assert_eq!(names(root.path()), ["source.parquet"]);
}
