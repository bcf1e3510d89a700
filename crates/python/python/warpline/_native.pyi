"""Types of the native module; import them from `warpline`."""

from collections.abc import Iterable, Mapping, Sequence
from os import PathLike
from typing import Any, Literal, Protocol, TypedDict, final

import numpy as np
import numpy.typing as npt
from typing_extensions import Unpack

__version__: str

class _ArrowArray(Protocol):
    def __arrow_c_array__(self, requested_schema: object | None = None) -> tuple[object, object]: ...

class _ArrowStream(Protocol):
    def __arrow_c_stream__(self, requested_schema: object | None = None) -> object: ...

_Encoded = _ArrowArray | _ArrowStream | Iterable[bytes | bytearray | memoryview | None]
_Channels = float | Sequence[float]
_Size = int | Sequence[int]

class _Options(TypedDict, total=False):
    random_resized_crop: _Size | None
    scale: Sequence[float] | None
    ratio: Sequence[float] | None
    resize: _Size | None
    fit: _Size | None
    letterbox: _Size | None
    smart_resize: Sequence[int] | None
    crop: _Size | None
    centering: Literal["torchvision", "transformers"] | None
    pad: _Size | None
    place: Literal["center", "top-left", "top-right", "bottom-left", "bottom-right"] | None
    fill: int | Sequence[int] | None
    horizontal_flip: bool | float | None
    vertical_flip: bool | float | None
    seed: int | None
    interpolation: Literal["nearest", "box", "bilinear", "hamming", "bicubic", "lanczos"] | None
    normalize: str | tuple[_Channels, _Channels] | None
    rescale_factor: float | None
    dtype: Literal["f32", "f16", "bf16", "u8"] | None
    layout: str | None

class ImageError(ValueError):
    """An image that cannot be decoded, under on_error="fail"."""

    row: int
    """Its place in the input."""
    code: str
    """truncated, bad_huffman, unsupported, too_large, not_an_image or corrupt."""
    message: str
    """What was wrong, in one line."""

@final
class Preprocess:
    """What happens to images before a model sees them: made once, used for any number of batches, pickled to workers.

        >>> evaluation = warpline.Preprocess(resize=40, crop=32, normalize="clip", dtype="f16")
        >>> evaluation.output_size
        (32, 32)
        >>> warpline.image_to_tensor(files[:2], preprocess=evaluation).shape
        [2, 3, 32, 32]

    The steps, in this order, each only where it is asked for. Sizes are one number for both sides, or (height,
    width); None is as good as absent.

    random_resized_crop: a random part of the image at this size, as torchvision's RandomResizedCrop. `scale` is the
        least and the greatest share of the area (default 0.08, 1), `ratio` those of width by height (default 3/4,
        4/3).
    resize: the length of the shorter side, as torchvision's Resize(int), or (height, width).
    fit: the largest size that fits into this one, as Pillow's ImageOps.contain.
    letterbox: `fit`, on a canvas of this size, as Pillow's ImageOps.pad.
    smart_resize: (factor, min_pixels, max_pixels), as Qwen2-VL's image processor: sides are multiples of `factor`.
    crop: a centre crop. A smaller image is padded. `centering` is how it rounds: "torchvision" (default) or
        "transformers".
    pad: a canvas of this size, which must hold the image. `place` is where the image lies on it: "center"
        (default), "top-left", "top-right", "bottom-left" or "bottom-right".
    horizontal_flip, vertical_flip: True, or a probability.
    normalize: "imagenet" (default; with dtype "u8" "none"), "clip", "none" (0 to 1), or (mean, std) of values from
        0 to 1, each a number or three.
    dtype: "f32" (default), "f16", "bf16", or "u8" for the pixel bytes.
    layout: "nchw" (default), "nhwc", or patches, as vision transformers take them: "patches:14,merge=2,temporal=2"
        is Qwen2-VL's order; ",channels=last" keeps a pixel's channels together.

    fill: red, green and blue of padding, or one number. Black by default.
    interpolation: "nearest", "box", "bilinear" (default), "hamming", "bicubic" or "lanczos": Pillow's, with
        antialiasing.
    rescale_factor: bytes are multiplied with it, as transformers does, and not divided by 255, as torchvision does.
    seed: of random crops and flips. They depend on it and on the row's id alone: see `row_ids` of
        `image_to_tensor`.

    Raises TypeError for a value of the wrong kind and ValueError for one that does not fit; the message names the
    argument.
    """

    def __new__(cls, **options: Unpack[_Options]) -> Preprocess: ...
    @staticmethod
    def from_hf(config: Mapping[str, Any] | str | PathLike[str], /, **options: Unpack[_Options]) -> Preprocess:
        """What an image processor of Hugging Face's transformers does, changed by the options.

            >>> config = {"image_processor_type": "ViTImageProcessor", "size": 224, "resample": 3}
            >>> vit = warpline.Preprocess.from_hf(config, dtype="bf16")
            >>> vit.output_size, vit.dtype
            ((224, 224), 'bf16')

        config: a dict, the text of a preprocessor_config.json, its path, or the folder that holds it.
        options: those of `Preprocess`; what is not given stays as the configuration says.

        Bit for bit what the slow processors (PIL and NumPy, `use_fast=False`) give: ViT, DeiT, CLIP, Bit, ConvNext,
        Siglip, Blip and Qwen2VL. The tensor is "f32" where the options do not say otherwise, or "u8" where the
        configuration neither rescales nor normalises.

        Raises ValueError for a key that is unknown or does not fit, NotImplementedError for another processor and
        for do_pad, OSError for a file that cannot be read; the message names the key or the file.
        """
    @property
    def output_size(self) -> tuple[int, int] | None:
        """Height and width of every image, where they do not depend on the image."""
    @property
    def dtype(self) -> Literal["f32", "f16", "bf16", "u8"]:
        """Element type."""
    @property
    def layout(self) -> str:
        """Order of the axes behind the first."""
    def __eq__(self, other: object, /) -> bool: ...

