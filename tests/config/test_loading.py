"""From files, text and --set to a checked config, and every error on the way."""

import pytest
import yaml
from hypothesis import given
from hypothesis import strategies as st

from mnistlin.config import (
    DataConfig,
    EarlyStoppingConfig,
    ExperimentConfig,
    SweepConfig,
    TrainingConfig,
    dump_yaml,
    load_config,
    parse_config,
    shipped_configs,
)
from mnistlin.errors import ConfigError

MINIMAL = "model: softmax\n"
FINEST = 2**31 - 1


def refusal(text, *overrides):
    """Return the message with which a config is refused."""
    with pytest.raises(ConfigError) as caught:
        parse_config(text, source="my.yaml", overrides=overrides)
    return str(caught.value)


def test_a_minimal_config_has_the_documented_defaults():
    """Only `model` must be said."""
    config = parse_config(MINIMAL)
    assert config == ExperimentConfig(model="softmax")
    assert (config.data.dataset, config.training.batch_size) == ("mnist", 128)
    assert config.early_stopping is config.sweep is None


@pytest.mark.parametrize("text", ["", "\n\n", "# nothing but this", "---\n", "~", "null"])
def test_an_empty_file_is_an_error(text):
    """It is not taken for a config of defaults."""
    assert refusal(text).startswith("my.yaml: the file is empty")


@pytest.mark.parametrize("text", ["5", "softmax", "[model, softmax]", "'model: softmax'"])
def test_a_document_that_is_no_mapping_is_an_error(text):
    """The message says what was found."""
    message = refusal(text)
    assert message.startswith("my.yaml: found ")
    assert "mapping" in message


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("modle: softmax", "modle: unknown key; did you mean model?"),
        ("traning: {}", "traning: unknown key; did you mean training?"),
        ("training: {epoch: 3}", "training.epoch: unknown key; did you mean training.epochs?"),
        ("data: {clases: [2, 3]}", "data.clases: unknown key; did you mean data.classes?"),
        (
            "early_stopping: {patients: 1}",
            "early_stopping.patients: unknown key; did you mean early_stopping.patience?",
        ),
        (
            "sweep: {l2_lambdas: [1], sed: [1]}",
            "sweep.sed: unknown key; did you mean sweep.seeds?",
        ),
        ("learning_rate: 1", "learning_rate: unknown key; did you mean training.learning_rate?"),
        ("lerning_rate: 1", "lerning_rate: unknown key; did you mean training.learning_rate?"),
        ("seed: 1", "seed: unknown key; did you mean training.seed?"),
        ("sweep: {seed: 1}", "sweep.seed: unknown key; did you mean sweep.seeds?"),
        (
            "training: {patience: 1}",
            "training.patience: unknown key; did you mean early_stopping.patience?",
        ),
    ],
)
def test_a_typo_is_answered_with_the_nearest_key(text, expected):
    """In every section: a key of that section, or the key of another that has this name."""
    assert f"  {expected}" in refusal(text).splitlines()


def test_a_key_like_no_other_is_answered_with_all_keys_of_its_section():
    """So the reader need not look them up."""
    message = refusal(MINIMAL + "early_stopping: {xyzzy: 1}")
    assert "early_stopping.xyzzy: unknown key; known here: patience, min_delta" in message


@pytest.mark.parametrize(
    ("text", "key", "found", "allowed"),
    [
        ("training: {epochs: 0}", "training.epochs", "found 0", "1"),
        ("training: {epochs: '5'}", "training.epochs", "found '5'", "a whole number"),
        ("training: {shuffle: on}", "training.shuffle", "found 'on'", "true or false"),
        ("training: {l2_lambda: small}", "training.l2_lambda", "found 'small'", "a number"),
        ("data: {classes: 2,3}", "data.classes", "found 2", "a list, such as [2, 3]"),
        ("training: {learning_rate: .inf}", "training.learning_rate", "found inf", "finite"),
        ("training: {dtype: float16}", "training.dtype", "found 'float16'", "'float64'"),
        ("data: {classes: [2, 300]}", "data.classes[1]", "found 300", "255"),
        ("data: {val_from: validation}", "data.val_from", "found 'validation'", "'train'"),
        ("sweep: {l2_lambdas: [1, 0.1, 1]}", "sweep.l2_lambdas", "found [1, 0.1, 1]", "once"),
        ("data: 5", "data", "found 5", ""),
        ("training: [epochs]", "training", "found ['epochs']", ""),
    ],
)
def test_a_wrong_value_is_told_with_key_found_and_allowed(text, key, found, allowed):
    """One line says where, what, and what it may be."""
    (line,) = [
        each for each in refusal(MINIMAL + text).splitlines() if each.startswith(f"  {key}:")
    ]
    assert found in line
    assert allowed in line


