//! What the emulator checks, and how it reports what it finds.

use crate::mem::{Access, Alloc, Arena};

/// Which checks are on. Bounds and alignment always are.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Checks {
    /// Reads of memory that nothing wrote.
    pub init: bool,
    /// Races in shared memory.
    pub race: bool,
    /// Barriers that part of a warp misses.
    pub sync: bool,
    /// Allocations alive when their context ends.
    pub leak: bool,
    /// Races in device memory between blocks of a launch; slow, so never on by default.
    pub global: bool,
    /// Plain accesses to words of device memory that atomics of the launch also touch: warnings, for x86 hides what a
    /// missing memory order does. Never on by default.
    pub lint: bool,
}

impl Checks {
    /// All but those that must be asked for by name.
    pub const ALL: Checks = Checks { init: true, race: true, sync: true, leak: true, ..Checks::NONE };
    /// Only bounds and alignment.
    pub const NONE: Checks = Checks { init: false, race: false, sync: false, leak: false, global: false, lint: false };

    /// Reads a list such as `init,race`, or `all`, or `none` (also `bounds`); `all,global,lint` is everything.
    pub fn parse(list: &str) -> Result<Checks, String> {
        let mut c = Checks::NONE;
        for word in list.split(',').map(str::trim).filter(|w| !w.is_empty()) {
            match word {
                "all" => c = Checks { global: c.global, lint: c.lint, ..Checks::ALL },
                "none" | "bounds" => {}
                "init" => c.init = true,
                "race" => c.race = true,
                "sync" => c.sync = true,
                "leak" => c.leak = true,
                "global" => c.global = true,
                "lint" => c.lint = true,
                w => {
                    const ALL: &str = "all, none, bounds, init, race, sync, leak, global, lint";
                    return Err(format!("unknown check {w:?}; there are {ALL}"));
                }
            }
        }
        Ok(c)
    }
}

/// What went wrong in a kernel.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum FaultKind {
    /// A load outside of live memory.
    Load,
    /// A store outside of live memory.
    Store,
    /// An atomic outside of live memory.
    Atomic,
    /// An address that is no multiple of the access size.
    Misaligned,
    /// A read of bytes that nothing wrote, in device memory.
    Uninitialised,
    /// The same in shared memory.
    UninitialisedShared,
    /// An access past the block's shared memory.
    SharedBounds,
    /// An access past the thread's local memory.
    LocalBounds,
    /// An access past the parameters.
    ParamBounds,
    /// Two threads, one writing, without a barrier between; the address is that of the word, the size holds the
    /// other thread.
    Race,
    /// Two blocks, one writing, the same byte of device memory, without synchronisation; the size holds the number of
    /// the other block.
    GlobalRace,
    /// A shuffle that reads from a lane that does not take part; the address holds that lane.
    InactiveSource,
    /// A store to constant memory or parameters.
    ReadOnly,
    /// `trap`, or a failed assertion.
    Trap,
    /// A lane that its own member mask does not name.
    NotInMask,
    /// A barrier number or thread count out of range.
    BadBarrier,
    /// An operation on an `mbarrier` object that is none, or that arrives more often than its phase waits for.
    BadMbarrier,
    /// Lanes of a warp wait for one barrier at different places.
    DivergentBarrier,
    /// All threads of the block wait.
    Deadlock,
    /// An index past a branch table.
    BadBranch,
    /// A call to something that is no function.
    BadCall,
    /// Calls nested too deeply.
    StackOverflow,
    /// An assertion that failed.
    Assert,
    /// The launch ran for longer than `WARPLINE_EMULATOR_TIMEOUT` allows.
    Timeout,
}

impl FaultKind {
    /// The code that the driver returns from then on.
    pub fn code(self) -> u32 {
        match self {
            FaultKind::Load
            | FaultKind::Store
            | FaultKind::Atomic
            | FaultKind::SharedBounds
            | FaultKind::LocalBounds
            | FaultKind::ParamBounds
            | FaultKind::ReadOnly => 700,
            FaultKind::Misaligned => 716,
            FaultKind::BadCall | FaultKind::BadBranch => 718,
            FaultKind::StackOverflow => 714,
            FaultKind::Timeout => 702,
            FaultKind::Assert => 710,
            _ => 719,
        }
    }
}

/// A finding, located.
#[derive(Debug, Clone)]
pub struct Fault {
    /// What.
    pub kind: FaultKind,
    /// Instruction index.
    pub pc: u32,
    /// Block.
    pub block: [u32; 3],
    /// Thread number in the block.
    pub thread: u32,
    /// Address, or another value that the kind explains.
    pub addr: u64,
    /// Size of the access.
    pub bytes: u32,
}

