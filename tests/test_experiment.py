"""One experiment from config to run folder."""

import json
import math
import shutil
import threading

import numpy as np
import pytest
from threadpoolctl import threadpool_info

from mnistlin.data.splits import load_splits
from mnistlin.errors import ConfigError, DataError, RunError
from mnistlin.experiment import resume_experiment, run_experiment, setup_for
from mnistlin.training.segments import Check

PATIENT = {"patience": 2, "min_delta": 0.05}
RESULTS = ("metrics.csv", "steps.csv", "weights.npz", "confusion.csv", "config.yaml")


def images_and_labels(dataset, stem):
    """Read IDX files in the simplest way: pixels (n, 20) and labels (n,)."""
    pixels = np.fromfile(dataset / f"{stem}-images-idx3-ubyte", np.uint8)[16:].reshape(-1, 20)
    return pixels, np.fromfile(dataset / f"{stem}-labels-idx1-ubyte", np.uint8)[8:]


def judged_plainly(W, pixels, targets):
    """Return loss, accuracy and named classes under weights (n_features + 1, n_outputs)."""
    Z = np.hstack([pixels / 127.5 - 1, np.ones((len(pixels), 1))]) @ W
    Z = Z if Z.shape[1] > 1 else np.hstack([Z, np.zeros_like(Z)])
    log_y = Z - np.log(np.exp(Z).sum(axis=1, keepdims=True))
    named = Z.argmax(axis=1)
    return -log_y[np.arange(len(Z)), targets].mean(), (named == targets).mean(), named


