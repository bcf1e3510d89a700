"""The same on a CUDA device, which may be the emulator (`cargo xtask emulate -- python3 -m pytest crates/python`)."""

import os

import numpy as np
import pytest

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


def test_device_gives_the_same_tensor(files, device):
    rows = [*files[:12], None, b"no image", files[0][:200]]
    for case in (dict(resize=24, crop=20), dict(crop=8, dtype="u8", layout="nhwc")):
        for on_error in ("null", "skip"):
            host, cuda = (
                warpline.image_to_tensor(rows, on_error=on_error, device=where, **case) for where in ("host", device)
            )
            assert np.array_equal(host.numpy(), cuda.numpy())
            assert (host.valid, host.rows) == (cuda.valid, cuda.rows)
            assert [repr(e) for e in host.errors] == [repr(e) for e in cuda.errors]


def test_device_gives_the_same_images(files, device):
    host, cuda = (warpline.decode_image(files[:12], device=where) for where in ("host", device))
    for a, b in zip(host, cuda):
        assert np.array_equal(a.numpy(), b.numpy())
