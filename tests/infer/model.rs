//! `Model` over columns, with backends written for the purpose whose answer is plain arithmetic.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use arrow::array::{Array, ArrayRef, AsArray, FixedSizeListArray, Float32Array, Int64Array, RecordBatch};
use arrow::buffer::NullBuffer;
use arrow::datatypes::{DataType, Field, Float32Type, Int64Type, Schema};
use warpline::image::{DType, Layout, TensorSpec};
use warpline::infer::{Backend, Model, Port, Tensor};
use warpline::{Batch, Error, ExecCtx, Result};

/// Outputs `sums` [N, 3] (each channel's sum) and `index` [N] (how many ones), and checks what it is given.
struct Sums {
    input: Port,
    calls: Arc<AtomicUsize>,
}

impl Sums {
    fn new(rows: Option<usize>) -> (Self, Arc<AtomicUsize>) {
        let calls = Arc::new(AtomicUsize::new(0));
        let shape = vec![rows, Some(3), None, Some(2)];
        let input = Port { name: "pixels".into(), data_type: DataType::Float32, shape };
        (Sums { input, calls: calls.clone() }, calls)
    }
}

impl Backend for Sums {
    fn name(&self) -> &str {
        "sums.onnx"
    }

    fn input(&self) -> &Port {
        &self.input
    }

    fn outputs(&self, input: &[usize]) -> Result<Vec<Port>> {
        assert_eq!(input.len(), 4);
        let port = |name: &str, data_type, shape| Port { name: name.into(), data_type, shape };
        Ok(vec![
            port("sums", DataType::Float32, vec![None, Some(3)]),
            port("index", DataType::Int64, vec![Some(input[0])]),
        ])
    }

    fn run(&self, input: &Tensor) -> Result<Vec<Tensor>> {
        self.calls.fetch_add(1, Ordering::SeqCst);
        let values = input.values.as_primitive::<Float32Type>().values();
        assert_eq!(values.len(), input.shape.iter().product::<usize>());
        let plane = input.shape[2] * input.shape[3];
        let sums: ArrayRef =
            Arc::new(values.chunks_exact(plane).map(|p| p.iter().sum::<f32>()).collect::<Float32Array>());
        let ones = |row: &[f32]| row.iter().filter(|v| **v == 1.0).count() as i64;
        let index: ArrayRef = Arc::new(values.chunks_exact(3 * plane).map(ones).collect::<Int64Array>());
        let rows = input.shape[0];
        Ok(vec![Tensor { shape: vec![rows, 3], values: sums }, Tensor { shape: vec![rows], values: index }])
    }
}

const ROW: usize = 3 * 4 * 2;

/// Rows of 3 x 4 x 2 with element e of row r being r + e, nulls where `valid` says.
fn batch(valid: &[bool]) -> Batch {
    let spec = TensorSpec::new(2, 4, DType::F32, Layout::Nchw).expect("a spec");
    let values: ArrayRef =
        Arc::new(Float32Array::from_iter_values((0..valid.len() * ROW).map(|i| (i / ROW + i % ROW) as f32)));
    let DataType::FixedSizeList(item, size) = spec.data_type() else { panic!("a list") };
    let nulls = Some(NullBuffer::from(valid.to_vec()));
    let tensors: ArrayRef = Arc::new(FixedSizeListArray::new(item, size, values, nulls));
    let ids: ArrayRef = Arc::new(Int64Array::from_iter_values(0..valid.len() as i64));
    let schema = Schema::new(vec![
        Field::new("id", DataType::Int64, false),
        spec.field("image"),
        Field::new("n", DataType::Int64, false),
    ]);
    Batch::from_record_batch(&RecordBatch::try_new(Arc::new(schema), vec![ids.clone(), tensors, ids]).expect("a batch"))
}

