"""Writes expr_typed_table.parquet, a table of many types, and expr_typed.parquet, DataFusion's values for random expressions
over it: the name of each column is the expression in SQL.

    pip install datafusion==55.0.0 pyarrow && python tests/golden/make_expr_typed.py tests/golden

Integers are small enough that DataFusion, which computes in the operands' width and wraps, has no overflow; two unsigned
columns are not subtracted for the same reason. Divisors are never zero. What DataFusion refuses is left out.
"""

import datetime as dt
import random
import sys
from decimal import Decimal

import datafusion
import pyarrow as pa
import pyarrow.parquet as pq

random.seed(20261126)
ROWS = 48
EACH = 64
WORDS = ["", "a", "ab", "abc", "b", "ABC", "a%c", "caf\u00e9", "\u00e9", "zebra", "a text beyond twelve bytes", "\u65e5\u672c"]
SIGNED = ["i8", "i16", "i32", "i64"]
UNSIGNED = ["u8", "u16", "u32", "u64"]
FLOATS = ["f32", "f64"]
DECIMALS = ["m", "p"]
TEXTS = ["s", "large", "view", "dict"]
DATES = ["d32", "d64"]
STAMPS = ["ts_s", "ts_ms", "ts_us", "ts_ns"]
ZONED = ["utc", "paris"]
TIMES = ["t32", "t64"]
SPANS = ["gap_ms", "gap_us"]
COMPARE = ["=", "<>", "<", "<=", ">", ">="]


def column(make, data_type, nulls=0.2):
    return pa.array([None if random.random() < nulls else make() for _ in range(ROWS)], data_type)


