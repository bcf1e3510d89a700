//! Models over tensor columns.
