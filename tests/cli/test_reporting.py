"""`report`, as a user runs it."""

import pytest

REPORT = """\
title: Tiny
introduction: One run.
dataset: mnist-5k
experiments:
  - {name: tiny, config: tiny.yaml}
parts:
  - id: "1"
    title: Accuracy
    question: How good?
    experiments: [tiny]
    pictures: [accuracy]
    numbers:
      - {claim: steps, experiment: tiny, measure: stop_epoch, published: 2, tolerance: 0}
"""


@pytest.fixture
def report_file(workplace):
    """Write a report file beside tiny.yaml."""
    (workplace / "tiny-report.yaml").write_text(REPORT)
    return "tiny-report.yaml"


def test_it_writes_the_page_and_says_where(mnistlin, workplace, report_file):
    """Verdicts are counted on standard output."""
    result = mnistlin("report", "--config", report_file, "--out", "page")
    assert result.exit_code == 0, result.output
    lines = dict(line.split(": ", 1) for line in result.stdout.splitlines())
    assert lines == {
        "agrees": "1",
        "differs": "0",
        "not_resolved": "0",
        "markdown": "page/report.md",
        "report": "page/report.html",
    }
    found = {
        str(path.relative_to(workplace / "page")) for path in (workplace / "page").rglob("*.*")
    }
    assert found == {"report.html", "report.md", "figures/1-accuracy.svg"}


def test_a_second_time_it_uses_the_runs_that_are_there(mnistlin, workplace, report_file):
    """Also another page of them."""
    for out in ("page", "again"):
        assert mnistlin("report", "--config", report_file, "--out", out).exit_code == 0
    assert len(list((workplace / "runs").iterdir())) == 1
    assert (workplace / "page/report.html").read_bytes() == (
        workplace / "again/report.html"
    ).read_bytes()


def test_a_wrong_report_file_is_a_config_error(mnistlin, workplace, report_file):
    """Exit code 2, with the place, before anything is trained."""
    (workplace / "tiny.yaml").write_text("model: softmax\ntraning: {}\n")
    result = mnistlin("report", "--config", report_file)
    assert result.exit_code == 2
    assert "did you mean training" in result.stderr
    assert not (workplace / "runs").exists()


def test_missing_data_is_told(mnistlin, report_file):
    """Exit code 3."""
    result = mnistlin("report", "--config", report_file, "--dataset", "./nowhere")
    assert result.exit_code == 3
