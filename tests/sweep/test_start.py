"""Sweeps, begun and taken up again: what their folders hold, and that the bits do not differ."""

import json
import shutil

import numpy as np
import pytest

from mnistlin import experiment, load_run, run_experiment
from mnistlin.config import dump_yaml
from mnistlin.errors import ConfigError, DataError, RunError
from mnistlin.runs.files import sole_writer
from mnistlin.runs.sweep_folder import load_sweep
from mnistlin.sweep import resume_sweep, run_sweep, workers
from mnistlin.sweep.plan import tasks_of


def damage(run, how):
    """Leave of a member's folder what a kill might leave."""
    if how == "gone":
        shutil.rmtree(run.path)
    elif how == "half written":
        (run.path / "run.json").unlink()
        (run.path / "weights.npz").unlink()
    else:
        info = json.loads((run.path / "run.json").read_text())
        (run.path / "run.json").write_text(json.dumps(info | {"status": "running"}))


def changed(path, name, **values):
    """Change values of a JSON file."""
    info = json.loads((path / name).read_text())
    (path / name).write_text(json.dumps(info | values))


class TestBegun:
    """A sweep from its config to its folder."""

    def test_there_is_a_run_folder_for_every_lambda_and_seed(self, sweep_config, tmp_path):
        """Each is finished, with the config of its own that `train` would take."""
        config = sweep_config()
        sweep = run_sweep(config, tmp_path)
        assert sweep.status == "finished"
        assert sweep.path.name.endswith("_sweep-lambda_tiny")
        assert len(sweep.members) == 9
        configs = {
            key: each
            for task in tasks_of(config)
            for key, each in zip(task.keys, task.configs, strict=True)
        }
        for key, run in sweep.members.items():
            assert (run.status, run.config) == ("finished", configs[key])
            assert load_run(run.path).weights["last"].shape == (21, 3)

    def test_a_config_may_be_a_file_and_the_runs_folder_a_default(
        self, sweep_config, tmp_path, monkeypatch
    ):
        """With settings that override the file, as `run_experiment` takes them."""
        monkeypatch.setenv("MNISTLIN_RUNS_DIR", str(tmp_path / "runs"))
        file = tmp_path / "sweep.yaml"
        file.write_text(dump_yaml(sweep_config().model_dump(mode="json")), encoding="utf-8")
        sweep = run_sweep(file, overrides={"training.epochs": 1, "sweep.seeds": [3]})
        assert sweep.path.parent == tmp_path / "runs"
        assert {run.config.training.epochs for run in sweep.members.values()} == {1}
        assert sweep.settings.seeds == (3,)

    def test_a_member_is_the_run_that_train_makes(self, sweep_config, tmp_path):
        """To 1e-9: all columns of metrics.csv, the weights, and the same confusions."""
        sweep = run_sweep(sweep_config(epochs=20), tmp_path)
        for run in sweep.members.values():
            alone = run_experiment(run.config, tmp_path / "alone")
            for name, column in alone.metrics.items():
                np.testing.assert_allclose(run.metrics[name], column, rtol=1e-9, err_msg=name)
            np.testing.assert_allclose(run.weights["best"], alone.weights["best"], rtol=1e-9)
            np.testing.assert_array_equal(run.confusion, alone.confusion)
            assert run.summary.keys() == alone.summary.keys()

    def test_a_member_names_its_stack_and_the_command(self, sweep_config, tmp_path):
        """So that it can be trained again, in the same company."""
        sweep = run_sweep(sweep_config(), tmp_path)
        run = sweep.members[0.1, 2]
        stack = run.info.stack
        assert (stack.sweep, stack.l2_lambdas, stack.seed) == (sweep.path.name, (1.0, 0.1, 0.0), 2)
        assert run.info.command == sweep.info.command
        assert run.info.data == sweep.info.data
        seconds = {r.summary["train_seconds"] for (_, s), r in sweep.members.items() if s == 2}
        assert len(seconds) == 1

    def test_a_member_that_diverges_is_recorded_and_the_others_finish(self, sweep_config, tmp_path):
        """Its row has its status, and numbers where it has some."""
        sweep = run_sweep(sweep_config((1e6, 0.0), seeds=(0,)), tmp_path)
        assert sweep.status == "partly_failed"
        assert sweep.members[1e6, 0].status == "diverged"
        assert sweep.members[0.0, 0].status == "finished"
        assert list(sweep.by_lambda[1e6]) == []
        rows = (sweep.path / "sweep.csv").read_text().splitlines()
        assert rows[1].endswith(",diverged,lambda-1000000_seed-0")

    @pytest.mark.parametrize(
        ("options", "error"),
        [
            ({"data": {"train_size": 4, "val_size": 4}, "batch_size": 8}, ConfigError),
            ({"data": {"dataset": "/nowhere"}}, DataError),
        ],
    )
    def test_what_cannot_be_trained_leaves_no_folder(self, options, error, sweep_config, tmp_path):
        """Too large a batch, or no data."""
        with pytest.raises(error):
            run_sweep(sweep_config(**options), tmp_path / "runs")
        assert not (tmp_path / "runs").exists()

    def test_the_caller_hears_of_every_leg_and_stack(self, sweep_config, tmp_path):
        """Epochs never go back, and end with all of them."""
        heard = []
        config = sweep_config(early_stopping={"patience": 10_000}, epochs=4)
        run_sweep(config, tmp_path, heard.append)
        epochs = [progress.epochs_done for progress in heard]
        assert epochs == sorted(epochs)
        assert set(epochs) == set(range(13))
        assert (heard[-1].stacks_done, heard[-1].stacks, heard[-1].epochs) == (3, 3, 12)

    def test_a_stack_that_fails_is_recorded_and_the_others_go_on(
        self, sweep_config, tmp_path, monkeypatch
    ):
        """Whatever was raised: the reason is in sweep.json, and resuming mends it."""
        train = workers.train

        def fail(setup):
            if setup.training.seed == 1:
                raise MemoryError("no room for a stack")
            return train(setup)

        monkeypatch.setattr(workers, "train", fail)
        sweep = run_sweep(sweep_config(), tmp_path)
        assert sweep.status == "partly_failed"
        assert len(sweep.members) == 6
        (failure,) = sweep.failures
        assert failure == {
            "l2_lambdas": [1.0, 0.1, 0.0],
            "seed": 1,
            "error": "MemoryError: no room for a stack",
            "runs": ["lambda-1_seed-1", "lambda-0.1_seed-1", "lambda-0_seed-1"],
        }
        rows = (sweep.path / "sweep.csv").read_text().splitlines()[1:]
        assert [row for row in rows if row.startswith("0.1,1,")] == [f"0.1,1{',' * 11}failed,"]
        monkeypatch.undo()
        assert resume_sweep(sweep.path).status == "finished"

    def test_what_cannot_be_written_ends_the_sweep(self, sweep_config, tmp_path, monkeypatch):
        """A full disk will not take the other stacks either; what is complete stays."""
        written = []

        def write_results(writer, *rest):
            if len(written) == 4:
                raise RunError("no space left on device")
            written.append(writer.path)
            experiment.write_results(writer, *rest)

        monkeypatch.setattr("mnistlin.sweep.run.write_results", write_results)
        with pytest.raises(RunError, match="no space left"):
            run_sweep(sweep_config(), tmp_path)
        (path,) = tmp_path.glob("*_sweep-lambda_tiny")
        sweep = load_sweep(path)
        assert (sweep.status, len(sweep.members)) == ("failed", 4)
        assert len((path / "sweep.csv").read_text().splitlines()) == 1 + 3
        monkeypatch.undo()
        assert resume_sweep(path).status == "finished"

    def test_ctrl_c_without_a_handler_is_an_interruption(self, sweep_config, tmp_path):
        """Who calls it from Python gets the KeyboardInterrupt, and a sweep that can be resumed."""

        def press_ctrl_c(progress):
            if progress.stacks_done == 1:
                raise KeyboardInterrupt

        with pytest.raises(KeyboardInterrupt):
            run_sweep(sweep_config(), tmp_path, press_ctrl_c)
        (path,) = tmp_path.glob("*_sweep-lambda_tiny")
        assert load_sweep(path).status == "interrupted"
        assert resume_sweep(path).status == "finished"


