"""On a CUDA device, which may be the emulator (`cargo xtask emulate -- python3 -m pytest crates/python`): the same results,
which stay there for other libraries. The consumer here is ours, because PyTorch and CuPy take a real device only."""

import ctypes
import gc
import os
import threading

import numpy as np
import pyarrow as pa
import pytest
from conftest import pillow
from consumer import IS_COPIED, READ_ONLY, Driver, Taken

import warpline


@pytest.fixture
def device(files):
    try:
        warpline.image_to_tensor(files[:1], crop=2, device="cuda:0")
    except RuntimeError as error:
        if os.environ.get("REQUIRE_DEVICE"):
            raise
        pytest.skip(f"no device: {error}")
    return "cuda:0"


@pytest.fixture
def driver(device):
    return Driver()


def test_device_gives_the_same_tensor(files, device):
    rows = [*files[:12], None, b"no image", files[0][:200]]
    cases = [
        dict(resize=24, crop=20),
        dict(crop=8, dtype="u8", layout="nhwc"),
        dict(random_resized_crop=(16, 24), horizontal_flip=0.5, seed=3, dtype="f16"),
        dict(letterbox=(28, 56), fill=(1, 2, 3), layout="patches:14,merge=2,temporal=2", dtype="bf16"),
    ]
    for case in cases:
        for on_error in ("null", "skip"):
            host, cuda = (
                warpline.image_to_tensor(rows, on_error=on_error, device=where, **case) for where in ("host", device)
            )
            assert (host.device, cuda.device, cuda.to_host().device) == ("host", device, "host")
            assert np.array_equal(host.numpy(), cuda.numpy())
            assert pa.array(host).equals(pa.array(cuda.to_host()))
            assert (host.shape, host.valid, host.rows) == (cuda.shape, cuda.valid, cuda.rows)
            assert [repr(e) for e in host.errors] == [repr(e) for e in cuda.errors]
    nothing = warpline.image_to_tensor([b"x"], crop=8, on_error="skip", device=device)
    assert nothing.numpy().shape == (0, 3, 8, 8) and Taken(nothing.__dlpack__()).shape == [0, 3, 8, 8]


def test_device_gives_the_same_images(files, device):
    rows = [*files[:12], None]
    host, cuda = (warpline.decode_image(rows, device=where) for where in ("host", device))
    assert (cuda.device, cuda.to_host().device, cuda.sizes) == (device, "host", host.sizes)
    for a, b, c in zip(host, cuda, cuda.to_host()):
        if a is not None:
            assert (b.device, c.device) == (device, "host")
            assert np.array_equal(a.numpy(), b.numpy()) and np.array_equal(a.numpy(), c.numpy())
    assert pa.array(cuda.to_host()).equals(pa.array(host))


def test_device_results_are_not_copied_unasked(files, device):
    tensor = warpline.image_to_tensor(files[:1], crop=8, device=device)
    images = warpline.decode_image(files[:1], device=device)
    for convert in (np.asarray, np.array):
        for result in (tensor, images[0]):
            with pytest.raises(TypeError, match=r"on cuda:0: copy it with to_host\(\) or numpy\(\)"):
                convert(result)
    for result in (tensor, images):
        with pytest.raises(TypeError, match="on cuda:0"):
            pa.array(result)
        assert "on cuda:0" in repr(result)
    with pytest.raises((BufferError, RuntimeError)):
        np.from_dlpack(tensor)
    assert not hasattr(tensor, "__array_interface__") and tensor.to_host().to_host().numpy().flags.writeable