@final
class RowError:
    """A row of the input that could not be decoded."""

    @property
    def row(self) -> int:
        """Its place in the input."""
    @property
    def code(self) -> str:
        """Short stable code."""
    @property
    def message(self) -> str:
        """What was wrong, in one line."""

@final
class Tensor:
    """Images of one size and type, as a model takes them.

        >>> tensor = warpline.image_to_tensor([files[0], None], crop=32, dtype="f16")
        >>> tensor.shape, tensor.dtype, tensor.layout, tensor.valid
        ([2, 3, 32, 32], 'f16', 'nchw', [True, False])

    On the host `numpy.asarray(tensor)` and `torch.from_dlpack(tensor)` share its memory; `pyarrow.array(tensor)`
    gives an arrow.fixed_shape_tensor array, which must not be changed through the others. On a device libraries for
    it share its memory by DLPack, and `numpy()` and `to_host()` copy; what would copy unasked raises TypeError.
    """

    @property
    def shape(self) -> list[int]:
        """Lengths of the axes: images first, then those of the layout."""
    @property
    def dtype(self) -> Literal["f32", "f16", "bf16", "u8"]:
        """Element type."""
    @property
    def layout(self) -> str:
        """Order of the axes behind the first."""
    @property
    def valid(self) -> list[bool]:
        """For each image whether there is one; the elements of the others are zero."""
    @property
    def rows(self) -> list[int]:
        """For each image the row of the input that it came from."""
    @property
    def errors(self) -> list[RowError]:
        """The rows of the input that could not be decoded."""
    @property
    def __array_interface__(self) -> dict[str, Any]: ...
    @property
    def device(self) -> str:
        """Where the elements are: "host" or "cuda:N"."""
    def to_host(self) -> Tensor:
        """The tensor on the host: itself, or a copy from the device."""
    def numpy(self) -> npt.NDArray[Any]:
        """The tensor as a NumPy array, without a copy on the host, with one from a device. bfloat16 comes as its
        bits, in uint16."""
    def __array__(self, dtype: npt.DTypeLike | None = None, copy: bool | None = None) -> npt.NDArray[Any]: ...
    def __dlpack__(
        self,
        *,
        stream: object | None = None,
        max_version: tuple[int, int] | None = None,
        dl_device: tuple[int, int] | None = None,
        copy: bool | None = None,
    ) -> object: ...
    def __dlpack_device__(self) -> tuple[int, int]: ...
    def __arrow_c_array__(self, requested_schema: object | None = None) -> tuple[object, object]: ...
    def __len__(self) -> int: ...

@final
class Pixels:
    """The pixels of one image: height x width x 3 bytes, read-only."""

    @property
    def shape(self) -> tuple[int, int, int]:
        """Height, width and 3."""
    @property
    def __array_interface__(self) -> dict[str, Any]: ...
    @property
    def device(self) -> str:
        """Where the pixels are: "host" or "cuda:N"."""
    def to_host(self) -> Pixels:
        """The pixels on the host: themselves, or a copy from the device."""
    def numpy(self) -> npt.NDArray[np.uint8]:
        """The pixels as a NumPy array, read-only; without a copy on the host, with one from a device."""
    def __array__(self, dtype: npt.DTypeLike | None = None, copy: bool | None = None) -> npt.NDArray[Any]: ...
    def __dlpack__(
        self,
        *,
        stream: object | None = None,
        max_version: tuple[int, int] | None = None,
        dl_device: tuple[int, int] | None = None,
        copy: bool | None = None,
    ) -> object: ...
    def __dlpack_device__(self) -> tuple[int, int]: ...
    def __len__(self) -> int: ...

