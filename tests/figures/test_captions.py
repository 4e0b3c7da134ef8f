"""Titles, settings and footers."""

from dataclasses import replace
from pathlib import Path

import pytest

from mnistlin.figures import captions


def test_a_title_says_what_of_which_model_on_which_data(softmax_run):
    """The folder of a dataset is named without the way to it."""
    dataset = Path(softmax_run.config.data.dataset).name
    title = captions.title("Loss", softmax_run)
    assert title == f"Loss of softmax regression on {dataset}, 0–2"


@pytest.mark.parametrize(
    ("classes", "text"),
    [
        ([4, 9], "4 and 9"),
        ([7, 1, 8], "7, 1 and 8"),
        ([2, 3, 4, 5], "2–5"),
        ([5], "5"),
        ([*range(0, 20, 2)], "10 classes"),
    ],
)
def test_classes_are_named_if_they_are_few(softmax_run, with_info, classes, text):
    """A row of numbers becomes a range, a long list a count."""
    run = with_info(
        softmax_run, data=softmax_run.info.data.model_copy(update={"classes": tuple(classes)})
    )
    assert captions.classes_text(run) == text


def test_a_logistic_model_tells_two_classes_apart(stopped_run):
    """The first named class comes first."""
    assert captions.classes_text(stopped_run) == "1 against 0"


def test_settings_are_told_in_words(softmax_run):
    """The seed is given where it has an effect."""
    assert captions.settings(softmax_run) == [
        "60 training images",
        "learning rate 0.02",
        "batch 4",
        "λ = 0",
        "shuffled",
        "seed 0",
    ]


def test_the_seed_is_not_told_without_shuffle(make_run):
    """Then all seeds are one run."""
    words = captions.settings(make_run(shuffle=False, epochs=1))
    assert "not shuffled" in words
    assert not any("seed" in each for each in words)


def test_settings_of_several_runs_are_those_they_share(make_run, softmax_run):
    """What differs is left to the labels."""
    other = make_run(learning_rate=0.05, epochs=1)
    _, settings, _ = captions.of_runs("Loss", [softmax_run, other])
    assert settings == "60 training images, batch 4, λ = 0, shuffled, seed 0"


def test_runs_of_different_models_are_counted(softmax_run, stopped_run):
    """No title fits both."""
    title, _, _ = captions.of_runs("Loss", [softmax_run, stopped_run])
    assert title == "Loss of 2 runs"


def test_an_early_end_is_told(stopped_run, diverged_run, softmax_run):
    """Only a finished run needs no word about its end."""
    last_step = stopped_run.metrics["step"][-1]
    assert captions.ending(stopped_run) == f"stopped early after step {last_step:,}"
    assert captions.ending(diverged_run).startswith("diverged after step")
    assert captions.ending(softmax_run) == ""


def test_the_footer_says_folder_version_and_warnings(softmax_run, with_info):
    """That validation used the test file is said in every figure."""
    run = with_info(softmax_run, mnistlin="1.2.3", warnings=("model selection used the test set",))
    assert captions.footer([run]) == (
        f"{run.path.name}  ·  mnistlin 1.2.3  ·  model selection used the test set"
    )


def test_a_run_without_warnings_has_none_in_its_footer(softmax_run, with_info):
    """Validation rows from the training file leave the test set untouched."""
    assert "selection" not in captions.footer([with_info(softmax_run, warnings=())])


def test_the_footer_of_many_runs_counts_them(softmax_run):
    """It stays one line."""
    runs = [replace(softmax_run, path=Path("x" * 30 + str(i))) for i in range(9)]
    assert captions.footer(runs).startswith(f"{runs[0].path.name} and 8 more")


def test_a_warning_of_one_run_stands_under_a_figure_of_several(softmax_run, with_info):
    """An overlay is no cleaner than its parts."""
    runs = [
        with_info(softmax_run, warnings=each)
        for each in ((), ("model selection used the test set",))
    ]
    assert captions.footer(runs).endswith("model selection used the test set")


@pytest.mark.parametrize(
    ("text", "safe"),
    [
        ("$x_1$", r"\$x_1\$"),
        ("_hidden", " _hidden"),
        ("two\nlines\x00", "two lines?"),
        ("a" * 50 + "b" * 50, "a" * 20 + "…" + "b" * 19),
    ],
)
def test_foreign_text_means_only_itself(text, safe):
    """No mathematics, no hidden legend entries, no control characters, no endless names."""
    assert captions.plain(text) == safe
