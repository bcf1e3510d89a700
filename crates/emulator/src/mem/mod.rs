//! Device memory: a lazily mapped arena whose device pointers are host pointers, the table of allocations, and the
//! shadow that knows which bytes something has written.

mod arena;
mod map;

pub use arena::{Access, Alloc, AllocError, Arena, Kind, Range};
pub use map::Map;
