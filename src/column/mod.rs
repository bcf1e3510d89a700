//! Arrow data on the host or on a device: [`Column`], [`Batch`] and where they are ([`Placement`]).

mod batch;
mod placement;
mod values;

pub use batch::Batch;
pub use placement::Placement;
pub use values::Column;
