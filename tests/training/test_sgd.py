"""The trainer against its plain reference, and what else it promises."""

import os
import threading
import warnings
from dataclasses import replace
from itertools import count

import numpy as np
import pytest
from heads import CROSS_ENTROPY, all_heads, cross_entropy_heads
from hypothesis import assume, given, settings
from hypothesis import strategies as st
from threadpoolctl import threadpool_info

from mnistlin.config import EarlyStoppingConfig, TrainingConfig
from mnistlin.model.heads import Softmax
from mnistlin.training import batches, schedule, sgd
from mnistlin.training.batches import epoch_orders
from mnistlin.training.schedule import Setup
from mnistlin.training.segments import MAX_LOSS
from mnistlin.training.sgd import train

PATIENT = EarlyStoppingConfig(patience=2)


@pytest.fixture(scope="module", autouse=True)
def long_steps():
    """Have small setups train as large ones do, with evaluation beside them."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(sgd, "_SHORT_STEP", 0)
        yield


def tune(
    patch,
    block_rows=512,
    rows_per_evaluation=512,
    steps_per_chunk=64,
    kept_image_bytes=10**7,
    short_step=0,
):
    """Set the constants that decide how work is grouped, and must decide nothing else."""
    patch.setattr(batches, "BLOCK_ROWS", block_rows)
    patch.setattr(batches, "_KEPT_IMAGE_BYTES", kept_image_bytes)
    patch.setattr(schedule, "_ROWS_PER_EVALUATION", rows_per_evaluation)
    patch.setattr(sgd, "_STEPS_PER_CHUNK", steps_per_chunk)
    patch.setattr(sgd, "_SHORT_STEP", short_step)


tunings = st.fixed_dictionaries(
    {
        "block_rows": st.sampled_from([1, 7, 512]),
        "rows_per_evaluation": st.sampled_from([1, 12, 40, 512]),
        "steps_per_chunk": st.sampled_from([1, 3, 64]),
        "kept_image_bytes": st.sampled_from([0, 10**7]),
        "short_step": st.sampled_from([0, 10**6]),
    }
)


one_lambda = st.tuples(st.sampled_from([0.0, 0.01, 0.5]))
four_lambdas = st.permutations([0.0, 0.01, 0.3, 1.0]).map(tuple)


@st.composite
def setups(draw, make_split, l2_lambdas):
    """Draw a small setup: head, batches, checks, λ, order, shape and stopping rule."""
    head = draw(st.sampled_from(CROSS_ENTROPY))
    n_classes = head.max_classes or draw(st.integers(2, 5))
    shape = draw(st.sampled_from([(1, 1), (3, 4), (2, 7)]))
    seed = draw(st.integers(0, 3))
    splits = [
        make_split(draw(st.integers(low, 60)), n_classes, shape, seed + i)
        for i, low in enumerate((8, 3))
    ]
    training = TrainingConfig(
        epochs=draw(st.integers(1, 6)),
        batch_size=draw(st.integers(1, splits[0].n_samples)),
        learning_rate=draw(st.sampled_from([0.01, 0.2])),
        shuffle=draw(st.booleans()),
        seed=seed,
        checks_per_epoch=draw(st.sampled_from([1, 2, 5, 100])),
        dtype="float64",
    )
    stopping = draw(
        st.none()
        | st.builds(
            EarlyStoppingConfig,
            patience=st.integers(1, 3),
            min_delta=st.sampled_from([0.0, 0.001, 0.1]),
        )
    )
    assume(n_classes - n_classes_in_first_batch(splits[0], training) < 2)
    return Setup(*splits, head, training, stopping, draw(l2_lambdas))


def n_classes_in_first_batch(split, training):
    """Return how many classes the first step sees.

    Two that it does not see have equal weights after it, and which of them is predicted then
    depends on how BLAS rounds.
    """
    order = next(epoch_orders(training, split.n_samples))
    return len(set(split.targets[order[: training.batch_size]]))


def assume_clear_order(history):
    """Pass over runs in which rounding decides whether a check improves: those that settle."""
    gaps = np.diff(np.sort(history.metrics[:, 4]))
    assume((gaps > 1e-12).all())


class TestAgainstTheReference:
    """Every row and every weight, to 1e-9."""

    @pytest.mark.no_cover
    @given(data=st.data(), tuning=tunings)
    def test_all_numbers_equal_those_of_a_plain_trainer(
        self, data, tuning, make_split, histories, reference, assert_alike
    ):
        """Whatever the settings, and however the work is grouped."""
        setup = data.draw(setups(make_split, one_lambda))
        with pytest.MonkeyPatch.context() as patch:
            tune(patch, **tuning)
            (found,) = histories(setup)
        expected = reference(setup)
        assume_clear_order(expected)
        assert_alike(found, expected)

    @cross_entropy_heads
    @pytest.mark.parametrize("stopping", [None, PATIENT])
    def test_float32_runs_stay_near(
        self, head, stopping, make_setup, histories, reference, assert_alike
    ):
        """Losses to about six digits; no sample is near enough to the border to change sides."""
        setup = make_setup(head, (0.01,), stopping, epochs=10, dtype="float32")
        (found,) = histories(setup)
        assert found.last.dtype == found.best.dtype == np.float32
        assert_alike(found, reference(setup), tolerance=2e-5)

    @cross_entropy_heads
    def test_a_class_that_validation_lacks_is_no_trouble(
        self, head, make_setup, make_split, histories, reference, assert_alike
    ):
        """As in a small validation set of rare classes."""
        splits = [make_split(40, head.max_classes or 3) for _ in range(2)]
        kept = np.flatnonzero(splits[1].targets != 1)
        val = replace(splits[1], rows=splits[1].rows[kept], targets=splits[1].targets[kept])
        setup = make_setup(head, splits=(splits[0], val))
        (found,) = histories(setup)
        assert_alike(found, reference(setup))

    @pytest.mark.parametrize("batch_size", [40, 21, 13, 8])
    def test_fewer_than_five_batches_an_epoch_are_checked_each(
        self, batch_size, make_setup, histories
    ):
        """One step an epoch included."""
        setup = make_setup(batch_size=batch_size)
        (found,) = histories(setup)
        np.testing.assert_array_equal(found.metrics[:, 0], found.steps[:, 0])

    def test_the_data_are_left_as_they_are(self, make_setup, histories):
        """Training reads a split and writes none."""
        setup = make_setup()
        before = [split.sha256() for split in (setup.train, setup.val)]
        histories(setup)
        assert [split.sha256() for split in (setup.train, setup.val)] == before


class TestStacks:
    """Models that differ in λ alone, trained side by side."""

    @pytest.mark.no_cover
    @settings(max_examples=settings.default.max_examples // 2)
    @given(data=st.data(), tuning=tunings)
    def test_a_member_equals_the_model_trained_alone(
        self, data, tuning, make_split, histories, reference, assert_alike
    ):
        """To rounding; with early stopping each ends at its own check."""
        setup = data.draw(setups(make_split, four_lambdas))
        with pytest.MonkeyPatch.context() as patch:
            tune(patch, **tuning)
            members = histories(setup)
        assert len(members) == 4
        for i, found in enumerate(members):
            expected = reference(setup, member=i)
            assume_clear_order(expected)
            assert_alike(found, expected)

    @all_heads
    def test_members_that_stop_leave_the_stack_and_others_go_on(self, head, make_setup):
        """No segment is of a member that has ended."""
        setup = make_setup(head, (1.0, 0.0, 0.1), PATIENT, epochs=60, learning_rate=0.02)
        found = [segment for segments in train(setup) for segment in segments]
        ended_in = {each.member: each.epochs.start for each in found if each.outcome}
        assert len(set(ended_in.values())) > 1
        for member, end in ended_in.items():
            present = [each.epochs.start for each in found if each.member == member]
            assert present == list(range(end + 1))

    def test_a_member_that_diverges_does_not_harm_its_neighbours(
        self, make_setup, histories, reference, assert_alike
    ):
        """Its infinities stay its own."""
        setup = make_setup(l2_lambdas=(0.0, 1e4, 0.1), epochs=40)
        first, bad, last = histories(setup)
        assert (first.outcome, bad.outcome, last.outcome) == ("finished", "diverged", "finished")
        assert_alike(first, reference(setup, member=0))
        assert_alike(last, reference(setup, member=2))


class TestRepeatability:
    """The same bits, however often and on however many cores."""

    @staticmethod
    def bits(history):
        """Return all that a run leaves, as bytes."""
        arrays = (history.steps, history.metrics, history.last, history.best)
        return [array.tobytes() for array in arrays]

    @all_heads
    @pytest.mark.parametrize("dtype", ["float32", "float64"])
    def test_any_number_of_cores_gives_the_same_bits(
        self, head, dtype, make_setup, histories, monkeypatch
    ):
        """And so does a second run, and evaluation that waits until a segment is trained."""
        setup = make_setup(head, (0.0, 0.1), PATIENT, dtype=dtype)
        monkeypatch.setattr(batches, "BLOCK_ROWS", 3)
        found = []
        for n_cores, short_step in ((1, 0), (1, 0), (2, 0), (3, 0), (3, 10**6), (64, 0)):
            use_cores(monkeypatch, n_cores)
            monkeypatch.setattr(sgd, "_SHORT_STEP", short_step)
            found.append([self.bits(history) for history in histories(setup)])
        assert found == [found[0]] * 6

    @all_heads
    @pytest.mark.parametrize("stopping", [None, EarlyStoppingConfig(patience=4)])
    @pytest.mark.parametrize(
        "order",
        [{"shuffle": False}, {"shuffle": True}, {"order": "legacy", "skip_orders": 2}],
        ids=str,
    )
    def test_a_run_resumed_after_any_segment_is_bit_identical(
        self, head, stopping, order, make_setup, monkeypatch
    ):
        """The state after a segment is all that is needed, that of early stopping included."""
        tune(monkeypatch, rows_per_evaluation=10, block_rows=7)
        setup = make_setup(
            head, (0.01,), stopping, epochs=8, learning_rate=0.4, dtype="float32", **order
        )
        uninterrupted = [segment for (segment,) in train(setup)]
        assert len(uninterrupted) > 2
        for i, segment in enumerate(uninterrupted[:-1]):
            resumed = [each for (each,) in train(setup, (segment.epochs.stop, segment.state))]
            assert list(map(as_bytes, resumed)) == list(map(as_bytes, uninterrupted[i + 1 :]))

    def test_without_shuffle_all_seeds_are_one_run(self, make_setup, histories):
        """The order of batches is a run's only randomness."""
        off = [histories(make_setup(shuffle=False, seed=seed))[0] for seed in (0, 1)]
        on = [histories(make_setup(shuffle=True, seed=seed))[0] for seed in (0, 1)]
        assert self.bits(off[0]) == self.bits(off[1])
        assert self.bits(on[0]) != self.bits(on[1])

    def test_a_segment_does_not_change_after_it_was_yielded(self, make_setup):
        """It may be written to disk while training continues."""
        segments, copies = [], []
        for (segment,) in train(make_setup(stopping=EarlyStoppingConfig(patience=100))):
            segments.append(segment)
            copies.append(as_bytes(segment))
        assert list(map(as_bytes, segments)) == copies


