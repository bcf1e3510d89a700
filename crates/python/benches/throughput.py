#!/usr/bin/env python3
"""Images a second from JPEG bytes to a float32 tensor [N, 3, 224, 224]: resize 256, centre crop 224, ImageNet normalise.

    python throughput.py [--photos DIR] [--images 256] [--rounds 7] [--threads 1,2]

The images are photographs of a folder, scaled to 500 x 375 and encoded at quality 90 (ImageNet-like), or drawings without
one. Every tool does the same work on the same bytes; rounds alternate between tools, and the best of each is told, with
the 1-minute load of the machine before and after. Warpline and Pillow give equal tensors, which is checked first; OpenCV
decodes with the same library but has no antialiasing, so its result differs and is the larger saving of work.
"""

import argparse
import datetime
import glob
import io
import os
import platform
import subprocess
import sys
import time
from concurrent.futures import ThreadPoolExecutor

import numpy as np
from PIL import Image

MEAN = np.array([0.485, 0.456, 0.406], np.float32)
STD = np.array([0.229, 0.224, 0.225], np.float32)


def samples(folder, count):
    """Encoded images, each other than the last."""
    files = sorted(glob.glob(os.path.join(folder, "*.jpg"))) if folder else []
    images = [Image.open(name).convert("RGB").resize((500, 375), Image.LANCZOS) for name in files[:64]]
    if not images:
        y, x = np.mgrid[:375, :500]
        rng = np.random.default_rng(1)
        for i in range(16):
            waves = [128 + 60 * np.sin(x * 0.011 * (i + 1) + c) + 50 * np.cos(y * 0.017 * (i + 1)) for c in range(3)]
            noise = rng.integers(0, 16, (375, 500, 3))
            images.append(Image.fromarray(np.clip(np.stack(waves, -1) + noise, 0, 255).astype(np.uint8)))
    made = []
    for i in range(count):
        out = io.BytesIO()
        images[i % len(images)].save(out, "JPEG", quality=90)
        made.append(out.getvalue())
    return made


def with_pillow(data):
    image = Image.open(io.BytesIO(data)).convert("RGB")
    w, h = image.size
    size = (256, int(256 * h / w)) if w <= h else (int(256 * w / h), 256)
    image = image.resize(size, Image.BILINEAR)
    left, top = round((image.width - 224) / 2), round((image.height - 224) / 2)
    pixels = np.asarray(image.crop((left, top, left + 224, top + 224)), np.float32)
    return ((pixels / np.float32(255) - MEAN) / STD).transpose(2, 0, 1)


def with_opencv(data):
    import cv2

    image = cv2.cvtColor(cv2.imdecode(np.frombuffer(data, np.uint8), cv2.IMREAD_COLOR), cv2.COLOR_BGR2RGB)
    h, w = image.shape[:2]
    size = (256, int(256 * h / w)) if w <= h else (int(256 * w / h), 256)
    image = cv2.resize(image, size, interpolation=cv2.INTER_LINEAR)
    h, w = image.shape[:2]
    left, top = round((w - 224) / 2), round((h - 224) / 2)
    pixels = image[top : top + 224, left : left + 224].astype(np.float32)
    return ((pixels / np.float32(255) - MEAN) / STD).transpose(2, 0, 1)


def batch_of(one, threads):
    """A function of all images that fills one array, on a pool of threads (the libraries release the lock)."""
    pool = ThreadPoolExecutor(threads)

    def run(files):
        out = np.empty((len(files), 3, 224, 224), np.float32)

        def fill(i):
            out[i] = one(files[i])

        if threads == 1:
            for i in range(len(files)):
                fill(i)
        else:
            list(pool.map(fill, range(len(files))))
        return out

    return run


def with_warpline(files):
    import warpline

    return warpline.image_to_tensor(files, resize=256, crop=224, device="host").numpy()


def best(tools, files, rounds):
    times = {name: float("inf") for name in tools}
    for run in tools.values():
        run(files[:16])
    for _ in range(rounds):
        for name, run in tools.items():
            start = time.perf_counter()
            run(files)
            times[name] = min(times[name], time.perf_counter() - start)
    return {name: len(files) / seconds for name, seconds in times.items()}


def processor():
    try:
        with open("/proc/cpuinfo") as lines:
            return next(line.split(":")[1].strip() for line in lines if line.startswith("model name"))
    except (OSError, StopIteration):
        return platform.machine()


def measure(arguments):
    """One line a tool, for this process's number of threads."""
    threads = int(os.environ["RAYON_NUM_THREADS"])
    files = samples(arguments.photos, arguments.images)
    tools = {"warpline": with_warpline, "Pillow + NumPy": batch_of(with_pillow, threads)}
    assert np.array_equal(with_warpline(files[:32]), tools["Pillow + NumPy"](files[:32])), "the tensors differ"
    try:
        import cv2

        cv2.setNumThreads(1)
        tools["OpenCV + NumPy (not exact)"] = batch_of(with_opencv, threads)
    except ImportError:
        print("OpenCV is not installed")
    for name, rate in best(tools, files, arguments.rounds).items():
        print(f"{threads} threads  {name:28} {rate:8.0f} images/s", flush=True)


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("--photos")
    parser.add_argument("--images", type=int, default=256)
    parser.add_argument("--rounds", type=int, default=7)
    parser.add_argument("--threads", default="1,2")
    parser.add_argument("--inner", action="store_true", help=argparse.SUPPRESS)
    arguments = parser.parse_args()
    if arguments.inner:
        return measure(arguments)
    print(f"{datetime.date.today()}, {processor()}, {os.cpu_count()} cores, load {os.getloadavg()[0]:.2f}", flush=True)
    for threads in arguments.threads.split(","):
        # A process for each number of threads, because it is fixed when the first one starts.
        environment = {**os.environ, "RAYON_NUM_THREADS": threads}
        subprocess.run([sys.executable, __file__, *sys.argv[1:], "--inner"], env=environment, check=True)
    print(f"load {os.getloadavg()[0]:.2f}")


if __name__ == "__main__":
    main()
