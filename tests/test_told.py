"""What a training says came of it: the best that was measured, and whether that was its start."""

import math
from pathlib import Path

import pytest

from studyhall.rollouts.training.trained import Trained, interrupted

NAN = math.nan


def trained(evaluations, figure="return", **kwargs):
    return Trained(Path("run"), figure, evaluations=evaluations, timesteps=100, **kwargs)


@pytest.mark.parametrize(
    ("evaluations", "figure", "improved", "kept", "words"),
    [
        (
            [(0, 1.0), (50, 2.5)],
            "return",
            True,
            "best.zip",
            "return on held-out worlds 2.5 after 50 agent-steps, from 1 at",
        ),
        (
            [(0, 1.0), (50, 0.5)],
            "loss",
            True,
            "best.zip",
            "loss on held-out worlds 0.5 after 50 agent-steps, from 1 at",
        ),
        (
            [(0, 1.0), (50, 0.5)],
            "return",
            False,
            "best.zip",
            "training did not improve on its start: return on held-out",
        ),
        ([(0, 1.0), (50, 1.0)], "return", False, "best.zip", "training did not improve on its start"),
        ([(0, 1.0), (50, NAN)], "loss", False, "best.zip", "training did not improve on its start"),
        (
            [(0, 1.0)],
            "return",
            None,
            "best.zip",
            "what was learnt since was not evaluated, run/best.zip is the start",
        ),
        ([], "return", None, "last.zip", "no evaluation gave a number: run/last.zip is as training left it"),
        ([(0, NAN), (50, NAN)], "return", False, "last.zip", "no evaluation gave a number: run/last.zip"),
        ([(0, NAN), (50, 1.0)], "return", True, "best.zip", "return on held-out worlds 1 after 50"),
    ],
)
def test_the_best_is_the_best_that_was_measured(evaluations, figure, improved, kept, words, capsys):
    found = trained(evaluations, figure)
    assert found.improved is improved
    assert found.as_json()["improved"] is improved
    assert found.as_json()["best"] == str(Path("run") / kept)
    assert found.run_with() == [f"policy={Path('run') / kept}"]
    assert words in found.told()
    assert interrupted(found).code == 130
    err = capsys.readouterr().err
    assert words in err
    assert str(Path("run") / kept) in err
    assert err.count("\n") == 1


def test_updates_are_counted_where_they_are_what_is_made():
    assert "after 5 updates" in trained([(0, 2.0), (50, 1.0)], "loss", per_update=10).told()
