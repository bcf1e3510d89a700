//! Hashes against published vectors, the `mmh3` and `xxhash` packages, and the host twin against the device.
//!
//! DataFusion's scheme has DataFusion itself as its judge, in crates/oracles.

use std::slice::from_ref;
use std::sync::Arc;

use arrow::array::{
    Array, ArrayRef, AsArray, BinaryArray, Date32Array, Decimal128Array, DictionaryArray, FixedSizeBinaryArray,
    Float32Array, Float64Array, Int8Array, Int32Array, Int64Array, StringArray, StringViewArray,
    Time64MicrosecondArray, TimestampMicrosecondArray,
};
use arrow::compute::cast;
use arrow::datatypes::{DataType, Field, Int32Type, Schema, UInt32Type};
use proptest::prelude::*;
use warpline::ops::HashScheme;
use warpline::{Batch, Column, Error, ExecCtx, ops};

use crate::common::samples::{NULLS, Nulls, SIZES, each_column, every_type};
use crate::common::{cases, contexts, golden, peak_under_plan, root, with_device};

const SCHEMES: [HashScheme; 6] = [
    HashScheme::DataFusion,
    HashScheme::SparkMurmur3,
    HashScheme::SparkXxHash64,
    HashScheme::XxHash64,
    HashScheme::Iceberg,
    HashScheme::Cudf,
];

thread_local! {
    /// Opened once a test: on a real device that and the first use of a kernel take a tenth of a second.
    static CONTEXTS: Vec<ExecCtx> = contexts();
}

/// The hashes where this context runs.
fn hashes_on(ctx: &ExecCtx, columns: &[ArrayRef], scheme: HashScheme) -> warpline::Result<ArrayRef> {
    let columns = columns.iter().map(|array| Column::from_array(array.clone()).to(ctx).expect("upload"));
    let columns: Vec<Column> = columns.collect();
    ops::hash(ctx, &columns.iter().collect::<Vec<_>>(), scheme)?.to_host()?.to_array()
}

/// The hashes, which are the same everywhere.
fn hashes(columns: &[ArrayRef], scheme: HashScheme) -> ArrayRef {
    CONTEXTS.with(|contexts| {
        let mut all = contexts.iter().map(|ctx| hashes_on(ctx, columns, scheme).expect("hashes"));
        let first = all.next().expect("the host");
        all.for_each(|other| assert_eq!(&first, &other, "{scheme}"));
        first
    })
}

/// As bits, a null as `None`.
fn bits(columns: &[ArrayRef], scheme: HashScheme) -> Vec<Option<u64>> {
    let hashes = hashes(columns, scheme);
    let bits = |row: usize| match hashes.data_type() {
        DataType::Int32 => hashes.as_primitive::<Int32Type>().value(row) as u32 as u64,
        DataType::UInt32 => hashes.as_primitive::<UInt32Type>().value(row) as u64,
        DataType::Int64 => hashes.as_primitive::<arrow::datatypes::Int64Type>().value(row) as u64,
        _ => hashes.as_primitive::<arrow::datatypes::UInt64Type>().value(row),
    };
    (0..hashes.len()).map(|row| hashes.is_valid(row).then(|| bits(row))).collect()
}

