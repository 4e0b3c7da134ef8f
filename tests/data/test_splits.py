"""Rows first, classes after: the splits hold what the config asks for, or an error says why not."""

import hashlib
import weakref
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from mnistlin.config import DataConfig, TrainingConfig
from mnistlin.data.catalog import DATASETS, PARTS, find_parts
from mnistlin.data.download import cache_folder
from mnistlin.data.idx import encode_idx, read_idx
from mnistlin.data.splits import SplitLoader, load_splits
from mnistlin.errors import ConfigError, DataError

TRAIN_LABELS = (3, 0, 4, 1, 9, 2, 1, 3, 1, 4)
TEST_LABELS = (0, 4, 1, 2, 9)


@pytest.fixture(params=[".gz", ""], ids=["gzip", "raw"])
def folder(request, make_set, tmp_path) -> Path:
    """Make a folder of 10 training and 5 test images of 3 x 2 pixels."""
    made = make_set("mine", TRAIN_LABELS, TEST_LABELS)
    return made.write(tmp_path / "mine", ending=request.param)


def load(folder, **settings):
    """Load the splits of a folder."""
    return load_splits(DataConfig(dataset=str(folder), **settings))


def labels_of(split):
    """Return the labels of a split, row after row."""
    return np.array(split.classes)[split.targets].tolist()


def pixels_in(folder, part):
    """Return all images of a file, flat."""
    images = read_idx(find_parts(folder)[part]).values
    return images.reshape(len(images), -1)


def test_by_default_the_two_files_are_the_two_splits(folder):
    """All rows of the training file train, all rows of the test file validate."""
    splits = load(folder)
    assert labels_of(splits.train) == list(TRAIN_LABELS)
    assert labels_of(splits.val) == list(TEST_LABELS)
    assert splits.test is None
    assert (splits.dataset, splits.folder) == (str(folder), folder)
    for split, part in ((splits.train, "train-images"), (splits.val, "t10k-images")):
        np.testing.assert_array_equal(split.images[split.rows], pixels_in(folder, part))


def test_sizes_count_rows_before_classes_are_filtered(folder):
    """The first rows are cut, and then the classes chosen out of them."""
    splits = load(folder, classes=(1, 4), train_size=7, val_size=3 + 2)
    assert splits.train.rows.tolist() == [2, 3, 6]
    assert labels_of(splits.train) == [4, 1, 1]
    assert labels_of(splits.val) == [4, 1]


def test_named_classes_keep_their_order(folder):
    """The class named first is index 0, whatever the digits are."""
    assert load(folder, classes=(4, 1)).train.targets.tolist() == [0, 1, 1, 1, 0]
    assert load(folder, classes=(1, 4)).train.targets.tolist() == [1, 0, 0, 0, 1]


def test_classes_are_those_of_the_files_and_not_of_the_rows(make_set, tmp_path):
    """However few rows are used, the number of classes stays that of the dataset, sorted."""
    folder = make_set("mine", (3, 0, 3, 0), (0, 3, 7)).write(tmp_path)
    splits = load(folder, val_size=2)
    assert splits.train.classes == splits.val.classes == (0, 3, 7)


def test_validation_rows_can_follow_the_training_rows(folder):
    """With `val_from: train` both come from the training file, and the test file is kept whole."""
    splits = load(folder, val_from="train", train_size=6, val_size=3)
    assert splits.train.rows.tolist() == [0, 1, 2, 3, 4, 5]
    assert splits.val.rows.tolist() == [6, 7, 8]
    assert labels_of(splits.val) == list(TRAIN_LABELS[6:9])
    assert labels_of(splits.test) == list(TEST_LABELS)
    np.testing.assert_array_equal(
        splits.val.images[splits.val.rows], pixels_in(folder, "train-images")[6:9]
    )


def test_all_that_is_left_can_validate(folder):
    """With `val_from: train` a null `val_size` takes the rest of the training file."""
    splits = load(folder, val_from="train", train_size=6)
    assert splits.val.rows.tolist() == [6, 7, 8, 9]


def test_images_need_not_be_28_by_28(folder):
    """The number of features is the number of pixels in the files."""
    for split in (load(folder).train, load(folder).val):
        assert split.image_shape == (3, 2)
        assert split.n_features == split.images.shape[1] == 6
        assert split.n_samples == len(split.rows) == len(split.targets)
        assert split.images.dtype == np.uint8


