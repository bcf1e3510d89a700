//! Huffman tables: as transmitted, and derived for decoding.

use super::error::{DecodeCode, DecodeError};

/// Bits that the fast table looks at: a code and, for most coefficients, its value bits too.
pub(crate) const LOOK: u32 = 10;

/// A table as a DHT segment gives it.
#[derive(Clone, Debug)]
pub(crate) struct TableSpec {
    /// Codes of each length; index 0 is unused.
    pub counts: [u8; 17],
    pub symbols: [u8; 256],
}

/// The error for counts that are no prefix code.
pub(crate) fn bad_table() -> DecodeError {
    DecodeError::new(DecodeCode::BadHuffman, "Huffman table that is no prefix code")
}

/// What the next [`LOOK`] bits say.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Kind {
    /// The code is longer than [`LOOK`].
    Long = 0,
    /// Code and value bits are there.
    Value = 1,
    /// Only the code is there.
    Code = 2,
    /// The code, and it has no value bits.
    Bare = 3,
}

/// An entry of the fast table, packed: bits 0..5 length consumed, 5..9 run, 9..11 [`Kind`], 16..32 the value
/// (`Value`) or the whole symbol (`Code`, `Bare`).
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Entry(pub u32);

impl Entry {
    fn new(kind: Kind, length: u32, run: u32, high: u16) -> Self {
        Entry(length | run << 5 | (kind as u32) << 9 | u32::from(high) << 16)
    }

    #[inline(always)]
    pub fn length(self) -> u32 {
        self.0 & 31
    }

    #[inline(always)]
    pub fn run(self) -> usize {
        (self.0 >> 5 & 15) as usize
    }

    #[inline(always)]
    pub fn is(self, kind: Kind) -> bool {
        self.0 >> 9 & 3 == kind as u32
    }

    #[inline(always)]
    pub fn value(self) -> i16 {
        (self.0 >> 16) as i16
    }

    #[inline(always)]
    pub fn symbol(self) -> u8 {
        (self.0 >> 16) as u8
    }
}

/// A table ready for decoding.
pub(crate) struct Table {
    /// Indexed by the next [`LOOK`] bits.
    pub fast: Box<[Entry; 1 << LOOK]>,
    /// Largest code of each length, -1 for none; the last ends every search.
    pub max_code: [i32; 18],
    /// Symbol index of the first code of a length, minus that code.
    pub offset: [i32; 18],
    pub symbols: [u8; 256],
}

/// Sign extension of Figure F.12: `bits` value bits.
#[inline(always)]
pub(crate) fn extend(value: u32, bits: u32) -> i32 {
    let value = value as i32;
    if bits == 0 {
        0
    } else if value < 1 << (bits - 1) {
        value - (1 << bits) + 1
    } else {
        value
    }
}

impl Table {
    /// Derives a table (ITU-T T.81, Annexes C and F), refusing what libjpeg refuses: overfull codes, an all-ones
    /// code, and DC symbols above 15.
    pub fn derive(spec: Option<&TableSpec>, dc: bool) -> Result<Table, DecodeError> {
        let spec =
            spec.ok_or_else(|| DecodeError::new(DecodeCode::BadHuffman, "a scan names a Huffman table not defined"))?;
        let mut table = Table {
            fast: Box::new([Entry::default(); 1 << LOOK]),
            max_code: [-1; 18],
            offset: [0; 18],
            symbols: spec.symbols,
        };
        let (mut code, mut next) = (0u32, 0usize);
        let mut started = false;
        for length in 1..=16 {
            let count = u32::from(spec.counts[length as usize]);
            if next + count as usize > 256 {
                return Err(bad_table());
            }
            if count > 0 {
                started = true;
                table.offset[length as usize] = next as i32 - code as i32;
                for _ in 0..count {
                    table.fill_fast(code, length, spec.symbols[next]);
                    code += 1;
                    next += 1;
                }
                table.max_code[length as usize] = code as i32 - 1;
            }
            // No code is all ones: the next code of this length must still fit.
            if started && next_codes_follow(spec, length) && code >= 1 << length {
                return Err(bad_table());
            }
            code <<= 1;
        }
        if dc && spec.symbols[..next].iter().any(|&symbol| symbol > 15) {
            return Err(bad_table());
        }
        table.max_code[17] = 0xf_ffff;
        Ok(table)
    }

    /// Enters a code under every continuation of it.
    fn fill_fast(&mut self, code: u32, length: u32, symbol: u8) {
        if length > LOOK || code >= 1 << length {
            return;
        }
        let spare = LOOK - length;
        let (run, size) = (u32::from(symbol >> 4), u32::from(symbol & 15));
        for rest in 0..1u32 << spare {
            self.fast[(code << spare | rest) as usize] = if size == 0 {
                Entry::new(Kind::Bare, length, run, u16::from(symbol))
            } else if size <= spare {
                Entry::new(Kind::Value, length + size, run, extend(rest >> (spare - size), size) as u16)
            } else {
                Entry::new(Kind::Code, length, run, u16::from(symbol))
            };
        }
    }
}

/// Whether libjpeg's check of a length happens: it walks lengths from the first used to the last used.
fn next_codes_follow(spec: &TableSpec, length: u32) -> bool {
    spec.counts[length as usize..].iter().any(|&count| count > 0)
}

/// The DC tables of Annex K.3: luminance, chrominance.
pub(crate) fn standard_dc() -> [TableSpec; 2] {
    let symbols: Vec<u8> = (0..12).collect();
    [
        spec([0, 1, 5, 1, 1, 1, 1, 1, 1, 0, 0, 0, 0, 0, 0, 0], &symbols),
        spec([0, 3, 1, 1, 1, 1, 1, 1, 1, 1, 1, 0, 0, 0, 0, 0], &symbols),
    ]
}

