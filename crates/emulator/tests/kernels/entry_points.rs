//! `cuGetProcAddress` against the CUDA toolkit's own list of functions and versions.

use std::collections::{BTreeMap, BTreeSet};
use std::ffi::{CString, c_char, c_void};
use std::ptr::{null, null_mut};

use cudarc::driver::sys::CUdriverProcAddressQueryResult_enum::{self as Query, *};
use cudarc::driver::sys::CUresult::*;
use cudarc::driver::sys::{self, CUresult};

use super::nvcc::{nvcc, skipped};
use crate::common::emulated_with;

const HEADER: &str = "WARPLINE_EMULATOR_TEST_HEADER";

/// What the emulator has for a program of a version: an address, or why there is none.
fn find(symbol: &str, version: i32, flags: u64) -> (*mut c_void, Query) {
    let symbol = CString::new(symbol).expect("no NUL");
    let (mut at, mut status) = (null_mut(), CU_GET_PROC_ADDRESS_SUCCESS);
    // SAFETY: valid arguments.
    let done = unsafe { sys::cuGetProcAddress_v2(symbol.as_ptr(), &mut at, version, flags, &mut status) };
    assert_eq!(done, CUDA_SUCCESS);
    // The form of CUDA 11, which gives no reason.
    type Older = unsafe extern "C" fn(*const c_char, *mut *mut c_void, i32, u64) -> CUresult;
    let mut old = null_mut();
    // SAFETY: the function has this type, and the arguments are valid.
    unsafe {
        let older: Older = std::mem::transmute(exported("cuGetProcAddress"));
        assert_eq!(older(symbol.as_ptr(), &mut old, version, flags), CUDA_SUCCESS);
    }
    assert_eq!(old, at);
    (at, status)
}

/// The address of an exported name.
fn exported(name: &str) -> *mut c_void {
    let name = CString::new(name).expect("no NUL");
    // SAFETY: the library is loaded already; both names end in NUL.
    unsafe { libc::dlsym(libc::dlopen(c"libcuda.so.1".as_ptr(), libc::RTLD_NOW), name.as_ptr()) }
}

/// The versions of each function in `cudaTypedefs.h`: `PFN_cuMemAlloc_v3020`. Those with a default stream per thread
/// have another ending.
fn versions(header: &str) -> BTreeMap<&str, BTreeSet<i32>> {
    let mut out: BTreeMap<&str, BTreeSet<i32>> = BTreeMap::new();
    for part in header.split("(CUDAAPI *PFN_").skip(1) {
        let name = &part[..part.find(')').expect("a closing parenthesis")];
        if let Some((base, Ok(version))) = name.rsplit_once("_v").map(|(base, v)| (base, v.parse())) {
            out.entry(base).or_default().insert(version);
        }
    }
    out
}

fn compare(header: &str) {
    let stubs: BTreeSet<_> = include_str!("../../src/driver/stubs.rs").split_whitespace().collect();
    let mut there = 0;
    for (base, versions) in versions(header) {
        for (form, version) in versions.into_iter().enumerate() {
            let name = match (base, form) {
                // The third form has another name.
                ("cuGraphInstantiate", 2) => "cuGraphInstantiateWithFlags".to_string(),
                (_, 0) => base.to_string(),
                _ => format!("{base}_v{}", form + 1),
            };
            if version > 12080 {
                continue;
            }
            let (at, status) = find(base, version, 0);
            if status == CU_GET_PROC_ADDRESS_SUCCESS {
                assert_eq!(at, exported(&name), "{name}");
                there += 1;
                // One version earlier this form was not known.
                assert_ne!(find(base, version - 10, 0).0, at, "{name}");
            } else {
                assert!(at.is_null() && (exported(&name).is_null() || stubs.contains(&*name)), "{name}");
            }
        }
    }
    assert!(there > 150, "{there} functions");
}

#[test]
fn entry_points() {
    let header = match std::env::var_os(HEADER) {
        Some(path) => std::path::PathBuf::from(path),
        None => match nvcc().map(|nvcc| nvcc.with_file_name("../include/cudaTypedefs.h")).filter(|p| p.is_file()) {
            Some(path) => path,
            None => return skipped("no toolkit's headers by NVCC, PATH or VIRTUAL_ENV"),
        },
    };
    let path = header.to_string_lossy().into_owned();
    emulated_with("kernels::entry_points::entry_points", &[(HEADER, &path)], || {
        compare(&std::fs::read_to_string(&header).expect("the header is text"));
    });
}

/// Cases of the reference's text, before anything is initialised, as loaders call it.
#[test]
fn entry_points_by_hand() {
    emulated_with("kernels::entry_points::entry_points_by_hand", &[], || {
        assert_eq!(find("cuMemAlloc", 12000, 0), (exported("cuMemAlloc_v2"), CU_GET_PROC_ADDRESS_SUCCESS));
        assert_eq!(find("cuMemAlloc", 3000, 1), (null_mut(), CU_GET_PROC_ADDRESS_VERSION_NOT_SUFFICIENT));
        assert_eq!(find("cuMemAlloc_v2", 12000, 0), (null_mut(), CU_GET_PROC_ADDRESS_SYMBOL_NOT_FOUND));
        assert_eq!(find("cuNothing", 12000, 0), (null_mut(), CU_GET_PROC_ADDRESS_SYMBOL_NOT_FOUND));
        assert_eq!(find("cuCtxCreate", 11030, 0).0, exported("cuCtxCreate_v2"));
        assert_eq!(find("cuCtxCreate", 11040, 0).0, exported("cuCtxCreate_v3"));
        // Without a form per thread there is the one that all have; with one that the emulator lacks, none.
        assert_eq!(find("cuMemAlloc", 12000, 2).0, exported("cuMemAlloc_v2"));
        assert_eq!(find("cuLaunchKernel", 12000, 2), (null_mut(), CU_GET_PROC_ADDRESS_SYMBOL_NOT_FOUND));
        let name = c"cuInit".as_ptr();
        let (mut at, mut status) = (null_mut(), CU_GET_PROC_ADDRESS_SUCCESS);
        // SAFETY: bad arguments are refused; the address is that of a function of this type.
        unsafe {
            assert_eq!(sys::cuGetProcAddress_v2(null(), &mut at, 12000, 0, &mut status), CUDA_ERROR_INVALID_VALUE);
            assert_eq!(sys::cuGetProcAddress_v2(name, null_mut(), 12000, 0, &mut status), CUDA_ERROR_INVALID_VALUE);
            assert_eq!(sys::cuGetProcAddress_v2(name, &mut at, 12000, 4, &mut status), CUDA_ERROR_INVALID_VALUE);
            assert_eq!(sys::cuGetProcAddress_v2(name, &mut at, 90000, 0, &mut status), CUDA_ERROR_INVALID_VALUE);
            assert_eq!(sys::cuGetProcAddress_v2(name, &mut at, 12000, 0, null_mut()), CUDA_SUCCESS);
            let init: unsafe extern "C" fn(u32) -> CUresult = std::mem::transmute(at);
            assert_eq!(init(0), CUDA_SUCCESS);
        }
    });
}
