"""Why a run diverged."""

from mnistlin.config import ExperimentConfig


def likely_cause_of_divergence(config: ExperimentConfig) -> str:
    """Return why a run of this config diverged, in all likelihood, and what to try.

    The penalty alone multiplies every weight by 1 - 2 η λ a step, which grows it if η λ > 1.
    """
    how = config.training
    product = how.learning_rate * how.l2_lambda
    if product > 1:
        return (
            f"likely cause: learning_rate x l2_lambda is {product:g}, and above 1 the penalty "
            "alone makes the weights larger with every step; lower one of them"
        )
    return (
        f"likely cause: training.learning_rate {how.learning_rate:g} is too large; "
        f"try {how.learning_rate / 10:g}"
    )
