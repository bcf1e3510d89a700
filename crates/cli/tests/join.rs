//! `warpline run --join`: rows of every join type against DataFusion's SQL.

use super::{folder, oracle, succeed, text, warpline};

/// Two tables with nulls, keys that repeat, and keys of two integer types, of text and of floats.
const TABLES: &str = r#"
import sys, random
import pyarrow as pa, pyarrow.parquet as pq
random.seed(5)
some = lambda values, n: [None if random.random() < 0.1 else random.choice(values) for _ in range(n)]
def table(rows, number, integer):
    floats = [0.0, -0.0, float("nan"), 1.5, -2.5]
    return pa.table({"k": pa.array(some(range(40), rows), integer), "s": some(["", "a", "bc", "caf\u00e9"], rows),
                     "f": pa.array(some(floats, rows), pa.float64()), number: range(rows)})
pq.write_table(table(3000, "row", pa.int32()), sys.argv[1], row_group_size=700)
pq.write_table(table(500, "number", pa.uint8()), sys.argv[2])
"#;

const COMPARE: &str = r#"
import sys, glob
import datafusion, pyarrow as pa, pyarrow.parquet as pq
left, right, out, keys, kind, condition = sys.argv[1:]
ours = pa.concat_tables([pq.read_table(f) for f in sorted(glob.glob(out + "/*.parquet"))])
context = datafusion.SessionContext()
context.register_parquet("a", left)
context.register_parquet("b", right)
on = " AND ".join(f"a.{k} = b.{k}" for k in keys.split(","))
on += f" AND {condition}" if condition else ""
name = {"semi": "LEFT SEMI", "anti": "LEFT ANTI", "mark": "LEFT SEMI"}.get(kind, kind.replace("-", " ").upper())
pairs = kind in ("inner", "left", "right", "full")
columns = '"row" NULLS LAST, number' if pairs else "number" if "right" in kind else '"row"'
sql = f"SELECT {columns.replace(' NULLS LAST', '')} FROM a {name} JOIN b ON {on} ORDER BY {columns}"
theirs = pa.Table.from_batches(context.sql(sql).collect()).to_pydict()
if "right-" in kind:
    assert 0 < len(theirs["number"]) < 500
    assert ours.column_names == ["k", "s", "f", "number"]
    assert ours["number"].to_pylist() == theirs["number"]
    assert ours["s"].to_pylist() == pq.read_table(right)["s"].take(ours["number"]).to_pylist()
    sys.exit()
rows = ours["row"].to_pylist()
assert theirs["row"] and len(theirs["row"]) != 3000, len(theirs["row"])
if kind == "mark":
    assert rows == list(range(3000))
    assert [r for r, m in zip(rows, ours["mark"].to_pylist()) if m] == theirs["row"]
else:
    assert rows == theirs["row"], (len(rows), len(theirs["row"]))
    assert not pairs or ours["number"].to_pylist() == theirs["number"]
    # The keys go along, those of the file where no row of the input has a part.
    texts = pq.read_table(left)["s"].take(pa.array([r for r in rows if r is not None])).to_pylist()
    if None in rows:
        texts += pq.read_table(right)["s"].take(ours["number"][len(texts):]).to_pylist()
    assert ours["s"].to_pylist() == texts
"#;

#[test]
fn join_types_equal_datafusion() {
    if !oracle::has("datafusion") {
        return;
    }
    let root = folder();
    let [left, right] = ["left.parquet", "right.parquet"].map(|name| root.path().join(name));
    oracle::check(TABLES, &[text(&left), text(&right)]);
    for (keys, kinds) in [
        ("k", &["inner"][..]),
        ("k,s,f", &["inner", "left", "right", "full", "semi", "anti", "right-semi", "right-anti", "mark"]),
    ] {
        for kind in kinds {
            let out = root.path().join(format!("{keys}-{kind}"));
            let tables =
                ["run", "--device", "host", "--input", text(&left), "--join", text(&right), "--output", text(&out)];
            succeed(&[&tables[..], &["--on", keys, "--join-type", kind]].concat());
            oracle::check(COMPARE, &[text(&left), text(&right), text(&out), keys, kind, ""]);
        }
    }
    // A budget that the file does not fit: by partitions, the same rows in the same order.
    for kind in ["inner", "full", "anti", "right-semi"] {
        let out = root.path().join(format!("partitioned-{kind}"));
        let tables =
            ["run", "--device", "host", "--input", text(&left), "--join", text(&right), "--output", text(&out)];
        let small = ["--on", "k,s,f", "--join-type", kind, "--budget", "100000"];
        let args = [&tables[..], &small].concat();
        let lost = root.path().join("no such folder");
        let refused = warpline(&args).env("TMPDIR", &lost).output().expect("warpline starts");
        let message = String::from_utf8_lossy(&refused.stderr);
        assert!(!refused.status.success() && message.contains(text(&lost)) && !out.exists(), "{message}");
        succeed(&args);
        oracle::check(COMPARE, &[text(&left), text(&right), text(&out), "k,s,f", kind, ""]);
    }
    let condition = "row % 7 <> number % 7";
    for kind in ["inner", "left", "right", "full", "semi", "anti", "right-semi", "right-anti", "mark"] {
        let out = root.path().join(format!("filtered-{kind}"));
        let tables =
            ["run", "--device", "host", "--input", text(&left), "--join", text(&right), "--output", text(&out)];
        succeed(&[&tables[..], &["--on", "k,s,f", "--join-type", kind, "--join-filter", condition]].concat());
        let sql = condition.replace("row", "a.\"row\"");
        oracle::check(COMPARE, &[text(&left), text(&right), text(&out), "k,s,f", kind, &sql]);
    }
}
