"""Run folders from a stranger: their names, and where they lead. Their files are fuzzed."""


def test_a_name_does_not_steer_the_terminal(mnistlin, workplace):
    """Escape sequences in what an error quotes are shown, not obeyed."""
    result = mnistlin("replay", "runs/\x1b[31mred")
    assert result.exit_code == 1
    assert r"\x1b[31mred" in result.stderr
    assert "\x1b" not in result.stderr


def test_figures_do_not_follow_a_link_out_of_the_folder(mnistlin, tiny_run, workplace):
    """plots/ may lead to a folder whose pictures are precious; who means it says so with --out."""
    precious = workplace / "precious"
    precious.mkdir()
    (precious / "loss.png").write_text("precious")
    (tiny_run / "plots").symlink_to(precious)
    result = mnistlin("plot", tiny_run)
    assert result.exit_code == 1
    assert "is a link" in result.stderr
    assert [path.name for path in precious.iterdir()] == ["loss.png"]
    assert (precious / "loss.png").read_text() == "precious"
    assert mnistlin("plot", tiny_run, "--out", precious).exit_code == 0
    assert len(list(precious.iterdir())) == 4


def test_a_link_to_a_run_folder_is_as_good_as_the_folder(mnistlin, tiny_run, workplace):
    """`latest` may lead to a run: it is the user's own link."""
    (workplace / "latest").symlink_to(tiny_run)
    assert mnistlin("replay", "latest").exit_code == 0
    assert mnistlin("explain", "early-stopping", "latest").exit_code == 0
    assert (tiny_run / "plots" / "early-stopping.png").exists()
