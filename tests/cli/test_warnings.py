"""Whatever limits a finding about a run is said with it: on stdout, in JSON and in figures."""

import json
from pathlib import Path

import pytest

WARNINGS = {
    "diverged": "training diverged",
    "interrupted": "training has not ended: interrupted",
    "modified": "modified since the run ended: steps.csv",
}


@pytest.fixture(params=WARNINGS)
def limited(request, mnistlin, workplace):
    """Return the folder of a run, and the warning that belongs to every finding about it."""
    grows = ("--set", "training.l2_lambda=25") if request.param == "diverged" else ()
    mnistlin("train", "--config", "tiny.yaml", "--no-plots", *grows)
    (path,) = (workplace / "runs").iterdir()
    if request.param == "interrupted":
        info = json.loads((path / "run.json").read_text()) | {"status": "interrupted"}
        (path / "run.json").write_text(json.dumps(info | {"files": None}))
    if request.param == "modified":
        content = (path / "steps.csv").read_text()
        (path / "steps.csv").write_text(content.replace("\n3,0,", "\n3,0,1", 1))
    return path, WARNINGS[request.param]


def test_the_status_of_a_run_is_in_every_finding(limited, mnistlin):
    path, warning = limited
    question = ("explain", "early-stopping", path, "--format", "svg")
    shown = mnistlin(*question).stdout.splitlines()
    assert f"warning: {warning}" in shown
    figures = [Path(line[6:]) for line in shown if line.endswith(".svg")]
    assert figures
    assert all(warning in figure.read_text() for figure in figures)
    found = json.loads(mnistlin("evaluate", path, "--json").stdout)
    assert warning in found["warnings"]


def test_a_sweep_says_that_members_were_modified(mnistlin, workplace):
    sweep = ("sweep-lambda", "--config", "tiny.yaml", "--lambdas", "1000,0.1,0", "--no-plots")
    found = json.loads(mnistlin(*sweep, "--json").stdout)
    assert "1 of 3 members failed or diverged" in found["warnings"]
    member = workplace / found["run"] / "lambda-0_seed-0"
    (member / "steps.csv").write_text("")
    shown = mnistlin("explain", "lambda", found["run"])
    assert "warning: modified since the run ended: lambda-0_seed-0" in shown.stdout, shown.output


def test_a_warning_is_one_line_whatever_is_in_it(mnistlin, tiny_run):
    info = json.loads((tiny_run / "run.json").read_text())
    info["warnings"] = ["first\nrun: second"]
    (tiny_run / "run.json").write_text(json.dumps(info))
    lines = mnistlin("evaluate", tiny_run).stdout.splitlines()
    assert r"warning: first\nrun: second" in lines
    assert "run: second" not in lines
