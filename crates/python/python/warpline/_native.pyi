"""Types of the native module; import them from `warpline`."""

from collections.abc import Iterable
from typing import Any, Literal, Protocol

import numpy as np
import numpy.typing as npt

__version__: str

class _ArrowArray(Protocol):
    def __arrow_c_array__(self, requested_schema: object | None = None) -> tuple[object, object]: ...

class _ArrowStream(Protocol):
    def __arrow_c_stream__(self, requested_schema: object | None = None) -> object: ...

_Encoded = _ArrowArray | _ArrowStream | Iterable[bytes | bytearray | memoryview | None]
_Channels = float | tuple[float, float, float]

class ImageError(ValueError):
    """An image that cannot be decoded, under on_error="fail"."""

    row: int
    """Its place in the input."""
    code: str
    """truncated, bad_huffman, unsupported, too_large, not_an_image or corrupt."""
    message: str
    """What was wrong, in one line."""

class RowError:
    """A row of the input that could not be decoded."""

    @property
    def row(self) -> int: ...
    @property
    def code(self) -> str: ...
    @property
    def message(self) -> str: ...

class Tensor:
    """Images of one size and type, as a model takes them.

    `numpy.asarray(tensor)` and `torch.from_dlpack(tensor)` share its memory; `pyarrow.array(tensor)` gives an
    arrow.fixed_shape_tensor array, which must not be changed through the others.
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
    def numpy(self) -> npt.NDArray[Any]:
        """The tensor as a NumPy array, without a copy. bfloat16 comes as its bits, in uint16."""
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

class Pixels:
    """The pixels of one image: height x width x 3 bytes, read-only."""

    @property
    def shape(self) -> tuple[int, int, int]:
        """Height, width and 3."""
    @property
    def __array_interface__(self) -> dict[str, Any]: ...
    def numpy(self) -> npt.NDArray[np.uint8]:
        """The pixels as a NumPy array, without a copy and read-only."""
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

class Images:
    """Decoded RGB images of any sizes; a sequence of `Pixels`, None where an image is missing."""

    @property
    def sizes(self) -> list[tuple[int, int] | None]:
        """Height and width of each image; None where there is none."""
    @property
    def errors(self) -> list[RowError]:
        """The rows of the input that could not be decoded."""
    def __len__(self) -> int: ...
    def __getitem__(self, row: int) -> Pixels | None: ...
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

    array: a pyarrow binary, large_binary or binary_view array (chunked too), anything with `__arrow_c_array__`, or bytes
        objects; None and nulls give None. The encoded bytes are not copied.
    device: where to decode: "auto" (the first GPU, or the host), "host" or "cuda:N". A device decodes sequential JPEGs,
        the host the rest; the result comes back to the host, and is the same.
    on_error: "fail" raises ImageError for the first image that cannot be decoded; "null" gives None and lists it in
        `errors`.
    exif_orientation: turn images upright, as `PIL.ImageOps.exif_transpose`.
    max_pixels: larger images are errors (`too_large`), before anything is allocated.

    The interpreter's lock is released; images are decoded by all cores (RAYON_NUM_THREADS sets their number).
    """

def image_to_tensor(
    array: _Encoded,
    *,
    resize: int | tuple[int, int] | None = None,
    crop: int | tuple[int, int] | None = None,
    interpolation: Literal["nearest", "box", "bilinear", "hamming", "bicubic", "lanczos"] = "bilinear",
    normalize: str | tuple[_Channels, _Channels] | None = None,
    dtype: Literal["f32", "f16", "bf16", "u8"] = "f32",
    layout: str = "nchw",
    on_error: Literal["fail", "null", "skip"] = "fail",
    device: str = "auto",
    exif_orientation: bool = False,
    max_pixels: int = 178_956_970,
) -> Tensor:
    """Decodes images, resizes, crops and normalises them into one tensor, equal to Pillow 12 and torchvision.

    array, exif_orientation, max_pixels: as in `decode_image`.
    resize: a length for the shorter side, as torchvision's Resize(int), or (height, width). None keeps the size.
    crop: the side of a centre crop, or (height, width); a smaller image is padded with black. Without a crop or an exact
        size all images must come out at one size.
    interpolation: Pillow's filters, with antialiasing.
    normalize: "imagenet", "clip", "none" (0 to 1), or (mean, std) of values from 0 to 1, each a number or three. None is
        "imagenet", with dtype "u8" "none".
    dtype: element type. "u8" are the pixel bytes.
    layout: "nchw", "nhwc", or patches as "patches:14,merge=2,temporal=2".
    on_error: "fail" raises ImageError for the first image that cannot be decoded; "null" gives zeros, with False in
        `valid`; "skip" leaves the row out, and `rows` tells which are there. Nulls of the input stay, as zeros. The words
        are those of the command `warpline run`.
    device: where to decode, resize and normalise: "auto" (the first GPU, or the host), "host" or "cuda:N". The result
        comes back to the host, and is the same.

    Raises ImageError as above, ValueError for arguments that do not fit, TypeError for an array of another kind,
    RuntimeError where a device is missing, MemoryError where its memory does not suffice.
    """
