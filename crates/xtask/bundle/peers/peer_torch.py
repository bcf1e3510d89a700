"""PyTorch: filter and gather of one column of i64, beside `filter/i64x1` and `gather/i64x1`."""

import numpy as np
from common import ABOUT, DATA, report, skip, timed, torch_clock

try:
    import torch
except ImportError as why:
    skip("torch", str(why))
if not torch.cuda.is_available():
    skip("torch", "no CUDA device")

clock = torch_clock(torch)
values = torch.from_numpy(np.load(DATA / "i64x1.npy")).cuda()
for percent in ABOUT["percents"]:
    mask = torch.from_numpy(np.load(DATA / f"mask_{percent}.npy")).cuda()
    equal = (values[mask].cpu().numpy() == np.load(DATA / f"filter_{percent}.npy")).all()
    times = timed(*clock, lambda: torch.masked_select(values, mask))
    report("torch", torch.__version__, f"filter/i64x1/{ABOUT['rows']} rows", f"{percent}%", times, equal)
for order in ["random", "rising"]:
    # PyTorch indexes by signed integers only; the copy to them is not timed.
    indices = torch.from_numpy(np.load(DATA / f"indices_{order}.npy").astype(np.int32)).cuda()
    equal = (torch.index_select(values, 0, indices).cpu().numpy() == np.load(DATA / f"gather_{order}.npy")).all()
    times = timed(*clock, lambda: torch.index_select(values, 0, indices))
    report("torch", torch.__version__, f"gather/i64x1/{ABOUT['rows']} rows", order, times, equal)
