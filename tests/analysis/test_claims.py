"""Claims are registered by name, ask each question once, and never decide on too little."""

from pathlib import Path

import pytest

from mnistlin.analysis.claims import Evidence, Finding, claim, claims, judge, verdict_on
from mnistlin.analysis.result import TooShortError
from mnistlin.analysis.statistics import Interval


@pytest.fixture(autouse=True)
def _forget():
    """Remove what a test registers."""
    before = set(claims())
    yield
    for name in set(claims()) - before:
        del claims()[name]


def test_a_claim_is_found_by_its_name():
    @claim("it-is-so")
    def _(evidence):
        return Finding("agrees", "so")

    assert judge("it-is-so", Evidence(())) == Finding("agrees", "so")


def test_a_name_is_given_once():
    claim("it-is-so")(lambda _: None)
    with pytest.raises(ValueError, match="it-is-so"):
        claim("it-is-so")(lambda _: None)


def test_a_run_that_is_too_short_leaves_a_claim_inconclusive():
    @claim("it-is-so")
    def _(evidence):
        raise TooShortError(Path("runs/short"), "3 checks are too few")

    assert judge("it-is-so", Evidence(())) == Finding("inconclusive", "3 checks are too few")


def test_a_question_is_answered_once_per_run_and_options(finished_run):
    asked = []

    def question(run, split="val"):
        asked.append(split)
        return len(asked)

    evidence = Evidence(())
    answers = [evidence.ask(question, finished_run) for _ in range(3)]
    assert answers == [1, 1, 1]
    assert evidence.ask(question, finished_run, split="train") == 2
    assert asked == ["val", "train"]


@pytest.mark.parametrize(
    ("interval", "verdict"),
    [
        (Interval(0.1, 0.3, 0.01), "agrees"),
        (Interval(-0.3, -0.1, 0.01), "differs"),
        (Interval(-0.1, 0.3, 0.4), "inconclusive"),
        (None, "inconclusive"),
    ],
)
def test_an_interval_around_0_decides_nothing(interval, verdict):
    assert verdict_on(interval) == verdict
