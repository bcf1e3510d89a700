"""Encoded images, and what Pillow and NumPy make of them."""

import io

import numpy as np
import pytest
from PIL import Image

FILTERS = dict(nearest=0, box=4, bilinear=2, hamming=5, bicubic=3, lanczos=1)
STATS = dict(
    imagenet=([0.485, 0.456, 0.406], [0.229, 0.224, 0.225]),
    clip=([0.48145466, 0.4578275, 0.40821073], [0.26862954, 0.26130258, 0.27577711]),
)
SIZES = [(64, 48), (33, 17), (40, 90), (1, 1), (300, 200), (127, 128), (17, 400)]


def drawing(width, height, seed):
    """Waves with grain."""
    rng = np.random.default_rng(seed)
    y, x = np.mgrid[:height, :width]
    waves = [128 + 60 * np.sin(x * 0.11 + c + seed) + 50 * np.cos(y * 0.17) for c in range(3)]
    noise = rng.integers(0, 20, (height, width, 3))
    return Image.fromarray(np.clip(np.stack(waves, -1) + noise, 0, 255).astype(np.uint8))


def encode(image, kind, **options):
    out = io.BytesIO()
    image.save(out, kind, **options)
    return out.getvalue()


def encoded():
    files = []
    for i, (width, height) in enumerate(SIZES):
        image = drawing(width, height, i)
        files += [
            encode(image, "JPEG", quality=90, subsampling=i % 3, progressive=i % 2 == 0),
            encode(image, "PNG"),
            encode(image.convert("RGBA"), "PNG"),
            encode(image.convert("L"), "PNG"),
            encode(image, "WEBP", quality=80),
            encode(image, "WEBP", lossless=True),
        ]
    return files


@pytest.fixture(scope="session")
def files():
    return encoded()


def pillow(data):
    return np.asarray(Image.open(io.BytesIO(data)).convert("RGB"))


def transform(data, resize=None, crop=None, interpolation="bilinear", normalize="imagenet", dtype="f32", layout="nchw"):
    """torchvision's eval transform on PIL images, in NumPy."""
    image = Image.open(io.BytesIO(data)).convert("RGB")
    if isinstance(resize, int):
        w, h = image.size
        size = (resize, int(resize * h / w)) if w <= h else (int(resize * w / h), resize)
        image = image.resize(size, FILTERS[interpolation])
    elif resize:
        image = image.resize(resize[::-1], FILTERS[interpolation])
    pixels = np.asarray(image)
    if crop:
        high, wide = (crop, crop) if isinstance(crop, int) else crop
        h, w = pixels.shape[:2]
        if w < wide or h < high:
            left, top = max((wide - w) // 2, 0), max((high - h) // 2, 0)
            pixels = np.pad(pixels, ((top, max(high - h - top, 0)), (left, max(wide - w - left, 0)), (0, 0)))
            h, w = pixels.shape[:2]
        top, left = int(round((h - high) / 2.0)), int(round((w - wide) / 2.0))
        pixels = pixels[top : top + high, left : left + wide]
    if dtype != "u8":
        pixels = pixels.astype(np.float32) / np.float32(255)
        if normalize != "none":
            mean, std = STATS[normalize] if isinstance(normalize, str) else normalize
            pixels = (pixels - np.array(mean, np.float32)) / np.array(std, np.float32)
        if dtype == "f16":
            pixels = pixels.astype(np.float16)
        if dtype == "bf16":
            import ml_dtypes

            pixels = pixels.astype(ml_dtypes.bfloat16).view(np.uint16)
    return pixels.transpose(2, 0, 1) if layout == "nchw" else pixels
