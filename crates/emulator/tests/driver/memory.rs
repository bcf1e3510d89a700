//! Memory: kinds, copies and fills of all shapes, pools and what pointers tell.

use std::ffi::c_void;

use cudarc::driver::sys::CUmemPool_attribute::{self, *};
use cudarc::driver::sys::CUpointer_attribute::{self, *};
use cudarc::driver::sys::CUresult::*;
use cudarc::driver::sys::{self, CUmemoryPool, CUmemorytype};

use super::raw::*;

fn pool(max: usize) -> CUmemoryPool {
    // SAFETY: all zeros is a valid value of the structure.
    let mut props: sys::CUmemPoolProps = unsafe { std::mem::zeroed() };
    props.allocType = sys::CUmemAllocationType::CU_MEM_ALLOCATION_TYPE_PINNED;
    props.location.type_ = sys::CUmemLocationType::CU_MEM_LOCATION_TYPE_DEVICE;
    props.maxSize = max;
    // SAFETY: valid arguments.
    handle(|p| unsafe { sys::cuMemPoolCreate(p, &props) })
}

fn figure(pool: CUmemoryPool, attribute: CUmemPool_attribute) -> u64 {
    // SAFETY: these attributes have eight bytes.
    get(|p: *mut u64| unsafe { sys::cuMemPoolGetAttribute(pool, attribute, p.cast()) })
}

fn about<T: Default>(at: u64, attribute: CUpointer_attribute) -> T {
    // SAFETY: callers name the attribute's type.
    get(|p: *mut T| unsafe { sys::cuPointerGetAttribute(p.cast(), attribute, at) })
}

/// A copy of nothing from device to device.
fn blank_2d() -> sys::CUDA_MEMCPY2D {
    sys::CUDA_MEMCPY2D {
        srcXInBytes: 0,
        srcY: 0,
        srcMemoryType: CUmemorytype::CU_MEMORYTYPE_DEVICE,
        srcHost: std::ptr::null(),
        srcDevice: 0,
        srcArray: std::ptr::null_mut(),
        srcPitch: 0,
        dstXInBytes: 0,
        dstY: 0,
        dstMemoryType: CUmemorytype::CU_MEMORYTYPE_DEVICE,
        dstHost: std::ptr::null_mut(),
        dstDevice: 0,
        dstArray: std::ptr::null_mut(),
        dstPitch: 0,
        WidthInBytes: 0,
        Height: 0,
    }
}

/// The same in three dimensions.
fn blank_3d() -> sys::CUDA_MEMCPY3D {
    sys::CUDA_MEMCPY3D {
        srcXInBytes: 0,
        srcY: 0,
        srcZ: 0,
        srcLOD: 0,
        srcMemoryType: CUmemorytype::CU_MEMORYTYPE_DEVICE,
        srcHost: std::ptr::null(),
        srcDevice: 0,
        srcArray: std::ptr::null_mut(),
        reserved0: std::ptr::null_mut(),
        srcPitch: 0,
        srcHeight: 0,
        dstXInBytes: 0,
        dstY: 0,
        dstZ: 0,
        dstLOD: 0,
        dstMemoryType: CUmemorytype::CU_MEMORYTYPE_DEVICE,
        dstHost: std::ptr::null_mut(),
        dstDevice: 0,
        dstArray: std::ptr::null_mut(),
        reserved1: std::ptr::null_mut(),
        dstPitch: 0,
        dstHeight: 0,
        WidthInBytes: 0,
        Height: 0,
        Depth: 0,
    }
}

/// Bytes without a pattern.
fn noise(n: usize) -> Vec<u8> {
    (0..n as u32).map(|i| (i.wrapping_mul(2654435761) >> 13) as u8).collect()
}

