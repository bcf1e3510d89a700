//! Arrow C Data: round trips here, and pyarrow as the other side and as the judge of filter and gather.

use std::sync::Arc;

use arrow::array::{Array, Int64Array, StructArray};
use arrow::datatypes::{DataType, Field, Schema};
use arrow::ffi::{FFI_ArrowArray, FFI_ArrowSchema};
use warpline::column::interop::{
    export_batch, export_column, export_stream, import_batch, import_column, import_stream,
};
use warpline::{Batch, Column, Error, ExecCtx, ops};

use crate::common::assert_same;
use crate::common::cells::cells;
use crate::common::python::Python;
use crate::common::samples::{NULLS, Nulls, SIZES, every_type, mask};

#[test]
fn every_type_survives_export_and_import() {
    for (seed, rows) in SIZES.into_iter().enumerate() {
        for nulls in NULLS {
            for skip in [0, 5] {
                let batch = every_type(rows, nulls, skip, seed as u64);
                let (array, schema) = export_batch(&batch).expect("export");
                // SAFETY: the structures come from `export_batch`.
                let back = unsafe { import_batch(array, &schema) }.expect("import");
                assert_same(&back, &batch);
                assert_eq!(back.schema().metadata(), batch.schema().metadata());
            }
        }
    }
}

#[test]
fn columns_and_streams_survive_too() {
    let batch = every_type(100, Nulls::Some, 3, 1);
    for (field, column) in batch.schema().fields().iter().zip(batch.columns()) {
        let (array, schema) = export_column(column, field).expect("export");
        // SAFETY: the structures come from `export_column`.
        let (back, back_field) = unsafe { import_column(array, &schema) }.expect("import");
        assert_eq!(&back_field, field.as_ref());
        assert_eq!(cells(&back.to_array().expect("host")), cells(&column.to_array().expect("host")));
    }
    let parts: Vec<Batch> = (0..3).map(|seed| every_type(10 + seed, Nulls::Some, 1, seed as u64)).collect();
    let stream = export_stream(batch.schema().clone(), parts.clone().into_iter().map(Ok));
    // SAFETY: the stream comes from `export_stream`.
    let (schema, batches) = unsafe { import_stream(stream) }.expect("import");
    assert_eq!(&schema, batch.schema());
    let batches: Vec<Batch> = batches.collect::<Result<_, _>>().expect("batches");
    assert_eq!(batches.len(), parts.len());
    batches.iter().zip(&parts).for_each(|(left, right)| assert_same(left, right));
}

#[test]
fn what_breaks_the_rules_is_an_error() {
    // Offsets that run past the bytes, and back: arrow-rs makes such an array only when told not to look. The last one is
    // true, because the interface has no lengths: it is what tells how many bytes there are.
    let builder = arrow::array::ArrayData::builder(DataType::Utf8)
        .len(2)
        .add_buffer(arrow::buffer::Buffer::from_slice_ref([0i32, 99, 3]))
        .add_buffer(arrow::buffer::Buffer::from(b"abc"));
    // SAFETY: never read as an array; the import below must refuse it.
    let bad = unsafe { builder.build_unchecked() };
    let schema = FFI_ArrowSchema::try_from(&Field::new("s", DataType::Utf8, true)).expect("schema");
    // SAFETY: pointers and lengths of the buffers are true; only the offsets lie.
    let error = unsafe { import_column(FFI_ArrowArray::new(&bad), &schema) }.expect_err("offsets past the end");
    assert!(matches!(error, Error::Arrow { .. }), "{error}");

    let numbers = Int64Array::from(vec![1, 2]);
    let field = Arc::new(Field::new("n", DataType::Int64, true));
    let nulls = arrow::buffer::NullBuffer::from(vec![true, false]);
    let rows = StructArray::new(vec![field].into(), vec![Arc::new(numbers)], Some(nulls));
    let schema = FFI_ArrowSchema::try_from(rows.data_type()).expect("schema");
    // SAFETY: both structures come from arrow-rs.
    let error = unsafe { import_batch(FFI_ArrowArray::new(&rows.to_data()), &schema) }.expect_err("null rows");
    assert!(matches!(error, Error::InvalidInput { .. }), "{error}");

    let wrong = Schema::new(vec![Field::new("other", DataType::Int8, true)]);
    let batch = every_type(3, Nulls::None, 0, 1);
    let error = export_column(&batch.columns()[1], wrong.field(0)).expect_err("another type");
    assert!(matches!(error, Error::InvalidInput { .. }), "{error}");
}

