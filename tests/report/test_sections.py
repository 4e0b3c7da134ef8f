"""Sections of a page that are kept are made again only where something has changed."""

import shutil
from dataclasses import replace

import pytest

from mnistlin.report import sections
from mnistlin.report.page import make_page, render
from mnistlin.report.runner import train_all


@pytest.fixture
def folder(page, kept_in, tmp_path):
    """Return a copy of the folder in which the page was made."""
    return shutil.copytree(kept_in, tmp_path / "page")


@pytest.fixture
def made(monkeypatch):
    """Return the parts that are made from now on."""
    parts = []

    def listed(part, *others):
        parts.append(part.id)
        return make(part, *others)

    make = sections._made
    monkeypatch.setattr(sections, "_made", listed)
    return parts


def test_the_same_report_is_not_made_again(page, report, experiments, folder, made):
    rows = []
    again = make_page(report, experiments, folder, rows.append)
    assert not made
    assert rows == again.rows == page.rows
    for name in ("report.html", "report.md"):
        assert render(again, name) == render(page, name)


def test_a_changed_claim_makes_its_part_again(report, experiments, folder, made):
    *others, last = report.plan.parts
    first, *rest = last.statements
    changed = last.model_copy(
        update={"statements": (first.model_copy(update={"l2_lambda": 0.1}), *rest)}
    )
    plan = report.plan.model_copy(update={"parts": (*others, changed)})
    make_page(replace(report, plan=plan), experiments, folder)
    assert made == [last.id]


def test_verdicts_are_not_kept_from_a_page_without_them(report, experiments, folder, made):
    plan = report.plan.model_copy(update={"dataset": report.dataset})
    page = make_page(replace(report, plan=plan), experiments, folder)
    assert made == [part.id for part in plan.parts]
    assert None not in {row.verdict for row in page.rows}


def test_a_changed_file_of_a_run_makes_the_parts_about_it_again(
    report, tiny_runs_dir, folder, made, tmp_path
):
    runs_dir = shutil.copytree(tiny_runs_dir, tmp_path / "runs")
    copies = train_all(report.configs, runs_dir)
    (member, *_) = copies["sweep"].sweep.members.values()
    with (member.path / "config.yaml").open("a") as file:
        file.write("# a comment\n")
    make_page(report, copies, folder)
    assert made == ["4b"]


def test_a_changed_program_makes_all_parts_again(report, experiments, folder, made, monkeypatch):
    monkeypatch.setattr(sections, "_program", lambda: ["another version"])
    make_page(report, experiments, folder)
    assert made == [part.id for part in report.plan.parts]


@pytest.mark.parametrize("content", [b"", b"{}", b"\xff", b'{"made_of": 1, "section": []}'])
def test_a_damaged_file_is_made_again(page, report, experiments, folder, made, content):
    path = folder / "sections" / "1a.json"
    before = path.read_bytes()
    path.write_bytes(content)
    again = make_page(report, experiments, folder)
    assert made == ["1a"]
    assert again.rows == page.rows
    assert path.read_bytes() == before


def test_changed_files_of_the_dataset_make_its_derivations_again(
    report, experiments, folder, made, monkeypatch
):
    """What else depends on the images has runs, whose files hold their hashes."""
    monkeypatch.setattr(sections, "content_hash", lambda _: "other files")
    make_page(report, experiments, folder)
    assert made == [part.id for part in report.plan.parts if part.derivation]
