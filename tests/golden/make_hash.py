"""Writes hash.txt: hashes of byte strings by the `mmh3` and `xxhash` packages.

A line: the length, MurmurHash3_x86_32 with seed 0, XXH64 with seed 0 and with seed 42. Byte i of the string of length n is
(131 * i + 7 * n) modulo 256, and the test makes the same. Run: python3 tests/golden/make_hash.py > tests/golden/hash.txt
(mmh3 5.3.1 and xxhash 4.1.0 made the committed one).
"""

import mmh3
import xxhash

for n in [*range(140), 255, 256, 257, 300, 1000]:
    data = bytes((131 * i + 7 * n) % 256 for i in range(n))
    print(n, mmh3.hash(data, 0), xxhash.xxh64_intdigest(data, 0), xxhash.xxh64_intdigest(data, 42))