/// Types that pyarrow has no Python type for.
const NOT_IN_PYARROW: [&str; 2] = ["months", "days"];

/// Columns with views in them, which pyarrow 26 reads and writes but has no filter or take for.
const NOT_SELECTED: [&str; 4] = ["binary_view", "utf8_view", "struct", "list_of_structs"];

#[test]
fn pyarrow_reads_writes_and_agrees_on_filter_and_gather() {
    let python = match Python::start() {
        Ok(python) => python,
        Err(why) => return eprintln!("skipped: {why}"),
    };
    python.run("import pyarrow as pa, pyarrow.compute as pc").expect("pyarrow imports");
    let ctx = ExecCtx::host(2).expect("host");
    for (rows, nulls, skip) in [(0, Nulls::None, 0), (1, Nulls::All, 3), (200, Nulls::Some, 5), (1000, Nulls::None, 1)]
    {
        let batch = without(&every_type(rows, nulls, skip, 9), &NOT_IN_PYARROW);
        let back = through(&python, &[&batch], "a.validate(full=True); out = a");
        assert_same(&back, &batch);

        let mask = Column::from_array(Arc::new(mask(rows, 40, Nulls::Some, 2, 10)));
        let indices = (0..rows as i64 * 2).map(|i| (i % 5 != 0).then_some(i * 7919 % rows.max(1) as i64));
        let indices = Column::from_array(Arc::new(Int64Array::from_iter(indices)));
        let selectable = without(&batch, &NOT_SELECTED);
        let theirs = through(&python, &[&selectable, &one("m", &mask)], "out = a.filter(b.column(0))");
        same_cells(&theirs, &ops::filter(&ctx, &selectable, &mask).expect("filter"));
        let theirs = through(&python, &[&selectable, &one("i", &indices)], "out = a.take(b.column(0))");
        same_cells(&theirs, &ops::gather(&ctx, &selectable, &indices).expect("gather"));
    }
}

/// Hands batches to Python as `a`, `b`, runs the code, and takes the batch `out` back.
fn through(python: &Python, batches: &[&Batch], code: &str) -> Batch {
    let mut text = String::new();
    let mut exported: Vec<_> = batches.iter().map(|batch| export_batch(batch).expect("export")).collect();
    for (name, (array, schema)) in ["a", "b"].into_iter().zip(&mut exported) {
        text += &format!("{name} = pa.RecordBatch._import_from_c({}, {})\n", &raw mut *array as usize, {
            &raw mut *schema as usize
        });
    }
    let (mut array, mut schema) = (FFI_ArrowArray::empty(), FFI_ArrowSchema::empty());
    text += code;
    text += &format!("\nout._export_to_c({}, {})", &raw mut array as usize, &raw mut schema as usize);
    python.run(&text).expect("pyarrow");
    // SAFETY: pyarrow filled both structures.
    unsafe { import_batch(array, &schema) }.expect("import")
}

fn same_cells(theirs: &Batch, ours: &Batch) {
    for ((field, left), right) in ours.schema().fields().iter().zip(theirs.columns()).zip(ours.columns()) {
        let cells = |column: &Column| cells(&column.to_array().expect("host"));
        assert_eq!(cells(left), cells(right), "{}", field.name());
    }
}

fn one(name: &str, column: &Column) -> Batch {
    let schema = Schema::new(vec![Field::new(name, column.data_type().clone(), true)]);
    Batch::try_new(Arc::new(schema), vec![column.clone()], column.len(), column.placement()).expect("one column")
}

fn without(batch: &Batch, names: &[&str]) -> Batch {
    let records = batch.to_record_batch().expect("host");
    let keep: Vec<usize> =
        (0..records.num_columns()).filter(|&i| !names.contains(&records.schema().field(i).name().as_str())).collect();
    Batch::from_record_batch(&records.project(&keep).expect("project"))
}
