//! Huffman decoding of sequential scans: one block, one MCU.

use super::bits::{Bits, Stop};
use super::huffman::{Kind, Table};
use super::markers::NATURAL;

/// Coefficients of a block in natural order.
pub(crate) type Block = [i16; 64];

/// How one block of an MCU is decoded.
#[derive(Clone, Copy)]
pub(crate) struct BlockPlan<'t> {
    pub dc: &'t Table,
    pub ac: &'t Table,
    /// Which DC predictor it continues.
    pub predictor: usize,
}

/// Decodes one block; `block` must be zero, or hold what an earlier scan left there. Returns the highest zigzag
/// position written, an upper bound for the inverse DCT.
///
/// `QUICK` picks the refill policy; it needs 512 bytes before the end of the window for each block of the MCU.
#[inline(always)]
pub(crate) fn decode_block<const QUICK: bool>(
    bits: &mut Bits<'_>,
    plan: &BlockPlan<'_>,
    predictors: &mut [i32; 4],
    block: &mut Block,
) -> Result<usize, Stop> {
    let difference = decode_difference::<QUICK>(bits, plan.dc)?;
    let predictor = &mut predictors[plan.predictor & 3];
    *predictor = predictor.wrapping_add(difference);
    block[0] = *predictor as i16;

    let mut k = 1;
    let mut last = 0;
    while k < 64 {
        if QUICK {
            bits.refill_quick()?;
        } else if !bits.plenty() {
            let symbol = bits.symbol_careful(plan.ac)?;
            if coefficient::<QUICK>(bits, symbol, &mut k, &mut last, block)? {
                continue;
            }
            break;
        }
        let entry = bits.peek(plan.ac);
        if entry.is(Kind::Value) {
            bits.skip(entry.length());
            k += entry.run();
            last = k;
            block[usize::from(NATURAL[k & 127] & 63)] = entry.value();
            k += 1;
            if QUICK && k >= 64 {
                bits.settle(u32::BITS - u32::from(entry.value().unsigned_abs()).leading_zeros())?;
            }
            continue;
        }
        let symbol = if entry.is(Kind::Long) {
            bits.symbol_bitwise_plenty(plan.ac)
        } else {
            bits.skip(entry.length());
            entry.symbol()
        };
        if !coefficient::<QUICK>(bits, symbol, &mut k, &mut last, block)? {
            break;
        }
    }
    Ok(last)
}

/// Applies a run/size symbol; false at the end of the block.
#[inline(always)]
fn coefficient<const QUICK: bool>(
    bits: &mut Bits<'_>,
    symbol: u8,
    k: &mut usize,
    last: &mut usize,
    block: &mut Block,
) -> Result<bool, Stop> {
    let (run, size) = (usize::from(symbol >> 4), u32::from(symbol & 15));
    if size != 0 {
        *k += run;
        *last = *k;
        block[usize::from(NATURAL[*k & 127] & 63)] = bits.receive_extend::<QUICK>(size)? as i16;
        *k += 1;
        return Ok(true);
    }
    *k += 16;
    Ok(run == 15)
}

/// Decodes a DC difference.
#[inline(always)]
pub(crate) fn decode_difference<const QUICK: bool>(bits: &mut Bits<'_>, table: &Table) -> Result<i32, Stop> {
    let symbol = if QUICK || bits.plenty() {
        if QUICK {
            bits.refill_quick()?;
        }
        let entry = bits.peek(table);
        if entry.is(Kind::Value) && entry.run() == 0 {
            bits.skip(entry.length());
            return Ok(i32::from(entry.value()));
        }
        if entry.is(Kind::Long) {
            bits.symbol_bitwise_plenty(table)
        } else {
            bits.skip(entry.length());
            entry.symbol()
        }
    } else {
        bits.symbol_careful(table)?
    };
    if symbol == 0 { Ok(0) } else { bits.receive_extend::<QUICK>(u32::from(symbol)) }
}
