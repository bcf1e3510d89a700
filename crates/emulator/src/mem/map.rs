//! Anonymous memory that costs nothing until touched.

/// A private, zeroed mapping whose pages appear at first touch.
#[derive(Debug)]
pub struct Map {
    base: *mut u8,
    len: usize,
}

// SAFETY: the mapping is plain memory; who may touch which part is decided by its users.
unsafe impl Send for Map {}
// SAFETY: as above.
unsafe impl Sync for Map {}

/// Size of a page; larger ones only make `discard` keep a little more.
const PAGE: usize = 4096;

impl Map {
    /// Reserves `len` bytes; none when the address space is used up.
    pub fn new(len: usize) -> Option<Map> {
        let len = len.max(PAGE).next_multiple_of(PAGE);
        // SAFETY: an anonymous mapping at an address of the kernel's choice touches no other memory.
        let base = unsafe {
            libc::mmap(
                std::ptr::null_mut(),
                len,
                libc::PROT_READ | libc::PROT_WRITE,
                libc::MAP_PRIVATE | libc::MAP_ANONYMOUS | libc::MAP_NORESERVE,
                -1,
                0,
            )
        };
        (base != libc::MAP_FAILED).then(|| Map { base: base.cast(), len })
    }

    /// Address of the first byte.
    pub fn base(&self) -> *mut u8 {
        self.base
    }

    /// Length in bytes.
    pub fn size(&self) -> usize {
        self.len
    }

    /// Makes `[at, at + len)` zero again: whole pages go back to the system, the ends are cleared.
    pub fn zero(&self, at: usize, len: usize) {
        assert!(at <= self.len && len <= self.len - at, "range outside the mapping");
        let (first, last) = (at.next_multiple_of(PAGE), (at + len) / PAGE * PAGE);
        // SAFETY: the asserted range is inside the mapping, and callers own it.
        unsafe {
            if first + 16 * PAGE <= last {
                libc::madvise(self.base.add(first).cast(), last - first, libc::MADV_DONTNEED);
                self.base.add(at).write_bytes(0, first - at);
                self.base.add(last).write_bytes(0, at + len - last);
            } else {
                self.base.add(at).write_bytes(0, len);
            }
        }
    }
}

impl Drop for Map {
    fn drop(&mut self) {
        // SAFETY: the mapping is ours and nothing refers to it any more.
        unsafe { libc::munmap(self.base.cast(), self.len) };
    }
}

impl Map {
    /// The parts of the mapping that have ever been touched, a page at a time.
    pub fn touched(&self) -> impl Iterator<Item = &[u8]> {
        let pages = self.len / PAGE;
        const STEP: usize = 1 << 16;
        (0..pages.div_ceil(STEP)).flat_map(move |s| {
            let first = s * STEP;
            let count = STEP.min(pages - first);
            let mut resident = vec![0u8; count];
            // SAFETY: the range is ours and the vector has a byte for each page.
            let rc = unsafe {
                libc::mincore(self.base.add(first * PAGE).cast(), count * PAGE, resident.as_mut_ptr().cast())
            };
            let known = rc == 0;
            (0..count).filter(move |i| !known || resident[*i] & 1 != 0).map(move |i| {
                // SAFETY: the page is inside the mapping; only this launch writes it, and it is over.
                unsafe { std::slice::from_raw_parts(self.base.add((first + i) * PAGE), PAGE) }
            })
        })
    }
}