/// Vectors that Spark's own code made, from the tests of Apache DataFusion Comet (`spark-expr`, hash functions).
#[test]
fn sparks_vectors() {
    let floats = [1.0, 0.0, -0.0, -1.0, 99999999999.99999999999, -99999999999.99999999999];
    let text = ["hello", "bar", "", "😁", "天地", "a", "ab", "abc", "abcd", "abcde"];
    let cases: [(ArrayRef, &[u64], &[u64]); 6] = [
        (
            Arc::new(Int8Array::from(vec![1, 0, -1, i8::MAX, i8::MIN])),
            &[0xdea578e3, 0x379fae8f, 0xa0590e3d, 0x43b4d8ed, 0x422a1365],
            &[0xa309b38455455929, 0x3229fbc4681e48f3, 0x1bfdda8861c06e45, 0x77cc15d9f9f2cdc2, 0x39bc22b9e94d81d0],
        ),
        (
            Arc::new(Int32Array::from(vec![1, 0, -1, i32::MAX, i32::MIN])),
            &[0xdea578e3, 0x379fae8f, 0xa0590e3d, 0x07fb67e7, 0x2b1f0fc6],
            &[0xa309b38455455929, 0x3229fbc4681e48f3, 0x1bfdda8861c06e45, 0x14f0ac009c21721c, 0x1cc7cb8d034769cd],
        ),
        (
            Arc::new(Int64Array::from(vec![1, 0, -1, i64::MAX, i64::MIN])),
            &[0x99f0149d, 0x9c67b85d, 0xc8008529, 0xa05b5d7b, 0xcd1e64fb],
            &[0x9ed50fd59358d232, 0xb71b47ebda15746c, 0x358ae035bfb46fd2, 0xd2f1c616ae7eb306, 0x88608019c494c1f4],
        ),
        (
            Arc::new(Float32Array::from_iter_values(floats.map(|float| float as f32))),
            &[0xe434cc39, 0x379fae8f, 0x379fae8f, 0xdc0da8eb, 0xcbdc340f, 0xc0361c86],
            &[
                0x9b92689757fcdbd,
                0x3229fbc4681e48f3,
                0x3229fbc4681e48f3,
                0xa2becc0e61bb3823,
                0x8f20ab82d4f3687f,
                0xdce4982d97f7ac4,
            ],
        ),
        (
            Arc::new(Float64Array::from_iter_values(floats)),
            &[0xe4876492, 0x9c67b85d, 0x9c67b85d, 0x13d81357, 0xb87e1595, 0xa0eef9f9],
            &[
                0xe1fd6e07fee8ad53,
                0xb71b47ebda15746c,
                0xb71b47ebda15746c,
                0x8cdde022746f8f1f,
                0x793c5c88d313eac7,
                0xc5e60e7b75d9b232,
            ],
        ),
        (
            Arc::new(StringArray::from_iter_values(text)),
            &[
                3286402344, 2486176763, 142593372, 885025535, 2395000894, 1485273170, 0xfa37157b, 1322437556,
                0xe860e5cc, 814637928,
            ],
            &[
                0xc3629e6318d53932,
                0xe7097b6a54378d8a,
                0x98b1582b0977e704,
                0xa80d9d5a6a523bd5,
                0xfcba5f61ac666c61,
                0x88e4fe59adf7b0cc,
                0x259dd873209a3fe3,
                0x13c1d910702770e6,
                0xa17b5eb5dc364dff,
                0xf241303e4a90f299,
            ],
        ),
    ];
    for (array, murmur3, xxhash64) in cases {
        let wanted = |hashes: &[u64]| hashes.iter().map(|&hash| Some(hash)).collect::<Vec<_>>();
        assert_eq!(bits(from_ref(&array), HashScheme::SparkMurmur3), wanted(murmur3), "{}", array.data_type());
        assert_eq!(bits(from_ref(&array), HashScheme::SparkXxHash64), wanted(xxhash64), "{}", array.data_type());
    }
}

/// The table of Iceberg's specification, appendix B.
#[test]
fn icebergs_vectors() {
    let uuid = 0xf79c_3e09_677c_4bbd_a479_3f34_9cb7_85e7_u128.to_be_bytes();
    let uuid = FixedSizeBinaryArray::try_from_iter([uuid].into_iter()).expect("a uuid");
    let decimal = Decimal128Array::from(vec![1420]).with_precision_and_scale(9, 2).expect("a decimal");
    let cases: [(ArrayRef, i32); 9] = [
        (Arc::new(Int32Array::from(vec![34])), 2017239379),
        (Arc::new(Int64Array::from(vec![34])), 2017239379),
        (Arc::new(decimal), -500754589),
        (Arc::new(Date32Array::from(vec![17486])), -653330422),
        (Arc::new(Time64MicrosecondArray::from(vec![81_068_000_000])), -662762989),
        (Arc::new(TimestampMicrosecondArray::from(vec![1_510_871_468_000_000])), -2047944441),
        (Arc::new(StringArray::from(vec!["iceberg"])), 1210000089),
        (Arc::new(uuid), 1488055340),
        (Arc::new(BinaryArray::from_vec(vec![&[0, 1, 2, 3]])), -188683207),
    ];
    for (array, hash) in cases {
        assert_eq!(bits(from_ref(&array), HashScheme::Iceberg), [Some(hash as u32 as u64)], "{}", array.data_type());
    }
    let nullable: ArrayRef = Arc::new(Int32Array::from(vec![None, Some(34)]));
    assert_eq!(bits(from_ref(&nullable), HashScheme::Iceberg), [None, Some(2017239379)]);
}