class TestResults:
    """What a finished run says is true."""

    def test_the_tables_are_those_of_the_plain_trainer(
        self, finished_run, make_split, make_setup, reference, dataset
    ):
        """From files to files, every number."""
        splits = []
        for stem in ("train", "t10k"):
            pixels, labels = images_and_labels(dataset, stem)
            targets = np.searchsorted([1, 2, 7], labels)
            any_split = make_split(3, 3, (4, 5))
            splits.append(
                type(any_split)(pixels, np.arange(len(pixels)), targets, (1, 2, 7), (4, 5))
            )
        expected = reference(make_setup(splits=splits, epochs=4))
        run = finished_run
        np.testing.assert_allclose(
            np.transpose(list(run.steps.values())), expected.steps, rtol=1e-9
        )
        np.testing.assert_allclose(
            np.transpose(list(run.metrics.values())), expected.metrics, rtol=1e-9
        )
        np.testing.assert_allclose(run.weights["last"], expected.last, rtol=1e-9)
        np.testing.assert_allclose(run.weights["best"], expected.best, rtol=1e-9)

    @pytest.mark.parametrize("model", ["logistic", "softmax"])
    @pytest.mark.parametrize("dtype", ["float32", "float64"])
    def test_weights_confusion_and_last_row_belong_together(
        self, model, dtype, make_config, dataset, tmp_path
    ):
        """The weights kept as `last` give the last row, those kept as `best` the best one."""
        config = make_config(model, dtype=dtype, early_stopping=PATIENT, learning_rate=3.0)
        run = run_experiment(config, tmp_path)
        assert run.summary["last_val_accuracy"] != run.summary["best_val_accuracy"]
        pixels, labels = images_and_labels(dataset, "t10k")
        kept = np.isin(labels, run.classes)
        targets = np.array([run.classes.index(label) for label in labels[kept]])
        for which, row in (("last", -1), ("best", run.metrics["val_loss"].argmin())):
            loss, accuracy, named = judged_plainly(run.weights[which], pixels[kept], targets)
            assert run.weights[which].dtype == dtype
            assert loss == pytest.approx(run.metrics["val_loss"][row], rel=1e-5)
            assert accuracy == run.metrics["val_accuracy"][row]
            if which == "last":
                counts = np.zeros_like(run.confusion)
                np.add.at(counts, (targets, named), 1)
                np.testing.assert_array_equal(run.confusion, counts)

    def test_logistic_classes_keep_the_order_of_the_config(self, make_config, tmp_path):
        """The first named, 7, is target 1: class index 0 everywhere."""
        run = run_experiment(make_config("logistic"), tmp_path)
        assert run.classes == (7, 2)
        header, first, second = (run.path / "confusion.csv").read_text().splitlines()
        assert (header, first[:2], second[:2]) == ("true,7,2", "7,", "2,")
        assert run.weights["last"].shape == (21, 1)

    def test_the_summary_repeats_the_last_and_the_best_row(self, make_config, tmp_path):
        """And says where training ended and why."""
        run = run_experiment(make_config(early_stopping=PATIENT, epochs=50), tmp_path)
        summary, metrics = run.summary, run.metrics
        best = metrics["val_loss"].argmin()
        for name in Check._fields:
            assert summary[f"last_{name}"] == metrics[name][-1]
            assert summary[f"best_{name}"] == metrics[name][best]
        assert summary["stop_reason"] == run.status == "early_stopped"
        assert summary["stop_step"] == run.steps["step"][-1] == metrics["step"][-1]
        assert summary["stop_epoch"] == summary["stop_step"] // 7 < 49
        assert (summary["n_train"], summary["n_val"]) == (60, 30)
        assert metrics["checks_without_improvement"][-1] == 2
        assert summary["train_seconds"] > 0

    def test_the_summary_is_strict_and_flat_json(self, finished_run):
        """No NaN, no infinity, no list: a table of many runs can be made of it."""

        def refuse(constant):
            raise AssertionError(constant)

        text = (finished_run.path / "summary.json").read_text()
        values = json.loads(text, parse_constant=refuse).values()
        assert all(value is None or isinstance(value, str | int | float) for value in values)

    def test_a_config_that_was_run_can_be_run_again(self, finished_run, tmp_path):
        """The config.yaml of a run gives the run."""
        again = run_experiment(finished_run.config, tmp_path)
        for name in RESULTS:
            assert (again.path / name).read_bytes() == (finished_run.path / name).read_bytes()

    @pytest.mark.parametrize("settings", [{"dtype": "float32"}, {"shuffle": False}])
    def test_the_same_config_gives_the_same_bytes(self, settings, make_config, tmp_path):
        """Tables, weights, counts and config; early stopping or not."""
        config = make_config("logistic", early_stopping=PATIENT, **settings)
        one, two = (run_experiment(config, tmp_path) for _ in range(2))
        assert one.path != two.path
        for name in RESULTS:
            assert (one.path / name).read_bytes() == (two.path / name).read_bytes()

    def test_other_seeds_give_other_bytes(self, make_config, tmp_path):
        """Otherwise the test above would show nothing."""
        runs = [run_experiment(make_config(seed=seed), tmp_path) for seed in (0, 1)]
        contents = [(run.path / "steps.csv").read_bytes() for run in runs]
        assert contents[0] != contents[1]

    def test_a_finished_run_holds_what_the_documentation_lists(self, finished_run):
        """And nothing else: no checkpoint, lock or temporary file."""
        assert {path.name for path in finished_run.path.iterdir()} == {
            *("config.yaml", "run.json", "metrics.csv", "steps.csv"),
            *("summary.json", "weights.npz", "confusion.csv"),
        }

    def test_a_run_that_validates_on_the_test_file_has_a_warning(
        self, finished_run, make_config, tmp_path
    ):
        """A run that does not has none."""
        assert finished_run.info.warnings == ("model selection used the test set",)
        honest = make_config(data={"val_from": "train", "train_size": 40})
        assert run_experiment(honest, tmp_path).info.warnings == ()

    @pytest.mark.parametrize("model", ["logistic", "softmax"])
    def test_an_untouched_test_set_is_scored_once_at_the_end(
        self, model, make_config, dataset, tmp_path
    ):
        """With val_from: train; the figures are those of the last weights."""
        data = {"val_from": "train", "train_size": 40, "val_size": 15}
        run = run_experiment(make_config(model, data=data, epochs=20, learning_rate=1.0), tmp_path)
        if model == "softmax":  # else `best` would do as well
            assert (run.weights["last"] != run.weights["best"]).any()
        pixels, labels = images_and_labels(dataset, "t10k")
        kept = np.isin(labels, run.classes)
        targets = np.array([run.classes.index(label) for label in labels[kept]])
        loss, accuracy, _ = judged_plainly(run.weights["last"], pixels[kept], targets)
        assert run.summary["test_loss"] == pytest.approx(loss, rel=1e-12)
        assert run.summary["test_accuracy"] == accuracy
        pixels, labels = (part[40:55] for part in images_and_labels(dataset, "train"))
        kept = np.isin(labels, run.classes)
        targets = np.array([run.classes.index(label) for label in labels[kept]])
        loss, accuracy, _ = judged_plainly(run.weights["last"], pixels[kept], targets)
        assert run.metrics["val_loss"][-1] == pytest.approx(loss, rel=1e-12)
        assert run.summary["n_val"] == kept.sum() == run.confusion.sum()

    def test_without_a_test_set_there_is_no_test_score(self, finished_run):
        """The validation figures already are those of the test file."""
        assert "test_loss" not in finished_run.summary


