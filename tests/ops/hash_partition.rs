//! Hash partition against a naive reading of the input, DataFusion's own partitions and the rules of Spark and Iceberg,
//! on the host and on every device there is.

use std::sync::Arc;

use arrow::array::{
    Array, ArrayRef, AsArray, Int32Array, Int64Array, NullArray, RecordBatch, StringArray, StringViewArray, UInt32Array,
};
use arrow::datatypes::{DataType, Int32Type, Int64Type, UInt32Type, UInt64Type};
use proptest::prelude::*;
use warpline::device::{CountLaunches, MemoryPlan};
use warpline::ops::{self, HashScheme, MOST_PARTITIONS, Partitions};
use warpline::{Batch, Column, Error, ExecCtx};

use super::same_everywhere;
use crate::common::cells::{Cell, cells};
use crate::common::samples::{NULLS, Nulls, Random, SIZES, each_column, every_type, only, wide};
use crate::common::{cases, contexts, peak_under_plan, root, with_device};

const SCHEMES: [HashScheme; 6] = [
    HashScheme::DataFusion,
    HashScheme::SparkMurmur3,
    HashScheme::SparkXxHash64,
    HashScheme::XxHash64,
    HashScheme::Iceberg,
    HashScheme::Cudf,
];

/// Rows of a block.
const TILE: usize = 8192;

fn batch_of(columns: &[(&str, ArrayRef)]) -> Batch {
    Batch::from_record_batch(&RecordBatch::try_from_iter(columns.iter().cloned()).expect("a batch"))
}

/// A batch of one key column and its row numbers.
fn keyed(keys: impl Iterator<Item = Option<i64>>) -> Batch {
    let keys: Int64Array = keys.collect();
    let rows = Int64Array::from_iter_values(0..keys.len() as i64);
    batch_of(&[("key", Arc::new(keys)), ("row", Arc::new(rows))])
}

/// Row numbers, for comparison with a batch's own.
fn numbers(batch: &Batch) -> Vec<i64> {
    let column = batch.column("row").expect("row numbers").to_host().expect("download");
    column.to_array().expect("host").as_primitive::<Int64Type>().values().to_vec()
}

/// The partition of a hash by the rule of the scheme's owner, in wide arithmetic.
fn partition_of(hashes: &ArrayRef, row: usize, scheme: HashScheme, partitions: usize) -> usize {
    let hash = match hashes.data_type() {
        _ if hashes.is_null(row) => return 0,
        DataType::Int32 => i128::from(hashes.as_primitive::<Int32Type>().value(row)),
        DataType::UInt32 => i128::from(hashes.as_primitive::<UInt32Type>().value(row)),
        DataType::Int64 => i128::from(hashes.as_primitive::<Int64Type>().value(row)),
        _ => i128::from(hashes.as_primitive::<UInt64Type>().value(row)),
    };
    let n = partitions as i128;
    match scheme {
        // Spark's pmod: ((hash % n) + n) % n.
        HashScheme::SparkMurmur3 | HashScheme::SparkXxHash64 => ((hash % n + n) % n) as usize,
        // Iceberg's specification: (hash & Integer.MAX_VALUE) % N.
        HashScheme::Iceberg => ((hash & i128::from(i32::MAX)) % n) as usize,
        _ => (hash % n) as usize,
    }
}

/// The rows of each partition, by the hashes of the host, which tests of their own judge.
fn expected(batch: &Batch, keys: &[&str], scheme: HashScheme, partitions: usize) -> Vec<Vec<usize>> {
    let columns: Vec<&Column> = keys.iter().map(|key| batch.column(key).expect("a key")).collect();
    let hashes = ops::hash(&contexts()[0], &columns, scheme).expect("hashes").to_array().expect("host");
    let mut rows = vec![Vec::new(); partitions];
    (0..batch.num_rows()).for_each(|row| rows[partition_of(&hashes, row, scheme, partitions)].push(row));
    rows
}

fn partitioned(ctx: &ExecCtx, batch: &Batch, keys: &[&str], scheme: HashScheme, partitions: usize) -> Partitions {
    let batch = batch.to(ctx).expect("upload");
    ops::hash_partition(ctx, &batch, keys, scheme, partitions).expect("partitions")
}