def test_only_the_rows_needed_are_kept(make_set, tmp_path):
    """Of a compressed file no more rows are in memory than the config asks for."""
    made = make_set("mine", TRAIN_LABELS, TEST_LABELS)
    splits = load(made.write(tmp_path), train_size=4, val_size=2)
    assert len(splits.train.images) == 4
    assert len(splits.val.images) == 2
    splits = load(tmp_path, val_from="train", train_size=6, val_size=2)
    assert len(splits.train.images) == 8
    assert splits.train.images is splits.val.images


def test_raw_and_compressed_files_are_the_same_data(make_set, tmp_path):
    """The form of the files makes no difference to the splits."""
    made = make_set("mine", TRAIN_LABELS, TEST_LABELS)
    made.write(tmp_path / "gz")
    made.write(tmp_path / "raw", ending="")
    for name in ("train", "val"):
        ours, theirs = (getattr(load(tmp_path / form), name) for form in ("gz", "raw"))
        assert ours.sha256() == theirs.sha256()


class TestLoader:
    """One object per command, so that nothing is located, read or hashed twice."""

    @pytest.fixture
    def loaded(self, folder):
        """Return a loader that has loaded a folder, which no longer exists."""
        loader = SplitLoader()
        loader.load(DataConfig(dataset=str(folder), train_size=8))
        for path in folder.iterdir():
            path.unlink()
        return loader

    def test_what_was_read_is_not_read_again(self, loaded, folder):
        """Fewer rows and other classes come from the same arrays."""
        whole = loaded.load(DataConfig(dataset=str(folder), train_size=8))
        pair = loaded.load(DataConfig(dataset=str(folder), train_size=6, classes=(4, 1)))
        assert pair.train.images is whole.train.images
        assert labels_of(pair.train) == [4, 1]

    def test_more_rows_are_read_when_they_are_needed(self, loaded, folder):
        with pytest.raises(DataError, match="not there"):
            loaded.load(DataConfig(dataset=str(folder)))

    def test_equal_configs_share_their_hashes(self, loaded, folder):
        again = [loaded.load(DataConfig(dataset=str(folder), train_size=8)) for _ in range(2)]
        assert again[0].train.sha256() is again[1].train.sha256()

    def test_it_loads_what_a_fresh_one_loads(self, make_set, tmp_path):
        folder = make_set("mine", TRAIN_LABELS, TEST_LABELS).write(tmp_path)
        loader = SplitLoader()
        for settings in (
            {"train_size": 6, "val_size": 2},
            {"train_size": 7, "val_from": "train"},
            {},
        ):
            data = DataConfig(dataset=str(folder), **settings)
            found, fresh = loader.load(data), load_splits(data)
            assert found.train.sha256() == fresh.train.sha256()
            assert found.val.sha256() == fresh.val.sha256()


def test_the_hash_is_of_exactly_the_images_and_labels_used(folder):
    """It is that of the chosen pixels and labels, one row after the other."""
    split = load(folder, classes=(4, 1)).train
    pixels = pixels_in(folder, "train-images")[[2, 3, 6, 8, 9]]
    assert split.sha256() == {
        "images": hashlib.sha256(pixels.tobytes()).hexdigest(),
        "labels": hashlib.sha256(bytes([4, 1, 1, 1, 4])).hexdigest(),
    }


def test_the_hash_does_not_depend_on_the_blocks(folder, monkeypatch):
    """It is computed in blocks of rows, of which nothing is to be seen."""
    split = load(folder).train
    whole = split.sha256()
    monkeypatch.setattr("mnistlin.data.splits._BLOCK_ROWS", 3)
    assert split.sha256() == whole


@pytest.mark.parametrize(
    ("settings", "words"),
    [
        ({"train_size": 11}, r"data.train_size: found 11, but .*train-images.* has 10 images"),
        ({"val_size": 6}, r"data.val_size: found 6, but .*t10k-images.* has 5 images"),
        (
            {"val_from": "train", "train_size": 8, "val_size": 3},
            r"data.val_size: found 3, but .* 10 images, of which 2 are not training rows",
        ),
        ({"val_from": "train"}, r"data.val_size: no rows are left.*all 10 images"),
        (
            {"val_from": "train", "train_size": 10, "val_size": 1},
            r"data.val_size: no rows are left",
        ),
        (
            {"classes": (1, 8)},
            r"data.classes: rows 0 to 9 of .*train-images.* have no image of class 8",
        ),
        ({"classes": (0, 200)}, r"data.classes: rows .* have no image of class 200"),
        (
            {"classes": (0, 2), "train_size": 4},
            r"rows 0 to 3 .* class 2; images per class there: 0: 1, 1: 1, 3: 1, 4: 1",
        ),
    ],
)
def test_what_the_files_do_not_have_is_refused(folder, settings, words):
    """The key, what was found, what there is, and where."""
    with pytest.raises(ConfigError, match=words):
        load(folder, **settings)


