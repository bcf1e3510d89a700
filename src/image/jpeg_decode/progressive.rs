//! Progressive scans (ITU-T T.81, Annex G): DC and AC, first and refining.

use super::bits::{Bits, Stop};
use super::coefficients::{Coefficients, Progress};
use super::error::{DecodeCode, DecodeError};
use super::huffman::Table;
use super::markers::{NATURAL, Reader, Scan};
use super::scan::{Layout, Segment};
use super::sequential::{Block, decode_difference};

/// Decodes one scan.
pub(crate) fn decode_scan(
    reader: &mut Reader<'_>,
    scan: &Scan,
    layout: &Layout,
    coefficients: &mut [Coefficients],
    progress: &mut Progress,
) -> Result<(), DecodeError> {
    check(scan)?;
    note_progress(reader, scan, progress);
    if scan.spectral_start == 0 {
        dc_scan(reader, scan, layout, coefficients, progress)
    } else {
        ac_scan(reader, scan, layout, coefficients, progress)
    }
}

/// The scan parameters that libjpeg refuses.
pub(crate) fn check(scan: &Scan) -> Result<(), DecodeError> {
    let band = if scan.spectral_start == 0 {
        scan.spectral_end == 0
    } else {
        scan.spectral_start <= scan.spectral_end && scan.spectral_end < 64 && scan.components.len() == 1
    };
    let steps = scan.approx_high == 0 || scan.approx_high - 1 == scan.approx_low;
    if band && steps && scan.approx_low <= 13 {
        return Ok(());
    }
    Err(DecodeError::corrupt(format!(
        "progressive scan of coefficients {} to {}, bits {} to {}",
        scan.spectral_start, scan.spectral_end, scan.approx_high, scan.approx_low
    )))
}

/// Keeps the precision that each coefficient has reached; scans out of order are only a warning.
pub(crate) fn note_progress(reader: &mut Reader<'_>, scan: &Scan, progress: &mut Progress) {
    let (start, end) = (usize::from(scan.spectral_start), usize::from(scan.spectral_end));
    for &(component, ..) in &scan.components {
        let (bits, previous) = (&mut progress.bits[component], &mut progress.previous[component]);
        let mut in_order = start == 0 || bits[0] >= 0;
        for k in start.min(1)..=end.max(9) {
            previous[k] = if progress.scans > 1 { bits[k] } else { 0 };
        }
        for known in &mut bits[start..=end] {
            in_order &= i32::from(scan.approx_high) == (*known).max(0);
            *known = i32::from(scan.approx_low);
        }
        if !in_order {
            reader.warn(DecodeCode::Corrupt, "progressive scans out of order");
        }
    }
}

/// The end of the file inside a scan: Pillow needs all of a progressive file.
fn cut(_: Stop) -> DecodeError {
    DecodeError::truncated()
}

fn dc_scan(
    reader: &mut Reader<'_>,
    scan: &Scan,
    layout: &Layout,
    coefficients: &mut [Coefficients],
    progress: &mut Progress,
) -> Result<(), DecodeError> {
    let refine = scan.approx_high != 0;
    let mut tables = Vec::new();
    if !refine {
        for &(_, dc, _) in &scan.components {
            tables.push(Table::derive(reader.dc.get(dc).and_then(Option::as_ref), true)?);
        }
    }
    let mut segment = Segment::new(reader);
    for row in 0..layout.mcus_y {
        if segment.is_spent() {
            break;
        }
        for column in 0..layout.mcus_x {
            progress.note_row(&segment, row / layout.rows_per_imcu);
            segment.restart_if_due()?;
            if !segment.bits.exhausted {
                for place in &layout.places {
                    let (h, v) = layout.steps[place.slot];
                    let target = &mut coefficients[place.component];
                    let index = (row * v + place.dy) * target.stride + column * h + place.dx;
                    let dc = &mut target.blocks[index][0];
                    if refine {
                        let bit = segment.bits.receive(1).map_err(cut)?;
                        *dc |= (bit << scan.approx_low) as i16;
                    } else {
                        let difference =
                            decode_difference::<false>(&mut segment.bits, &tables[place.slot]).map_err(cut)?;
                        let predictor = &mut segment.predictors[place.slot & 3];
                        *predictor = predictor
                            .checked_add(difference)
                            .ok_or_else(|| DecodeError::corrupt("DC coefficient out of range"))?;
                        *dc = (*predictor << scan.approx_low) as i16;
                    }
                }
            }
            segment.count_mcu();
        }
    }
    segment.finish();
    Ok(())
}

