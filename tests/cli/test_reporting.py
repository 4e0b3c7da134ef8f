"""`report`, as a user runs it."""

import signal

import pytest

from mnistlin.data.idx import read_idx

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
    figures: [accuracy]
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
        "inconclusive": "0",
        "markdown": "page/report.md",
        "report": "page/report.html",
    }
    found = {
        str(path.relative_to(workplace / "page")) for path in (workplace / "page").rglob("*.*")
    }
    assert found == {"report.html", "report.md", "figures/1-accuracy.svg", "sections/1.json"}


def test_a_second_report_reuses_the_runs(mnistlin, workplace, report_file):
    """And makes the same page."""
    for out in ("page", "again"):
        assert mnistlin("report", "--config", report_file, "--out", out).exit_code == 0
    assert len(list((workplace / "runs").iterdir())) == 1
    assert (workplace / "page/report.html").read_bytes() == (
        workplace / "again/report.html"
    ).read_bytes()


def test_ctrl_c_says_that_the_same_command_resumes(started, wait_for, workplace, report_file):
    text = (workplace / "tiny.yaml").read_text()
    (workplace / "tiny.yaml").write_text(text.replace("epochs: 3", "epochs: 1000000"))
    process = started("report", "--config", report_file)
    wait_for(lambda: list(workplace.glob("runs/*/steps.csv")))
    process.send_signal(signal.SIGINT)
    stdout, stderr = process.communicate(timeout=60)
    assert (process.returncode, stdout) == (130, "")
    assert "interrupted; the same command resumes the report" in stderr


def test_a_wrong_report_file_is_a_config_error(mnistlin, workplace, report_file):
    """Exit code 2, with the place, before anything is trained."""
    (workplace / "tiny.yaml").write_text("model: softmax\ntraning: {}\n")
    result = mnistlin("report", "--config", report_file)
    assert result.exit_code == 2
    assert "did you mean training" in result.stderr
    assert not (workplace / "runs").exists()


def test_missing_data_has_its_exit_code(mnistlin, report_file):
    """Exit code 3."""
    result = mnistlin("report", "--config", report_file, "--dataset", "./nowhere")
    assert result.exit_code == 3


def test_a_check_reports_what_a_report_file_contains(mnistlin, workplace, report_file):
    """And trains nothing."""
    result = mnistlin("report", "--check", report_file)
    assert result.exit_code == 0, result.output
    lines = dict(line.split(": ", 1) for line in result.stdout.splitlines())
    assert lines == {"experiments": "1", "runs": "1", "parts": "1", "claims": "1"}
    assert not (workplace / "runs").exists()


def test_a_check_reports_all_problems_at_once(mnistlin, workplace, report_file):
    text = REPORT.replace("[accuracy]", "[acuracy]").replace("stop_epoch", "stop_epch")
    (workplace / "wrong.yaml").write_text(text)
    result = mnistlin("report", "--check", "wrong.yaml")
    assert result.exit_code == 2
    assert "did you mean accuracy?; allowed: accuracy, " in result.stderr
    assert "did you mean stop_epoch?; allowed: " in result.stderr


@pytest.mark.parametrize("name", ["report", "tdt4265-published"])
def test_a_shipped_report_is_known_by_its_name(mnistlin, name):
    assert mnistlin("report", "--check", name).exit_code == 0


def test_images_are_read_once(mnistlin, report_file, workplace, monkeypatch):
    """By training, and by all questions about the runs."""
    read = []

    def counting(path, *args, **options):
        read.append(path)
        return read_idx(path, *args, **options)

    monkeypatch.setattr("mnistlin.data.splits.read_idx", counting)
    statements = "".join(
        f"      - {{claim: {name}, experiments: [tiny], holds: {name}, published: b}}\n"
        for name in ("over-fits", "val-accuracy-falls")
    )
    (workplace / report_file).write_text(f"{REPORT}    statements:\n{statements}")
    assert mnistlin("report", "--config", report_file).exit_code == 0
    assert len(read) == len(set(read)) == 4
