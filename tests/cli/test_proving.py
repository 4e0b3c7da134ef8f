"""`mnistlin check-gradients`."""

import numpy as np
import pytest
from heads import CROSS_ENTROPY

from mnistlin.model.heads import HEADS, CrossEntropy
from mnistlin.model.linear import gradient


def rows_of(result):
    """Return the cells of the table that the command prints, without its header."""
    lines = [line.split() for line in result.stdout.splitlines()]
    header = next(i for i, line in enumerate(lines) if line[:2] == ["head", "l2_lambda"])
    return lines[header + 1 :]


@pytest.fixture
def small_images(workplace, write_dataset):
    """Write a config whose images have 20 pixels, so that there are few weights to move."""
    rng = np.random.default_rng(0)
    part = rng.integers(0, 256, (140, 4, 5)), np.arange(140) % 3
    write_dataset(workplace / "small", part, part)
    (workplace / "small.yaml").write_text(
        "{name: small, model: softmax, data: {dataset: small, train_size: null, val_size: null}, "
        "training: {epochs: 1, batch_size: 4, learning_rate: 0.1}}"
    )
    return ("--config", "small.yaml")


def test_the_gradients_of_all_heads_are_right_for_every_lambda(mnistlin, small_images):
    """One line for each head and λ, and all are ok."""
    result = mnistlin("check-gradients", *small_images)
    assert result.exit_code == 0
    verdicts = rows_of(result)
    assert [(v[0], v[1], v[-1]) for v in verdicts] == [
        (head, l2_lambda, "ok") for head in HEADS for l2_lambda in ("0", "0.01", "1")
    ]


def test_without_a_config_the_gradients_of_real_digits_are_checked(mnistlin, monkeypatch):
    """Those of quickstart, of which the logistic head alone is quick to check."""
    for name in set(HEADS) - {"logistic"}:
        monkeypatch.delitem(HEADS, name)
    result = mnistlin("check-gradients")
    assert (result.exit_code, len(rows_of(result))) == (0, 3)


def test_a_missing_factor_is_found(mnistlin, small_images, monkeypatch):
    """With the 2 of 2λW left out, the lines with λ > 0 fail, and so does the command."""

    def without_the_two(R, W, X, l2_lambdas):
        return gradient(R, W, X, l2_lambdas / 2)

    monkeypatch.setattr("mnistlin.training.sgd.gradient", without_the_two)
    result = mnistlin("check-gradients", *small_images)
    assert result.exit_code == 1
    verdicts = [row[-1] for row in rows_of(result)]
    assert verdicts == ["ok", "WRONG", "WRONG"] * len(HEADS)


@pytest.mark.parametrize(
    ("name", "wrong"),
    [
        ("the residual's sign", lambda head, Z, Y: Y - head.predict(Z)),
        ("the mean", lambda head, Z, Y: (head.predict(Z) - Y) * Y.shape[-1]),
    ],
)
def test_a_wrong_residual_of_the_trainer_is_found(name, wrong, mnistlin, small_images, monkeypatch):
    monkeypatch.setattr(CrossEntropy, "residual", wrong)
    result = mnistlin("check-gradients", *small_images)
    assert result.exit_code == 1
    verdicts = {row[0]: row[-1] for row in rows_of(result)}
    assert {verdicts[head.name] for head in CROSS_ENTROPY} == {"WRONG"}


def test_data_of_one_class_is_refused_as_train_refuses_it(mnistlin, workplace, write_dataset):
    """There is no gradient to compare."""
    images, labels = np.zeros((20, 4, 5)), np.full(20, 7)
    write_dataset(workplace / "one", (images, labels), (images, labels))
    (workplace / "one.yaml").write_text(
        "{name: one, model: softmax, data: {dataset: one, train_size: null, val_size: null}, "
        "training: {epochs: 1, batch_size: 4, learning_rate: 0.1}}"
    )
    for command in ("check-gradients", "train"):
        result = mnistlin(command, "--config", "one.yaml")
        assert result.exit_code == 2
        assert "data.classes: the data has only the class 7" in result.stderr
