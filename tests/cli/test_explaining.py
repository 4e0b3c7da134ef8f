"""The commands of `mnistlin explain`."""

import csv
import json

import numpy as np
import pytest


@pytest.fixture
def train(mnistlin, workplace):
    """Return a function that trains tiny.yaml with other settings, and gives the run folder."""

    def run(*settings):
        options = [part for setting in settings for part in ("--set", setting)]
        result = mnistlin("train", "--config", "tiny.yaml", "--no-plots", "--json", *options)
        assert result.exit_code == 0, result.stderr
        return workplace / json.loads(result.stdout)["run"]

    return run


def found_by(mnistlin, *arguments):
    """Return the JSON object of a command, whose files must be there."""
    result = mnistlin("explain", *arguments, "--json")
    assert result.exit_code == 0, result.output
    return json.loads(result.stdout)


class TestOptimum:
    """The minimum of a run's objective."""

    def test_with_a_penalty_it_tells_the_minimum_and_the_gap(self, mnistlin, train):
        """And the same λ for other tools."""
        run = train("training.l2_lambda=0.1")
        found = found_by(mnistlin, "optimum", run)
        assert found["outcome"] == "minimum"
        assert found["gradient_norm_minimum"] < 1e-6
        gap = found["objective_run"] - found["objective_minimum"]
        assert found["gap"] == pytest.approx(gap) != 0
        assert found["sklearn_LogisticRegression_C"] == pytest.approx(1 / (2 * 200 * 0.1))
        assert found["torch_weight_decay"] == 0.2
        with np.load(run / "analysis" / "optimum-last.npz") as archive:
            assert archive["found"].shape == (785, 10)
        assert (run / "plots" / "optimum-last.png").is_file()

    def test_without_a_penalty_no_minimum_is_printed(self, mnistlin, tiny_run):
        """200 images of 784 pixels can be separated, and a paragraph says what that means."""
        result = mnistlin("explain", "optimum", tiny_run)
        assert result.exit_code == 0
        assert "outcome: no minimum" in result.stdout
        assert "train_accuracy_found: 1\n" in result.stdout
        assert "objective_minimum" not in result.stdout
        assert "J*" not in result.stdout
        assert "there is no minimum here" in result.stdout


def test_stability_compares_the_rate_with_its_limits(mnistlin, train):
    """And saves the losses of the experiment and a figure beside the run."""
    run = train("training.l2_lambda=0.1")
    found = found_by(mnistlin, "stability", run)
    rate, limit = found["learning_rate"], found["sharpness_limit"]
    assert rate * limit == pytest.approx(2)
    assert found["largest_stable_rate"] * found["sharpness_minimum"] == pytest.approx(2)
    assert found["verdict"] in found["explanation"] or found["verdict"] == "no fluctuation"
    assert (run / "plots" / "stability.png").is_file()
    assert (run / "analysis" / "stability.csv").is_file()


def test_lambda_compares_each_run_of_a_sweep_with_its_minimum(mnistlin, workplace):
    """One row per λ."""
    options = ("--lambdas", "0,0.1,1", "--no-plots", "--json")
    sweep = json.loads(mnistlin("sweep-lambda", "--config", "tiny.yaml", *options).stdout)["run"]
    found = found_by(mnistlin, "lambda", workplace / sweep)
    assert [row["l2_lambda"] for row in found["lambdas"]] == [0, 0.1, 1]
    assert found["lambdas"][0]["val_accuracy_minimum"] is None
    assert (workplace / sweep / "plots" / "lambda-path.png").is_file()


class TestDips:
    """Periods of the validation accuracy."""

    def test_it_tells_both_periods(self, mnistlin, train):
        """10 steps an epoch, a check every 2."""
        run = train("training.epochs=40", "training.shuffle=false")
        found = found_by(mnistlin, "dips", run)
        assert (found["steps_per_epoch"], found["check_every"]) == (10, 2)
        assert found["predicted_period"] == 10
        assert found["agree"] == (found["measured_period"] == 10)
        counts = {key: n for key, n in found["hardest_batches"][0].items() if key.startswith("n_")}
        assert sum(counts.values()) == 20
        assert (run / "plots" / "dips.png").is_file()

    def test_with_shuffle_no_batches_are_blamed(self, mnistlin, train):
        """And no period is predicted."""
        result = mnistlin("explain", "dips", train("training.epochs=40"))
        assert result.exit_code == 0
        assert "predicted_period: none" in result.stdout
        assert "With shuffling every epoch has other batches" in result.stdout
        assert "mean_loss" not in result.stdout

    def test_a_short_run_is_refused(self, mnistlin, tiny_run):
        """Exit 1, with the number of checks that it takes."""
        result = mnistlin("explain", "dips", tiny_run)
        assert result.exit_code == 1
        assert "181 or more" in result.stderr


class TestEarlyStopping:
    """Other rules over the same checks."""

    def test_every_rule_is_in_the_table(self, mnistlin, train):
        """Each patience with each min_delta; those that keep the same are one line on stdout."""
        run = train("training.epochs=20")
        rules = ("--patience", "1-5,9", "--min-delta", "0", "--min-delta", "0.01")
        found = found_by(mnistlin, "early-stopping", run, *rules)
        with (run / "analysis" / "early-stopping.csv").open(newline="") as file:
            rows = list(csv.DictReader(file))
        assert [int(row["patience"]) for row in rows] == [1, 2, 3, 4, 5, 9] * 2
        assert 0 < len(found["rules"]) <= len(rows)
        lowest = min(float(row["best_val_loss"]) - float(row["best_regret"]) for row in rows)
        assert found["lowest_val_loss"] == pytest.approx(lowest)

    @pytest.mark.parametrize(
        ("option", "value"),
        [
            *(
                ("--patience", text)
                for text in ("", "0-3", "-1", "3-1", "1.5", "1-9999999", "many")
            ),
            *(("--min-delta", text) for text in ("nan", "-1")),
        ],
    )
    def test_impossible_rules_are_usage_errors(self, mnistlin, tiny_run, option, value):
        """Exit 2, naming the option."""
        result = mnistlin("explain", "early-stopping", tiny_run, option, value)
        assert result.exit_code == 2
        assert option in result.stderr
