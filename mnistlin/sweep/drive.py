"""The driver of a sweep: hands stacks to workers, and writes what comes back as run folders.

Only the driver writes, so workers need no disk that they share with it.
"""

from collections import deque
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import FIRST_COMPLETED, Future, wait
from dataclasses import dataclass

from mnistlin.config import ExperimentConfig
from mnistlin.data.splits import Splits
from mnistlin.errors import MnistlinError
from mnistlin.experiment import conclude, setup_for
from mnistlin.runs.files import os_errors_as_run_errors
from mnistlin.runs.folder import Run, load_run
from mnistlin.runs.provenance import this_command
from mnistlin.runs.sweep_folder import SweepWriter, member_name
from mnistlin.runs.writer import RunWriter
from mnistlin.sweep.plan import Stack, member_config
from mnistlin.sweep.work import TrainedStack
from mnistlin.sweep.workers import Workers

POLL_SECONDS = 0.2
"""How often the caller is asked whether to stop, while stacks train elsewhere."""


@dataclass(frozen=True)
class SweepProgress:
    """How far a sweep is.

    Attributes
    ----------
    stacks_done, stacks : int
        Stacks that are through, and all of them.
    epochs_done, epochs : int
        Epochs that are through, and those of all stacks; of a stack that trains in another
        process they count once it is through.
    """

    stacks_done: int
    stacks: int
    epochs_done: int
    epochs: int


OnProgress = Callable[[SweepProgress], bool | None]


class Reporter:
    """Tells the caller how far a sweep is, and remembers whether it asked to stop.

    Parameters
    ----------
    on_progress : callable, optional
        Whom to tell; it returns True to stop.
    n_stacks, n_done : int
        Stacks of the sweep, and those that are through already.
    epochs : int
        Epochs a stack has at most.
    """

    def __init__(
        self, on_progress: OnProgress | None, n_stacks: int, n_done: int, epochs: int
    ) -> None:
        self._on_progress, self._n_stacks, self._n_done = on_progress, n_stacks, n_done
        self._epochs = epochs
        self._wants_stop = False

    def on_leg(self, epochs: range) -> bool:
        """Tell of some epochs of the stack that trains in this process."""
        return self._tell(epochs.stop)

    def stack_done(self) -> None:
        """Count one stack more."""
        self._n_done += 1

    def wants_stop(self) -> bool:
        """Tell how things stand, and return whether to stop."""
        return self._tell(0)

    def _tell(self, epochs_of_stack: int) -> bool:
        progress = SweepProgress(
            self._n_done,
            self._n_stacks,
            self._n_done * self._epochs + epochs_of_stack,
            self._n_stacks * self._epochs,
        )
        if self._on_progress is not None and self._on_progress(progress):
            self._wants_stop = True
        return self._wants_stop


@dataclass(frozen=True)
class Driver:
    """What it takes to get stacks trained and written.

    Attributes
    ----------
    config : ExperimentConfig
        The config of the sweep.
    splits : Splits
        Its data.
    writer : SweepWriter
        Its folder.
    workers : Workers
        Who trains.
    reporter : Reporter
        Whom to tell.
    """

    config: ExperimentConfig
    splits: Splits
    writer: SweepWriter
    workers: Workers
    reporter: Reporter

    def drive(self, stacks: Sequence[Stack]) -> None:
        """Get these stacks trained, write each as soon as it is, and close the sweep's folder."""
        with self.writer.marks_failure():
            for stack, future in self._trained(stacks):
                self._write(stack, future)
            self.writer.close()

    def _trained(
        self, stacks: Sequence[Stack]
    ) -> "Iterator[tuple[Stack, Future[TrainedStack | None]]]":
        """Yield each stack once its future is done, until all are, or the caller wants to stop."""
        waiting = deque(stacks)
        under_way: dict[Future[TrainedStack | None], Stack] = {}
        n_at_once = self.workers.n_at_once or len(stacks)
        while not self.reporter.wants_stop() and (waiting or under_way):
            while waiting and len(under_way) < n_at_once:
                stack = waiting.popleft()
                under_way[self.workers.submit(self.config, stack)] = stack
            done, _ = wait(under_way, POLL_SECONDS, FIRST_COMPLETED)
            yield from ((under_way.pop(future), future) for future in done)

    def _write(self, stack: Stack, future: "Future[TrainedStack | None]") -> None:
        """Write the members of a stack, or why there are none."""
        try:
            trained = future.result()
        except Exception as error:  # whatever it is, the other stacks go on
            known = isinstance(error, MnistlinError)
            reason = str(error) if known else f"{type(error).__name__}: {error}"
            self.writer.add_failure(stack.l2_lambdas, stack.seed, reason)
        else:
            if trained is None:  # it was asked to stop
                return
            runs = {key: self._member(stack, trained, i) for i, key in enumerate(stack.keys)}
            self.writer.add(runs)
        self.reporter.stack_done()

    def _member(self, stack: Stack, trained: TrainedStack, i: int) -> Run:
        """Write the run folder of one member of a stack."""
        path = self.writer.path / member_name(stack.keys[i])
        with os_errors_as_run_errors("make the folder", path):
            path.mkdir()
        config = member_config(self.config, *stack.keys[i])
        schedule = setup_for(config, self.splits, stack.l2_lambdas).schedule
        origin = {"command": this_command(), "stack": stack.described(self.writer.path.name)}
        run_writer = RunWriter(path, config, trained.info | origin, schedule.steps_per_epoch)
        member = trained.members[i]
        with run_writer.marks_failure():
            run_writer.append(member)
            conclude(run_writer, self.splits, member, member.checks, trained.train_seconds)
        return load_run(path)
