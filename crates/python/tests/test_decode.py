"""`decode_image` against Pillow."""

import io

import numpy as np
import pyarrow as pa
import pytest
from conftest import drawing, encode, pillow
from PIL import Image

import warpline


def same(images, files):
    assert len(images) == len(files)
    for pixels, data in zip(images, files):
        assert np.array_equal(pixels.numpy(), pillow(data))


def test_equals_pillow(files):
    images = warpline.decode_image(files)
    same(images, files)
    assert images.errors == []
    assert images.sizes == [pillow(data).shape[:2] for data in files]


@pytest.mark.parametrize("kind", [pa.binary(), pa.large_binary(), pa.binary_view()])
def test_arrow_arrays(files, kind):
    array = pa.array(files, kind)
    same(warpline.decode_image(array), files)
    same(warpline.decode_image(array[3:-2]), files[3:-2])


def test_chunked_arrays(files):
    chunked = pa.chunked_array([files[:5], files[5:]], pa.binary())
    same(warpline.decode_image(chunked), files)
    same(warpline.decode_image(pa.table({"image": chunked})["image"]), files)
    same(warpline.decode_image(chunked[:3]), files[:3])
    assert len(warpline.decode_image(pa.chunked_array([], pa.binary()))) == 0


def test_bytes_of_every_kind(files):
    data = files[0]
    rows = [data, bytearray(data), memoryview(data), np.frombuffer(data, np.uint8), None]
    images = warpline.decode_image(rows)
    same([images[i] for i in range(4)], [data] * 4)
    assert images[4] is None and images.sizes[4] is None
    same(warpline.decode_image(file for file in files), files)
    assert len(warpline.decode_image([])) == 0


def test_pixels_are_shared_and_read_only(files):
    images = warpline.decode_image(files[:2])
    pixels = images[0]
    array = pixels.numpy()
    assert not array.flags.writeable and not array.flags.owndata
    assert array.ctypes.data == images[0].numpy().ctypes.data
    want = array.copy()
    del images, pixels
    assert np.array_equal(array, want)
    image = warpline.decode_image(files[:1])[0]
    assert np.array_equal(np.asarray(Image.fromarray(image.numpy())), want)


def test_dlpack(files):
    pixels = warpline.decode_image(files[:1])[0]
    assert pixels.__dlpack_device__() == (1, 0)
    with pytest.raises(BufferError, match="read-only"):
        pixels.__dlpack__()
    with pytest.raises(BufferError, match="host"):
        pixels.__dlpack__(dl_device=(2, 0))
    pixels.__dlpack__(max_version=(1, 0))  # never consumed: freed with its capsule
    pixels.__dlpack__(copy=True)
    array = np.from_dlpack(pixels)
    assert np.array_equal(array, pillow(files[0])) and not array.flags.writeable


def test_arrow_out(files):
    images = warpline.decode_image([files[0], None])
    array = pa.array(images)
    assert array.type == pa.struct(
        [
            pa.field("data", pa.large_binary(), nullable=False),
            pa.field("width", pa.uint32(), nullable=False),
            pa.field("height", pa.uint32(), nullable=False),
        ]
    )
    assert array[1].as_py() is None
    assert array[0].as_py()["data"] == pillow(files[0]).tobytes()


def test_errors(files):
    rows = [files[0], b"no image", files[0][:100], None]
    with pytest.raises(warpline.ImageError, match="row 1: not_an_image: ") as raised:
        warpline.decode_image(rows)
    error = raised.value
    assert isinstance(error, ValueError) and (error.row, error.code) == (1, "not_an_image") and error.message
    images = warpline.decode_image(rows, on_error="null")
    assert np.array_equal(images[0].numpy(), pillow(files[0]))
    assert images[1] is None and images[2] is None and images[3] is None
    assert [(e.row, e.code) for e in images.errors] == [(1, "not_an_image"), (2, "truncated")]
    assert "truncated" in repr(images.errors[1])
    with pytest.raises(IndexError):
        images[4]


def test_limits_and_orientation():
    image = drawing(12, 5, 1)
    tags = Image.Exif()
    tags[0x0112] = 6
    data = encode(image, "JPEG", exif=tags.tobytes())
    turned = warpline.decode_image([data], exif_orientation=True)[0]
    from PIL import ImageOps

    want = np.asarray(ImageOps.exif_transpose(Image.open(io.BytesIO(data))))
    assert turned.shape == (12, 5, 3) and np.array_equal(turned.numpy(), want)
    with pytest.raises(warpline.ImageError, match="too_large"):
        warpline.decode_image([data], max_pixels=59)


@pytest.mark.parametrize(
    "array, what",
    [
        (b"bytes", TypeError),
        ("text", TypeError),
        (3, TypeError),
        (["text"], TypeError),
        ([3], TypeError),
        ([[3]], TypeError),
        (pa.array([1, 2]), ValueError),
        (pa.array(["text"]), ValueError),
        (pa.table({"image": pa.array([b""], pa.binary())}), ValueError),
    ],
)
def test_wrong_arrays(array, what):
    with pytest.raises(what):
        warpline.decode_image(array)


def test_wrong_arguments(files):
    with pytest.raises(ValueError, match="fail, null, skip"):
        warpline.decode_image(files, on_error="raise")
    with pytest.raises(ValueError, match="tensors"):
        warpline.decode_image(files, on_error="skip")
    with pytest.raises(ValueError, match="auto, host, cuda:N"):
        warpline.decode_image(files, device="gpu")
    with pytest.raises(RuntimeError):
        warpline.decode_image(files, device="cuda:99")
