//! Host twin: rows in tasks, columns in their order for each row.

use arrow::array::{ArrayRef, Int32Array, Int64Array, UInt32Array, UInt64Array};
use arrow::buffer::{BooleanBuffer, NullBuffer};
use rayon::prelude::*;

use std::ops::Range;
use std::sync::Arc;

use crate::column::Column;
use crate::device::ExecCtx;
use crate::error::Result;
use crate::ops::keys::{HostKey, KeyKind, Reading};

use super::HashScheme;
use super::algorithms::{FOLD_START, combine, cudf_combine, fold_bytes, fold_words, murmur3, xxhash64};
use super::scheme::Form;

/// Rows of a task: enough to outweigh handing it to a thread.
const TASK_ROWS: usize = 1 << 14;
/// Rows whose hashes and words are at hand at a time, in a thread's first cache.
const BLOCK_ROWS: usize = 512;

/// See [`super::hash`].
pub(super) fn hash(ctx: &ExecCtx, columns: &[&Column], readings: &[Reading], scheme: HashScheme) -> Result<Column> {
    let keys = Keys::new(columns, readings, scheme)?;
    let rows = columns[0].len();
    let hashes = keys.map(ctx, rows, |hash| hash);
    let array: ArrayRef = match scheme {
        HashScheme::DataFusion | HashScheme::XxHash64 => Arc::new(UInt64Array::from(hashes)),
        HashScheme::SparkXxHash64 => Arc::new(Int64Array::from_iter_values(hashes.iter().map(|&hash| hash as i64))),
        HashScheme::SparkMurmur3 => Arc::new(Int32Array::from_iter_values(hashes.iter().map(|&hash| hash as i32))),
        HashScheme::Cudf => Arc::new(UInt32Array::from_iter_values(hashes.iter().map(|&hash| hash as u32))),
        HashScheme::Iceberg => {
            let valid = BooleanBuffer::collect_bool(rows, |row| keys.keys[0].find(row).is_some());
            let nulls = Some(NullBuffer::new(valid)).filter(|nulls| nulls.null_count() > 0);
            let values: Vec<i32> = hashes.iter().map(|&hash| hash as i32).collect();
            Arc::new(Int32Array::new(values.into(), nulls))
        }
    };
    Ok(Column::from_array(array))
}

/// What `each` makes of the hash of every row, of a row without one of 0.
pub(in crate::ops) fn map<T: Send + Clone + Default>(
    ctx: &ExecCtx,
    columns: &[&Column],
    readings: &[Reading],
    scheme: HashScheme,
    each: impl Fn(u64) -> T + Sync,
) -> Result<Vec<T>> {
    Ok(Keys::new(columns, readings, scheme)?.map(ctx, columns[0].len(), each))
}

/// Key columns and how to hash them.
struct Keys {
    scheme: HashScheme,
    keys: Vec<HostKey>,
}

impl Keys {
    fn new(columns: &[&Column], readings: &[Reading], scheme: HashScheme) -> Result<Self> {
        let keys = columns.iter().zip(readings).map(|(column, reading)| HostKey::new(column, *reading));
        Ok(Keys { scheme, keys: keys.collect::<Result<_>>()? })
    }

    fn map<T: Send + Clone + Default>(&self, ctx: &ExecCtx, rows: usize, each: impl Fn(u64) -> T + Sync) -> Vec<T> {
        let mut all = vec![T::default(); rows];
        let task = |(task, out): (usize, &mut [T])| {
            let (mut hashes, mut words) = ([0; BLOCK_ROWS], [0; BLOCK_ROWS]);
            for (block, out) in out.chunks_mut(BLOCK_ROWS).enumerate() {
                let first = task * TASK_ROWS + block * BLOCK_ROWS;
                let (hashes, words) = (&mut hashes[..out.len()], &mut words[..out.len()]);
                self.block(first..first + out.len(), hashes, words);
                out.iter_mut().zip(hashes).for_each(|(out, hash)| *out = each(*hash));
            }
        };
        ctx.pool().install(|| all.par_chunks_mut(TASK_ROWS).enumerate().for_each(task));
        all
    }

    /// The hashes of some rows, column by column.
    fn block(&self, rows: Range<usize>, hashes: &mut [u64], words: &mut [u64]) {
        hashes.fill(if self.scheme.is_spark() { 42 } else { 0 });
        for (i, key) in self.keys.iter().enumerate() {
            if form(key) == Form::Word && key.words(rows.clone(), words) {
                self.add_words(key.reading.out_width, i == 0, hashes, words);
            } else {
                let rows = rows.clone();
                hashes.iter_mut().zip(rows).for_each(|(hash, row)| *hash = self.add(key, i == 0, row, *hash));
            }
        }
    }

