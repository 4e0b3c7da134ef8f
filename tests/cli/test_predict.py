"""`mnistlin predict`."""

import json
import shutil

import numpy as np
import pytest
from PIL import Image

from mnistlin.data.catalog import MNIST_5K


@pytest.fixture
def digit(workplace):
    """Return a file with a drawing of a 1."""
    drawing = np.full((120, 100), 255, np.uint8)
    drawing[20:100, 44:56] = 0
    Image.fromarray(drawing).save(workplace / "one.png")
    return "one.png"


def test_one_image_gets_its_probabilities(mnistlin, tiny_run, digit):
    """The class, a table of all classes, a figure and a table in the run folder."""
    result = mnistlin("predict", tiny_run, digit)
    assert result.exit_code == 0, result.output
    lines = dict(line.split(": ", 1) for line in result.stdout.splitlines() if ": " in line)
    assert lines["image"] == digit
    assert lines["class"] in set("0123456789")
    assert 0.1 <= float(lines["probability"]) <= 1
    assert (tiny_run / "plots" / "prediction.png").is_file()
    assert (tiny_run / "analysis" / "prediction.csv").is_file()


def test_json_has_the_probabilities_of_each_image(mnistlin, tiny_run, digit, workplace):
    """In the order of `classes`; the class is an integer."""
    result = mnistlin("predict", tiny_run, digit, digit, "--json", "--out", "elsewhere")
    found = json.loads(result.stdout)
    assert found["classes"] == list(range(10))
    assert [image["file"] for image in found["images"]] == [digit, digit]
    for image in found["images"]:
        assert sum(image["probabilities"]) == pytest.approx(1)
        assert image["class"] == int(np.argmax(image["probabilities"]))
    assert len(found["files"]) == len(list((workplace / "elsewhere").iterdir())) == 2


def test_several_images_are_a_table(mnistlin, tiny_run, digit):
    """One line per image."""
    result = mnistlin("predict", tiny_run, digit, digit)
    assert sum(line.split()[:1] == [digit] for line in result.stdout.splitlines()) == 2


def test_a_warning_is_printed(mnistlin, tiny_run, digit):
    """White ink on white paper is none."""
    result = mnistlin("predict", tiny_run, digit, "--no-invert")
    assert "warning: one.png: no ink was found" in result.stdout


def test_what_is_no_image_is_an_error(mnistlin, tiny_run):
    """Exit 3, and nothing is written."""
    result = mnistlin("predict", tiny_run, "tiny.yaml")
    assert result.exit_code == 3
    assert "tiny.yaml cannot be read as an image" in result.stderr
    assert not (tiny_run / "plots").exists()


class TestPlay:
    """`mnistlin play`."""

    def test_a_run_gets_its_page(self, mnistlin, tiny_run):
        """In its folder, or where the user says."""
        result = mnistlin("play", tiny_run)
        assert result.exit_code == 0, result.output
        assert result.stdout.splitlines()[-1] == f"page: {tiny_run / 'play.html'}"
        found = json.loads(mnistlin("play", tiny_run, "--out", "class", "--json").stdout)
        assert found == {"l2_lambdas": [0.0], "page": "class/play.html"}

    def test_a_sweep_gets_one_page(self, mnistlin, workplace):
        """Of all λ."""
        mnistlin("sweep-lambda", "--config", "tiny.yaml", "--lambdas", "1,0.1,0", "--no-plots")
        (sweep,) = (workplace / "runs").iterdir()
        found = json.loads(mnistlin("play", sweep, "--json").stdout)
        assert found == {"l2_lambdas": [0.0, 0.1, 1.0], "page": str(sweep / "play.html")}

    def test_a_run_has_no_seeds_to_choose_from(self, mnistlin, tiny_run):
        """Exit 2."""
        result = mnistlin("play", tiny_run, "--seed", "1")
        assert result.exit_code == 2
        assert "--seed chooses among the runs of a sweep" in result.stderr


def test_names_of_classes_are_shown(mnistlin, workplace, digit):
    """Those in classes.txt of the run's own data, in text, JSON and on the page."""
    data = workplace / "digits"
    shutil.copytree(MNIST_5K.bundled_folder, data)
    (data / "classes.txt").write_text("\n".join(f"number {k}" for k in range(10)))
    mnistlin("train", "--config", "tiny.yaml", "--set", f"data.dataset={data}", "--no-plots")
    (run,) = (workplace / "runs").iterdir()
    (image,) = json.loads(mnistlin("predict", run, digit, "--json").stdout)["images"]
    assert image["class_name"] == f"number {image['class']}"
    assert f"class_name: {image['class_name']}" in mnistlin("predict", run, digit).stdout
    assert mnistlin("play", run).exit_code == 0
    assert "Sample 1, a number 0" in (run / "play.html").read_text(encoding="utf-8")
