#!/usr/bin/env python3
"""Golden JPEGs and what Pillow (< 13) makes of them.

    python3 make_jpeg.py                     writes jpeg.bin (the files) and jpeg.tsv (the answers) beside the script
    python3 make_jpeg.py --records FILE      answers records of any bytes, for live comparison

A record is a little-endian 32-bit length and that many bytes. An answer is tab-separated: `error`, or the width, the
height and the SHA-256 of the RGB bytes, and the same three again after ImageOps.exif_transpose.

A line of jpeg.tsv is the name, the answer, and five fields that tell the file: offset and length of an original in
jpeg.bin, then where in it how many bytes are replaced by which (in hexadecimal).
"""
import hashlib
import io
import os
import random
import struct
import sys
import warnings

from PIL import Image, ImageFile, ImageOps, __version__

SIZES = [(1, 1), (2, 1), (1, 2), (3, 3), (5, 4), (7, 9), (8, 8), (9, 7), (13, 16), (16, 16), (17, 17), (33, 17)]
BLOCK = ImageFile.MAXBLOCK


def answer(data):
    """Pillow's result for one file."""
    fields = []
    for upright in (False, True):
        try:
            image = Image.open(io.BytesIO(data), formats=["JPEG"])
            image.load()
        except Exception:  # whatever Pillow raises is a file that it does not decode
            return "error"
        if upright:
            try:
                image = ImageOps.exif_transpose(image)
            except SyntaxError:  # EXIF that is no TIFF; we leave such images as they are
                pass
        image = image.convert("RGB")
        fields += [str(image.width), str(image.height), hashlib.sha256(image.tobytes()).hexdigest()]
    return "\t".join(fields)


def drawing(width, height, rng):
    """A gradient with noise: both smooth and busy blocks."""
    noise = rng.choice([0, 10, 90])
    step = (rng.randrange(1, 9), rng.randrange(1, 9))
    pixels = bytearray()
    for y in range(height):
        for x in range(width):
            for c in range(3):
                pixels.append((x * step[0] + y * step[1] + c * 60 + rng.randrange(noise + 1)) % 256)
    return Image.frombytes("RGB", (width, height), bytes(pixels))


def encode(image, **options):
    ImageFile.MAXBLOCK = 1 << 22  # Pillow's encoder needs room for small noisy progressive files
    out = io.BytesIO()
    image.save(out, "JPEG", **options)
    ImageFile.MAXBLOCK = BLOCK
    return out.getvalue()


def exif(orientation):
    tags = Image.Exif()
    tags[0x0112] = orientation
    return tags.tobytes()


def files():
    """Names and bytes of the golden files."""
    rng = random.Random(20261121)
    made = []
    for width, height in SIZES:
        for progressive in (False, True):
            options = dict(
                quality=rng.choice([5, 30, 75, 95, 100]),
                subsampling=rng.randrange(3),
                progressive=progressive,
                optimize=rng.random() < 0.5,
                restart_marker_blocks=rng.choice([0, 0, 1, 2, 5]),
            )
            mode = rng.choice(["RGB", "RGB", "RGB", "L", "CMYK"])
            if mode != "RGB":
                del options["subsampling"]
            image = drawing(width, height, rng).convert(mode)
            made.append((f"{width}x{height}-{mode}-{'-'.join(f'{k[:4]}{v}' for k, v in options.items())}",
                         encode(image, **options)))
    for orientation in range(0, 10):
        made.append((f"orientation{orientation}", encode(drawing(11, 6, rng), quality=80, exif=exif(orientation))))
    made.append(("rgb", encode(drawing(21, 13, rng), quality=90, keep_rgb=True)))
    tables = [[300 + i for i in range(64)], [400] * 64]
    made.append(("qtables16", encode(drawing(21, 13, rng), qtables=tables)))
    originals = list(made)
    for name, data in originals:
        start = data.index(b"\xff\xda")
        made.append((f"{name}-noeoi", data[:-2]))
        made.append((f"{name}-junk", data + bytes(rng.randrange(256) for _ in range(20))))
        made.append((f"{name}-cut", data[: rng.randrange(start, len(data))]))
        made.append((f"{name}-cut-eoi", data[: rng.randrange(start + 14, len(data))] + b"\xff\xd9"))
        for i in range(6):
            broken = bytearray(data)
            for _ in range(rng.choice([1, 1, 3])):
                at = rng.randrange(start + 12, len(data)) if i < 5 else rng.randrange(len(data))
                broken[at] ^= 1 << rng.randrange(8)
            made.append((f"{name}-flip{i}", bytes(broken)))
    for name, data in originals:
        frame = next(i for i in range(2, len(data)) if data[i] == 0xFF and data[i + 1] in (0xC0, 0xC1, 0xC2))
        for i in range(2):
            other = bytearray(data)  # the data no longer fit their frame, but both sides decode what there is
            for at in range(frame + 11, frame + 10 + 3 * data[frame + 9], 3):
                other[at] = rng.choice([0x11, 0x21, 0x12, 0x22, 0x41, 0x14, 0x31, 0x13, 0x42, 0x24, 0x44])
            made.append((f"{name}-sampling{i}", bytes(other) + b"\xff\xd9"))
        transform = rng.randrange(4)
        adobe = b"\xff\xee\x00\x0eAdobe\x00\x64\x00\x00\x00\x00" + bytes([transform])
        made.append((f"{name}-adobe{transform}", data[:frame] + adobe + data[frame:]))
        made.append((f"{name}-nojfif", data.replace(b"JFIF", b"JFIX", 1)))
    return made


def differences(data, base):
    """How `data` differs from `base`: position, bytes dropped, bytes put there."""
    head = 0
    while head < min(len(data), len(base)) and data[head] == base[head]:
        head += 1
    tail = 0
    while tail < min(len(data), len(base)) - head and data[-1 - tail] == base[-1 - tail]:
        tail += 1
    return head, len(base) - head - tail, data[head : len(data) - tail]


def write(folder):
    """jpeg.bin holds each original once; a broken file is an original with one stretch replaced."""
    assert int(__version__.split(".")[0]) < 13, f"Pillow {__version__} is too new"
    store, lines, bases = b"", [], {}
    for name, data in files():
        original = next((base for base in bases if name.startswith(base + "-")), None)
        result = answer(data)
        if original is None:
            bases[name] = (len(store), data)
            place = (len(store), len(data), 0, 0, "")
            store += data
        else:
            offset, base = bases[original]
            at, dropped, put = differences(data, base)
            place = (offset, len(base), at, dropped, put.hex())
        lines.append("\t".join([name, result, *map(str, place)]))
    with open(os.path.join(folder, "jpeg.bin"), "wb") as out:
        out.write(store)
    with open(os.path.join(folder, "jpeg.tsv"), "w", encoding="ascii") as out:
        out.write("\n".join(lines) + "\n")


def records(path):
    with open(path, "rb") as source:
        while length := source.read(4):
            print(answer(source.read(struct.unpack("<I", length)[0])))


if __name__ == "__main__":
    warnings.simplefilter("ignore")
    if len(sys.argv) == 3 and sys.argv[1] == "--records":
        records(sys.argv[2])
    else:
        write(os.path.dirname(os.path.abspath(__file__)))