def test_device_capsules(files, device, driver):
    codes = {"f32": (2, 32, 1), "f16": (2, 16, 1), "bf16": (4, 16, 1), "u8": (1, 8, 1)}
    for layout in ("nchw", "nhwc", "patches:4"):
        for dtype, code in codes.items():
            case = dict(crop=(8, 12), dtype=dtype, layout=layout)
            tensor = warpline.image_to_tensor(files, device=device, **case)
            want = tensor.numpy()
            assert tensor.__dlpack_device__() == (2, 0)
            for max_version in (None, (0, 8), (1, 0), (1, 3)):
                taken = Taken(tensor.__dlpack__(max_version=max_version))
                assert taken.versioned == (max_version is not None and max_version[0] >= 1)
                assert (taken.device, taken.dtype, taken.byte_offset, taken.flags) == ((2, 0), code, 0, 0)
                assert taken.shape == tensor.shape
                assert taken.strides == [stride // want.itemsize for stride in want.strides]
                assert not taken.versioned or list(taken.managed.version) == [1, 0]
                assert driver.read(taken) == want.tobytes()
                taken.end()
    pixels = warpline.decode_image(files[:5], device=device)[4]
    with pytest.raises(BufferError, match="read-only"):
        pixels.__dlpack__()
    taken = Taken(pixels.__dlpack__(max_version=(1, 0)))
    assert (taken.device, taken.flags, taken.shape) == ((2, 0), READ_ONLY, list(pillow(files[4]).shape))
    assert driver.read(taken) == pillow(files[4]).tobytes()
    taken.end()


def test_device_orders_the_consumers_stream(files, device, driver):
    """A copy that the consumer queues at once reads what is there at the end of our work."""
    own = driver.stream()
    want = warpline.image_to_tensor(files, crop=64).numpy().tobytes()
    for stream in (None, 1, 2, own) * 3:
        taken = Taken(warpline.image_to_tensor(files, crop=64, device=device).__dlpack__(stream=stream))
        assert driver.read(taken, stream) == want
        taken.end()
    tensor = warpline.image_to_tensor(files, crop=64, device=device)
    taken = Taken(tensor.__dlpack__(stream=-1))
    driver("cuCtxSynchronize")
    assert driver.read(taken) == want
    taken.end()
    for wrong, what in ((0, ValueError), (-2, ValueError), (True, TypeError), (1.0, TypeError), ("1", TypeError)):
        with pytest.raises(what, match="stream"):
            tensor.__dlpack__(stream=wrong)
    driver("cuStreamDestroy_v2", ctypes.c_void_p(own))


def test_device_copies_on_request(files, device, driver):
    tensor = warpline.image_to_tensor(files, crop=8, device=device)
    want = tensor.numpy()
    first, same = (Taken(tensor.__dlpack__(copy=copy)) for copy in (None, False))
    copied = Taken(tensor.__dlpack__(copy=True, max_version=(1, 0), dl_device=(2, 0)))
    assert first.data == same.data != copied.data and copied.flags == IS_COPIED and copied.device == (2, 0)
    driver("cuMemsetD8_v2", ctypes.c_uint64(copied.data), ctypes.c_uint8(7), ctypes.c_size_t(copied.nbytes))
    assert driver.read(copied) == b"\7" * copied.nbytes and driver.read(first) == want.tobytes()
    pixels = warpline.decode_image(files[:1], device=device)[0]
    free = Taken(pixels.__dlpack__(copy=True))
    assert not free.versioned and driver.read(free) == pillow(files[0]).tobytes()
    for taken in (first, same, copied, free):
        taken.end()
    array = np.from_dlpack(tensor, device="cpu")
    assert np.array_equal(array, want) and array.flags.writeable
    assert np.array_equal(np.from_dlpack(pixels, device="cpu"), pillow(files[0]))
    taken = Taken(tensor.__dlpack__(dl_device=(1, 0), max_version=(1, 0)))
    assert (taken.device, taken.flags) == ((1, 0), IS_COPIED)
    taken.end()
    with pytest.raises(BufferError, match="copy=False"):
        tensor.__dlpack__(dl_device=(1, 0), copy=False)
    for elsewhere in ((2, 1), (3, 0), (1, 1)):
        with pytest.raises(BufferError, match=r"dl_device may be \(2, 0\) or \(1, 0\)"):
            tensor.__dlpack__(dl_device=elsewhere)


def test_device_memory_lives_as_long_as_a_consumer(files, device, driver):
    own = driver.stream()
    case = dict(resize=(64, 64), device=device)
    want = warpline.image_to_tensor(files, **case).numpy().tobytes()
    for stream in (None, 2, own, -1):
        tensor = warpline.image_to_tensor(files, **case)
        capsule = tensor.__dlpack__(stream=stream)
        del tensor
        gc.collect()
        others = [warpline.image_to_tensor(files, vertical_flip=True, **case) for _ in range(3)]
        taken = Taken(capsule)
        del capsule
        driver("cuCtxSynchronize")
        assert driver.read(taken) == want
        thread = threading.Thread(target=taken.end)
        thread.start()
        thread.join()
        del others


def test_device_memory_comes_back(files, device, driver):
    def free():
        driver("cuCtxSynchronize")
        free, total = ctypes.c_size_t(), ctypes.c_size_t()
        driver("cuMemGetInfo_v2", ctypes.byref(free), ctypes.byref(total))
        return free.value

    before = None
    for _ in range(12):
        for max_version in (None, (1, 0)):
            tensor = warpline.image_to_tensor(files[1:2], resize=(512, 512), device=device)  # 3 MiB
            taken = [Taken(tensor.__dlpack__(max_version=max_version, copy=copy)) for copy in (None, True)]
            tensor.__dlpack__(max_version=max_version)  # nobody takes it
            del tensor
            for one in taken:
                one.end()
        before = before or free()
    assert before - free() < 8 << 20


def test_device_sees_what_a_consumer_wrote(files, device, driver):
    """The end of a consumer's tensor comes before our next work, whatever stream its own work is on."""
    own = driver.stream()
    for stream in (None, 1, 2, own, -1):
        tensor = warpline.image_to_tensor(files, crop=32, dtype="u8", device=device)
        taken = Taken(tensor.__dlpack__(stream=stream))
        handle = ctypes.c_void_p(own if stream == -1 else stream)
        if stream == -1:
            driver("cuCtxSynchronize")
        for value in range(20):
            size = ctypes.c_size_t(taken.nbytes)
            driver("cuMemsetD8Async", ctypes.c_uint64(taken.data), ctypes.c_uint8(value), size, handle)
        taken.end()
        for reader in (None, own):
            taken = Taken(tensor.__dlpack__(stream=reader))
            assert driver.read(taken, reader) == b"\x13" * taken.nbytes, (stream, reader)
            taken.end()
        assert (tensor.numpy() == 19).all(), stream
    driver("cuStreamDestroy_v2", ctypes.c_void_p(own))


def test_device_leaves_the_threads_context_alone(files, device, driver):
    other, popped = ctypes.c_void_p(), ctypes.c_void_p()
    driver("cuCtxCreate_v2", ctypes.byref(other), ctypes.c_uint32(0), ctypes.c_int32(0))
    driver("cuCtxPopCurrent_v2", ctypes.byref(popped))
    found = []

    def work(context):
        if context:
            driver("cuCtxSetCurrent", ctypes.c_void_p(context))
        tensor = warpline.image_to_tensor(files[:2], crop=8, device=device)
        found.append(driver.current())
        taken = Taken(tensor.__dlpack__(stream=-1))
        copied = Taken(tensor.__dlpack__(stream=-1, copy=True))
        found.append(driver.current())
        tensor.numpy()
        found.append(driver.current())
        del tensor
        taken.end()
        copied.end()
        found.append(driver.current())

    for context in (None, other.value):  # a new thread has none
        thread = threading.Thread(target=work, args=(context,))
        thread.start()
        thread.join()
    assert found == [None] * 4 + [other.value] * 4
    driver("cuCtxDestroy_v2", other)


def test_device_serves_threads(files, device):
    want = warpline.image_to_tensor(files, crop=16).numpy()
    results = []

    def work():
        for _ in range(5):
            results.append(warpline.image_to_tensor(files, crop=16, device=device).numpy())

    threads = [threading.Thread(target=work) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(results) == 20 and all(np.array_equal(result, want) for result in results)
