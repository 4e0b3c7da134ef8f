"""The class of a drawing, as a run sees it."""

import numpy as np
import pytest
from PIL import Image, ImageFilter

from mnistlin.analysis.predict import predict
from mnistlin.config import DataConfig, ExperimentConfig
from mnistlin.data.splits import load_splits
from mnistlin.experiment import run_experiment

DATA = DataConfig(dataset="mnist-5k")


@pytest.fixture(scope="module")
def trained(tmp_path_factory):
    """Return a function that trains a model on real digits."""

    def train(model, **data):
        training = {"epochs": 5, "batch_size": 50, "learning_rate": 0.05}
        config = {"model": model, "data": {"dataset": "mnist-5k", **data}, "training": training}
        return run_experiment(
            ExperimentConfig.model_validate(config), tmp_path_factory.mktemp(model)
        )

    return train


@pytest.fixture(scope="module")
def softmax_run(trained):
    """Return a model of all ten digits."""
    return trained("softmax")


@pytest.fixture(scope="module")
def test_digits():
    """Return images (n, 28, 28) and labels that no model here was trained on."""
    split = load_splits(DATA).val
    return split.images[split.rows].reshape(-1, 28, 28), np.array(split.classes)[split.targets]


def save_blurred(digit, rng, path):
    """Save a digit as 300 x 300 pixels, shifted, black on white and blurred."""
    image = Image.fromarray(255 - digit).resize((300, 300), Image.Resampling.BICUBIC)
    shift = (1, 0, int(rng.integers(-25, 26)), 0, 1, int(rng.integers(-25, 26)))
    image = image.transform(image.size, Image.Transform.AFFINE, shift, fillcolor=255)
    image.filter(ImageFilter.GaussianBlur(2)).save(path)
    return path


def test_changed_digits_are_classified_as_the_originals(softmax_run, test_digits, tmp_path):
    """At least 95 of 100 that the model gets right, after all that a user may do to them."""
    digits, labels = test_digits
    right = np.flatnonzero(softmax_run.classifier().predict(digits) == labels)[:100]
    rng = np.random.default_rng(0)
    files = [save_blurred(digits[k], rng, tmp_path / f"{k}.png") for k in right]
    found = predict(softmax_run, files)
    classes = [each["class"] for each in found.as_object()["images"]]
    assert (classes == labels[right]).sum() >= 95
    assert not found.warnings()


@pytest.fixture(scope="module")
def clothes_run(tmp_path_factory, write_dataset):
    """Return a model of bright shirts and narrow trousers, in a folder called fashion-mnist."""
    rng = np.random.default_rng(0)
    images, labels = rng.integers(150, 250, (60, 28, 28)), np.arange(60) % 2
    images[labels == 1, :, :9] = images[labels == 1, :, 19:] = 0
    folder = write_dataset(
        tmp_path_factory.mktemp("data") / "fashion-mnist",
        (images[:40], labels[:40]),
        (images[40:], labels[40:]),
    )
    config = {
        "model": "softmax",
        "data": {"dataset": str(folder)},
        "training": {"epochs": 2, "batch_size": 10, "learning_rate": 0.05},
    }
    return run_experiment(ExperimentConfig.model_validate(config), tmp_path_factory.mktemp("runs"))


def test_clothes_fill_the_image_as_the_training_images_do(clothes_run, tmp_path):
    """Of Fashion-MNIST, photographed on white; files of 28 x 28 pixels are left as they are."""
    trousers = np.full((300, 300), 255, np.uint8)
    trousers[40:180, 60:110] = 30
    Image.fromarray(trousers).save(tmp_path / "trousers.png")
    shirt = np.random.default_rng(1).integers(150, 250, (28, 28)).astype(np.uint8)
    shirt[:, [0, -1]] = 0
    Image.fromarray(255 - shirt).save(tmp_path / "shirt.png")
    found = predict(clothes_run, [tmp_path / "trousers.png", tmp_path / "shirt.png"])
    assert [image["class"] for image in found.as_object()["images"]] == [1, 0]
    filled, same = (image.pixels for image in found.images)
    assert filled.any(axis=1).all()
    assert filled.any(axis=0).sum() == 10
    np.testing.assert_array_equal(same, 255.0 - (255 - shirt))


def test_a_digit_of_the_data_set_is_left_as_it_is(softmax_run, test_digits, tmp_path):
    """A file of 28 x 28 pixels gets the probabilities of its pixels, dark on light too."""
    digit = test_digits[0][7]
    Image.fromarray(digit).save(tmp_path / "light.png")
    Image.fromarray(255 - digit).save(tmp_path / "dark.png")
    found = predict(softmax_run, [tmp_path / "light.png", tmp_path / "dark.png"])
    scaled = digit * (255 / digit.max())
    expected = softmax_run.classifier().predict_proba([scaled, scaled])
    np.testing.assert_allclose([image.probabilities for image in found.images], expected)


@pytest.mark.parametrize("classes", [[2, 3], [3, 2]])
def test_the_evidence_sums_up_to_the_logit(trained, test_digits, tmp_path, classes):
    """With the bias of the weights file, for either order of two classes."""
    run = trained("logistic", classes=classes)
    Image.fromarray(test_digits[0][3]).save(tmp_path / "digit.png")
    (image,) = predict(run, [tmp_path / "digit.png"]).images
    first = sorted(classes).index(classes[0])
    evidence = run.classifier().evidence(image.pixels, first).sum()
    bias = run.weights["last"][-1, 0]
    assert 1 / (1 + np.exp(-evidence - bias)) == pytest.approx(image.probabilities[first])


def test_what_is_not_one_digit_gets_a_warning(softmax_run, test_digits, tmp_path):
    """Empty, or two of them; the file is named."""
    digits, _ = test_digits
    Image.new("L", (200, 200), 255).save(tmp_path / "empty.png")
    Image.fromarray(np.hstack([digits[0], digits[1]])).save(tmp_path / "two.png")
    photo = np.linspace(150, 250, 100).repeat(100).reshape(100, 100)
    photo[40:60, 48:52] = photo[:, 90:92] = 30
    Image.fromarray(photo.astype(np.uint8)).save(tmp_path / "line.png")
    files = [tmp_path / f"{name}.png" for name in ("empty", "two", "line")]
    empty, two, line = predict(softmax_run, files).warnings()
    assert "line.png: ink was found at the edge" in line
    assert "empty.png: no ink" in empty
    assert "two.png: 2 separate marks" in two


def test_the_figure_shows_each_image(softmax_run, test_digits, tmp_path):
    """With what the model saw, the probabilities and two maps of evidence, up to eight images."""
    files = [tmp_path / f"{k}.png" for k in range(10)]
    for file, digit in zip(files, test_digits[0], strict=False):
        Image.fromarray(digit).save(file)
    one, ten = (predict(softmax_run, files[:n]).figure() for n in (1, 10))
    assert len(one.axes) == 5
    assert len(ten.axes) == 40
    assert any("first 8 of 10" in text.get_text() for text in ten.texts)
