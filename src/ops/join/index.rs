//! Host twin: the index of the built table by its keys. A key has the number of its first row; rows with the same key
//! form a chain.

use std::mem::replace;
use std::ops::Range;

use arrow::row::Rows;
use hashbrown::HashTable;
use hashbrown::hash_table::Entry;

use super::keys::{Form, Keys};

/// No row: a key that no built row has, and the end of a chain.
pub(super) const END: u32 = u32::MAX;

/// Built rows by key.
#[derive(Debug)]
pub(super) struct Index {
    firsts: Firsts,
    /// For each row the next one with the same key.
    next: Vec<u32>,
    /// How many rows a chain has from this row on; empty where no key comes twice.
    chains: Vec<u32>,
}

/// The first row of each key.
#[derive(Debug)]
enum Firsts {
    /// By the distance of the key from the lowest: keys are integers close to each other.
    Direct { lowest: i64, rows: Vec<u32> },
    /// By keys that are words.
    Words(HashTable<Slot>),
    /// By the hashes of keys in row format.
    Rows { slots: HashTable<Slot>, keys: Rows },
}

/// A key, or the hash of one in row format, and its first row.
#[derive(Debug)]
struct Slot {
    code: u64,
    row: u32,
}

impl Index {
    /// Indexes so many rows.
    pub(super) fn new(keys: Keys, len: usize) -> Self {
        let Keys { form, matchable } = keys;
        let mut next = vec![END; len];
        // From the last row to the first, so that chains run in row order.
        let rows = (0..len).rev().filter(|row| matchable.contains(*row));
        let firsts = match form {
            Form::Words(words) => match direct_range(rows.clone().map(|row| words[row] as i64), len) {
                Some((lowest, width)) => {
                    let mut firsts = vec![END; width];
                    for row in rows {
                        next[row] = replace(&mut firsts[distance(words[row], lowest)], row as u32);
                    }
                    Firsts::Direct { lowest, rows: firsts }
                }
                None => {
                    let mut slots = HashTable::with_capacity(len);
                    for row in rows {
                        let new = Slot { code: words[row], row: row as u32 };
                        next[row] = put(&mut slots, new, hash_word, |_| true);
                    }
                    Firsts::Words(slots)
                }
            },
            Form::Rows(keys) => {
                let mut slots = HashTable::with_capacity(len);
                let key = |row: usize| keys.row(row).data();
                for row in rows {
                    let new = Slot { code: hash(key(row)), row: row as u32 };
                    next[row] = put(&mut slots, new, |hash| hash, |other| key(other as usize) == key(row));
                }
                Firsts::Rows { slots, keys }
            }
        };
        let chains = chains(&next);
        Index { firsts, next, chains }
    }

    pub(super) fn nbytes(&self) -> usize {
        let firsts = match &self.firsts {
            Firsts::Direct { rows, .. } => 4 * rows.len(),
            Firsts::Words(slots) => slots.allocation_size(),
            Firsts::Rows { slots, keys } => slots.allocation_size() + keys.size(),
        };
        firsts + 4 * (self.next.len() + self.chains.len())
    }

    /// Whether no two rows have the same key.
    pub(super) fn is_unique(&self) -> bool {
        self.chains.is_empty()
    }

    /// The first built row with the key of each of these rows of another table; [`END`] where there is none.
    pub(super) fn firsts(&self, keys: &Keys, range: Range<usize>) -> Vec<u32> {
        match (&self.firsts, &keys.form) {
            (Firsts::Direct { lowest, rows }, Form::Words(words)) => {
                each(keys, range, |row| rows.get(distance(words[row], *lowest)).copied().unwrap_or(END))
            }
            (Firsts::Words(slots), Form::Words(words)) => each(keys, range, |row| {
                let slot = slots.find(hash_word(words[row]), |slot| slot.code == words[row]);
                slot.map_or(END, |slot| slot.row)
            }),
            (Firsts::Rows { slots, keys: built }, Form::Rows(probed)) => each(keys, range, |row| {
                let key = probed.row(row).data();
                let code = hash(key);
                let slot = slots.find(code, |slot| slot.code == code && built.row(slot.row as usize).data() == key);
                slot.map_or(END, |slot| slot.row)
            }),
            // Both sides have keys of one form, as it follows from their common types.
            _ => each(keys, range, |_| END),
        }
    }

