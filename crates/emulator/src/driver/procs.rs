//! `cuGetProcAddress`: functions by name and the version of CUDA that a program was written for.

use std::ffi::{CStr, c_char, c_int, c_void};

use super::device::VERSION;
use super::errors::code;
use super::state::*;
use super::{boxes::*, memory::*, module::*, pools::*, stream::*};
use super::{capture::*, context::*, copies::*, device::*, errors::*, event::*, graph::*, launch::*, library::*};

/// A function: its name with the number of its form, and the version of CUDA that brought this form.
type Row = (&'static str, c_int, *const c_void);

macro_rules! table {
    ($($version:literal: $($name:ident)*;)*) => {
        /// All functions that are there.
        fn rows() -> impl Iterator<Item = Row> {
            [$($((stringify!($name), $version, $name as *const c_void)),*),*].into_iter()
        }
    };
}

// The versions are those of `cudaTypedefs.h`.
table! {
    2000:
        cuCtxGetDevice cuCtxSynchronize cuDeviceComputeCapability cuDeviceGet cuDeviceGetAttribute
        cuDeviceGetCount cuDeviceGetName cuEventCreate cuEventElapsedTime cuEventQuery cuEventRecord
        cuEventSynchronize cuInit cuMemFreeHost cuModuleGetFunction cuModuleLoad cuModuleLoadData
        cuModuleLoadFatBinary cuModuleUnload cuStreamCreate cuStreamQuery cuStreamSynchronize;
    2010:
        cuModuleLoadDataEx;
    2020:
        cuDriverGetVersion cuFuncGetAttribute cuMemHostAlloc;
    2030:
        cuMemHostGetFlags;
    3000:
        cuFuncSetCacheConfig;
    3010:
        cuCtxGetLimit cuCtxSetLimit;
    3020:
        cuCtxCreate_v2 cuCtxGetApiVersion cuCtxGetCacheConfig cuCtxSetCacheConfig cuDeviceTotalMem_v2
        cuMemAllocHost_v2 cuMemAllocPitch_v2 cuMemAlloc_v2 cuMemFree_v2 cuMemGetAddressRange_v2 cuMemGetInfo_v2
        cuMemHostGetDevicePointer_v2 cuMemcpy2DAsync_v2 cuMemcpy2DUnaligned_v2 cuMemcpy2D_v2 cuMemcpy3DAsync_v2
        cuMemcpy3D_v2 cuMemcpyDtoDAsync_v2 cuMemcpyDtoD_v2 cuMemcpyDtoHAsync_v2 cuMemcpyDtoH_v2
        cuMemcpyHtoDAsync_v2 cuMemcpyHtoD_v2 cuMemsetD16Async cuMemsetD16_v2 cuMemsetD2D16Async cuMemsetD2D16_v2
        cuMemsetD2D32Async cuMemsetD2D32_v2 cuMemsetD2D8Async cuMemsetD2D8_v2 cuMemsetD32Async cuMemsetD32_v2
        cuMemsetD8Async cuMemsetD8_v2 cuModuleGetGlobal_v2 cuStreamWaitEvent;
    4000:
        cuCtxDestroy_v2 cuCtxDisablePeerAccess cuCtxEnablePeerAccess cuCtxGetCurrent cuCtxPopCurrent_v2
        cuCtxPushCurrent_v2 cuCtxSetCurrent cuDeviceCanAccessPeer cuEventDestroy_v2 cuLaunchKernel
        cuMemHostUnregister cuMemcpy cuMemcpyAsync cuMemcpyPeer cuMemcpyPeerAsync cuPointerGetAttribute
        cuStreamDestroy_v2;
    4010:
        cuDeviceGetByPCIBusId cuDeviceGetPCIBusId;
    5000:
        cuStreamAddCallback;
    5050:
        cuCtxGetStreamPriorityRange cuStreamCreateWithPriority cuStreamGetFlags cuStreamGetPriority;
    6000:
        cuGetErrorName cuGetErrorString cuMemAllocManaged cuPointerSetAttribute cuStreamAttachMemAsync;
    6050:
        cuMemHostRegister_v2 cuOccupancyMaxActiveBlocksPerMultiprocessor cuOccupancyMaxPotentialBlockSize;
    7000:
        cuCtxGetFlags cuDevicePrimaryCtxGetState cuDevicePrimaryCtxRetain
        cuOccupancyMaxActiveBlocksPerMultiprocessorWithFlags cuOccupancyMaxPotentialBlockSizeWithFlags
        cuPointerGetAttributes;
    8000:
        cuDeviceGetP2PAttribute cuMemAdvise cuMemPrefetchAsync;
    9000:
        cuFuncSetAttribute cuLaunchCooperativeKernel;
    9020:
        cuDeviceGetUuid cuStreamGetCtx;
    10000:
        cuGraphClone cuGraphCreate cuGraphDestroy cuGraphExecDestroy cuGraphGetNodes cuGraphLaunch
        cuGraphNodeGetType cuLaunchHostFunc cuStreamEndCapture cuStreamIsCapturing;
    10010:
        cuStreamBeginCapture_v2 cuStreamGetCaptureInfo cuThreadExchangeStreamCaptureMode;
    10020:
        cuOccupancyAvailableDynamicSMemPerBlock;
    11000:
        cuDevicePrimaryCtxRelease_v2 cuDevicePrimaryCtxReset_v2 cuDevicePrimaryCtxSetFlags_v2 cuFuncGetModule;
    11010:
        cuEventRecordWithFlags cuGraphUpload;
    11020:
        cuDeviceGetDefaultMemPool cuDeviceGetMemPool cuDeviceSetMemPool cuMemAllocAsync cuMemAllocFromPoolAsync
        cuMemFreeAsync cuMemPoolCreate cuMemPoolDestroy cuMemPoolGetAccess cuMemPoolGetAttribute
        cuMemPoolSetAccess cuMemPoolSetAttribute cuMemPoolTrimTo;
    11030:
        cuGetProcAddress cuStreamGetCaptureInfo_v2;
    11040:
        cuCtxCreate_v3 cuDeviceGetUuid_v2 cuGraphInstantiateWithFlags;
    11060:
        cuLaunchKernelEx;
    11070:
        cuModuleGetLoadingMode;
    12000:
        cuCtxGetId cuGetProcAddress_v2 cuGraphInstantiateWithParams cuKernelGetAttribute cuKernelGetFunction
        cuKernelSetAttribute cuKernelSetCacheConfig cuLibraryGetGlobal cuLibraryGetKernel cuLibraryGetModule
        cuLibraryLoadData cuLibraryLoadFromFile cuLibraryUnload cuStreamGetId;
    12010:
        cuCtxSetFlags;
    12020:
        cuMemAdvise_v2 cuMemPrefetchAsync_v2;
    12030:
        cuFuncGetName cuKernelGetName cuStreamGetCaptureInfo_v3;
    12040:
        cuFuncGetParamInfo cuFuncIsLoaded cuFuncLoad cuKernelGetParamInfo cuLibraryEnumerateKernels
        cuLibraryGetKernelCount cuModuleGetFunctionCount;
    12050:
        cuCtxCreate_v4 cuKernelGetLibrary cuStreamGetCtx_v2;
    12080:
        cuEventElapsedTime_v2 cuStreamGetDevice;
}

/// Functions that also have a form for programs whose default stream is one per thread.
const PER_THREAD: &[&str] = &[
    "cuEventRecord",
    "cuEventRecordWithFlags",
    "cuGraphInstantiateWithParams",
    "cuGraphLaunch",
    "cuGraphUpload",
    "cuLaunchCooperativeKernel",
    "cuLaunchHostFunc",
    "cuLaunchKernel",
    "cuLaunchKernelEx",
    "cuMemAllocAsync",
    "cuMemAllocFromPoolAsync",
    "cuMemFreeAsync",
    "cuMemPrefetchAsync",
    "cuMemcpy",
    "cuMemcpy2D",
    "cuMemcpy2DAsync",
    "cuMemcpy2DUnaligned",
    "cuMemcpy3D",
    "cuMemcpy3DAsync",
    "cuMemcpyAsync",
    "cuMemcpyDtoD",
    "cuMemcpyDtoDAsync",
    "cuMemcpyDtoH",
    "cuMemcpyDtoHAsync",
    "cuMemcpyHtoD",
    "cuMemcpyHtoDAsync",
    "cuMemcpyPeer",
    "cuMemcpyPeerAsync",
    "cuMemsetD16",
    "cuMemsetD16Async",
    "cuMemsetD2D16",
    "cuMemsetD2D16Async",
    "cuMemsetD2D32",
    "cuMemsetD2D32Async",
    "cuMemsetD2D8",
    "cuMemsetD2D8Async",
    "cuMemsetD32",
    "cuMemsetD32Async",
    "cuMemsetD8",
    "cuMemsetD8Async",
    "cuStreamAddCallback",
    "cuStreamAttachMemAsync",
    "cuStreamBeginCapture",
    "cuStreamEndCapture",
    "cuStreamGetCaptureInfo",
    "cuStreamGetCtx",
    "cuStreamGetDevice",
    "cuStreamGetFlags",
    "cuStreamGetId",
    "cuStreamGetPriority",
    "cuStreamIsCapturing",
    "cuStreamQuery",
    "cuStreamSynchronize",
    "cuStreamWaitEvent",
];

/// The name without the number of its form.
fn base(name: &str) -> &str {
    match name.rsplit_once("_v") {
        Some((base, n)) if n.bytes().all(|b| b.is_ascii_digit()) => base,
        _ => name,
    }
}

/// How a search ended, as `CUdriverProcAddressQueryResult` numbers it.
#[derive(Clone, Copy)]
enum Found {
    Yes = 0,
    No = 1,
    TooNew = 2,
}

/// The newest form of a function that programs of a version know.
fn find(symbol: &str, version: c_int, per_thread: bool) -> (*const c_void, Found) {
    // This one was given another name when its signature changed.
    let renamed = ("cuGraphInstantiate", 12000, cuGraphInstantiateWithFlags as *const c_void);
    let forms: Vec<Row> = rows().chain([renamed]).filter(|(name, ..)| base(name) == symbol).collect();
    if forms.is_empty() {
        return (std::ptr::null(), Found::No);
    }
    if per_thread && PER_THREAD.contains(&symbol) {
        say(&format!("{symbol} is not supported with a default stream per thread"));
        return (std::ptr::null(), Found::No);
    }
    let known = forms.into_iter().filter(|(_, since, _)| *since <= version).max_by_key(|(_, since, _)| *since);
    known.map_or((std::ptr::null(), Found::TooNew), |(.., at)| (at, Found::Yes))
}

unsafe fn look_up(symbol: *const c_char, out: *mut *const c_void, version: c_int, flags: u64) -> Res<Found> {
    const PER_THREAD_STREAM: u64 = 2;
    if symbol.is_null() || out.is_null() || flags > PER_THREAD_STREAM || version > VERSION {
        return Err(code::INVALID_VALUE);
    }
    // SAFETY: a NUL-terminated string and a place for the address, as the API says.
    unsafe {
        let symbol = CStr::from_ptr(symbol).to_str().unwrap_or("");
        let (at, found) = find(symbol, version, flags == PER_THREAD_STREAM);
        put(out, at)?;
        Ok(found)
    }
}

exports! {
    /// `cuGetProcAddress` as of CUDA 11.3: a null address where nothing is found.
    fn cuGetProcAddress(symbol: *const c_char, out: *mut *const c_void, version: c_int, flags: u64) {
        look_up(symbol, out, version, flags).map(|_| ())
    }

    /// `cuGetProcAddress` as of CUDA 12.0, which also says why nothing is found.
    fn cuGetProcAddress_v2(
        symbol: *const c_char,
        out: *mut *const c_void,
        version: c_int,
        flags: u64,
        status: *mut c_int,
    ) {
        let found = look_up(symbol, out, version, flags)?;
        if status.is_null() { Ok(()) } else { put(status, found as c_int) }
    }
}
