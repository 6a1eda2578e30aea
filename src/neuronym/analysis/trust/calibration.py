"""Calibrators: from features of a label to the probability that it is right, and their fit."""

from __future__ import annotations

import json
import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from importlib import resources
from pathlib import Path
from typing import Any

import numpy as np
from jaxtyping import Bool, Float64

from neuronym._core import storage
from neuronym._core.checks import misuse, nearest
from neuronym._core.errors import NeuronymError, UsageError
from neuronym._core.folders import without_folders
from neuronym._core.former import Former
from neuronym.analysis.evaluation.base import EvaluationContext
from neuronym.analysis.evaluation.judging import judge
from neuronym.analysis.trust.features import ANALYSED, FEATURES, features
from neuronym.analysis.trust.reliability import Reliability, measure
from neuronym.analysis.trust.run import analyse
from neuronym.analysis.truth.base import Truth
from neuronym.analysis.truth.open import open_truth
from neuronym.atlas.context import LabelContext
from neuronym.atlas.reader import Atlas

VERSION = 1
#: The calibrator that was fitted on the network under study itself.
OWN = "own"
#: What is stored of a calibrator; the rest of the file is about where it comes from.
_NUMBERS = ("mean", "scale", "low", "high", "coefficients")
#: Weight of the penalty ½·|coefficients|², which keeps them finite where units separate perfectly.
_PENALTY = 1.0
_FEWEST, _FEWEST_OF_EACH = 20, 3
#: The features of the default calibrator; docs/confidence.md says how they were chosen.
DEFAULT_FEATURES = ("fit", "fit_margin", "margin", "crowding")
Units = Float64[np.ndarray, "unit feature"]
PerUnit = Float64[np.ndarray, " unit"]


@dataclass(frozen=True, eq=False)
class Calibrator:
    """Probability that a rank-1 label is right, from its features.

    σ(intercept + Σ_s coefficient_s · (clip(feature_s, low_s, high_s) − mean_s) / scale_s), then,
    where there are knots, the piecewise linear function through them.

    Attributes:
        name: what atlases record.
        kind: of labels that it is for: `clip-dissect.soft-wpmi`.
        features: names, see `FEATURES`.
        mean, scale: of each feature over the units it was fitted on.
        low, high: the range of each feature there; it is not trusted beyond.
        coefficients, intercept: of the standardised features.
        knots: log odds and probabilities of an isotonic correction, both rising; or None.
        fitted_on: what it was fitted on, one entry per atlas.
        measures: how well it did, see `calibrate`.
    """

    name: str
    kind: str
    features: tuple[str, ...]
    mean: tuple[float, ...]
    scale: tuple[float, ...]
    low: tuple[float, ...]
    high: tuple[float, ...]
    coefficients: tuple[float, ...]
    intercept: float
    knots: tuple[tuple[float, ...], tuple[float, ...]] | None = None
    fitted_on: tuple[Mapping[str, Any], ...] = ()
    signs = Former("signs", "features")
    measures: Mapping[str, Any] = field(default_factory=dict)

    @property
    def caveat(self) -> str:
        """What whoever reads a confidence has to know."""
        units = sum(entry["units"] for entry in self.fitted_on)
        inner = (
            "What inner units respond to is not known: for them it says how often a label with the "
            "same features was right there."
        )
        if self.name == OWN:
            entry = self.fitted_on[0]
            right, whose = entry["right"] / units, "neurons that people have named"
            if entry["truth"] == "classes":
                only = f", recorded {entry['recorded']}" if "recorded" in entry else ""
                whose = f"class neurons of this network ({entry['layer']}{only})"
            return (
                f"Confidence is calibrated on the {units:,} {whose}; {right:.0%} of their labels "
                f"are right. {inner}"
            )
        targets = list(dict.fromkeys(str(entry["target"]) for entry in self.fitted_on))
        more = [f"{len(targets) - 3} more networks"] if len(targets) > 3 else []
        named = ", ".join([*targets[:3], *more]) or "unknown networks"
        return (
            f"Confidence by the calibrator {self.name}, fitted on {units:,} units of known truth "
            f"({named}). {inner}"
        )

    def log_odds(self, features: Mapping[str, PerUnit]) -> PerUnit:
        """Before the isotonic correction; NaN where a feature is."""
        values = np.stack([np.asarray(features[name], np.float64) for name in self.features], 1)
        clipped = np.clip(values, self.low, self.high)
        return self.intercept + ((clipped - self.mean) / self.scale) @ np.array(self.coefficients)

    def probability(self, features: Mapping[str, PerUnit]) -> PerUnit:
        """Of each unit's label being right; NaN where a feature is.

        Args:
            features: by name, one number per unit; see `features.features`.
        """
        odds = self.log_odds(features)
        if self.knots is None:
            return sigmoid(odds)
        found = np.interp(odds, *self.knots)
        return np.where(np.isnan(odds), np.nan, found)

    def to_json(self) -> dict[str, Any]:
        """As it is stored."""
        return {"calibrator": VERSION, **vars(self)}

    def save(self, path: str | Path) -> None:
        """Write it as JSON."""
        storage.write_json(Path(path), self.to_json())