class TestSameBits:
    """The bytes of a sweep depend neither on its workers nor on how often it was interrupted."""

    def test_with_processes_and_a_dataset_that_is_relative_to_another_folder(
        self, sweep_config, after_stacks, dataset, tmp_path, monkeypatch
    ):
        """The processes look in the folder that the sweep recorded, as the driver does."""
        shutil.copytree(dataset, tmp_path / "mine")
        (tmp_path / "elsewhere").mkdir()
        monkeypatch.chdir(tmp_path)
        config = sweep_config(data={"dataset": "./mine"})
        path = run_sweep(config, tmp_path / "runs", after_stacks(1)).path
        monkeypatch.chdir(tmp_path / "elsewhere")
        assert resume_sweep(path, jobs=2).status == "finished"

    def test_with_processes(self, sweep_config, contents, unbroken, tmp_path):
        """Two at a time, which finish in any order."""
        assert contents(run_sweep(sweep_config(), tmp_path / "runs", jobs=2)) == unbroken

    @pytest.mark.parametrize("n_stacks", [0, 1, 2])
    def test_after_an_interruption(
        self, n_stacks, sweep_config, contents, unbroken, after_stacks, tmp_path
    ):
        """What is complete is kept, the rest is cancelled, and resuming trains just that."""
        sweep = run_sweep(sweep_config(), tmp_path / "runs", after_stacks(n_stacks))
        assert sweep.status == "interrupted"
        kept = {key: run.path.stat().st_mtime_ns for key, run in sweep.members.items()}
        assert {seed for _, seed in kept} == set(range(n_stacks))
        again = resume_sweep(sweep.path)
        assert again.status == "finished"
        assert contents(again) == unbroken
        assert {key: again.members[key].path.stat().st_mtime_ns for key in kept} == kept
        assert len(again.info.resumed) == 1

    @pytest.mark.parametrize("how", ["gone", "half written", "running"])
    def test_a_stack_counts_only_as_a_whole(self, how, sweep_config, contents, unbroken, tmp_path):
        """If one member is not complete, all of its stack are trained again, and no others."""
        sweep = run_sweep(sweep_config(), tmp_path / "runs")
        damage(sweep.members[0.1, 1], how)
        before = {path: path.stat().st_mtime_ns for path in sweep.path.glob("*/steps.csv")}
        again = resume_sweep(sweep.path)
        assert contents(again) == unbroken
        anew = {run.path for (_, seed), run in again.members.items() if seed == 1}
        for path, time in before.items():
            assert (path.stat().st_mtime_ns != time) == (path.parent in anew)

    def test_a_stack_of_another_width_is_trained_again(self, sweep_config, tmp_path):
        """Its members agree with what they should be to rounding only."""
        sweep = run_sweep(sweep_config(), tmp_path)
        run = sweep.members[0.1, 1]
        changed(run.path, "run.json", stack=dict(run.info.stack) | {"l2_lambdas": [0.1]})
        assert resume_sweep(sweep.path).members[0.1, 1].info.stack == run.info.stack

    def test_nothing_is_trained_if_nothing_is_missing(self, sweep_config, tmp_path):
        """Resuming a finished sweep leaves its runs alone."""
        sweep = run_sweep(sweep_config(), tmp_path)
        before = {path: path.stat().st_mtime_ns for path in sweep.path.glob("lambda-*/*")}
        assert resume_sweep(sweep.path).status == "finished"
        assert {path: path.stat().st_mtime_ns for path in sweep.path.glob("lambda-*/*")} == before