/// Prints a line of the emulator's own.
pub fn warn(text: &str) {
    use std::io::Write;
    // A closed stderr is no reason to fail.
    let _ = writeln!(std::io::stderr(), "warpline-emulator: {text}");
}

/// Text about the allocation at or near an address.
pub fn describe(arena: &Arena, addr: u64) -> String {
    let name = |a: &Alloc| format!("allocation #{} of {} bytes at {:#x}", a.serial, a.len, a.start);
    match arena.explain(addr) {
        Access::Freed(a) => format!("{} bytes inside {}, which was freed", addr - a.start, name(&a)),
        Access::Outside(Some(a)) if addr >= a.start + a.len => {
            format!("{} bytes behind {}", addr - (a.start + a.len), name(&a))
        }
        Access::Outside(Some(a)) if addr < a.start => format!("{} bytes before {}", a.start - addr, name(&a)),
        Access::Outside(Some(a)) => format!("{} bytes inside {}", addr - a.start, name(&a)),
        Access::Outside(None) => "there are no allocations".to_string(),
    }
}

impl Fault {
    /// One line for people: what, where, who and the nearest allocation.
    pub fn message(&self, arena: &Arena, grid: [u32; 3], shared: u32) -> String {
        let (addr, bytes) = (self.addr, self.bytes);
        match self.kind {
            FaultKind::Load => format!("invalid load of {bytes} bytes at {addr:#x}: {}", describe(arena, addr)),
            FaultKind::Store => format!("invalid store of {bytes} bytes at {addr:#x}: {}", describe(arena, addr)),
            FaultKind::Atomic => format!("invalid atomic of {bytes} bytes at {addr:#x}: {}", describe(arena, addr)),
            FaultKind::Misaligned => match arena.find(addr, 1) {
                Some(_) => format!("address {addr:#x} is no multiple of {bytes}: {}", describe(arena, addr)),
                None => format!("address {addr:#x} is no multiple of {bytes}"),
            },
            FaultKind::Uninitialised => {
                format!("load of {bytes} bytes reads {addr:#x}, which nothing wrote: {}", describe(arena, addr))
            }
            FaultKind::UninitialisedShared => {
                format!("load of {bytes} bytes reads shared memory at offset {addr:#x}, which nothing wrote")
            }
            FaultKind::SharedBounds => {
                let behind = addr.saturating_sub(shared as u64);
                let end = format!("past shared memory: {behind} bytes behind the block's {shared} bytes");
                format!("{bytes} bytes at shared offset {addr:#x} are {end}")
            }
            FaultKind::LocalBounds => format!("{bytes} bytes at local offset {addr:#x} are past local memory"),
            FaultKind::ParamBounds => format!("{bytes} bytes at parameter offset {addr:#x} are past the parameters"),
            // Several readers of a word are remembered together.
            FaultKind::Race if bytes == u32::MAX => {
                format!("race with several threads on shared memory at offset {addr:#x}")
            }
            FaultKind::Race => format!("race with thread {bytes} on shared memory at offset {addr:#x}"),
            FaultKind::GlobalRace => {
                let [x, y, _] = grid;
                let (bx, by, bz) = (bytes % x, bytes / x % y, bytes / x / y);
                format!("race with block ({bx}, {by}, {bz}) on {addr:#x}: {}", describe(arena, addr))
            }
            FaultKind::InactiveSource => format!("shuffle from lane {addr}, which does not take part"),
            FaultKind::ReadOnly => format!("store of {bytes} bytes to read-only memory at {addr:#x}"),
            FaultKind::Trap => "the kernel trapped".to_string(),
            FaultKind::NotInMask => format!("the lane is not in its own member mask {addr:#010x}"),
            FaultKind::BadBarrier => format!("barrier {addr} with {bytes} threads is not valid"),
            FaultKind::BadMbarrier => {
                format!("no mbarrier at shared offset {addr:#x}, or one that waits for fewer arrivals")
            }
            FaultKind::DivergentBarrier => format!("threads of a warp wait for barrier {addr} at different places"),
            FaultKind::Deadlock => "all threads of the block wait for each other".to_string(),
            FaultKind::BadBranch => format!("index {addr} is past the branch table"),
            FaultKind::BadCall => format!("call of {addr:#x}, which is no function"),
            FaultKind::Assert => "an assertion failed".to_string(),
            FaultKind::Timeout => "the launch ran for too long (WARPLINE_EMULATOR_TIMEOUT)".to_string(),
            FaultKind::StackOverflow => "calls nested too deeply".to_string(),
        }
    }
}
