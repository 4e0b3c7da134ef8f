"""From an image file to MNIST's form."""

import contextlib

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image

from mnistlin.data.drawing import (
    count_marks,
    find_ink,
    reaches_border,
    read_image,
    to_training_form,
)
from mnistlin.errors import DataError


def ring(height=120, width=90):
    """Return grey levels of a black ellipse, drawn with a thick pen on white, off centre."""
    y, x = np.mgrid[0:300, 0:400]
    radius = np.hypot((y - 110) / (height / 2), (x - 260) / (width / 2))
    return np.where(np.abs(radius - 0.85) < 0.15, 0, 255).astype(np.uint8)


def form_of(grey):
    """Return the pixels that a model is shown."""
    return to_training_form(find_ink(np.asarray(grey, float)), (28, 28))


@pytest.fixture
def saved(tmp_path):
    """Return a function that saves an image of Pillow and returns its path."""

    def save(image, name="digit.png", **options):
        image.save(tmp_path / name, **options)
        return tmp_path / name

    return save


class TestForm:
    """What LeCun's page says of MNIST's images."""

    def test_the_digit_fits_into_20_by_20_and_keeps_its_shape(self):
        """The longer side is 20 pixels, the other in proportion."""
        pixels = form_of(ring(height=120, width=60))
        rows, columns = (np.flatnonzero(pixels.max(axis=axis) > 1) for axis in (1, 0))
        assert np.ptp(rows) + 1 == pytest.approx(20, abs=1)
        assert np.ptp(columns) + 1 == pytest.approx(10, abs=1)

    def test_its_centre_of_mass_is_in_the_middle(self):
        """Of pixel (14, 14), although the digit is lopsided."""
        grey = ring()
        grey[:, :250] = 255
        pixels = form_of(grey)
        y, x = np.mgrid[0:28, 0:28]
        assert (pixels * y).sum() / pixels.sum() == pytest.approx(14, abs=0.01)
        assert (pixels * x).sum() / pixels.sum() == pytest.approx(14, abs=0.01)

    def test_ink_is_averaged_without_loss(self):
        """The mean of the result is that of the digit, scaled: nothing is rounded or cut off."""
        ink = np.zeros((50, 50))
        ink[10:30, 20:33] = np.random.default_rng(0).uniform(0.5, 1, (20, 13))
        assert to_training_form(ink, (28, 28)).sum() == pytest.approx(255 * ink.sum(), rel=1e-9)

    def test_clothes_fill_the_image_with_their_outline_in_the_middle(self):
        """As Fashion-MNIST's, whatever the centre of mass is."""
        heavy_below = np.zeros((100, 80))
        heavy_below[10:90, 30:50] = np.linspace(0.5, 1.0, 80)[:, None]
        pixels = to_training_form(heavy_below, (28, 28), fills_image=True)
        rows, columns = np.flatnonzero(pixels.any(axis=1)), np.flatnonzero(pixels.any(axis=0))
        assert len(rows) == 28
        assert columns.tolist() == list(range(10, 18))
        assert pixels[:, 12] == pytest.approx(pixels[:, 15])

    def test_other_sizes_keep_the_proportions_of_mnist(self):
        """A digit fills 20/28 of the height or the width."""
        pixels = to_training_form(find_ink(ring(100, 100).astype(float)), (14, 42))
        rows = np.flatnonzero(pixels.max(axis=1) > 1)
        assert pixels.shape == (14, 42)
        assert np.ptp(rows) + 1 == pytest.approx(10, abs=1)

    @settings(max_examples=20)
    @given(polarity=st.booleans(), low=st.integers(0, 60), high=st.integers(150, 255))
    def test_polarity_and_contrast_do_not_matter(self, polarity, low, high):
        """Dark on light or light on dark, pale or strong: the model sees the same."""
        grey = low + (high - low) * (ring().astype(float) / 255)
        changed = 255 - grey if polarity else grey
        np.testing.assert_allclose(form_of(changed), form_of(ring()), atol=1e-6)

    def test_invert_overrules_the_guess(self):
        """A white ring on black, read as black ink, is the paper around it."""
        grey = 255.0 - ring()
        assert find_ink(grey, invert=True).max() == 0
        assert find_ink(grey, invert=False).max() == 1

    def test_a_photo_gives_the_digit_alone(self):
        """With light from one side, noise and a speck of dirt."""
        rng = np.random.default_rng(0)
        grey = ring().astype(float)
        grey[20:23, 20:23] = 0
        light = np.linspace(0.5, 0.9, 400)
        photo = np.clip(light * (60 + 0.75 * grey) + rng.normal(0, 5, grey.shape), 0, 255)
        assert np.abs(form_of(photo) - form_of(ring())).mean() < 4

    @pytest.mark.parametrize(("line", "is_found"), [(175, False), (40, True)])
    def test_faint_lines_on_paper_are_no_ink(self, line, is_found):
        """Those as dark as the pen look like ink, and reach the edge of the photo."""
        rng = np.random.default_rng(0)
        grey = 20 + 0.8 * ring().astype(float)
        lined = grey.copy()
        lined[10::60] = lined[11::60] = np.minimum(line, grey[10::60])
        light = np.linspace(0.6, 1.0, lined.shape[1])
        plain, photo = (light * each + rng.normal(0, 2, each.shape) for each in (grey, lined))
        assert reaches_border(find_ink(photo)) == is_found
        assert (np.abs(form_of(photo) - form_of(plain)).mean() > 4) == is_found


