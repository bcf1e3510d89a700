"""`image_to_tensor` against Pillow and torchvision's arithmetic in NumPy."""

import multiprocessing
import threading
import time

import numpy as np
import pyarrow as pa
import pytest
from conftest import transform

import warpline

CASES = [
    dict(resize=40, crop=32),
    dict(resize=(50, 31)),
    dict(resize=64, crop=(20, 60), interpolation="bicubic", normalize="clip"),
    dict(crop=50, dtype="u8"),
    dict(resize=33, crop=40, dtype="f16", layout="nhwc"),
    dict(resize=33, crop=40, dtype="bf16"),
    dict(resize=20, crop=20, interpolation="lanczos", normalize="none"),
    dict(resize=(24, 24), interpolation="nearest", normalize=([0.5, 0.4, 0.3], [0.2, 0.25, 0.5])),
    dict(resize=(24, 24), interpolation="box", layout="nhwc", dtype="u8"),
    dict(resize=(24, 24), interpolation="hamming"),
]


@pytest.mark.parametrize("case", CASES, ids=str)
def test_equals_pillow_and_numpy(files, case):
    tensor = warpline.image_to_tensor(files, **{k: as_tuple(v) for k, v in case.items()})
    want = np.stack([transform(data, **case) for data in files])
    array = tensor.numpy()
    assert array.dtype == want.dtype and array.shape == want.shape == tuple(tensor.shape)
    assert np.array_equal(array, want)
    assert len(tensor) == len(files) and all(tensor.valid) and tensor.rows == list(range(len(files)))
    assert tensor.dtype == case.get("dtype", "f32") and tensor.layout == case.get("layout", "nchw")


def as_tuple(value):
    return tuple(tuple(part) for part in value) if isinstance(value, tuple) and isinstance(value[0], list) else value


def test_one_number_for_all_channels(files):
    tensor = warpline.image_to_tensor(files, crop=8, normalize=(0.5, 0.25))
    want = np.stack([transform(data, crop=8, normalize=([0.5] * 3, [0.25] * 3)) for data in files])
    assert np.array_equal(tensor.numpy(), want)


def test_arrow_in(files):
    want = warpline.image_to_tensor(files, crop=8).numpy()
    for kind in (pa.binary(), pa.large_binary(), pa.binary_view()):
        assert np.array_equal(warpline.image_to_tensor(pa.array(files, kind), crop=8).numpy(), want)
    chunked = pa.chunked_array([files[:7], files[7:]], pa.binary())
    assert np.array_equal(warpline.image_to_tensor(chunked, crop=8).numpy(), want)


def test_memory_is_shared_and_outlives_the_tensor(files):
    tensor = warpline.image_to_tensor(files, crop=8)
    array, other = tensor.numpy(), np.from_dlpack(tensor)
    assert array.ctypes.data == other.ctypes.data and array.flags.writeable
    want = array.copy()
    del tensor
    assert np.array_equal(other, want)
    array[0] = 7
    assert (other[0] == 7).all()


def test_numpy_protocol(files):
    tensor = warpline.image_to_tensor(files[:2], crop=8, dtype="u8")
    assert np.shares_memory(np.asarray(tensor), tensor.__array__()) and tensor.device == "host"
    assert not np.shares_memory(np.array(tensor), tensor.__array__(copy=True))
    assert np.array_equal(tensor.__array__(np.float32), tensor.numpy().astype(np.float32))
    assert tensor.to_host() is tensor


def test_dlpack_protocol(files):
    tensor = warpline.image_to_tensor(files[:2], crop=8, dtype="u8")
    assert tensor.__dlpack_device__() == (1, 0)
    assert '"dltensor"' in repr(tensor.__dlpack__())
    assert '"dltensor_versioned"' in repr(tensor.__dlpack__(max_version=(1, 1)))
    copied = np.from_dlpack(tensor, copy=True)
    assert np.array_equal(copied, tensor.numpy()) and copied.ctypes.data != tensor.numpy().ctypes.data


