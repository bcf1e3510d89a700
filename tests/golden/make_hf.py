#!/usr/bin/env python3
"""Golden answers for `Preprocess::from_hf`, by transformers' own slow image processors (pip install 'transformers<5').

    python3 make_hf.py > hf.txt

A line is WIDTH HEIGHT PATTERN DIGEST CONFIG: an image as make_resize.py makes it, the SHA-256 of the little-endian bytes of
`pixel_values` and the text of a preprocessor_config.json without spaces.
"""
import hashlib
import json
import warnings

import numpy as np
import transformers

from make_resize import pattern

warnings.filterwarnings("ignore")
CLIP = {"image_mean": [0.48145466, 0.4578275, 0.40821073], "image_std": [0.26862954, 0.26130258, 0.27577711]}
IMAGENET = {"image_mean": [0.485, 0.456, 0.406], "image_std": [0.229, 0.224, 0.225]}


def configs():
    """As models on the hub have them, with smaller sizes, and every key with another value than its default."""
    vit = {"image_processor_type": "ViTImageProcessor"}
    yield {**vit, "size": 48}
    yield {**vit, "size": {"height": 40, "width": 56}, "resample": 3, "do_convert_rgb": None}
    yield {**vit, "size": [40, 56], "resample": 0, **IMAGENET}
    yield {**vit, "size": {"height": 31, "width": 33}, "do_rescale": False}
    yield {**vit, "size": {"height": 31, "width": 33}, "do_rescale": False, "do_normalize": False}
    yield {**vit, "size": {"height": 31, "width": 33}, "do_normalize": False, "resample": 1}
    yield {**vit, "do_resize": False, "rescale_factor": 0.00784313725490196, "image_mean": 1.0, "image_std": 1.0}
    yield {"feature_extractor_type": "ViTFeatureExtractor", "size": 32, "resample": 4}
    deit = {"image_processor_type": "DeiTImageProcessor"}
    yield {**deit, "size": 51, "crop_size": 40, **IMAGENET}
    yield {**deit, "size": {"height": 30, "width": 60}, "crop_size": {"height": 43, "width": 41}, "do_center_crop": True}
    clip = {"image_processor_type": "CLIPImageProcessor", **CLIP}
    yield {**clip, "size": 48, "crop_size": 48, "do_center_crop": True, "resample": 3}
    yield {**clip, "size": {"shortest_edge": 51}, "crop_size": {"height": 48, "width": 45}, "do_convert_rgb": True}
    yield {**clip, "size": {"shortest_edge": 33}, "crop_size": {"height": 48, "width": 40}, "resample": 5}
    yield {**clip, "size": {"height": 33, "width": 44}, "do_center_crop": False}
    yield {**clip, "size": {"shortest_edge": 20}, "crop_size": 9, "rescale_factor": 0.00390625}
    yield {**clip, "do_resize": False, "crop_size": 60}
    bit = {"image_processor_type": "BitImageProcessor"}
    yield {**bit, "size": {"shortest_edge": 58}, "crop_size": {"height": 50, "width": 50}, **IMAGENET}
    yield {**bit, "size": {"shortest_edge": 30}, "crop_size": 30}
    convnext = {"image_processor_type": "ConvNextImageProcessor"}
    yield {**convnext, "size": {"shortest_edge": 48}, "crop_pct": 0.875, "resample": 3, **IMAGENET}
    yield {**convnext, "size": 45, "crop_pct": 0.95}
    yield {**convnext, "size": {"shortest_edge": 48}}
    yield {**convnext, "size": {"shortest_edge": 384}, "crop_pct": 0.9}
    siglip = {"image_processor_type": "SiglipImageProcessor", "processor_class": "SiglipProcessor"}
    yield {**siglip, "size": {"height": 48, "width": 48}, "resample": 3, "rescale_factor": 0.00392156862745098}
    yield {"image_processor_type": "BlipImageProcessor", "size": {"height": 36, "width": 48}}
    qwen = {"image_processor_type": "Qwen2VLImageProcessor", **CLIP}
    yield {**qwen, "min_pixels": 3136, "max_pixels": 12845056, "patch_size": 14, "temporal_patch_size": 2, "merge_size": 2}
    yield {**qwen, "min_pixels": 784, "max_pixels": 4000}
    yield {**qwen, "min_pixels": 20000, "max_pixels": 40000, "patch_size": 16, "temporal_patch_size": 1, "merge_size": 1}
    yield {**qwen, "min_pixels": 64, "max_pixels": 900, "patch_size": 4, "temporal_patch_size": 3, "merge_size": 3}


def slow(config):
    """The slow processor of this configuration."""
    name = config.get("image_processor_type") or config["feature_extractor_type"].replace("FeatureExtractor", "ImageProcessor")
    kinds = ("image_processor_type", "feature_extractor_type", "processor_class")
    return getattr(transformers, name).from_dict({key: value for key, value in config.items() if key not in kinds})


def main():
    assert transformers.__version__.split(".")[0] == "4", transformers.__version__
    for config in configs():
        for width, height in [(100, 75), (61, 94), (50, 50)]:
            values = slow(config).preprocess(pattern(width, height, "noise"), return_tensors="np")["pixel_values"]
            values = np.ascontiguousarray(values if "Qwen" in str(config) else values[0])
            digest = hashlib.sha256(values.astype(values.dtype.newbyteorder("<")).tobytes()).hexdigest()
            print(width, height, "noise", digest, json.dumps(config, separators=(",", ":")))


main()
