#!/usr/bin/env python3
"""Golden answers for resize and crop, by Pillow (< 13) and torchvision's geometry.

    python3 make_resize.py > resize.txt          writes the golden file
    python3 make_resize.py --cases < CASES       answers cases from standard input, for live comparison

A case is one line: WIDTH HEIGHT PATTERN FILTER TARGET STEPS, where PATTERN is noise or black-white, TARGET is keep,
shorter:N, exact:WxH or fit:WxH, and STEPS is the centre crop, none or WxH, and after it, with semicolons between, any of
pad:WxH@PLACE, fill:R,G,B, part:LEAST,MOST,LEAST,MOST (a random crop's scale and ratio), hflip:P, vflip:P, seed:SEED,ID.
The answer appends the result's width and height and the SHA-256 of its RGB bytes.
"""
import hashlib
import math
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


def pair(text):
    return tuple(int(v) for v in text.split("x"))


def resize(image, target, name):
    width, height = image.size
    kind, _, value = target.partition(":")
    if kind == "keep":
        return image
    if kind == "fit":
        return ImageOps.contain(image, pair(value), getattr(Image.Resampling, name.upper()))
    if kind == "exact":
        size = pair(value)
    else:  # torchvision.transforms.functional._compute_resized_output_size
        short, long = (width, height) if width <= height else (height, width)
        new_short, new_long = int(value), int(int(value) * long / short)
        size = (new_short, new_long) if width <= height else (new_long, new_short)
    return image.resize(size, getattr(Image.Resampling, name.upper()))


def center_crop(image, crop, fill):
    """torchvision.transforms.functional.center_crop on a PIL image."""
    if crop == "none":
        return image
    crop_w, crop_h = pair(crop)
    width, height = image.size
    if crop_w > width or crop_h > height:
        left = (crop_w - width) // 2 if crop_w > width else 0
        top = (crop_h - height) // 2 if crop_h > height else 0
        right = (crop_w - width + 1) // 2 if crop_w > width else 0
        bottom = (crop_h - height + 1) // 2 if crop_h > height else 0
        image = ImageOps.expand(image, border=(left, top, right, bottom), fill=fill)
        width, height = image.size
    top, left = int(round((height - crop_h) / 2.0)), int(round((width - crop_w) / 2.0))
    return image.crop((left, top, left + crop_w, top + crop_h))


CENTERING = {"center": (0.5, 0.5), "top-left": (0, 0), "top-right": (1, 0), "bottom-left": (0, 1), "bottom-right": (1, 1)}


def paste(image, size, place, fill):
    """The image on a canvas, with ImageOps.pad's places."""
    canvas = Image.new("RGB", size, fill)
    free = [size[i] - image.size[i] for i in range(2)]
    canvas.paste(image, tuple(round(free[i] * CENTERING[place][i]) for i in range(2)))
    return canvas


MASK = (1 << 64) - 1
STEP = 0x9E3779B97F4A7C15


def mix(z):
    z = ((z ^ (z >> 30)) * 0xBF58476D1CE4E5B9) & MASK
    z = ((z ^ (z >> 27)) * 0x94D049BB133111EB) & MASK
    return z ^ (z >> 31)


def draw(seed, row, number):
    """Random 64 bits as the documentation of `warpline::image::Resize` defines them."""
    start = mix(((mix((seed + STEP) & MASK) ^ row) + STEP) & MASK)
    return mix((start + (number + 1) * STEP) & MASK)


def unit(seed, row, number):
    return (draw(seed, row, number) >> 11) / 2.0**53