class TestDivergence:
    """A run that blows up is a result too."""

    def test_it_keeps_rows_and_weights_of_before(self, make_config, tmp_path):
        """No nan in any file, and the last good weights."""
        run = run_experiment(make_config(l2_lambda=20.0, epochs=10), tmp_path)
        assert run.status == run.summary["stop_reason"] == "diverged"
        assert len(run.metrics["step"]) > 2
        assert run.summary["last_step"] == run.metrics["step"][-1]
        assert run.summary["stop_step"] == run.steps["step"][-1] < 69
        assert np.linalg.norm(run.weights["last"]) == pytest.approx(run.metrics["weight_norm"][-1])
        for name in ("metrics.csv", "steps.csv", "summary.json"):
            text = (run.path / name).read_text().lower()
            assert "nan" not in text
            assert "inf" not in text

    def test_a_loss_that_ends_far_above_its_start_is_a_warning(self, make_config, tmp_path):
        """It is in run.json; a run that learned something has none."""
        wild = run_experiment(make_config(learning_rate=1e4, epochs=2), tmp_path)
        assert wild.status == "finished"
        assert wild.metrics["train_loss"][-1] > 10 * np.log(3)
        (*others, about_loss) = wild.info.warnings
        assert about_loss.startswith("training loss rose from 1.1 at the start to ")
        assert "lower training.learning_rate 10000" in about_loss
        calm = run_experiment(make_config(epochs=2), tmp_path)
        assert list(calm.info.warnings) == others

    def test_at_the_first_check_zero_weights_are_kept(self, make_config, tmp_path):
        """There is no last or best check to report."""
        run = run_experiment(make_config(learning_rate=1e30), tmp_path)
        assert run.status == "diverged"
        assert not run.weights["last"].any()
        assert not run.weights["best"].any()
        assert run.summary["last_val_loss"] is run.summary["best_step"] is None
        assert len(run.metrics["step"]) == 0
        assert run.summary["stop_step"] == 0

    @pytest.mark.filterwarnings("ignore::RuntimeWarning")  # test_sgd holds the trainer to that
    def test_a_penalty_beyond_all_floats_is_divergence_too(
        self, make_config, write_dataset, tmp_path
    ):
        """Weights of 1e150 separate white from black at once: all but λ Σ W² is finite."""
        labels = np.array([7, 2] * 8)
        part = np.where(labels == 7, 255, 0)[:, None, None] * np.ones((4, 5)), labels
        folder = write_dataset(tmp_path / "black-and-white", part, part)
        config = make_config(
            "logistic", data={"dataset": str(folder)}, learning_rate=1e150, l2_lambda=1e10
        )
        run = run_experiment(config, tmp_path / "runs")
        assert (run.status, len(run.metrics["step"])) == ("diverged", 0)


