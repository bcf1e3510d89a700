"""What the peers' scripts share: where the data is, time by CUDA events, and a JSON line for each figure.

Every script does the work of one of our benches on the same data, checks its result against ours or against NumPy's or
pyarrow's, and prints lines of {peer, version, group, value, median_ns, equal}. A package that is missing, or a machine
without a GPU, is a line with "skipped".
"""

import json
import statistics
import sys
import time
from pathlib import Path

DATA = Path(sys.argv[1]) if len(sys.argv) > 1 else Path("data")
ABOUT = json.loads((DATA / "about.json").read_text())
REPEATS = 30


def skip(peer, why):
    print(json.dumps({"peer": peer, "skipped": why}), flush=True)
    sys.exit(0)


def report(peer, version, group, value, times_ms, equal, note=None):
    line = {
        "peer": peer,
        "version": version,
        "group": group,
        "value": value,
        "median_ns": statistics.median(times_ms) * 1e6,
        "equal": bool(equal),
    }
    if note:
        line["note"] = note
    print(json.dumps(line), flush=True)


def timed(event, elapsed_ms, work):
    """Milliseconds of each of REPEATS calls. `event()` records an event on the peer's stream."""
    for _ in range(3):
        work()
    pairs = []
    for _ in range(REPEATS):
        start = event()
        work()
        pairs.append((start, event()))
    return [elapsed_ms(start, end) for start, end in pairs]


def cupy_clock(cp):
    """`event` and `elapsed_ms` for `timed`, on CuPy's stream."""

    def event():
        e = cp.cuda.Event()
        e.record()
        return e

    def elapsed_ms(start, end):
        end.synchronize()
        return cp.cuda.get_elapsed_time(start, end)

    return event, elapsed_ms


def torch_clock(torch):
    """`event` and `elapsed_ms` for `timed`, on PyTorch's stream."""

    def event():
        e = torch.cuda.Event(enable_timing=True)
        e.record()
        return e

    def elapsed_ms(start, end):
        end.synchronize()
        return start.elapsed_time(end)

    return event, elapsed_ms


def wall_clock(torch):
    """`event` and `elapsed_ms` for `timed`: wall time, for work that the host takes part in."""

    def event():
        torch.cuda.synchronize()
        return time.perf_counter()

    return event, lambda start, end: (end - start) * 1e3