/// `tests/golden/make_hash.py`.
#[test]
fn bytes_of_every_length_like_mmh3_and_xxhash() {
    let text = std::fs::read_to_string(root().join("tests/golden/hash.txt")).expect("the golden file");
    let lines: Vec<Vec<i128>> =
        text.lines().map(|line| line.split(' ').map(|word| word.parse().expect("a number")).collect()).collect();
    let data = lines.iter().map(|line| {
        let n = line[0] as usize;
        (0..n).map(|i| ((131 * i + 7 * n) % 256) as u8).collect::<Vec<_>>()
    });
    let array: ArrayRef = Arc::new(BinaryArray::from_iter_values(data));
    for (scheme, at) in [(HashScheme::Iceberg, 1), (HashScheme::XxHash64, 2), (HashScheme::SparkXxHash64, 3)] {
        let mask = if at == 1 { u64::from(u32::MAX) } else { u64::MAX };
        let wanted: Vec<_> = lines.iter().map(|line| Some(line[at] as u64 & mask)).collect();
        assert_eq!(bits(from_ref(&array), scheme), wanted, "{scheme}");
    }
}

/// libcudf's documented values (`DataFrame.hash_values`), then those of `tests/golden/make_hash_cudf.py`.
#[test]
fn libcudfs_hashes() {
    let a: ArrayRef = Arc::new(Int64Array::from(vec![10, 120, 30]));
    let b: ArrayRef = Arc::new(Float64Array::from(vec![0.0, 0.25, 0.5]));
    let wanted = |hashes: [i32; 3]| hashes.map(|hash| Some(u64::from(hash as u32))).to_vec();
    assert_eq!(bits(from_ref(&a), HashScheme::Cudf), wanted([-1930516747, 422619251, -941520876]));
    assert_eq!(bits(&[a, b], HashScheme::Cudf), wanted([-330519225, -397962448, -1345834934]));

    let golden = golden::table("hash_cudf.parquet");
    let of = |name: &str| golden.column_by_name(name).expect("a column").clone();
    let schema = golden.schema();
    let names = schema.fields().iter().map(|field| field.name().as_str()).filter(|name| !name.starts_with("hash"));
    let keys: Vec<ArrayRef> = names.clone().map(of).collect();
    assert_eq!(keys.len(), 22);
    for (name, key) in names.zip(&keys) {
        assert_eq!(&hashes(from_ref(key), HashScheme::Cudf), &of(&format!("hash_{name}")), "{name}");
    }
    assert_eq!(&hashes(&keys, HashScheme::Cudf), &of("hash"));
    for to in [DataType::LargeUtf8, DataType::Utf8View, "Dictionary(Int32, Utf8)".parse().expect("a type")] {
        let text = cast(&of("utf8"), &to).expect("text");
        assert_eq!(&hashes(from_ref(&text), HashScheme::Cudf), &of("hash_utf8"), "{to}");
    }
}

