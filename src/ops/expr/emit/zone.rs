//! Zones: how far their clocks are ahead of UTC, as a constant or by a table of changes.

use super::Emit;
use super::asm::{Class, Pred, Reg};
use crate::ops::expr::zone::Zone;

/// By how many seconds a zone is ahead of UTC.
#[derive(Clone, Copy)]
pub(super) enum Ahead {
    Always(i64),
    /// The table of changes, and their number: see `kernels/include/zone.cuh`.
    Changing([Reg; 2]),
}

impl Emit<'_> {
    /// A zone, if arrow-rs knows it; UTC for none.
    pub(super) fn ahead(&mut self, zone: Option<&str>) -> Option<Ahead> {
        let Some(name) = zone else { return Some(Ahead::Always(0)) };
        let zone = Zone::of(name)?;
        if let Some(seconds) = zone.fixed() {
            return Some(Ahead::Always(seconds));
        }
        if let Some((_, table)) = self.zones.iter().find(|(known, _)| known == name) {
            return Some(Ahead::Changing(*table));
        }
        let words = zone.changes().iter().flatten();
        let bytes: Vec<u8> = words.flat_map(|word| word.to_le_bytes()).collect();
        let (changes, count) = self.set(&bytes, zone.changes().len());
        self.zones.push((name.to_owned(), [changes, count]));
        Some(Ahead::Changing([changes, count]))
    }

    /// A `Zone` of `kernels/include/zone.cuh` as arguments: without a table of changes the offset is in place of their
    /// number.
    pub(super) fn zone_words(&mut self, ahead: Ahead) -> [Reg; 2] {
        match ahead {
            Ahead::Always(seconds) => [0, seconds].map(|word| self.asm.op(Class::D, "mov.b64", &[&word])),
            Ahead::Changing(table) => table,
        }
    }

    /// Seconds ahead at a second of UTC.
    pub(super) fn ahead_at(&mut self, ahead: Ahead, second: Reg) -> Reg {
        match ahead {
            Ahead::Always(seconds) => self.asm.op(Class::D, "mov.b64", &[&seconds]),
            Ahead::Changing([changes, count]) => {
                self.asm.call("expr_zone_ahead", Pred::True, &[changes, count, second], Class::D)
            }
        }
    }

    /// Seconds ahead when the clocks show this second, and where they never or twice do.
    pub(super) fn ahead_when(&mut self, ahead: Ahead, local: Reg) -> (Reg, Pred) {
        match ahead {
            Ahead::Always(_) => (self.ahead_at(ahead, local), Pred::False),
            Ahead::Changing([changes, count]) => {
                let [seconds, bad] = self.asm.call_words("expr_zone_when", Pred::True, &[changes, count, local]);
                (seconds, self.asm.test("setp.ne.u64", &[&bad, &0]))
            }
        }
    }
}
