//! Host twin: the index of the built table by its keys. A key has the number of its first row; rows with the same key
//! form a chain.

use std::ops::Range;

use arrow::row::Rows;

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
    /// A hash table of keys that are words, with linear probing, as the following.
    Words(Vec<WordSlot>),
    /// A hash table of keys in row format.
    Rows { slots: Vec<RowSlot>, keys: Rows },
}

/// A key and its first row; [`END`] in a free slot. Tables have a power of two of them, half of them free at least.
#[derive(Clone, Copy, Debug)]
struct WordSlot {
    word: u64,
    row: u32,
}

/// The upper half of a key's hash, which saves most looks at other keys, and its first row.
#[derive(Clone, Copy, Debug)]
struct RowSlot {
    tag: u32,
    row: u32,
}

impl Index {
    /// Indexes so many rows.
    pub(super) fn new(keys: Keys, len: usize) -> Self {
        let mut next = vec![END; len];
        let slots = (2 * len).next_power_of_two();
        let Keys { form, matchable } = keys;
        // From the last row to the first, so that chains run in row order.
        let rows = (0..len).rev().filter(|row| matchable.contains(*row));
        let firsts = match form {
            Form::Words(words) => match direct_range(rows.clone().map(|row| words[row] as i64), slots) {
                Some((lowest, width)) => {
                    let mut firsts = vec![END; width];
                    for row in rows {
                        next[row] = std::mem::replace(&mut firsts[distance(words[row], lowest)], row as u32);
                    }
                    Firsts::Direct { lowest, rows: firsts }
                }
                None => {
                    let mut slots = vec![WordSlot { word: 0, row: END }; slots];
                    for row in rows {
                        let at = find_word(&slots, words[row]);
                        next[row] = slots[at].row;
                        slots[at] = WordSlot { word: words[row], row: row as u32 };
                    }
                    Firsts::Words(slots)
                }
            },
            Form::Rows(keys) => {
                let mut slots = vec![RowSlot { tag: 0, row: END }; slots];
                for row in rows {
                    let key = keys.row(row).data();
                    let hash = hash(key);
                    let at = find_row(&slots, &keys, key, hash);
                    next[row] = slots[at].row;
                    slots[at] = RowSlot { tag: (hash >> 32) as u32, row: row as u32 };
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
            Firsts::Words(slots) => slots.len() * size_of::<WordSlot>(),
            Firsts::Rows { slots, keys } => slots.len() * size_of::<RowSlot>() + keys.size(),
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
            (Firsts::Words(slots), Form::Words(words)) => {
                each(keys, range, |row| slots[find_word(slots, words[row])].row)
            }
            (Firsts::Rows { slots, keys: built }, Form::Rows(probed)) => each(keys, range, |row| {
                let key = probed.row(row).data();
                slots[find_row(slots, built, key, hash(key))].row
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

/// The lowest of the keys and how many numbers there are from it to the highest, where a table of all of those takes no
/// more than `slots` [`WordSlot`]s.
fn direct_range(keys: impl Iterator<Item = i64>, slots: usize) -> Option<(i64, usize)> {
    let (lowest, highest) = keys.fold((i64::MAX, i64::MIN), |(low, high), key| (low.min(key), high.max(key)));
    let width = usize::try_from(i128::from(highest) - i128::from(lowest) + 1).ok()?;
    (width <= slots * (size_of::<WordSlot>() / size_of::<u32>())).then_some((lowest, width))
}

/// How far a key is above the lowest; a key below it wraps around to a distance past every table.
fn distance(word: u64, lowest: i64) -> usize {
    word.wrapping_sub(lowest as u64) as usize
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

/// The slot that a key has or would get.
fn find_word(slots: &[WordSlot], word: u64) -> usize {
    let mask = slots.len() - 1;
    let mut at = mix(0, word) as usize & mask;
    while slots[at].row != END && slots[at].word != word {
        at = (at + 1) & mask;
    }
    at
}

/// As [`find_word`], for a key in row format and its hash.
fn find_row(slots: &[RowSlot], keys: &Rows, key: &[u8], hash: u64) -> usize {
    let (mask, tag) = (slots.len() - 1, (hash >> 32) as u32);
    let mut at = hash as usize & mask;
    loop {
        let slot = slots[at];
        if slot.row == END || (slot.tag == tag && keys.row(slot.row as usize).data() == key) {
            return at;
        }
        at = (at + 1) & mask;
    }
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