/// Java's BigInteger: the fewest bytes, most significant first.
#[test]
fn long_decimals_hash_as_the_bytes_of_a_big_integer() {
    let values: Vec<i128> =
        [0, 1, -1, 127, 128, -128, -129, 255, 256, 32767, 32768, -32769, i128::from(i64::MAX) * 7, -(1 << 100)]
            .to_vec();
    let fewest = |value: &i128| {
        // Shifting all but its low 8 n bits out and back keeps the value.
        let enough = |n: &u32| value << (128 - 8 * n) >> (128 - 8 * n) == *value;
        let n = (1..=16).find(enough).expect("sixteen are enough");
        value.to_be_bytes()[16 - n as usize..].to_vec()
    };
    let bytes: ArrayRef = Arc::new(BinaryArray::from_iter_values(values.iter().map(fewest)));
    let decimals = Decimal128Array::from(values).with_precision_and_scale(38, 4).expect("decimals");
    for scheme in [HashScheme::SparkMurmur3, HashScheme::SparkXxHash64, HashScheme::Iceberg] {
        assert_eq!(bits(&[Arc::new(decimals.clone())], scheme), bits(from_ref(&bytes), scheme), "{scheme}");
    }
    let short: ArrayRef = Arc::new(Decimal128Array::from(vec![-5, 7]).with_precision_and_scale(18, 2).expect("short"));
    let longs: ArrayRef = Arc::new(Int64Array::from(vec![-5, 7]));
    assert_eq!(bits(from_ref(&short), HashScheme::SparkMurmur3), bits(from_ref(&longs), HashScheme::SparkMurmur3));
}

#[test]
fn nulls_are_skipped_columns_chain_and_encodings_do_not_matter() {
    let a: ArrayRef = Arc::new(Int64Array::from(vec![Some(1), None, Some(-1), None]));
    let b: ArrayRef = Arc::new(StringArray::from(vec![Some("abc"), Some("abc"), None, None]));
    let alone = |array: &ArrayRef, row| bits(from_ref(array), HashScheme::SparkMurmur3)[row];
    let both = bits(&[a.clone(), b.clone()], HashScheme::SparkMurmur3);
    assert_eq!(both[1..], [alone(&b, 1), alone(&a, 2), Some(42)]);
    let views: ArrayRef = Arc::new(StringViewArray::from(vec![Some("abc"), Some("abc"), None, None]));
    let dictionary: ArrayRef = Arc::new(b.as_string::<i32>().iter().collect::<DictionaryArray<Int32Type>>());
    for scheme in [HashScheme::SparkMurmur3, HashScheme::SparkXxHash64, HashScheme::XxHash64] {
        let plain = bits(&[a.clone(), b.clone()], scheme);
        assert_eq!(bits(&[a.clone(), views.clone()], scheme), plain, "{scheme}");
        assert_eq!(bits(&[a.clone(), dictionary.clone()], scheme), plain, "{scheme}");
    }
}

/// Types that a scheme hashes, one by one and all at once: host and device.
#[test]
fn every_type_everywhere() {
    for (seed, rows) in SIZES.into_iter().enumerate() {
        let nulls = NULLS[seed % 2];
        let batch = every_type(rows, nulls, seed % 3 * 5, seed as u64);
        for scheme in SCHEMES {
            let hashed = |batch: &Batch| {
                let array = batch.columns()[0].to_array().expect("host");
                let on_host = CONTEXTS.with(|contexts| hashes_on(&contexts[0], from_ref(&array), scheme).is_ok());
                on_host.then_some(array)
            };
            let arrays: Vec<ArrayRef> = each_column(&batch).iter().filter_map(hashed).collect();
            assert!(arrays.len() >= 10, "{scheme} hashes {} types", arrays.len());
            if rows == 65 || (scheme == HashScheme::Iceberg && rows < 33) {
                arrays.iter().for_each(|array| drop(hashes(from_ref(array), scheme)));
            }
            if scheme != HashScheme::Iceberg {
                hashes(&arrays, scheme);
            }
        }
    }
}

