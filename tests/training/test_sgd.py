"""The trainer against its plain reference, and what else it promises."""

import os
import platform
import subprocess
import sys
import threading
import warnings
from dataclasses import replace

import numpy as np
import pytest
from hypothesis import assume, given
from hypothesis import strategies as st
from threadpoolctl import threadpool_info

from mnistlin.config import EarlyStoppingConfig, TrainingConfig
from mnistlin.model import products
from mnistlin.model.linear import HEADS
from mnistlin.training import batches, evaluation, schedule, sgd
from mnistlin.training.batches import epoch_order
from mnistlin.training.schedule import Setup
from mnistlin.training.segments import MAX_LOSS
from mnistlin.training.sgd import train

heads = pytest.mark.parametrize("head", HEADS)
PATIENT = EarlyStoppingConfig(patience=2)
SHORT_STEP = sgd.SHORT_STEP


@pytest.fixture(scope="module", autouse=True)
def long_steps():
    """Have small setups train as large ones do, with evaluation beside them."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(sgd, "SHORT_STEP", 0)
        yield


def tune(
    patch,
    block_rows=512,
    rows_per_evaluation=512,
    logits_per_chunk=2**16,
    small_product=10**6,
    small_output=1200,
    tile_unit=16,
    kept_image_bytes=10**7,
    kept_input_bytes=10**7,
    short_step=0,
):
    """Set the constants that decide how work is grouped, and must decide nothing else."""
    patch.setattr(batches, "BLOCK_ROWS", block_rows)
    patch.setattr(batches, "KEPT_IMAGE_BYTES", kept_image_bytes)
    patch.setattr(schedule, "ROWS_PER_EVALUATION", rows_per_evaluation)
    patch.setattr(sgd, "LOGITS_PER_CHUNK", logits_per_chunk)
    patch.setattr(products, "SMALL_PRODUCT", small_product)
    patch.setattr(products, "SMALL_OUTPUT", small_output)
    patch.setattr(products, "TILE_UNIT", tile_unit)
    patch.setattr(sgd, "KEPT_INPUT_BYTES", kept_input_bytes)
    patch.setattr(sgd, "SHORT_STEP", short_step)


tunings = st.fixed_dictionaries(
    {
        "block_rows": st.sampled_from([1, 7, 512]),
        "rows_per_evaluation": st.sampled_from([1, 12, 40, 512]),
        "logits_per_chunk": st.sampled_from([1, 100, 2**16]),
        "small_product": st.sampled_from([1, 300, 10**6]),
        "small_output": st.sampled_from([30, 1200]),
        "tile_unit": st.sampled_from([1, 16]),
        "kept_image_bytes": st.sampled_from([0, 10**7]),
        "kept_input_bytes": st.sampled_from([0, 10**7]),
        "short_step": st.sampled_from([0, 10**6]),
    }
)


one_lambda = st.tuples(st.sampled_from([0.0, 0.01, 0.5]))
four_lambdas = st.permutations([0.0, 0.01, 0.3, 1.0]).map(tuple)


@st.composite
def setups(draw, make_split, l2_lambdas):
    """Draw a small setup: any head, batches, checks, λ, order, shape and stopping rule."""
    head = HEADS[draw(st.sampled_from(sorted(HEADS)))]
    n_classes = 2 if head.name == "logistic" else draw(st.integers(2, 5))
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

    Two that it does not see have equal weights after it, and which of them is named is then a
    matter of how BLAS rounds.
    """
    order = epoch_order(split.n_samples, training.seed, 0, training.shuffle)
    return len(set(split.targets[order[: training.batch_size]]))


def assume_clear_order(history):
    """Pass over runs in which rounding decides whether a check improves: those that settle."""
    gaps = np.diff(np.sort(history.metrics[:, 4]))
    assume((gaps > 1e-12).all())