@pytest.mark.parametrize("section", ["data", "training"])
def test_a_section_without_content_is_told_as_the_file_has_it(section):
    """A heading whose keys are all commented out is null, in the words of YAML."""
    assert f"{section}: found null" in refusal(f"{MINIMAL}{section}:\n  # key: 1\n")


@pytest.mark.parametrize("section", ["early_stopping", "sweep"])
def test_sections_that_can_be_off_may_be_null(section):
    """`early_stopping: null` is how it is switched off."""
    assert getattr(parse_config(f"{MINIMAL}{section}:\n"), section) is None


def test_a_missing_key_is_named():
    assert "model: the key is missing" in refusal("data: {}")


def test_a_sweep_without_members_is_refused():
    assert "sweep: found {}; nothing to sweep over" in refusal(f"{MINIMAL}sweep: {{}}")


def test_keys_that_stand_twice_are_all_reported():
    """PyYAML alone would keep the last without a word."""
    message = refusal("model: softmax\nmodel: softmax\ntraining: {seed: 1, seed: 2}")
    assert "my.yaml: 2 problems" in message
    assert "model: the key occurs twice" in message
    assert "training.seed: the key occurs twice" in message


def test_all_problems_of_a_file_are_reported_together():
    """A typo, a range, a type and a repeated key in one message, and counted."""
    message = refusal(
        "model: softmax\nnmae: x\ntraining: {epochs: 0, seed: x, shuffle: true, seed: 1}"
    )
    for key in ("nmae", "training.epochs", "training.seed: found 'x'", "training.seed: the key"):
        assert f"  {key}" in message
    assert message.startswith("my.yaml: 4 problems")


def test_rules_between_keys_are_reported_with_the_other_problems():
    """A logistic model without classes is reported with a wrong epoch count, not after it."""
    message = refusal("model: logistic\ntraining: {epochs: 0}")
    assert "training.epochs" in message
    assert "data.classes" in message


def test_two_broken_rules_between_keys_are_both_reported():
    """Neither hides the other."""
    message = refusal(
        "model: logistic\ntraining: {shuffle: false}\nsweep: {l2_lambdas: [1], seeds: [0, 1]}"
    )
    assert "data.classes" in message
    assert "sweep.seeds" in message


def test_a_wrong_item_of_a_list_is_one_problem():
    """[2, 300] has two items; an invalid one must not be reported as missing."""
    assert refusal(MINIMAL + "data: {classes: [2, 300]}").startswith("my.yaml: 1 problem\n")


def test_long_values_are_cut_in_messages():
    """An error stays readable whatever the value."""
    assert len(refusal(MINIMAL + f"data: {{val_from: {'x' * 5000}}}")) < 300