def use_cores(monkeypatch, n_cores):
    """Let the process have so many cores."""
    monkeypatch.setattr(os, "sched_getaffinity", lambda _: set(range(n_cores)), raising=False)


def as_bytes(segment):
    """Return the content of a segment, bit for bit."""
    state = segment.state
    arrays = (segment.batch_losses, state.weights, state.last, state.best)
    plain = (
        segment.epochs,
        segment.steps,
        segment.checks,
        segment.outcome,
        state.early_stopping,
        state.best_loss,
    )
    return plain, [array.tobytes() for array in arrays]


class TestDivergence:
    """A run that blows up keeps what was good, and says so."""

    @cross_entropy_heads
    @pytest.mark.parametrize("dtype", ["float32", "float64"])
    @pytest.mark.parametrize(
        ("learning_rate", "l2_lambda"), [(0.1, 100.0), (0.1, 1e4), (1e3, 0.2), (1e7, 0.0)]
    )
    def test_rows_before_the_first_bad_one_are_kept(
        self, head, dtype, learning_rate, l2_lambda, make_setup, histories, reference
    ):
        """All are those of the plain trainer, and the next would be beyond the limit."""
        setup = make_setup(
            head, (l2_lambda,), epochs=40, learning_rate=learning_rate, dtype=dtype, shuffle=False
        )
        (found,) = histories(setup)
        with np.errstate(all="ignore"):
            whole = reference(setup)
        n_steps, n_checks = len(found.steps), len(found.metrics)
        assert found.outcome == "diverged"
        assert np.isfinite(found.steps).all()
        assert np.isfinite(found.metrics).all()
        tolerance = 1e-9 if dtype == "float64" else 1e-4
        for rows, expected in ((found.steps, whole.steps), (found.metrics, whole.metrics)):
            np.testing.assert_allclose(rows, expected[: len(rows)], tolerance, tolerance)
        next_losses = [whole.steps[n_steps, 2], *whole.metrics[n_checks, [2, 4]]]
        assert not all(loss <= MAX_LOSS for loss in next_losses)
        assert np.linalg.norm(found.last) == pytest.approx(found.metrics[-1, 7], rel=1e-6)

    @all_heads
    def test_divergence_at_the_first_check_leaves_one_step_and_zero_weights(
        self, head, make_setup, histories
    ):
        """The first batch loss is that of zero weights, which is always sound."""
        (found,) = histories(make_setup(head, learning_rate=1e30))
        assert (len(found.steps), len(found.metrics), found.outcome) == (1, 0, "diverged")
        assert found.steps[0, 2] == pytest.approx(head.loss_at_zero(head.max_classes or 3))
        assert not found.last.any()
        assert not found.best.any()

    @all_heads
    @pytest.mark.parametrize("dtype", ["float32", "float64"])
    @pytest.mark.parametrize(
        ("learning_rate", "l2_lambda"),
        [(0.1, 1e3), (1e30, 1e10), (0.01, 1e39), (1e39, 0.0), (1e150, 1e10), (1.7e308, 0.0)],
    )
    def test_no_warning_escapes_and_every_number_is_finite(
        self, head, dtype, learning_rate, l2_lambda, make_setup, histories
    ):
        """However absurd the settings that a config allows."""
        setup = make_setup(head, (l2_lambda,), learning_rate=learning_rate, dtype=dtype, epochs=40)
        with warnings.catch_warnings():
            warnings.simplefilter("error")
            (found,) = histories(setup)
        for array in (found.steps, found.metrics, found.last, found.best):
            assert np.isfinite(array).all()


