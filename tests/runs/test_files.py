"""Files of a run folder: never half of something, never something else."""

import os
import tracemalloc

import pytest

from mnistlin import RunError
from mnistlin.runs.files import GrowingFile, open_plain, remove_leftovers, write_bytes
from mnistlin.runs.tables import STEPS_COLUMNS, read_checks, read_columns

HEADER = b"step,epoch,batch_loss\n"


def test_a_link_is_replaced_and_what_it_leads_to_is_not(tmp_path):
    """Who puts a link into a run folder does not make us write elsewhere."""
    (tmp_path / "precious").write_bytes(b"precious")
    (tmp_path / "link").symlink_to(tmp_path / "precious")
    write_bytes(tmp_path / "link", b"new")
    assert (tmp_path / "precious").read_bytes() == b"precious"
    assert not (tmp_path / "link").is_symlink()


def test_leftovers_are_temporary_files_alone(tmp_path):
    """Nothing that is not named like one is removed."""
    kept = {"metrics.csv", ".hidden", "notes.tmp"}
    for name in (*kept, ".weights.npz.17.tmp"):
        (tmp_path / name).touch()
    remove_leftovers(tmp_path)
    assert {path.name for path in tmp_path.iterdir()} == kept


@pytest.mark.parametrize(
    "make",
    [
        os.mkfifo,
        os.mkdir,
        lambda path: path.symlink_to("/etc/hostname"),
        lambda path: path.symlink_to("/dev/zero"),
    ],
    ids=["pipe", "folder", "link", "link to a device"],
)
def test_only_plain_files_are_read(make, tmp_path):
    """A pipe would hang, a device never end, a link leads out of the folder."""
    make(tmp_path / "file")
    with (
        pytest.raises(RunError, match="not a regular file"),
        open_plain(tmp_path / "file") as file,
    ):
        file.read()


def test_an_endless_line_is_not_read(tmp_path):
    """A sparse file of a terabyte takes neither time nor memory."""
    path = tmp_path / "steps.csv"
    with path.open("wb") as file:
        file.write(HEADER)
        file.truncate(2**40)
    tracemalloc.start()
    try:
        with pytest.raises(RunError, match="line 2"):
            read_columns(path, STEPS_COLUMNS)
        _, peak = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    assert peak < 2**20


def test_part_of_a_table_ends_with_a_line(tmp_path):
    """A length in the middle of a line, or beyond the file, is refused."""
    path = tmp_path / "steps.csv"
    path.write_bytes(HEADER + b"0,0,2.25\n1,0,nonsense")
    n_bytes = len(HEADER) + len("0,0,2.25\n")
    assert read_columns(path, STEPS_COLUMNS, n_bytes)["step"].tolist() == [0]
    for wrong in (n_bytes - 1, n_bytes + 3, 10**9):
        with pytest.raises(RunError):
            read_columns(path, STEPS_COLUMNS, wrong)
    with pytest.raises(RunError):
        read_checks(path, n_bytes)


class TestGrowing:
    """Files that grow by whole pieces."""

    def test_pieces_follow_one_another(self, tmp_path):
        """Each is in the file when `append` returns."""
        file = GrowingFile(tmp_path / "a.csv")
        for content in ("step,λ\n", "0,1\n", ""):
            file.append(content)
        assert (tmp_path / "a.csv").read_text(encoding="utf-8") == "step,λ\n0,1\n"
        assert file.length == len("step,λ\n0,1\n".encode())

    def test_what_follows_the_given_length_is_cut_off(self, tmp_path):
        """A resumed run begins with the rows that its checkpoint refers to."""
        (tmp_path / "a.csv").write_text("kept\ncut off\n")
        GrowingFile(tmp_path / "a.csv", length=5).append("new\n")
        assert (tmp_path / "a.csv").read_text() == "kept\nnew\n"

    def test_a_piece_that_does_not_fit_leaves_nothing(self, tmp_path):
        """Half a row would make the file unreadable; there may be space again later."""
        resource = pytest.importorskip("resource")
        file = GrowingFile(tmp_path / "a.csv")
        file.append("fits\n")
        soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
        resource.setrlimit(resource.RLIMIT_FSIZE, (100, hard))
        try:
            with pytest.raises(RunError, match=r"a\.csv"):
                file.append("x" * 200)
        finally:
            resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))
        assert (tmp_path / "a.csv").read_text() == "fits\n"
        file.append("fits again\n")
        assert (tmp_path / "a.csv").read_text() == "fits\nfits again\n"

    def test_a_folder_that_vanished_is_noticed_with_the_next_piece(self, tmp_path):
        """It is not made again behind the user's back."""
        folder = tmp_path / "run"
        folder.mkdir()
        file = GrowingFile(folder / "file")
        (folder / "file").unlink()
        folder.rmdir()
        with pytest.raises(RunError, match="No such file"):
            file.append("one\n")
        assert not folder.exists()