class TestFiles:
    """Sources that are files, and those that are not."""

    def test_a_file_is_read(self, tmp_path):
        """In UTF-8, wherever it is."""
        (tmp_path / "ŷ.yaml").write_text("model: softmax\nname: ŷ\n", encoding="utf-8")
        assert load_config(tmp_path / "ŷ.yaml").name == "ŷ"

    def test_overrides_win_over_the_file(self, tmp_path):
        """And the rest of the file stays."""
        (tmp_path / "a.yaml").write_text("model: softmax\ntraining: {epochs: 3, seed: 4}")
        training = load_config(tmp_path / "a.yaml", ["training.epochs=9"]).training
        assert (training.epochs, training.seed) == (9, 4)

    def test_a_name_means_a_shipped_config(self):
        """So that the first command needs no path."""
        assert load_config("quickstart") == load_config(shipped_configs()["quickstart"])

    def test_a_file_wins_over_a_shipped_config_of_its_name(self, tmp_path, monkeypatch):
        """What the user wrote is what the user means."""
        (tmp_path / "quickstart").write_text("model: softmax\nname: mine")
        monkeypatch.chdir(tmp_path)
        assert load_config("quickstart").name == "mine"

    @pytest.mark.parametrize(
        ("source", "word"),
        [
            ("nowhere.yaml", "does not exist"),
            ("quikstart", "did you mean quickstart"),
            (".", "is a folder"),
            ("x" * 300, "too long"),
            ("a\0b", "does not exist"),
        ],
    )
    def test_what_is_not_there_is_named(self, source, word):
        """With the shipped configs as alternatives."""
        with pytest.raises(ConfigError) as caught:
            load_config(source)
        assert word in str(caught.value)
        assert source.replace("\0", "\\x00") in str(caught.value)

    @pytest.mark.parametrize("content", [b"\xff\xfem\0o\0", b"\x80", bytes(range(256))])
    def test_bytes_that_are_no_utf_8_are_an_error(self, tmp_path, content):
        """As of a picture, or a file in UTF-16."""
        path = tmp_path / "a.yaml"
        path.write_bytes(content)
        with pytest.raises(ConfigError, match=r"a\.yaml"):
            load_config(path)

    def test_a_large_file_is_refused_without_being_read_whole(self, tmp_path):
        """A sparse file of a terabyte given by mistake must not fill the memory."""
        path = tmp_path / "train-images"
        with path.open("wb") as file:
            file.truncate(1 << 40)
        with pytest.raises(ConfigError, match="train-images"):
            load_config(path)


class TestSeveralFiles:
    """`--config` given more than once."""

    @pytest.fixture
    def files(self, tmp_path):
        """Return a function that writes a.yaml, b.yaml, ... and returns their paths."""

        def write(*texts):
            paths = [tmp_path / f"{'abc'[i]}.yaml" for i in range(len(texts))]
            for path, text in zip(paths, texts, strict=True):
                path.write_text(text)
            return paths

        return write

    def test_mappings_are_merged_and_lists_replaced(self, files):
        config = load_config(
            files(
                "model: logistic\ndata: {classes: [2, 3], val_size: 9}\ntraining: {epochs: 3}",
                "data: {classes: [4, 9]}\ntraining: {seed: 5}",
            )
        )
        assert (config.data.classes, config.data.val_size) == ((4, 9), 9)
        assert (config.training.epochs, config.training.seed) == (3, 5)

    def test_the_last_file_wins_and_an_override_wins_over_all(self, files):
        paths = files("model: softmax\nname: a", "name: b\nearly_stopping: {}", "name: c")
        assert load_config(paths).name == "c"
        assert load_config(paths[::-1]).name == "a"
        assert load_config(paths, {"name": "d", "early_stopping": None}).early_stopping is None

    def test_a_shipped_config_can_be_changed_by_a_file(self, files):
        (path,) = files("training: {epochs: 2}")
        config = load_config(["quickstart", path])
        assert (config.training.epochs, config.training.batch_size) == (2, 64)

    def test_each_problem_names_the_file_that_it_comes_from(self, files):
        paths = files(
            "model: softmax\ntraining: {epochs: 0, seed: 1, seed: 2}", "data: {classes: [2, 300]}"
        )
        with pytest.raises(ConfigError) as caught:
            load_config(paths, ["training.batch_size=0"])
        lines = str(caught.value).splitlines()
        ends = {line.split(":")[0].strip(): line.rpartition(" (from ")[2] for line in lines[1:]}
        assert lines[0] == f"{paths[0]} + {paths[1]}: 4 problems"
        assert ends == {
            "training.seed": f"{paths[0]})",
            "training.epochs": f"{paths[0]})",
            "data.classes[1]": f"{paths[1]})",
            "training.batch_size": "an override)",
        }

    def test_a_later_file_corrects_an_earlier_one(self, files):
        config = load_config(files("model: softmax\ntraining: 5", "training: {epochs: 2}"))
        assert config.training.epochs == 2


