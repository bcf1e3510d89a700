"""Every option, and `Preprocess`, against answers of Pillow, NumPy and transformers' image processors: the golden files
that judge the library too."""

import copy
import hashlib
import json
import pickle
import sys
from pathlib import Path

import numpy as np
import pytest
from conftest import drawing, encode, transform

import warpline

GOLDEN = Path(__file__).resolve().parents[3] / "tests" / "golden"
sys.path.append(str(GOLDEN))

import make_resize  # noqa: E402


def lines(name):
    return [line.split() for line in (GOLDEN / name).read_text().splitlines()]


def picture(width, height, kind="noise"):
    return encode(make_resize.pattern(int(width), int(height), kind), "PNG", compress_level=1)


def digest(tensor):
    return hashlib.sha256(tensor.numpy().tobytes()).hexdigest()


def sides(text):
    """Height and width of WxH."""
    return tuple(int(side) for side in text.split("x"))[::-1]


def arguments(interpolation, target, steps):
    """A golden case as keyword arguments."""
    crop, *steps = steps.split(";")
    steps = dict(step.split(":") for step in steps)
    given = dict(interpolation=interpolation)
    kind, _, value = target.partition(":")
    pad, _, place = steps.get("pad", "").partition("@")
    numbers = {name: [float(v) for v in value.split(",")] for name, value in steps.items() if name != "pad"}
    if "part" in steps:
        low, high, thin, wide = numbers["part"]
        given |= dict(random_resized_crop=sides(value), scale=(low, high), ratio=[thin, wide])
    elif kind == "fit" and value == pad:
        given |= dict(letterbox=sides(value), place=place)
        pad = ""
    elif kind == "fit":
        given |= dict(fit=sides(value))
    elif kind == "exact":
        given |= dict(resize=sides(value))
    elif kind == "shorter":
        given |= dict(resize=int(value))
    if crop != "none":
        given |= dict(crop=sides(crop))
    if pad:
        given |= dict(pad=sides(pad), place=place)
    if "fill" in steps:
        given |= dict(fill=tuple(int(v) for v in numbers["fill"]))
    for name, flip in (("hflip", "horizontal_flip"), ("vflip", "vertical_flip")):
        if name in steps:
            given |= {flip: numbers[name][0] == 1 or numbers[name][0]}
    if "seed" in steps:
        seed, row = (int(v) for v in steps["seed"].split(","))
        given |= dict(seed=seed, row_ids=[row])
    return given


def test_geometry_equals_pillow():
    for width, height, kind, interpolation, target, steps, *size, want in lines("resize.txt"):
        given = arguments(interpolation, target, steps)
        tensor = warpline.image_to_tensor([picture(width, height, kind)], dtype="u8", layout="nhwc", **given)
        assert tensor.shape == [1, int(size[1]), int(size[0]), 3], given
        assert digest(tensor) == want, given


def test_numbers_and_layouts_equal_numpy():
    for width, height, kind, interpolation, target, steps, normalize, dtype, layout, want in lines("normalize.txt"):
        given = arguments(interpolation, target, steps) | dict(dtype=dtype, layout=layout)
        if "/" in normalize:
            normalize = tuple([float(v) for v in part.split(",")] for part in normalize.split("/"))
        tensor = warpline.image_to_tensor([picture(width, height, kind)], normalize=normalize, **given)
        assert digest(tensor) == want, given


def test_from_hf_equals_transformers(tmp_path):
    file = tmp_path / "preprocessor_config.json"
    for width, height, kind, want, config in lines("hf.txt"):
        file.write_text(config)
        sources = (config, json.loads(config), file, str(file), tmp_path)
        preprocess, *others = (warpline.Preprocess.from_hf(source) for source in sources)
        assert all(other == preprocess for other in others)
        assert digest(warpline.image_to_tensor([picture(width, height, kind)], preprocess=preprocess)) == want, config


CONFIG = {"image_processor_type": "ViTImageProcessor", "size": {"height": 24, "width": 32}, "resample": 3}


def test_from_hf_with_changes(files):
    vit = warpline.Preprocess.from_hf(CONFIG)
    assert (vit.output_size, vit.dtype, vit.layout) == ((24, 32), "f32", "nchw")
    want = warpline.image_to_tensor(files, preprocess=vit).numpy()
    half = warpline.Preprocess.from_hf(CONFIG, dtype="f16", layout="nhwc")
    for given in (dict(preprocess=half), dict(preprocess=vit, dtype="f16", layout="nhwc")):
        got = warpline.image_to_tensor(files, **given).numpy()
        assert np.array_equal(got, want.astype(np.float16).transpose(0, 2, 3, 1))
    raw = warpline.Preprocess.from_hf({**CONFIG, "do_rescale": False, "do_normalize": False})
    bytes_ = warpline.image_to_tensor(files, preprocess=raw)
    assert bytes_.dtype == "u8"
    floats = warpline.image_to_tensor(files, preprocess=raw, dtype="f32")
    assert np.array_equal(floats.numpy(), bytes_.numpy().astype(np.float32))


