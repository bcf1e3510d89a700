#!/usr/bin/env python3
"""Golden answers for resize and crop, by Pillow (< 13) and torchvision's geometry.

    python3 make_resize.py > resize.txt          writes the golden file
    python3 make_resize.py --cases < CASES       answers cases from standard input, for live comparison

A case is one line: WIDTH HEIGHT PATTERN FILTER TARGET CROP, where PATTERN is noise or black-white, TARGET is keep,
shorter:N or exact:WxH and CROP is none or WxH. The answer appends the result's width and height and the SHA-256 of its
RGB bytes.
"""
import hashlib
import sys

import numpy as np
from PIL import Image, ImageOps, __version__

FILTERS = ["nearest", "box", "bilinear", "hamming", "bicubic", "lanczos"]


def pattern(width, height, kind):
    """RGB bytes that the Rust test makes in the same way: SplitMix64 of the byte's index, top byte."""
    with np.errstate(over="ignore"):
        z = np.arange(1, width * height * 3 + 1, dtype=np.uint64) * np.uint64(0x9E3779B97F4A7C15)
        z = (z ^ (z >> np.uint64(30))) * np.uint64(0xBF58476D1CE4E5B9)
        z = (z ^ (z >> np.uint64(27))) * np.uint64(0x94D049BB133111EB)
        z = z ^ (z >> np.uint64(31))
    data = (z >> np.uint64(56)).astype(np.uint8)
    if kind == "black-white":  # extremes make the filters overshoot
        data = np.where(data < 128, 0, 255).astype(np.uint8)
    return Image.fromarray(data.reshape(height, width, 3))


def resize(image, target, name):
    width, height = image.size
    kind, _, value = target.partition(":")
    if kind == "keep":
        return image
    if kind == "exact":
        size = tuple(int(v) for v in value.split("x"))
    else:  # torchvision.transforms.functional._compute_resized_output_size
        short, long = (width, height) if width <= height else (height, width)
        new_short, new_long = int(value), int(int(value) * long / short)
        size = (new_short, new_long) if width <= height else (new_long, new_short)
    return image.resize(size, getattr(Image.Resampling, name.upper()))


def center_crop(image, crop):
    """torchvision.transforms.functional.center_crop on a PIL image."""
    if crop == "none":
        return image
    crop_w, crop_h = (int(v) for v in crop.split("x"))
    width, height = image.size
    if crop_w > width or crop_h > height:
        left = (crop_w - width) // 2 if crop_w > width else 0
        top = (crop_h - height) // 2 if crop_h > height else 0
        right = (crop_w - width + 1) // 2 if crop_w > width else 0
        bottom = (crop_h - height + 1) // 2 if crop_h > height else 0
        image = ImageOps.expand(image, border=(left, top, right, bottom), fill=0)
        width, height = image.size
    top, left = int(round((height - crop_h) / 2.0)), int(round((width - crop_w) / 2.0))
    return image.crop((left, top, left + crop_w, top + crop_h))


def transform(case):
    """The PIL image of a case (a list of its fields)."""
    width, height, kind, name, target, crop = case
    return center_crop(resize(pattern(int(width), int(height), kind), target, name), crop)


def answer(line):
    result = transform(line.split())
    digest = hashlib.sha256(result.tobytes()).hexdigest()
    return f"{line} {result.size[0]} {result.size[1]} {digest}"


def cases():
    exact = [  # (in, out)
        ((1, 1), (1, 1)), ((1, 1), (7, 5)), ((2, 1), (1, 1)), ((3, 2), (2, 3)), ((5, 7), (5, 7)), ((5, 7), (10, 14)),
        ((16, 16), (8, 8)), ((16, 16), (16, 5)), ((16, 16), (5, 16)), ((17, 13), (33, 3)), ((33, 17), (11, 64)),
        ((64, 48), (63, 47)), ((64, 48), (65, 49)), ((100, 75), (32, 32)), ((127, 3), (3, 127)), ((640, 480), (224, 224)),
        ((641, 3), (40, 9)), ((3, 641), (9, 40)), ((1000, 1), (10, 10)), ((1, 1000), (10, 10)), ((2, 500), (2, 100)),
        ((3, 301), (5, 300)), ((3, 301), (5, 302)), ((3, 300), (5, 200)), ((4, 3000), (1, 1)), ((3000, 4), (1, 1)),
        ((1024, 768), (96, 64)), ((20, 20), (200, 300)), ((31, 31), (1, 1)),
    ]
    for (w, h), (ow, oh) in exact:
        for name in FILTERS:
            yield f"{w} {h} noise {name} exact:{ow}x{oh} none"
    for (w, h), (ow, oh) in [((16, 16), (8, 8)), ((33, 17), (11, 64)), ((100, 75), (32, 32)), ((20, 20), (200, 300))]:
        for name in FILTERS:
            yield f"{w} {h} black-white {name} exact:{ow}x{oh} none"
    shorter = [  # in, shorter side, crop
        ((500, 375), 256, "224x224"), ((375, 500), 256, "224x224"), ((501, 374), 64, "56x56"), ((3, 7), 224, "224x224"),
        ((40, 30), 30, "20x20"), ((40, 30), 10, "20x20"), ((40, 30), 10, "11x21"), ((40, 30), 11, "20x9"),
        ((1, 60), 8, "8x8"), ((60, 1), 8, "8x8"), ((2, 401), 4, "3x9"), ((5, 1203), 3, "3x3"), ((123, 457), 57, "none"),
    ]
    for (w, h), size, crop in shorter:
        for name in FILTERS:
            yield f"{w} {h} noise {name} shorter:{size} {crop}"
    for crop in ["1x1", "7x5", "8x4", "9x9", "3x30", "30x3", "16x16", "17x18", "none"]:
        yield f"16 9 noise bilinear keep {crop}"


def run(answer, cases):
    """Answers the cases of standard input, or those that make the golden file."""
    assert int(__version__.split(".")[0]) < 13, f"Pillow {__version__}: 13 changed the order of the passes"
    if "--cases" in sys.argv:
        lines = [line.strip() for line in sys.stdin if line.strip()]
    else:
        lines = list(cases())
    for line in lines:
        print(answer(line))


if __name__ == "__main__":
    run(answer, cases)