class TestOverridesFromPython:
    """Mappings of dotted keys to values, which are never turned into YAML."""

    @pytest.mark.parametrize("name", ["\U0001f642", "'a: b'", "x #y", "null", "a\\nb"])
    def test_a_text_stays_as_it_is(self, name):
        assert load_config("quickstart", {"name": name}).name == name

    def test_a_loaded_config_can_be_overridden(self):
        config = load_config("binary")
        changed = load_config(config, {"training.seed": 3, "data.classes": (4, 9)})
        assert (changed.training.seed, changed.data.classes) == (3, (4, 9))
        assert (
            changed.model_copy(update={"training": config.training, "data": config.data}) == config
        )

    def test_a_wrong_value_is_reported_as_an_override(self):
        with pytest.raises(ConfigError, match=r"seed: found -1; .* \(from an override\)"):
            load_config("quickstart", {"training.seed": -1})

    def test_a_tuple_is_shown_as_a_list(self):
        with pytest.raises(ConfigError, match=r"data.classes: found \[4, 4\];"):
            load_config("quickstart", {"data.classes": (4, 4)})


class TestSet:
    """Overrides of the form dotted.key=value."""

    @pytest.mark.parametrize(
        ("override", "path", "value"),
        [
            ("name=other", "name", "other"),
            ("training.epochs=3", "training.epochs", 3),
            ("training.learning_rate=1e-4", "training.learning_rate", 1e-4),
            ("data.classes=[4, 9]", "data.classes", (4, 9)),
            ("data.classes=null", "data.classes", None),
            ("data.classes=", "data.classes", None),
            ("early_stopping.patience=3", "early_stopping.patience", 3),
            ("name='a=b'", "name", "a=b"),
            (" training.seed = 7 ", "training.seed", 7),
        ],
    )
    def test_values_are_yaml_and_sections_are_made(self, override, path, value):
        """The same parser as for files; `early_stopping: null` becomes a section."""
        found = parse_config(f"{MINIMAL}early_stopping: null", overrides=[override])
        for key in path.split("."):
            found = getattr(found, key)
        assert found == value

    def test_the_last_of_two_wins(self):
        """As with other options on a command line."""
        overrides = ["training.seed=1", "training.seed=2"]
        assert parse_config(MINIMAL, overrides=overrides).training.seed == 2

    def test_a_section_can_be_switched_off(self):
        """The way to run a config without its early stopping."""
        text = MINIMAL + "early_stopping: {patience: 3}"
        assert parse_config(text, overrides=["early_stopping=null"]).early_stopping is None

    def test_an_override_can_mend_the_file(self):
        """A wrong value that is overridden is no problem."""
        text = MINIMAL + "training: {epochs: 0}"
        assert parse_config(text, overrides=["training.epochs=1"]).training.epochs == 1

    @pytest.mark.parametrize("override", ["", "training.epochs", "=3", ".a=3", "a.=3", "a..b=3"])
    def test_one_without_key_or_value_is_told_how_to_write_it(self, override):
        """With an example."""
        message = refusal(MINIMAL, override)
        assert f"setting {override!r}" in message
        assert "training.epochs=10" in message

    @pytest.mark.parametrize("override", ["a=[", "name=*x", "name=!t x", "name=\0"])
    def test_a_value_that_is_no_yaml_names_the_override(self, override):
        message = refusal(MINIMAL, override)
        assert f"setting {override!r}" in message

    def test_a_typo_is_found(self):
        """As in a file."""
        assert "training.epoch: unknown key; did you mean training.epochs?" in refusal(
            MINIMAL, "training.epoch=3"
        )

    def test_a_key_within_a_value_is_refused(self):
        """`name` is no section."""
        assert "name: found {'x': 1}" in refusal(MINIMAL, "name.x=1")

    def test_repeated_keys_in_a_value_are_refused_too(self):
        """The same rule as in a file."""
        assert "twice" in refusal(MINIMAL, "training={seed: 1, seed: 2}")

    def test_a_wrong_value_in_the_file_is_not_overwritten_by_a_key_below_it(self):
        """`training: 5` is a mistake of the file, whatever is set within."""
        assert "training: found 5" in refusal(MINIMAL + "training: 5", "training.epochs=3")


