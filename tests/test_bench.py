"""``studyhall bench``: measures a world, compares two measurements, and refuses what it cannot do in one line."""

import json

import pytest

from studyhall.rollouts.bench import cases, measure, report
from studyhall.rollouts.bench.counting import PARTS, Clocks


@pytest.fixture
def briefly(monkeypatch):
    plan = measure.Plan(widths=(1, 4), seconds=0.0, rounds=2, sizes=(1, 2))
    monkeypatch.setattr(measure, "QUICK", plan)
    monkeypatch.setattr("studyhall.rollouts.cli.memory.keep_memory", lambda: True)  # of the whole process


def test_a_world_is_measured_drawn_and_compared(call, briefly, monkeypatch, tmp_path):
    small = {"agents": 2, "slice_size": 4, "exam_size": 10, "horizon": 50, "hidden": (8,)}
    monkeypatch.setattr(cases, "cases_of", lambda id: [cases.Case(id, True, small)])
    picture, file, faster = tmp_path / "costs.png", tmp_path / "before.json", tmp_path / "after.json"
    code, out, _ = call("bench", "--quick", "--json", "--world", "classroom-v0", "--plot", str(picture))
    assert code == 0
    assert picture.stat().st_size > 1000
    found = json.loads(out)
    (row,) = found["worlds"]
    assert [speed["worlds"] for speed in row["speeds"]] == [1, 4]
    for speed in row["speeds"]:
        steps, updates = speed["steps_per_second"]["median"], speed["updates_per_second"]
        assert speed["agent_steps_per_second"]["median"] == pytest.approx(
            2 * speed["worlds"] * steps, rel=0.5
        )
        assert speed["rows_per_second"] == pytest.approx(2 * 4 * speed["worlds"] * steps)
        assert 0 < updates <= 2 * speed["worlds"] * steps * 1.01
    assert sum(row["shares"].values()) == pytest.approx(1)
    assert row["shares"].keys() == set(PARTS)
    assert all(row["shares"][part] > 0 for part in set(PARTS) - {"begin"})  # no episode ended
    assert row["operations"] > 100
    assert 0 < row["products_of_sgemm"] < 1
    floats = 8 * 64 + 8 + 10 * 8 + 10  # 64-8-10
    assert row["bytes_per_learner"] >= 3 * 4 * floats  # and two moments each
    assert row["costs"]["N"]["sizes"] == [2, 4]

    file.write_text(out)
    for speed in row["speeds"]:
        speed["agent_steps_per_second"] = {
            name: 100 * value for name, value in speed["agent_steps_per_second"].items()
        }
    faster.write_text(json.dumps(found))
    code, out, _ = call("bench", str(file), str(faster))
    assert code == 0
    assert out.count("100.00×") == out.count("faster") == 2
    assert "not resolved" in call("bench", str(file), str(file))[1]


@pytest.mark.parametrize(
    ("arguments", "says"),
    [
        (("--world", "clasroom-v0"), "unknown environment 'clasroom-v0': did you mean 'classroom-v0'"),
        (("one.json",), "two files are compared, got 1"),
        (("one.json", "two.json"), "one.json"),
        (("{odd}", "{odd}"), "is not of this version's `studyhall bench --json`: measure anew"),
        (("{odd}", "{odd}", "--quick"), "leave out what says how to measure"),
    ],
)
def test_what_it_cannot_do_is_one_line(call, tmp_path, arguments, says):
    odd = tmp_path / "odd.json"
    odd.write_text('{"format": "studyhall bench 1", "worlds": [{}]}')
    code, out, err = call("bench", *(text.format(odd=odd) for text in arguments))
    assert code == 2
    assert out == ""
    assert says in err
    assert err.count("\n") == 1


def test_files_without_a_common_world_are_refused():
    speeds = [{"worlds": 1, "agent_steps_per_second": {"median": 2.0, "low": 1.0, "high": 3.0}}]
    one, other = (
        {"worlds": [{"world": name, "hosted": False, "speeds": speeds}]} for name in ("a-v0", "b-v0")
    )
    with pytest.raises(report.ConfigError, match="no world in common"):
        report.compared(one, other)


def test_a_part_is_clocked_without_the_parts_within_it(monkeypatch):
    now = iter(range(100))
    monkeypatch.setattr("time.process_time", lambda: float(next(now)))
    clocks = Clocks()
    inner = clocks.timed(lambda: None, "inner")
    clocks.timed(lambda: inner(), "outer")()
    assert clocks.seconds == {"rest": 1, "outer": 2, "inner": 1}
