"""Writes expr.txt: random filter expressions and SQLite's answer for each (Python's own sqlite3, no packages needed).

    python tests/golden/make_expr.py > tests/golden/expr.txt

First the rows (i, j: integers; f: float; s, t: text; b: boolean), then lines `mask<TAB>expression`, one character a row:
1 true, 0 false, - null. Division and remainder only by literals that are not zero, where SQLite answers null and we fail.
"""

import random
import sqlite3

random.seed(20261121)
WORDS = ["", "a", "ab", "abc", "b", "ABC", "a%c", "a_c", "caf\u00e9", "zebra", "z"]
ROWS = 48


def maybe(value, p=0.2):
    return None if random.random() < p else value


def row():
    i, j = maybe(random.randint(-6, 6)), maybe(random.randint(-1000, 1000), 0.05)
    f = maybe(random.choice([-2.5, -1.0, -0.0, 0.0, 0.25, 1.0, 3.0, 1e9, 0.1]))
    return i, j, f, maybe(random.choice(WORDS)), maybe(random.choice(WORDS)), maybe(random.randint(0, 1))


def number(depth):
    pick = random.random()
    if depth == 0 or pick < 0.5:
        return random.choice(["i", "j", "f", "i", str(random.randint(-6, 6)), "0.25", "1e1", "-2.5"])
    if pick < 0.8:
        return f"{number(depth - 1)} {random.choice('+-*')} {wrapped(number(depth - 1))}"
    if pick < 0.9:
        return f"({random.choice(['i', 'j', 'i + j'])}) {random.choice('/%')} {random.choice(['3', '7', '-2'])}"
    return f"-({number(depth - 1)})"


def wrapped(text):
    return f"({text})" if " " in text or text.startswith("-") else text


def text():
    return random.choice(["s", "t", "s", repr(random.choice(WORDS))])


def condition(depth):
    pick = random.random()
    if depth > 0 and pick < 0.45:
        sides = condition(depth - 1), condition(depth - 1)
        return f"{sides[0]} {random.choice(['AND', 'OR'])} {sides[1]}"
    if depth > 0 and pick < 0.6:
        return f"NOT ({condition(depth - 1)})"
    if depth > 0 and pick < 0.66:
        return f"({condition(depth - 1)}) IS {random.choice(['', 'NOT '])}{random.choice(['TRUE', 'FALSE', 'NULL'])}"
    negated = random.choice(["", "", "NOT "])
    kind = random.randint(0, 7)
    compare = random.choice(["=", "<>", "<", "<=", ">", ">=", "!="])
    if kind <= 1:
        return f"{wrapped(number(2))} {compare} {wrapped(number(1))}"
    if kind == 2:
        return f"{text()} {compare} {text()}"
    if kind == 3:
        return f"{random.choice('ijfst')} IS {negated}NULL"
    if kind == 4:
        items = random.choices(["0", "1", "-3", "5", "NULL", "j", "100", "i + 1"], k=random.randint(1, 5))
        return f"i {negated}IN ({', '.join(items)})"
    if kind == 5:
        items = random.choices([repr(w) for w in WORDS] + ["NULL", "t"], k=random.randint(1, 4))
        return f"s {negated}IN ({', '.join(items)})"
    if kind == 6:
        return f"{wrapped(number(1))} {negated}BETWEEN {random.randint(-6, 2)} AND {wrapped(number(0))}"
    pattern = random.choice(["'a%'", "'%c'", "'_b%'", "'%'", "'abc'", "'caf_'", "'%b%c'", "''", "'A%'"])
    return f"s {negated}LIKE {pattern}"


def show(value):
    return "null" if value is None else repr(value) if isinstance(value, float) else str(value) if isinstance(value, int) else "'" + value


def main():
    db = sqlite3.connect(":memory:")
    db.execute("PRAGMA case_sensitive_like = ON")
    db.execute("CREATE TABLE d (i INTEGER, j INTEGER, f REAL, s TEXT, t TEXT, b INTEGER)")
    rows = [row() for _ in range(ROWS)]
    db.executemany("INSERT INTO d VALUES (?, ?, ?, ?, ?, ?)", rows)
    print(ROWS)
    for values in rows:
        print("\t".join(show(v) for v in values))
    for n in range(700):
        expression = condition(n % 4)
        if n % 10 == 0:
            expression = f"b AND {expression}" if n % 20 else f"NOT b OR {expression}"
        answer = db.execute(f"SELECT {expression} FROM d ORDER BY rowid").fetchall()
        print("".join("-" if a is None else "1" if a else "0" for (a,) in answer) + "\t" + expression)


if __name__ == "__main__":
    main()
