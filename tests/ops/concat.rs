//! Concat against a naive reading of the inputs and against arrow-rs, on the host and on every device there is.

use std::sync::Arc;

use arrow::array::*;
use arrow::compute::concat_batches;
use arrow::datatypes::{DataType, Field, Int8Type, Schema};
use proptest::prelude::*;
use warpline::device::CountLaunches;
use warpline::{Batch, Column, Error, ExecCtx, ops};

use super::same_everywhere;
use crate::common::cells::{Cell, cells};
use crate::common::samples::{NULLS, Nulls, Random, each_column, every_type, only, wide};
use crate::common::{assert_same, cases, contexts, golden, peak_under_plan, with_device};

/// Joins everywhere, compares with the naive reading and the places with each other.
fn check(batches: &[Batch]) {
    let column = |i: usize| -> Vec<Cell> {
        batches.iter().flat_map(|batch| cells(&batch.columns()[i].to_array().expect("host"))).collect()
    };
    let expected: Vec<_> = (0..batches[0].columns().len()).map(column).collect();
    let run = |ctx: &ExecCtx| {
        let there: Vec<_> = batches.iter().map(|batch| batch.to(ctx).expect("upload")).collect();
        ops::concat(ctx, &there).expect("concat").to_host().expect("download")
    };
    same_everywhere(&expected, run);
}

/// Batches of these sizes with null patterns and offsets by turns.
fn batches(sizes: &[usize], seed: u64) -> Vec<Batch> {
    let batch =
        |(i, &rows): (usize, &usize)| every_type(rows, NULLS[(i + seed as usize) % 3], i % 2 * 5, seed + i as u64);
    sizes.iter().enumerate().map(batch).collect()
}

#[test]
fn every_type_in_pieces_of_many_sizes() {
    check(&batches(&[0], 1));
    check(&batches(&[0, 0, 0], 2));
    check(&batches(&[7], 3));
    check(&batches(&[0, 7, 0], 4));
    check(&batches(&[1, 1, 1, 31, 32, 33, 0, 64, 65, 3], 5));
    check(&batches(&[1000, 1, 1000], 6));
    check(&batches(&[65, 65], 7));
}

/// A tile of the move is 1,024 segments of 16 bytes, words of bits or offsets.
#[test]
fn borders_of_tiles() {
    let names = ["i8", "f64", "bool", "decimal256", "fixed_binary", "utf8", "large_binary", "list", "utf8_view"];
    let all = only(&every_type(36_000, Nulls::Some, 9, 3), &names);
    let host = ExecCtx::host(1).expect("host");
    let cuts = [0, 1, 1024, 2049, 2050, 18_000, 34_817, 36_000];
    let pieces = cuts.windows(2).map(|cut| ops::slice(&host, &all, cut[0], cut[1] - cut[0]).expect("a slice"));
    check(&pieces.collect::<Vec<_>>());
    check(&[wide(300, Nulls::Some, 1), wide(1, Nulls::None, 2), wide(40, Nulls::All, 3)]);
}

/// arrow-rs keeps all that it knows of; of dictionaries it may make another one of the same values.
#[test]
fn as_arrow_rs_does_it() {
    let batches = batches(&[33, 0, 100, 1, 64], 9);
    let records: Vec<_> = batches.iter().map(|batch| batch.to_record_batch().expect("host")).collect();
    // It cannot tell how many values of no width there are.
    let known = |field: &Arc<Field>| !matches!(field.data_type(), DataType::FixedSizeBinary(0));
    let known: Vec<usize> =
        (0..records[0].num_columns()).filter(|&i| known(&records[0].schema().fields()[i])).collect();
    let records: Vec<_> = records.iter().map(|records| records.project(&known).expect("columns")).collect();
    let expected = Batch::from_record_batch(&concat_batches(&records[0].schema(), &records).expect("concat"));
    for ctx in contexts() {
        let there = records.iter().map(|records| Batch::from_record_batch(records).to(&ctx).expect("upload"));
        assert_same(&expected, &ops::concat(&ctx, &there.collect::<Vec<_>>()).expect("concat"));
    }
}

#[test]
fn slices_of_a_batch_are_the_batch() {
    let whole = every_type(500, Nulls::Some, 3, 7);
    for ctx in contexts() {
        let there = whole.to(&ctx).expect("upload");
        let slice = |from: usize, to: usize| ops::slice(&ctx, &there, from, to - from).expect("a slice");
        let joined = ops::concat(&ctx, &[slice(0, 64), slice(64, 101), slice(101, 500)]).expect("concat");
        assert_same(&whole, &joined);
    }
}

/// A batch of one dictionary column of these values, with keys to each of them and a null.
fn dictionary(values: &[String]) -> Batch {
    let keys = (0..values.len()).map(|key| Some(key as i8)).chain([None]);
    let keys = Int8Array::from_iter(keys);
    let column: ArrayRef =
        Arc::new(DictionaryArray::<Int8Type>::new(keys, Arc::new(StringArray::from(values.to_vec()))));
    Batch::from_record_batch(&RecordBatch::try_from_iter_with_nullable([("d", column, true)]).expect("a batch"))
}

