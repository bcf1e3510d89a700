//! The kernels that build.rs embeds: modules, entries and their ABI. The generated file takes this one's place.
#![allow(dead_code)]

#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(crate) enum KernelModule {
    Placeholder,
}

impl KernelModule {
    pub(crate) const COUNT: usize = 1;
    pub(crate) const fn name(self) -> &'static str {
        ""
    }
    pub(crate) const fn ptx(self) -> &'static str {
        ""
    }
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Entry {
    pub(crate) module: KernelModule,
    pub(crate) index: usize,
    pub(crate) name: &'static str,
    pub(crate) params: &'static [u32],
    pub(crate) max_threads: u32,
    pub(crate) static_shared: u32,
}

impl Entry {
    pub(crate) const COUNT: usize = 1;
}
