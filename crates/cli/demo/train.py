"""Trains the demo's model and exports shapes.onnx.

    warpline demo --data-only --rows 24000 --seed 1 --output train
    warpline demo --data-only --rows 3000 --seed 2 --output held-out
    python crates/cli/demo/train.py train held-out crates/cli/demo/shapes.onnx

Needs numpy, Pillow (<13), pyarrow and onnx; no framework: four strided convolutions and two dense layers, with their
gradients written out, trained by Adam (Kingma & Ba 2015). Input is what the demo's pipeline makes: shorter side resized to
64 (bilinear), centre crop 64, ImageNet normalisation, f32 NCHW. Outputs: `embedding` [N, 64] and `logits` [N, 12].
The same seed gives the same weights on one machine; the last line printed is the accuracy on the held-out folder.
The committed shapes.onnx was trained by this script on the same drawings with the two spoilt images of each folder
intact, so a rerun gives slightly other weights; it told all 3000 held-out drawings right.
"""

import io
import os
import sys
from concurrent.futures import ThreadPoolExecutor

import numpy as np
import onnx
import pyarrow.parquet as pq
from onnx import TensorProto, helper, numpy_helper
from PIL import Image

SIZE = 64
MEAN = np.array([0.485, 0.456, 0.406], np.float32)
STD = np.array([0.229, 0.224, 0.225], np.float32)
# (input channels, output channels, kernel); stride 2 and padding kernel // 2 throughout: 64 -> 32 -> 16 -> 8 -> 4.
CONVS = [(3, 16, 5), (16, 24, 3), (24, 48, 3), (48, 32, 3)]
EMBEDDING = 64
EPOCHS, BATCH, RATE = 14, 64, 2e-3


def load(folder):
    """Images of a data set folder as u8 NHWC, their classes, and the class names."""
    labels = pq.read_table(os.path.join(folder, "labels.parquet")).to_pydict()
    class_of = dict(zip(labels["id"], labels["class"]))
    names = dict(zip(labels["class"], labels["label"]))
    images = pq.read_table(os.path.join(folder, "images.parquet"), columns=["id", "jpeg"])

    def pixels(jpeg):
        try:
            image = Image.open(io.BytesIO(jpeg)).convert("RGB")
        except OSError:
            return None  # each data set has two images spoilt on purpose
        shorter, longer = sorted(image.size)
        longer = SIZE * longer // shorter
        image = image.resize((SIZE, longer) if image.width <= image.height else (longer, SIZE), Image.BILINEAR)
        left, top = round((image.width - SIZE) / 2), round((image.height - SIZE) / 2)
        return np.asarray(image.crop((left, top, left + SIZE, top + SIZE)))

    with ThreadPoolExecutor() as pool:
        decoded = list(pool.map(pixels, (j.as_py() for j in images["jpeg"])))
    x = np.stack([p for p in decoded if p is not None])
    y = np.array([class_of[i] for i, p in zip(images["id"].to_pylist(), decoded) if p is not None])
    return x, y, [names[i] for i in range(len(names))]


def normalise(x):
    """u8 NHWC to f32 NHWC. Training runs in NHWC, which numpy's matmul likes; the export is NCHW."""
    return ((x.astype(np.float32) / np.float32(255) - MEAN) / STD).astype(np.float32)