def sigmoid(odds: PerUnit) -> PerUnit:
    """1 / (1 + exp(−odds)), without overflow."""
    return (1 + np.tanh(np.asarray(odds, np.float64) / 2)) / 2


def shipped() -> list[str]:
    """Names of the calibrators that come with neuronym."""
    folder = resources.files("neuronym.analysis.trust") / "calibrators"
    return sorted(file.name.removesuffix(".json") for file in folder.iterdir())


def open_calibrator(name: str | Calibrator) -> Calibrator:
    """A calibrator that comes with neuronym, by its name, or one of your own, by its file.

    Raises:
        UsageError: there is none of that name, or the file is no calibrator.
    """
    if isinstance(name, Calibrator):
        return name
    if name in shipped():
        file = resources.files("neuronym.analysis.trust") / "calibrators" / f"{name}.json"
        return read(file.read_text("utf-8"), name)
    path = Path(name)
    if not path.is_file():
        near = nearest(name, shipped())
        raise misuse(
            "calibrator",
            f"one of {', '.join(shipped())}, or a file of `neuronym calibrate`",
            name,
            f"Nearest: {near[0]}." if near else "There is no such file.",
        )
    try:
        text = path.read_text("utf-8")
    except UnicodeDecodeError as error:
        raise _malformed(str(path), "it is no text") from error
    except OSError as error:
        raise NeuronymError(f"{path} cannot be read: {error.strerror or error}.") from error
    return read(text, str(path))


def read(text: str, where: str) -> Calibrator:
    """A calibrator from JSON.

    Raises:
        UsageError: it is none, or one of a later version; says what is wrong with it.
    """
    try:
        data = json.loads(text)
    except (ValueError, RecursionError) as error:
        raise _malformed(where, f"it is not JSON ({str(error).splitlines()[0]})") from error
    if not isinstance(data, dict) or not isinstance(data.get("calibrator"), int):
        raise _malformed(where, "it has no version")
    if data["calibrator"] > VERSION:
        raise UsageError(
            f"{where} is a calibrator of format {data['calibrator']}, this neuronym reads up to "
            f"{VERSION}: upgrade neuronym."
        )
    features = data.get("features", data.get("signs"))  # so until 0.2
    if not isinstance(features, list) or not features:
        raise _malformed(where, "it has no features")
    strangers = [feature for feature in features if feature not in FEATURES]
    if strangers:
        raise _malformed(where, f"it needs the feature {strangers[0]!r}, which there is not")
    for key in _NUMBERS:
        if not _finite(data.get(key), len(features)):
            raise _malformed(
                where, f"{key} has not one number for each of its {len(features)} features"
            )
    if not _finite([data.get("intercept")], 1) or min(data["scale"]) <= 0:
        raise _malformed(where, "intercept or scale are no such numbers")
    for key in ("name", "kind"):
        if not isinstance(data.get(key), str):
            raise _malformed(where, f"it has no {key}")
    numbers: dict[str, Any] = {key: tuple(data[key]) for key in _NUMBERS}
    return Calibrator(
        data["name"],
        data["kind"],
        tuple(features),
        **numbers,
        intercept=data["intercept"],
        knots=_knots(data.get("knots"), where),
        fitted_on=_entries(data.get("fitted_on"), where),
        measures=data["measures"] if isinstance(data.get("measures"), dict) else {},
    )


def kind_of(method: str) -> str:
    """Of which kind the labels of a method-id are: `clip-dissect.soft-wpmi`, without settings."""
    return ".".join(method.split(".")[:2])