class TestClassesMissingInASplit:
    """Rows sorted by class, or too few: found before anything is trained."""

    @pytest.mark.parametrize("classes", [None, (0, 1, 2)], ids=["inferred", "named"])
    def test_training_rows_without_a_class_are_an_error(self, classes, make_set, tmp_path):
        """With the counts and advice, for named classes as for inferred ones."""
        folder = make_set("mine", (0, 0, 0, 1, 1, 2), (0, 1, 2, 2)).write(tmp_path)
        with pytest.raises(ConfigError) as caught:
            load(folder, classes=classes, train_size=5)
        for words in (
            "rows 0 to 4 of",
            "have no image of class 2;",
            "images per class there: 0: 3, 1: 2",
            "in the other rows: 2 of class 2",
            "take more rows (data.train_size)",
            "shuffle the rows of the files, which are sorted by class",
        ):
            assert words in str(caught.value)

    @pytest.mark.parametrize("remedy", [{"train_size": None}, {"classes": (0, 1)}])
    def test_what_the_error_advises_works(self, remedy, make_set, tmp_path):
        folder = make_set("mine", (0, 0, 0, 1, 1, 2), (0, 1, 2, 2)).write(tmp_path)
        assert load(folder, **{"train_size": 5, **remedy}).train.n_samples >= 5

    def test_validation_rows_without_a_class_are_a_warning(self, make_set, tmp_path):
        folder = make_set("mine", (0, 1, 2), (0, 0, 2, 1)).write(tmp_path)
        (warning,) = load(folder, val_size=3).warnings
        assert warning == (
            "no validation image of class 1: validation loss and accuracy do not cover it; images "
            "per class: 0: 2, 2: 1"
        )
        assert load(folder).warnings == ()

    @pytest.mark.parametrize("classes", [None, (0, 3)])
    def test_test_rows_without_a_class_are_a_warning(self, classes, make_set, tmp_path):
        """A score that leaves out a class would come as a surprise after training."""
        folder = make_set("mine", (0, 3, 0, 3), (0, 0)).write(tmp_path)
        (warning,) = load(folder, classes=classes, train_size=2, val_from="train").warnings
        assert warning.startswith("no test image of class 3:")

    def test_a_class_that_no_row_in_use_has_is_no_error(self, make_set, tmp_path):
        """The labels of both files decide how many classes there are."""
        folder = make_set("mine", (0, 1, 0), (0, 1, 7)).write(tmp_path)
        assert load(folder, val_size=2).train.classes == (0, 1, 7)


class TestFilesThatDoNotBelongTogether:
    """An own folder whose files are recognised by their content."""

    @pytest.fixture
    def other(self, make_set, monkeypatch):
        """Put a second dataset of the same shapes into the catalogue."""
        made = make_set("another", train_labels=(2, 1, 0, 2, 1, 0), test_labels=(0, 0, 1))
        monkeypatch.setitem(DATASETS, "another", made.dataset)
        return made

    @pytest.mark.parametrize("ending", [".gz", ""])
    @pytest.mark.parametrize("part", PARTS)
    def test_parts_of_two_known_datasets_are_an_error(self, part, ending, tiny, other, tmp_path):
        tiny.write(tmp_path, ending=ending)
        other.write(tmp_path, [part], ending=ending)
        with pytest.raises(DataError, match=rf"do not belong together: .* is Another's {part}"):
            load(tmp_path)
        tiny.write(tmp_path, ending=ending)  # the remedy: the four files of one dataset
        assert load(tmp_path).train.n_samples == 6

    def test_own_images_with_the_labels_of_a_known_dataset_are_allowed(self, tiny, tmp_path):
        """Such as MNIST with noise."""
        tiny.write(tmp_path)
        images = find_parts(tmp_path)["train-images"]
        images.write_bytes(encode_idx(np.zeros((6, 3, 2), np.uint8)))
        assert load(tmp_path).train.n_samples == 6

    @pytest.mark.usefixtures("tiny")
    def test_raw_and_compressed_files_of_one_name_must_agree(self, make_set, tmp_path):
        made = make_set("mine")
        made.write(tmp_path)
        made.write(tmp_path, ending="")
        assert load(tmp_path).train.n_samples == 6
        raw = tmp_path / "train-labels-idx1-ubyte"
        raw.write_bytes(encode_idx(np.zeros(6, np.uint8)))
        with pytest.raises(DataError, match=r"train-labels-idx1-ubyte and train-labels.*\.gz") as e:
            load(tmp_path)
        assert "remove the wrong one" in str(e.value)
        raw.unlink()
        assert load(tmp_path).train.n_samples == 6


