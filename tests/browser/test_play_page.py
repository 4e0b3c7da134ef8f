"""The page of `play` in a real browser."""

from base64 import b64decode, b64encode

import numpy as np
import pytest

from mnistlin.analysis.predict import predict
from mnistlin.config import ExperimentConfig
from mnistlin.data.catalog import MNIST_5K
from mnistlin.data.splits import load_splits
from mnistlin.experiment import run_experiment
from mnistlin.report.play import MAX_BYTES, members_by_lambda, write_play_page
from mnistlin.sweep import run_sweep

pytestmark = pytest.mark.browser

LOOKS = pytest.mark.parametrize(
    ("width", "scheme"), [(1280, "light"), (1280, "dark"), (390, "light"), (390, "dark")]
)

SHOW_DIGIT = """
const [pixels, width, dx, dy, angle] = arguments;
const small = new OffscreenCanvas(28, 28), image = new ImageData(28, 28);
const bytes = Uint8Array.from(atob(pixels), letter => letter.charCodeAt(0));
bytes.forEach((value, i) => { image.data[4 * i + 3] = value; });
small.getContext('2d').putImageData(image, 0, 0);
const pad = document.getElementById('pad'), context = pad.getContext('2d');
context.clearRect(0, 0, pad.width, pad.height);
context.setTransform(Math.cos(angle), Math.sin(angle), -Math.sin(angle), Math.cos(angle), dx, dy);
context.drawImage(small, 0, 0, width, width);
context.resetTransform();
pad.dispatchEvent(new Event('redraw'));
"""
READ = """
return [document.getElementById('pad').toDataURL().split(',')[1],
        [...document.querySelectorAll('#bars tr')].map(row => Number(row.dataset.probability))];
"""


@pytest.fixture(scope="module")
def members(tmp_path_factory):
    """Return runs on real digits with three λ, from weak to strong."""
    config = {
        "model": "softmax",
        "data": {"dataset": "mnist-5k"},
        "training": {"epochs": 5, "batch_size": 50, "learning_rate": 0.05},
        "sweep": {"l2_lambdas": [1, 0.01, 0]},
    }
    sweep = run_sweep(ExperimentConfig.model_validate(config), tmp_path_factory.mktemp("play"))
    return members_by_lambda(sweep)


@pytest.fixture(scope="module")
def sweep_page(members):
    """Return the page of all three."""
    return write_play_page(members).path


@pytest.fixture
def opened(open_page, sweep_page):
    """Return a function that opens the page of the sweep."""
    return lambda width=1280, scheme="light": open_page(sweep_page.as_uri(), width, scheme)


def answers_of(run, pictures, folder):
    """Return the probabilities that `predict` gives PNG files."""
    files = [folder / f"{i}.png" for i in range(len(pictures))]
    for file, picture in zip(files, pictures, strict=True):
        file.write_bytes(b64decode(picture))
    return np.array([image.probabilities for image in predict(run, files).images])


def draw(page, *strokes):
    """Draw strokes on the pad with the mouse, each a list of points from its centre."""
    from selenium.webdriver.common.action_chains import ActionChains

    pad = page.find_element("id", "pad")
    actions = ActionChains(page, duration=5)
    for first, *rest in strokes:
        actions.move_to_element_with_offset(pad, *first).click_and_hold()
        for point in rest:
            actions.move_to_element_with_offset(pad, *point)
        actions.release()
    actions.perform()


def test_digits_get_the_probabilities_of_predict(opened, members, tmp_path):
    """100 test images put on the pad, enlarged, moved and turned: equal to 1e-5."""
    config = members[0].config.data
    split = load_splits(config).val
    page, rng, pictures, found = opened(), np.random.default_rng(0), [], []
    for k in range(100):
        pixels = b64encode(split.images[split.rows[k]].tobytes()).decode()
        where = (rng.uniform(120, 260), rng.uniform(0, 60), rng.uniform(0, 60))
        page.execute_script(SHOW_DIGIT, pixels, *where, rng.uniform(-0.2, 0.2))
        picture, answer = page.execute_script(READ)
        pictures.append(picture)
        found.append(answer)
    expected = answers_of(members[0], pictures, tmp_path)
    np.testing.assert_allclose(found, expected, atol=1e-5)
    assert len({int(row.argmax()) for row in expected}) == 10


