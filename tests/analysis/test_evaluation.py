"""Evaluations equal what training measured, scikit-learn's scores, and refuse what does not fit."""

import numpy as np
import pytest
from sklearn.metrics import precision_recall_fscore_support

from mnistlin import ConfigError, DataError
from mnistlin.analysis.evaluate import evaluate
from mnistlin.runs.provenance import load_own_splits

PRECISIONS = [("float64", 1e-12), ("float32", 1e-6)]


@pytest.mark.parametrize("model", ["logistic", "softmax"])
@pytest.mark.parametrize(("dtype", "tolerance"), PRECISIONS)
class TestAgainstTraining:
    """The numbers are those of metrics.csv, measured again."""

    def test_last_weights_give_the_last_row(self, train_tiny, model, dtype, tolerance):
        """On the validation set and on the training set."""
        run = train_tiny(model, dtype=dtype)
        for split in ("train", "val"):
            found = evaluate(run, "last", split)
            assert found.loss == pytest.approx(run.metrics[f"{split}_loss"][-1], rel=tolerance)
            assert found.accuracy == run.metrics[f"{split}_accuracy"][-1]

    def test_best_weights_give_the_best_row(self, train_tiny, model, dtype, tolerance):
        """The one with the lowest validation loss."""
        run = train_tiny(model, dtype=dtype, epochs=30, learning_rate=1.5)
        best = run.metrics["val_loss"].argmin()
        assert best < len(run.metrics["step"]) - 1
        assert evaluate(run, "best").loss == pytest.approx(
            run.metrics["val_loss"][best], rel=tolerance
        )


class TestScores:
    """Accuracy, each class, and the mistakes."""

    def test_each_class_is_scored_as_scikit_learn_does(self, finished_run):
        """Precision, recall and F1."""
        found = evaluate(finished_run)
        scores = list(found.class_scores())
        judged = precision_recall_fscore_support(
            found.split.targets, found.predictions.class_index, zero_division=np.nan
        )
        ours = [[s.precision, s.recall, s.f1, s.n_samples] for s in scores]
        np.testing.assert_allclose(np.array(ours, dtype=float).T, judged)
        assert [score.label for score in scores] == [1, 2, 7]

    def test_a_fraction_of_nothing_is_none(self, finished_run, monkeypatch):
        """A class that is never named has no precision, and recall 0."""
        found = evaluate(finished_run)
        monkeypatch.setitem(found.__dict__, "confusion", np.array([[0, 5, 0], [0, 9, 0], [0] * 3]))
        first, _, third = found.class_scores()
        assert (first.precision, first.recall, first.f1) == (None, 0.0, 0.0)
        assert (third.precision, third.recall, third.f1) == (None, None, None)

    def test_the_confusion_matrix_is_the_runs(self, finished_run):
        """As confusion.csv has it."""
        np.testing.assert_array_equal(evaluate(finished_run).confusion, finished_run.confusion)

    def test_mistakes_come_by_confidence(self, finished_run):
        """All are wrong, and the most probable wrong class is first."""
        found = evaluate(finished_run)
        mistakes = found.most_confident_mistakes(100)
        assert len(mistakes) == (~found.is_correct).sum() > 1
        assert not found.is_correct[mistakes].any()
        confidence = found.predictions.probability[mistakes].max(axis=1)
        assert (np.diff(confidence) <= 0).all()
        assert len(found.most_confident_mistakes(1)) == 1

    def test_that_validation_images_selected_the_weights_is_a_warning(self, finished_run):
        """For the images that steered the run, and only for these."""
        warning = "model selection used the test set"
        assert warning in evaluate(finished_run).warnings()
        assert warning not in evaluate(finished_run, split_name="train").warnings()


