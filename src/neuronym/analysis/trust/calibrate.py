"""Fits a calibrator on units whose truth is known, and says how well it does on others."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
from jaxtyping import Bool, Float64

from neuronym._core.checks import misuse, nearest
from neuronym._core.errors import UsageError
from neuronym.analysis.evaluation.base import Subject
from neuronym.analysis.evaluation.judging import judge
from neuronym.analysis.trust import calibration
from neuronym.analysis.trust.calibration import Calibrator, folds
from neuronym.analysis.trust.confidence import kind_of
from neuronym.analysis.trust.reliability import Reliability, measure
from neuronym.analysis.trust.run import analyse
from neuronym.analysis.trust.signs import ANALYSED, SIGNS, signs
from neuronym.analysis.truth.base import Truth
from neuronym.analysis.truth.open import open_truth
from neuronym.atlas.context import Material
from neuronym.atlas.reader import Atlas

#: The signs of the default calibrator; docs/confidence.md says how they were chosen.
DEFAULT_SIGNS = ("fit", "fit_margin", "margin", "crowding")

PerUnit = Float64[np.ndarray, " unit"]


@dataclass(frozen=True, eq=False)
class Known:
    """Units of one atlas whose truth is known, and the signs of their labels.

    Attributes:
        name: of the atlas's folder.
        kind: of the labels.
        signs: by name, one finite number per unit.
        right: whether the rank-1 label is right.
        about: where the units come from, for `Calibrator.fitted_on`.
    """

    name: str
    kind: str
    signs: Mapping[str, PerUnit]
    right: Bool[np.ndarray, " unit"]
    about: Mapping[str, Any]


@dataclass(frozen=True, eq=False)
class Calibration:
    """A calibrator and how well it does.

    Attributes:
        calibrator: fitted on all units.
        within: on units that it was not fitted on, of the same atlases (ten folds).
        across: by atlas name, on the atlas when fitted on the others; with two atlases and more.
        tests: by atlas name, on atlases that had no part in it.
    """

    calibrator: Calibrator
    within: Reliability
    across: Mapping[str, Reliability]
    tests: Mapping[str, Reliability]

    @property
    def named(self) -> dict[str, Reliability]:
        """All of them, by what they are."""
        return {
            "cross-fitted, same atlases": self.within,
            **{f"{name}, from the others": found for name, found in self.across.items()},
            **{f"{name}, test": found for name, found in self.tests.items()},
        }


def calibrate(
    atlases: Sequence[Atlas],
    truth: str | Truth = "classes",
    *,
    tests: Sequence[Atlas] = (),
    signs: Sequence[str] = DEFAULT_SIGNS,
    isotonic: bool = True,
    name: str = "calibrator",
    seed: int = 0,
    method: str | None = None,
    match: str = "exact",
    synonyms: float | None = None,
    **material: Any,
) -> Calibration:
    """Fit a calibrator on the units of atlases whose truth is known.

    Analyses that the signs are read from are added to the atlases where they are missing.

    Args:
        atlases: to fit on.
        truth: `classes`, `annotations`, a ground-truth file, or a `Truth`.
        tests: atlases that only show how well it does.
        signs: names, see `SIGNS`.
        isotonic: see `calibration.fit`.
        name: of the calibrator.
        seed: of folds and intervals.
        method: whose labels. None: each atlas's first one.
        match, synonyms: when a label is right, see `matching`.
        **material: see `Material`.

    Raises:
        UsageError: no such sign, atlases with labels of different kinds, or units of which all are
            right or all wrong.
        NeuronymError: the truth of an atlas is not known, or something is missing in it.
    """
    chosen = _check_signs(signs)
    how = {"method": method, "match": match, "synonyms": synonyms}
    fitted, tried = (
        [known_units(atlas, truth, chosen, **how, **material) for atlas in group]
        for group in (atlases, tests)
    )
    if not fitted:
        raise misuse("atlases", "at least one atlas", [])
    kinds = sorted({known.kind for known in [*fitted, *tried]})
    if len(kinds) > 1:
        raise UsageError(
            f"Expected atlases with labels of one kind, got {', '.join(kinds)}. Choose with "
            "--method."
        )
    made = _fit(fitted, name, isotonic, seed)
    values, right = _together(fitted)
    held = np.empty(len(right))
    for inside, outside in folds(right, seed=seed):
        part = calibration.fit(
            _rows(values, inside), right[inside], kind=kinds[0], isotonic=isotonic, seed=seed
        )
        held[outside] = part.probability(_rows(values, outside))
    within = measure(held, right, seed=seed)
    across = {}
    if len(fitted) > 1:
        for place, known in enumerate(fitted):
            part = _fit(fitted[:place] + fitted[place + 1 :], name, isotonic, seed)
            across[known.name] = measure(part.probability(known.signs), known.right, seed=seed)
    measures = {"within": _short(within), "across": {n: _short(r) for n, r in across.items()}}
    made = replace(made, fitted_on=tuple(known.about for known in fitted), measures=measures)
    tested = {k.name: measure(made.probability(k.signs), k.right, seed=seed) for k in tried}
    return Calibration(made, within, across, tested)


def known_units(
    atlas: Atlas,
    truth: str | Truth = "classes",
    names: Sequence[str] = DEFAULT_SIGNS,
    *,
    method: str | None = None,
    match: str = "exact",
    synonyms: float | None = None,
    **material: Any,
) -> Known:
    """The units of an atlas that have a label and a known truth; see `calibrate`.

    A truth that is no word (`non-interpretable`) makes every label wrong.
    """
    chosen = atlas.method(method)
    needed = sorted({ANALYSED[name] for name in names if name in ANALYSED})
    missing = [analysis for analysis in needed if analysis not in atlas.analyses(chosen)]
    if missing:
        atlas = analyse(atlas, missing, method=chosen, **material)
    given = Material(atlas, **material)
    subject = Subject(
        atlas, (chosen,), open_truth(atlas, truth), match, synonyms, given.embed_words
    )
    frame = judge(subject, trust=False)[0][0]
    frame = frame[frame["labelled"]]
    columns: dict[str, list[np.ndarray]] = {name: [] for name in names}
    for layer, rows in frame.groupby("layer", sort=False):
        found = signs(given, chosen, str(layer), names)
        for name in names:
            columns[name].append(found[name][rows["unit"].to_numpy()])
    values = {name: np.concatenate(parts) for name, parts in columns.items() if parts}
    if not values:
        raise UsageError(f"{atlas.folder} has no label of a unit whose truth is known.")
    fine = np.logical_and.reduce([np.isfinite(part) for part in values.values()])
    right = np.concatenate(
        [rows["rank"].to_numpy() == 1 for _, rows in frame.groupby("layer", sort=False)]
    )
    if not fine.any():
        blank = [name for name, part in values.items() if not np.isfinite(part).any()]
        raise UsageError(
            f"No unit of {atlas.folder} has all of {', '.join(names)}: {', '.join(blank)} "
            "cannot be measured there. Choose others with --signs."
        )
    manifest = atlas.manifest
    about = {
        "atlas": atlas.folder.name,
        "target": _public(manifest["target"]["name"]),
        "target_fingerprint": manifest["target"]["fingerprint"],
        "probe": _public(manifest["probe"]["name"]),
        "probe_fingerprint": manifest["probe"]["fingerprint"],
        "images": int(manifest["probe"]["images"]),
        "concepts": _public(manifest["concepts"]["name"]),
        "encoder": _public(manifest["encoder"]["name"]),
        "method": manifest["methods"][chosen].get("method", chosen),
        "truth": _public(subject.known.source),
        "match": match,
        "units": int(fine.sum()),
        "right": int(right[fine].sum()),
        "left_out": int((~fine).sum()),
    }
    return Known(atlas.folder.name, kind_of(chosen), _rows(values, fine), right[fine], about)


def _public(name: str) -> str:
    """A name without the folders of this machine: a calibrator is made to be passed on."""
    kind, colon, detail = name.partition(":")
    return f"{kind}{colon}{detail.rstrip('/').rpartition('/')[2]}"


def _check_signs(names: Sequence[str]) -> tuple[str, ...]:
    for name in names:
        if name not in SIGNS:
            near = nearest(name, SIGNS)
            raise misuse(
                "signs",
                f"names among {', '.join(SIGNS)}",
                name,
                f"Nearest: {', '.join(near)}." if near else "",
            )
    if not names:
        raise misuse("signs", f"at least one of {', '.join(SIGNS)}", list(names))
    return tuple(dict.fromkeys(names))


def _fit(known: Sequence[Known], name: str, isotonic: bool, seed: int) -> Calibrator:
    values, right = _together(known)
    return calibration.fit(
        values, right, kind=known[0].kind, name=name, isotonic=isotonic, seed=seed
    )


def _together(known: Sequence[Known]) -> tuple[dict[str, PerUnit], Bool[np.ndarray, " unit"]]:
    values = {n: np.concatenate([one.signs[n] for one in known]) for n in known[0].signs}
    return values, np.concatenate([one.right for one in known])


def _rows(values: Mapping[str, PerUnit], rows: np.ndarray) -> dict[str, PerUnit]:
    return {name: part[rows] for name, part in values.items()}


def _short(found: Reliability) -> dict[str, Any]:
    """Without the bins."""
    return {name: value for name, value in found.to_json().items() if name != "bins"}