in_child! {
    fn fills_of_all_widths([]) {
        start();
        let at = get(|p| sys::cuMemAlloc_v2(p, 64));
        let s = stream();
        ok(sys::cuMemsetD32_v2(at, 0x0102_0304, 16));
        ok(sys::cuMemsetD8_v2(at + 1, 0xaa, 2));
        ok(sys::cuMemsetD16_v2(at + 4, 0xbbcc, 3));
        ok(sys::cuMemsetD16Async(at + 16, 0x1122, 1, s));
        ok(sys::cuMemsetD32Async(at + 20, 7, 1, s));
        let got = read(at, 6);
        assert_eq!(got, [0x01aa_aa04, 0xbbcc_bbcc, 0x0102_bbcc, 0x0102_0304, 0x0102_1122, 7]);
        assert_eq!(sys::cuMemsetD16_v2(at + 1, 0, 1), CUDA_ERROR_INVALID_VALUE);
        assert_eq!(sys::cuMemsetD32_v2(at + 2, 0, 1), CUDA_ERROR_INVALID_VALUE);
        assert_eq!(sys::cuMemsetD32_v2(at, 0, 17), CUDA_ERROR_INVALID_VALUE);
        ok(sys::cuMemsetD32_v2(at, 0, 0));
        // Rows of a pitched block: the padding stays.
        ok(sys::cuMemsetD8_v2(at, 0, 64));
        ok(sys::cuMemsetD2D16_v2(at + 2, 16, 0xffff, 3, 4));
        let rows = read(at, 16);
        assert_eq!(rows, [[0xffff_0000, 0xffff_ffff, 0, 0]; 4].concat());
        assert_eq!(sys::cuMemsetD2D8_v2(at, 8, 0, 9, 2), CUDA_ERROR_INVALID_VALUE);
    }

    fn copies_of_two_and_three_dimensions([]) {
        start();
        let source = noise(4096);
        let device = get(|p| sys::cuMemAlloc_v2(p, 4096));
        ok(sys::cuMemsetD8_v2(device, 0, 4096));
        // From the host into a pitched block, and back out of its middle.
        let mut c = blank_2d();
        c.srcMemoryType = CUmemorytype::CU_MEMORYTYPE_HOST;
        c.srcHost = source.as_ptr().cast();
        (c.srcXInBytes, c.srcY, c.srcPitch) = (3, 2, 50);
        c.dstMemoryType = CUmemorytype::CU_MEMORYTYPE_DEVICE;
        c.dstDevice = device;
        (c.dstXInBytes, c.dstY, c.dstPitch) = (5, 1, 64);
        (c.WidthInBytes, c.Height) = (40, 9);
        let mut model = vec![0u8; 4096];
        for y in 0..9 {
            let (from, to) = ((y + 2) * 50 + 3, (y + 1) * 64 + 5);
            model[to..to + 40].copy_from_slice(&source[from..from + 40]);
        }
        let mut got = vec![1u8; 4096];
        for asynchronous in [false, true] {
            ok(sys::cuMemsetD8_v2(device, 0, 4096));
            let s = stream();
            ok(if asynchronous { sys::cuMemcpy2DAsync_v2(&c, s) } else { sys::cuMemcpy2D_v2(&c) });
            ok(sys::cuStreamSynchronize(s));
            ok(sys::cuMemcpyDtoH_v2(got.as_mut_ptr().cast(), device, 4096));
            assert_eq!(got, model);
        }
        let mut c = blank_3d();
        c.srcMemoryType = CUmemorytype::CU_MEMORYTYPE_DEVICE;
        c.srcDevice = device;
        (c.srcXInBytes, c.srcY, c.srcZ, c.srcPitch, c.srcHeight) = (1, 1, 1, 16, 8);
        c.dstMemoryType = CUmemorytype::CU_MEMORYTYPE_HOST;
        c.dstHost = got.as_mut_ptr().cast();
        (c.dstPitch, c.dstHeight) = (12, 5);
        (c.WidthInBytes, c.Height, c.Depth) = (10, 4, 3);
        got.fill(9);
        ok(sys::cuMemcpy3D_v2(&c));
        let mut want = vec![9u8; 4096];
        for (z, y) in (0..3).flat_map(|z| (0..4).map(move |y| (z, y))) {
            let (from, to) = ((z + 1) * 128 + (y + 1) * 16 + 1, z * 60 + y * 12);
            want[to..to + 10].copy_from_slice(&model[from..from + 10]);
        }
        assert_eq!(got, want);
        // Past the end, a pitch below the width, arrays, and nothing at all.
        c.srcZ = 30;
        assert_eq!(sys::cuMemcpy3D_v2(&c), CUDA_ERROR_INVALID_VALUE);
        (c.srcZ, c.srcPitch) = (0, 9);
        assert_eq!(sys::cuMemcpy3D_v2(&c), CUDA_ERROR_INVALID_VALUE);
        (c.srcPitch, c.srcMemoryType) = (16, CUmemorytype::CU_MEMORYTYPE_ARRAY);
        assert_eq!(sys::cuMemcpy3D_v2(&c), CUDA_ERROR_NOT_SUPPORTED);
        assert_eq!(sys::cuMemcpy2D_v2(std::ptr::null()), CUDA_ERROR_INVALID_VALUE);
    }

    fn pools_keep_what_their_threshold_allows([("WARPLINE_EMULATOR_MEMORY", "64M")]) {
        start();
        let s = stream();
        let p = pool(0);
        let total = 64 << 20;
        let free = || {
            let (mut free, mut total) = (0, 0);
            ok(sys::cuMemGetInfo_v2(&mut free, &mut total));
            free
        };
        let a = get(|o| sys::cuMemAllocFromPoolAsync(o, 8 << 20, p, s));
        assert_eq!(figure(p, CU_MEMPOOL_ATTR_USED_MEM_CURRENT), 8 << 20);
        ok(sys::cuMemFreeAsync(a, s));
        ok(sys::cuStreamSynchronize(s));
        assert_eq!(figure(p, CU_MEMPOOL_ATTR_USED_MEM_CURRENT), 0);
        assert_eq!(figure(p, CU_MEMPOOL_ATTR_RESERVED_MEM_CURRENT), 0);
        assert_eq!(free(), total);
        let mut keep = 6u64 << 20;
        ok(sys::cuMemPoolSetAttribute(p, CU_MEMPOOL_ATTR_RELEASE_THRESHOLD, (&raw mut keep).cast()));
        assert_eq!(figure(p, CU_MEMPOOL_ATTR_RELEASE_THRESHOLD), 6 << 20);
        let a = get(|o| sys::cuMemAllocFromPoolAsync(o, 8 << 20, p, s));
        ok(sys::cuMemFreeAsync(a, s));
        ok(sys::cuStreamSynchronize(s));
        assert_eq!(figure(p, CU_MEMPOOL_ATTR_RESERVED_MEM_CURRENT), 6 << 20);
        assert_eq!(free(), total - (6 << 20));
        assert_eq!(figure(p, CU_MEMPOOL_ATTR_RESERVED_MEM_HIGH), 8 << 20);
        ok(sys::cuMemPoolTrimTo(p, 1 << 20));
        assert_eq!(figure(p, CU_MEMPOOL_ATTR_RESERVED_MEM_CURRENT), 1 << 20);
        ok(sys::cuMemPoolTrimTo(p, 0));
        assert_eq!(free(), total);
        // High-water marks can be reset and nothing else.
        let (mut zero, mut one) = (0u64, 1u64);
        ok(sys::cuMemPoolSetAttribute(p, CU_MEMPOOL_ATTR_USED_MEM_HIGH, (&raw mut zero).cast()));
        assert_eq!(figure(p, CU_MEMPOOL_ATTR_USED_MEM_HIGH), 0);
        let refused = sys::cuMemPoolSetAttribute(p, CU_MEMPOOL_ATTR_USED_MEM_HIGH, (&raw mut one).cast());
        assert_eq!(refused, CUDA_ERROR_INVALID_VALUE);
        let refused = sys::cuMemPoolSetAttribute(p, CU_MEMPOOL_ATTR_USED_MEM_CURRENT, (&raw mut zero).cast());
        assert_eq!(refused, CUDA_ERROR_INVALID_VALUE);
        ok(sys::cuMemPoolDestroy(p));
        assert_eq!(sys::cuMemPoolDestroy(p), CUDA_ERROR_INVALID_VALUE);
    }

    fn a_pool_has_a_limit([]) {
        start();
        let s = stream();
        let p = pool(1 << 20);
        let a = get(|o| sys::cuMemAllocFromPoolAsync(o, 600 << 10, p, s));
        let mut at = 0;
        assert_eq!(sys::cuMemAllocFromPoolAsync(&mut at, 600 << 10, p, s), CUDA_ERROR_OUT_OF_MEMORY);
        ok(sys::cuMemFreeAsync(a, s));
        let b = get(|o| sys::cuMemAllocFromPoolAsync(o, 600 << 10, p, s));
        // A pool outlives its handle while memory of it does.
        ok(sys::cuMemPoolDestroy(p));
        assert_eq!(sys::cuMemAllocFromPoolAsync(&mut at, 16, p, s), CUDA_ERROR_INVALID_VALUE);
        ok(sys::cuMemsetD8Async(b, 1, 600 << 10, s));
        ok(sys::cuMemFreeAsync(b, s));
        ok(sys::cuStreamSynchronize(s));
        // The device's own pool cannot go; another can take its place.
        let default = handle(|o| sys::cuDeviceGetDefaultMemPool(o, 0));
        assert_eq!(sys::cuMemPoolDestroy(default), CUDA_ERROR_INVALID_VALUE);
        let q = pool(1 << 20);
        ok(sys::cuDeviceSetMemPool(0, q));
        let c = get(|o| sys::cuMemAllocAsync(o, 4096, s));
        assert_eq!(figure(q, CU_MEMPOOL_ATTR_USED_MEM_CURRENT), 4096);
        assert_eq!(about::<u64>(c, CU_POINTER_ATTRIBUTE_MEMPOOL_HANDLE), q as u64);
        ok(sys::cuMemPoolDestroy(q));
        assert_eq!(handle(|o| sys::cuDeviceGetMemPool(o, 0)), default);
        ok(sys::cuMemFreeAsync(c, s));
    }

    fn pointers_tell_what_they_are([]) {
        let context = start();
        let device = get(|p| sys::cuMemAlloc_v2(p, 1000));
        let managed = get(|p| sys::cuMemAllocManaged(p, 1000, 1));
        let host = handle(|p| sys::cuMemHostAlloc(p, 1000, 3)) as u64;
        let (d, h) = (CUmemorytype::CU_MEMORYTYPE_DEVICE as u32, CUmemorytype::CU_MEMORYTYPE_HOST as u32);
        for (at, kind, is_managed) in [(device, d, 0), (managed, d, 1), (host, h, 0)] {
            assert_eq!(about::<u32>(at + 10, CU_POINTER_ATTRIBUTE_MEMORY_TYPE), kind);
            assert_eq!(about::<u32>(at + 10, CU_POINTER_ATTRIBUTE_IS_MANAGED), is_managed);
            assert_eq!(about::<u64>(at + 10, CU_POINTER_ATTRIBUTE_CONTEXT), context as u64);
            assert_eq!(about::<u64>(at + 10, CU_POINTER_ATTRIBUTE_DEVICE_POINTER), at + 10);
            assert_eq!(about::<u64>(at + 10, CU_POINTER_ATTRIBUTE_RANGE_START_ADDR), at);
            assert_eq!(about::<u64>(at + 10, CU_POINTER_ATTRIBUTE_RANGE_SIZE), 1000);
            assert_eq!(about::<i32>(at, CU_POINTER_ATTRIBUTE_DEVICE_ORDINAL), 0);
        }
        assert_ne!(
            about::<u64>(device, CU_POINTER_ATTRIBUTE_BUFFER_ID),
            about::<u64>(managed, CU_POINTER_ATTRIBUTE_BUFFER_ID)
        );
        let mut place = 0u64;
        let asked = |p: *mut u64, attribute, at| sys::cuPointerGetAttribute(p.cast(), attribute, at);
        assert_eq!(asked(&mut place, CU_POINTER_ATTRIBUTE_HOST_POINTER, device), CUDA_ERROR_INVALID_VALUE);
        ok(asked(&mut place, CU_POINTER_ATTRIBUTE_HOST_POINTER, host));
        let mut elsewhere = 0u32;
        let outside = (&raw mut elsewhere) as u64;
        assert_eq!(asked(&mut place, CU_POINTER_ATTRIBUTE_MEMORY_TYPE, outside), CUDA_ERROR_INVALID_VALUE);
        assert_eq!(asked(std::ptr::null_mut(), CU_POINTER_ATTRIBUTE_CONTEXT, device), CUDA_ERROR_INVALID_VALUE);
        // Several at once: what a pointer has not is null.
        let (mut kind, mut ordinal) = (9u32, 9i32);
        let mut attributes = [CU_POINTER_ATTRIBUTE_MEMORY_TYPE, CU_POINTER_ATTRIBUTE_DEVICE_ORDINAL];
        let mut places: [*mut c_void; 2] = [(&raw mut kind).cast(), (&raw mut ordinal).cast()];
        ok(sys::cuPointerGetAttributes(2, attributes.as_mut_ptr(), places.as_mut_ptr(), outside));
        assert_eq!((kind, ordinal), (0, -2));
        let (mut base, mut size) = (0, 0);
        ok(sys::cuMemGetAddressRange_v2(&mut base, &mut size, device + 999));
        assert_eq!((base, size), (device, 1000));
        assert_eq!(sys::cuMemGetAddressRange_v2(&mut base, &mut size, outside), CUDA_ERROR_NOT_FOUND);
    }

    fn host_memory_has_flags([]) {
        start();
        for (flags, want) in [(0, 2), (1, 3), (4, 6), (7, 7)] {
            let at = handle(|p| sys::cuMemHostAlloc(p, 100, flags));
            assert_eq!(get(|p| sys::cuMemHostGetFlags(p, at)), want, "{flags}");
            assert_eq!(get(|p| sys::cuMemHostGetDevicePointer_v2(p, at, 0)), at as u64);
            ok(sys::cuMemFreeHost(at));
            assert_eq!(sys::cuMemFreeHost(at), CUDA_ERROR_INVALID_VALUE);
        }
        let mut at = std::ptr::null_mut();
        assert_eq!(sys::cuMemHostAlloc(&mut at, 100, 8), CUDA_ERROR_INVALID_VALUE);
        let mut memory = vec![0u8; 8192];
        let p: *mut c_void = memory.as_mut_ptr().cast();
        ok(sys::cuMemHostRegister_v2(p, 8192, 1));
        assert_eq!(get(|o| sys::cuMemHostGetFlags(o, p)), 3);
        let again = sys::cuMemHostRegister_v2(p.byte_add(4096), 100, 0);
        assert_eq!(again, CUDA_ERROR_HOST_MEMORY_ALREADY_REGISTERED);
        ok(sys::cuMemHostUnregister(p));
        assert_eq!(sys::cuMemHostUnregister(p), CUDA_ERROR_HOST_MEMORY_NOT_REGISTERED);
        assert_eq!(sys::cuMemHostRegister_v2(std::ptr::null_mut(), 100, 0), CUDA_ERROR_INVALID_VALUE);
        assert_eq!(sys::cuMemHostRegister_v2(p, 0, 0), CUDA_ERROR_INVALID_VALUE);
    }

    fn both_sides_use_managed_memory([]) {
        start();
        let at = get(|p| sys::cuMemAllocManaged(p, 256, 1));
        let host = std::slice::from_raw_parts_mut(at as *mut u32, 64);
        host.fill(3);
        ok(sys::cuMemsetD32_v2(at, 4, 32));
        assert_eq!(host, [[4; 32], [3; 32]].concat());
        let s = stream();
        ok(sys::cuStreamAttachMemAsync(s, at, 0, 4));
        assert_eq!(sys::cuStreamAttachMemAsync(s, at, 0, 3), CUDA_ERROR_INVALID_VALUE);
        assert_eq!(sys::cuMemAllocManaged(&mut 0, 256, 0), CUDA_ERROR_INVALID_VALUE);
        ok(sys::cuMemFree_v2(at));
    }
}
