#!/usr/bin/env python3
"""Golden PNG and WebP files and what Pillow (< 13) makes of them.

    python3 make_image.py                     writes image.bin (the files) and image.tsv (the answers) beside the script
    python3 make_image.py --records FILE      answers records of any bytes, for live comparison
    python3 make_image.py --photos DIR FILE   writes the photographs of a folder as records of PNG and WebP files

A record is a little-endian 32-bit length and that many bytes. An answer is tab-separated: `error`, or the width, the
height and the SHA-256 of the RGB bytes, and the same three again after ImageOps.exif_transpose. A line of image.tsv is
the name, the answer, and offset and length of the file in image.bin.
"""
import glob
import hashlib
import io
import os
import random
import struct
import sys
import warnings
import zlib

from PIL import Image, ImageOps, __version__

SIZES = [(1, 1), (2, 3), (5, 4), (7, 9), (33, 17)]
KINDS = [(b, 0) for b in (1, 2, 4, 8, 16)] + [(8, 2), (16, 2)] + [(b, 3) for b in (1, 2, 4, 8)] + [
    (8, 4), (16, 4), (8, 6), (16, 6)]
CHANNELS = {0: 1, 2: 3, 3: 1, 4: 2, 6: 4}
ADAM7 = [(0, 0, 8, 8), (4, 0, 8, 8), (0, 4, 4, 8), (2, 0, 4, 4), (0, 2, 2, 4), (1, 0, 2, 2), (0, 1, 1, 2)]


def answer(data):
    """Pillow's result for one file."""
    fields = []
    for upright in (False, True):
        try:
            image = Image.open(io.BytesIO(data), formats=["PNG", "WEBP", "JPEG"])
            image.load()
            plain = image.convert("RGB")
        except Exception:  # whatever Pillow raises is a file that it does not decode
            return "error"
        if upright:
            try:
                plain = ImageOps.exif_transpose(image).convert("RGB")
            except Exception:  # EXIF that cannot be read; we leave such images as they are
                pass
        fields += [str(plain.width), str(plain.height), hashlib.sha256(plain.tobytes()).hexdigest()]
    return "\t".join(fields)


def chunk(name, data):
    return struct.pack(">I", len(data)) + name + data + struct.pack(">I", zlib.crc32(name + data))


def header(width, height, bits, color, interlace):
    return chunk(b"IHDR", struct.pack(">IIBBBBB", width, height, bits, color, 0, 0, interlace))


