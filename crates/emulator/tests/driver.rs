//! The exported library under unmodified cudarc: each test runs in a child process that loads it as `libcuda.so`.

mod common;
mod driver {
    mod checks;
    mod counters;
    mod kernels;
    mod races;
    mod schedules;
    mod streams;
}