    /// The hashes with a word of one more column each; in loops of their own, as finding out for each row what to do takes
    /// longer than to do it.
    fn add_words(&self, out_width: u64, first: bool, hashes: &mut [u64], words: &[u64]) {
        fn each(hashes: &mut [u64], words: &[u64], add: impl Fn(u64, u64) -> u64) {
            hashes.iter_mut().zip(words).for_each(|(hash, word)| *hash = add(*hash, *word));
        }
        let four = |word: u64| (word as u32).to_le_bytes();
        match (self.scheme, out_width) {
            (HashScheme::DataFusion, _) if first => each(hashes, words, |_, word| fold_words(FOLD_START, word, 0)),
            (HashScheme::DataFusion, _) => each(hashes, words, |hash, word| fold_words(hash ^ FOLD_START, word, 0)),
            (HashScheme::Cudf, width) => {
                each(hashes, words, |hash, word| cudf(hash, self.bytes(&word.to_le_bytes()[..width as usize], 0)))
            }
            (HashScheme::SparkMurmur3, 4) => {
                each(hashes, words, |hash, word| murmur3(&four(word), hash as u32, true).into())
            }
            (HashScheme::SparkMurmur3, 8) => {
                each(hashes, words, |hash, word| murmur3(&word.to_le_bytes(), hash as u32, true).into())
            }
            (HashScheme::SparkXxHash64 | HashScheme::XxHash64, 4) => {
                each(hashes, words, |hash, word| xxhash64(&four(word), hash))
            }
            (HashScheme::SparkXxHash64 | HashScheme::XxHash64, 8) => {
                each(hashes, words, |hash, word| xxhash64(&word.to_le_bytes(), hash))
            }
            (_, width) => each(hashes, words, |hash, word| self.bytes(&word.to_le_bytes()[..width as usize], hash)),
        }
    }

    /// The hash with that of a row's value in one more column.
    fn add(&self, key: &HostKey, first: bool, row: usize, hash: u64) -> u64 {
        match (key.find(row), self.scheme) {
            (Some(at), HashScheme::DataFusion) => data_fusion(key, at, first, hash),
            (Some(at), HashScheme::Cudf) => cudf(hash, self.seeded(key, at, 0)),
            (None, HashScheme::Cudf) => cudf(hash, u64::from(u32::MAX)),
            (Some(at), _) => self.seeded(key, at, hash),
            (None, HashScheme::DataFusion) if key.reading.kind == KeyKind::Null => {
                let one = fold_words(FOLD_START, 1, 0);
                if first { one } else { combine(one, hash) }
            }
            (None, _) => hash,
        }
    }

    /// A value hashed from the hash so far.
    fn seeded(&self, key: &HostKey, at: usize, seed: u64) -> u64 {
        let width = key.reading.out_width as usize;
        match form(key) {
            Form::Word => self.bytes(&key.word(at).to_le_bytes()[..width], seed),
            Form::Float => self.bytes(&float_bits(key, at, true).to_le_bytes()[..width], seed),
            Form::Integer => {
                let bytes = key.slice(at);
                let most = bytes.len() - 1;
                let negative = bytes[most] >= 0x80;
                let fill = if negative { 0xff } else { 0 };
                let spare = |&i: &usize| bytes[i] == fill && (bytes[i - 1] >= 0x80) == negative;
                let length = bytes.len() - (1..=most).rev().take_while(spare).count();
                let mut reversed = [0; 32];
                reversed[..length].copy_from_slice(&bytes[..length]);
                reversed[..length].reverse();
                self.bytes(&reversed[..length], seed)
            }
            _ => self.bytes(key.slice(at), seed),
        }
    }

    fn bytes(&self, bytes: &[u8], seed: u64) -> u64 {
        match self.scheme {
            HashScheme::SparkMurmur3 => u64::from(murmur3(bytes, seed as u32, true)),
            HashScheme::Iceberg | HashScheme::Cudf => u64::from(murmur3(bytes, seed as u32, false)),
            _ => xxhash64(bytes, seed),
        }
    }
}

fn cudf(hash: u64, one: u64) -> u64 {
    u64::from(cudf_combine(hash as u32, one as u32))
}

fn form(key: &HostKey) -> Form {
    Form::ALL[key.reading.form as usize]
}

/// The bits of a float; a zero without its sign, and with `one_nan` any NaN as Java's.
fn float_bits(key: &HostKey, at: usize, one_nan: bool) -> u64 {
    let bits = key.word(at);
    let (sign, infinity, nan) = match key.reading.width {
        2 => (1 << 15, 0x7c00, 0x7e00),
        4 => (1 << 31, 0x7f80_0000, 0x7fc0_0000),
        _ => (1 << 63, 0x7ff0_0000_0000_0000, 0x7ff8_0000_0000_0000),
    };
    match bits & !sign {
        0 => 0,
        magnitude if one_nan && magnitude > infinity => nan,
        _ => bits,
    }
}

/// A value hashed by DataFusion; what another column's hash goes into depends on the type.
fn data_fusion(key: &HostKey, at: usize, first: bool, hash: u64) -> u64 {
    if key.is_dictionary() && !first {
        return combine(data_fusion(key, at, true, 0), hash);
    }
    let seeded = if first { FOLD_START } else { hash ^ FOLD_START };
    let joined = |one| if first { one } else { combine(one, hash) };
    let sized = |state, bytes: &[u8]| fold_words(fold_bytes(state, bytes), bytes.len() as u64, 0);
    match form(key) {
        Form::Bool => joined(fold_words(FOLD_START, key.word(at), 0)),
        Form::Float if first => fold_words(seeded, float_bits(key, at, false), 0),
        Form::Float => fold_bytes(seeded, &float_bits(key, at, false).to_le_bytes()[..key.reading.width]),
        Form::Wide => {
            let words = key.slice(at).as_chunks::<16>().0.iter().map(|value| u128::from_le_bytes(*value));
            words.fold(seeded, |state, value| fold_words(state, value as u64, (value >> 64) as u64))
        }
        Form::View if key.view(at)[0] as u32 <= 12 => {
            let [low, high] = key.view(at);
            fold_words(seeded, low, high)
        }
        Form::View => sized(seeded, key.slice(at)),
        Form::Text => joined(fold_words(fold_bytes(FOLD_START, key.slice(at)), 0xff, 0)),
        Form::Binary => joined(sized(FOLD_START, key.slice(at))),
        _ => fold_words(seeded, key.word(at), 0),
    }
}