def patches(x, k):
    """The k x k stride-2 windows of x [N, H, W, C], zero padded, as rows [N * H/2 * W/2, k * k * C]."""
    p = k // 2
    n, h, w, c = x.shape
    padded = np.zeros((n, h + 2 * p, w + 2 * p, c), np.float32)
    padded[:, p : p + h, p : p + w] = x
    windows = np.lib.stride_tricks.sliding_window_view(padded, (k, k), (1, 2))[:, ::2, ::2]
    windows = windows[:, : h // 2, : w // 2].transpose(0, 1, 2, 4, 5, 3)
    return np.ascontiguousarray(windows).reshape(n * (h // 2) * (w // 2), k * k * c)


def scatter(rows, shape, k):
    """The transpose of `patches`: sums window gradients back onto the input."""
    p = k // 2
    n, h, w, c = shape
    out = np.zeros((n, h + 2 * p, w + 2 * p, c), np.float32)
    rows = rows.reshape(n, h // 2, w // 2, k, k, c)
    for i in range(k):
        for j in range(k):
            out[:, i : i + h : 2, j : j + w : 2] += rows[:, :, :, i, j]
    return out[:, p : p + h, p : p + w]


def initial(classes, rng):
    """He-initialised weights; biases zero. Conv weights are [k * k * in, out]."""
    flat = CONVS[-1][1] * (SIZE // 2 ** len(CONVS)) ** 2
    shapes = [(k * k * i, o) for i, o, k in CONVS] + [(flat, EMBEDDING), (EMBEDDING, classes)]
    params = []
    for fan_in, fan_out in shapes:
        params.append(rng.normal(0, np.sqrt(2 / fan_in), (fan_in, fan_out)).astype(np.float32))
        params.append(np.zeros(fan_out, np.float32))
    return params


def forward(params, x):
    """Logits, and what the backward pass needs."""
    saved = []
    for layer, (_, channels, k) in enumerate(CONVS):
        rows = patches(x, k)
        out = np.maximum(rows @ params[2 * layer] + params[2 * layer + 1], 0)
        saved.append((x.shape, rows, out))
        x = out.reshape(x.shape[0], x.shape[1] // 2, x.shape[2] // 2, channels)
    flat = x.reshape(x.shape[0], -1)
    embedding = np.maximum(flat @ params[8] + params[9], 0)
    return embedding @ params[10] + params[11], (saved, flat, embedding)


def gradients(params, x, y):
    """Mean cross-entropy loss (labels smoothed by 0.05) and its gradient by every parameter."""
    logits, (saved, flat, embedding) = forward(params, x)
    logits = logits - logits.max(1, keepdims=True)
    log_p = logits - np.log(np.exp(logits).sum(1, keepdims=True))
    target = np.full_like(log_p, 0.05 / log_p.shape[1])
    target[np.arange(len(y)), y] += 0.95
    loss = -(target * log_p).sum(1).mean()
    grads = [None] * len(params)
    d = (np.exp(log_p) - target) / np.float32(len(y))
    grads[10], grads[11] = embedding.T @ d, d.sum(0)
    d = (d @ params[10].T) * (embedding > 0)
    grads[8], grads[9] = flat.T @ d, d.sum(0)
    d = d @ params[8].T
    for layer in reversed(range(len(CONVS))):
        shape, rows, out = saved[layer]
        d = d.reshape(out.shape) * (out > 0)
        grads[2 * layer], grads[2 * layer + 1] = rows.T @ d, d.sum(0)
        if layer:
            d = scatter(d @ params[2 * layer].T, shape, CONVS[layer][2])
    return loss, grads


def accuracy(params, x, y):
    """Share of images whose largest logit is their class."""
    hits = 0
    for i in range(0, len(x), 256):
        logits, _ = forward(params, normalise(x[i : i + 256]))
        hits += int((logits.argmax(1) == y[i : i + 256]).sum())
    return hits / len(x)


def train(x, y, held_out, classes, seed=0):
    """Adam with a cosine schedule; random flips (no class is changed by one)."""
    rng = np.random.default_rng(seed)
    params = initial(classes, rng)
    first = [np.zeros_like(p) for p in params]
    second = [np.zeros_like(p) for p in params]
    steps, step = EPOCHS * (len(x) // BATCH), 0
    for epoch in range(EPOCHS):
        order, total = rng.permutation(len(x)), 0.0
        for start in range(0, len(x) - BATCH + 1, BATCH):
            pick = order[start : start + BATCH]
            batch = x[pick]
            batch = batch[:, :, ::-1] if rng.random() < 0.5 else batch
            batch = batch[:, ::-1] if rng.random() < 0.5 else batch
            batch = batch.transpose(0, 2, 1, 3) if rng.random() < 0.5 else batch
            loss, grads = gradients(params, normalise(batch), y[pick])
            total += loss
            step += 1
            rate = RATE * min(1, step / 200) * 0.5 * (1 + np.cos(np.pi * step / steps))
            for p, g, m, v in zip(params, grads, first, second):
                m += 0.1 * (g - m)
                v += 0.001 * (g * g - v)
                p -= (rate / (1 - 0.9**step)) * m / (np.sqrt(v / (1 - 0.999**step)) + 1e-8)
        print(f"epoch {epoch + 1}: loss {total / (len(x) // BATCH):.4f}, held-out accuracy {accuracy(params, *held_out):.4f}", flush=True)
    return params


def export(params, names, path):
    """Writes ONNX: Conv + Relu four times, Flatten, Gemm + Relu (`embedding`), Gemm (`logits`)."""
    nodes, weights, last = [], [], "input"

    def weight(name, array):
        weights.append(numpy_helper.from_array(np.ascontiguousarray(array, np.float32), name))
        return name

    for i, (cin, cout, k) in enumerate(CONVS):
        kernel = params[2 * i].reshape(k, k, cin, cout).transpose(3, 2, 0, 1)
        inputs = [last, weight(f"conv{i}.weight", kernel), weight(f"conv{i}.bias", params[2 * i + 1])]
        nodes.append(helper.make_node("Conv", inputs, [f"conv{i}"], kernel_shape=[k, k], strides=[2, 2], pads=[k // 2] * 4))
        nodes.append(helper.make_node("Relu", [f"conv{i}"], [f"relu{i}"]))
        last = f"relu{i}"
    nodes.append(helper.make_node("Flatten", [last], ["flat"], axis=1))
    side, channels = SIZE // 2 ** len(CONVS), CONVS[-1][1]
    # The dense layer was trained on NHWC order; ONNX flattens NCHW.
    dense = params[8].reshape(side, side, channels, EMBEDDING).transpose(2, 0, 1, 3).reshape(-1, EMBEDDING)
    nodes.append(helper.make_node("Gemm", ["flat", weight("embed.weight", dense), weight("embed.bias", params[9])], ["dense"]))
    nodes.append(helper.make_node("Relu", ["dense"], ["embedding"]))
    nodes.append(helper.make_node("Gemm", ["embedding", weight("head.weight", params[10]), weight("head.bias", params[11])], ["logits"]))
    tensor = helper.make_tensor_value_info
    graph = helper.make_graph(
        nodes,
        "shapes",
        [tensor("input", TensorProto.FLOAT, ["N", 3, SIZE, SIZE])],
        [tensor("embedding", TensorProto.FLOAT, ["N", EMBEDDING]), tensor("logits", TensorProto.FLOAT, ["N", len(names)])],
        weights,
    )
    model = helper.make_model(graph, producer_name="warpline demo/train.py", opset_imports=[helper.make_opsetid("", 13)], ir_version=8)
    helper.set_model_props(model, {"classes": ",".join(names)})
    onnx.checker.check_model(model, full_check=True)
    onnx.save(model, path)


def main():
    if len(sys.argv) != 4:
        sys.exit(__doc__)
    train_folder, held_out_folder, path = sys.argv[1:]
    x, y, names = load(train_folder)
    held_x, held_y, _ = load(held_out_folder)
    print(f"{len(x)} training images, {len(held_x)} held out, {len(names)} classes", flush=True)
    params = train(x, y, (held_x, held_y), len(names))
    export(params, names, path)
    print(f"{path}: {os.path.getsize(path)} bytes, held-out accuracy {accuracy(params, held_x, held_y):.4f}")


if __name__ == "__main__":
    main()