class TestOwnData:
    """The images are those of the run, or there is no answer."""

    def test_one_changed_pixel_is_noticed(self, movable_run):
        """The message names the split."""
        run, folder = movable_run()
        path = folder / "t10k-images-idx3-ubyte"
        content = bytearray(path.read_bytes())
        content[-1] ^= 1
        path.write_bytes(content)
        with pytest.raises(DataError, match=r"val\.images_sha256 differ from run\.json"):
            evaluate(run)

    def test_one_changed_label_is_noticed(self, movable_run):
        """Also on the split that is not evaluated."""
        run, folder = movable_run()
        path = folder / "train-labels-idx1-ubyte"
        content = bytearray(path.read_bytes())
        content[-1] = 1 if content[-1] == 2 else 2
        path.write_bytes(content)
        with pytest.raises(DataError, match=r"train\.labels_sha256"):
            evaluate(run)

    def test_a_test_set_exists_only_where_it_was_left_untouched(self, movable_run):
        """Otherwise it is the validation set, and the message says so."""
        run, _ = movable_run()
        with pytest.raises(ConfigError, match="are the validation set; ask for val"):
            evaluate(run, split_name="test")
        careful, _ = movable_run(val_from="train", train_size=40)
        found = evaluate(careful, split_name="test")
        assert found.accuracy == careful.summary["test_accuracy"]
        assert found.loss == pytest.approx(careful.summary["test_loss"])


class TestOtherData:
    """Another dataset is fine if its images and labels fit."""

    def images_of(self, run):
        """Return the validation images of a run as (n, height, width), and their labels."""
        val = load_own_splits(run).val
        images = val.images[val.rows].reshape(-1, *val.image_shape)
        return images, np.array(val.classes)[val.targets]

    def test_the_same_images_from_elsewhere_give_the_same(
        self, finished_run, write_dataset, tmp_path
    ):
        """Also with fewer classes, whose labels keep their meaning."""
        images, labels = self.images_of(finished_run)
        kept = labels != 1
        folder = write_dataset(
            tmp_path / "other", (images[kept], labels[kept]), (images[kept], labels[kept])
        )
        own, other = evaluate(finished_run), evaluate(finished_run, dataset=str(folder))
        np.testing.assert_array_equal(other.is_correct, own.is_correct[kept])
        assert other.split.classes == own.split.classes
        np.testing.assert_allclose(
            other.predictions.loss, own.predictions.loss[kept], rtol=1e-12, atol=1e-15
        )

    def test_labels_that_the_run_does_not_know_are_refused(
        self, finished_run, write_dataset, tmp_path
    ):
        """They are named, with those that it knows."""
        images, labels = self.images_of(finished_run)
        labels[0] = 9
        folder = write_dataset(tmp_path / "other", (images, labels), (images, labels))
        with pytest.raises(DataError, match=r"labels 9 of .* which are 1, 2, 7"):
            evaluate(finished_run, dataset=str(folder))

    def test_files_of_different_folders_have_different_names(
        self, finished_run, write_dataset, tmp_path
    ):
        """Of folders with the same name, and of names that have no ASCII letter."""
        data = self.images_of(finished_run)
        names = ("a/digits", "b/digits", "数字", "字数")
        folders = [write_dataset(tmp_path / name, data, data) for name in names]
        stems = [evaluate(finished_run, dataset=str(folder)).stem for folder in folders]
        assert len({*stems, evaluate(finished_run).stem}) == len(stems) + 1
        assert all(stem.isascii() for stem in stems)

    def test_files_of_a_folder_whose_content_changed_have_other_names(
        self, finished_run, write_dataset, tmp_path
    ):
        images, labels = self.images_of(finished_run)
        folder, stems = tmp_path / "digits", set()
        for changed in (images, images ^ 1):
            write_dataset(folder, (images, labels), (changed, labels))
            stems.add(evaluate(finished_run, dataset=str(folder)).stem)
        assert len(stems) == 2

    def test_images_of_another_shape_are_refused(self, finished_run, write_dataset, tmp_path):
        """The error has both shapes."""
        images, labels = self.images_of(finished_run)
        small = (images[:, :-1], labels)
        folder = write_dataset(tmp_path / "other", small, small)
        with pytest.raises(DataError, match=r"have 3 x 5 pixels, but .* 4 x 5"):
            evaluate(finished_run, dataset=str(folder))


def test_a_split_of_another_name_is_refused(finished_run):
    """It is not taken for the validation set."""
    with pytest.raises(ConfigError, match="there is no vall set"):
        evaluate(finished_run, split_name="vall")