class TestClassNames:
    """Names of labels that a dataset brings."""

    def test_fashion_mnist_has_names(self, debian_fashion_mnist, monkeypatch):
        """By name, and as a user's folder that is recognised."""
        monkeypatch.setenv("MNISTLIN_DATA_DIR", str(debian_fashion_mnist.parent))
        for dataset in ("fashion-mnist", debian_fashion_mnist):
            names = load(dataset, classes=(9, 0), train_size=100, val_size=100).class_names
            assert names == {0: "T-shirt/top", 9: "Ankle boot"}

    def test_digits_have_none(self):
        assert load("mnist-5k").class_names == {}

    def test_a_folder_may_hold_classes_txt(self, folder):
        """A line for each label from 0; a label without a line or with an empty one has no name."""
        (folder / "classes.txt").write_text("zero\n\n two \n drei\nλ\n", encoding="utf-8")
        names = {0: "zero", 2: "two", 3: "drei", 4: "λ"}
        assert load(folder).class_names == names

    @pytest.mark.parametrize(
        ("content", "words"),
        [
            (b"\xff\xfe", "UTF-8"),
            (b"a\nb\na\n", "'a' twice"),
            (b"a\x1b[31m\n", "printable"),
            (b"x" * 61, "1 to 60 printable"),
            ("\n".join(map(str, range(300))).encode(), "300 lines"),
        ],
    )
    def test_anything_else_in_it_is_an_error(self, content, words, folder):
        (folder / "classes.txt").write_bytes(content)
        with pytest.raises(DataError, match=words):
            load(folder)


class TestRecordedFolder:
    """A run keeps the absolute folder of its data, which is tried second."""

    def test_it_is_used_where_the_path_leads_nowhere(self, folder, tmp_path, monkeypatch):
        monkeypatch.chdir(folder.parent)
        data = DataConfig(dataset="./mine")
        here = SplitLoader().load(data)
        (tmp_path / "elsewhere").mkdir()
        monkeypatch.chdir(tmp_path / "elsewhere")
        there = SplitLoader().load(data, recorded=folder)
        assert there.train.sha256() == here.train.sha256()
        assert there.folder == folder

    def test_the_path_goes_first(self, folder, make_set, tmp_path):
        other = make_set("other").write(tmp_path / "other")
        assert SplitLoader().load(DataConfig(dataset=str(other)), folder).folder == other

    def test_the_error_names_both(self, tmp_path):
        data = DataConfig(dataset=str(tmp_path / "gone"))
        with pytest.raises(DataError) as caught:
            SplitLoader().load(data, tmp_path / "gone too")
        assert str(tmp_path / "gone") in str(caught.value)
        assert str(tmp_path / "gone too") in str(caught.value)

    def test_a_known_dataset_is_not_downloaded_if_the_run_still_has_it(self, tiny, tmp_path):
        folder = tiny.write(tmp_path / "old")
        assert SplitLoader().load(DataConfig(dataset="tiny"), folder).folder == folder


def test_every_row_may_be_used(folder):
    """The limits themselves are allowed."""
    splits = load(folder, train_size=10, val_size=5)
    assert (splits.train.n_samples, splits.val.n_samples) == (10, 5)


def test_images_and_labels_must_belong_together(folder):
    """As many labels as images, or the error names both files and both numbers."""
    labels = find_parts(folder)["train-labels"]
    labels.write_bytes(encode_idx(np.zeros(9, np.uint8)))
    with pytest.raises(DataError, match=r"has 10 images but .* has 9 labels"):
        load(folder)


def test_all_images_must_have_the_same_shape(folder):
    """A model that was trained on one shape cannot look at another."""
    images = find_parts(folder)["t10k-images"]
    images.write_bytes(encode_idx(np.zeros((5, 2, 3), np.uint8)))
    with pytest.raises(DataError, match=r"have 3 x 2 pixels, those of .* 2 x 3"):
        load(folder)