class TestAgainstTheReference:
    """Every row and every weight, to 1e-9."""

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

    @heads
    @pytest.mark.parametrize("stopping", [None, PATIENT])
    def test_float32_runs_stay_near(
        self, head, stopping, make_setup, histories, reference, assert_alike
    ):
        """Losses to about six digits; no sample is near enough to the border to change sides."""
        setup = make_setup(head, (0.01,), stopping, epochs=10, dtype="float32")
        (found,) = histories(setup)
        assert found.last.dtype == found.best.dtype == np.float32
        assert_alike(found, reference(setup), tolerance=2e-5)

    @heads
    def test_a_class_that_validation_lacks_is_no_trouble(
        self, head, make_setup, make_split, histories, reference, assert_alike
    ):
        """As in a small validation set of rare classes."""
        splits = [make_split(40, 2 if head == "logistic" else 3) for _ in range(2)]
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

    @heads
    def test_members_that_stop_leave_the_stack_and_others_go_on(self, head, make_setup):
        """The strongly penalised settle first; no leg holds one that has ended."""
        setup = make_setup(head, (1.0, 0.0, 0.1), PATIENT, epochs=60, learning_rate=0.02)
        legs = list(train(setup))
        ended_in = {m.member: leg.epochs.start for leg in legs for m in leg.members if m.outcome}
        assert len(set(ended_in.values())) > 1
        for member, end in ended_in.items():
            present = [
                leg.epochs.start for leg in legs if member in [m.member for m in leg.members]
            ]
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

    @heads
    @pytest.mark.parametrize("dtype", ["float32", "float64"])
    def test_any_number_of_cores_gives_the_same_bits(
        self, head, dtype, make_setup, histories, monkeypatch
    ):
        """And so does a second run, and evaluation that waits until a leg is trained."""
        setup = make_setup(head, (0.0, 0.1), PATIENT, dtype=dtype)
        monkeypatch.setattr(batches, "BLOCK_ROWS", 3)
        found = []
        for n_cores, short_step in ((1, 0), (1, 0), (2, 0), (3, 0), (3, 10**6), (64, 0)):
            monkeypatch.setattr(sgd, "_n_cores", lambda n_cores=n_cores: n_cores)
            monkeypatch.setattr(sgd, "SHORT_STEP", short_step)
            found.append([self.bits(history) for history in histories(setup)])
        assert found == [found[0]] * 6

    @heads
    @pytest.mark.parametrize("stopping", [None, EarlyStoppingConfig(patience=4)])
    @pytest.mark.parametrize("shuffle", [False, True])
    def test_going_on_from_any_leg_repeats_the_bits_of_the_unbroken_run(
        self, head, stopping, shuffle, make_setup, monkeypatch
    ):
        """The state that ends a leg is all that is needed, the stopper's memory included."""
        tune(monkeypatch, rows_per_evaluation=10, block_rows=7)
        setup = make_setup(
            head, (0.01,), stopping, epochs=12, shuffle=shuffle, learning_rate=0.4, dtype="float32"
        )
        unbroken = list(train(setup))
        assert len(unbroken) > 2
        for i, leg in enumerate(unbroken[:-1]):
            resumed = list(train(setup, (leg.epochs.stop, leg.members[0].state)))
            assert [each.epochs for each in resumed] == [each.epochs for each in unbroken[i + 1 :]]
            for found, expected in zip(resumed, unbroken[i + 1 :], strict=True):
                assert vars_as_bytes(found) == vars_as_bytes(expected)

    @heads
    @pytest.mark.parametrize("n_legs", [1, 3])
    def test_how_work_is_grouped_does_not_depend_on_the_cores(
        self, head, n_legs, make_setup, monkeypatch
    ):
        """Other blocks, or legs in another order, could give other bits."""
        monkeypatch.setattr(schedule, "ROWS_PER_EVALUATION", 1 if n_legs > 1 else 1000)
        monkeypatch.setattr(sgd, "SHORT_STEP", 10**6 if head == "logistic" else 0)
        setup, found = make_setup(head), []
        for n_cores in (1, 2, 64):
            monkeypatch.setattr(sgd, "_n_cores", lambda n_cores=n_cores: n_cores)
            columns = [block.columns for block in sgd._Referee(setup)._evaluator._blocks]
            assert all((each is None) == (n_legs == 1) for each in columns)
            found.append((events_of(setup, monkeypatch), repr(columns)))
        assert len(found[0][0]) == 2 * n_legs
        assert found == [found[0]] * 3

    def test_without_shuffle_all_seeds_are_one_run(self, make_setup, histories):
        """The order of batches is a run's only randomness."""
        off = [histories(make_setup(shuffle=False, seed=seed))[0] for seed in (0, 1)]
        on = [histories(make_setup(shuffle=True, seed=seed))[0] for seed in (0, 1)]
        assert self.bits(off[0]) == self.bits(off[1])
        assert self.bits(on[0]) != self.bits(on[1])

    def test_a_leg_that_was_yielded_does_not_change_afterwards(self, make_setup):
        """It may be written to disk while the trainer works on."""
        legs, copies = [], []
        for leg in train(make_setup(stopping=EarlyStoppingConfig(patience=100))):
            legs.append(leg)
            copies.append(vars_as_bytes(leg))
        assert [vars_as_bytes(leg) for leg in legs] == copies