def random_part(width, height, scale, ratio, seed, row):
    """torchvision.transforms.RandomResizedCrop.get_params with our draws: left, top, width, height."""
    area = width * height
    log_ratio = [math.log(r) for r in ratio]
    for attempt in range(10):
        first = 2 + 4 * attempt
        target_area = area * (scale[0] + unit(seed, row, first) * (scale[1] - scale[0]))
        aspect_ratio = math.exp(log_ratio[0] + unit(seed, row, first + 1) * (log_ratio[1] - log_ratio[0]))
        w = int(round(math.sqrt(target_area * aspect_ratio)))
        h = int(round(math.sqrt(target_area / aspect_ratio)))
        if 0 < w <= width and 0 < h <= height:
            i = draw(seed, row, first + 2) * (height - h + 1) >> 64
            j = draw(seed, row, first + 3) * (width - w + 1) >> 64
            return j, i, w, h
    in_ratio = float(width) / float(height)
    if in_ratio < min(ratio):
        w = width
        h = int(round(w / min(ratio)))
    elif in_ratio > max(ratio):
        h = height
        w = int(round(h * max(ratio)))
    else:
        w = width
        h = height
    w, h = max(w, 1), max(h, 1)  # torchvision would fail
    return (width - w) // 2, (height - h) // 2, w, h


def transform(case):
    """The PIL image of a case (a list of its fields)."""
    width, height, kind, name, target, steps = case
    crop, *steps = steps.split(";")
    steps = dict(step.split(":") for step in steps)
    fill = tuple(int(v) for v in steps.get("fill", "0,0,0").split(","))
    seed, row = (int(v) for v in steps.get("seed", "0,0").split(","))
    image = pattern(int(width), int(height), kind)
    if "part" in steps:
        numbers = [float(v) for v in steps["part"].split(",")]
        left, top, w, h = random_part(*image.size, numbers[:2], numbers[2:], seed, row)
        image = image.crop((left, top, left + w, top + h))
    size, _, place = steps.get("pad", "").partition("@")
    if target == f"fit:{size}" and crop == "none":
        method = getattr(Image.Resampling, name.upper())
        image = ImageOps.pad(image, pair(size), method, color=fill, centering=CENTERING[place])
    else:
        image = center_crop(resize(image, target, name), crop, fill)
        if size:
            image = paste(image, pair(size), place, fill)
    if unit(seed, row, 0) < float(steps.get("hflip", 0)):
        image = image.transpose(Image.Transpose.FLIP_LEFT_RIGHT)
    if unit(seed, row, 1) < float(steps.get("vflip", 0)):
        image = image.transpose(Image.Transpose.FLIP_TOP_BOTTOM)
    return image


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
    sides = [(100, 75), (75, 100), (64, 64), (33, 200), (7, 5), (641, 31)]
    for i, (w, h) in enumerate(sides):
        for j, canvas in enumerate(["64x64", "40x63", "63x40", "128x96"]):
            name, place = FILTERS[(i + j) % 6], list(CENTERING)[(i + 2 * j) % 5]
            yield f"{w} {h} noise {name} fit:{canvas} none;pad:{canvas}@{place};fill:114,{i},{40 * j}"
    for place in CENTERING:
        yield f"20 11 noise bilinear keep none;pad:23x16@{place};fill:1,2,3"
        yield f"20 11 noise bilinear exact:10x20 13x19;pad:16x20@{place};fill:255,0,7"
    for flips in ["hflip:1", "vflip:1", "hflip:1;vflip:1"]:
        for w, h in [(17, 9), (16, 8), (30, 41), (1, 5), (5, 1)]:
            for steps in ["keep none", "keep 12x7", "keep 32x11", "exact:20x13 none", "shorter:15 13x12"]:
                yield f"{w} {h} noise bicubic {steps};{flips}"
            yield f"{w} {h} noise lanczos fit:24x24 none;pad:32x24@bottom-left;fill:9,8,7;{flips}"
            yield f"{w} {h} noise box exact:{w}x7 none;{flips}"
            yield f"{w} {h} noise box exact:8x{h} none;{flips}"
    parts = ["0.08,1,0.75,1.3333333333333333", "0.3,0.5,1,1", "0.9,1.5,0.2,0.3", "0.001,0.01,0.5,2"]
    for i, (w, h) in enumerate([(100, 75), (75, 100), (5, 500), (700, 3), (1, 1), (64, 64)]):
        for j, part in enumerate(parts):
            for row in range(3):
                name = FILTERS[(i + j + row) % 6]
                yield f"{w} {h} noise {name} exact:32x24 none;part:{part};hflip:0.5;vflip:0.3;seed:{7 * i},{row}"


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
