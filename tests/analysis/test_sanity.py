"""The sanity tests agree with what is offered, and with the documentation."""

from __future__ import annotations

import pytest

from neuronym.analysis.trust import sanity
from neuronym.analysis.trust.explanation_metrics import METRICS
from places import ROOT

DOCS = ROOT / "docs"


@pytest.fixture(scope="module")
def verdicts() -> dict[str, list[sanity.Verdict]]:
    return sanity.judge()


def test_metrics_pass_as_they_say(verdicts) -> None:
    found = {name: sanity.passes(own) for name, own in verdicts.items()}
    assert found == {name: metric.passes for name, metric in METRICS.items()}
    assert [name for name, fine in found.items() if fine] == [
        "correlation",
        "cosine",
        "f1",
        "iou",
        "auprc",
    ]


def test_why_the_others_fail(verdicts) -> None:
    """Recall cannot see extra labels, nor precision missing ones; rare concepts fool the rest."""
    by = {(v.metric, v.world, v.frequency): v for own in verdicts.values() for v in own}
    labels = {key: verdict for key, verdict in by.items() if key[1] != "graded"}
    assert all(v.extra == 0 for (name, _, _), v in labels.items() if name == "recall")
    assert all(v.missing < 0.9 for (name, _, _), v in labels.items() if name == "precision")
    for name, test in (("accuracy", "missing"), ("auc", "extra"), ("mad", "missing")):
        assert getattr(by[name, "ideal", 0.4], test) == 1
        assert getattr(by[name, "ideal", 0.001], test) == 0


def test_table_in_the_documentation(verdicts) -> None:
    assert sanity.table(verdicts) in (DOCS / "faithfulness.md").read_text("utf-8")
