"""The page of `play` without a browser: what it holds, and how large it may become."""

import json
import re

import pytest
from heads import HINGE

from mnistlin.config import ExperimentConfig
from mnistlin.errors import RunError
from mnistlin.model.heads import HEADS
from mnistlin.report import play
from mnistlin.sweep import run_sweep


@pytest.fixture(scope="module")
def sweep(tmp_path_factory):
    """Return a sweep over three λ and two seeds."""
    config = {
        "model": "logistic",
        "data": {"dataset": "mnist-5k", "classes": [7, 1], "train_size": 300, "val_size": 100},
        "training": {"epochs": 1, "batch_size": 20},
        "sweep": {"l2_lambdas": [1, 0, 0.1], "seeds": [4, 3]},
    }
    return run_sweep(ExperimentConfig.model_validate(config), tmp_path_factory.mktemp("runs"))


def payload_of(page):
    """Return what the page's script is given."""
    (text,) = re.findall(r'<script type="application/json" id="model">(.*?)</script>', page)
    return json.loads(text)


def test_members_come_by_increasing_lambda(sweep):
    """Those of the first seed, or of the one that is asked for."""
    for seed, wanted in ((None, 4), (3, 3)):
        configs = [run.config.training for run in play.members_by_lambda(sweep, seed)]
        assert [config.l2_lambda for config in configs] == [0, 0.1, 1]
        assert {config.seed for config in configs} == {wanted}
    with pytest.raises(RunError, match="it may be 4, 3"):
        play.members_by_lambda(sweep, 5)


def test_the_page_holds_every_model(sweep, tmp_path):
    """With labels in ascending order and one row of weights for two classes."""
    page = play.write_play_page(play.members_by_lambda(sweep), out_dir=tmp_path)
    payload = payload_of(page.path.read_text(encoding="utf-8"))
    assert page.path == tmp_path / "play.html"
    assert payload["labels"] == ["1", "7"]
    assert [model["name"] for model in payload["models"]] == ["λ = 0", "λ = 0.1", "λ = 1"]
    assert {len(model["intercept"]) for model in payload["models"]} == {1}
    assert len(payload["samples"]) == play.MAX_SAMPLES


def test_a_page_that_would_be_too_large_has_fewer_lambdas(sweep, tmp_path, monkeypatch):
    """The first and the last stay."""
    runs = play.members_by_lambda(sweep)
    whole = play.write_play_page(runs, out_dir=tmp_path).path.stat().st_size
    monkeypatch.setattr(play, "MAX_BYTES", whole - 1)
    page = play.write_play_page(runs, out_dir=tmp_path)
    assert page.path.stat().st_size < whole
    assert page.n_left_out == 1
    assert [run.config.training.l2_lambda for run in page.runs] == [0, 1]


def test_a_model_that_is_too_large_is_an_error(sweep, tmp_path, monkeypatch):
    """Nothing is written."""
    monkeypatch.setattr(play, "MAX_BYTES", 10_000)
    with pytest.raises(RunError, match="smaller images or fewer classes"):
        play.write_play_page(play.members_by_lambda(sweep), out_dir=tmp_path)
    assert not list(tmp_path.iterdir())


def test_a_head_without_probabilities_is_refused(sweep, tmp_path, monkeypatch):
    monkeypatch.setitem(HEADS, "logistic", HINGE)
    with pytest.raises(RunError, match=r"the page shows probabilities.*train with model: softmax"):
        play.write_play_page(play.members_by_lambda(sweep), out_dir=tmp_path)
    assert not list(tmp_path.iterdir())
