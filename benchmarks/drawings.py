"""How many MNIST test images does `predict` classify after they were made into other pictures?

    python -m benchmarks.drawings [RUN_DIR]

Takes the first 100 test images that the run classifies correctly as they are, enlarges each to 300
pixels, shifts and blurs it, inverts half of them, and classifies the PNG files. Without RUN_DIR the
config `softmax` is trained first. At least 95 must be correct.
"""

import sys
from pathlib import Path
from tempfile import TemporaryDirectory

import numpy as np
from PIL import Image, ImageFilter

import mnistlin
from mnistlin.runs.folder import Run
from mnistlin.runs.provenance import load_own_splits

N_IMAGES, REQUIRED = 100, 95
SIDE, MAX_SHIFT = 300, 60
MIN_BLUR, MAX_BLUR = 1.0, 6.0
"""Standard deviation in pixels of the enlarged image; 11 of these are one pixel of MNIST's."""


def change(pixels: np.ndarray, rng: np.random.Generator) -> Image.Image:
    """Return an image of 28 x 28 pixels, enlarged, shifted, blurred, and inverted or not."""
    digit = Image.fromarray(pixels).resize((SIDE, SIDE), Image.Resampling.BICUBIC)
    side = SIDE + 2 * MAX_SHIFT
    canvas = Image.new("L", (side, side))
    canvas.paste(digit, tuple(rng.integers(0, 2 * MAX_SHIFT, 2).tolist()))
    canvas = canvas.filter(ImageFilter.GaussianBlur(rng.uniform(MIN_BLUR, MAX_BLUR)))
    return Image.eval(canvas, lambda grey: 255 - grey) if rng.random() < 0.5 else canvas


def n_correct(run: Run, n_images: int = N_IMAGES) -> int:
    """Return how many of the changed images are still classified correctly."""
    split = load_own_splits(run).val
    images = split.images[split.rows[: 3 * n_images]].reshape(-1, *split.image_shape)
    labels = np.array(split.classes)[split.targets[: len(images)]]
    chosen = np.flatnonzero(run.predict(images) == labels)[:n_images]
    rng = np.random.default_rng(0)
    with TemporaryDirectory() as folder:
        files = [Path(folder, f"{k}.png") for k in chosen]
        for k, file in zip(chosen, files, strict=True):
            change(images[k], rng).save(file)
        found = [image["class"] for image in mnistlin.predict(run, files).as_object()["images"]]
    return int((np.array(found) == labels[chosen]).sum())


def main() -> int:
    """Print the count; the exit code is 1 if it is too small."""
    with TemporaryDirectory() as runs_dir:
        run = (
            mnistlin.load_run(sys.argv[1])
            if sys.argv[1:]
            else mnistlin.run_experiment("softmax", runs_dir)
        )
        found = n_correct(run)
    print(f"{found} of {N_IMAGES} changed test images are correctly classified")
    return 0 if found >= REQUIRED else 1


if __name__ == "__main__":
    sys.exit(main())
