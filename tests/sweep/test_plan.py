"""Which stacks a config asks for."""

import pytest

from mnistlin.errors import ConfigError
from mnistlin.sweep.plan import STACK_WIDTH, tasks_of


@pytest.mark.parametrize("n_lambdas", [1, 2, STACK_WIDTH, STACK_WIDTH + 1, 5 * STACK_WIDTH - 1])
def test_every_lambda_meets_every_seed_once(n_lambdas, sweep_config):
    """Seed after seed, λ in their order."""
    l2_lambdas = tuple(float(value) for value in range(n_lambdas, 0, -1))
    stacks = tasks_of(sweep_config(l2_lambdas, seeds=(4, 2)))
    found = [key for stack in stacks for key in stack.keys]
    assert found == [(l2_lambda, seed) for seed in (4, 2) for l2_lambda in l2_lambdas]


@pytest.mark.parametrize("n_lambdas", [STACK_WIDTH, STACK_WIDTH + 1, 3 * STACK_WIDTH + 2])
def test_stacks_are_few_and_about_as_wide(n_lambdas, sweep_config):
    """None is wider than allowed, no two differ by more than one, and one less would not do."""
    l2_lambdas = tuple(float(value) for value in range(n_lambdas))
    widths = [len(task.keys) for task in tasks_of(sweep_config(l2_lambdas, seeds=(0,)))]
    assert max(widths) <= STACK_WIDTH
    assert max(widths) - min(widths) <= 1
    assert (len(widths) - 1) * STACK_WIDTH < n_lambdas


def test_a_config_without_lambdas_is_refused(make_config):
    """The message says where λ are named."""
    with pytest.raises(ConfigError, match=r"no λ.*--lambdas"):
        tasks_of(make_config())


def test_the_config_of_a_member_is_one_for_train(sweep_config, make_config):
    """It differs from the sweep's in λ and seed, and has no section `sweep`."""
    configs = {
        key: c
        for task in tasks_of(sweep_config())
        for key, c in zip(task.keys, task.configs, strict=True)
    }
    assert configs[0.1, 2] == make_config(l2_lambda=0.1, seed=2)
