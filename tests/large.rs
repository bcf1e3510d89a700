//! A column whose last rows lie past 4 GiB, of strings of a megabyte: where 32 bits would not do.

use std::sync::Arc;

use arrow::array::{Array, ArrayRef, AsArray, BooleanArray, LargeStringArray, UInt32Array};
use arrow::buffer::{Buffer, OffsetBuffer, ScalarBuffer};
use warpline::ops::expr::Expr;
use warpline::ops::{self, HashScheme};
use warpline::{Batch, Column, ExecCtx};

use crate::common::contexts;

const ROWS: usize = 4200;

/// Its number, then a letter as often as it takes.
fn text(row: usize) -> String {
    let mut text = format!("{row:08} ");
    let letter = char::from(b'a' + (row % 26) as u8);
    text.extend(std::iter::repeat_n(letter, (1 << 20) + row % 7));
    text
}

fn column() -> LargeStringArray {
    let (mut bytes, mut offsets) = (Vec::with_capacity(ROWS * ((1 << 20) + 16)), vec![0]);
    for row in 0..ROWS {
        bytes.extend_from_slice(text(row).as_bytes());
        offsets.push(bytes.len() as i64);
    }
    LargeStringArray::new(OffsetBuffer::new(ScalarBuffer::from(offsets)), Buffer::from_vec(bytes), None)
}

fn batch(array: ArrayRef) -> Batch {
    let batch = arrow::array::RecordBatch::try_from_iter([("s", array)]).expect("a batch");
    Batch::from_record_batch(&batch)
}

/// The rows of a result are these, by their whole text.
#[track_caller]
fn assert_rows(found: &Batch, rows: &[usize]) {
    let found = found.to_host().expect("download").columns()[0].to_array().expect("host");
    let found = found.as_string::<i64>();
    assert_eq!(found.len(), rows.len());
    rows.iter().enumerate().for_each(|(i, row)| assert!(found.value(i) == text(*row), "row {i} is not {row}"));
}

fn check(ctx: &ExecCtx, all: &Batch) {
    let last = ROWS - 1;
    let there = all.to(ctx).expect("upload");
    let up = |array: ArrayRef| Column::from_array(array).to(ctx).expect("upload");
    let mask = up(Arc::new(BooleanArray::from_iter((0..ROWS).map(|row| Some(row % 2100 == 0 || row >= last)))));
    assert_rows(&ops::filter(ctx, &there, &mask).expect("rows"), &[0, 2100, last]);
    let rows = up(Arc::new(UInt32Array::from(vec![last as u32, 0, last as u32 - 1])));
    assert_rows(&ops::gather(ctx, &there, &rows).expect("rows"), &[last, 0, last - 1]);
    assert_rows(&ops::slice(ctx, &there, last - 1, 2).expect("rows"), &[last - 1, last]);
    let condition = Expr::parse("s LIKE '0000419%' AND length(s) = 1048589").and_then(|e| e.bind(there.schema()));
    let met: Vec<usize> = (4190..ROWS).filter(|row| row % 7 == 4).collect();
    assert_rows(&ops::filter_where(ctx, &there, &condition.expect("it binds")).expect("rows"), &met);
    // The last rows' hashes are those of the same strings in a column of their own.
    let few: ArrayRef = Arc::new(LargeStringArray::from_iter_values((last - 2..ROWS).map(text)));
    for scheme in [HashScheme::DataFusion, HashScheme::SparkMurmur3] {
        let hash = |column: &Column| {
            let hashes = ops::hash(ctx, &[column], scheme).expect("hashes").to_host().expect("download");
            hashes.to_array().expect("host")
        };
        assert_eq!(&hash(&there.columns()[0]).slice(last - 2, 3), &hash(&up(few.clone())), "{scheme}");
    }
    let parts = [ops::slice(ctx, &there, 0, last).expect("rows"), ops::slice(ctx, &there, last, 1).expect("rows")];
    drop(there);
    let whole = ops::concat(ctx, &parts).expect("rows");
    drop(parts);
    assert_eq!(whole.num_rows(), ROWS);
    assert_rows(&ops::slice(ctx, &whole, last - 1, 2).expect("rows"), &[last - 1, last]);
}

#[test]
#[ignore = "21 GiB of memory with the emulator: run it alone, as docs/testing.md says"]
fn rows_past_four_gib() {
    let array = column();
    assert!(*array.value_offsets().last().expect("an end") > 1 << 32);
    let all = batch(Arc::new(array));
    contexts().iter().for_each(|ctx| check(ctx, &all));
}
