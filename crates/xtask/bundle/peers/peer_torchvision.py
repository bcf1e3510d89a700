"""torchvision on CUDA: shorter side to 256, centre crop 224, normalise, beside `preprocess/shorter256-crop224`.

It resizes tensors in floating point, so its result is not Pillow's: `equal` says whether it was the same to the bit, and
the note how far it was off at most, in grey levels.
"""

import numpy as np
from common import ABOUT, DATA, report, skip, timed, torch_clock

try:
    import torch
    import torchvision
    from torchvision.transforms import InterpolationMode
    from torchvision.transforms.v2 import functional as F
except ImportError as why:
    skip("torchvision", str(why))
if not torch.cuda.is_available():
    skip("torchvision", "no CUDA device")

MEAN, STD = [0.485, 0.456, 0.406], [0.229, 0.224, 0.225]

clock = torch_clock(torch)


def tensors(images, dtype):
    images = F.resize(images, [256], interpolation=InterpolationMode.BILINEAR, antialias=True)
    images = F.center_crop(images, [224, 224])
    images = F.to_dtype(images, torch.float32, scale=True)
    return F.normalize(images, MEAN, STD).to(dtype)


pixels = torch.from_numpy(np.load(DATA / "images.npy")).cuda().permute(0, 3, 1, 2).contiguous()
ours = torch.from_numpy(np.load(DATA / "tensors.npy")).cuda()
theirs = tensors(pixels[: ABOUT["compared"]], torch.float32)
equal = torch.equal(ours, theirs)
std = torch.tensor(STD, device="cuda").view(3, 1, 1)
levels = ((ours - theirs) * std * 255).abs().max().item()
for name, dtype in [("f32", torch.float32), ("f16", torch.float16)]:
    times = timed(*clock, lambda: tensors(pixels, dtype))
    note = f"at most {levels:.3f} grey levels off"
    report("torchvision", torchvision.__version__, "preprocess/shorter256-crop224", name, times, equal, note)
