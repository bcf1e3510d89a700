"""Writes hash_cudf.parquet: columns of many types, and the hashes that libcudf gives them, by the `mmh3` package.

libcudf's rule (cpp/src/hash/murmurhash3_x86_32.cu): each value's little-endian bytes are hashed with seed 0, NaN as one
value and -0.0 as 0.0, a null is 2^32 - 1, and columns are put together by Boost's hash_combine, from 0 on. `check` has
libcudf's own documented values. Run: python3 tests/golden/make_hash_cudf.py
(mmh3 5.3.1 made the committed one).
"""

import decimal
import math
import pathlib
import struct

import mmh3
import pyarrow as pa
import pyarrow.parquet as pq

MASK = 2**32 - 1


def combine(left, right):
    return left ^ ((right + 0x9E3779B9 + (left << 6) + (left >> 2)) & MASK)


def data(value, form):
    if isinstance(value, str):
        return value.encode()
    if isinstance(value, float):
        value = math.nan if math.isnan(value) else value + 0.0  # -0.0 + 0.0 is 0.0
    if isinstance(form, int):  # a decimal's bytes
        return int(value.scaleb(2)).to_bytes(form, "little", signed=True)
    return struct.pack("<" + form, value)


def row(values, forms):
    hash = 0
    for value, form in zip(values, forms):
        hash = combine(hash, MASK if value is None else mmh3.hash(data(value, form), 0, signed=False))
    return hash


def check():
    signed = lambda hash: hash - 2**32 if hash >> 31 else hash
    assert [signed(row([v], "q")) for v in (10, 120, 30)] == [-1930516747, 422619251, -941520876]
    pairs = list(zip((10, 120, 30), (0.0, 0.25, 0.5)))
    assert [signed(row(pair, "qd")) for pair in pairs] == [-330519225, -397962448, -1345834934]
    # Its test BasicList: the hash of a list is combined from its length and its values.
    lists = ([], [1], [1, 1], [1, 2], [2, 2], [2], [2, 1])
    hashes = [combine(0, row([len(values), *values], "i" + "Q" * len(values))) for values in lists]
    known = [1607593296, -636010097, -132459357, -2008850957, -1023787369, 761197503, 1340177511]
    assert [signed(hash) for hash in hashes] == known


def integers(bits, signed):
    least = -(2 ** (bits - 1)) if signed else 0
    return [0, 1, least, least + 2**bits - 1, None, 100]


def main():
    check()
    floats = [0.0, -0.0, math.nan, -math.inf, None, 1.5]
    decimals = [decimal.Decimal(text) for text in ("0.00", "-0.01", "1234567.89", "-9999999.99")] + [None, decimal.Decimal("1.00")]
    times = integers(64, True)
    columns = {
        "bool": (pa.bool_(), "?", [False, True, True, False, None, True]),
        "f32": (pa.float32(), "f", floats),
        "f64": (pa.float64(), "d", floats),
        "date32": (pa.date32(), "i", integers(32, True)),
        "decimal32": (pa.decimal32(9, 2), 4, decimals),
        "decimal64": (pa.decimal64(18, 2), 8, decimals),
        "decimal128": (pa.decimal128(38, 2), 16, decimals),
        "utf8": (pa.string(), "", ["", "a", "The quick brown fox", "jumps over the lazy dog.", None, "天地"]),
    }
    for bits, form in ((8, "b"), (16, "h"), (32, "i"), (64, "q")):
        columns[f"i{bits}"] = (getattr(pa, f"int{bits}")(), form, integers(bits, True))
        columns[f"u{bits}"] = (getattr(pa, f"uint{bits}")(), form.upper(), integers(bits, False))
    for unit in ("ms", "us", "ns"):
        columns[f"timestamp_{unit}"] = (pa.timestamp(unit), "q", times)
        columns[f"duration_{unit}"] = (pa.duration(unit), "q", times)
    arrays = {name: pa.array(values, kind) for name, (kind, _, values) in columns.items()}
    for name, (_, form, values) in columns.items():
        arrays["hash_" + name] = pa.array([row([value], [form]) for value in values], pa.uint32())
    forms = [form for _, form, _ in columns.values()]
    rows = zip(*(values for _, _, values in columns.values()))
    arrays["hash"] = pa.array([row(values, forms) for values in rows], pa.uint32())
    path = pathlib.Path(__file__).with_name("hash_cudf.parquet")
    pq.write_table(pa.table(arrays), path, compression="none", use_dictionary=False)


main()
