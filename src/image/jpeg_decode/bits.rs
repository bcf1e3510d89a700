//! The bit reader, with libjpeg's two refill policies.
//!
//! Which file Pillow calls truncated depends on how far libjpeg reads ahead: it refuses a file whose last refill
//! meets the end of the data even if no bit of it is needed. So the reader keeps libjpeg's policies to the byte: far
//! from the end of the window, six bytes whenever 16 bits or fewer are left; near it, up to 57 bits or more, and only
//! when a code or a value asks for more than there is. Behind a marker the data continue as zero bits.

use super::huffman::{Entry, Kind, LOOK, Table, extend};

/// Bits that libjpeg's careful refill tries to reach.
const FULL: u32 = 57;

/// Why a read failed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Stop {
    /// The window ends.
    Window,
    /// A marker, met by the quick policy, which leaves it to the careful one.
    Marker,
}

/// Bits of one entropy-coded segment.
#[derive(Clone)]
pub(crate) struct Bits<'a> {
    data: &'a [u8],
    pub pos: usize,
    /// End of the window.
    pub end: usize,
    /// The next `left` bits, in the low end.
    buffer: u64,
    left: u32,
    /// A marker reached, 0 for none.
    pub marker: u8,
    /// Whether zero bits were invented since the last restart.
    pub exhausted: bool,
    /// Whether an invalid code was met.
    pub bad_code: bool,
}

impl<'a> Bits<'a> {
    pub fn new(data: &'a [u8], pos: usize, end: usize, marker: u8) -> Self {
        Bits { data, pos, end, buffer: 0, left: 0, marker, exhausted: false, bad_code: false }
    }

    /// Drops the rest of the buffer and tells how many whole bytes that were.
    pub fn discard(&mut self) -> usize {
        let whole = self.left / 8;
        self.left = 0;
        whole as usize
    }

    /// Bytes before the end of the window.
    pub fn remaining(&self) -> usize {
        self.end.saturating_sub(self.pos)
    }

    /// The next eight bytes, if the window holds them.
    #[inline(always)]
    fn eight(&self) -> Option<u64> {
        if self.pos + 8 > self.end {
            return None;
        }
        let bytes = self.data.get(self.pos..self.pos + 8)?;
        Some(u64::from_be_bytes(bytes.try_into().ok()?))
    }

    /// Six bytes when 16 bits or fewer are left.
    #[inline(always)]
    pub fn refill_quick(&mut self) -> Result<(), Stop> {
        if self.left > 16 {
            return Ok(());
        }
        match self.eight() {
            Some(bytes) if !has_ff(bytes & !0xffff) => {
                self.buffer = self.buffer << 48 | bytes >> 16;
                self.pos += 6;
                self.left += 48;
                Ok(())
            }
            _ => self.refill_quick_bytewise(),
        }
    }

    #[cold]
    fn refill_quick_bytewise(&mut self) -> Result<(), Stop> {
        for _ in 0..6 {
            let Some(&[byte, after]) = self.data.get(self.pos..self.pos + 2) else {
                return Err(Stop::Window);
            };
            if byte == 0xff {
                if after != 0 {
                    return Err(Stop::Marker);
                }
                self.pos += 1;
            }
            self.pos += 1;
            self.buffer = self.buffer << 8 | u64::from(byte);
            self.left += 8;
        }
        Ok(())
    }

    /// Reads on until 57 bits are there, a marker is met, or the window ends. Behind a marker, zero bits make up what
    /// `wanted` lacks.
    pub fn refill(&mut self, wanted: u32) -> Result<(), Stop> {
        if self.marker == 0 {
            if let Some(bytes) = self.eight() {
                let count = (64 - self.left) / 8;
                let rest = if count == 8 { 0 } else { u64::MAX >> (8 * count) };
                if !has_ff(bytes & !rest) {
                    self.buffer =
                        if count == 8 { bytes } else { self.buffer << (8 * count) | bytes >> (64 - 8 * count) };
                    self.pos += count as usize;
                    self.left += 8 * count;
                    return Ok(());
                }
            }
            while self.left < FULL {
                let mut byte = self.next_byte()?;
                if byte == 0xff {
                    while byte == 0xff {
                        byte = self.next_byte()?;
                    }
                    if byte != 0 {
                        self.marker = byte;
                        break;
                    }
                    byte = 0xff;
                }
                self.buffer = self.buffer << 8 | u64::from(byte);
                self.left += 8;
            }
        }
        if self.marker != 0 && wanted > self.left {
            self.exhausted = true;
            self.buffer <<= FULL - self.left;
            self.left = FULL;
        }
        Ok(())
    }