def fit(
    features: Mapping[str, PerUnit],
    right: Bool[np.ndarray, " unit"],
    *,
    kind: str,
    name: str = "calibrator",
    isotonic: bool = True,
    seed: int = 0,
) -> Calibrator:
    """Fit a calibrator by penalised maximum likelihood.

    Args:
        features: by name, one finite number per unit.
        right: whether the unit's label is right.
        kind: of labels, such as `clip-dissect.soft-wpmi`.
        name: see `Calibrator`.
        isotonic: correct the probabilities by a rising function, fitted on the log odds that ten
            models give to the units that they were fitted without.
        seed: of these folds.

    Raises:
        UsageError: too few units, too few of them right or wrong, or features that are not finite.
    """
    values = np.stack([np.asarray(features[name], np.float64) for name in features], 1)
    y = np.asarray(right, bool)
    if not np.isfinite(values).all():
        raise misuse("features", "hold finite numbers", values[~np.isfinite(values)][0])
    if len(y) < _FEWEST or min(y.sum(), (~y).sum()) < _FEWEST_OF_EACH:
        raise UsageError(
            f"Expected at least {_FEWEST} units of known truth, among them {_FEWEST_OF_EACH} with "
            f"a right label and {_FEWEST_OF_EACH} with a wrong one, got {len(y)} units, "
            f"{int(y.sum())} of them right. Add atlases."
        )
    mean, scale = values.mean(0), values.std(0)
    scale = np.where(scale > 0, scale, 1)
    z = (values - mean) / scale
    weights, knots = _logistic(z, y), None
    if isotonic:
        odds = np.empty(len(y))
        for inside, outside in folds(y, seed=seed):
            part = _logistic(z[inside], y[inside])
            odds[outside] = part[0] + z[outside] @ part[1:]
        knots = _never_sure(*monotone(odds, y))
    found = zip(_NUMBERS, (mean, scale, values.min(0), values.max(0), weights[1:]), strict=True)
    numbers: dict[str, Any] = {key: tuple(part.tolist()) for key, part in found}
    names, first = tuple(features), float(weights[0])
    return Calibrator(name, kind, names, **numbers, intercept=first, knots=knots)


def monotone(
    odds: PerUnit, right: Bool[np.ndarray, " unit"]
) -> tuple[tuple[float, ...], tuple[float, ...], tuple[int, ...]]:
    """The rising step function nearest to `right` in squares, by pooling adjacent violators.

    Returns:
        Of each step the mean of its log odds, its height, and its number of units.

    >>> monotone(np.array([0.0, 1.0, 2.0, 3.0]), np.array([False, True, False, True]))
    ((0.0, 1.5, 3.0), (0.0, 0.5, 1.0), (1, 2, 1))
    """
    from scipy.optimize import isotonic_regression

    known, member = np.unique(odds, return_inverse=True)
    hits = np.bincount(member, np.asarray(right, np.float64))
    sizes = np.bincount(member)
    begins = isotonic_regression(hits / sizes, weights=sizes).blocks[:-1]
    hits, odd, sizes = (np.add.reduceat(part, begins) for part in (hits, known * sizes, sizes))
    # Compared in whole numbers: rounding can leave two steps of one height.
    higher = hits[1:] * sizes[:-1] > hits[:-1] * sizes[1:]
    begins = np.flatnonzero(np.append(True, higher))
    hits, odd, sizes = (np.add.reduceat(part, begins) for part in (hits, odd, sizes))
    return tuple((odd / sizes).tolist()), tuple((hits / sizes).tolist()), tuple(sizes.tolist())


def folds(
    right: Bool[np.ndarray, " unit"], count: int = 10, seed: int = 0
) -> Sequence[tuple[np.ndarray, np.ndarray]]:
    """Units to fit on and units to try on, with as many right ones in each part."""
    rng = np.random.default_rng(seed)
    order = rng.permutation(len(right))
    order = order[np.argsort(np.asarray(right)[order], kind="stable")]
    part = np.empty(len(right), np.int64)
    part[order] = np.arange(len(right)) % min(count, len(right))
    return [(np.flatnonzero(part != k), np.flatnonzero(part == k)) for k in range(part.max() + 1)]