def moment(fraction=0):
    at = dt.datetime(1970, 1, 1) + dt.timedelta(seconds=random.randint(-3_000_000_000, 3_000_000_000))
    return at + dt.timedelta(microseconds=random.randrange(10**6) // fraction * fraction if fraction else 0)


def table():
    small = lambda low, high: lambda: random.randint(low, high)
    real = lambda: random.choice([-2.5, -1.0, -0.0, 0.0, 0.25, 1.0, 3.0, 1e9, 0.1, float("nan"), float("inf")])
    clock = lambda: (dt.datetime.min + dt.timedelta(seconds=random.randrange(86400))).time()
    flag = lambda: random.random() < 0.5
    word = lambda: random.choice(WORDS)
    columns = {}
    for name in SIGNED:
        columns[name] = column(small(-5, 5), pa.from_numpy_dtype("int" + name[1:]))
    for name in UNSIGNED:
        columns[name] = column(small(0, 5), pa.from_numpy_dtype("uint" + name[1:]))
    columns["f32"], columns["f64"] = column(real, pa.float32()), column(real, pa.float64())
    columns["b"], columns["c"] = column(flag, pa.bool_()), column(flag, pa.bool_())
    columns["m"] = column(lambda: Decimal(random.randint(-500, 500)) / 100, pa.decimal128(10, 2))
    columns["p"] = column(lambda: Decimal(random.randint(-5000, 5000)) / 1000, pa.decimal128(12, 3))
    for name, data_type in zip(TEXTS, [pa.string(), pa.large_string(), pa.string_view(), pa.string()]):
        columns[name] = column(word, data_type)
    columns["dict"] = columns["dict"].dictionary_encode()
    day = lambda: moment().date()
    columns["d32"], columns["d64"] = column(day, pa.date32()), column(day, pa.date64())
    for name, step in [("ts_s", 0), ("ts_ms", 1000), ("ts_us", 1), ("ts_ns", 1)]:
        columns[name] = column(lambda: moment(step), pa.timestamp(name[3:]))
    columns["utc"] = column(lambda: moment(1), pa.timestamp("us", "UTC"))
    columns["paris"] = column(lambda: moment(1000), pa.timestamp("ms", "+01:00"))
    columns["t32"], columns["t64"] = column(clock, pa.time32("s")), column(clock, pa.time64("us"))
    gap = lambda: dt.timedelta(milliseconds=random.randint(-10**7, 10**7))
    columns["gap_ms"], columns["gap_us"] = column(gap, pa.duration("ms")), column(gap, pa.duration("us"))
    return pa.table(columns)


def pick(*lists):
    return random.choice(sum(lists, []))


def whole(depth):
    """An integer."""
    kind = random.randint(0, 9) if depth else random.randint(0, 1)
    if kind == 0:
        return pick(SIGNED, UNSIGNED)
    if kind == 1:
        return random.choice([pick(SIGNED), str(random.randint(-5, 5))])
    if kind <= 4:
        return f"({pick(SIGNED)} {random.choice('+-*')} {whole(depth - 1)})"
    if kind == 5:
        # Of u64 DataFusion makes decimals, whose quotients have fractions.
        return f"({whole(depth - 1).replace('u64', 'i64')} {random.choice('/%')} {random.choice(['3', '2', '-2'])})"
    if kind == 6:
        return f"(-{pick(SIGNED)})"
    if kind == 7:
        return random.choice([f"length({text(0)})", f"octet_length({pick(TEXTS)})"])
    if kind == 8:
        return part()
    return choice(whole, depth)


def part():
    if random.random() < 0.2:
        return f"EXTRACT({random.choice(['HOUR', 'MINUTE', 'SECOND'])} FROM {pick(TIMES)})"
    parts = ["YEAR", "QUARTER", "MONTH", "WEEK", "DAY", "DOW", "DOY", "HOUR", "MINUTE", "SECOND"]
    return f"EXTRACT({random.choice(parts)} FROM {pick(DATES, STAMPS, ZONED)})"


def real(depth):
    kind = random.randint(0, 5) if depth else random.randint(0, 1)
    if kind == 0:
        return pick(FLOATS)
    if kind == 1:
        return random.choice(["0.25", "-2.5", "1e3", pick(FLOATS)])
    if kind <= 3:
        return f"({real(depth - 1)} {random.choice('+-*/')} {random.choice([real, real, whole])(depth - 1)})"
    if kind == 4:
        return f"(-{pick(FLOATS)})"
    return choice(real, depth)


def money(depth):
    kind = random.randint(0, 6) if depth else 0
    if kind == 0:
        return pick(DECIMALS)
    if kind <= 2:
        return f"({money(depth - 1)} {random.choice('+-*')} {random.choice([pick(DECIMALS), pick(SIGNED), '3'])})"
    if kind == 3:
        return f"({pick(DECIMALS)} {random.choice('/%')} {random.choice(['3', '7', 'CAST(3 AS DECIMAL(8, 1))'])})"
    if kind == 4:
        return f"(-{pick(DECIMALS)})"
    if kind == 5:
        return f"CAST({random.choice([pick(DECIMALS), pick(SIGNED)])} AS DECIMAL({random.choice(['20, 4', '9, 1', '30, 0'])}))"
    return choice(money, depth)


def text(depth):
    if depth and random.random() < 0.3:
        return choice(text, depth)
    return random.choice([pick(TEXTS), pick(TEXTS), repr(random.choice(WORDS))])


def choice(make, depth):
    kind = random.randint(0, 3)
    if kind == 0:
        return f"CASE WHEN {condition(depth - 1)} THEN {make(depth - 1)} ELSE {make(depth - 1)} END"
    if kind == 1:
        branches = " ".join(f"WHEN {n} THEN {make(0)}" for n in random.sample(range(-5, 6), 3))
        return f"CASE {pick(SIGNED)} {branches} END"
    if kind == 2:
        return f"coalesce({make(0)}, {make(depth - 1)}, {make(0)})"
    return f"nullif({make(depth - 1)}, {make(0)})"


def shifted(depth):
    """A time, timestamp, date or span."""
    kind = random.randint(0, 6)
    months = random.choice(["'1 month'", "'-13 months'", "'2 days'", "'1 year 2 days'"])
    if kind == 0:
        return f"({pick(STAMPS, ZONED)} {random.choice('+-')} INTERVAL {months})"
    if kind == 1:
        return f"(d32 {random.choice('+-')} INTERVAL {months})"
    if kind == 2:
        name = pick(["ts_ms", "paris"])
        return f"({name} {random.choice('+-')} gap_ms)"
    if kind == 3:
        return random.choice(["(gap_ms + gap_us)", "(gap_us - gap_us)", "(ts_us - ts_ms)", "(ts_us - ts_us)", "(utc - utc)"])
    if kind == 4:
        return f"(d32 - {random.choice(['d32', repr('2001-02-03') + '::date'])})"
    if kind == 5:
        return f"CAST({pick(STAMPS)} AS DATE)"
    return choice(lambda _: random.choice(["ts_us", "ts_us", "ts_ms"]), depth)


def condition(depth):
    kind = random.randint(0, 3) if depth else 9
    if kind == 0:
        return f"({condition(depth - 1)} {random.choice(['AND', 'OR'])} {condition(depth - 1)})"
    if kind == 1:
        return f"(NOT {condition(depth - 1)})"
    negated = random.choice(["", "", "NOT "])
    compare = random.choice(COMPARE)
    kind = random.randint(0, 10)
    if kind <= 2:
        make = random.choice([whole, real, money])
        return f"({make(max(depth, 1) - 1)} {compare} {random.choice([make, whole])(0)})"
    if kind == 3:
        return f"({text(0)} {compare} {text(0)})"
    if kind == 4:
        name = random.choice(["starts_with", "ends_with", "contains"])
        return f"{name}({pick(TEXTS)}, {random.choice([repr('a'), repr('c'), repr(''), repr(chr(233)), 's'])})"
    if kind == 5:
        return f"({pick(TEXTS)} {negated}{random.choice(['LIKE', 'ILIKE'])} {random.choice(['a%', '%c', '_b%', '%A%', 'caf_'])!r})"
    if kind == 6:
        return random.choice([f"({pick(SIGNED, TEXTS, DECIMALS, STAMPS)} IS {negated}NULL)", f"({pick(['b', 'c'])} IS {negated}TRUE)"])
    if kind == 7:
        items = ", ".join(random.choices(["0", "1", "-3", "5", "NULL"], k=random.randint(1, 4)))
        return f"({pick(SIGNED, UNSIGNED)} {negated}IN ({items}))"
    if kind == 8:
        return f"({whole(0)} {negated}BETWEEN {random.randint(-5, 0)} AND {random.randint(0, 5)})"
    if kind == 9:
        moments = random.choice([DATES, STAMPS, STAMPS, ZONED, ["d32", "ts_us"]])
        return random.choice([f"({pick(moments)} {compare} {pick(moments)})", f"(ts_us {compare} '1990-05-06 07:08:09')", "b"])
    return random.choice(["b", "c"])


def main(folder):
    data = table()
    context = datafusion.SessionContext()
    context.from_arrow(data, name="t")
    answers, refused = {}, 0
    for make in [whole, real, money, text, shifted, condition]:
        count = 0
        for attempt in range(4 * EACH):
            if count == EACH:
                break
            sql = make(attempt % 4)
            if sql in answers or sql in data.column_names or sql[0] == "'":
                continue
            try:
                answer = context.sql(f"SELECT {sql} AS x FROM t").to_arrow_table().column(0).combine_chunks()
            except Exception:
                refused += 1
                continue
            # Parquet has no intervals, which DataFusion makes of some differences.
            if not pa.types.is_interval(answer.type):
                answers[sql] = answer
                count += 1
    options = dict(compression="zstd", use_dictionary=False, write_statistics=False)
    pq.write_table(data, f"{folder}/expr_typed_table.parquet", **options)
    pq.write_table(pa.table(answers), f"{folder}/expr_typed.parquet", **options)
    print(f"{len(answers)} expressions, {refused} refused by DataFusion", file=sys.stderr)


if __name__ == "__main__":
    main(sys.argv[1])
