//! Operators over tables.

mod cast;
mod concat;
mod drop_nulls;
pub mod expr;
mod filter;
mod gather;
mod hash;
mod hash_partition;
pub mod join;
mod keys;
mod pieces;
mod slice;
mod spans;

pub use cast::{cast, cast_plan, try_cast, try_cast_plan};
pub use concat::{concat, concat_plan};
pub use drop_nulls::{drop_nulls, drop_nulls_plan};
pub(crate) use filter::filter_where_masked;
pub use filter::{filter, filter_plan, filter_where, filter_where_plan};
pub use gather::{gather, gather_or_null, gather_plan};
pub use hash::{HashScheme, hash, hash_plan};
pub use hash_partition::{
    MOST_PARTITIONS, Partitions, hash_partition, hash_partition_plan, partition_ids, partition_ids_plan,
};
pub use slice::{limit, slice, slice_plan};