@dataclass(frozen=True, eq=False)
class Known:
    """Units of one atlas whose truth is known, and the features of their labels.

    Attributes:
        name: of the atlas's folder.
        kind: of the labels.
        features: by name, one finite number per unit.
        right: whether the rank-1 label is right.
        about: where the units come from, for `Calibrator.fitted_on`.
    """

    name: str
    kind: str
    features: Mapping[str, PerUnit]
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
    features: Sequence[str] = DEFAULT_FEATURES,
    isotonic: bool = True,
    name: str = "calibrator",
    seed: int = 0,
    method: str | None = None,
    match: str = "exact",
    synonyms: float | None = None,
    **context: Any,
) -> Calibration:
    """Fit a calibrator on the units of atlases whose truth is known.

    Analyses that the features are read from are added to the atlases where they are missing.

    Args:
        atlases: to fit on.
        truth: `classes`, `annotations`, a ground-truth file, or a `Truth`.
        tests: atlases that only show how well it does.
        features: names, see `FEATURES`.
        isotonic: see `fit`.
        name: of the calibrator.
        seed: of folds and intervals.
        method: whose labels. None: each atlas's first one.
        match, synonyms: when a label is right, see `matching`.
        **context: see `LabelContext`.

    Raises:
        UsageError: no such feature, labels of different kinds, or units of which all are
            right or all wrong.
        NeuronymError: the truth of an atlas is not known, or something is missing in it.
    """
    chosen = _check_features(features)
    how: dict[str, Any] = {"method": method, "match": match, "synonyms": synonyms}
    fitted, tried = (
        [known_units(atlas, truth, chosen, **how, **context) for atlas in group]
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
    within = cross_fitted(values, right, kinds[0], isotonic=isotonic, seed=seed)
    across = {}
    if len(fitted) > 1:
        for place, known in enumerate(fitted):
            part = _fit(fitted[:place] + fitted[place + 1 :], name, isotonic, seed)
            across[known.name] = measure(part.probability(known.features), known.right, seed=seed)
    measures = {"within": short(within), "across": {n: short(r) for n, r in across.items()}}
    made = replace(made, fitted_on=tuple(known.about for known in fitted), measures=measures)
    tested = {k.name: measure(made.probability(k.features), k.right, seed=seed) for k in tried}
    return Calibration(made, within, across, tested)


def cross_fitted(
    values: Mapping[str, PerUnit],
    right: Bool[np.ndarray, " unit"],
    kind: str,
    *,
    isotonic: bool = True,
    seed: int = 0,
) -> Reliability:
    """How well probabilities do on units that had no part in their fit (ten folds); see `fit`."""
    found = np.empty(len(right))
    for inside, outside in folds(right, seed=seed):
        part = fit(_rows(values, inside), right[inside], kind=kind, isotonic=isotonic, seed=seed)
        found[outside] = part.probability(_rows(values, outside))
    return measure(found, right, seed=seed)


def known_units(
    atlas: Atlas,
    truth: str | Truth = "classes",
    names: Sequence[str] = DEFAULT_FEATURES,
    *,
    method: str | None = None,
    match: str = "exact",
    synonyms: float | None = None,
    **context: Any,
) -> Known:
    """The units of an atlas that have a label and a known truth; see `calibrate`.

    A truth that is no word (`non-interpretable`) makes every label wrong.
    """
    chosen = atlas.method(method)
    needed = sorted({ANALYSED[name] for name in names if name in ANALYSED})
    missing = [analysis for analysis in needed if analysis not in atlas.analyses(chosen)]
    if missing:
        atlas = analyse(atlas, missing, method=chosen, **context)
    given = LabelContext(atlas, **context)
    evaluation = EvaluationContext(
        atlas, (chosen,), open_truth(atlas, truth), match, synonyms, given.sources.embed_words
    )
    frame = judge(evaluation)[0][0]
    frame = frame[frame["labelled"]]
    columns: dict[str, list[np.ndarray]] = {name: [] for name in names}
    for layer, rows in frame.groupby("layer", sort=False):
        found = features(given, chosen, str(layer), names)
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
            "cannot be measured there. Choose others with --features."
        )
    manifest = atlas.shown
    about = {
        "atlas": atlas.name,
        "target": manifest.target.name,
        "target_fingerprint": manifest.target.fingerprint,
        "probe": manifest.probe.name,
        "probe_fingerprint": manifest.probe.fingerprint,
        "images": int(manifest.probe.images or 0),
        "concepts": manifest.concepts.name,
        "encoder": manifest.encoder.name,
        "method": manifest.methods[chosen].get("method", chosen),
        "truth": without_folders(evaluation.known.source),
        "match": match,
        "units": int(fine.sum()),
        "right": int(right[fine].sum()),
        "left_out": int((~fine).sum()),
    }
    return Known(atlas.folder.name, kind_of(chosen), _rows(values, fine), right[fine], about)