def test_labels_in_the_place_of_images_are_refused(folder):
    """In a user's folder the number of dimensions distinguishes the two."""
    files = find_parts(folder)
    files["train-images"].write_bytes(files["train-labels"].read_bytes())
    with pytest.raises(DataError, match=f"{files['train-images']} is an IDX file of 10 unsigned"):
        load(folder)


@pytest.mark.parametrize("ending", [".gz", ""])
def test_a_known_dataset_is_loaded_by_name(tiny, ending):
    """In the cache, raw or compressed, verified by content."""
    tiny.write(cache_folder("tiny"), ending=ending)
    splits = load("tiny")
    assert (splits.train.n_samples, splits.val.n_samples) == (6, 3)
    assert splits.dataset == "tiny"
    assert splits.folder == cache_folder("tiny")


@pytest.mark.parametrize("part", PARTS)
@pytest.mark.parametrize("ending", [".gz", ""])
def test_one_wrong_pixel_in_a_known_dataset_is_found(part, ending, tiny):
    """The content of each of the four files is verified while it is loaded."""
    content = bytearray(tiny.contents[part])
    content[-1] ^= 1
    changed = replace(tiny, contents={**tiny.contents, part: bytes(content)})
    changed.write(cache_folder("tiny"), ending=ending)
    with pytest.raises(DataError, match=rf"{part}.* is not Tiny's {part}; it is .* of no known"):
        load("tiny")


def test_a_wrong_file_in_the_data_dir_is_called_what_it_is(tiny, tmp_path, monkeypatch):
    """Test images under the name of training images: what, where, and what to do."""
    tiny.write(tmp_path)
    files = find_parts(tmp_path)
    files["train-images"].write_bytes(files["t10k-images"].read_bytes())
    monkeypatch.setenv("MNISTLIN_DATA_DIR", str(tmp_path))
    with pytest.raises(DataError) as caught:
        load("tiny")
    assert str(caught.value).startswith(
        f"{files['train-images']} is not Tiny's train-images; it is Tiny's t10k-images. "
        "MNISTLIN_DATA_DIR is"
    )


def test_a_web_page_in_the_cache_is_called_what_it_is(tiny):
    """The error says how to get the right file."""
    tiny.write(cache_folder("tiny"))
    find_parts(cache_folder("tiny"))["t10k-labels"].write_text("<html>404</html>")
    words = r"is not Tiny's t10k-labels; it is a web page \(HTML\)\. `mnistlin data fetch tiny`"
    with pytest.raises(DataError, match=words):
        load("tiny")


def test_mnist_5k_loads_anywhere():
    """The bundled set needs neither network nor cache, and has all ten digits."""
    splits = load("mnist-5k")
    assert (splits.train.n_samples, splits.val.n_samples) == (4000, 1000)
    assert splits.train.classes == tuple(range(10))


def test_real_mnist_has_the_numbers_of_the_report(real_mnist, monkeypatch):
    """20,000 and 10,000 rows are cut; of these, 4,005 and 2,042 images are twos and threes."""
    monkeypatch.setenv("MNISTLIN_DATA_DIR", str(real_mnist))
    sizes = {"train_size": 20000, "val_size": 10000}
    both = load("mnist", **sizes)
    assert (both.train.n_samples, both.val.n_samples) == (20000, 10000)
    assert both.train.classes == tuple(range(10))
    assert both.train.n_features == 784
    binary = load("mnist", classes=(2, 3), **sizes)
    assert (binary.train.n_samples, binary.val.n_samples) == (4005, 2042)


def test_a_data_dir_with_another_dataset_does_not_hide_the_cache(
    real_mnist, debian_fashion_mnist, monkeypatch
):
    """MNISTLIN_DATA_DIR at MNIST, Fashion-MNIST in the cache: each is found."""
    monkeypatch.setenv("MNISTLIN_DATA_DIR", str(real_mnist))
    with pytest.raises(DataError, match=rf"MNISTLIN_DATA_DIR is {real_mnist}, which holds MNIST"):
        load("fashion-mnist")
    cache_folder("fashion-mnist").parent.mkdir(parents=True)
    cache_folder("fashion-mnist").symlink_to(debian_fashion_mnist)
    assert load("fashion-mnist", train_size=100, val_size=100).dataset == "fashion-mnist"


