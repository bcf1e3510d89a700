#!/usr/bin/env python3
"""Golden answers for resize + crop + normalise, by Pillow (< 13) and torchvision's arithmetic in numpy.

    python3 make_normalize.py > normalize.txt      writes the golden file
    python3 make_normalize.py --cases < CASES      answers cases from standard input, for live comparison

A case is one line: a case of make_resize.py, then NORMALIZE DTYPE LAYOUT, where LAYOUT is nchw, nhwc, or patches:SIZE with
any of ,merge=N ,temporal=N ,channels=last after it. The answer appends the SHA-256 of the tensor's little-endian bytes.

torchvision: ToTensor is `from_numpy(hwc).permute(2, 0, 1).to(float32).div(255)`; Normalize makes float32 tensors of mean
and std, then `sub_(mean).div_(std)`; each is one rounded single-precision operation, as here. Casts round to even.
"""
import hashlib

import ml_dtypes
import numpy as np

from make_resize import run, transform

NAMED = {
    "imagenet": ((0.485, 0.456, 0.406), (0.229, 0.224, 0.225)),
    "clip": ((0.48145466, 0.4578275, 0.40821073), (0.26862954, 0.26130258, 0.27577711)),
    "none": None,
}
NUMBERS = [("imagenet", "f32"), ("clip", "f16"), ("imagenet", "bf16"), ("none", "u8")]
DTYPES = {"f32": np.float32, "f16": np.float16, "bf16": ml_dtypes.bfloat16}


def tensor(image, normalize, dtype, layout):
    chw = np.ascontiguousarray(np.asarray(image).transpose(2, 0, 1))
    if dtype != "u8":
        chw = chw.astype(np.float32) / np.float32(255)
        if normalize in NAMED:
            stats = NAMED[normalize]
        else:
            stats = [[float(v) for v in part.split(",")] for part in normalize.split("/")]
        if stats is not None:
            mean, std = (np.array(part, dtype=np.float64).astype(np.float32).reshape(3, 1, 1) for part in stats)
            chw = (chw - mean) / std
        assert chw.dtype == np.float32
        with np.errstate(over="ignore"):  # a value past the half range becomes infinity, as in torch
            chw = chw.astype(DTYPES[dtype])
    if layout.startswith("patches:"):
        return patchify(chw, layout)
    return chw if layout == "nchw" else np.ascontiguousarray(chw.transpose(1, 2, 0))


def patchify(chw, layout):
    """The order of Qwen2-VL's image processor, of which a plain vision transformer's is the case merge = temporal = 1."""
    size, *options = layout.removeprefix("patches:").split(",")
    options = dict(option.split("=") for option in options)
    p, m, t = int(size), int(options.get("merge", 1)), int(options.get("temporal", 1))
    _, height, width = chw.shape
    frames = np.repeat(chw[np.newaxis], t, axis=0)
    frames = frames.reshape(t, 3, height // p // m, m, p, width // p // m, m, p)
    last = options.get("channels") == "last"
    order = (2, 5, 3, 6, 0, 4, 7, 1) if last else (2, 5, 3, 6, 1, 0, 4, 7)
    return np.ascontiguousarray(frames.transpose(order)).reshape(height // p * (width // p), 3 * t * p * p)


def answer(line):
    *case, normalize, dtype, layout = line.split()
    data = tensor(transform(case), normalize, dtype, layout).tobytes()
    return f"{line} {hashlib.sha256(data).hexdigest()}"


def cases():
    # 32 x 32 noise: every byte value in every channel, through every table.
    stats = ["imagenet", "clip", "none", "0.5,0.5,0.5/0.5,0.5,0.5", "0.1,0.2,0.3/0.001,3.5,0.0000001"]
    for normalize in stats:
        for dtype in DTYPES:
            for layout in ["nchw", "nhwc"]:
                yield f"64 32 noise bilinear keep none {normalize} {dtype} {layout}"
    for layout in ["nchw", "nhwc"]:
        yield f"64 32 noise bilinear keep none none u8 {layout}"
    images = [
        "100 75 noise bilinear shorter:40 32x32",
        "75 100 noise bicubic shorter:40 32x32",
        "75 100 black-white lanczos shorter:40 32x32",
        "10 7 noise hamming shorter:40 33x31",
        "100 75 noise box shorter:20 24x30",
        "9 9 noise nearest exact:5x6 8x3",
        "2 401 noise bilinear shorter:3 5x5",
        "12 12 noise bilinear keep 20x20",
        "12 12 noise bilinear keep 12x13",
        "24 12 noise bilinear exact:24x8 20x8",
        "24 12 noise bilinear exact:16x12 13x10",
    ]
    for image in images:
        for normalize, dtype in NUMBERS:
            for layout in ["nchw", "nhwc"]:
                yield f"{image} {normalize} {dtype} {layout}"
    images = [
        "100 75 noise bilinear fit:56x56 none;pad:56x56@center;fill:114,113,112",
        "75 100 noise bicubic exact:56x84 none;hflip:1;vflip:1",
        "120 90 noise lanczos exact:56x28 none;part:0.08,1,0.75,1.3333333333333333;hflip:0.5;seed:3,9",
        "28 56 noise bilinear keep none",
        "20 50 noise bilinear keep 28x56;pad:56x56@top-right;fill:1,2,3;hflip:1",
    ]
    layouts = ["nchw", "nhwc", "patches:14", "patches:14,merge=2,temporal=2", "patches:4,merge=7,channels=last", "patches:28"]
    layouts += ["patches:2,merge=1,temporal=3,channels=last", "patches:7,temporal=2,merge=2", "patches:4,temporal=2"]
    for i, image in enumerate(images):
        for j, layout in enumerate(layouts):
            normalize, dtype = NUMBERS[(i + j) % len(NUMBERS)]
            yield f"{image} {normalize} {dtype} {layout}"


if __name__ == "__main__":
    run(answer, cases)