    /// How many built rows have the key of this first one.
    pub(super) fn count(&self, first: u32) -> u32 {
        match first {
            END => 0,
            row => self.chains.get(row as usize).copied().unwrap_or(1),
        }
    }

    /// The built rows with the key of this first one, ascending.
    pub(super) fn chain(&self, first: u32) -> impl Iterator<Item = u32> {
        let mut row = first;
        std::iter::from_fn(move || {
            let this = (row != END).then_some(row)?;
            row = self.next[this as usize];
            Some(this)
        })
    }
}

/// What `first` gives for each row that may match, [`END`] for others.
fn each(keys: &Keys, range: Range<usize>, first: impl Fn(usize) -> u32) -> Vec<u32> {
    range.map(|row| if keys.matchable.contains(row) { first(row) } else { END }).collect()
}

/// The lowest of the keys and how many numbers there are from it to the highest, if a table of all of those takes no more
/// than a hash table of so many keys, which has 17 bytes for each and one in eight free at least.
fn direct_range(keys: impl Iterator<Item = i64>, len: usize) -> Option<(i64, usize)> {
    let (lowest, highest) = keys.fold((i64::MAX, i64::MIN), |(low, high), key| (low.min(key), high.max(key)));
    let width = usize::try_from(i128::from(highest) - i128::from(lowest) + 1).ok()?;
    (width <= len.saturating_mul(17 * 8 / 7 / size_of::<u32>())).then_some((lowest, width))
}

/// How far a key is above the lowest; a key below it wraps around to a distance past every table.
fn distance(word: u64, lowest: i64) -> usize {
    usize::try_from(word.wrapping_sub(lowest as u64)).unwrap_or(usize::MAX)
}

/// For each row how many rows its chain has from it on; nothing where no chain has two.
fn chains(next: &[u32]) -> Vec<u32> {
    if next.iter().all(|next| *next == END) {
        return Vec::new();
    }
    let mut chains = vec![1; next.len()];
    for row in (0..next.len()).rev().filter(|row| next[*row] != END) {
        chains[row] += chains[next[row] as usize];
    }
    chains
}

/// Puts a row before those of its key, of which it gives the first. `same` tells whether a row with this code has the key.
fn put(slots: &mut HashTable<Slot>, new: Slot, hash: impl Fn(u64) -> u64, same: impl Fn(u32) -> bool) -> u32 {
    let is_key = |slot: &Slot| slot.code == new.code && same(slot.row);
    match slots.entry(hash(new.code), is_key, |slot| hash(slot.code)) {
        Entry::Occupied(mut slot) => replace(&mut slot.get_mut().row, new.row),
        Entry::Vacant(free) => {
            free.insert(new);
            END
        }
    }
}

fn hash_word(word: u64) -> u64 {
    mix(0, word)
}

/// A hash of a key's bytes, word by word.
fn hash(key: &[u8]) -> u64 {
    let (words, tail) = key.as_chunks::<8>();
    let hash = words.iter().fold(key.len() as u64, |hash, word| mix(hash, u64::from_le_bytes(*word)));
    match tail {
        [] => hash,
        _ => mix(hash, tail.iter().rev().fold(0, |word, byte| word << 8 | u64::from(*byte))),
    }
}

/// The finalizer of MurmurHash3_x64_128 (Appleby, smhasher), over a word on top of a hash.
fn mix(hash: u64, word: u64) -> u64 {
    let hash = (hash ^ word).wrapping_mul(0xff51_afd7_ed55_8ccd);
    let hash = (hash ^ hash >> 33).wrapping_mul(0xc4ce_b9fe_1a85_ec53);
    hash ^ hash >> 33
}
