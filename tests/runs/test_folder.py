"""Run folders: made once, never shared, and read back whatever became of them."""

import json
import os
import pickle
import re
import shutil
import threading
import zipfile
from concurrent.futures import ProcessPoolExecutor
from datetime import UTC, datetime
from multiprocessing import get_context
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from mnistlin.errors import RunError
from mnistlin.runs import folder
from mnistlin.runs.folder import load_run, make_folder

READ = {
    "summary.json": "summary",
    "metrics.csv": "metrics",
    "steps.csv": "steps",
    "weights.npz": "weights",
    "confusion.csv": "confusion",
}


@pytest.fixture
def noon(monkeypatch):
    """Stop the clock."""

    class Clock(datetime):
        @classmethod
        def now(cls, tz=None):
            assert tz is UTC
            return cls(2026, 1, 14, 12, 0, 0, tzinfo=tz)

    monkeypatch.setattr(folder, "datetime", Clock)


@pytest.fixture
def damaged(tmp_path, finished_run):
    """Return a copy of a finished run that may be damaged."""
    return Path(shutil.copytree(finished_run.path, tmp_path / "damaged"))


class TestMaking:
    """Names, and that nobody else gets the same."""

    @pytest.mark.usefixtures("noon")
    def test_the_name_is_the_time_in_utc_and_the_name_of_the_experiment(self, tmp_path):
        """So that folders sort by time; the parents are made too."""
        path = make_folder(tmp_path / "a" / "b", "binary")
        assert path == tmp_path / "a" / "b" / "20260114T120000Z_binary"
        assert path.is_dir()

    @pytest.mark.usefixtures("noon")
    def test_a_second_one_of_the_same_name_gets_a_number(self, tmp_path):
        """Whatever it is that has the name already."""
        (tmp_path / "20260114T120000Z_x-2").write_text("a file in the way")
        names = [make_folder(tmp_path, "x").name.partition("_")[2] for _ in range(3)]
        assert names == ["x", "x-3", "x-4"]

    def test_a_path_of_too_many_folders_is_one_error(self, tmp_path):
        with pytest.raises(RunError, match="too many to make; choose another folder"):
            make_folder(tmp_path / "/".join(["a"] * 1500), "x")

    def test_the_time_is_now(self, tmp_path):
        """In UTC, whatever the time zone of the machine."""
        stamp = make_folder(tmp_path, "x").name.partition("_")[0]
        made = datetime.strptime(stamp, "%Y%m%dT%H%M%SZ").replace(tzinfo=UTC)
        assert abs((datetime.now(UTC) - made).total_seconds()) < 60

    @pytest.mark.usefixtures("noon")
    @pytest.mark.parametrize(
        ("name", "safe"),
        [
            ("a b", "a-b"),
            ("../../etc/passwd", "etc-passwd"),
            ("/", "run"),
            ("..", "run"),
            (".hidden", "hidden"),
            ("-rf", "rf"),
            ("a\0b\nc", "a-b-c"),
            ("C:\\x", "C-x"),
            ("näme λ=0.1", "n-me-0.1"),
            ("漢字", "run"),
            ("v1.2_b-3", "v1.2_b-3"),
        ],
    )
    def test_unsafe_names_are_made_safe(self, tmp_path, name, safe):
        """A name never leads elsewhere, hides the folder or looks like an option."""
        assert make_folder(tmp_path, name) == tmp_path / f"20260114T120000Z_{safe}"

    @given(st.text(min_size=1, max_size=100))
    def test_any_name_gives_a_folder_below_the_parent(self, tmp_path_factory, name):
        """Of letters, digits, dot, underscore and hyphen only."""
        parent = tmp_path_factory.mktemp("any")
        path = make_folder(parent, name)
        assert path.parent == parent
        assert re.fullmatch(r"\d{8}T\d{6}Z_[A-Za-z0-9_][A-Za-z0-9._-]*", path.name)

    @pytest.mark.usefixtures("noon")
    def test_fifty_threads_make_fifty_folders(self, tmp_path):
        """All at the same moment."""
        gate, paths = threading.Barrier(50), []

        def make():
            gate.wait()
            paths.append(make_folder(tmp_path, "x"))

        threads = [threading.Thread(target=make) for _ in range(50)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        assert len(set(paths)) == len(list(tmp_path.iterdir())) == 50

    def test_processes_do_not_share_either(self, tmp_path):
        """Fifty folders of four processes."""
        with ProcessPoolExecutor(4, mp_context=get_context("spawn")) as pool:
            paths = list(pool.map(make_folder, [tmp_path] * 50, ["x"] * 50))
        assert len(set(paths)) == len(list(tmp_path.iterdir())) == 50

    def test_a_file_in_the_place_of_the_parent_is_told(self, tmp_path):
        """With what to do about it."""
        (tmp_path / "runs").write_text("")
        for parent in (tmp_path / "runs", tmp_path / "runs" / "below"):
            with pytest.raises(RunError, match=r"cannot make the folder .*runs.*--runs-dir"):
                make_folder(parent, "x")

    @pytest.mark.usefixtures("noon")
    def test_it_gives_up_in_the_end(self, tmp_path, monkeypatch):
        """Rather than look for a free name for ever."""
        tries = []

        def taken(self, *_, **options):
            if not options:
                tries.append(self)
                raise FileExistsError

        monkeypatch.setattr(Path, "mkdir", taken)
        with pytest.raises(RunError, match="x"):
            make_folder(tmp_path, "x")
        assert len(set(tries)) == len(tries) == 9999


class TestReading:
    """A sound folder."""

    def test_everything_is_there_with_the_documented_shapes(self, finished_run):
        """With 60 images in batches of 8 an epoch has 7 steps, each with a check."""
        run = load_run(str(finished_run.path))
        assert (run.status, run.path) == ("finished", finished_run.path)
        assert (run.classes, run.image_shape, run.weights_shape) == ((1, 2, 7), (4, 5), (21, 3))
        assert run.steps["step"].tolist() == run.metrics["step"].tolist() == list(range(28))
        assert run.steps["epoch"].tolist() == [step // 7 for step in range(28)]
        assert {name: W.shape for name, W in run.weights.items()} == dict.fromkeys(
            ("last", "best"), (21, 3)
        )
        assert run.confusion.sum() == 30
        assert run.summary["stop_step"] == 27

    def test_a_folder_that_was_moved_is_still_a_run(self, damaged, finished_run):
        """Nothing in it depends on its location."""
        run = load_run(damaged)
        assert run.config == finished_run.config
        np.testing.assert_array_equal(run.weights["last"], finished_run.weights["last"])

    def test_files_are_read_when_they_are_asked_for(self, damaged):
        """To list runs, their tables need not be read, nor be there."""
        for name in READ:
            (damaged / name).unlink()
        assert load_run(damaged).status == "finished"


class TestDamage:
    """Whatever is wrong with a folder is a RunError that names the file."""

    @staticmethod
    def refuses(path, name):
        """Read all that depends on a file, and expect it to be refused."""
        with pytest.raises(RunError) as caught:
            getattr(load_run(path), READ.get(name, "config"))
        assert name in str(caught.value)
        assert str(path) in str(caught.value)
        assert len(str(caught.value)) < 2000

    @pytest.mark.parametrize("path", [".", "nowhere", "a\0b", "x" * 300, "", "\ud800"])
    def test_what_is_no_run_folder_is_told(self, tmp_path, path):
        """With the command that lists those there are."""
        with pytest.raises(RunError, match=r"is not a run folder.*mnistlin runs"):
            load_run(tmp_path / path)

    def test_a_file_is_no_run_folder(self, damaged):
        """Even if it belongs to one."""
        with pytest.raises(RunError, match="not a run folder"):
            load_run(damaged / "run.json")

    @pytest.mark.parametrize("name", ["config.yaml", *READ])
    def test_a_missing_file_is_named(self, damaged, name):
        """Each of those that a run is made of."""
        (damaged / name).unlink()
        self.refuses(damaged, name)

    @pytest.mark.parametrize("name", ["config.yaml", "run.json", *READ])
    @pytest.mark.parametrize(
        "content", [b"", b"\0" * 50, b"\xff\xfe\0\x80", b"[1, 2]", b"{" * 9999]
    )
    def test_other_content_is_refused(self, damaged, name, content):
        """Nothing at all, zeros, noise, and valid text of another kind."""
        (damaged / name).write_bytes(content)
        self.refuses(damaged, name)

    @pytest.mark.parametrize("name", ["run.json", "summary.json", "weights.npz"])
    def test_a_truncated_file_is_refused_wherever_it_ends(self, damaged, name):
        """As after a full disk, or an interrupted copy."""
        whole = (damaged / name).read_bytes()
        for length in range(0, len(whole) - 2, max(1, len(whole) // 150)):
            (damaged / name).write_bytes(whole[:length])
            self.refuses(damaged, name)

    @pytest.mark.parametrize("name", ["config.yaml", "run.json", *READ])
    def test_a_folder_or_a_dead_link_in_the_place_of_a_file_is_refused(self, damaged, name):
        """They exist, but are no files."""
        (damaged / name).unlink()
        for make in (Path.mkdir, lambda path: path.symlink_to("nowhere")):
            make(damaged / name)
            with pytest.raises(RunError, match=name if name in READ else str(damaged)):
                getattr(load_run(damaged), READ.get(name, "config"))
            (damaged / name).rmdir() if (damaged / name).is_dir() else (damaged / name).unlink()

    @pytest.mark.skipif(not hasattr(os, "mkfifo"), reason="the system has no named pipes")
    @pytest.mark.parametrize("name", ["config.yaml", *READ])
    def test_a_pipe_is_not_waited_for(self, damaged, name):
        """Reading one that nobody writes to would never end."""
        (damaged / name).unlink()
        os.mkfifo(damaged / name)
        self.refuses(damaged, name)

    def test_a_config_that_is_none_any_more_is_refused(self, damaged):
        """Of another version, say; the message holds what the config's error says."""
        (damaged / "config.yaml").write_text("model: softmax\ntraining: {epoch: 3}\n")
        with pytest.raises(RunError, match=r"(?s)config\.yaml.*did you mean training.epochs"):
            load_run(damaged)

    @pytest.mark.parametrize(
        ("path", "value"),
        [
            (("status",), None),
            (("status",), "dancing"),
            (("status",), ["finished"]),
            (("data",), None),
            (("data",), []),
            (("data", "classes"), []),
            (("data", "classes"), "127"),
            (("data", "classes"), [1, 2, 2]),
            (("data", "classes"), [1, 2, 7.0]),
            (("data", "classes"), [1, 2, True]),
            (("data", "classes"), [1, 2, -1]),
            (("data", "classes"), [1, 2, 10**30]),
            (("data", "image_shape"), [4]),
            (("data", "image_shape"), [4, 5, 6]),
            (("data", "image_shape"), [4, 0]),
            (("data", "image_shape"), {"4": 5}),
            (("data", "image_shape"), [10**18, 10**18]),
        ],
    )
    def test_wrong_values_in_run_json_are_refused(self, damaged, path, value):
        """Those by which the other files are read."""
        info = json.loads((damaged / "run.json").read_text())
        *parents, key = path
        section = info
        for parent in parents:
            section = section[parent]
        section[key] = value
        (damaged / "run.json").write_text(json.dumps(info))
        self.refuses(damaged, "run.json")

    @pytest.mark.parametrize(
        "arrays",
        [
            {"last": np.zeros((21, 3))},
            {"last": np.zeros((21, 3)), "best": np.zeros((3, 21))},
            {"last": np.zeros((22, 3)), "best": np.zeros((21, 3))},
            {"last": np.zeros((21, 3)), "best": np.zeros((1, 21, 3))},
            {"last": np.zeros((21, 3)), "best": np.zeros(())},
            {"last": np.zeros((21, 3)), "best": np.zeros((21, 3), int)},
            {"last": np.zeros((21, 3)), "best": np.zeros((21, 3), complex)},
            {"last": np.zeros((21, 3)), "best": np.full((21, 3), "x")},
            {"last": np.zeros((21, 3)), "best": np.full((21, 3), None)},
        ],
    )
    def test_other_arrays_than_weights_are_refused(self, damaged, arrays):
        """Missing ones, other shapes, other types."""
        np.savez(damaged / "weights.npz", **arrays)
        self.refuses(damaged, "weights.npz")

    def test_a_pickle_is_never_opened(self, damaged):
        """Neither in an array nor in the place of the file: it would run what a stranger wrote."""
        (damaged / "weights.npz").write_bytes(pickle.dumps({"last": Trap()}))
        self.refuses(damaged, "weights.npz")
        trap = np.array([[Trap()]], dtype=object)
        np.savez(damaged / "weights.npz", last=trap, best=trap)
        self.refuses(damaged, "weights.npz")

    def test_a_single_array_is_refused(self, damaged):
        """An .npy file under the name of an .npz file."""
        with (damaged / "weights.npz").open("wb") as file:
            np.save(file, np.zeros((21, 3)))
        self.refuses(damaged, "weights.npz")

    @pytest.mark.parametrize("shape", ["100000000000000,", "9" * 30 + ",", "-1, 3", "21, 3", "(21"])
    def test_a_header_is_not_believed(self, damaged, shape):
        """A file of a few bytes that claims 728 TiB must not be given room for them."""
        header = f"{{'descr': '<f8', 'fortran_order': False, 'shape': ({shape}), }}\n".encode()
        content = b"\x93NUMPY\x01\x00" + len(header).to_bytes(2, "little") + header + b"\0" * 9
        with zipfile.ZipFile(damaged / "weights.npz", "w") as archive:
            archive.writestr("last.npy", content)
            archive.writestr("best.npy", content)
        self.refuses(damaged, "weights.npz")

    @pytest.mark.parametrize("save", [np.savez, np.savez_compressed])
    def test_a_wrong_byte_anywhere_gives_weights_or_an_error(self, damaged, save):
        """Nothing else, and no file is left open."""
        save(damaged / "weights.npz", **load_run(damaged).weights)
        whole = (damaged / "weights.npz").read_bytes()
        for i in range(0, len(whole), 3):
            wrong = (0, 0xFF, whole[i] ^ 1)[i // 3 % 3]
            (damaged / "weights.npz").write_bytes(whole[:i] + bytes([wrong]) + whole[i + 1 :])
            try:
                weights = load_run(damaged).weights
            except RunError as error:
                assert "weights.npz" in str(error)  # noqa: PT017 (either outcome is right)
            else:
                assert weights["last"].shape == weights["best"].shape == (21, 3)

    def test_a_confusion_matrix_must_be_square(self, damaged):
        """A row less is a damaged file."""
        lines = (damaged / "confusion.csv").read_text().splitlines(keepends=True)
        (damaged / "confusion.csv").write_text("".join(lines[:-1]))
        self.refuses(damaged, "confusion.csv")

    def test_a_confusion_matrix_must_have_the_classes_of_the_run(self, damaged):
        """As columns and as rows."""
        text = (damaged / "confusion.csv").read_text()
        for other in (text.replace("true,1", "true,3"), text.replace("\n7,", "\n8,")):
            assert other != text
            (damaged / "confusion.csv").write_text(other)
            self.refuses(damaged, "confusion.csv")


class Trap:
    """Does something when it is unpickled that a test cannot overlook."""

    def __reduce__(self):
        """Say how to make this object again: by ending the process."""
        return os._exit, (66,)