@final
class Images:
    """Decoded RGB images of any sizes; a sequence of `Pixels`, None where an image is missing.

        >>> images = warpline.decode_image([files[0], b"no image"], on_error="null")
        >>> len(images), images[1], images.errors[0].code
        (2, None, 'not_an_image')
        >>> pyarrow.array(images).type.names
        ['data', 'width', 'height']

    On a device each item is there too: `to_host()` copies all of them at once.
    """

    @property
    def sizes(self) -> list[tuple[int, int] | None]:
        """Height and width of each image; None where there is none."""
    @property
    def errors(self) -> list[RowError]:
        """The rows of the input that could not be decoded."""
    @property
    def device(self) -> str:
        """Where the pixels are: "host" or "cuda:N"."""
    def to_host(self) -> Images:
        """The images on the host: themselves, or a copy of all from the device."""
    def __len__(self) -> int: ...
    def __getitem__(self, row: int, /) -> Pixels | None: ...
    def __arrow_c_array__(self, requested_schema: object | None = None) -> tuple[object, object]: ...

def decode_image(
    array: _Encoded,
    *,
    device: str = "auto",
    on_error: Literal["fail", "null"] = "fail",
    exif_orientation: bool = False,
    max_pixels: int = 178_956_970,
) -> Images:
    """Decodes JPEG, PNG and WebP images to RGB, equal to Pillow's `Image.open(f).convert("RGB")`.

        >>> images = warpline.decode_image(files[:2])
        >>> images[0].numpy().shape, images.sizes
        ((48, 64, 3), [(48, 64), (48, 64)])

    array: a pyarrow binary, large_binary or binary_view array (chunked too), anything with `__arrow_c_array__`, or
        bytes objects; None and nulls give None. The encoded bytes are not copied.
    device: where to decode, and where the images are: "auto" (the first GPU, or the host), "host" or "cuda:N". A
        device decodes sequential JPEGs, the host the rest, whose pixels are copied there. The pixels are the same.
    on_error: "fail" raises ImageError for the first image that cannot be decoded; "null" gives None and lists it in
        `errors`.
    exif_orientation: turn images upright, as `PIL.ImageOps.exif_transpose`.
    max_pixels: larger images are errors (`too_large`), before anything is allocated.

    The interpreter's lock is released; images are decoded by all cores (RAYON_NUM_THREADS sets their number).
    """

def image_to_tensor(
    array: _Encoded,
    *,
    preprocess: Preprocess | None = None,
    row_ids: Iterable[int] | None = None,
    on_error: Literal["fail", "null", "skip"] = "fail",
    device: str = "auto",
    exif_orientation: bool = False,
    max_pixels: int = 178_956_970,
    **options: Unpack[_Options],
) -> Tensor:
    """Decodes images, resizes, crops and normalises them into one tensor, equal to Pillow 12 and torchvision.

        >>> tensor = warpline.image_to_tensor(files[:2], resize=40, crop=32)
        >>> tensor.numpy().shape
        (2, 3, 32, 32)
        >>> train = dict(random_resized_crop=32, horizontal_flip=0.5)
        >>> epochs = [warpline.image_to_tensor(files, seed=epoch, **train) for epoch in range(2)]
        >>> boxed = warpline.image_to_tensor(files, letterbox=(32, 48), fill=114, dtype="u8", layout="nhwc")
        >>> boxed.shape[1:]
        [32, 48, 3]

    array, exif_orientation, max_pixels: as in `decode_image`.
    options: those of `Preprocess`: random_resized_crop, scale, ratio, resize, fit, letterbox, smart_resize, crop,
        centering, pad, place, fill, horizontal_flip, vertical_flip, seed, interpolation, normalize, rescale_factor,
        dtype, layout. Without a size for all, images must come out at one size.
    preprocess: a `Preprocess` to start from; options change it for this call.
    row_ids: an integer for each row, by which random choices know it: a row keeps its choices in any batch and
        order if its id and the seed stay. By default the row's number in `array`.
    on_error: "fail" raises ImageError for the first image that cannot be decoded; "null" gives zeros, with False in
        `valid`; "skip" leaves the row out, and `rows` tells which are there. Nulls of the input stay, as zeros. The
        words are those of the command `warpline run`.
    device: where to decode, resize and normalise, and where the tensor is: "auto" (the first GPU, or the host),
        "host" or "cuda:N". The elements are the same. Work on a device goes on when this returns; whoever takes the
        tensor waits for it.

    The interpreter's lock is released; all cores work (RAYON_NUM_THREADS sets their number).

    Raises ImageError as above, ValueError for arguments that do not fit, TypeError for a value or an array of
    another kind, RuntimeError where a device is missing, MemoryError where its memory does not suffice.
    """
