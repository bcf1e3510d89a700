"""Exact, fast image preprocessing without PyTorch.

    import warpline

    tensor = warpline.image_to_tensor(files, resize=256, crop=224)   # [N, 3, 224, 224], float32
    array = tensor.numpy()                                           # no copy; or torch.from_dlpack(tensor)

    vit = warpline.Preprocess.from_hf("preprocessor_config.json")
    tensor = warpline.image_to_tensor(files, preprocess=vit)

JPEG decode equals libjpeg-turbo, PNG and WebP decode equal Pillow 12, resize equals Pillow 12, normalise equals
torchvision, configurations give what transformers gives: bit for bit. Input is a pyarrow binary array, anything with the
Arrow PyCapsule interface, or a list of bytes.
"""

from warpline._native import (
    ImageError,
    Images,
    Pixels,
    Preprocess,
    RowError,
    Tensor,
    __version__,
    decode_image,
    image_to_tensor,
)

__all__ = [
    "ImageError",
    "Images",
    "Pixels",
    "Preprocess",
    "RowError",
    "Tensor",
    "__version__",
    "decode_image",
    "image_to_tensor",
]
