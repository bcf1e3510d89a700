//! Operators over tables.