def raw_rows(width, height, bits, color, interlace, rng):
    """Filter bytes and random data: what unfiltering makes of any bytes is defined."""
    passes = ADAM7 if interlace else [(0, 0, 1, 1)]
    smooth = rng.random() < 0.5
    out = bytearray()
    for x, y, dx, dy in passes:
        columns, rows = -(-(width - x) // dx), -(-(height - y) // dy)
        if columns <= 0 or rows <= 0:
            continue
        for _ in range(rows):
            out.append(rng.randrange(5))
            count = (columns * bits * CHANNELS[color] + 7) // 8
            out += bytes(rng.randrange(4 if smooth else 256) for _ in range(count))
    return bytes(out)


def png(width, height, bits, color, interlace, rng, before=b"", after=b"", cuts=0):
    data = zlib.compress(raw_rows(width, height, bits, color, interlace, rng), rng.choice([0, 1, 6, 9]))
    at = sorted(rng.randrange(len(data) + 1) for _ in range(cuts))
    pieces = [data[a:b] for a, b in zip([0] + at, at + [len(data)])]
    data = b"".join(chunk(b"IDAT", piece) for piece in pieces)
    head = b"\x89PNG\r\n\x1a\n" + header(width, height, bits, color, interlace)
    return head + before + data + after + chunk(b"IEND", b"")


def palette(entries, rng):
    return chunk(b"PLTE", bytes(rng.randrange(256) for _ in range(3 * entries)))


def exif(orientation):
    tags = Image.Exif()
    tags[0x0112] = orientation
    return tags.tobytes()


def apng(rng, default, partial):
    """Two frames; the first is the default image or not, and covers it or not."""
    w, h = 9, 7
    data = zlib.compress(raw_rows(w - 2 * partial, h - partial, 8, 2, 0, rng))

    def control(number):
        return chunk(b"fcTL", struct.pack(">IIIIIHHBB", number, w - 2 * partial, h - partial, partial, partial, 1, 9, 0, 0))

    whole = zlib.compress(raw_rows(w, h, 8, 2, 0, rng))
    out = b"\x89PNG\r\n\x1a\n" + header(w, h, 8, 2, 0) + chunk(b"acTL", struct.pack(">II", 2, 0))
    if default:
        out += chunk(b"IDAT", whole) + control(0) + chunk(b"fdAT", struct.pack(">I", 1) + data)
        out += control(2) + chunk(b"fdAT", struct.pack(">I", 3) + data)
    else:
        out += control(0) + chunk(b"IDAT", data) + control(1) + chunk(b"fdAT", struct.pack(">I", 2) + data)
    return out + chunk(b"IEND", b"")


def pngs(rng):
    made = []
    for bits, color in KINDS:
        for interlace in (0, 1):
            for width, height in SIZES:
                before = palette(rng.choice([1 << bits, 1, 3]), rng) if color == 3 else b""
                cuts = rng.choice([0, 0, 1, 3])
                name = f"png-{bits}-{color}-{interlace}-{width}x{height}"
                made.append((name, png(width, height, bits, color, interlace, rng, before, cuts=cuts)))
    text = zlib.compress(b"a text " * 40)
    extras = {
        "trns-gray": (8, 0, chunk(b"tRNS", b"\0\3"), b""),
        "trns-gray-short": (8, 0, chunk(b"tRNS", b"\0"), b""),
        "trns-gray16": (16, 0, chunk(b"tRNS", b"\1\3"), b""),
        "trns-bit": (1, 0, chunk(b"tRNS", b"\0\1"), b""),
        "trns-rgb": (8, 2, chunk(b"tRNS", b"\0\1\0\2\0\3"), b""),
        "trns-rgb-short": (8, 2, chunk(b"tRNS", b"\0\1\0\2"), b""),
        "trns-palette": (8, 3, palette(200, rng) + chunk(b"tRNS", b"\1\2\3"), b""),
        "trns-one": (8, 3, palette(200, rng) + chunk(b"tRNS", b"\xff\0\xff"), b""),
        "trns-one-no-palette": (8, 3, chunk(b"tRNS", b"\xff\0\xff"), b""),
        "trns-some-no-palette": (8, 3, chunk(b"tRNS", b"\xff\1\xff"), b""),
        "trns-late": (8, 2, b"", chunk(b"tRNS", b"\0\1\0\2\0\3")),
        "trns-late-short": (8, 2, b"", chunk(b"tRNS", b"\0\1")),
        "no-palette": (4, 3, b"", b""),
        "palette-257": (8, 3, palette(257, rng), b""),
        "palette-part": (8, 3, chunk(b"PLTE", bytes(range(100))), b""),
        "palette-rgb": (8, 2, palette(9, rng), b""),
        "gamma": (8, 2, chunk(b"gAMA", struct.pack(">I", 45455)) + chunk(b"cHRM", bytes(32)) + chunk(b"sRGB", b"\0"), b""),
        "gamma-short": (8, 2, chunk(b"gAMA", b"\1\1\1"), b""),
        "chrm-odd": (8, 2, chunk(b"cHRM", bytes(31)), b""),
        "srgb-empty": (8, 2, chunk(b"sRGB", b""), b""),
        "phys": (8, 2, chunk(b"pHYs", struct.pack(">IIB", 1000, 1000, 1)), b""),
        "phys-short": (8, 2, chunk(b"pHYs", b"12345678"), b""),
        "phys-short-late": (8, 2, b"", chunk(b"pHYs", b"12345678")),
        "text": (8, 2, chunk(b"tEXt", b"Comment\0hello") + chunk(b"tEXt", b"no NUL") + chunk(b"tEXt", b"\0"), b""),
        "ztxt": (8, 2, chunk(b"zTXt", b"Comment\0\0" + text) + chunk(b"zTXt", b"k\0\0broken"), b""),
        "ztxt-method": (8, 2, chunk(b"zTXt", b"Comment\0\1" + text), b""),
        "ztxt-bomb": (8, 2, chunk(b"zTXt", b"Comment\0\0" + zlib.compress(bytes(1 << 21))), b""),
        "ztxt-limit": (8, 2, chunk(b"zTXt", b"Comment\0\0" + zlib.compress(bytes(1 << 20))), b""),
        "itxt": (8, 2, chunk(b"iTXt", b"k\0\0\0en\0kk\0v\xc3\xa4") + chunk(b"iTXt", b"k\0\1\0en\0kk\0" + text), b""),
        "itxt-bad": (8, 2, chunk(b"iTXt", b"k\0\0\0en\0kk") + chunk(b"iTXt", b"k\0\0\0en\0kk\0\xff") + chunk(b"iTXt", b"k"), b""),
        "itxt-bomb": (8, 2, chunk(b"iTXt", b"k\0\1\0en\0kk\0" + zlib.compress(bytes(1 << 21))), b""),
        "iccp": (8, 2, chunk(b"iCCP", b"name\0\0" + text), b""),
        "iccp-broken": (8, 2, chunk(b"iCCP", b"name\0\0broken"), b""),
        "iccp-method": (8, 2, chunk(b"iCCP", b"name\0\1" + text), b""),
        "iccp-no-name": (8, 2, chunk(b"iCCP", b"name"), b""),
        "iccp-bomb": (8, 2, chunk(b"iCCP", b"name\0\0" + zlib.compress(bytes(1 << 21))), b""),
        "unknown": (8, 2, chunk(b"teSt", b"x" * 20) + chunk(b"TEST", b""), chunk(b"teSt", b"y")),
        "bad-name": (8, 2, chunk(b"te t", b"x" * 20), b""),
        "bad-name-late": (8, 2, b"", chunk(b"te t", b"x" * 20)),
        "bad-crc": (8, 2, chunk(b"tEXt", b"a\0b")[:-1] + b"!", b""),
        "bad-crc-late": (8, 2, b"", chunk(b"tEXt", b"a\0b")[:-1] + b"!"),
        "actl-only": (8, 2, chunk(b"acTL", struct.pack(">II", 3, 0)), b""),
        "actl-twice": (8, 2, chunk(b"acTL", struct.pack(">II", 3, 0)) * 2, b""),
        "actl-short": (8, 2, chunk(b"acTL", b"1234567"), b""),
        "fctl-outside": (8, 2, chunk(b"fcTL", struct.pack(">IIIIIHHBB", 0, 99, 9, 0, 0, 1, 9, 0, 0)), b""),
        "fctl-order": (8, 2, chunk(b"fcTL", struct.pack(">IIIIIHHBB", 1, 9, 7, 0, 0, 1, 9, 0, 0)), b""),
        "fctl-empty": (8, 2, chunk(b"fcTL", struct.pack(">IIIIIHHBB", 0, 0, 7, 0, 0, 1, 9, 0, 0)), b""),
        "two-headers": (8, 2, header(9, 7, 8, 0, 0), b""),
        "late-header": (8, 2, b"", header(9, 7, 8, 0, 0)),
        "second-data": (8, 2, b"", chunk(b"teSt", b"") + chunk(b"IDAT", b"more")),
        "xmp": (8, 2, chunk(b"iTXt", b'XML:com.adobe.xmp\0\0\0\0\0<tiff:Orientation>6</'), b""),
        "raw-exif": (8, 2, chunk(b"zTXt", b"Raw profile type exif\0\0" + zlib.compress(
            b"\nexif\n      20\n" + exif(8).hex().encode())), b""),
    }
    for name, (bits, color, before, after) in extras.items():
        made.append((f"png-{name}", png(9, 7, bits, color, rng.randrange(2), rng, before, after)))
    for orientation in range(1, 9):
        tags = chunk(b"eXIf", exif(orientation)[6:])
        late = orientation % 2
        made.append((f"png-orientation{orientation}", png(9, 7, 8, 2, 0, rng, b"" if late else tags, tags if late else b"")))
    for default in (False, True):
        for partial in (0, 1):
            made.append((f"png-animation-{default}-{partial}", apng(rng, default, partial)))
    made += odd_data(rng)
    return made


def odd_data(rng):
    """Image data that end early or late, or whose checksum is wrong."""
    w, h = 9, 7
    head = b"\x89PNG\r\n\x1a\n" + header(w, h, 8, 2, 0)
    end = chunk(b"IEND", b"")
    rows = raw_rows(w, h, 8, 2, 0, rng)
    row = len(rows) // h
    sound = zlib.compress(rows)
    cases = {
        "rows-early": zlib.compress(rows[: 3 * row]),
        "row-half": zlib.compress(rows[: 3 * row + 5]),
        "rows-late": zlib.compress(rows + rows),
        "no-adler": sound[:-4],
        "bad-adler": sound[:-1] + bytes([sound[-1] ^ 1]),
        "junk": sound + b"junk",
        "stored": zlib.compress(rows, 0),
        "stored-bad-adler": zlib.compress(rows, 0)[:-1] + b"!",
        "dictionary": b"\x78\xbb\0\0\0\1" + sound[2:],
        "nothing": b"",
        "filter": zlib.compress(rows[:row] + b"\5" + rows[row + 1 :]),
        "flat": zlib.compress(bytes(len(rows))),
        "flat-no-adler": zlib.compress(bytes(len(rows)))[:-4],
        "flat-cut": zlib.compress(bytes(len(rows)))[:-5],
    }
    made = [(f"png-data-{name}", head + chunk(b"IDAT", data) + end) for name, data in cases.items()]
    made.append(("png-no-end", head + chunk(b"IDAT", sound)))
    made.append(("png-no-crc", head + chunk(b"IDAT", sound)[:-4]))
    made.append(("png-no-data", head + end))
    made.append(("png-trailing", head + chunk(b"IDAT", sound) + end + b"trailing"))
    made.append(("png-filter-method", head[:-5] + b"\1" + head[-4:] + chunk(b"IDAT", sound) + end))
    for bits, color in [(2, 2), (16, 3), (8, 1), (8, 5), (3, 0)]:
        made.append((f"png-kind-{bits}-{color}", b"\x89PNG\r\n\x1a\n" + header(w, h, bits, color, 0) + head[33:] + chunk(b"IDAT", sound) + end))
    made.append(("png-empty", b"\x89PNG\r\n\x1a\n" + header(0, h, 8, 2, 0) + chunk(b"IDAT", sound) + end))
    return made


def drawing(width, height, mode, rng):
    """A gradient with noise, and alpha that is opaque, clear and in between."""
    noise, step = rng.choice([0, 10, 90]), (rng.randrange(1, 9), rng.randrange(1, 9))
    pixels = bytearray()
    for y in range(height):
        for x in range(width):
            for c in range(len(mode)):
                value = (x * step[0] + y * step[1] + c * 60 + rng.randrange(noise + 1)) % 256
                pixels.append(min(2 * value, 255) if c == 3 else value)
    return Image.frombytes(mode, (width, height), bytes(pixels))


def webp(image, **options):
    out = io.BytesIO()
    image.save(out, "WEBP", **options)
    return out.getvalue()


def webps(rng):
    made = []
    for width, height in SIZES + [(2, 2), (16, 16), (17, 31), (64, 3)]:
        for mode in ("RGB", "RGBA"):
            for lossless in (False, True):
                options = dict(lossless=lossless, quality=rng.choice([0, 20, 75, 95, 100]), method=rng.randrange(7))
                if mode == "RGBA":
                    options |= dict(alpha_quality=rng.choice([0, 60, 100]), exact=rng.random() < 0.5)
                name = f"webp-{width}x{height}-{mode}-{'-'.join(f'{k[:2]}{v}' for k, v in options.items())}"
                made.append((name, webp(drawing(width, height, mode, rng), **options)))
    for colors in (2, 4, 16, 200):
        image = drawing(40, 23, "RGB", rng).quantize(colors).convert("RGB")
        made.append((f"webp-palette{colors}", webp(image, lossless=True)))
    for orientation in (1, 3, 6):
        for lossless in (False, True):
            made.append((f"webp-orientation{orientation}-{lossless}", webp(
                drawing(11, 6, "RGB", rng), lossless=lossless, exif=exif(orientation), icc_profile=b"not a profile")))
    frames = [drawing(20, 14, "RGBA", rng) for _ in range(3)]
    for lossless in (False, True):
        made.append((f"webp-animation-{lossless}", webp(
            frames[0], save_all=True, append_images=frames[1:], duration=50, lossless=lossless)))
    still = webp(frames[0], lossless=True)
    made.append(("webp-frame-in-canvas", in_canvas(still)))
    simple = webp(drawing(9, 7, "RGB", rng), quality=80)
    made.append(("webp-trailing", simple + b"trailing"))
    made.append(("webp-size-short", simple[:4] + struct.pack("<I", len(simple) - 10) + simple[8:]))
    made.append(("webp-size-long", simple[:4] + struct.pack("<I", len(simple)) + simple[8:]))
    made.append(("webp-extra-chunk", riff(simple[12:] + b"TEST\2\0\0\0ab")))
    made.append(("webp-extra-half", riff(simple[12:] + b"TEST")))
    made.append(("webp-two-images", riff(simple[12:] + simple[12:])))
    made.append(("webp-no-image", riff(b"VP8X\x0a\0\0\0" + bytes(4) + b"\x08\0\0\x06\0\0")))
    made.append(("webp-canvas-wrong", riff(b"VP8X\x0a\0\0\0" + bytes(4) + b"\x09\0\0\x06\0\0" + simple[12:])))
    made.append(("webp-canvas", riff(b"VP8X\x0a\0\0\0" + bytes(4) + b"\x08\0\0\x06\0\0" + simple[12:])))
    made.append(("webp-flag-no-alpha", riff(b"VP8X\x0a\0\0\0\x10\0\0\0" + b"\x08\0\0\x06\0\0" + simple[12:])))
    made.append(("webp-flag-no-exif", riff(b"VP8X\x0a\0\0\0\x2c\0\0\0" + b"\x08\0\0\x06\0\0" + simple[12:])))
    made.append(("webp-unknown-first", riff(b"TEST\2\0\0\0ab" + simple[12:])))
    alpha = b"ALPH" + struct.pack("<I", 1 + 63) + b"\0" + bytes(range(63))
    flagged = b"VP8X\x0a\0\0\0\x10\0\0\0" + b"\x08\0\0\x06\0\0"
    made.append(("webp-alpha-raw", riff(flagged + alpha + simple[12:])))
    made.append(("webp-alpha-short", riff(flagged + b"ALPH\4\0\0\0\0abc" + simple[12:])))
    made.append(("webp-alpha-late", riff(flagged + simple[12:] + alpha)))
    made.append(("webp-alpha-unflagged", riff(b"VP8X\x0a\0\0\0" + bytes(4) + b"\x08\0\0\x06\0\0" + alpha + simple[12:])))
    made.append(("webp-alpha-lossless", riff(flagged + alpha + webp(drawing(9, 7, "RGB", rng), lossless=True)[12:])))
    return made


def riff(chunks):
    return b"RIFF" + struct.pack("<I", 4 + len(chunks)) + b"WEBP" + chunks


def in_canvas(still):
    """A frame at (4, 2) of a larger canvas."""
    image = still[12:]
    if image[:4] == b"VP8X":
        image = image[18:]
    side = lambda n: struct.pack("<I", n)[:3]
    width, height = 20, 14
    frame = side(2) + side(1) + side(width - 1) + side(height - 1) + side(100) + b"\0" + image
    chunks = b"VP8X\x0a\0\0\0\x12\0\0\0" + side(39) + side(29) + b"ANIM\6\0\0\0\xff\xff\xff\xff\0\0"
    return riff(chunks + b"ANMF" + struct.pack("<I", len(frame)) + frame)


def write(folder):
    assert int(__version__.split(".")[0]) < 13, f"Pillow {__version__} is too new"
    rng = random.Random(20261124)
    store, lines = b"", []
    for name, data in pngs(rng) + webps(rng):
        lines.append("\t".join([name, answer(data), str(len(store)), str(len(data))]))
        store += data
    with open(os.path.join(folder, "image.bin"), "wb") as out:
        out.write(store)
    with open(os.path.join(folder, "image.tsv"), "w", encoding="ascii") as out:
        out.write("\n".join(lines) + "\n")


def photos(folder, path):
    """Every photograph at most 900 pixels wide, as PNG and WebP in several ways."""
    rng = random.Random(7)
    with open(path, "wb") as out:
        for name in sorted(glob.glob(os.path.join(folder, "*.jpg"))):
            image = Image.open(name).convert("RGB")
            image.thumbnail((rng.randrange(300, 900), 900))
            alpha = image.copy()
            alpha.putalpha(image.convert("L"))
            files = [webp(image, quality=q, method=m) for q, m in ((5, 0), (50, 4), (80, 2), (100, 6))]
            files += [webp(alpha, quality=80, method=3), webp(image, lossless=True, method=rng.randrange(5))]
            for other in (image, alpha, image.convert("L"), image.quantize(200)):
                buffer = io.BytesIO()
                other.save(buffer, "PNG", compress_level=rng.choice([1, 6]))
                files.append(buffer.getvalue())
            for data in files:
                out.write(struct.pack("<I", len(data)) + data)


def records(path):
    with open(path, "rb") as source:
        while length := source.read(4):
            print(answer(source.read(struct.unpack("<I", length)[0])))


if __name__ == "__main__":
    warnings.simplefilter("ignore")
    match sys.argv[1:]:
        case ["--records", path]:
            records(path)
        case ["--photos", folder, path]:
            photos(folder, path)
        case _:
            write(os.path.dirname(os.path.abspath(__file__)))
