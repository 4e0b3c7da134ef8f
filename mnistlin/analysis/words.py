"""What the analyses have found, in plain sentences for a student. Nothing is found out here."""

from collections.abc import Sequence

import numpy as np

from mnistlin.analysis.compare import Pair
from mnistlin.analysis.dips import MIN_CORRELATION, Dips, HardBatches
from mnistlin.analysis.optimum import Optimum
from mnistlin.analysis.statistics import CONFIDENCE, POWER


def about_pair(pair: Pair) -> str:
    """Say whether so many images can resolve the gap between two runs."""
    counts, smallest = pair.counts, pair.counts.smallest_gap
    if smallest is None:
        return f"no: {counts.n} images are too few for any gap"
    verdict = "yes" if pair.can_resolve else "only just" if pair.is_significant else "no"
    return (
        f"{verdict}: with {counts.discordance:.1%} judged differently, {counts.n:,} images reveal "
        f"a gap of {_gap(smallest, counts.n)} or more in {POWER:.0%} of all cases; the gap here is "
        f"{_gap(abs(counts.difference), counts.n)}"
    )


def _gap(gap: float, n: int) -> str:
    n_images = round(gap * n)
    return f"{gap:.4f} ({n_images:,} image{'s' * (n_images != 1)})"


def about_optimum(optimum: Optimum) -> str:
    """Say what the minimum, or the lack of one, means for the run."""
    if optimum.outcome == "minimum":
        return _about_minimum(optimum)
    if optimum.outcome == "no minimum":
        return _about_no_minimum(optimum)
    return _about_lowest_found(optimum)


def _about_minimum(optimum: Optimum) -> str:
    run, found = optimum.of_run, optimum.found
    words = (
        "This objective is convex: every way downhill ends at the same value, "
        f"J* = {found.place.value:.6g}, and there is no local optimum to be caught in. The run "
        f"stands {optimum.gap:.2g} nats above it. Of the validation images, the minimum classifies "
        f"{found.val_accuracy:.2%} rightly, the run {run.val_accuracy:.2%}."
    )
    is_better = optimum.paired.difference > 0 and optimum.paired.p_value < 1 - CONFIDENCE
    if is_better:
        return (
            f"{words} That is more than chance, so the run falls short of its own λ = "
            f"{optimum.l2_lambda:g}: its steps are to blame (too large, too noisy or too few), "
            "and not λ."
        )
    return (
        f"{words} They differ by no more than chance, so training has made of λ = "
        f"{optimum.l2_lambda:g} what can be made of it: if that is too little, λ itself is to "
        "blame, and not the noise of the last steps."
    )


def _about_no_minimum(optimum: Optimum) -> str:
    run, found = optimum.of_run, optimum.found
    return (
        "Without a penalty there is no minimum here. The weights that were found classify all "
        f"{optimum.objective.samples.n_samples:,} training images rightly, with a probability of "
        f"{found.true_class_probability.min():.2f} or more for the true class. Take 2, 4, 8 times "
        "these weights, and J falls towards 0, which it never reaches. So training never arrives: "
        "its weights grow for ever. There is no local optimum either, for J is convex. And to be "
        "right on every training image is no merit: of the validation images these weights "
        f"classify {found.val_accuracy:.2%} rightly, the run {run.val_accuracy:.2%}."
    )


def _about_lowest_found(optimum: Optimum) -> str:
    found = optimum.found
    words = (
        f"The search ended after {optimum.n_iterations:,} iterations, with a gradient of norm "
        f"{found.place.gradient_norm:.2g}: J = {found.place.value:.6g} is the lowest found"
    )
    if optimum.certainty is not None:
        return f"{words}, and the minimum is at most {optimum.certainty:.2g} nats below it."
    n_wrong = int((~found.train_is_right).sum())
    return (
        f"{words}, and how far it goes on is not known. These weights classify {n_wrong:,} of "
        f"{optimum.objective.samples.n_samples:,} training images wrongly; weights that classify "
        "none wrongly would prove that there is no minimum."
    )


def about_dips(dips: Dips) -> str:
    """Say why accuracy dips, or why it does not, and whether the measurement agrees."""
    cause = _about_shuffled(dips) if dips.hard is None else _about_batches(dips, dips.hard)
    return f"{cause} {_about_measurement(dips)} {_about_agreement(dips)}"


def _about_batches(dips: Dips, hard: HardBatches) -> str:
    plan, positions = dips.predicted, [batch.position for batch in hard.batches]
    losses = sorted(batch.mean_loss for batch in hard.batches)
    words = (
        f"Without shuffle, the same {plan.steps_per_epoch} batches come in the same order in every "
        f"epoch, and some are hard: those at positions {_listed(positions)} have a mean loss of "
        f"{losses[0]:.3f} to {losses[-1]:.3f}, a typical one {np.median(dips.losses.mean):.3f}. A "
        "step on a hard batch throws the weights aside, accuracy falls, and the next batches bring "
        "them back."
    )
    if plan.period is None:
        return f"{words} Every check follows the same batch here, so no dip can show."
    return (
        f"{words} We look only every {plan.check_every} steps, so we meet a given batch again only "
        f"when both counts come round together: every lcm({plan.steps_per_epoch}, "
        f"{plan.check_every}) = {plan.period} steps."
    )


def _about_shuffled(dips: Dips) -> str:
    return (
        "With shuffle, every epoch has other batches, so none is hard again and again: mean batch "
        f"losses differ by {dips.losses.mean.std():.4f} between the positions of an epoch, and "
        f"chance alone makes {dips.losses.error.mean():.4f}. There is nothing that could repeat."
    )


def _about_measurement(dips: Dips) -> str:
    found = dips.measured
    if found.period is None:
        return (
            f"Measured: no period, for no lag has a correlation of {MIN_CORRELATION} or more (the "
            f"highest is {found.highest_correlation:.2f})."
        )
    places = dips.dip_positions
    return (
        f"Measured: {found.period} steps, with a correlation of {found.highest_correlation:.2f}; "
        f"the deepest dips, at steps {_listed(found.deepest_dips().tolist())}, lie at "
        f"position{'s' * (len(places) > 1)} {_listed(places)} of the epoch."
    )


def _about_agreement(dips: Dips) -> str:
    expected, found = dips.predicted.period, dips.measured.period
    if dips.agree:
        agreement = "Prediction and measurement agree."
        no_need = "No local optimum is needed to explain the dips: J is convex and has none."
        return agreement if found is None else f"{agreement} {no_need}"
    if expected is not None and dips.is_near_return:
        return (
            f"After {found} steps a check is not at the same place of the epoch, which takes "
            f"{expected}, but so near to it that it meets nearly the same weights."
        )
    return "Prediction and measurement do not agree: this config does not explain these dips."


def _listed(numbers: Sequence[int]) -> str:
    """Return such as "1, 2 and 3"."""
    words = [str(number) for number in numbers]
    return " and ".join(filter(None, [", ".join(words[:-1]), words[-1]]))
