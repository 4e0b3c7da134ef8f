"""Files are identified by their content, whatever their names."""

import pytest

from mnistlin.data.catalog import DATASETS, MNIST, MNIST_5K, PARTS, find_parts
from mnistlin.data.download import cache_folder
from mnistlin.data.locate import list_datasets, verify
from mnistlin.errors import DataError


def statuses():
    """Return the status of each known dataset by name."""
    return {status.dataset.name: status for status in list_datasets()}


def test_every_known_dataset_is_listed():
    """On a bare machine only the bundled set is there."""
    found = {name: status.folder for name, status in statuses().items()}
    assert found == {"mnist": None, "fashion-mnist": None, "mnist-5k": MNIST_5K.bundled_folder}
    assert not any(status.problem for status in list_datasets())


def test_a_downloaded_dataset_is_listed_with_its_folder(tiny):
    """What is in the cache is found there."""
    tiny.write(cache_folder("tiny"))
    assert statuses()["tiny"].folder == cache_folder("tiny")
    assert statuses()["tiny"].problem == ""


@pytest.mark.usefixtures("tiny")
def test_the_list_tells_one_dataset_from_another(make_set, tmp_path, monkeypatch):
    """Another dataset under the same file names is a problem, and does not stop the list."""
    make_set("other").write(tmp_path)
    monkeypatch.setenv("MNISTLIN_DATA_DIR", str(tmp_path))
    assert "it should be Tiny's train-images" in statuses()["tiny"].problem


def test_the_list_survives_a_wrong_data_dir(tmp_path, monkeypatch):
    """An error for one dataset is its problem; the bundled one is still listed."""
    monkeypatch.setenv("MNISTLIN_DATA_DIR", str(tmp_path / "absent"))
    assert "is not a folder" in statuses()["mnist"].problem
    assert statuses()["mnist-5k"].folder is not None


def test_good_files_are_called_by_name(tiny, tmp_path):
    """Raw or compressed, a folder of good files passes."""
    tiny.write(tmp_path, PARTS[:2])
    tiny.write(tmp_path, PARTS[2:], ending="")
    checks = verify(str(tmp_path))
    assert [check.what for check in checks] == [f"Tiny's {part}" for part in PARTS]
    assert all(check.ok for check in checks)


def test_files_under_each_others_names(tiny, tmp_path):
    """Swapped files are both reported, each with what it should be."""
    tiny.write(tmp_path)
    train, test = (find_parts(tmp_path)[part] for part in ("train-images", "t10k-images"))
    content = train.read_bytes()
    test.rename(train)
    test.write_bytes(content)
    assert [str(check) for check in verify(str(tmp_path)) if not check.ok] == [
        f"{train} is Tiny's t10k-images; it should be Tiny's train-images",
        f"{test} is Tiny's train-images; it should be Tiny's t10k-images",
    ]


def test_a_mixture_of_datasets(tiny, make_set, monkeypatch, tmp_path):
    """One file of another known dataset is reported, and not the three of the first."""
    tiny.write(tmp_path)
    other = make_set("another")
    monkeypatch.setitem(DATASETS, "another", other.dataset)
    other.write(tmp_path, ["t10k-images"])
    wrong = [check for check in verify(str(tmp_path)) if not check.ok]
    assert [(check.what, check.should_be) for check in wrong] == [
        ("Another's t10k-images", "Tiny's t10k-images")
    ]


def test_missing_and_damaged_files(tiny, tmp_path):
    """Each file of the four is judged, also one that is not there."""
    tiny.write(tmp_path, PARTS[:3])
    find_parts(tmp_path)["train-labels"].write_bytes(b"<html>Moved</html>")
    assert [(check.what, check.ok) for check in verify(str(tmp_path))] == [
        ("Tiny's train-images", True),
        ("a web page (HTML)", False),
        ("Tiny's t10k-images", True),
        ("not there", False),
    ]


def test_ones_own_files_pass_if_they_can_be_read(make_set, tmp_path):
    """Files of no known dataset are described; labels in the place of images do not pass."""
    mine = make_set("mine")
    mine.write(tmp_path)
    assert all(check.ok for check in verify(str(tmp_path)))
    find_parts(tmp_path)["train-images"].write_bytes(mine.contents["train-labels"])
    first, *rest = verify(str(tmp_path))
    assert str(first).endswith(
        "is 6 unsigned bytes of no known dataset; it should be train-images, of 3 dimensions"
    )
    assert all(check.ok for check in rest)


def test_a_single_file_may_have_any_name(tiny, tmp_path):
    """A single file is identified by its content alone."""
    path = tmp_path / "download (1)"
    path.write_bytes(tiny.contents["t10k-labels"])
    (check,) = verify(str(path))
    assert (check.what, check.ok) == ("Tiny's t10k-labels", True)
    path.write_text("hello")
    (check,) = verify(str(path))
    assert (check.what, check.ok) == ("a text file", False)


def test_a_path_that_no_system_allows_is_not_there():
    """An absurd path is a failed check and no crash."""
    (check,) = verify("long" * 2000)
    assert (check.what, check.ok) == ("unreadable: File name too long", False)


def test_a_dataset_is_checked_where_it_is_found(tiny):
    """By name, the files that a run would use are checked."""
    tiny.write(cache_folder("tiny"))
    assert {check.path.parent for check in verify("tiny")} == {cache_folder("tiny")}


def test_there_must_be_something_to_check(tmp_path):
    """A dataset that is not here and a folder without data are errors."""
    with pytest.raises(DataError, match=r"not on this machine; `mnistlin data fetch mnist`"):
        verify("mnist")
    with pytest.raises(DataError, match="holds no file that is named like"):
        verify(str(tmp_path))


def test_the_bundled_files_are_intact():
    """The package's own data pass."""
    assert all(check.ok for check in verify("mnist-5k"))


def test_real_files_under_wrong_names(debian_fashion_mnist, real_mnist, tmp_path):
    """Fashion-MNIST's test images among MNIST's files are identified."""
    for part, path in find_parts(real_mnist).items():
        (tmp_path / MNIST.file(part).file_name).symlink_to(path)
    images = tmp_path / MNIST.file("t10k-images").file_name
    images.unlink()
    images.symlink_to(find_parts(debian_fashion_mnist)["t10k-images"])
    (wrong,) = [check for check in verify(str(tmp_path)) if not check.ok]
    assert (
        str(wrong) == f"{images} is Fashion-MNIST's t10k-images; it should be MNIST's t10k-images"
    )
