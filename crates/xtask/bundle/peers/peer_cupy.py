"""CuPy: filter and gather of one column of i64, beside `filter/i64x1` and `gather/i64x1`."""

import numpy as np
from common import ABOUT, DATA, cupy_clock, report, skip, timed

try:
    import cupy as cp

    cp.cuda.runtime.getDeviceCount()
except Exception as why:  # a missing package, library or device
    skip("cupy", str(why).splitlines()[0] if str(why) else type(why).__name__)

clock = cupy_clock(cp)
values = cp.asarray(np.load(DATA / "i64x1.npy"))
for percent in ABOUT["percents"]:
    mask = cp.asarray(np.load(DATA / f"mask_{percent}.npy"))
    equal = bool((cp.asnumpy(values[mask]) == np.load(DATA / f"filter_{percent}.npy")).all())
    times = timed(*clock, lambda: values[mask])
    report("cupy", cp.__version__, f"filter/i64x1/{ABOUT['rows']} rows", f"{percent}%", times, equal)
for order in ["random", "rising"]:
    indices = cp.asarray(np.load(DATA / f"indices_{order}.npy"))
    equal = bool((cp.asnumpy(cp.take(values, indices)) == np.load(DATA / f"gather_{order}.npy")).all())
    times = timed(*clock, lambda: cp.take(values, indices))
    report("cupy", cp.__version__, f"gather/i64x1/{ABOUT['rows']} rows", order, times, equal)
