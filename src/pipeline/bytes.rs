//! Sizes in bytes, as people write them.

use std::fmt;
use std::str::FromStr;

use crate::error::{Error, Result};

/// A size in bytes. Parses `512MiB`, `2GB`, `64k` and plain numbers; displays in the largest binary unit that fits.
///
/// ```
/// use warpline::pipeline::Bytes;
/// assert_eq!("2GiB".parse::<Bytes>().unwrap(), Bytes::gib(2));
/// assert_eq!(Bytes::mib(1).to_string(), "1.0 MiB");
/// ```
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Bytes(pub u64);

impl Bytes {
    /// This many KiB (1024 bytes).
    pub const fn kib(n: u64) -> Self {
        Bytes(n << 10)
    }

    /// This many MiB.
    pub const fn mib(n: u64) -> Self {
        Bytes(n << 20)
    }

    /// This many GiB.
    pub const fn gib(n: u64) -> Self {
        Bytes(n << 30)
    }
}

impl fmt::Display for Bytes {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let units = ["B", "KiB", "MiB", "GiB", "TiB"];
        let (mut value, mut unit) = (self.0 as f64, 0);
        while value >= 1024.0 && unit + 1 < units.len() {
            value /= 1024.0;
            unit += 1;
        }
        let text = if unit == 0 { format!("{} B", self.0) } else { format!("{value:.1} {}", units[unit]) };
        f.pad(&text)
    }
}

impl FromStr for Bytes {
    type Err = Error;

    /// A number, then optionally `k`, `M`, `G` or `T`, with `iB` (powers of 1024, also when only the letter is
    /// given) or `B` (powers of 1000). Errors name the text.
    fn from_str(text: &str) -> Result<Self> {
        let bad = || Error::invalid("size", format!("'{text}' is not a size: write 512MiB, 2GB, 64k or a number"));
        let trimmed = text.trim();
        let digits = trimmed.find(|c: char| !c.is_ascii_digit() && c != '.').unwrap_or(trimmed.len());
        let number: f64 = trimmed[..digits].parse().map_err(|_| bad())?;
        let unit = trimmed[digits..].trim().to_ascii_lowercase();
        let (letter, rest) = unit.split_at(unit.chars().next().map_or(0, char::len_utf8));
        let power = match letter {
            "" | "b" => 0,
            "k" => 1,
            "m" => 2,
            "g" => 3,
            "t" => 4,
            _ => return Err(bad()),
        };
        let base: f64 = match (letter, rest) {
            ("" | "b", "") => 1.0,
            ("b", _) => return Err(bad()),
            (_, "" | "ib") => 1024.0,
            (_, "b") => 1000.0,
            _ => return Err(bad()),
        };
        let bytes = number * base.powi(power);
        if !(0.0..=u64::MAX as f64 / 2.0).contains(&bytes) {
            return Err(bad());
        }
        Ok(Bytes(bytes as u64))
    }
}