#[test]
fn any_batch_size_and_any_nulls_give_the_same_rows() {
    let ctx = ExecCtx::host(3).expect("a context");
    for rows in [0usize, 1, 15, 16, 17, 33, 100] {
        for pattern in [1usize, 2, 3, 7] {
            let valid: Vec<bool> = (0..rows).map(|r| pattern == 1 || r % pattern != 0).collect();
            let input = batch(&valid);
            for size in [1usize, 4, 16, 64] {
                let (backend, calls) = Sums::new(None);
                let model = Model::new(backend).with_batch_size(size).expect("a size");
                let out = model.run(&ctx, &input, "image").expect("runs");
                assert_eq!(out.schema(), &model.schema(input.schema(), "image").expect("a schema"));
                let names: Vec<&str> = out.schema().fields().iter().map(|f| f.name().as_str()).collect();
                assert_eq!(names, ["id", "sums", "index", "n"]);
                let sums = out.column("sums").expect("sums").to_array().expect("host");
                let index = out.column("index").expect("index").to_array().expect("host");
                let (sums, index) = (sums.as_fixed_size_list(), index.as_primitive::<Int64Type>());
                for (row, valid) in valid.iter().enumerate() {
                    assert_eq!((sums.is_valid(row), index.is_valid(row)), (*valid, *valid));
                    let expected: Vec<f32> = match valid {
                        true => (0..3).map(|c| (0..8).map(|e| (row + 8 * c + e) as f32).sum()).collect(),
                        false => vec![0.0; 3],
                    };
                    assert_eq!(sums.value(row).as_primitive::<Float32Type>().values().to_vec(), expected);
                    assert_eq!(index.value(row), i64::from(*valid && row <= 1));
                }
                let count = valid.iter().filter(|v| **v).count();
                assert_eq!(calls.load(Ordering::SeqCst), count.div_ceil(size));
            }
        }
    }
}

#[test]
fn a_slice_is_its_rows() {
    let ctx = ExecCtx::host(1).expect("a context");
    let whole = batch(&[true, false, true, true, true, true, false, true]).to_record_batch().expect("host");
    let (backend, _) = Sums::new(None);
    let model = Model::new(backend).with_batch_size(2).expect("a size");
    let all =
        model.run(&ctx, &Batch::from_record_batch(&whole), "image").expect("runs").to_record_batch().expect("host");
    let part = model.run(&ctx, &Batch::from_record_batch(&whole.slice(2, 5)), "image").expect("runs");
    assert_eq!(part.to_record_batch().expect("host"), all.slice(2, 5));
}

#[test]
fn a_shape_that_does_not_fit_is_one_line_with_both() {
    let (backend, _) = Sums::new(None);
    let model = Model::new(backend);
    let spec = TensorSpec::new(224, 224, DType::F32, Layout::Nchw).expect("a spec");
    let wrong = |field: Field| {
        let error = model.schema(&Schema::new(vec![field]), "image").expect_err("does not fit");
        assert!(matches!(error, Error::InvalidInput { .. }));
        error.to_string()
    };
    assert_eq!(
        wrong(spec.field("image")),
        "infer: column 'image': sums.onnx: its input 'pixels' (Float32 [?, 3, ?, 2]) does not take the tensor \
         (f32 [N, 3, 224, 224]): change --resize, --crop, --layout or --dtype"
    );
    let half = TensorSpec::new(2, 9, DType::BF16, Layout::Nchw).expect("a spec");
    assert!(wrong(half.field("image")).contains("(bf16 [N, 3, 9, 2])"));
    assert!(wrong(Field::new("image", DataType::Binary, true)).contains("a tensor column is needed"));
    assert!(wrong(Field::new("other", DataType::Binary, true)).contains("no such column; there are: other"));
}

#[test]
fn a_fixed_batch_is_kept_and_clashing_names_are_refused() {
    let (backend, calls) = Sums::new(Some(4));
    let model = Model::new(backend);
    assert_eq!(model.batch_size(), 4);
    let ctx = ExecCtx::host(1).expect("a context");
    model.run(&ctx, &batch(&[true; 9]), "image").expect("runs");
    assert_eq!(calls.load(Ordering::SeqCst), 3);
    assert!(model.clone().with_batch_size(4).is_ok());
    assert!(model.clone().with_batch_size(5).expect_err("fixed").to_string().contains("takes batches of 4 rows"));
    assert!(model.with_batch_size(0).is_err());

    let (backend, _) = Sums::new(None);
    let input = batch(&[true]).to_record_batch().expect("host");
    let renamed = RecordBatch::try_from_iter([("sums", input.column(0).clone())]).expect("a batch");
    let fields = vec![renamed.schema().field(0).clone(), input.schema().field(1).clone()];
    let error = Model::new(backend).schema(&Schema::new(fields), "image").expect_err("a clash");
    assert!(error.to_string().contains("column 'sums'"), "{error}");
}