/// Partitions everywhere, compares with the naive reading and the places with each other.
fn check(batch: &Batch, keys: &[&str], scheme: HashScheme, partitions: usize) {
    let rows = expected(batch, keys, scheme, partitions);
    let order: Vec<usize> = rows.concat();
    let mut offsets = vec![0];
    rows.iter().for_each(|rows| offsets.push(offsets.last().expect("one") + rows.len() as u32));
    let reordered = |column: &Column| -> Vec<Cell> {
        let all = cells(&column.to_array().expect("host"));
        order.iter().map(|&row| all[row].clone()).collect()
    };
    let expected: Vec<_> = batch.columns().iter().map(reordered).collect();
    same_everywhere(&expected, |ctx| {
        let parts = partitioned(ctx, batch, keys, scheme, partitions);
        assert_eq!(parts.offsets(), offsets, "{scheme} on {}", ctx.placement());
        parts.batch().to_host().expect("download")
    });
}

#[test]
fn every_type_at_every_size_and_null_pattern() {
    for (seed, rows) in SIZES.into_iter().enumerate() {
        for (i, nulls) in NULLS.into_iter().enumerate() {
            let batch = every_type(rows, nulls, (seed + i) % 2 * 5, seed as u64);
            let scheme = SCHEMES[(seed + i) % 6];
            let keys: &[&str] = if scheme == HashScheme::Iceberg { &["utf8"] } else { &["i64", "utf8_view"] };
            check(&batch, keys, scheme, [1, 2, 7, 64, 1000][(seed * 3 + i) % 5]);
        }
    }
}

/// Every type that a scheme hashes as the key, alone.
#[test]
fn every_key_type() {
    for (seed, rows) in [33, 1000].into_iter().enumerate() {
        let batch = every_type(rows, NULLS[1 - seed], 3, seed as u64);
        for scheme in SCHEMES {
            let mut hashed = 0;
            for one in each_column(&batch) {
                let name = one.schema().field(0).name().clone();
                if ops::hash_partition_plan(&one, &[&name], scheme, 5).is_ok() {
                    check(&one, &[&name], scheme, 5);
                    hashed += 1;
                }
            }
            assert!(hashed >= 10, "{scheme} takes {hashed} types");
        }
    }
}

/// A block takes 8,192 rows; look-back starts with the second.
#[test]
fn borders_of_tiles_with_few_and_many_partitions() {
    for rows in [TILE - 1, TILE, TILE + 1, 3 * TILE + 5] {
        let mut random = Random(rows as u64);
        let batch = keyed((0..rows).map(|_| Some(random.next() as i64)));
        for partitions in [2, 31, 256, 257, 2047, 2048, 2049, 4095, 4096] {
            check(&batch, &["key"], HashScheme::XxHash64, partitions);
        }
    }
}

/// Values of all widths, bits and validity across tiles, and what goes through gather beside them.
#[test]
fn many_types_across_tiles() {
    let columns = [
        "i8",
        "i16",
        "i32",
        "f64",
        "bool",
        "decimal128",
        "decimal256",
        "fixed_binary",
        "utf8",
        "utf8_view",
        "list",
        "dictionary",
        "struct",
        "null",
    ];
    for (nulls, partitions) in [(Nulls::None, 3), (Nulls::Some, 200), (Nulls::Some, 5000)] {
        let batch = only(&every_type(TILE + 700, nulls, 9, 3), &columns);
        check(&batch, &["i32", "utf8"], HashScheme::SparkMurmur3, partitions);
    }
    check(&wide(1500, Nulls::Some, 4), &["binary33"], HashScheme::XxHash64, 6);
}

/// More partitions than one pass takes.
#[test]
fn two_passes() {
    let mut random = Random(9);
    let batch = keyed((0..3 * TILE + 100).map(|_| Some(random.next() as i64 >> (random.next() % 64))));
    for partitions in [4097, 8192, 10_000, 65_536, 1_000_003] {
        check(&batch, &["key"], HashScheme::DataFusion, partitions);
    }
    check(&keyed([Some(1), None, Some(3)].into_iter()), &["key"], HashScheme::SparkXxHash64, MOST_PARTITIONS);
}