class TestMarks:
    """Whether it is one digit."""

    @pytest.mark.parametrize("grey", [np.full((40, 60), 200.0), np.zeros((28, 28))])
    def test_an_even_image_has_no_mark(self, grey):
        """Nor does it stop the program."""
        assert count_marks(form_of(grey)) == 0

    def test_noise_is_no_mark(self):
        """Such as a photo of blank paper."""
        assert count_marks(form_of(np.random.default_rng(0).normal(180, 8, (90, 120)))) == 0

    def test_two_digits_are_two_marks(self):
        """Side by side; a single one is one."""
        assert count_marks(form_of(ring())) == 1
        assert count_marks(form_of(np.hstack([ring(), ring()]))) == 2


class TestFiles:
    """PNG and JPEG of all kinds."""

    @pytest.mark.parametrize("mode", ["1", "L", "LA", "P", "RGB", "RGBA", "I;16"])
    def test_each_kind_of_png_is_read(self, saved, mode):
        """With the same grey levels."""
        grey = ring()
        image = Image.fromarray(grey)
        if mode == "I;16":
            image = Image.fromarray(grey.astype(np.uint16) * 257)
        path = saved(image if mode == "I;16" else image.convert(mode))
        np.testing.assert_allclose(read_image(path), grey, atol=1e-9)

    @pytest.mark.parametrize("ink", [0, 255])
    def test_ink_on_nothing_is_found(self, saved, ink):
        """A transparent background takes the colour that the ink is visible on."""
        layer = np.dstack([np.full((300, 400), ink, np.uint8), 255 - ring()])
        np.testing.assert_allclose(
            form_of(read_image(saved(Image.fromarray(layer)))), form_of(ring()), atol=1e-6
        )

    def test_exif_rotation_is_honoured(self, saved):
        """A phone that is held sideways notes that in the file."""
        exif = Image.Exif()
        exif[0x0112] = 6  # to be turned by 90 degrees
        path = saved(Image.fromarray(ring()), "digit.jpg", exif=exif, quality=95)
        assert read_image(path).shape == (400, 300)

    def test_large_images_are_averaged(self, saved):
        """To a size at which a stroke is still many pixels wide."""
        assert read_image(saved(Image.new("L", (4000, 2000), 100))).shape == (334, 667)

    @pytest.mark.parametrize(
        ("content", "says"),
        [
            (None, "No such file"),
            (b"", "must be a PNG or JPEG file"),
            (b"GIF89a, or so", "must be a PNG or JPEG file"),
            (b"\x89PNG\r\n\x1a\n" + bytes(40), "must be a PNG or JPEG file"),
        ],
    )
    def test_what_is_no_image_gets_one_error(self, tmp_path, content, says):
        """Which names the file."""
        path = tmp_path / "digit.png"
        if content is not None:
            path.write_bytes(content)
        with pytest.raises(DataError, match=says) as raised:
            read_image(path)
        assert str(path) in str(raised.value)

    def test_a_folder_is_no_image(self, tmp_path):
        """Neither is a name that no file can have."""
        for name in (tmp_path, "a\0b"):
            with pytest.raises(DataError):
                read_image(name)

    @pytest.mark.parametrize("size", [(10_000, 5_001), (14_000, 14_000)])
    def test_too_many_pixels_get_one_error(self, saved, size):
        """Before they are unpacked, whatever the size of the file."""
        with pytest.raises(DataError, match="50 megapixels"):
            read_image(saved(Image.new("1", size)))

    def test_a_large_file_gets_one_error(self, tmp_path):
        """Before it is read."""
        path = tmp_path / "digit.png"
        with path.open("wb") as file:
            file.truncate(50_000_001)
        with pytest.raises(DataError, match="50 MB"):
            read_image(path)

    @settings(max_examples=40)
    @given(data=st.data(), name=st.sampled_from(["digit.png", "digit.jpg"]))
    def test_fuzz_damaged_files_give_an_image_or_one_error(self, tmp_path_factory, data, name):
        """Never another exception, nor a warning."""
        path = tmp_path_factory.mktemp("fuzz") / name
        Image.fromarray(ring()[::6, ::6]).save(path)
        content = bytearray(path.read_bytes())
        for _ in range(data.draw(st.integers(1, 4))):
            content[data.draw(st.integers(0, len(content) - 1))] = data.draw(st.integers(0, 255))
        path.write_bytes(content[: data.draw(st.integers(0, len(content)))])
        with contextlib.suppress(DataError):
            assert np.isfinite(form_of(read_image(path))).all()