counts = st.integers(1, FINEST)
lambdas = st.floats(0, 1e300)
positive = st.floats(5e-324, 1e300)
configs = st.builds(
    ExperimentConfig,
    name=st.text(min_size=1, max_size=100) | st.text("0123456789.eExo+-", min_size=1, max_size=5),
    model=st.just("softmax"),
    data=st.builds(
        DataConfig,
        dataset=st.text(min_size=1),
        classes=st.none()
        | st.lists(st.integers(0, 255), min_size=2, max_size=256, unique=True).map(tuple),
        train_size=st.none() | counts,
        val_size=st.none() | counts,
        val_from=st.sampled_from(["test", "train"]),
    ),
    training=st.builds(
        TrainingConfig,
        epochs=st.integers(1, 10**6),
        batch_size=counts,
        learning_rate=positive,
        l2_lambda=lambdas,
        shuffle=st.just(True),
        seed=st.integers(0, FINEST),
        checks_per_epoch=counts,
        dtype=st.sampled_from(["float32", "float64"]),
        checkpoint_seconds=lambdas,
    ),
    early_stopping=st.none() | st.builds(EarlyStoppingConfig, patience=counts, min_delta=lambdas),
    sweep=st.none()
    | st.builds(
        SweepConfig,
        l2_lambdas=st.lists(lambdas, min_size=1, unique=True).map(tuple),
        seeds=st.lists(st.integers(0, FINEST), min_size=1, unique=True).map(tuple),
    ),
)


class TestRoundTrip:
    """What a run writes as config.yaml is the config it was started with."""

    @given(configs)
    def test_any_config_reads_back_the_same(self, config):
        """Whatever its name, numbers and classes are."""
        assert parse_config(dump_yaml(config.model_dump(mode="json"))) == config

    @pytest.mark.parametrize("name", shipped_configs())
    def test_every_shipped_config_reads_back_the_same(self, name):
        """And a second round changes no byte."""
        config = load_config(name)
        text = dump_yaml(config.model_dump(mode="json"))
        assert parse_config(text) == config
        assert dump_yaml(parse_config(text).model_dump(mode="json")) == text


words = st.sampled_from(
    [
        *("model", "softmax", "logistic", "data", "training", "early_stopping", "sweep", "name"),
        *("classes", "epochs", "seed", "seeds", "l2_lambdas", "shuffle", "dtype", "patience"),
    ]
)
values = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=20) | words,
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(words, inner, max_size=3),
    max_leaves=6,
)


class TestFuzz:
    """Whatever is given, the only error is a ConfigError that names the source."""

    @staticmethod
    def parse(text, overrides=()):
        """Parse, and look at the message if there is one."""
        try:
            parse_config(text, source="my.yaml", overrides=overrides)
        except ConfigError as error:
            assert str(error).startswith(("my.yaml: ", "setting "))  # noqa: PT017 (may pass too)

    @given(st.text() | st.text("model:softax \n[]{}-,'\"#&*!?|>%\t1.eE+~", max_size=80))
    def test_any_text(self, text):
        """From empty to unprintable."""
        self.parse(text)

    @given(st.dictionaries(words, values, max_size=4))
    def test_the_right_words_in_wrong_places(self, tree):
        """Valid YAML of known keys, with anything below them."""
        self.parse(yaml.safe_dump(tree))
        self.parse(dump_yaml({"model": "softmax", **tree}))

    @given(st.lists(st.text(max_size=30) | st.builds("{}.{}={}".format, words, words, st.text())))
    def test_any_override(self, overrides):
        """With and without key, dots and values."""
        self.parse(MINIMAL, overrides)

    @given(st.binary())
    def test_any_bytes_in_a_file(self, tmp_path_factory, content):
        """The message names the file."""
        path = tmp_path_factory.mktemp("fuzz") / "my.yaml"
        path.write_bytes(content)
        try:
            load_config(path)
        except ConfigError as error:
            assert str(path) in str(error)  # noqa: PT017 (may pass too)

    @given(st.text(max_size=40))
    def test_any_source(self, source):
        """A name that does not exist is reported."""
        try:
            load_config(f"no-such-folder/{source}")
        except ConfigError as error:
            assert "no-such-folder" in str(error)  # noqa: PT017 (may pass too)