class TestRefused:
    """What cannot be resumed, of which nothing is changed."""

    def test_what_is_no_sweep(self, sweep_config, tmp_path):
        """A member, an empty folder, and none at all."""
        sweep = run_sweep(sweep_config(), tmp_path)
        for path in (sweep.members[0.1, 1].path, tmp_path, tmp_path / "nowhere"):
            with pytest.raises(RunError, match="is not the folder of a sweep"):
                resume_sweep(path)
        assert not list(tmp_path.rglob(".lock"))

    def test_a_changed_config(self, sweep_config, after_stacks, tmp_path):
        """The message names the key and both values."""
        sweep = run_sweep(sweep_config(), tmp_path, after_stacks(1))
        text = (sweep.path / "config.yaml").read_text()
        (sweep.path / "config.yaml").write_text(text.replace("epochs: 4", "epochs: 5"))
        with pytest.raises(RunError, match=r"training\.epochs from 4 to 5"):
            resume_sweep(sweep.path)
        assert len(sweep.members) == 3

    def test_other_data(self, sweep_config, after_stacks, dataset, tmp_path):
        """The same folder with another pixel in it."""
        mine = shutil.copytree(dataset, tmp_path / "mine")
        config = sweep_config(data={"dataset": str(mine)})
        sweep = run_sweep(config, tmp_path / "runs", after_stacks(1))
        images = bytearray((mine / "train-images-idx3-ubyte").read_bytes())
        images[100] ^= 1
        (mine / "train-images-idx3-ubyte").write_bytes(images)
        with pytest.raises(DataError, match="images_sha256"):
            resume_sweep(sweep.path)

    def test_one_that_is_being_written(self, sweep_config, after_stacks, tmp_path):
        """Two writers of one sweep would mix up their rows."""
        sweep = run_sweep(sweep_config(), tmp_path, after_stacks(1))
        with sole_writer(sweep.path), pytest.raises(RunError, match="another process"):
            resume_sweep(sweep.path)
