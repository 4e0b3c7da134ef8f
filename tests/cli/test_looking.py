"""`mnistlin plot` and `mnistlin runs`."""

import shutil

import pytest


def test_plot_draws_a_run_again_in_any_format(mnistlin, tiny_run):
    """The paths that it prints are the figures, in the run's own folder."""
    result = mnistlin("plot", tiny_run, "--format", "svg")
    assert result.exit_code == 0
    paths = result.stdout.splitlines()
    assert f"{tiny_run / 'plots' / 'loss.svg'}" in paths
    assert sorted(paths) == sorted(map(str, (tiny_run / "plots").iterdir()))


def test_plot_lays_several_runs_over_one_another_in_a_folder_of_their_own(
    mnistlin, tiny_run, workplace
):
    """Two runs are drawn to <runs-dir>/<UTC>_overlay/, and neither of them is touched."""
    mnistlin("train", "--config", "tiny.yaml", "--no-plots", "--set", "training.shuffle=false")
    first, second = sorted((workplace / "runs").iterdir())
    result = mnistlin("plot", first, second)
    assert result.exit_code == 0
    (overlay,) = (workplace / "runs").glob("*_overlay")
    assert all(line.startswith(f"runs/{overlay.name}/") for line in result.stdout.splitlines())
    assert not (first / "plots").exists()


@pytest.mark.parametrize("where", ["nowhere", "."])
def test_plot_of_what_is_no_run_says_so(where, mnistlin):
    """Exit 1, and the message names the folder."""
    result = mnistlin("plot", where)
    assert result.exit_code == 1
    assert "is not a run folder" in result.stderr


def test_runs_lists_newest_first_and_survives_damage(mnistlin, tiny_run, workplace):
    """A run whose files are broken is a line of the table, and no error."""
    older = workplace / "runs" / "20200101T000000Z_older"
    shutil.copytree(tiny_run, older)
    broken = workplace / "runs" / "20210101T000000Z_broken"
    shutil.copytree(tiny_run, broken)
    (broken / "run.json").write_text("{")
    (workplace / "runs" / "notes.txt").write_text("not a run")
    lines = mnistlin("runs", env={"COLUMNS": "200"}).stdout.splitlines()
    assert lines[0].split() == [
        *("run", "status", "last_val_accuracy", "best_val_accuracy", "stop_epoch")
    ]
    assert [line.split()[1] for line in lines[1:]] == ["finished", "damaged", "finished"]
    assert lines[-1].startswith("20200101T000000Z_older")


def test_runs_of_an_empty_folder_says_how_to_make_one(mnistlin):
    """Nothing on stdout, a hint on stderr, and no error."""
    result = mnistlin("runs")
    assert (result.exit_code, result.stdout) == (0, "")
    assert "mnistlin train --config quickstart" in result.stderr
