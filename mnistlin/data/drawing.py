"""A drawing or a photo, read from a file and converted to the form of the training images.

MNIST's digits were black-and-white scans. They were scaled to fit into a box of 20 x 20 pixels with
their aspect ratio kept, which gave them grey edges, and placed in 28 x 28 pixels by their centre of
mass (LeCun, Cortes and Burges, http://yann.lecun.com/exdb/mnist/). In the published files that
centre is always within pixel (14, 14), counted from 0. Fashion-MNIST's clothes fill 28 x 28 pixels
along their longer side, and their outline is in the middle (Xiao, Rasul and Vollgraf,
https://arxiv.org/abs/1708.07747, section 2).
"""

import warnings
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import scipy
from numpy.typing import NDArray

from mnistlin.errors import DataError

if TYPE_CHECKING:
    from PIL.Image import Image

MAX_BYTES = 50_000_000
MAX_PIXELS = 50_000_000
_WORKING_SIDE = 600
"""An image with a side of twice this many pixels or more is averaged over blocks of pixels."""

_BOX_PART = 20 / 28
"""The fraction of an image's height and width that a digit may fill."""

_FLAT, _FLAT_PART = 2.0, 0.75
"""In a drawing, this fraction of the border is within this many grey levels of the paper."""

_MIN_CONTRAST = 12.0
"""Minimum difference between ink and paper, in grey levels."""

_FAINT = 0.1
"""Ink below this is ignored where the outline of the digit is found."""

_EDGE_PIXELS = 0.75
"""How far inside its outermost ink, in pixels of the result, a digit is taken to have full ink."""

_LINE_PART = 0.4
"""On a photo, ink below this fraction of the strokes' ink is a printed line or a shadow."""

_SPECK_PART = 0.05
"""On a photo, marks with less than this fraction of the largest mark's ink are dirt."""

_MARK_PART, _MARK_INK = 0.1, 50.0
"""A mark counts if its pixels above this value have this fraction of all ink."""


def read_image(path: str | Path) -> NDArray[np.float64]:
    """Read a PNG or JPEG file as grey levels.

    EXIF rotation is applied. What is transparent becomes white, or black if the visible part is
    light. An image with a side of 1200 pixels or more is reduced to 600 to 1199 pixels.

    Parameters
    ----------
    path : str or Path
        The file.

    Returns
    -------
    ndarray of shape (height, width)
        Luminance from 0 (black) to 255 (white), by the ITU-R 601-2 weights.

    Raises
    ------
    DataError
        If there is no such file, it is no readable PNG or JPEG, or it has more than 50 MB or more
        than 50 megapixels.
    """
    from PIL import Image, ImageOps  # noqa: PLC0415 (kept out of start-up)

    path = Path(path)
    _check_file(path)
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", Image.DecompressionBombWarning)  # checked below
            with Image.open(path, formats=("PNG", "JPEG")) as image:
                width, height = image.size
                if width * height <= MAX_PIXELS:
                    return _grey_levels(ImageOps.exif_transpose(image))
    except Image.DecompressionBombError:
        raise _too_large(path, "") from None
    except Exception as error:  # a damaged file makes Pillow's decoders raise almost anything
        raise DataError(
            f"{path} cannot be read as an image ({error}); it must be a PNG or JPEG file"
        ) from None
    raise _too_large(path, f" ({width:,} x {height:,})")


def find_ink(grey: NDArray[np.float64], *, invert: bool | None = None) -> NDArray[np.float64]:
    """Separate ink from paper.

    The border shows the paper. If it is of one colour, the image is a drawing, and its strongest
    ink is 1. Otherwise it is a photo: the light on the paper is fitted by a quadratic surface and
    subtracted, noise, small specks and what is much fainter than the strokes, such as printed lines
    and shadows, are removed, and the middle one of all ink levels is 1.

    Parameters
    ----------
    grey : ndarray of shape (height, width)
        Grey levels, 0 (black) to 255 (white).
    invert : bool, optional
        Whether ink is darker than paper. None decides by which differ more from the paper.

    Returns
    -------
    ndarray of shape (height, width)
        From 0 (paper) to 1 (ink); all 0 if nothing differs enough from the paper.
    """
    is_drawing = not is_photo(grey)
    difference = grey - (np.median(_border(grey)) if is_drawing else _paper_surface(grey))
    if invert is None:
        invert = bool((difference**3).sum() < 0)
    ink = -difference if invert else difference
    low, high = (0.0, float(ink.max())) if is_drawing else _levels(ink)
    if high - low < _MIN_CONTRAST:
        return np.zeros_like(ink)
    ink = np.clip((ink - low) / (high - low), 0.0, 1.0)
    return ink if is_drawing else _without_specks(ink)


