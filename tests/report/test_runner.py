"""Getting the experiments of a report done."""

import multiprocessing
import os
import signal

import pytest

from mnistlin.analysis.claims import TrainedExperiment
from mnistlin.errors import ConfigError, RunError
from mnistlin.report import runner
from mnistlin.report.runner import train_all
from mnistlin.report.side_by_side import train_side_by_side


def folders(runs_dir):
    """Return the names of all runs and sweeps."""
    return sorted(path.name for path in runs_dir.iterdir())


def contents(run):
    """Return what a run has computed."""
    return [(run.path / name).read_bytes() for name in ("metrics.csv", "steps.csv", "weights.npz")]


def test_every_experiment_is_trained(experiments):
    """One run per seed, or a sweep."""
    assert [len(experiments[name].runs) for name in ("plain", "shuffled", "sweep")] == [1, 2, 0]
    assert experiments["sweep"].whole_sweep.status == "finished"


def test_a_second_report_trains_nothing(experiments, report, tiny_runs_dir):
    """It shows the same folders."""
    before = folders(tiny_runs_dir)
    again = train_all(report.configs, tiny_runs_dir)
    assert folders(tiny_runs_dir) == before
    assert {name: each.folder.path for name, each in again.items()} == {
        name: each.folder.path for name, each in experiments.items()
    }


def test_the_bar_ends_full(report, tiny_runs_dir, experiments):
    """What is reused counts as much as what is trained, and never goes back."""
    told = []
    train_all(report.configs, tiny_runs_dir, told.append)
    done = [progress.epochs_done for progress in told]
    assert done == sorted(done)
    assert done[-1] == told[-1].epochs


@pytest.mark.parametrize("stop_at", [1, 100, 181])
def test_an_interrupted_report_goes_on_where_it_was(report, tmp_path, stop_at):
    """The run or sweep under way is resumed, and no folder is made twice."""
    stopped = train_all(report.configs, tmp_path, lambda progress: progress.epochs_done >= stop_at)
    assert stopped is None
    before = set(folders(tmp_path))
    finished = train_all(report.configs, tmp_path)
    n_wanted = sum(map(len, report.configs.values()))
    assert before <= set(folders(tmp_path))
    assert len(folders(tmp_path)) == n_wanted
    assert finished["plain"].run.summary["stop_epoch"] == 59


class TestProcesses:
    """With several jobs, new runs train side by side."""

    def test_they_write_the_same_bytes(self, report, experiments, tmp_path):
        """The bar ends full, and never goes back."""
        told = []
        found = train_all(report.configs, tmp_path, told.append, n_jobs=2)
        for name in ("plain", "shuffled"):
            assert list(map(contents, found[name].runs)) == list(
                map(contents, experiments[name].runs)
            )
        assert len(folders(tmp_path)) == sum(map(len, report.configs.values()))
        done = [progress.epochs_done for progress in told]
        assert done == sorted(done)
        assert done[-1] == told[-1].epochs

    @pytest.mark.parametrize("is_long", [False, True])
    def test_by_default_only_long_runs_have_them(self, is_long, make_config, tmp_path, monkeypatch):
        """Sixty images in two epochs, for each of two seeds."""
        configs = [make_config(epochs=2, seed=seed) for seed in (0, 1)]
        monkeypatch.setattr(runner, "_MANY_IMAGES", 240 if is_long else 241)
        monkeypatch.setattr(runner, "max_helpers", lambda: 1)
        side_by_side = []

        def noted(configs, runs_dir, n_jobs):
            side_by_side.append((len(configs), n_jobs))
            return train_side_by_side(configs, runs_dir, n_jobs)

        monkeypatch.setattr(runner, "train_side_by_side", noted)
        assert train_all({"two": configs}, tmp_path, n_jobs=None)["two"].runs
        assert side_by_side == ([(2, 2)] if is_long else [])

    def test_what_two_experiments_share_is_trained_once(self, make_config, tmp_path):
        configs = [make_config(epochs=1, seed=seed) for seed in (0, 1)]
        told = []
        found = train_all({"one": configs, "other": configs}, tmp_path, told.append, n_jobs=2)
        assert len(folders(tmp_path)) == 2
        assert told[-1].epochs_done == told[-1].epochs == 4
        paths = [[run.path for run in found[name].runs] for name in ("one", "other")]
        assert paths[0] == paths[1]

    @pytest.mark.parametrize("how", ["stopped", "killed"])
    def test_runs_go_on_where_they_were(self, how, make_config, tmp_path):
        """After the caller stopped, as after processes died."""
        configs = [make_config(epochs=2000, seed=seed) for seed in (0, 1)]
        signals, done = [], []

        def stop(progress):
            done.append(progress.epochs_done)
            if signals or len(list(tmp_path.glob("*/steps.csv"))) < 2:
                return False
            signals.append(how)
            if how == "stopped":
                return True
            for process in multiprocessing.active_children():
                os.kill(process.pid, signal.SIGKILL)
            return False

        found = train_all({"long": configs}, tmp_path, stop, n_jobs=2)
        assert (found is None) == (how == "stopped")
        assert done == sorted(done)
        runs = train_all({"long": configs}, tmp_path)["long"].runs
        assert signals
        assert any(run.info.resumed for run in runs)
        assert {run.status for run in runs} == {"finished"}
        assert len(folders(tmp_path)) == 2


@pytest.mark.parametrize("n_jobs", [1, 2])
def test_a_run_that_diverges_ends_the_report(n_jobs, make_config, tmp_path):
    """With its likely cause."""
    configs = [make_config(learning_rate=1e30, epochs=2, seed=seed) for seed in (0, 1)]
    with pytest.raises(RunError, match=r"experiment wild ended as diverged.*learning_rate"):
        train_all({"wild": configs}, tmp_path, n_jobs=n_jobs)


def test_sizes_that_do_not_fit_are_all_reported_before_anything_is_trained(make_config, tmp_path):
    fits = make_config(epochs=1)
    too_large = [
        fits.model_copy(update={"data": fits.data.model_copy(update={key: 10**6})})
        for key in ("train_size", "val_size")
    ]
    with pytest.raises(ConfigError) as caught:
        train_all({"fits": [fits], "large": too_large[:1], "larger": too_large[1:]}, tmp_path)
    assert [line.partition(": found")[0] for line in str(caught.value).splitlines()] == [
        "experiment large: data.train_size",
        "experiment larger: data.val_size",
    ]
    assert not any(tmp_path.iterdir())


def test_a_run_is_no_sweep_and_a_sweep_no_run(experiments, finished_run):
    """A part that takes one for the other is an error that says so."""
    with pytest.raises(ConfigError, match="sweep is a sweep"):
        _ = experiments["sweep"].run
    with pytest.raises(ConfigError, match="plain is a run"):
        _ = experiments["plain"].whole_sweep
    with pytest.raises(ConfigError, match=r"has no number 'last_val_acuracy'.*last_val_accuracy"):
        TrainedExperiment("one", runs=(finished_run,)).values("last_val_acuracy")


def test_sweeps_know_their_unstable_members(make_config, tmp_path):
    """So that the figures of the page name them; the calm λ is none."""
    sweep = {"l2_lambdas": [20.0, 0.01], "seeds": [0]}
    config = make_config("logistic", learning_rate=0.06, epochs=1)
    config = type(config).model_validate(config.model_dump() | {"sweep": sweep})
    found = train_all({"wild": [config]}, tmp_path)["wild"].whole_sweep
    assert [*found.unstable] == [(20.0,)]
