//! pyarrow as the judge: of files that it wrote, and of files that Warpline wrote.

use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::Arc;

use serde_json::{Map, Value, json};
use warpline::arrow::array::*;
use warpline::arrow::datatypes::*;
use warpline::parquet::{ParquetReader, ParquetWriter, WriteOptions};
use warpline::pipeline::{Bytes, ParquetSource, Pipeline};

fn golden() -> PathBuf {
    crate::common::root().join("tests/golden/parquet")
}

/// A value as `make_parquet.py` shows it.
fn shown(array: &dyn Array, row: usize) -> Value {
    if array.is_null(row) {
        return Value::Null;
    }
    match array.data_type() {
        DataType::Int64 => json!(array.as_primitive::<Int64Type>().value(row)),
        DataType::Int32 => json!(array.as_primitive::<Int32Type>().value(row)),
        DataType::Float64 => json!(array.as_primitive::<Float64Type>().value(row).to_bits() as i64),
        DataType::Float32 => json!(f64::from(array.as_primitive::<Float32Type>().value(row)).to_bits() as i64),
        DataType::Boolean => json!(array.as_boolean().value(row)),
        DataType::Utf8 => json!(array.as_string::<i32>().value(row)),
        DataType::Binary => hex(array.as_binary::<i32>().value(row)),
        DataType::LargeBinary => hex(array.as_binary::<i64>().value(row)),
        DataType::Dictionary(_, _) => {
            let dictionary = array.as_any_dictionary();
            shown(dictionary.values(), dictionary.normalized_keys()[row])
        }
        DataType::List(_) => all(&array.as_list::<i32>().value(row)),
        DataType::FixedSizeList(_, _) => all(&array.as_fixed_size_list().value(row)),
        DataType::Struct(fields) => {
            let children = array.as_struct().columns();
            let shown = fields.iter().zip(children).map(|(field, child)| (field.name().clone(), shown(child, row)));
            Value::Object(shown.collect::<Map<_, _>>())
        }
        other => panic!("no rule to show {other}"),
    }
}

fn all(array: &ArrayRef) -> Value {
    Value::Array((0..array.len()).map(|row| shown(array, row)).collect())
}

fn hex(bytes: &[u8]) -> Value {
    Value::String(bytes.iter().map(|byte| format!("{byte:02x}")).collect())
}

fn rows_of(batch: &RecordBatch) -> Vec<Value> {
    let schema = batch.schema();
    let row = |row| {
        let columns = schema.fields().iter().zip(batch.columns());
        Value::Object(columns.map(|(field, column)| (field.name().clone(), shown(column, row))).collect())
    };
    (0..batch.num_rows()).map(row).collect()
}

fn read(path: &Path, bytes: u64, rows: usize) -> Vec<Value> {
    let mut reader = ParquetReader::open(path).unwrap();
    let mut all = Vec::new();
    while let Some((first, batch)) = reader.next_batch(bytes, rows).unwrap() {
        assert_eq!(first as usize, all.len());
        assert!((1..=rows).contains(&batch.num_rows()));
        all.extend(rows_of(&batch));
    }
    all
}

fn parsed(lines: &str) -> Vec<Value> {
    lines.lines().map(|line| serde_json::from_str(line).unwrap()).collect()
}

#[test]
fn files_by_pyarrow_read_as_pyarrow_reads_them() {
    let expected = parsed(&std::fs::read_to_string(golden().join("rows.jsonl")).unwrap());
    for file in ["snappy_v1.parquet", "zstd_v2.parquet"] {
        for (bytes, rows) in [(1, 1), (500, 7), (2000, 100), (1 << 20, 40), (u64::MAX, usize::MAX)] {
            assert_eq!(read(&golden().join(file), bytes, rows), expected, "{file} {bytes} {rows}");
        }
    }
    assert!(read(&golden().join("empty.parquet"), 100, 100).is_empty());
}