#[test]
fn dictionaries_become_one() {
    let names = |range: std::ops::Range<usize>| range.map(|i| format!("value {i}")).collect::<Vec<_>>();
    let lengths = |batches: &[Batch]| {
        contexts()
            .iter()
            .map(|ctx| {
                let there: Vec<_> = batches.iter().map(|batch| batch.to(ctx).expect("upload")).collect();
                let column = ops::concat(ctx, &there).expect("concat").columns()[0].to_host().expect("download");
                column.to_array().expect("host").as_any_dictionary().values().len()
            })
            .collect::<Vec<_>>()
    };
    // One behind the other while the keys can tell them apart; then the different ones.
    let few = [dictionary(&names(0..64)), dictionary(&names(60..124))];
    check(&few);
    assert!(lengths(&few).iter().all(|&length| length == 128));
    let many = [dictionary(&names(0..100)), dictionary(&names(50..120)), dictionary(&names(0..128))];
    check(&many);
    assert!(lengths(&many).iter().all(|&length| length == 128));
    for ctx in contexts() {
        let there = [&names(0..100), &names(90..129)].map(|names| dictionary(names).to(&ctx).expect("upload"));
        let error = ops::concat(&ctx, &there).expect_err("129 values");
        let expected = "concat: column 'd': 129 different dictionary values, the keys of Dictionary(Int8, Utf8) can \
                        tell 128: cast it to wider keys";
        assert_eq!(error.to_string(), expected);
        // A batch and itself share a dictionary.
        let one = dictionary(&names(0..128)).to(&ctx).expect("upload");
        let joined = ops::concat(&ctx, &[one.clone(), one.clone(), one]).expect("concat");
        let column = joined.columns()[0].to_host().expect("download").to_array().expect("host");
        assert_eq!((column.len(), column.as_any_dictionary().values().len()), (3 * 129, 128));
    }
}

#[test]
fn what_outgrows_its_type_is_refused_before_anything_moves() {
    let long: ArrayRef = Arc::new(BinaryArray::from(vec![&vec![b'x'; 1 << 20][..]]));
    let list: ArrayRef = {
        let items = Arc::new(NullArray::new(1 << 20));
        let offsets = arrow::buffer::OffsetBuffer::from_lengths([1 << 20]);
        Arc::new(ListArray::new(Arc::new(Field::new_list_field(DataType::Null, true)), offsets, items, None))
    };
    for (column, name) in [(long, "bytes"), (list, "items")] {
        let batch = Batch::from_record_batch(&RecordBatch::try_from_iter([(name, column)]).expect("a batch"));
        for ctx in contexts() {
            let launches = Arc::new(CountLaunches::default());
            let ctx = ctx.with_launch_strategy(launches.clone());
            let all = vec![batch.to(&ctx).expect("upload"); 2048];
            let error = ops::concat(&ctx, &all).expect_err("2^31 of them");
            assert!(matches!(&error, Error::InvalidInput { column: Some(c), .. } if c == name), "{error}");
            // The offsets' ends are read, and that is all.
            assert!(launches.count() <= 1);
            assert!(ops::concat(&ctx, &all[..2]).is_ok());
        }
    }
    let nothing: ArrayRef = Arc::new(NullArray::new(1 << 30));
    let batch = Batch::from_record_batch(&RecordBatch::try_from_iter([("n", nothing)]).expect("a batch"));
    for ctx in contexts() {
        let there = batch.to(&ctx).expect("upload");
        let error = ops::concat(&ctx, &[there.clone(), there]).expect_err("2^31 rows");
        assert!(matches!(error, Error::InvalidInput { op: "concat", .. }), "{error}");
    }
}

#[test]
fn refuses_other_schemas() {
    let host = ExecCtx::host(1).expect("host");
    let batch = |name: &str, column: ArrayRef| {
        Batch::from_record_batch(&RecordBatch::try_from_iter([(name, column)]).expect("a batch"))
    };
    let numbers = || -> ArrayRef { Arc::new(Int32Array::from(vec![1])) };
    let (a, b) = (batch("a", numbers()), batch("b", numbers()));
    let text = batch("a", Arc::new(StringArray::from(vec!["x"])));
    let none = Batch::from_record_batch(&RecordBatch::new_empty(Arc::new(Schema::empty())));
    assert!(matches!(ops::concat(&host, &[]), Err(Error::InvalidInput { .. })));
    for other in [&b, &text, &none] {
        assert!(matches!(ops::concat(&host, &[a.clone(), other.clone()]), Err(Error::InvalidInput { .. })));
        assert!(matches!(ops::concat_plan(&[a.clone(), other.clone()]), Err(Error::InvalidInput { .. })));
    }
    let error = ops::concat(&host, &[a.clone(), text]).expect_err("another type");
    assert_eq!(error.to_string(), "concat: column 'a': Int32, but 'a' of type Utf8 in batch 1");
    with_device(|ctx| {
        let there = a.to(ctx).expect("upload");
        assert!(matches!(ops::concat(ctx, &[there, a.clone()]), Err(Error::WrongDevice { .. })));
    });
}