/// One key, and 25 keys, in many rows: runs longer than tiles, and chains of equal digits.
#[test]
fn skewed_keys() {
    let rows = 12 * TILE;
    let mut random = Random(3);
    check(&keyed((0..rows).map(|_| Some(7))), &["key"], HashScheme::DataFusion, 256);
    check(&keyed((0..rows).map(|_| Some(random.below(25) as i64))), &["key"], HashScheme::DataFusion, 1024);
    check(&keyed((0..rows).map(|_| None)), &["key"], HashScheme::Iceberg, 16);
    check(&keyed((0..rows).map(|_| Some(7))), &["key"], HashScheme::DataFusion, 100_000);
}

/// A million rows of 25 keys: runs of many tiles, and the host's tasks end inside of runs.
#[test]
fn a_million_rows_of_few_keys() {
    let mut random = Random(5);
    let batch = keyed((0..1_000_000).map(|_| Some(random.below(25) as i64)));
    let rows = expected(&batch, &["key"], HashScheme::SparkMurmur3, 64);
    let order: Vec<i64> = rows.concat().into_iter().map(|row| row as i64).collect();
    for ctx in contexts() {
        let parts = partitioned(&ctx, &batch, &["key"], HashScheme::SparkMurmur3, 64);
        assert!(numbers(parts.batch()) == order, "on {}", ctx.placement());
    }
    assert!((2..=25).contains(&rows.iter().filter(|rows| !rows.is_empty()).count()));
}

/// `tests/golden/make_hash_partition.py`: where DataFusion's own repartition puts the keys.
#[test]
fn datafusions_partitions() {
    let text = std::fs::read_to_string(root().join("tests/golden/hash_partition.txt")).expect("the golden file");
    let letters = |i: usize| char::from(b'a' + (i % 26) as u8).to_string().repeat(i % 20);
    let wide = (0..150i64).map(|i| (i % 10 != 3).then_some(7919 * i - 300_000)).collect::<Int64Array>();
    let batch =
        batch_of(&[("wide", Arc::new(wide)), ("text", Arc::new(StringArray::from_iter_values((0..150).map(letters))))]);
    for ctx in contexts() {
        let batch = batch.to(&ctx).expect("upload");
        for line in text.lines() {
            let mut words = line.split(' ');
            let mut word = || words.next().expect("a word");
            let (partitions, keys) = (word().parse().expect("a number"), word());
            let theirs: Vec<u32> = words.map(|word| word.parse().expect("a partition")).collect();
            let keys: Vec<&Column> = keys.split(',').map(|key| batch.column(key).expect("a key")).collect();
            let ids = ops::partition_ids(&ctx, &keys, HashScheme::DataFusion, partitions).expect("ids");
            let ids = ids.to_host().expect("download").to_array().expect("host");
            assert_eq!(ids.as_primitive::<UInt32Type>().values(), &theirs[..], "{line}");
        }
    }
}

/// Spark: `SELECT pmod(hash(n), 7)` by the hashes that Spark's own code made; Iceberg: the table of its specification.
#[test]
fn sparks_and_icebergs_partitions() {
    let spark: [u32; 5] = [0xdea578e3, 0x379fae8f, 0xa0590e3d, 0x07fb67e7, 0x2b1f0fc6];
    let pmod = spark.map(|hash| {
        let signed = i64::from(hash as i32);
        ((signed % 7 + 7) % 7) as u32
    });
    let ints: ArrayRef = Arc::new(Int32Array::from(vec![1, 0, -1, i32::MAX, i32::MIN]));
    let bucket: ArrayRef = Arc::new(Int32Array::from(vec![Some(34), None]));
    let cases = [(ints, HashScheme::SparkMurmur3, 7, pmod.to_vec()), (bucket, HashScheme::Iceberg, 16, vec![3, 0])];
    for ctx in contexts() {
        for (keys, scheme, partitions, wanted) in &cases {
            let keys = Column::from_array(keys.clone()).to(&ctx).expect("upload");
            let ids = ops::partition_ids(&ctx, &[&keys], *scheme, *partitions).expect("ids");
            let ids = ids.to_host().expect("download").to_array().expect("host");
            let wanted: ArrayRef = Arc::new(UInt32Array::from(wanted.clone()));
            assert_eq!(&ids, &wanted, "{scheme}");
        }
    }
}