/// The AC tables of Annex K.3: luminance, chrominance.
pub(crate) fn standard_ac() -> [TableSpec; 2] {
    [
        spec([0, 2, 1, 3, 3, 2, 4, 3, 5, 5, 4, 4, 0, 0, 1, 0x7d], &AC_LUMINANCE),
        spec([0, 2, 1, 2, 4, 4, 3, 4, 7, 5, 4, 4, 0, 1, 2, 0x77], &AC_CHROMINANCE),
    ]
}

fn spec(lengths: [u8; 16], list: &[u8]) -> TableSpec {
    let mut counts = [0u8; 17];
    counts[1..].copy_from_slice(&lengths);
    let mut symbols = [0u8; 256];
    symbols[..list.len()].copy_from_slice(list);
    TableSpec { counts, symbols }
}

/// ITU-T T.81, Table K.5.
#[rustfmt::skip]
const AC_LUMINANCE: [u8; 162] = [
    0x01, 0x02, 0x03, 0x00, 0x04, 0x11, 0x05, 0x12, 0x21, 0x31, 0x41, 0x06, 0x13, 0x51, 0x61, 0x07, 0x22, 0x71,
    0x14, 0x32, 0x81, 0x91, 0xa1, 0x08, 0x23, 0x42, 0xb1, 0xc1, 0x15, 0x52, 0xd1, 0xf0, 0x24, 0x33, 0x62, 0x72,
    0x82, 0x09, 0x0a, 0x16, 0x17, 0x18, 0x19, 0x1a, 0x25, 0x26, 0x27, 0x28, 0x29, 0x2a, 0x34, 0x35, 0x36, 0x37,
    0x38, 0x39, 0x3a, 0x43, 0x44, 0x45, 0x46, 0x47, 0x48, 0x49, 0x4a, 0x53, 0x54, 0x55, 0x56, 0x57, 0x58, 0x59,
    0x5a, 0x63, 0x64, 0x65, 0x66, 0x67, 0x68, 0x69, 0x6a, 0x73, 0x74, 0x75, 0x76, 0x77, 0x78, 0x79, 0x7a, 0x83,
    0x84, 0x85, 0x86, 0x87, 0x88, 0x89, 0x8a, 0x92, 0x93, 0x94, 0x95, 0x96, 0x97, 0x98, 0x99, 0x9a, 0xa2, 0xa3,
    0xa4, 0xa5, 0xa6, 0xa7, 0xa8, 0xa9, 0xaa, 0xb2, 0xb3, 0xb4, 0xb5, 0xb6, 0xb7, 0xb8, 0xb9, 0xba, 0xc2, 0xc3,
    0xc4, 0xc5, 0xc6, 0xc7, 0xc8, 0xc9, 0xca, 0xd2, 0xd3, 0xd4, 0xd5, 0xd6, 0xd7, 0xd8, 0xd9, 0xda, 0xe1, 0xe2,
    0xe3, 0xe4, 0xe5, 0xe6, 0xe7, 0xe8, 0xe9, 0xea, 0xf1, 0xf2, 0xf3, 0xf4, 0xf5, 0xf6, 0xf7, 0xf8, 0xf9, 0xfa,
];

/// ITU-T T.81, Table K.6.
#[rustfmt::skip]
const AC_CHROMINANCE: [u8; 162] = [
    0x00, 0x01, 0x02, 0x03, 0x11, 0x04, 0x05, 0x21, 0x31, 0x06, 0x12, 0x41, 0x51, 0x07, 0x61, 0x71, 0x13, 0x22,
    0x32, 0x81, 0x08, 0x14, 0x42, 0x91, 0xa1, 0xb1, 0xc1, 0x09, 0x23, 0x33, 0x52, 0xf0, 0x15, 0x62, 0x72, 0xd1,
    0x0a, 0x16, 0x24, 0x34, 0xe1, 0x25, 0xf1, 0x17, 0x18, 0x19, 0x1a, 0x26, 0x27, 0x28, 0x29, 0x2a, 0x35, 0x36,
    0x37, 0x38, 0x39, 0x3a, 0x43, 0x44, 0x45, 0x46, 0x47, 0x48, 0x49, 0x4a, 0x53, 0x54, 0x55, 0x56, 0x57, 0x58,
    0x59, 0x5a, 0x63, 0x64, 0x65, 0x66, 0x67, 0x68, 0x69, 0x6a, 0x73, 0x74, 0x75, 0x76, 0x77, 0x78, 0x79, 0x7a,
    0x82, 0x83, 0x84, 0x85, 0x86, 0x87, 0x88, 0x89, 0x8a, 0x92, 0x93, 0x94, 0x95, 0x96, 0x97, 0x98, 0x99, 0x9a,
    0xa2, 0xa3, 0xa4, 0xa5, 0xa6, 0xa7, 0xa8, 0xa9, 0xaa, 0xb2, 0xb3, 0xb4, 0xb5, 0xb6, 0xb7, 0xb8, 0xb9, 0xba,
    0xc2, 0xc3, 0xc4, 0xc5, 0xc6, 0xc7, 0xc8, 0xc9, 0xca, 0xd2, 0xd3, 0xd4, 0xd5, 0xd6, 0xd7, 0xd8, 0xd9, 0xda,
    0xe2, 0xe3, 0xe4, 0xe5, 0xe6, 0xe7, 0xe8, 0xe9, 0xea, 0xf2, 0xf3, 0xf4, 0xf5, 0xf6, 0xf7, 0xf8, 0xf9, 0xfa,
];