proptest! {
    #![proptest_config(cases(24))]
    /// Some columns of any types: the same hashes everywhere, and of a row the same with others as alone.
    #[test]
    fn any_columns(
        rows in 1usize..300, skip in 0usize..70, nulls in 0usize..3, scheme in 0usize..6,
        picks in prop::collection::vec(0usize..1000, 1..4), alone in 0usize..300, seed: u64,
    ) {
        let scheme = SCHEMES[scheme];
        let batch = every_type(rows, NULLS[nulls], skip, seed);
        let one = CONTEXTS.with(|contexts| contexts[0].clone());
        let all = each_column(&batch).into_iter().map(|batch| batch.columns()[0].to_array().expect("host"));
        let all: Vec<ArrayRef> = all.filter(|array| hashes_on(&one, from_ref(array), scheme).is_ok()).collect();
        let most = if scheme == HashScheme::Iceberg { 1 } else { picks.len() };
        let columns: Vec<ArrayRef> = picks[..most].iter().map(|pick| all[pick % all.len()].clone()).collect();
        let whole = hashes(&columns, scheme);
        let row = alone % rows;
        let slices: Vec<ArrayRef> = columns.iter().map(|array| array.slice(row, 1)).collect();
        prop_assert_eq!(&hashes(&slices, scheme), &whole.slice(row, 1));
    }
}

#[test]
fn what_cannot_be_hashed_is_refused() {
    let batch = every_type(3, Nulls::None, 0, 1);
    let list = batch.column("list").expect("a list").clone();
    let one = Column::from_array(Arc::new(Int64Array::from(vec![1, 2, 3])));
    let two = Column::from_array(Arc::new(Int64Array::from(vec![1, 2])));
    for ctx in contexts() {
        let there = |column: &Column| column.to(&ctx).expect("upload");
        let (list, one, two) = (there(&list), there(&one), there(&two));
        for scheme in SCHEMES {
            let refused = |columns: &[&Column]| ops::hash(&ctx, columns, scheme).expect_err("refused");
            assert!(matches!(refused(&[&list]), Error::Unsupported { .. }));
            assert!(matches!(refused(&[]), Error::InvalidInput { .. }));
            assert!(matches!(refused(&[&one, &two]), Error::InvalidInput { .. }));
        }
        let error = ops::hash(&ctx, &[&one, &one], HashScheme::Iceberg).expect_err("two columns");
        assert!(matches!(error, Error::InvalidInput { .. }), "{error}");
    }
}

#[test]
fn memory_stays_within_the_plan() {
    with_device(|ctx| {
        for rows in [0, 1, 1000] {
            for batch in each_column(&every_type(rows, Nulls::Some, 0, 9)) {
                for scheme in SCHEMES {
                    let key = &batch.columns()[0];
                    let Ok(plan) = ops::hash_plan(&[key], scheme) else { continue };
                    let run = |ctx: &ExecCtx, batch: &Batch, _: &Column| {
                        let hashes = ops::hash(ctx, &[&batch.columns()[0]], scheme)?;
                        let field = Field::new("hash", scheme.data_type(), true);
                        Batch::try_new(Arc::new(Schema::new(vec![field])), vec![hashes], rows, ctx.placement())
                    };
                    let none = Column::from_array(Arc::new(Int32Array::from(Vec::<i32>::new())));
                    let peak = peak_under_plan(ctx, (&batch, &none), plan, run);
                    assert!(peak <= plan.workspace + plan.output, "{peak} of {plan:?}");
                }
            }
        }
    });
}

#[test]
fn names_of_schemes() {
    for scheme in SCHEMES {
        assert_eq!(scheme.to_string().parse::<HashScheme>().expect("its name"), scheme);
    }
    let error = "md5".parse::<HashScheme>().expect_err("no such scheme").to_string();
    assert!(error.contains("spark-xxhash64"), "{error}");
}

/// A view column keeps its hashes when it comes in several data buffers.
#[test]
fn views_in_several_buffers() {
    let long = |i: usize| format!("{i}: a value that is not inline");
    let mut builder = arrow::array::StringViewBuilder::new().with_fixed_block_size(64);
    (0..100).for_each(|i| builder.append_value(long(i)));
    let views = builder.finish();
    assert!(views.data_buffers().len() > 10);
    let strings: ArrayRef = Arc::new(StringArray::from_iter_values((0..100).map(long)));
    for scheme in [HashScheme::SparkMurmur3, HashScheme::XxHash64, HashScheme::Iceberg, HashScheme::Cudf] {
        let (by_views, by_strings) = (bits(&[Arc::new(views.clone())], scheme), bits(from_ref(&strings), scheme));
        assert_eq!(by_views, by_strings, "{scheme}");
    }
}