class TestWhileItRuns:
    """What others see, and what they can do."""

    def test_rows_are_on_disk_when_an_epoch_is_reported(self, make_config, tmp_path):
        """With run.json saying that the run is still training."""
        seen = []

        def look(progress):
            (path,) = tmp_path.iterdir()
            steps = np.loadtxt(path / "metrics.csv", delimiter=",", skiprows=1, ndmin=2)[:, 0]
            batches = np.loadtxt(path / "steps.csv", delimiter=",", skiprows=1, ndmin=2)[:, 0]
            assert progress.check.step in steps
            assert (progress.epoch + 1) * 7 - 1 in batches
            assert json.loads((path / "run.json").read_text())["status"] == "running"
            seen.append(progress.epoch)

        run_experiment(make_config(early_stopping={"patience": 999}), tmp_path, look)
        assert seen == [0, 1, 2, 3]

    def test_the_folder_is_whole_before_the_first_step(self, make_config, tmp_path, monkeypatch):
        """Config, origin and headers are there even if the run dies at once."""

        def die(*_):
            raise SystemExit

        monkeypatch.setattr("mnistlin.experiment.train", die)
        with pytest.raises(SystemExit):
            run_experiment(make_config(), tmp_path)
        (path,) = tmp_path.iterdir()
        names = {each.name for each in path.iterdir()}
        assert {"config.yaml", "run.json", "metrics.csv", "steps.csv"} <= names
        assert (path / "steps.csv").read_text() == "step,epoch,batch_loss\n"

    @pytest.mark.parametrize("early_stopping", [None, {"patience": 999}])
    def test_each_epoch_is_reported_once(self, early_stopping, make_config, tmp_path):
        """In order, with its last check, however many epochs are judged together."""
        reports = []
        config = make_config(early_stopping=early_stopping)
        run = run_experiment(config, tmp_path, reports.append)
        assert [report.epoch for report in reports] == [0, 1, 2, 3]
        assert {report.epochs for report in reports} == {4}
        for report in reports:
            assert (
                report.check.step == run.metrics["step"][run.metrics["epoch"] == report.epoch][-1]
            )

    def test_epochs_after_the_end_are_not_reported(self, make_config, tmp_path):
        """Those that were trained, and cut off since the model had diverged before."""
        reports = []
        run = run_experiment(make_config(l2_lambda=20.0, epochs=10), tmp_path, reports.append)
        assert reports[-1].epoch == run.summary["stop_epoch"] < 9

    @pytest.mark.parametrize("early_stopping", [None, {"patience": 999}])
    def test_the_caller_can_end_a_run(self, early_stopping, make_config, tmp_path):
        """With the segment of the epoch at which it says so; all is written, as interrupted."""
        asked = []

        def stop_after_epoch_1(progress):
            asked.append(progress.epoch)
            return progress.epoch == 1

        config = make_config(early_stopping=early_stopping, epochs=400)
        run = run_experiment(config, tmp_path, stop_after_epoch_1)
        assert run.status == run.summary["stop_reason"] == "interrupted"
        assert run.summary["stop_step"] == run.steps["step"][-1]
        assert run.weights["last"].any()
        assert run.confusion.sum() == 30
        assert asked == [0, 1]
        segments = setup_for([config], load_splits(config.data)).schedule.segments()
        assert run.summary["stop_epoch"] == next(each[-1] for each in segments if 1 in each)

    def test_a_wish_to_stop_at_the_very_end_changes_nothing(self, make_config, tmp_path):
        """The run is finished, for nothing is missing."""
        config = make_config(early_stopping={"patience": 999})
        run = run_experiment(config, tmp_path, lambda progress: progress.epoch == 3)
        assert run.status == "finished"

    @pytest.mark.parametrize(
        ("error", "status"),
        [(ZeroDivisionError, "failed"), (KeyboardInterrupt, "interrupted"), (RunError, "failed")],
    )
    def test_what_the_caller_raises_is_noted_and_passed_on(
        self, error, status, make_config, tmp_path
    ):
        """run.json says that the run ended, and when; rows up to there are kept."""

        def fail(progress):
            if progress.epoch == 1:
                raise error("of the caller")

        with pytest.raises(error, match="of the caller"):
            run_experiment(make_config(early_stopping={"patience": 999}), tmp_path, fail)
        (path,) = tmp_path.iterdir()
        info = json.loads((path / "run.json").read_text())
        assert info["status"] == status
        assert info["ended_utc"] >= info["started_utc"]
        assert len((path / "steps.csv").read_text().splitlines()) == 1 + 2 * 7

    def test_a_failed_run_leaves_no_thread_and_no_limit(self, make_config, tmp_path):
        """Even while its traceback is looked at, which keeps its variables alive."""

        def fail(_):
            raise ZeroDivisionError

        def state():
            limits = [each["num_threads"] for each in threadpool_info()]
            return set(threading.enumerate()), limits

        before = state()
        with pytest.raises(ZeroDivisionError) as caught:
            run_experiment(make_config(early_stopping={"patience": 999}), tmp_path, fail)
        assert caught.value.__traceback__ is not None
        assert state() == before

    def test_rows_that_cannot_be_written_fail_the_run(self, make_config, tmp_path):
        """As on a full disk; run.json, which can be written, says so."""

        def spoil(progress):
            if progress.epoch == 0:
                (path,) = tmp_path.iterdir()
                (path / "metrics.csv").unlink()
                (path / "metrics.csv").mkdir()

        with pytest.raises(RunError, match=r"metrics\.csv"):
            run_experiment(make_config(early_stopping={"patience": 999}), tmp_path, spoil)
        (path,) = tmp_path.iterdir()
        assert json.loads((path / "run.json").read_text())["status"] == "failed"
        assert len((path / "steps.csv").read_text().splitlines()) == 1 + 7

    def test_a_folder_that_vanishes_is_told(self, make_config, tmp_path):
        """And not made again in parts."""

        def vanish(_):
            shutil.rmtree(next(tmp_path.iterdir()), ignore_errors=True)

        with pytest.raises(RunError):
            run_experiment(make_config(early_stopping={"patience": 999}), tmp_path, vanish)