@pytest.mark.parametrize(
    "config, what, match",
    [
        ("{", ValueError, "EOF"),
        ({}, ValueError, "image_processor_type"),
        ({**CONFIG, "sizes": 3}, ValueError, "'sizes'"),
        ({**CONFIG, "resample": 9}, ValueError, "'resample'"),
        ({**CONFIG, "do_pad": True}, NotImplementedError, "'do_pad'"),
        ({"image_processor_type": "OwlViTImageProcessor"}, NotImplementedError, "OwlViT.*known are ViT"),
        ({**CONFIG, "size": np.arange(2)}, TypeError, "JSON"),
        ("no/such/folder", FileNotFoundError, "no/such/folder"),
        (3, TypeError, "int is not a configuration: give a dict, JSON text or a path"),
        (None, TypeError, "NoneType is not a configuration"),
    ],
    ids=str,
)
def test_wrong_configurations(config, what, match):
    with pytest.raises(what, match=match):
        warpline.Preprocess.from_hf(config)


def test_a_preprocess_is_its_arguments(files):
    given = dict(resize=40, crop=(16, 24), normalize=([0.5, 0.4, 0.3], 0.25), dtype="bf16")
    preprocess = warpline.Preprocess(**given)
    assert (preprocess.output_size, preprocess.dtype) == ((16, 24), "bf16")
    want = warpline.image_to_tensor(files, **given).numpy()
    assert np.array_equal(warpline.image_to_tensor(files, preprocess=preprocess).numpy(), want)
    given["normalize"][0][0] = 0.6
    changes = dict(horizontal_flip=0.5, ratio=None, seed=2**64 - 1, rescale_factor=1 / 3)
    augmented = warpline.Preprocess.from_hf(CONFIG, **changes)
    for one in (preprocess, augmented):
        for other in (pickle.loads(pickle.dumps(one)), copy.deepcopy(one), eval(repr(one))):
            assert other == one and repr(other) == repr(one) and type(other) is warpline.Preprocess
    assert preprocess != augmented and preprocess != "text" and warpline.Preprocess(**given) != preprocess
    assert warpline.Preprocess().output_size is None


def test_arguments_change_a_preprocess(files):
    evaluation = warpline.Preprocess(resize=40, crop=32, interpolation="bicubic", normalize="clip")
    training = dict(random_resized_crop=32, scale=(0.3, 1), horizontal_flip=0.5, seed=11)
    got = warpline.image_to_tensor(files, preprocess=evaluation, **training)
    want = warpline.image_to_tensor(files, interpolation="bicubic", normalize="clip", **training)
    assert np.array_equal(got.numpy(), want.numpy())
    got = warpline.image_to_tensor(files, preprocess=evaluation, letterbox=(20, 30), fill=114)
    letterbox = dict(letterbox=(20, 30), fill=[114] * 3)
    want = warpline.image_to_tensor(files, interpolation="bicubic", normalize="clip", **letterbox)
    assert np.array_equal(got.numpy(), want.numpy())
    got = warpline.image_to_tensor(files, preprocess=warpline.Preprocess(**training), scale=(0.9, 1.0), ratio=(1, 1))
    want = warpline.image_to_tensor(files, **training | dict(scale=(0.9, 1.0), ratio=(1.0, 1.0)))
    assert np.array_equal(got.numpy(), want.numpy())


def test_rows_keep_their_random_choices(files):
    given = dict(random_resized_crop=16, horizontal_flip=0.5, vertical_flip=0.5, seed=5)
    want = warpline.image_to_tensor(files, **given).numpy()
    order = np.random.default_rng(0).permutation(len(files))
    for ids in (order, order.astype(np.uint64), [int(row) for row in order], tuple(order)):
        got = warpline.image_to_tensor([files[row] for row in order], row_ids=ids, **given)
        assert np.array_equal(got.numpy(), want[order])
    assert not np.array_equal(warpline.image_to_tensor(files, **given | dict(seed=6)).numpy(), want)


def test_smart_resize_and_centering():
    """By transformers' rules in Python: whole multiples within an area, and a centre that rounds down."""
    image = drawing(90, 61, 3)
    file = encode(image, "PNG")
    got = warpline.image_to_tensor([file], smart_resize=(14, 56 * 56, 10**6), dtype="u8", layout="nhwc")
    want = np.asarray(image.resize((round(90 / 14) * 14, round(61 / 14) * 14), 2))
    assert np.array_equal(got.numpy()[0], want)
    for centering, left, top in (("torchvision", 40, 28), ("transformers", 39, 28)):
        got = warpline.image_to_tensor([file], crop=(5, 11), centering=centering, dtype="u8", layout="nhwc")
        assert np.array_equal(got.numpy()[0], np.asarray(image)[top : top + 5, left : left + 11]), centering