def test_clothes_fill_the_image_as_they_do_in_predict(open_page, tmp_path):
    """On the page of a model of Fashion-MNIST, here a folder of that name."""
    folder = tmp_path / "fashion-mnist"
    folder.symlink_to(MNIST_5K.bundled_folder)
    config = {"model": "softmax", "data": {"dataset": str(folder)}, "training": {"epochs": 1}}
    run = run_experiment(ExperimentConfig.model_validate(config), tmp_path)
    page = open_page(write_play_page([run]).path.as_uri())
    draw(page, [(-60, -90), (60, -90), (-10, 100)], [(-40, 0), (50, 0)])
    pictures, found = zip(page.execute_script(READ), strict=True)
    np.testing.assert_allclose(found, answers_of(run, pictures, tmp_path), atol=1e-5)


@LOOKS
def test_strokes_get_the_probabilities_of_predict(opened, members, tmp_path, width, scheme):
    """A seven drawn with the mouse, also up to the edge, in any scheme and on a phone."""
    page = opened(width, scheme)
    draw(page, [(-60, -90), (60, -90), (-10, 100)], [(-40, 0), (50, 0)])
    pictures, found = zip(page.execute_script(READ), strict=True)
    np.testing.assert_allclose(found, answers_of(members[0], pictures, tmp_path), atol=1e-5)
    assert page.find_element("id", "answer").text.startswith(f"{int(np.argmax(found))}:")


def test_the_slider_changes_the_model(opened, members, tmp_path):
    """With each λ the same drawing gets the answer of that run, and other weights are shown."""
    from selenium.webdriver.common.keys import Keys

    page = opened()
    draw(page, [(0, -80), (0, 80)])
    weights = "return document.querySelector('#weights canvas').toDataURL()"
    shown = {page.execute_script(weights)}
    for run in members[1:]:
        page.find_element("id", "lambda").send_keys(Keys.ARROW_RIGHT)
        pictures, found = zip(page.execute_script(READ), strict=True)
        np.testing.assert_allclose(found, answers_of(run, pictures, tmp_path), atol=1e-5)
        shown.add(page.execute_script(weights))
        name = page.find_element("id", "lambda-name").text
        assert name == f"λ = {run.config.training.l2_lambda:g}"
    assert len(shown) == 3


def test_the_keyboard_alone_is_enough(opened):
    """A sample is chosen, the answer is announced, and the pad is cleared again."""
    from selenium.webdriver.common.keys import Keys

    page = opened()
    announced = page.find_element("id", "announcement")
    sample = page.find_elements("css selector", "#samples button")[4]
    sample.send_keys(Keys.ENTER)
    assert "%" in announced.get_attribute("textContent")
    page.find_element("id", "clear").send_keys(Keys.ENTER)
    assert "Draw, or choose" in announced.get_attribute("textContent")
    assert {float(p) for p in page.execute_script(READ)[1]} == {0.0}


def test_the_page_is_small_and_alone(opened, sweep_page, requested):
    """At most 2 MB; nothing else is requested, and the console stays empty."""
    page = opened()
    draw(page, [(0, -80), (0, 80)])
    assert sweep_page.stat().st_size <= MAX_BYTES
    assert requested() == {sweep_page.as_uri()}
    assert page.get_log("browser") == []


@pytest.mark.parametrize("width", [1280, 390, 320])
def test_the_page_never_scrolls_sideways(opened, width):
    """Neither on a phone."""
    widths = "return ['scrollWidth', 'clientWidth'].map(k => document.documentElement[k])"
    content, window = opened(width).execute_script(widths)
    assert content == window


@LOOKS
def test_axe_finds_no_fault(opened, faults_of, width, scheme):
    """Neither on the empty page nor with an answer."""
    page = opened(width, scheme)
    assert faults_of(page) == []
    draw(page, [(0, -80), (0, 80)])
    assert faults_of(page) == []
