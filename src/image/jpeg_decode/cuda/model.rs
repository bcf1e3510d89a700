//! A model of the synchronising kernels that counts symbols: what kernels/include/jpeg_huffman.cuh does, slot by slot, in
//! plain Rust. The kernels' results are judged elsewhere; this says how often they decode each symbol.

use super::header::{Route, ScanJob, TablePair, route};
use super::layout::period;
use crate::image::jpeg_decode::DecodeOptions;
use crate::image::jpeg_decode::huffman::{Table, TableSpec};
use crate::image::jpeg_decode::scan::BlockPlace;

const QUARTER: usize = 256;
const QUARTERS: usize = 4;
const SLOTS_OF_A_BLOCK: usize = 128;
const REPEATS: usize = 24;

/// Bits past a quarter's border, the unit modulo the period, and the zigzag position.
type Place = (usize, usize, usize);

/// A scan without restarts, destuffed.
struct Model {
    plain: Vec<u8>,
    /// DC and AC table of each unit of a period.
    units: Vec<(Table, Table)>,
    /// Symbols decoded so far.
    symbols: u64,
}

impl Model {
    fn new(data: &[u8], scan: &ScanJob) -> Self {
        let mut plain = Vec::new();
        let raw = &data[scan.raw.clone()];
        let mut at = 0;
        while raw[at] != 0xff || raw[at + 1] == 0 {
            plain.push(raw[at]);
            at += if raw[at] == 0xff { 2 } else { 1 };
        }
        // Equal tables get equal numbers.
        let same = |a: &Option<TableSpec>, b: &Option<TableSpec>| match (a, b) {
            (Some(a), Some(b)) => a.counts == b.counts && a.symbols == b.symbols,
            _ => false,
        };
        let number = |slot: usize, of: fn(&TablePair) -> &Option<TableSpec>| {
            let found = scan.tables.iter().position(|tables| same(of(tables), of(&scan.tables[slot])));
            found.expect("a table equals itself") as u16
        };
        let places = &scan.layout.places;
        let numbers: Vec<_> = places.iter().map(|p| (number(p.slot, |t| &t.0), number(p.slot, |t| &t.1))).collect();
        let derive = |spec: &Option<TableSpec>, dc| Table::derive(spec.as_ref(), dc).expect("a sound table");
        let unit = |place: &BlockPlace| {
            let (dc, ac) = &scan.tables[place.slot];
            (derive(dc, true), derive(ac, false))
        };
        let units = places[..usize::from(period(&numbers))].iter().map(unit).collect();
        Model { plain, units, symbols: 0 }
    }

    fn bits(&self) -> usize {
        8 * self.plain.len()
    }

    fn peek(&self, bit: usize) -> u32 {
        let byte = |i: usize| u64::from(self.plain.get(bit / 8 + i).copied().unwrap_or(0));
        let five = (0..5).fold(0, |word, i| word << 8 | byte(i));
        (five >> (8 - bit % 8)) as u32
    }

    /// The state at the end of a quarter, as `walk_quarter`.
    fn walk(&mut self, border: usize, (over, mut unit, mut k): Place) -> Place {
        let end = (border + QUARTER).min(self.bits());
        let mut bit = border + over;
        if bit >= end {
            return (0, unit, k);
        }
        while bit < end {
            let next = self.peek(bit);
            let table = if k == 0 { &self.units[unit].0 } else { &self.units[unit].1 };
            let code = |length: &usize| (next >> (32 - length)) as i32;
            let length = (1..=16).find(|length| code(length) <= table.max_code[*length]);
            let symbol =
                length.map_or(0, |length| table.symbols[(code(&length) + table.offset[length]) as usize & 255]);
            let (run, size) = (usize::from(symbol >> 4), usize::from(symbol & 15));
            bit += length.map_or(16, |length| length + size);
            k = match k {
                0 => 1,
                _ if size != 0 => k + run + 1,
                _ if run == 15 => k + 16,
                _ => 64,
            };
            self.symbols += 1;
            if k >= 64 {
                (k, unit) = (0, (unit + 1) % self.units.len());
            }
        }
        ((bit - border).saturating_sub(QUARTER), unit, k)
    }

    /// Decodes a slot from an entry until it agrees with what is there.
    fn walk_slot(&mut self, slot: usize, entry: Place, states: &mut [Option<Place>]) {
        let mut place = entry;
        for q in 0..QUARTERS {
            let state = self.walk((slot * QUARTERS + q) * QUARTER, place);
            let agrees = states[slot * QUARTERS + q] == Some(state);
            states[slot * QUARTERS + q] = Some(state);
            if agrees {
                break;
            }
            place = state;
        }
    }

    /// Symbols that synchronising and writing decode, and symbols that there are.
    fn run(mut self, rounds: usize) -> (u64, u64) {
        let slots = self.bits().div_ceil(QUARTER * QUARTERS);
        let mut states = vec![None; slots * QUARTERS];
        let mut entries = vec![(0, 0, 0); slots];
        let last = |states: &[Option<Place>], slot: usize| states[slot * QUARTERS + QUARTERS - 1].expect("walked");
        (0..slots).for_each(|slot| self.walk_slot(slot, (0, 0, 0), &mut states));
        for round in 0..rounds {
            let before: Vec<Place> = (0..slots).map(|slot| last(&states, slot)).collect();
            for block in (0..slots).step_by(SLOTS_OF_A_BLOCK) {
                for _ in 0..REPEATS {
                    let first = if block > 0 && round > 0 { before[block - 1] } else { entries[block] };
                    let ends: Vec<Place> =
                        (block..slots.min(block + SLOTS_OF_A_BLOCK)).map(|slot| last(&states, slot)).collect();
                    let wanted = std::iter::once(first).chain(ends);
                    let changed: Vec<(usize, Place)> = (block..slots.min(block + SLOTS_OF_A_BLOCK))
                        .zip(wanted)
                        .filter(|(s, e)| entries[*s] != *e)
                        .collect();
                    for &(slot, entry) in &changed {
                        entries[slot] = entry;
                        self.walk_slot(slot, entry, &mut states);
                    }
                    if changed.is_empty() {
                        break;
                    }
                }
            }
        }
        assert!((1..slots).all(|slot| entries[slot] == last(&states, slot - 1)), "the rounds were enough");
        let synchronising = std::mem::take(&mut self.symbols);
        let mut place = (0, 0, 0);
        for (quarter, state) in states.iter().enumerate() {
            place = self.walk(quarter * QUARTER, place);
            assert_eq!(Some(place), *state, "quarter {quarter}");
        }
        (synchronising + self.symbols, self.symbols)
    }
}

#[test]
fn photographs_are_decoded_less_than_three_times() {
    let Some(corpora) = std::env::var_os("CORPORA") else {
        eprintln!("skipped: CORPORA is not set");
        return;
    };
    let options = DecodeOptions::default();
    let (mut decoded, mut symbols, mut files) = (0, 0, 0);
    for entry in std::fs::read_dir(std::path::Path::new(&corpora).join("photos")).expect("photographs") {
        let data = std::fs::read(entry.expect("an entry").path()).expect("a readable file");
        let Route::Device(job) = route(&data, &options).route else { continue };
        if let [scan] = &job.scans[..] {
            let (all, there) = Model::new(&data, scan).run(super::ROUNDS);
            (decoded, symbols, files) = (decoded + all, symbols + there, files + 1);
        }
    }
    eprintln!("{files} photographs: {decoded} symbols decoded for {symbols}: {:.2}", decoded as f64 / symbols as f64);
    assert!(files > 10 && decoded <= 3 * symbols);
}
