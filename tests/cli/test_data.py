"""`mnistlin data list|fetch|verify`."""

import gzip
import shutil
from pathlib import Path

import pytest

from mnistlin.data.catalog import DATASETS

BUNDLED = DATASETS["mnist-5k"].bundled_folder


@pytest.fixture(autouse=True)
def _empty_cache(monkeypatch, tmp_path):
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))


def test_list_says_where_each_dataset_is(mnistlin):
    """The bundled one has its folder, the others the command that fetches them."""
    output = mnistlin("data", "list").stdout
    assert str(BUNDLED) in output
    assert "missing: mnistlin data fetch mnist" in output


def test_fetch_of_what_is_here_prints_its_folder(mnistlin):
    """Nothing is downloaded for the set that comes with the package."""
    assert mnistlin("data", "fetch", "mnist-5k").stdout == f"folder: {BUNDLED}\n"


def test_fetch_offline_says_what_to_do(mnistlin):
    """Exit 3, with the way by hand and the set that needs no download."""
    result = mnistlin("data", "fetch", "mnist")
    assert result.exit_code == 3
    assert "MNISTLIN_OFFLINE" in result.stderr
    assert "mnist-5k" in result.stderr


def test_fetch_into_a_folder_that_cannot_be_written_fails(mnistlin, workplace):
    """Exit 1, for it is not the data that is wrong; the folder is named."""
    blocked = workplace / "cache"
    blocked.write_text("not a folder")
    env = {"XDG_CACHE_HOME": str(blocked), "MNISTLIN_OFFLINE": ""}
    result = mnistlin("data", "fetch", "mnist", env=env)
    assert result.exit_code == 1
    assert f"the folder {blocked}" in result.stderr
    assert "cannot be written" in result.stderr


def test_verify_accepts_what_is_right(mnistlin):
    """Four files, four times ok."""
    result = mnistlin("data", "verify", "mnist-5k")
    assert result.exit_code == 0
    assert [line.split()[0] for line in result.stdout.splitlines()] == ["ok"] * 4


def test_verify_tells_a_file_under_a_false_name(mnistlin, workplace):
    """The test images under the name of the training images are found out; exit 3."""
    folder = Path(shutil.copytree(BUNDLED, workplace / "copy"))
    shutil.copy(folder / "t10k-images-idx3-ubyte.gz", folder / "train-images-idx3-ubyte.gz")
    result = mnistlin("data", "verify", folder)
    assert result.exit_code == 3
    (wrong,) = [line for line in result.stdout.splitlines() if line.startswith("WRONG")]
    assert "train-images" in wrong
    assert "t10k-images" in wrong.split(" is ", 1)[1]


def test_verify_reads_a_page_that_is_named_like_images(mnistlin, workplace):
    """What a server sends in place of a file is called what it is."""
    page = workplace / "train-images-idx3-ubyte.gz"
    page.write_bytes(b"<!DOCTYPE html><html><body>Not found</body></html>")
    result = mnistlin("data", "verify", page)
    assert result.exit_code == 3
    assert "HTML" in result.stdout
    page.write_bytes(gzip.compress(b"no idx"))
    assert mnistlin("data", "verify", page).exit_code == 3


@pytest.fixture
def moved_run(mnistlin, workplace, monkeypatch):
    """Return a run whose config names its data by a relative path that no longer exists."""
    shutil.copytree(BUNDLED, workplace / "mine")
    (workplace / "there").mkdir()
    monkeypatch.chdir(workplace)
    trained = mnistlin(
        *("train", "--config", "tiny.yaml", "--no-plots"),
        *("--set", "data.dataset=./mine", "--runs-dir", workplace / "runs"),
    )
    monkeypatch.chdir(workplace / "there")
    return Path(trained.stdout.splitlines()[-1].removeprefix("run: "))


@pytest.mark.parametrize(
    "command", [("evaluate",), ("compare",), ("replay", "-q"), ("explain", "optimum")]
)
def test_a_question_finds_the_data_that_the_run_recorded(command, mnistlin, moved_run, tmp_path):
    """From any working directory; the hashes in run.json guard against other data."""
    runs = [moved_run, Path(shutil.copytree(moved_run, tmp_path / "copy"))]
    asked = runs if command == ("compare",) else runs[:1]
    assert mnistlin(*command, *asked).exit_code == 0
    shutil.rmtree(tmp_path / "mine")
    lost = mnistlin(*command, *asked)
    assert lost.exit_code == 3
    assert "'./mine'" in lost.stderr
    assert str(tmp_path / "mine") in lost.stderr