@pytest.fixture
def two_classes(make_set, tmp_path):
    """Make a folder of 10 training and 5 test images of alternating classes 0 and 1."""
    made = make_set("two", [0, 1] * 5, [0, 1, 0, 1, 0])
    return made.write(tmp_path / "two")


def sampled(folder, training, **settings):
    """Return the training and validation rows of a folder, some of them sampled."""
    splits = load_splits(
        DataConfig(dataset=str(folder), **settings), training=TrainingConfig(**training)
    )
    return splits.train.rows.tolist(), splits.val.rows.tolist()


LEGACY = {"order": "legacy", "seed": 3}


def test_rows_may_be_the_last(two_classes):
    rows = sampled(two_classes, {}, train_size=7, train_rows="last", val_size=2, val_rows="last")
    assert rows == ([3, 4, 5, 6, 7, 8, 9], [3, 4])


@pytest.mark.parametrize(("val_rows", "expected"), [("first", [0, 1]), ("last", [1, 2])])
def test_validation_rows_are_chosen_from_the_other_rows(two_classes, val_rows, expected):
    settings = {"train_size": 7, "train_rows": "last", "val_from": "train", "val_size": 2}
    assert sampled(two_classes, {}, val_rows=val_rows, **settings)[1] == expected


def test_legacy_samples_are_what_numpy_chooses_training_rows_first(two_classes):
    settings = {"train_size": 6, "train_rows": "sample", "val_size": 3, "val_rows": "sample"}
    stream = np.random.RandomState(3)
    train = stream.choice(10, 6, replace=False).tolist()
    assert sampled(two_classes, LEGACY, **settings) == (train, stream.choice(5, 3, False).tolist())
    stream = np.random.RandomState(3)
    stream.choice(10, 6, replace=False)
    rest = np.delete(np.arange(10), train)
    expected = rest[stream.choice(len(rest), 3, replace=False)].tolist()
    assert sampled(two_classes, LEGACY, val_from="train", **settings) == (train, expected)


def test_a_sample_of_all_rows_is_a_permutation(two_classes):
    train, val = sampled(two_classes, {"seed": 1}, train_rows="sample", val_rows="sample")
    assert sorted(train) == list(range(10)) != train
    assert sorted(val) == list(range(5))


@pytest.mark.parametrize("order", ["independent", "legacy"])
def test_samples_are_functions_of_the_seed(two_classes, order):
    samples = [
        sampled(two_classes, {"seed": seed, "order": order}, train_size=9, train_rows="sample")
        for seed in (0, 0, 1)
    ]
    assert samples[0] == samples[1] != samples[2]


def test_only_legacy_draws_come_from_the_stream_of_the_run(two_classes):
    data = DataConfig(dataset=str(two_classes), train_rows="sample", val_rows="sample")
    assert load_splits(data, training=TrainingConfig(**LEGACY)).drawn_from == (10, 5)
    assert load_splits(data, training=TrainingConfig()).drawn_from == ()


def test_inputs_are_scaled_as_the_config_says(folder):
    for name, smallest, largest in (("symmetric", -1, 1), ("unit", 0, 1)):
        scaling = load(folder, scaling=name).train.scaling
        assert -scaling.offset == smallest
        assert 255 / scaling.divisor - scaling.offset == largest


def test_standard_inputs_have_mean_0_and_sd_1_over_the_training_images(folder):
    splits = load(folder, classes=(1, 4), train_size=7, scaling="standard")
    pixels = splits.train.images[splits.train.rows]
    scaling = splits.train.scaling
    assert (scaling.mean, scaling.divisor) == pytest.approx((pixels.mean(), pixels.std()))
    assert splits.val.scaling == scaling


def test_pixels_that_are_all_alike_cannot_be_standardised(tmp_path, write_dataset):
    part = np.full((4, 2, 3), 7), np.array([0, 1, 0, 1])
    folder = write_dataset(tmp_path / "flat", part, part)
    with pytest.raises(ConfigError, match=r"data.scaling: found standard.* value, 7.*unit"):
        load(folder, scaling="standard")


def test_a_loader_frees_its_images_and_reads_them_again(folder):
    """What they were is loaded again as it was."""
    loader, data = SplitLoader(), DataConfig(dataset=str(folder))
    splits = loader.load(data)
    images, expected = weakref.ref(splits.train.images), splits.train.images.tolist()
    del splits
    assert images() is not None
    loader.forget_images()
    assert images() is None
    assert loader.load(data).train.images.tolist() == expected