def test_rescale_factor(files):
    got = warpline.image_to_tensor(files, crop=8, normalize=(0.5, 0.5), rescale_factor=1 / 256).numpy()
    pixels = np.stack([transform(data, crop=8, dtype="u8") for data in files])
    want = ((pixels.astype(np.float64) * (1 / 256)).astype(np.float32) - np.float32(0.5)) / np.float32(0.5)
    assert np.array_equal(got, want)


@pytest.mark.parametrize(
    "given, what, match",
    [
        (dict(size=3), TypeError, "'size' is no argument; .* resize, fit"),
        (dict(resize=0), ValueError, "resize: 0 is not a number of pixels above 0"),
        (dict(resize=-5), ValueError, "resize: -5"),
        (dict(resize=2**40), ValueError, "resize: 1099511627776"),
        (dict(resize=True), TypeError, "resize: bool"),
        (dict(resize=2.5), TypeError, "resize: float is not a number of pixels"),
        (dict(resize="256"), TypeError, "resize: str"),
        (dict(resize=(1, 2, 3)), ValueError, r"resize: \(1, 2, 3\) is not .*\(height, width\)"),
        (dict(crop=(0, 3)), ValueError, "crop: 0"),
        (dict(letterbox={}), ValueError, "letterbox"),
        (dict(pad=(8, "x")), TypeError, "pad: str"),
        (dict(place="middle", pad=9), ValueError, "place: 'middle' is none of center, top-left"),
        (dict(place="center"), ValueError, "pad or letterbox"),
        (dict(fill=256), ValueError, "fill: 256 is not an integer from 0 to 255"),
        (dict(fill=(1, 2)), ValueError, "fill"),
        (dict(fill="red"), TypeError, "fill: str"),
        (dict(horizontal_flip=1.5), ValueError, "horizontal_flip: 1.5 is not .* probability"),
        (dict(vertical_flip=float("nan")), ValueError, "vertical_flip"),
        (dict(vertical_flip="yes"), TypeError, "vertical_flip"),
        (dict(scale=(0.1, 1)), ValueError, "random_resized_crop: give it too"),
        (dict(random_resized_crop=8, scale=(1, 0.1)), ValueError, "scale: .* lesser first"),
        (dict(random_resized_crop=8, ratio=1), TypeError, "ratio: int"),
        (dict(random_resized_crop=8, crop=8), ValueError, "random_resized_crop and crop exclude each other"),
        (dict(resize=8, letterbox=8), ValueError, "resize and letterbox exclude each other"),
        (dict(letterbox=8, pad=8), ValueError, "letterbox and pad exclude each other"),
        (dict(smart_resize=28), TypeError, "smart_resize: int"),
        (dict(smart_resize=(28, 9, 3)), ValueError, "smart_resize"),
        (dict(seed=-1), ValueError, "seed: -1 is not an integer from 0"),
        (dict(seed="a"), TypeError, "seed: str"),
        (dict(interpolation=3), TypeError, "interpolation: int is not a string"),
        (dict(interpolation="cubic"), ValueError, "interpolation: 'cubic' is none of nearest"),
        (dict(centering="pillow"), ValueError, "centering: 'pillow'"),
        (dict(normalize=0.5), TypeError, "normalize: float"),
        (dict(normalize=(0.5,)), ValueError, "normalize"),
        (dict(normalize=((1, 2), 1)), ValueError, "normalize: .* one number or three"),
        (dict(normalize=(0, 0)), ValueError, "normalize: .* no deviation of which is 0"),
        (dict(rescale_factor="1/255"), TypeError, "rescale_factor: str"),
        (dict(dtype="u8", normalize="clip"), ValueError, "dtype: 'u8' holds raw pixels"),
        (dict(dtype="u8", rescale_factor=1.0), ValueError, "dtype: 'u8' holds raw pixels"),
    ],
    ids=str,
)
def test_wrong_arguments(files, given, what, match):
    for call in (warpline.Preprocess, lambda **given: warpline.image_to_tensor(files, **given)):
        with pytest.raises(what, match=match):
            call(**given)


def test_wrong_rows_and_sizes(files):
    with pytest.raises(ValueError, match="2 row ids for 3 rows"):
        warpline.image_to_tensor(files[:3], crop=8, row_ids=[1, 2])
    with pytest.raises(TypeError, match="row_ids: int is not a sequence"):
        warpline.image_to_tensor(files[:3], crop=8, row_ids=3)
    with pytest.raises(ValueError, match="row_ids: -1"):
        warpline.image_to_tensor(files[:1], crop=8, row_ids=[-1])
    with pytest.raises(TypeError, match="preprocess"):
        warpline.image_to_tensor(files[:1], preprocess=CONFIG)
    with pytest.raises(ValueError, match="canvas"):
        warpline.image_to_tensor(files[:1], crop=8, pad=4)
    with pytest.raises(ValueError, match="whole blocks of 14"):
        warpline.image_to_tensor(files[:1], crop=30, layout="patches:14")