def is_photo(grey: NDArray[np.float64]) -> bool:
    """Return whether the border of an image, (height, width), is of several grey levels."""
    border = _border(grey)
    return bool(np.mean(np.abs(border - np.median(border)) <= _FLAT) < _FLAT_PART)


def reaches_border(ink: NDArray[np.float64]) -> bool:
    """Return whether ink, from 0 to 1, is found at the border of an image, (height, width)."""
    return bool((_border(ink) > _FAINT).any())


def light_on_dark(grey: NDArray[np.float64], *, invert: bool | None = None) -> NDArray[np.float64]:
    """Return an image in the form of the training images, inverted if most of its border is light.

    `invert` decides instead of the border.
    """
    is_inverted = np.median(_border(grey)) > 127.5 if invert is None else invert
    return 255 - grey if is_inverted else grey


def to_training_form(
    ink: NDArray[np.float64], image_shape: tuple[int, int], *, fills_image: bool = False
) -> NDArray[np.float64]:
    """Scale and place ink as MNIST's digits are, or Fashion-MNIST's clothes, by averaging areas.

    The result's pixels are squares of the size that makes a digit fit into 20/28 of the height
    and of the width. Their values are exact area averages, and the digit's centre of mass is moved
    to the centre of pixel (height // 2, width // 2): neither values nor positions are rounded.

    Parameters
    ----------
    ink : ndarray of shape (height, width)
        From 0 (paper) to 1 (ink).
    image_shape : tuple of int
        Height and width of the result in pixels; (28, 28) for MNIST.
    fills_image : bool
        Whether to fill the whole height or width, with the outline in the middle.

    Returns
    -------
    ndarray of shape image_shape
        Pixel values from 0 to 255.
    """
    if not (ink > _FAINT).any():
        return np.zeros(image_shape)
    box_part = 1.0 if fills_image else _BOX_PART
    digit = ink[_extents(ink, box_part * max(image_shape))]
    scale = min(
        box_part * side / length for side, length in zip(image_shape, digit.shape, strict=True)
    )
    down, across = (
        _overlaps(len(profile), scale, side, _start(profile, scale, side, fills_image))
        for profile, side in zip((digit.sum(axis=1), digit.sum(axis=0)), image_shape, strict=True)
    )
    pixels: NDArray[np.float64] = 255 * (down @ digit @ across.T)
    return pixels


def count_marks(pixels: NDArray[np.float64]) -> int:
    """Return how many separate marks an image in MNIST's form has; 0 if it is empty.

    Marks less than two pixels apart are one, as where the bar of a 5 does not touch its body.

    Parameters
    ----------
    pixels : ndarray of shape (height, width)
        Pixel values, 0 to 255.
    """
    touching = scipy.ndimage.maximum_filter(pixels, 3) > _MARK_INK
    labels, n_marks = scipy.ndimage.label(touching, np.ones((3, 3)))
    ink = np.bincount(labels.ravel(), pixels.ravel(), n_marks + 1)[1:]
    return int((ink > _MARK_PART * pixels.sum()).sum())


def _border(image: NDArray[np.float64]) -> NDArray[np.float64]:
    return np.concatenate([image[0], image[-1], image[:, 0], image[:, -1]])


def _check_file(path: Path) -> None:
    try:
        is_file, n_bytes = path.is_file(), path.stat().st_size
    except (OSError, ValueError) as error:  # ValueError: a NUL in the path
        raise DataError(f"{path} cannot be read: {getattr(error, 'strerror', error)}") from None
    if not is_file:
        raise DataError(f"{path} is not a file; name a PNG or JPEG file")
    if n_bytes > MAX_BYTES:
        raise DataError(
            f"{path} has {n_bytes / 1e6:,.0f} MB; an image may have {MAX_BYTES // 10**6} MB, "
            "so save it smaller"
        )


def _too_large(path: Path, size: str) -> DataError:
    return DataError(
        f"{path} has too many pixels{size}; an image may have {MAX_PIXELS // 10**6} megapixels, "
        "so scale it down"
    )


def _grey_levels(image: "Image") -> NDArray[np.float64]:
    """Return luminance, averaged over blocks if the image is large, without rounding."""
    if image.mode.startswith("I"):  # grey levels of 16 bits
        return _reduced(image.convert("F")) / 257
    if not image.has_transparency_data:
        return _reduced(image.convert("RGB").convert("F"))
    rgba = image.convert("RGBA")
    grey = _reduced(rgba.convert("RGB").convert("F"))
    opacity = _reduced(rgba.getchannel("A").convert("F"))
    is_light = (grey * opacity).sum() > 127.5 * opacity.sum()
    return (grey * opacity + (0.0 if is_light else 255.0) * (255 - opacity)) / 255


