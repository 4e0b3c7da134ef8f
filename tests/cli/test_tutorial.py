"""The numbers of docs/tutorial.md."""

import re
import shlex
from pathlib import Path

TEXT = (Path(__file__).parents[2] / "docs" / "tutorial.md").read_text(encoding="utf-8")
COMMANDS = re.findall(r"^    mnistlin (.*)$", TEXT, re.MULTILINE)
SHOWN = re.findall(r"^    (\w+: .*)$", TEXT, re.MULTILINE)


def test_the_numbers_of_the_tutorial_come_out(mnistlin, workplace):
    """Whatever was trained before, as by the first command of the README."""
    mnistlin("train", "--config", "quickstart", "--no-plots")
    outputs = {}
    for command in COMMANDS:
        if not command.startswith(("train", "compare")):  # others are tested on smaller runs
            continue
        result = mnistlin(*shlex.split(command))
        assert result.exit_code == 0, (command, result.output)
        outputs[command] = result.stdout
    trained = [line for line in SHOWN if not line.startswith(("train_seconds", "run"))]
    assert len(trained) > 5
    assert set(trained) <= set(outputs["train --config quickstart"].splitlines())
    compared = outputs["compare @-2 @last"]
    assert "85.7 % against 90.4 %,\np = 8e-7" in TEXT
    for line in ("accuracy_a: 0.904", "accuracy_b: 0.857", "p_value: 8.1"):
        assert f"\n{line}" in compared
    assert {path.suffix for path in (workplace / "answer").iterdir()} == {".pdf", ".csv"}
