"""The fast part of `make soak`: one real kill, and whether the soak would notice a failure."""

import pytest

from tools import soak


@pytest.mark.parametrize(
    "job", ["download", pytest.param("training, dcgan", marks=pytest.mark.faults)]
)
def test_a_job_that_is_killed_ends_as_if_it_had_not_been(job):
    found = soak.survive(job, kills=1)
    assert found["kills"] == 1
    assert found["lost"] <= 1
    assert found["same"]


def fake(monkeypatch, results, epochs=("0",)):
    """Runs whose results are given; None is a kill."""
    results = iter(results)

    def run(name, folder, url, last=0, seconds=None):
        result = next(results)
        lines = [f"epoch {epoch}" for epoch in epochs] + ["operations 9"]
        return lines + ([f"result {result}"] if result else []), 1.0

    monkeypatch.setattr(soak, "run", run)


def test_another_result_fails(monkeypatch, capsys):
    fake(monkeypatch, ["a", *[None] * 10, "b"])
    assert not soak.killed(["drawing"])
    assert (
        "drawing                             10        10            -    NO"
        in capsys.readouterr().out
    )


def test_a_lost_epoch_fails(monkeypatch, capsys):
    fake(monkeypatch, ["a", *[None] * 10, "a"], epochs=("0", "1"))
    assert not soak.killed(["training, dcgan"])
    assert " 2   yes" in capsys.readouterr().out


def test_a_run_that_ends_before_its_kill_is_compared_and_does_not_count(monkeypatch):
    fake(monkeypatch, ["a", None, "b", *[None] * 9, "a"])
    found = soak.survive("drawing")
    assert found == {"kills": 10, "restarts": 10, "lost": 1, "same": False}


def test_a_job_that_fails_is_shown(monkeypatch, capsys):
    assert not soak.killed(["no such job"])
    assert "KeyError: 'no such job'" in capsys.readouterr().out
