//! Zeroed host memory for pixels, in huge pages where the system has them.
//!
//! A column's pixels are written once into memory that is fresh for each batch, so without huge pages a fault for every
//! 4 KB comes on top of the writing: a quarter of the time from 12 megapixels of JPEG to a tensor, where it was measured.

use std::ops::{Deref, DerefMut};

use arrow::buffer::Buffer;
use memmap2::MmapMut;

/// Less than this is taken from the allocator, which keeps small pieces from one batch to the next.
const MAPPED: usize = 4 << 20;

/// Zeroed bytes that become an Arrow buffer without a copy.
pub(crate) enum Zeroed {
    Allocated(Vec<u8>),
    Mapped(MmapMut),
}

impl Zeroed {
    /// `len` bytes; `None` where the system has not that much.
    pub fn new(len: usize) -> Option<Zeroed> {
        if len < MAPPED {
            return Some(Zeroed::Allocated(vec![0; len]));
        }
        let map = MmapMut::map_anon(len).ok()?;
        // Without huge pages it is as good, but slower.
        #[cfg(target_os = "linux")]
        let _ = map.advise(memmap2::Advice::HugePage);
        Some(Zeroed::Mapped(map))
    }

    /// The bytes as a buffer.
    pub fn into_buffer(self) -> Buffer {
        match self {
            Zeroed::Allocated(bytes) => Buffer::from_vec(bytes),
            Zeroed::Mapped(map) => Buffer::from(bytes::Bytes::from_owner(map)),
        }
    }
}

impl Deref for Zeroed {
    type Target = [u8];

    fn deref(&self) -> &[u8] {
        match self {
            Zeroed::Allocated(bytes) => bytes,
            Zeroed::Mapped(map) => map,
        }
    }
}

impl DerefMut for Zeroed {
    fn deref_mut(&mut self) -> &mut [u8] {
        match self {
            Zeroed::Allocated(bytes) => bytes,
            Zeroed::Mapped(map) => map,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn small_and_large() {
        for len in [0, 1, MAPPED - 1, MAPPED, MAPPED + 1] {
            let mut bytes = Zeroed::new(len).expect("memory");
            assert!(bytes.iter().all(|byte| *byte == 0));
            if let Some(last) = bytes.last_mut() {
                *last = 7;
            }
            let buffer = bytes.into_buffer();
            assert_eq!((buffer.len(), buffer.last().copied()), (len, (len > 0).then_some(7)));
        }
        assert!(Zeroed::new(1 << 60).is_none());
    }
}