#[test]
fn a_pipeline_over_several_files_reads_them_in_order() {
    let expected = parsed(&std::fs::read_to_string(golden().join("rows.jsonl")).unwrap());
    let files = ["snappy_v1.parquet", "empty.parquet", "zstd_v2.parquet"].map(|file| golden().join(file));
    let source = ParquetSource::open(&files).unwrap().columns(&["image", "id"]).unwrap();
    let out = Pipeline::from_source(source).batch_bytes(Bytes(700)).collect().unwrap();
    assert_eq!(out.report.rows_in, 200);
    let rows: Vec<Value> = out.batches.iter().flat_map(|b| rows_of(&b.to_record_batch().unwrap())).collect();
    for (row, (got, all)) in rows.iter().zip(expected.iter().chain(&expected)).enumerate() {
        assert_eq!((&got["id"], &got["image"]), (&all["id"], &all["image"]), "row {row}");
        assert_eq!(got.as_object().unwrap().len(), 2);
    }
}

/// What pyarrow reads from these files; `None`, with a note, where there is no pyarrow.
fn pyarrow(files: &[std::path::PathBuf]) -> Option<Vec<Value>> {
    let ready = Command::new("python3").args(["-c", "import pyarrow.parquet"]).output();
    if !ready.is_ok_and(|out| out.status.success()) {
        assert!(std::env::var_os("REQUIRE_PYARROW").is_none(), "REQUIRE_PYARROW is set, but python3 has no pyarrow");
        eprintln!("skipped: live comparison needs python3 with pyarrow");
        return None;
    }
    let script = golden().with_file_name("make_parquet.py");
    let out = Command::new("python3").arg(script).arg("--show").args(files).output().unwrap();
    assert!(out.status.success(), "{}", String::from_utf8_lossy(&out.stderr));
    Some(parsed(std::str::from_utf8(&out.stdout).unwrap()))
}

#[test]
fn what_warpline_writes_pyarrow_reads_the_same() {
    let folder = tempfile::tempdir().unwrap();
    let out = folder.path().join("out");
    let source = ParquetSource::open(&[golden().join("snappy_v1.parquet")]).unwrap();
    Pipeline::from_source(source).batch_bytes(Bytes(900)).write_parquet(&out).unwrap();
    let expected = parsed(&std::fs::read_to_string(golden().join("rows.jsonl")).unwrap());
    assert_eq!(read(&out.join("part-00000.parquet"), 5000, 50), expected);
    if let Some(rows) = pyarrow(&[out.join("part-00000.parquet")]) {
        assert_eq!(rows, expected);
    }
}

#[test]
fn tensors_are_fixed_shape_tensors_to_pyarrow() {
    let folder = tempfile::tempdir().unwrap();
    let out = folder.path().join("out");
    let values = Arc::new(Float32Array::from_iter_values((0..24).map(|i| i as f32 / 3.0)));
    let item = Arc::new(Field::new("item", DataType::Float32, false));
    let tensors = FixedSizeListArray::new(item, 6, values, Some(vec![true, false, true, true].into()));
    let metadata = [
        ("ARROW:extension:name", "arrow.fixed_shape_tensor"),
        ("ARROW:extension:metadata", r#"{"shape":[1,2,3],"dim_names":["C","H","W"]}"#),
    ];
    let field = Field::new("tensor", tensors.data_type().clone(), true)
        .with_metadata(metadata.map(|(key, value)| (key.to_string(), value.to_string())).into());
    let schema = Arc::new(Schema::new(vec![field.clone()]));
    let batch = RecordBatch::try_new(schema.clone(), vec![Arc::new(tensors)]).unwrap();
    let mut writer = ParquetWriter::create(&out, &schema, WriteOptions::default()).unwrap();
    writer.write(&batch).unwrap();
    writer.finish().unwrap();

    let file = out.join("part-00000.parquet");
    let mut reader = ParquetReader::open(&file).unwrap();
    assert_eq!(reader.schema().field(0).metadata(), field.metadata());
    assert_eq!(rows_of(&reader.next_batch(1 << 20, 100).unwrap().unwrap().1), rows_of(&batch));
    if let Some(rows) = pyarrow(std::slice::from_ref(&file)) {
        assert_eq!(rows, rows_of(&batch));
        let probe = "import sys, pyarrow.parquet as pq; print(pq.read_schema(sys.argv[1]).field(0).type)";
        let kind = Command::new("python3").args(["-c", probe]).arg(&file).output().unwrap();
        let kind = String::from_utf8(kind.stdout).unwrap();
        assert!(kind.contains("fixed_shape_tensor") && kind.contains("shape=[1,2,3]"), "{kind}");
    }
}