fn ac_scan(
    reader: &mut Reader<'_>,
    scan: &Scan,
    layout: &Layout,
    coefficients: &mut [Coefficients],
    progress: &mut Progress,
) -> Result<(), DecodeError> {
    let (component, _, ac) = scan.components[0];
    let table = Table::derive(reader.ac.get(ac).and_then(Option::as_ref), false)?;
    let band = Band {
        start: usize::from(scan.spectral_start),
        end: usize::from(scan.spectral_end),
        low: u32::from(scan.approx_low),
    };
    let refine = scan.approx_high != 0;
    let target = &mut coefficients[component];
    let mut segment = Segment::new(reader);
    for row in 0..layout.mcus_y {
        if segment.is_spent() {
            break;
        }
        let blocks = &mut target.blocks[row * target.stride..][..layout.mcus_x];
        for block in blocks {
            progress.note_row(&segment, row / layout.rows_per_imcu);
            segment.restart_if_due()?;
            if !segment.bits.exhausted {
                let result = if refine {
                    band.refine(&mut segment.bits, &table, &mut segment.eob_run, block)
                } else if segment.eob_run > 0 {
                    segment.eob_run -= 1;
                    Ok(())
                } else {
                    band.first(&mut segment.bits, &table, &mut segment.eob_run, block)
                };
                result.map_err(cut)?;
            }
            segment.count_mcu();
        }
    }
    segment.finish();
    Ok(())
}

/// A band of coefficients and the bit position that a scan codes.
struct Band {
    start: usize,
    end: usize,
    low: u32,
}

impl Band {
    /// Section G.1.2.2: run/size symbols, and runs of blocks without coefficients.
    fn first(&self, bits: &mut Bits<'_>, table: &Table, eob_run: &mut u32, block: &mut Block) -> Result<(), Stop> {
        let mut k = self.start;
        while k <= self.end {
            let symbol = bits.symbol(table)?;
            let (run, size) = (usize::from(symbol >> 4), u32::from(symbol & 15));
            if size != 0 {
                k += run;
                let value = bits.receive_extend::<false>(size)?;
                block[usize::from(NATURAL[k & 127] & 63)] = (value << self.low) as i16;
                k += 1;
            } else if run == 15 {
                k += 16;
            } else {
                *eob_run = read_eob_run(bits, run as u32)? - 1;
                break;
            }
        }
        Ok(())
    }

    /// Section G.1.2.3: one more bit of each nonzero coefficient, and coefficients that become nonzero.
    fn refine(&self, bits: &mut Bits<'_>, table: &Table, eob_run: &mut u32, block: &mut Block) -> Result<(), Stop> {
        let one = 1i16 << self.low;
        let mut k = self.start;
        if *eob_run == 0 {
            while k <= self.end {
                let symbol = bits.symbol(table)?;
                let (mut run, size) = (usize::from(symbol >> 4), symbol & 15);
                let mut value = 0;
                if size != 0 {
                    // A size other than 1 is invalid and taken as 1.
                    bits.bad_code |= size != 1;
                    value = if bits.receive(1)? == 1 { one } else { -one };
                } else if run != 15 {
                    *eob_run = read_eob_run(bits, run as u32)?;
                    break;
                }
                // Pass nonzero coefficients, correcting them, until `run` zeros have been passed.
                while k <= self.end {
                    let coefficient = &mut block[usize::from(NATURAL[k & 127] & 63)];
                    if *coefficient != 0 {
                        correct(bits, coefficient, one)?;
                    } else if run == 0 {
                        break;
                    } else {
                        run -= 1;
                    }
                    k += 1;
                }
                if value != 0 {
                    block[usize::from(NATURAL[k & 127] & 63)] = value;
                }
                k += 1;
            }
        }
        if *eob_run > 0 {
            while k <= self.end {
                let coefficient = &mut block[usize::from(NATURAL[k & 127] & 63)];
                if *coefficient != 0 {
                    correct(bits, coefficient, one)?;
                }
                k += 1;
            }
            *eob_run -= 1;
        }
        Ok(())
    }
}

/// The blocks that an end-of-band symbol covers, this one included.
fn read_eob_run(bits: &mut Bits<'_>, exponent: u32) -> Result<u32, Stop> {
    let extra = if exponent == 0 { 0 } else { bits.receive(exponent)? };
    Ok((1 << exponent) + extra)
}

/// Reads the correction bit of a nonzero coefficient; a set bit moves it away from zero, once.
#[inline(always)]
fn correct(bits: &mut Bits<'_>, coefficient: &mut i16, one: i16) -> Result<(), Stop> {
    if bits.receive(1)? == 1 && *coefficient & one == 0 {
        *coefficient = coefficient.wrapping_add(if *coefficient >= 0 { one } else { -one });
    }
    Ok(())
}