def _reduced(image: "Image") -> NDArray[np.float64]:
    return np.asarray(image.reduce(max(1, max(image.size) // _WORKING_SIDE)), np.float64)


def _paper_surface(grey: NDArray[np.float64]) -> NDArray[np.float64]:
    """Return the grey level that paper has at each pixel: a quadratic, fitted without the ink."""
    height, width = grey.shape
    y, x = np.meshgrid(np.linspace(-1, 1, height), np.linspace(-1, 1, width), indexing="ij")
    terms = np.stack([np.ones_like(x), x, y, x * x, x * y, y * y], axis=-1)
    step = max(1, min(height, width) // 100)  # 100 pixels a side are plenty for six numbers
    A, b = terms[::step, ::step].reshape(-1, 6), grey[::step, ::step].ravel()
    is_paper = np.ones(len(b), bool)
    for _ in range(10):
        c = np.linalg.lstsq(A[is_paper], b[is_paper], rcond=None)[0]
        residual = np.abs(b - A @ c)
        is_paper = residual <= 2.5 * _spread(residual[is_paper]) + 1e-9
    surface: NDArray[np.float64] = terms @ c
    return surface


def _levels(ink: NDArray[np.float64]) -> tuple[float, float]:
    """Return the level below which ink is noise, and the level of the strokes themselves."""
    threshold = _otsu(np.clip(ink, 0.0, None))
    noise = _spread(np.abs(ink[ink <= threshold]))
    strokes = ink[ink > threshold]
    high = float(np.median(strokes)) if len(strokes) else 0.0
    return max(3 * noise, _LINE_PART * high), high


def _spread(deviations: NDArray[np.float64]) -> float:
    """Return the standard deviation of normal noise that has these absolute deviations."""
    return 1.4826 * float(np.median(deviations))


def _otsu(values: NDArray[np.float64]) -> float:
    """Return the threshold that separates two classes best (Otsu 1979)."""
    counts, edges = np.histogram(values, 256)
    centres = (edges[1:] + edges[:-1]) / 2
    n_below = counts.cumsum()
    n_above = n_below[-1] - n_below
    sum_below = (counts * centres).cumsum()
    with np.errstate(divide="ignore", invalid="ignore"):
        gap = sum_below / n_below - (sum_below[-1] - sum_below) / n_above
    between = np.nan_to_num(n_below * n_above * gap**2)
    return float(edges[1 + between.argmax()])


def _without_specks(ink: NDArray[np.float64]) -> NDArray[np.float64]:
    labels, n_marks = scipy.ndimage.label(ink > 0, np.ones((3, 3)))
    mass = np.bincount(labels.ravel(), ink.ravel(), n_marks + 1)
    return np.where((mass >= _SPECK_PART * mass.max())[labels], ink, 0.0)


def _extents(ink: NDArray[np.float64], n_pixels: float) -> tuple[slice, slice]:
    """Return the rows and columns that hold the digit.

    Blurred ink fades out. Its edge is taken to be where it has half the strength that it has a
    little further inside, which is where a sharp edge would be.

    Parameters
    ----------
    ink : ndarray of shape (height, width)
        From 0 (paper) to 1 (ink).
    n_pixels : float
        Number of pixels that the digit will fill along its longer side.
    """
    rows, columns = ink.max(axis=1), ink.max(axis=0)
    length = max(np.ptp(np.flatnonzero(profile > _FAINT)) + 1 for profile in (rows, columns))
    reach = 1 + int(_EDGE_PIXELS * length / n_pixels)

    def first(profile: NDArray[np.float64]) -> int:
        start = int(np.argmax(profile > _FAINT))
        full = profile[start : start + reach].max()
        return start + int(np.argmax(profile[start:] >= full / 2))

    top, left = first(rows), first(columns)
    return slice(top, len(rows) - first(rows[::-1])), slice(
        left, len(columns) - first(columns[::-1])
    )


def _start(profile: NDArray[np.float64], scale: float, n_pixels: int, fills_image: bool) -> float:
    """Return where the first row (or column) of the ink goes, in pixels of the result."""
    if fills_image:
        return (n_pixels - scale * len(profile)) / 2
    centre = scale * (profile @ (np.arange(len(profile)) + 0.5)) / profile.sum()
    return float(n_pixels // 2 + 0.5 - centre)


def _overlaps(n_rows: int, scale: float, n_pixels: int, first: float) -> NDArray[np.float64]:
    """Return how much of each pixel each row covers, (n_pixels, n_rows).

    `scale` is in pixels per row; the first row begins at the pixel coordinate `first`.
    """
    start = first + scale * np.arange(n_rows)
    pixels = np.arange(n_pixels)[:, None]
    overlaps: NDArray[np.float64] = np.clip(
        np.minimum(start + scale, pixels + 1) - np.maximum(start, pixels), 0.0, None
    )
    return overlaps
