"""cuDF: filter and gather of nine columns of i64 with nulls, beside `filter/i64x9` and `gather/i64x9`."""

import numpy as np
from common import ABOUT, DATA, cupy_clock, report, skip, timed

try:
    import cudf
    import cupy as cp
    import pyarrow as pa
    import pyarrow.parquet as pq
except Exception as why:  # cuDF raises its own errors without a GPU
    skip("cudf", str(why).splitlines()[0] if str(why) else type(why).__name__)

clock = cupy_clock(cp)
host = pq.read_table(DATA / "i64x9")
frame = cudf.DataFrame.from_arrow(host)
for percent in ABOUT["percents"]:
    bits = np.load(DATA / f"mask_{percent}.npy")
    mask = cudf.Series(bits)
    expected = host.filter(pa.array(bits))
    equal = frame[mask].to_arrow(preserve_index=False).equals(expected)
    times = timed(*clock, lambda: frame[mask])
    report("cudf", cudf.__version__, f"filter/i64x9/{ABOUT['rows']} rows", f"{percent}%", times, equal)
for order in ["random", "rising"]:
    places = np.load(DATA / f"indices_{order}.npy").astype(np.int32)
    indices = cudf.Series(places)
    equal = frame.take(indices).to_arrow(preserve_index=False).equals(host.take(pa.array(places)))
    times = timed(*clock, lambda: frame.take(indices))
    report("cudf", cudf.__version__, f"gather/i64x9/{ABOUT['rows']} rows", order, times, equal)