#[test]
fn a_field_is_nullable_where_it_is_so_in_one_batch() {
    let batch = |nullable, values: Vec<Option<i32>>| {
        let column: ArrayRef = Arc::new(Int32Array::from(values));
        let records = RecordBatch::try_from_iter_with_nullable([("a", column, nullable)]);
        Batch::from_record_batch(&records.expect("a batch"))
    };
    check(&[batch(false, vec![Some(1)]), batch(true, vec![None, Some(2)])]);
}

/// Measures a concat against its plan; gives the peak and the planned one.
fn measured(ctx: &ExecCtx, batches: &[Batch]) -> (u64, u64) {
    let plan = ops::concat_plan(batches).expect("a plan");
    // The harness counts what the first batch takes; the others lie outside of its budget.
    let beside = ctx.with_budget(u64::MAX).expect("a budget");
    let upload = |batches: &[Batch]| batches.iter().map(|batch| batch.to(&beside).expect("upload")).collect::<Vec<_>>();
    assert_eq!(ops::concat_plan(&upload(batches)).expect("a plan"), plan, "host and device");
    let nothing = Column::from_array(Arc::new(Int32Array::from(Vec::<i32>::new())));
    let planned = plan.workspace + plan.output;
    let run = |ctx: &ExecCtx, batch: &Batch, _: &Column| {
        ops::concat(ctx, &[vec![batch.clone()], upload(&batches[1..])].concat())
    };
    let peak = peak_under_plan(ctx, (&batches[0], &nothing), plan, run);
    assert!(peak <= planned, "{peak} of {plan:?}");
    (peak, planned)
}

#[test]
fn memory_stays_within_the_plan() {
    with_device(|ctx| {
        for nulls in NULLS {
            // Alone, so that no column's slack covers for another.
            let (a, b) = (each_column(&every_type(300, nulls, 3, 5)), each_column(&every_type(70, Nulls::Some, 0, 6)));
            for (a, b) in a.iter().zip(&b) {
                measured(ctx, &[a.clone(), b.clone(), a.clone()]);
            }
        }
        let names = ["i8", "i64", "decimal256", "fixed_binary", "bool", "utf8", "utf8_view", "struct", "fixed_list"];
        let pair =
            |nulls| [(2000, 1), (333, 2), (1, 3)].map(|(rows, seed)| only(&every_type(rows, nulls, 0, seed), &names));
        for nulls in NULLS {
            let (peak, planned) = measured(ctx, &pair(nulls));
            assert_eq!(peak, planned, "{nulls:?}");
        }
        let names = |range: std::ops::Range<usize>| range.map(|i| format!("value {i}")).collect::<Vec<_>>();
        measured(ctx, &[dictionary(&names(0..100)), dictionary(&names(50..120))]);
    });
}

#[test]
fn one_launch_moves_everything() {
    with_device(|ctx| {
        let launches = Arc::new(CountLaunches::default());
        let ctx = ctx.with_launch_strategy(launches.clone());
        let names = ["i8", "i64", "bool", "decimal256", "utf8_view", "wide_dictionary", "struct", "fixed_list"];
        let batches: Vec<_> =
            batches(&[100, 50, 3], 1).iter().map(|b| only(b, &names).to(&ctx).expect("upload")).collect();
        ops::concat(&ctx, &batches).expect("concat");
        // The dictionaries hold strings, whose ends are read.
        assert_eq!(launches.count(), 2);
        let empty = ops::slice(&ctx, &batches[0], 0, 0).expect("a slice");
        let before = launches.count();
        ops::concat(&ctx, &[empty.clone(), batches[1].clone(), empty]).expect("concat");
        assert_eq!(launches.count(), before, "a single batch has rows");
    });
}

#[test]
fn as_pyarrow_does_it() {
    let table = golden::moves("table");
    let host = ExecCtx::host(1).expect("host");
    let cut = |from, rows| ops::slice(&host, &table, from, rows).expect("a slice");
    for ctx in contexts() {
        let pieces = [cut(100, 111), cut(0, 3), cut(37, 150)].map(|batch| batch.to(&ctx).expect("upload"));
        golden::assert_golden("concat", &ctx, &ops::concat(&ctx, &pieces).expect("concat"));
    }
}

proptest! {
    #![proptest_config(cases(16))]
    #[test]
    fn any_batches(sizes in proptest::collection::vec(0usize..150, 1..6), seed: u64) {
        let mut random = Random(seed);
        let batch = |rows| every_type(rows, NULLS[random.below(3)], random.below(70), random.next());
        check(&sizes.into_iter().map(batch).collect::<Vec<_>>());
    }
}
