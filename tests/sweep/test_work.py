"""One stack, trained: each member as if it had been trained alone."""

import pickle

import numpy as np
import pytest

from mnistlin import load_config
from mnistlin.data.splits import load_splits
from mnistlin.sweep.plan import stacked
from mnistlin.sweep.workers import train_stack

PATIENT = {"patience": 3, "min_delta": 0.02}
L2_LAMBDAS = (1.0, 0.1, 0.01, 0.0)


def stack_of(config, l2_lambdas, seed):
    """Return the configs of a stack."""
    training = config.training.model_copy(update={"seed": seed})
    return stacked(config.model_copy(update={"training": training}), l2_lambdas)


def metrics_of(member):
    """Return the checks of a member as rows of numbers."""
    return np.array(member.checks)


@pytest.mark.parametrize("model", ["softmax", "logistic"])
@pytest.mark.parametrize("early_stopping", [None, PATIENT], ids=["no-stopping", "stopping"])
def test_a_member_is_the_same_as_if_it_were_alone(model, early_stopping, make_config):
    """To 1e-9 in float64: rows, batch losses, weights, and where it stops."""
    config = make_config(model, early_stopping=early_stopping, epochs=30)
    together = train_stack(stack_of(config, L2_LAMBDAS, 5)).members
    for member, l2_lambda in zip(together, L2_LAMBDAS, strict=True):
        (alone,) = train_stack(stack_of(config, (l2_lambda,), 5)).members
        assert (member.steps, member.outcome) == (alone.steps, alone.outcome)
        np.testing.assert_allclose(metrics_of(member), metrics_of(alone), rtol=1e-9, atol=1e-12)
        np.testing.assert_allclose(member.batch_losses, alone.batch_losses, rtol=1e-9)
        for name in ("last", "best"):
            found, expected = getattr(member.state, name), getattr(alone.state, name)
            np.testing.assert_allclose(found, expected, rtol=1e-9, atol=1e-12)


def test_members_leave_the_stack_at_checks_of_their_own(make_config):
    """With early stopping, some train on after others have stopped."""
    config = make_config(early_stopping=PATIENT, epochs=30)
    members = train_stack(stack_of(config, L2_LAMBDAS, 5)).members
    assert len({member.steps.stop for member in members}) > 1
    assert {member.outcome for member in members} >= {"early_stopped"}


def test_in_float32_accuracies_agree_to_a_thousandth():
    """On 1,000 real digits that is one image."""
    config = load_config("quickstart", ["training.epochs=3", "data.train_size=1000"])
    together = train_stack(stack_of(config, L2_LAMBDAS, 0)).members
    for member, l2_lambda in zip(together, L2_LAMBDAS, strict=True):
        (alone,) = train_stack(stack_of(config, (l2_lambda,), 0)).members
        for found, expected in zip(member.checks, alone.checks, strict=True):
            assert found.train_accuracy == pytest.approx(expected.train_accuracy, abs=1e-3)
            assert found.val_accuracy == pytest.approx(expected.val_accuracy, abs=1e-3)


def test_the_seed_is_that_of_the_stack(make_config):
    """Not that of the config: another seed is another order of batches."""
    stacks = [stack_of(make_config(seed=0), (0.0,), seed) for seed in (0, 1)]
    losses = [train_stack(configs).members[0].batch_losses for configs in stacks]
    alone = train_stack(stack_of(make_config(seed=1), (0.0,), 1)).members[0].batch_losses
    assert not np.array_equal(*losses)
    np.testing.assert_array_equal(losses[1], alone)


def test_segments_are_joined_to_a_whole_history(make_config):
    """One batch loss per step, and every check; early stopping makes short segments."""
    config = make_config(early_stopping={"patience": 10_000}, epochs=6)
    (member,) = train_stack(stack_of(config, (0.1,), 0)).members
    steps_per_epoch = 60 // config.training.batch_size
    assert member.steps == range(6 * steps_per_epoch)
    assert len(member.batch_losses) == len(member.steps)
    assert [check.step for check in member.checks] == list(member.steps)


def test_the_result_can_be_sent_home(make_config):
    """It survives pickling, weights and all."""
    trained = train_stack(stack_of(make_config(), (0.1, 0.0), 0))
    again = pickle.loads(pickle.dumps(trained))
    for member, copy in zip(trained.members, again.members, strict=True):
        assert copy.checks == member.checks
        np.testing.assert_array_equal(copy.state.last, member.state.last)


def test_it_says_where_it_was_trained_and_on_what(make_config, dataset):
    """What run.json needs to know of the worker's machine and data."""
    info = train_stack(stack_of(make_config(), (0.0,), 0)).info
    assert info.started_utc
    assert info.cpu
    assert info.libraries["numpy"]
    assert info.data.dataset == str(dataset)


def test_data_that_is_given_is_not_looked_for(make_config, dataset):
    """A worker elsewhere has no such folder."""
    config = make_config()
    splits = load_splits(config.data)
    elsewhere = config.model_copy(
        update={"data": config.data.model_copy(update={"dataset": "/nowhere"})}
    )
    given = train_stack(stack_of(elsewhere, (0.0,), 0), splits).members[0]
    np.testing.assert_array_equal(
        given.state.last, train_stack(stack_of(config, (0.0,), 0)).members[0].state.last
    )


def test_it_can_be_stopped_between_segments(make_config):
    """Then there is no result, unless that segment was the last one."""
    config = make_config(early_stopping={"patience": 10_000}, epochs=3)
    heard = []

    def after(n):
        heard.clear()
        return lambda epochs: heard.append(epochs) or len(heard) == n

    assert train_stack(stack_of(config, (0.0,), 0), on_segment=after(2)) is None
    assert heard == [range(1), range(1, 2)]
    assert train_stack(stack_of(config, (0.0,), 0), on_segment=after(3)) is not None
