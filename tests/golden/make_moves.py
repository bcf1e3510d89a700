"""Writes moves_*.parquet: a table, and what pyarrow makes of it by filter, take, slice, concat_tables, cast and drop_null.

The tests of filter, gather, slice, concat, cast and drop_nulls compare with them. Run: python3 tests/golden/make_moves.py (pyarrow 26.0.1 made those
committed). The mask and the indices, with nulls, are the columns `mask` and `indices` of the table itself.
"""

import decimal
import pathlib
import random

import pyarrow as pa
import pyarrow.parquet as pq

ROWS = 211
FOLDER = pathlib.Path(__file__).parent
rng = random.Random(20261121)


def text(i):
    return "".join(rng.choice("abcdefgh ") for _ in range(rng.choice([0, 1, 7, 12, 13, 40])))


def number(bits):
    return lambda i: rng.getrandbits(bits) - (1 << (bits - 1))


SPECIAL = [0.0, -0.0, float("inf"), -float("inf"), 1.5, 5e-324, 0.1]

COLUMNS = {
    "i8": (pa.int8(), number(8)),
    "i16": (pa.int16(), number(16)),
    "i32": (pa.int32(), number(32)),
    "i64": (pa.int64(), number(64)),
    "u8": (pa.uint8(), lambda i: rng.getrandbits(8)),
    "u32": (pa.uint32(), lambda i: rng.getrandbits(32)),
    "u64": (pa.uint64(), lambda i: rng.getrandbits(64)),
    "f32": (pa.float32(), lambda i: rng.choice(SPECIAL)),
    "f64": (pa.float64(), lambda i: rng.choice(SPECIAL)),
    "bool": (pa.bool_(), lambda i: rng.random() < 0.5),
    "decimal128": (pa.decimal128(20, 3), lambda i: decimal.Decimal(rng.getrandbits(60)).scaleb(-3)),
    "decimal256": (pa.decimal256(60, 5), lambda i: decimal.Decimal(rng.getrandbits(60)).scaleb(-5)),
    "date": (pa.date32(), lambda i: rng.randrange(40000)),
    "time": (pa.time64("us"), lambda i: rng.randrange(86_400_000_000)),
    "timestamp": (pa.timestamp("us", "Europe/Zurich"), lambda i: rng.getrandbits(50)),
    "string": (pa.string(), text),
    "large_binary": (pa.large_binary(), lambda i: rng.randbytes(rng.randrange(30))),
    "fixed_binary": (pa.binary(5), lambda i: rng.randbytes(5)),
    "list": (pa.list_(pa.int32()), lambda i: [number(32)(i) for _ in range(rng.randrange(4))]),
    "list_of_lists": (pa.list_(pa.list_(pa.string())), lambda i: [[text(i)] * rng.randrange(3) for _ in range(rng.randrange(3))]),
    "struct": (pa.struct([("n", pa.int16()), ("s", pa.string())]), lambda i: {"n": number(16)(i), "s": text(i)}),
    "map": (pa.map_(pa.string(), pa.float64()), lambda i: [(text(i), 1.5)] * rng.randrange(3)),
}


def column(kind, make):
    return pa.array([None if rng.random() < 0.2 else make(i) for i in range(ROWS)], type=kind)


def main():
    table = pa.table({name: column(kind, make) for name, (kind, make) in COLUMNS.items()})
    words = column(pa.string(), lambda i: rng.choice(["red", "", "a longer colour name"]))
    table = table.append_column("dictionary", words.dictionary_encode())
    mask = column(pa.bool_(), lambda i: rng.random() < 0.4)
    indices = column(pa.int64(), lambda i: rng.randrange(ROWS))
    pq.write_table(table.append_column("mask", mask).append_column("indices", indices), FOLDER / "moves_table.parquet")
    pq.write_table(table.filter(mask), FOLDER / "moves_filter.parquet")
    pq.write_table(table.take(indices), FOLDER / "moves_take.parquet")
    pq.write_table(table.slice(37, 150), FOLDER / "moves_slice.parquet")
    pieces = [table.slice(100, 111), table.slice(0, 3), table.slice(37, 150)]
    pq.write_table(pa.concat_tables(pieces).combine_chunks(), FOLDER / "moves_concat.parquet")
    types = {"i8": pa.int64(), "i32": pa.float64(), "u32": pa.int64(), "f32": pa.float64(), "bool": pa.int32()}
    types["list"] = pa.list_(pa.int64())
    cast = pa.table({name: table[name].cast(to) for name, to in types.items()})
    pq.write_table(cast, FOLDER / "moves_cast.parquet")
    some = table.select(["i8", "string", "list", "dictionary"])
    pq.write_table(some.drop_null(), FOLDER / "moves_drop_null.parquet")


main()
