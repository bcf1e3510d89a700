//! `warpline cat`: every format read back by pyarrow, filters judged by it.

use super::{data, folder, oracle, refuse, succeed, text};

#[test]
fn every_format_reads_back_as_the_input() {
    if !oracle::is_there() {
        return;
    }
    let (_, images, labels) = data();
    let root = folder();
    let script = r#"
import sys, json, pyarrow as pa, pyarrow.parquet as pq, pyarrow.csv as csv, pyarrow.compute as pc
source, folder = sys.argv[1:]
want = pq.read_table(source).select(["caption", "id", "jpeg", "captured_at"])
want = want.filter(pc.and_(pc.greater(pq.read_table(source)["width"], 100), pc.is_valid(want["caption"])))
assert 5 < len(want) < 60
for got in (pq.read_table(folder + "/out.parquet"), pa.ipc.open_file(folder + "/out.arrow").read_all(),
            pa.ipc.open_stream(folder + "/stdout.arrow").read_all()):
    assert got.combine_chunks() == want.combine_chunks(), (got.schema, want.schema)
rows = [json.loads(line) for line in open(folder + "/out.json")]
assert [row["id"] for row in rows] == want["id"].to_pylist()
assert [row["caption"] for row in rows] == want["caption"].to_pylist()
assert [bytes.fromhex(row["jpeg"]) for row in rows] == want["jpeg"].to_pylist()
got = csv.read_csv(folder + "/out.csv")
assert got.column_names == want.column_names
assert got["id"].to_pylist() == want["id"].to_pylist()
assert got["caption"].to_pylist() == want["caption"].to_pylist()
"#;
    let common = [
        "--columns",
        "caption,id,jpeg,captured_at",
        "--filter",
        "width > 100 AND caption IS NOT NULL",
        "--device",
        "host",
    ];
    for format in ["parquet", "arrow", "json", "csv"] {
        let out = root.path().join(format!("out.{format}"));
        let mut args = vec!["cat", text(images), "--format", format, "-o", text(&out)];
        args.extend(common);
        succeed(&args);
    }
    let mut args = vec!["cat", text(images), "--format", "arrow"];
    args.extend(common);
    std::fs::write(root.path().join("stdout.arrow"), succeed(&args).stdout).expect("writes");
    oracle::check(script, &[text(images), text(root.path())]);
    let table = String::from_utf8(succeed(&["cat", text(labels), "--limit", "3"]).stdout).expect("UTF-8");
    assert_eq!(table.lines().count(), 7, "{table}");
    assert!(table.contains("| class |") || table.contains(" class "), "{table}");
}

#[test]
fn a_table_shows_sizes_of_bytes_and_says_what_it_leaves_out() {
    let (_, images, _) = data();
    let output = succeed(&["cat", text(images), "--columns", "jpeg", "--device", "host"]);
    let (out, err) = (String::from_utf8_lossy(&output.stdout), String::from_utf8_lossy(&output.stderr));
    assert!(out.lines().filter(|l| l.contains(" bytes>")).count() == 50, "{out}");
    assert!(err.contains("only the first 50 rows"), "{err}");
}

#[test]
fn mistakes() {
    let (_, images, _) = data();
    refuse(&["cat", text(images), "--columns", "id,nope"], 3, &["images.parquet", "no column 'nope'", "captured_at"]);
    refuse(&["cat", text(images), "--filter", "width >"], 2, &["cannot parse 'width >'"]);
    refuse(&["cat", text(images), "--filter", "wide > 3"], 3, &["'wide'", "there are: id"]);
    refuse(&["cat", text(images), "--filter", "caption > 3"], 3, &["Utf8", "Int64"]);
    refuse(&["cat", "/no/such/file.parquet"], 3, &["/no/such/file.parquet", "No such file"]);
    let root = folder();
    let garbage = root.path().join("garbage.parquet");
    std::fs::write(&garbage, "PAR1 this is no Parquet PAR1").expect("writes");
    refuse(&["cat", text(&garbage)], 3, &["garbage.parquet"]);
}

/// A limit that is met with the last row of a batch ends the reading: what follows in this file cannot be read.
#[test]
fn a_limit_that_is_met_reads_no_further() {
    use arrow::array::{ArrayRef, Int64Array, RecordBatch};
    let root = folder();
    let path = root.path().join("half.parquet");
    // Plain pages, so that nothing at the file's beginning tells of what is behind.
    let properties = parquet::file::properties::WriterProperties::builder()
        .set_max_row_group_row_count(Some(4096))
        .set_dictionary_enabled(false)
        .build();
    let numbers: ArrayRef = std::sync::Arc::new(Int64Array::from_iter_values(0..8192));
    let batch = RecordBatch::try_from_iter([("n", numbers)]).expect("a batch");
    let mut file = Vec::new();
    let mut writer =
        parquet::arrow::ArrowWriter::try_new(&mut file, batch.schema(), Some(properties)).expect("a writer");
    writer.write(&batch).expect("writes");
    let metadata = writer.close().expect("closes");
    let second = metadata.row_group(1).column(0).data_page_offset() as usize;
    file[second..][..16].fill(0xff);
    std::fs::write(&path, &file).expect("writes");
    let lines = |args: &[&str]| {
        let common = ["cat", text(&path), "--format", "csv", "--device", "host"];
        String::from_utf8(succeed(&[&common[..], args].concat()).stdout).expect("UTF-8").lines().count()
    };
    assert_eq!(lines(&["--limit", "4096"]), 4097);
    assert_eq!(lines(&["--limit", "2048", "--filter", "n % 2 = 1"]), 2049);
    refuse(&["cat", text(&path), "--format", "csv", "--limit", "4097"], 3, &["half.parquet"]);
    let out = root.path().join("out");
    let run = ["run", "--input", text(&path), "--device", "host", "--output", text(&out)];
    succeed(&[&run[..], &["--limit", "100", "--batch-bytes", "1KiB", "--budget", "64MiB"]].concat());
    let part = out.join("part-00000.parquet");
    let written = ["cat", text(&part), "--format", "csv", "--device", "host"];
    assert_eq!(String::from_utf8(succeed(&written).stdout).expect("UTF-8").lines().count(), 101);
}