/// The remainder at the extremes of the hash and of the divisor, where a product of 64 bits could be one off.
#[test]
fn remainders_of_many_divisors() {
    let mut random = Random(77);
    let batch = keyed((0..300).map(|_| Some(random.next() as i64)));
    let keys = batch.column("key").expect("keys");
    for partitions in (1..40).chain([255, 256, 257, 4095, 65_535, 1 << 20, MOST_PARTITIONS - 1, MOST_PARTITIONS]) {
        for scheme in SCHEMES {
            let hashes = ops::hash(&contexts()[0], &[keys], scheme).expect("hashes").to_array().expect("host");
            let wanted: Vec<u32> = (0..300).map(|row| partition_of(&hashes, row, scheme, partitions) as u32).collect();
            for ctx in contexts() {
                let keys = keys.to(&ctx).expect("upload");
                let ids = ops::partition_ids(&ctx, &[&keys], scheme, partitions).expect("ids");
                let ids = ids.to_host().expect("download").to_array().expect("host");
                assert_eq!(ids.as_primitive::<UInt32Type>().values(), &wanted[..], "{scheme} of {partitions}");
            }
        }
    }
}

/// A batch for each partition, which together are all rows.
#[test]
fn a_batch_for_each_partition() {
    let batch = every_type(700, Nulls::Some, 3, 21);
    for partitions in [1, 6, 1500] {
        let rows = expected(&batch, &["utf8_view"], HashScheme::XxHash64, partitions);
        let ctxs = contexts();
        let places: Vec<Partitions> =
            ctxs.iter().map(|ctx| partitioned(ctx, &batch, &["utf8_view"], HashScheme::XxHash64, partitions)).collect();
        assert!(places.iter().all(|parts| parts.count() == partitions && parts.rows(partitions).is_none()));
        for (i, rows) in rows.iter().enumerate().filter(|(i, _)| *i < 20) {
            let taken = |column: &Column| -> Vec<Cell> {
                let all = cells(&column.to_array().expect("host"));
                rows.iter().map(|&row| all[row].clone()).collect()
            };
            let expected: Vec<_> = batch.columns().iter().map(taken).collect();
            same_everywhere(&expected, |ctx| {
                let at = ctxs.iter().position(|other| other.placement() == ctx.placement()).expect("a place");
                let one = places[at].partition(&ctxs[at], i).expect("a partition");
                assert_eq!(places[at].rows(i).expect("rows").len(), one.num_rows());
                one.to_host().expect("download")
            });
        }
        let error = places[0].partition(&ctxs[0], partitions).expect_err("past the end");
        assert!(matches!(error, Error::InvalidInput { .. }), "{error}");
    }
}