    #[inline]
    fn next_byte(&mut self) -> Result<u8, Stop> {
        if self.pos >= self.end {
            return Err(Stop::Window);
        }
        self.pos += 1;
        Ok(self.data[self.pos - 1])
    }

    /// Whether a code and its bits can be taken without a refill under the careful policy.
    #[inline(always)]
    pub fn plenty(&self) -> bool {
        self.left > 16
    }

    /// The fast-table entry of the next bits; needs [`LOOK`] bits.
    #[inline(always)]
    pub fn peek(&self, table: &Table) -> Entry {
        table.fast[(self.buffer >> (self.left - LOOK)) as usize & ((1 << LOOK) - 1)]
    }

    #[inline(always)]
    pub fn skip(&mut self, count: u32) {
        self.left -= count;
    }

    /// Takes bits that are there.
    #[inline(always)]
    pub fn take(&mut self, count: u32) -> u32 {
        self.left -= count;
        (self.buffer >> self.left) as u32 & ((1 << count) - 1)
    }

    /// Takes up to 16 bits, refilling as needed.
    #[inline(always)]
    pub fn receive(&mut self, count: u32) -> Result<u32, Stop> {
        if self.left < count {
            self.refill(count)?;
        }
        Ok(self.take(count))
    }

    /// Takes value bits under either policy and extends their sign.
    #[inline(always)]
    pub fn receive_extend<const QUICK: bool>(&mut self, count: u32) -> Result<i32, Stop> {
        let bits = if QUICK {
            self.refill_quick()?;
            self.take(count)
        } else {
            self.receive(count)?
        };
        Ok(extend(bits, count))
    }

    /// What libjpeg's quick policy would have loaded between a code and its `size` value bits, if both were taken at
    /// once; only matters at the end of an MCU.
    #[inline(always)]
    pub fn settle(&mut self, size: u32) -> Result<(), Stop> {
        if self.left + size <= 16 { self.refill_quick() } else { Ok(()) }
    }

    /// Decodes one symbol with 17 bits or more at hand.
    #[inline(always)]
    pub fn symbol_plenty(&mut self, table: &Table) -> u8 {
        let entry = self.peek(table);
        if entry.is(Kind::Code) || entry.is(Kind::Bare) {
            self.skip(entry.length());
            return entry.symbol();
        }
        self.symbol_bitwise_plenty(table)
    }

    /// The same, bit by bit: codes longer than [`LOOK`], and short ones whose table entry holds a value.
    pub fn symbol_bitwise_plenty(&mut self, table: &Table) -> u8 {
        let mut code = 0;
        for length in 1..=17 {
            code = code << 1 | self.take(1) as i32;
            if code <= table.max_code[length] {
                return self.finish_symbol(table, code, length);
            }
        }
        0
    }

    /// Decodes one symbol under the careful policy.
    #[inline(always)]
    pub fn symbol(&mut self, table: &Table) -> Result<u8, Stop> {
        if self.plenty() { Ok(self.symbol_plenty(table)) } else { self.symbol_careful(table) }
    }

    /// Decodes one symbol when bits are short: eight bits are wanted first, then nine at once or one after another,
    /// as libjpeg asks for them.
    pub fn symbol_careful(&mut self, table: &Table) -> Result<u8, Stop> {
        let mut length = 1;
        if self.left < 8 {
            self.refill(0)?;
        }
        if self.left >= 8 {
            let look = (self.buffer >> (self.left - 8)) as i32 & 0xff;
            length = 9;
            for short in 1..=8 {
                if look >> (8 - short) <= table.max_code[short] {
                    self.skip(short as u32);
                    return Ok(self.finish_symbol(table, look >> (8 - short), short));
                }
            }
        }
        let mut code = self.receive(length as u32)? as i32;
        while code > table.max_code[length] {
            code = code << 1 | self.receive(1)? as i32;
            length += 1;
        }
        Ok(self.finish_symbol(table, code, length))
    }

    fn finish_symbol(&mut self, table: &Table, code: i32, length: usize) -> u8 {
        if length > 16 {
            self.bad_code = true;
            return 0;
        }
        table.symbols[(code + table.offset[length]) as usize & 0xff]
    }
}

/// Whether a byte of `word` is 0xFF.
#[inline(always)]
fn has_ff(word: u64) -> bool {
    const LOW: u64 = 0x0101_0101_0101_0101;
    let inverted = !word;
    inverted.wrapping_sub(LOW) & word & (LOW << 7) != 0
}
