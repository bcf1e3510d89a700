//! Arrow data on the host or on a device: [`Column`], [`Batch`] and where they are ([`Placement`]).

mod batch;
mod device;
pub mod interop;
pub(crate) mod layout;
pub(crate) mod parts;
mod placement;
mod values;
pub(crate) mod views;

pub use batch::Batch;
pub use device::DeviceColumn;
pub use placement::Placement;
pub use values::Column;