proptest! {
    #![proptest_config(cases(60))]
    /// A permutation that keeps the order of equal ids, which are where the offsets say.
    #[test]
    fn a_stable_permutation(
        keys in prop::collection::vec(prop::option::weighted(0.9, -50i64..50), 0..600),
        text in 0u8..4, scheme in prop_oneof![0usize..4, Just(5)], partitions in prop_oneof![1usize..20, 4090usize..4110], skip in 0usize..40,
    ) {
        let (rows, scheme) = (keys.len(), SCHEMES[scheme]);
        let words: ArrayRef = match text {
            0 => Arc::new(StringArray::from_iter_values((0..rows).map(|i| "x".repeat(i % 3)))),
            1 => Arc::new(StringViewArray::from_iter_values((0..rows).map(|i| format!("a long one {}", i % 5)))),
            2 => Arc::new(NullArray::new(rows)),
            _ => Arc::new(Int32Array::from_iter((0..rows).map(|i| (i % 7 > 0).then_some(i as i32 % 3)))),
        };
        let batch = keyed(keys.into_iter()).to_record_batch().expect("host");
        let batch = RecordBatch::try_from_iter_with_nullable([
            ("key", batch.column(0).clone(), true), ("row", batch.column(1).clone(), true), ("word", words, true),
        ]).expect("a batch");
        let batch = batch.slice(skip.min(rows), rows - skip.min(rows));
        let batch = Batch::from_record_batch(&batch);
        for ctx in contexts() {
            let there = batch.to(&ctx).expect("upload");
            let keys = ["key", "word"];
            let parts = ops::hash_partition(&ctx, &there, &keys, scheme, partitions).expect("partitions");
            let columns: Vec<&Column> = keys.iter().map(|key| there.column(key).expect("a key")).collect();
            let ids = ops::partition_ids(&ctx, &columns, scheme, partitions).expect("ids");
            let ids = ids.to_host().expect("download").to_array().expect("host");
            let ids = ids.as_primitive::<UInt32Type>();
            let (order, first) = (numbers(parts.batch()), numbers(&there).first().copied().unwrap_or(0));
            prop_assert_eq!(order.len(), batch.num_rows());
            for partition in 0..partitions {
                let rows = &order[parts.rows(partition).expect("rows")];
                prop_assert!(rows.windows(2).all(|pair| pair[0] < pair[1]));
                prop_assert!(rows.iter().all(|row| ids.value((row - first) as usize) as usize == partition));
            }
        }
    }
}

/// TABULAR's promise: one launch for the partitions, one that moves all columns of fixed width.
#[test]
fn launches_do_not_depend_on_the_columns() {
    with_device(|ctx| {
        let names = ["i8", "i64", "decimal128", "fixed_binary", "bool", "utf8_view", "dictionary", "struct", "null"];
        let launches = |names: &[&str], partitions| {
            let counter = Arc::new(CountLaunches::default());
            let ctx = ctx.with_launch_strategy(counter.clone());
            let batch = only(&every_type(20_000, Nulls::Some, 3, 8), names).to(&ctx).expect("upload");
            ops::hash_partition(&ctx, &batch, &["i64"], HashScheme::SparkMurmur3, partitions).expect("partitions");
            counter.count()
        };
        assert_eq!([launches(&["i64"], 256), launches(&names, 256), launches(&names, 4096)], [2; 3]);
        // Validity, offsets and bytes of strings.
        assert_eq!(launches(&["i64", "utf8", "large_binary"], 256), 5);
        // Two passes over row numbers, then gather's launch.
        assert_eq!(launches(&names, 4097), 4);
        assert_eq!(launches(&names, 1), 0);
    });
}

/// Measures a partition against its plan; gives the peak and the planned one.
fn measured(ctx: &ExecCtx, batch: &Batch, key: &str, partitions: usize) -> (u64, u64) {
    let scheme = HashScheme::XxHash64;
    let plan = ops::hash_partition_plan(batch, &[key], scheme, partitions).expect("a plan");
    let there = ops::hash_partition_plan(&batch.to(ctx).expect("upload"), &[key], scheme, partitions);
    assert_eq!(there.expect("a plan"), plan, "host and device");
    let none = Column::from_array(Arc::new(Int32Array::from(Vec::<i32>::new())));
    let run = |ctx: &ExecCtx, batch: &Batch, _: &Column| {
        Ok(ops::hash_partition(ctx, batch, &[key], scheme, partitions)?.batch().clone())
    };
    let peak = peak_under_plan(ctx, (batch, &none), plan, run);
    assert!(peak <= plan.workspace + plan.output, "{peak} of {plan:?}");
    (peak, plan.workspace + plan.output)
}

#[test]
fn memory_stays_within_the_plan() {
    with_device(|ctx| {
        for (seed, rows) in SIZES.into_iter().enumerate() {
            let batch = every_type(rows, NULLS[seed % 3], seed % 2 * 5, seed as u64);
            for partitions in [1, 9, 5000] {
                measured(ctx, &batch, "utf8_view", partitions);
            }
        }
        // Alone, so that no column's slack covers for another.
        for one in each_column(&every_type(1100, Nulls::Some, 3, 5)) {
            let name = one.schema().field(0).name().clone();
            if ops::hash_partition_plan(&one, &[&name], HashScheme::XxHash64, 3).is_ok() {
                measured(ctx, &one, &name, 3);
                measured(ctx, &one, &name, 4100);
            }
        }
    });
}