def _knots(knots: Any, where: str) -> tuple[tuple[float, ...], tuple[float, ...]] | None:
    if knots is None:
        return None
    fine = isinstance(knots, list) and len(knots) == 2 and isinstance(knots[0], list) and knots[0]
    if not fine or not all(_finite(part, len(knots[0])) for part in knots):
        raise _malformed(where, "its knots are not two lists of as many numbers")
    odds, shares = knots
    rising = all(np.all(np.diff(part) >= 0) for part in knots)
    if not rising or min(shares) < 0 or max(shares) > 1:
        raise _malformed(where, "its knots do not rise within 0…1")
    return tuple(odds), tuple(shares)


def _entries(entries: object, where: str) -> tuple[Mapping[str, Any], ...]:
    if not isinstance(entries, list) or not all(
        isinstance(e, dict) and isinstance(e.get("units"), int) and "target" in e for e in entries
    ):
        raise _malformed(where, "fitted_on does not say target and units of each atlas")
    return tuple(entries)


def _finite(values: object, count: int) -> bool:
    return (
        isinstance(values, list)
        and len(values) == count
        and all(isinstance(v, int | float) and not isinstance(v, bool) for v in values)
        and all(math.isfinite(v) for v in values)
    )


def _malformed(where: str, why: str) -> UsageError:
    return UsageError(f"{where} is not a calibrator: {why}. Make one with `neuronym calibrate`.")


def _logistic(z: Units, right: Bool[np.ndarray, " unit"]) -> Float64[np.ndarray, " weight"]:
    """Intercept and coefficients, by Newton's method on the penalised log-likelihood."""
    design = np.concatenate([np.ones((len(z), 1)), z], 1)
    penalty = np.full(design.shape[1], _PENALTY)
    penalty[0] = 0
    weights = np.zeros(design.shape[1])
    for _ in range(100):
        p = sigmoid(design @ weights)
        slope = design.T @ (right - p) - penalty * weights
        bend = (design.T * (p * (1 - p))) @ design + np.diag(penalty + 1e-9)
        step = np.linalg.solve(bend, slope)
        # Far from the optimum a whole Newton step can overshoot.
        weights += step * min(1, 2 / max(np.abs(step).max(), 1e-12))
        if np.abs(step).max() < 1e-10:
            break
    return weights


def _never_sure(
    odds: tuple[float, ...], shares: tuple[float, ...], sizes: tuple[int, ...]
) -> tuple[tuple[float, ...], tuple[float, ...]]:
    """Knots without 0 and 1: none of n units right is no proof; 1 / (n + 2) by Laplace's rule."""
    inner = [share for share in shares if 0 < share < 1]
    low, high = 1 / (sizes[0] + 2), 1 - 1 / (sizes[-1] + 2)
    low, high = min([low, *inner]), max([high, *inner])
    return odds, tuple(min(max(share, low), high) for share in shares)


def _check_features(names: Sequence[str]) -> tuple[str, ...]:
    for name in names:
        if name not in FEATURES:
            near = nearest(name, FEATURES)
            raise misuse(
                "features",
                f"names among {', '.join(FEATURES)}",
                name,
                f"Nearest: {', '.join(near)}." if near else "",
            )
    if not names:
        raise misuse("features", f"at least one of {', '.join(FEATURES)}", list(names))
    return tuple(dict.fromkeys(names))


def _fit(known: Sequence[Known], name: str, isotonic: bool, seed: int) -> Calibrator:
    values, right = _together(known)
    return fit(values, right, kind=known[0].kind, name=name, isotonic=isotonic, seed=seed)


def _together(known: Sequence[Known]) -> tuple[dict[str, PerUnit], Bool[np.ndarray, " unit"]]:
    values = {n: np.concatenate([one.features[n] for one in known]) for n in known[0].features}
    return values, np.concatenate([one.right for one in known])


def _rows(values: Mapping[str, PerUnit], rows: np.ndarray) -> dict[str, PerUnit]:
    return {name: part[rows] for name, part in values.items()}


def short(found: Reliability) -> dict[str, Any]:
    """Without the bins."""
    return {name: value for name, value in found.to_json().items() if name != "bins"}