def vars_as_bytes(leg):
    """Return the content of a leg of one member, bit for bit."""
    (member,) = leg.members
    state = member.state
    arrays = (member.batch_losses, state.weights, state.last, state.best)
    plain = (
        leg.epochs,
        member.steps,
        member.checks,
        member.outcome,
        state.stopper,
        state.best_loss,
    )
    return plain, [array.tobytes() for array in arrays]


class TestDivergence:
    """A run that blows up keeps what was good, and says so."""

    @heads
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

    @heads
    def test_divergence_at_the_first_check_leaves_one_step_and_zero_weights(
        self, head, make_setup, histories
    ):
        """The first batch loss, ln 2 or ln K, is always sound."""
        (found,) = histories(make_setup(head, learning_rate=1e30))
        assert (len(found.steps), len(found.metrics), found.outcome) == (1, 0, "diverged")
        assert found.steps[0, 2] == pytest.approx(np.log(2 if head == "logistic" else 3))
        assert not found.last.any()
        assert not found.best.any()

    @heads
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
        """In the first leg, a later one or the last, beside training or after it."""
        monkeypatch.setattr(sgd, "SHORT_STEP", short_step)
        calls = []
        score_block = evaluation.Evaluator._score_block

        def failing(*arguments):
            calls.append(None)
            if len(calls) >= fails_at:
                raise ZeroDivisionError("in a thread")
            return score_block(*arguments)

        monkeypatch.setattr(evaluation.Evaluator, "_score_block", failing)
        with pytest.raises(ZeroDivisionError, match="in a thread"):
            list(train(make_setup(stopping=EarlyStoppingConfig(patience=99))))

    def test_what_the_loop_raises_is_raised_at_once(self, make_setup, monkeypatch):
        """While evaluation is under way."""

        def failing(self, epochs):
            if epochs.start == 1:
                raise KeyboardInterrupt
            return trained(self, epochs)

        trained = sgd.Stack.train
        monkeypatch.setattr(sgd.Stack, "train", failing)
        with pytest.raises(KeyboardInterrupt):
            list(train(make_setup(stopping=PATIENT)))

    @pytest.mark.parametrize("n_legs", [0, 1, 2])
    def test_a_generator_that_is_closed_early_ends_cleanly(self, n_legs, make_setup):
        """Before its first leg, and with an evaluation under way."""
        legs = train(make_setup(stopping=EarlyStoppingConfig(patience=99)))
        for _ in range(n_legs):
            next(legs)
        legs.close()

    def test_blas_runs_on_one_thread_while_training(self, make_setup):
        """So that bits do not depend on the number of cores."""
        inside = [self.blas_threads() for _ in train(make_setup())]
        assert inside
        assert all(threads == [1] * len(threads) for threads in inside)

    def test_not_more_threads_than_cores_or_the_limit(self, make_setup, monkeypatch):
        """One core trains; and each helper has buffers of its own, so that many cost memory."""
        for n_cores, expected in ((1, 0), (2, 1), (1000, sgd.MAX_HELPERS)):
            monkeypatch.setattr(sgd, "_n_cores", lambda n_cores=n_cores: n_cores)
            assert sgd._Referee(make_setup()).n_helpers == expected


@pytest.mark.skipif(not hasattr(os, "sched_getaffinity"), reason="needs the affinity of a process")
def test_the_cores_counted_are_those_that_the_process_may_use(monkeypatch):
    """A container or batch system often grants fewer than the machine has."""
    monkeypatch.setattr(os, "sched_getaffinity", lambda _: {3, 5, 7})
    assert sgd._n_cores() == 3
    monkeypatch.delattr(os, "sched_getaffinity")
    monkeypatch.setattr(os, "cpu_count", lambda: None)
    assert sgd._n_cores() == 1