def test_arrow_out(files):
    tensor = warpline.image_to_tensor([files[0], None], crop=8)
    array = pa.array(tensor)
    assert isinstance(array.type, pa.FixedShapeTensorType) and array.type.shape == [3, 8, 8]
    assert array[1].as_py() is None
    flat = np.array(array.storage[0].as_py(), np.float32)
    assert np.array_equal(flat.reshape(3, 8, 8), transform(files[0], crop=8))


def test_on_error(files):
    rows = [b"no image", files[0], None, files[1][:60], files[2]]
    with pytest.raises(warpline.ImageError) as raised:
        warpline.image_to_tensor(rows, crop=8)
    assert (raised.value.row, raised.value.code) == (0, "not_an_image")
    good = {1: transform(files[0], crop=8), 4: transform(files[2], crop=8)}

    null = warpline.image_to_tensor(rows, crop=8, on_error="null")
    assert null.valid == [False, True, False, False, True] and null.rows == [0, 1, 2, 3, 4]
    assert [(e.row, e.code) for e in null.errors] == [(0, "not_an_image"), (3, "truncated")]
    for row, array in enumerate(null.numpy()):
        assert np.array_equal(array, good.get(row, np.zeros((3, 8, 8), np.float32)))

    skip = warpline.image_to_tensor(rows, crop=8, on_error="skip")
    assert skip.rows == [1, 2, 4] and skip.valid == [True, False, True]
    assert [e.row for e in skip.errors] == [0, 3]
    for row, array in zip(skip.rows, skip.numpy()):
        assert np.array_equal(array, good.get(row, np.zeros((3, 8, 8), np.float32)))

    none = warpline.image_to_tensor([b"x", b"y"], crop=8, on_error="skip")
    assert none.numpy().shape == (0, 3, 8, 8) and none.rows == []


def test_no_images():
    tensor = warpline.image_to_tensor([], crop=(8, 9))
    assert tensor.numpy().shape == (0, 3, 8, 9) and np.from_dlpack(tensor).shape == (0, 3, 8, 9)
    with pytest.raises(ValueError, match="size"):
        warpline.image_to_tensor([])


@pytest.mark.parametrize(
    "arguments",
    [
        dict(resize=0),
        dict(crop=0),
        dict(interpolation="cubic"),
        dict(normalize="mean"),
        dict(normalize=((0.5, 0.5, 0.5), (0.0, 1.0, 1.0))),
        dict(dtype="f64"),
        dict(layout="chw"),
        dict(on_error="ignore"),
        dict(device="tpu"),
        dict(),  # images of several sizes
    ],
    ids=str,
)
def test_wrong_arguments(files, arguments):
    with pytest.raises(ValueError):
        warpline.image_to_tensor(files, **arguments)


def test_u8_is_not_normalised(files):
    with pytest.raises(ValueError, match="u8"):
        warpline.image_to_tensor(files, crop=8, dtype="u8", normalize="imagenet")


def test_the_interpreter_runs_on(files):
    """Another thread counts while images are decoded: the interpreter's lock is released."""
    counts, done = [0], threading.Event()

    def count():
        while not done.is_set():
            counts[0] += 1
            time.sleep(0.0005)

    thread = threading.Thread(target=count)
    thread.start()
    warpline.image_to_tensor(files * 4, crop=8)
    before = counts[0]
    start = time.monotonic()
    while time.monotonic() - start < 0.2:
        warpline.image_to_tensor(files * 4, crop=64)
    during = counts[0] - before
    done.set()
    thread.join()
    assert during > 20, f"{during} steps of another thread in 0.2 s"


def work(files):
    return warpline.image_to_tensor(files, crop=8, device="host").numpy().sum()


def test_forked_processes(files):
    """A data loader's workers are forked: threads that the parent had are gone there."""
    want = work(files)
    with multiprocessing.get_context("fork").Pool(2) as pool:
        assert pool.map_async(work, [files] * 4).get(timeout=60) == [want] * 4