class TestThreads:
    """The pool beside the loop: its errors come out, and nothing of it stays."""

    @pytest.fixture(autouse=True)
    def leaves_nothing_behind(self):
        """No thread, and BLAS with as many threads as before."""
        before = set(threading.enumerate()), self.blas_threads()
        yield
        assert (set(threading.enumerate()), self.blas_threads()) == before

    @staticmethod
    def blas_threads():
        """Return how many threads each BLAS library may use."""
        libraries = [each for each in threadpool_info() if each["user_api"] == "blas"]
        return [library["num_threads"] for library in libraries]

    @pytest.mark.parametrize("short_step", [0, 10**6])
    @pytest.mark.parametrize("fails_at", [1, 2, 7])
    def test_what_evaluation_raises_is_raised_by_the_generator(
        self, fails_at, short_step, make_setup, monkeypatch
    ):
        """In the first segment, a later one or the last, beside training or after it."""
        monkeypatch.setattr(sgd, "_SHORT_STEP", short_step)
        head = FailingHead("is_correct", fails_at, ZeroDivisionError("in a thread"))
        setup = replace(make_setup(stopping=EarlyStoppingConfig(patience=99)), head=head)
        with pytest.raises(ZeroDivisionError, match="in a thread"):
            list(train(setup))

    def test_what_a_step_raises_is_raised_at_once(self, make_setup):
        """While evaluation is running."""
        head = FailingHead("residual", 7, KeyboardInterrupt())
        with pytest.raises(KeyboardInterrupt):
            list(train(replace(make_setup(stopping=PATIENT), head=head)))

    @pytest.mark.parametrize("n_segments", [0, 1, 2])
    def test_a_generator_that_is_closed_early_ends_cleanly(self, n_segments, make_setup):
        """Before its first segment, and while evaluation is running."""
        trained = train(make_setup(stopping=EarlyStoppingConfig(patience=99)))
        for _ in range(n_segments):
            next(trained)
        trained.close()

    def test_blas_runs_on_one_thread_while_training(self, make_setup):
        """So that bits do not depend on the number of cores."""
        inside = [self.blas_threads() for _ in train(make_setup())]
        assert inside
        assert all(threads == [1] * len(threads) for threads in inside)

    @pytest.mark.parametrize(("n_cores", "most"), [(1, 1), (2, 1), (64, 8)])
    def test_evaluation_has_no_more_threads_than_other_cores_or_the_limit(
        self, n_cores, most, make_setup, monkeypatch
    ):
        use_cores(monkeypatch, n_cores)
        before = threading.active_count()
        trained = train(make_setup(stopping=PATIENT))
        next(trained)
        assert threading.active_count() - before <= most
        trained.close()