#[test]
fn a_partition_takes_no_more_than_gathers_plan() {
    with_device(|ctx| {
        let batch = every_type(900, Nulls::Some, 3, 31);
        let parts = partitioned(&contexts()[0], &batch, &["utf8_view"], HashScheme::XxHash64, 3);
        for i in 0..3 {
            let rows = parts.rows(i).expect("rows").len();
            let plan = ops::gather_plan(parts.batch(), rows).expect("a plan");
            let none = Column::from_array(Arc::new(Int32Array::from(Vec::<i32>::new())));
            let run = |ctx: &ExecCtx, batch: &Batch, _: &Column| {
                ops::hash_partition(ctx, batch, &["utf8_view"], HashScheme::XxHash64, 3)?.partition(ctx, i)
            };
            let whole = ops::hash_partition_plan(&batch, &["utf8_view"], HashScheme::XxHash64, 3).expect("a plan");
            let both = MemoryPlan { workspace: whole.workspace + whole.output + plan.workspace, output: plan.output };
            peak_under_plan(ctx, (&batch, &none), both, run);
        }
    });
}

#[test]
fn the_plan_is_the_peak_where_sizes_are_static() {
    let names = ["i8", "i64", "decimal256", "fixed_binary", "bool", "utf8_view", "dictionary", "struct", "null"];
    with_device(|ctx| {
        for rows in [1, 2, 65, 1000, TILE + 2] {
            for nulls in NULLS {
                let batch = only(&every_type(rows, nulls, 0, rows as u64), &names);
                for partitions in [2, 300, 4096, 10_000] {
                    let (peak, planned) = measured(ctx, &batch, "i64", partitions);
                    assert_eq!(peak, planned, "{rows} rows, {partitions} partitions");
                }
            }
        }
    });
}

#[test]
fn what_does_not_fit_is_refused_before_any_launch() {
    let host = every_type(3, Nulls::None, 0, 1);
    let long = batch_of(&[("null", Arc::new(NullArray::new(1 << 31)))]);
    for ctx in contexts() {
        let counter = Arc::new(CountLaunches::default());
        let counted = ctx.with_launch_strategy(counter.clone());
        let batch = host.to(&counted).expect("upload");
        let refused = |batch: &Batch, keys: &[&str], scheme, partitions| {
            let error = ops::hash_partition(&counted, batch, keys, scheme, partitions).expect_err("refused");
            let planned = ops::hash_partition_plan(batch, keys, scheme, partitions).expect_err("refused");
            assert_eq!(error.to_string(), planned.to_string());
            error
        };
        let spark = HashScheme::SparkMurmur3;
        for partitions in [0, MOST_PARTITIONS + 1, usize::MAX] {
            let error = refused(&batch, &["i64"], spark, partitions);
            assert!(
                matches!(error, Error::InvalidInput { .. }) && error.to_string().contains("1 to 16777216"),
                "{error}"
            );
            let keys = batch.column("i64").expect("keys");
            assert!(ops::partition_ids(&counted, &[keys], spark, partitions).is_err());
        }
        let error = refused(&batch, &["i64", "nowhere"], spark, 4).to_string();
        assert!(error.contains("'nowhere'") && error.contains("i64"), "{error}");
        assert!(matches!(refused(&batch, &[], spark, 4), Error::InvalidInput { .. }));
        assert!(matches!(refused(&batch, &["i64", "i32"], HashScheme::Iceberg, 4), Error::InvalidInput { .. }));
        let error = refused(&batch, &["list"], spark, 4);
        assert!(matches!(&error, Error::Unsupported { .. }) && error.to_string().contains("List"), "{error}");
        let there = long.to(&counted).expect("upload");
        assert!(matches!(refused(&there, &["null"], spark, 4), Error::Unsupported { .. }));
        assert_eq!(counter.count(), 0);
    }
    with_device(|ctx| {
        let error = ops::hash_partition(ctx, &host, &["i64"], HashScheme::XxHash64, 4).expect_err("on the host");
        assert!(matches!(error, Error::WrongDevice { .. }), "{error}");
    });
}
