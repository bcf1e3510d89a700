#!/usr/bin/env python3
"""Golden Parquet files by pyarrow, and pyarrow's view of any Parquet files.

    python3 make_parquet.py FOLDER           writes the golden files into FOLDER (tests/golden/parquet)
    python3 make_parquet.py --show PATH...   prints what pyarrow reads, one JSON line for each row

Used live by tests/parquet/oracle.rs to judge files that Warpline wrote. Bytes are shown as hex, floats as the integer
of their bits, so that both sides compare exactly.
"""
import json
import struct
import sys

import pyarrow as pa
import pyarrow.parquet as pq


def plain(value):
    """A value as JSON that says every bit of it."""
    if isinstance(value, bytes):
        return value.hex()
    if isinstance(value, float):
        return struct.unpack("<q", struct.pack("<d", value))[0]
    if isinstance(value, dict):
        return {key: plain(child) for key, child in value.items()}
    if isinstance(value, (list, tuple)):
        return [plain(child) for child in value]
    return value


def show(paths):
    for path in paths:
        for row in pq.ParquetFile(path).read().to_pylist():
            print(json.dumps(plain(row), separators=(",", ":"), sort_keys=True))


def table(rows):
    """Columns of the types that pipelines meet; every third row null where it may be."""
    some = [row % 3 != 1 for row in range(rows)]
    mask = lambda make: [make(row) if some[row] else None for row in range(rows)]
    return pa.table({
        "id": pa.array(range(rows), pa.int64()),
        "label": pa.array(mask(lambda row: f"label {row % 5}"), pa.string()).dictionary_encode(),
        "image": pa.array(mask(lambda row: bytes([row % 251]) * (row * 7 % 90)), pa.binary()),
        "score": pa.array(mask(lambda row: (row - 50) / 7), pa.float64()),
        "flag": pa.array(mask(lambda row: row % 2 == 0), pa.bool_()),
        "words": pa.array(mask(lambda row: [str(word) for word in range(row % 4)]), pa.list_(pa.string())),
        "size": pa.array(mask(lambda row: {"w": row, "h": -row}), pa.struct([("w", pa.int32()), ("h", pa.int32())])),
    })


def main():
    if sys.argv[1] == "--show":
        return show(sys.argv[2:])
    folder = sys.argv[1]
    rows = table(100)
    pq.write_table(rows, f"{folder}/snappy_v1.parquet", compression="snappy", row_group_size=33)
    pq.write_table(rows, f"{folder}/zstd_v2.parquet", compression="zstd", data_page_version="2.0", data_page_size=64,
                   use_dictionary=False)
    pq.write_table(rows.slice(0, 0), f"{folder}/empty.parquet")


if __name__ == "__main__":
    main()
