"""torchvision's nvJPEG: the files of `jpeg_decode`, decoded to RGB on the device, in wall time as our bench.

It creates nvJPEG with nearest chroma, so its result is not libjpeg-turbo's: `equal` says whether it was the same to the
bit, and the note how far it was off at most.
"""

import numpy as np
from common import DATA, report, skip, timed, wall_clock

try:
    import torch
    import torchvision
    from torchvision.io import ImageReadMode, decode_jpeg
except ImportError as why:
    skip("torchvision nvJPEG", str(why))
if not torch.cuda.is_available():
    skip("torchvision nvJPEG", "no CUDA device")

clock = wall_clock(torch)
for name, count, value in [
    ("500x375-420", 64, "column of 64 500x375-420"),
    ("1920x1080-420", 1, "one 1920x1080-420"),
]:
    data = torch.from_numpy(np.fromfile(DATA / f"{name}.jpg", dtype=np.uint8))
    files = [data] * count

    def decode():
        return decode_jpeg(files, mode=ImageReadMode.RGB, device="cuda")

    theirs = decode()[0].permute(1, 2, 0).cpu().numpy().astype(np.int16)
    off = int(np.abs(theirs - np.load(DATA / f"{name}.npy").astype(np.int16)).max())
    note = f"at most {off} levels off"
    times = timed(*clock, decode)
    report("torchvision nvJPEG", torchvision.__version__, "jpeg_decode", value, times, off == 0, note)
