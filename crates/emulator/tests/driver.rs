//! The exported library under unmodified cudarc: each test runs in a child process that loads it as `libcuda.so`.

mod common;
mod driver {
    mod bad_input;
    mod capture;
    mod checks;
    mod contexts;
    mod counters;
    mod kernels;
    mod library;
    mod memory;
    mod ordering;
    mod races;
    mod raw;
    mod schedules;
    mod streams;
}
