//! From buffers to an arrow-rs array.

use arrow::array::{ArrayData, ArrayDataBuilder};

use crate::column::parts::Parts;

/// The array over these parts, without the linear checks (UTF-8, offsets, keys) that arrow-rs makes of strangers.
pub(crate) fn assemble(parts: Parts) -> ArrayData {
    let Parts { data_type, len, nulls, buffers, children } = parts;
    let builder = ArrayDataBuilder::new(data_type)
        .len(len)
        .nulls(nulls)
        .buffers(buffers)
        .child_data(children.into_iter().map(assemble).collect())
        .align_buffers(true);
    // SAFETY: `Parts` cannot be made outside this crate. Its makers are `Parts::of` (slices of a valid array), the
    // operators (which move rows of valid arrays and keep offsets monotonic and in range) and downloads of device
    // columns (which hold the same). Tests validate in full what comes out (`assert_same`).
    unsafe { builder.build_unchecked() }
}