def events_of(setup, monkeypatch):
    """Return in which order the legs of a run are trained and yielded."""
    events, train_leg = [], sgd.Stack.train

    def note(what, epochs):
        events.append((what, epochs.start))

    def watched(self, epochs):
        note("trained", epochs)
        return train_leg(self, epochs)

    with monkeypatch.context() as patch:
        patch.setattr(sgd.Stack, "train", watched)
        for leg in train(setup):
            note("yielded", leg.epochs)
    return events


@pytest.mark.parametrize(
    ("head", "n_classes", "is_short"), [("logistic", 2, True), ("softmax", 10, False)]
)
def test_binary_steps_are_short_and_softmax_steps_are_not(
    head, n_classes, is_short, make_setup, make_split, monkeypatch
):
    """On images of 28 x 28 pixels, in batches of 128; more models or larger batches take longer."""
    monkeypatch.setattr(sgd, "SHORT_STEP", SHORT_STEP)
    splits = make_split(40, n_classes, (28, 28)), make_split(40, n_classes, (28, 28))
    for l2_lambdas, batch_size in (((0.0,), 128), ((0.0,) * 5, 128), ((0.0,), 640)):
        setup = make_setup(head, l2_lambdas, splits=splits, batch_size=batch_size)
        assert sgd._has_short_steps(setup) == (is_short and len(l2_lambdas) * batch_size == 128)


@pytest.mark.parametrize(
    ("shuffle", "epochs", "n_kept"), [(False, 3, 5), (True, 3, 0), (False, 1, 0)]
)
def test_batches_that_come_again_are_read_once(shuffle, epochs, n_kept, make_setup, monkeypatch):
    """Of five batches an epoch, and only if there is another epoch."""
    calls, read = [], batches.PixelReader.read

    def counted(self, samples):
        calls.append(len(samples))
        return read(self, samples)

    monkeypatch.setattr(batches.PixelReader, "read", counted)
    setup = make_setup(shuffle=shuffle, epochs=epochs)
    list(train(setup))
    assert calls == [8] * (n_kept or 5 * epochs)
    kept = sgd.Stack(setup, np.zeros(setup.weights_shape))._kept
    assert len(kept) == n_kept


ROUNDS = """
import resource
import numpy as np
from mnistlin.training import sgd

def use_arrays():
    arrays = [np.ones(2**20, np.uint8) for _ in range(8)]

def n_page_faults():
    return resource.getrusage(resource.RUSAGE_SELF).ru_minflt

sgd._let_malloc_keep_memory()
use_arrays()
before = n_page_faults()
for _ in range(10):
    use_arrays()
print(n_page_faults() - before)
"""


@pytest.mark.skipif(platform.libc_ver()[0] != "glibc", reason="each malloc has its own rules")
def test_memory_of_arrays_that_come_and_go_is_kept():
    """It has 20,480 pages here; those that the kernel must give anew take time.

    Unless the environment rules otherwise: Dask has its workers give memory back at once.
    """
    env = {name: value for name, value in os.environ.items() if not name.startswith("MALLOC_")}
    done = subprocess.run([sys.executable, "-c", ROUNDS], env=env, capture_output=True, check=True)
    assert int(done.stdout) < 2_000


def test_training_tells_malloc_to_keep_memory(make_setup, monkeypatch):
    """Once, however many legs there are."""
    told = []
    monkeypatch.setattr(sgd, "_let_malloc_keep_memory", lambda: told.append(True))
    list(train(make_setup(stopping=PATIENT)))
    assert told == [True]


@pytest.mark.parametrize(("short_step", "ahead"), [(0, 2), (10**6, 1)])
def test_legs_come_while_training_goes_on(make_setup, monkeypatch, short_step, ahead):
    """A leg is yielded once it is evaluated, beside the next one if steps are not too short.

    Rows, bar and interrupts need not wait longer.
    """
    monkeypatch.setattr(sgd, "SHORT_STEP", short_step)
    setup = make_setup(stopping=EarlyStoppingConfig(patience=99), epochs=4)
    events = events_of(setup, monkeypatch)
    for i in range(4):
        before = events[: events.index(("yielded", i))]
        assert [what for what, _ in before].count("trained") == min(i + ahead, 4)


def test_a_run_that_stops_yields_no_further_leg(make_setup):
    """What was trained ahead is thrown away."""
    setup = make_setup(stopping=EarlyStoppingConfig(patience=1, min_delta=10.0), epochs=50)
    (leg,) = train(setup)
    assert leg.members[0].outcome == "early_stopped"
    assert len(leg.members[0].checks) == 2