class FailingHead(Softmax):
    """A head of which one method fails at its n-th call."""

    def __init__(self, method, n, error):
        calls, method_itself = count(1), getattr(self, method)

        def failing(*arguments):
            if next(calls) >= n:
                raise error
            return method_itself(*arguments)

        setattr(self, method, failing)


@pytest.mark.parametrize(("short_step", "ahead"), [(0, 2), (10**6, 1)])
def test_segments_come_while_training_continues(make_setup, monkeypatch, short_step, ahead):
    """A segment is yielded once it is evaluated, beside the next one if steps are long enough.

    Rows, bar and interrupts need not wait longer.
    """
    monkeypatch.setattr(sgd, "_SHORT_STEP", short_step)
    n_trained, train_segment = [], sgd.Stack.train

    def watched(self, epochs):
        n_trained.append(epochs)
        return train_segment(self, epochs)

    monkeypatch.setattr(sgd.Stack, "train", watched)
    setup = make_setup(stopping=EarlyStoppingConfig(patience=99), epochs=4)
    for i, _ in enumerate(train(setup)):
        assert len(n_trained) == min(i + ahead, 4)


def test_a_run_that_stops_yields_no_further_segment(make_setup):
    """What was trained ahead is dropped."""
    setup = make_setup(stopping=EarlyStoppingConfig(patience=1, min_delta=10.0), epochs=50)
    ((segment,),) = train(setup)
    assert segment.outcome == "early_stopped"
    assert len(segment.checks) == 2
