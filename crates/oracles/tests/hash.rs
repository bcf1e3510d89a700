//! `hash` with [`HashScheme::DataFusion`] against DataFusion's own `create_hashes`, on the host; the main package's tests
//! hold the device to the host.

use std::sync::Arc;

use arrow::array::{Array, ArrayRef, DictionaryArray, NullArray, UInt64Array, new_null_array};
use arrow::array::{AsArray, BinaryArray, BinaryViewArray, BooleanArray, FixedSizeBinaryArray, LargeBinaryArray};
use arrow::array::{Date32Array, Decimal128Array, Decimal256Array, Float16Array, Float32Array, Float64Array};
use arrow::array::{Int8Array, Int16Array, Int32Array, Int64Array, IntervalDayTimeArray, IntervalMonthDayNanoArray};
use arrow::array::{LargeStringArray, StringArray, StringViewArray, TimestampNanosecondArray, UInt8Array, UInt32Array};
use arrow::datatypes::{DataType, Int16Type, IntervalDayTime, IntervalMonthDayNano, i256};
use datafusion_common::hash_utils::{RandomState, create_hashes};
use half::f16;
use warpline::ops::{HashScheme, hash};
use warpline::{Column, ExecCtx};

const ROWS: usize = 700;

/// SplitMix64 (Steele, Lea, Flood 2014).
struct Random(u64);

impl Random {
    fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut z = self.0;
        z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        z ^ (z >> 31)
    }

    /// A value for each row, null in one of `nulls` rows, in none for 0.
    fn column<T>(&mut self, nulls: u64, mut value: impl FnMut(&mut Self) -> T) -> Vec<Option<T>> {
        let one = |_| {
            let valid = nulls == 0 || !self.next().is_multiple_of(nulls);
            let value = value(self);
            valid.then_some(value)
        };
        (0..ROWS).map(one).collect()
    }

    /// Of all lengths that foldhash treats apart.
    fn text(&mut self) -> String {
        let most = [1, 4, 8, 13, 17, 40, 129, 257, 600][self.next() as usize % 9];
        let length = self.next() as usize % most;
        (0..length).map(|_| char::from(b'!' + (self.next() % 90) as u8)).collect()
    }

    fn float(&mut self) -> f64 {
        let bits = self.next();
        [0.0, -0.0, f64::NAN, -f64::NAN, f64::INFINITY, 1.5, f64::from_bits(bits)][bits as usize % 7]
    }
}

/// A column of every type that has a hash, views with and without data buffers, dictionaries with nulls in their values.
fn columns(seed: u64, nulls: u64) -> Vec<ArrayRef> {
    let mut r = Random(seed);
    let wide = |r: &mut Random| i128::from(r.next() as i64) << (r.next() % 64);
    let texts = r.column(nulls, Random::text);
    let short = r.column(nulls, |r| r.text().chars().take(12).collect::<String>());
    let bytes: Vec<_> = texts.iter().map(|text| text.as_ref().map(|text| text.as_bytes())).collect();
    let keys = r.column(nulls, |r| (r.next() % 50) as i16);
    let dictionary = |values: ArrayRef| -> ArrayRef {
        let keys = keys.iter().copied().collect::<arrow::array::Int16Array>();
        Arc::new(DictionaryArray::<Int16Type>::try_new(keys, values.slice(3, 60)).expect("a dictionary"))
    };
    let strings: ArrayRef = Arc::new(StringArray::from(texts.clone()));
    let views: ArrayRef = Arc::new(StringViewArray::from_iter(texts.clone()));
    let numbers: ArrayRef = Arc::new(Int64Array::from_iter(r.column(nulls, |r| r.next() as i64)));
    let fixed = r.column(nulls, |r| r.next().to_le_bytes()[..5].to_vec()).into_iter();
    vec![
        Arc::new(BooleanArray::from(r.column(nulls, |r| r.next() % 2 == 0))),
        Arc::new(Int8Array::from(r.column(nulls, |r| r.next() as i8))),
        Arc::new(UInt8Array::from(r.column(nulls, |r| r.next() as u8))),
        Arc::new(Int16Array::from(r.column(nulls, |r| r.next() as i16))),
        Arc::new(Int32Array::from(r.column(nulls, |r| r.next() as i32))),
        Arc::new(UInt32Array::from(r.column(nulls, |r| r.next() as u32))),
        numbers.clone(),
        Arc::new(Float16Array::from_iter(r.column(nulls, |r| f16::from_f64(r.float())))),
        Arc::new(Float32Array::from(r.column(nulls, |r| r.float() as f32))),
        Arc::new(Float64Array::from(r.column(nulls, |r| r.float()))),
        Arc::new(Date32Array::from(r.column(nulls, |r| r.next() as i32))),
        Arc::new(TimestampNanosecondArray::from(r.column(nulls, |r| r.next() as i64))),
        Arc::new(Decimal128Array::from(r.column(nulls, wide))),
        Arc::new(Decimal256Array::from(r.column(nulls, |r| i256::from_parts(u128::from(r.next()), wide(r))))),
        Arc::new(IntervalDayTimeArray::from(
            r.column(nulls, |r| IntervalDayTime::new(r.next() as i32, r.next() as i32)),
        )),
        Arc::new(IntervalMonthDayNanoArray::from(
            r.column(nulls, |r| IntervalMonthDayNano::new(r.next() as i32, r.next() as i32, r.next() as i64)),
        )),
        Arc::new(FixedSizeBinaryArray::try_from_sparse_iter_with_size(fixed, 5).expect("five bytes")),
        Arc::new(LargeStringArray::from(texts.clone())),
        Arc::new(StringViewArray::from_iter(short)),
        Arc::new(BinaryArray::from(bytes.clone())),
        Arc::new(LargeBinaryArray::from(bytes.clone())),
        Arc::new(BinaryViewArray::from_iter(bytes)),
        dictionary(strings.clone()),
        dictionary(views.clone()),
        dictionary(numbers),
        strings,
        views,
        Arc::new(NullArray::new(ROWS)),
    ]
}

/// As DataFusion's repartition and joins call it.
fn by_data_fusion(columns: &[&ArrayRef]) -> Vec<u64> {
    let mut hashes = vec![0; columns[0].len()];
    let columns = columns.iter().map(|column| column.as_ref());
    create_hashes(columns, &RandomState::with_seed(0), &mut hashes).expect("hashes");
    hashes
}

fn check(columns: &[&ArrayRef]) {
    let ctx = ExecCtx::host(2).expect("a host context");
    let keys: Vec<Column> = columns.iter().map(|column| Column::from_array(ArrayRef::clone(column))).collect();
    let hashes = hash(&ctx, &keys.iter().collect::<Vec<_>>(), HashScheme::DataFusion).expect("hashes");
    let hashes = hashes.to_array().expect("host");
    let types: Vec<&DataType> = columns.iter().map(|column| column.data_type()).collect();
    assert_eq!(
        hashes.as_primitive::<arrow::datatypes::UInt64Type>(),
        &UInt64Array::from(by_data_fusion(columns)),
        "{types:?}"
    );
}

#[test]
fn each_type_alone_first_and_second() {
    for (seed, nulls) in [(1, 0), (2, 3)] {
        let all = columns(seed, nulls);
        for column in &all {
            check(&[column]);
            check(&[&column.slice(13, 500)]);
            check(&[&all[6], column]);
            check(&[column, &all[25], column]);
        }
    }
}

#[test]
fn nothing_but_nulls_and_nothing_at_all() {
    for column in columns(3, 0) {
        check(&[&new_null_array(column.data_type(), 40)]);
        check(&[&column.slice(0, 0)]);
    }
}