class TestRefusals:
    """What does not fit together is refused before a folder is made."""

    @pytest.mark.parametrize(
        ("settings", "key"),
        [
            ({"batch_size": 61}, "training.batch_size"),
            ({"data": {"train_size": 61}}, "data.train_size"),
            ({"data": {"val_size": 31}}, "data.val_size"),
            ({"data": {"classes": [1, 3]}}, "data.classes"),
            ({"data": {"train_size": 60, "val_from": "train"}}, "data.train_size"),
        ],
    )
    def test_a_config_that_does_not_fit_the_data(self, settings, key, make_config, tmp_path):
        """The message names the key."""
        with pytest.raises(ConfigError, match=key.replace(".", r"\.")):
            run_experiment(make_config(**settings), tmp_path / "runs")
        assert not (tmp_path / "runs").exists()

    def test_a_softmax_of_one_class(self, make_config, write_dataset, tmp_path):
        """With one label in both files there is nothing to classify."""
        part = np.zeros((9, 4, 5)), np.full(9, 3)
        folder = write_dataset(tmp_path / "one-class", part, part)
        config = make_config(data={"dataset": str(folder)})
        with pytest.raises(ConfigError, match="classes"):
            run_experiment(config, tmp_path / "runs")
        assert not (tmp_path / "runs").exists()

    def test_data_that_is_not_there(self, make_config, tmp_path):
        """A DataError, by which the command line ends with exit code 3."""
        config = make_config(data={"dataset": str(tmp_path / "nowhere")})
        with pytest.raises(DataError, match="nowhere"):
            run_experiment(config, tmp_path / "runs")
        assert not (tmp_path / "runs").exists()

    def test_a_runs_dir_that_is_a_file(self, make_config, tmp_path):
        """Nothing is trained."""
        (tmp_path / "runs").write_text("")
        with pytest.raises(RunError, match="runs"):
            run_experiment(make_config(), tmp_path / "runs")


def test_the_first_batch_loss_is_that_of_a_guess(finished_run):
    """It is ln 3, for losses are in nats."""
    assert finished_run.steps["batch_loss"][0] == pytest.approx(math.log(3), rel=1e-12)


class TestData:
    """Where the images of a run come from, and what run.json keeps of it."""

    def test_the_absolute_folder_is_kept_and_tried_second(
        self, dataset, tmp_path, make_config, monkeypatch
    ):
        """A relative path in another working directory: an unfinished run still resumes."""
        monkeypatch.chdir(dataset.parent)
        config = make_config(data={"dataset": f"./{dataset.name}"}, early_stopping=PATIENT)
        begun = run_experiment(config, tmp_path, lambda _: True)
        assert begun.info.data.folder == str(dataset)
        monkeypatch.chdir(tmp_path)
        assert resume_experiment(begun.path).status in {"finished", "early_stopped"}

    def test_class_names_and_warnings_are_kept(self, dataset, tmp_path, make_config):
        copy = shutil.copytree(dataset, tmp_path / "copy")
        (copy / "classes.txt").write_text("\none\ntwo\n")
        config = make_config(data={"dataset": str(copy), "val_size": 1})
        run = run_experiment(config, tmp_path / "runs")
        assert run.class_names == ("one", "two", "7")
        warning = run.info.warnings[-1]
        assert warning.startswith("no validation image of class 2, 7:")

    def test_a_name_of_a_shipped_config_is_enough(self, tmp_path):
        small = {"training.epochs": 1, "data.train_size": 100, "data.val_size": 100}
        run = run_experiment("quickstart", tmp_path, overrides=small)
        assert (run.config.name, run.config.training.epochs) == ("quickstart", 1)
