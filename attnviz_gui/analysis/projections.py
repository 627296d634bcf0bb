"""Projections of a head's queries and keys beside the joint plane: 3-D PCA, t-SNE and UMAP.

Pure functions on one array of points, (N, d). t-SNE and UMAP are imported when they are first used;
both move points so that neighbours stay neighbours, and keep no distances. Never draws.
"""

from __future__ import annotations

import warnings
from importlib.metadata import PackageNotFoundError, version
from importlib.util import find_spec
from typing import TYPE_CHECKING, Literal

import numpy as np

from attnviz_gui.errors import Cancelled, InputError

if TYPE_CHECKING:
    import threading
    from collections.abc import Callable

    import numpy.typing as npt

    Float = npt.NDArray[np.float64]
    Step = Callable[[int, int, Float], object]

Method = Literal["pca", "tsne", "umap"]

WORDS: dict[Method, str] = {"pca": "3-D PCA", "tsne": "t-SNE", "umap": "UMAP"}
# Points. Fewer of them have no such picture, more take minutes (PCA: more than can be turned).
FEWEST: dict[Method, int] = {"pca": 4, "tsne": 6, "umap": 6}
MOST: dict[Method, int] = {"pca": 100_000, "tsne": 10_000, "umap": 10_000}
PERPLEXITY = 30.0
NEIGHBOURS = 15  # of UMAP
LEAST_DISTANCE = 0.1  # of UMAP
SPECTRAL = 60  # points, for UMAP; fewer have too few eigenvectors
EARLY, LATE = 250, 500  # iterations with and without exaggeration
# Fewer than a thousand points are drawn into one by a 12, to the last digit, where heads attend
# evenly; some by the 4 of van der Maaten & Hinton (2008). What grows out of that is rounding.
EXAGGERATION, OF_FEW, FEW = 12.0, 2.0, 1_000
EVERY, OF_MANY, MANY = 25, 10, 2_000  # iterations between two pictures; from so many points on
START = 1e-4  # spread of t-SNE's first positions
JITTER = 0.01  # of that spread, by the seed: equal points begin apart
ONE_PLACE = 1e-3  # of t-SNE's unit, in which neighbours are about 1 apart
ROUNDING = 1e-9
BLOCK = 256  # points whose distances are held at once
IN_ONE_PLACE = (
    "t-SNE puts all these points into one place: none has neighbours that are nearer than the rest."
)
NO_UMAP = (
    "UMAP is an extra that is not installed here: pip install 'attnviz-gui[umap]', then start "
    "again."
)


def why_not(method: Method, n_points: int) -> str:
    """Return why so many points have no such projection; empty where they have one."""
    if n_points < FEWEST[method]:
        return (
            f"{WORDS[method]} needs at least {FEWEST[method]} points, and here are {n_points} "
            "queries and keys: type a longer text."
        )
    if n_points > MOST[method]:
        return (
            f"These are {n_points:,} queries and keys, and {WORDS[method]} takes "
            f"{MOST[method]:,} at most here: show one text, or a shorter one."
        )
    if method == "umap" and not has_umap():
        return NO_UMAP
    return ""


def has_umap() -> bool:
    """Return whether UMAP is installed; nothing is imported."""
    return find_spec("umap") is not None


def software(method: Method) -> str:
    """Return what computes a projection, with its version; empty where this program does."""
    name = {"tsne": "openTSNE", "umap": "umap-learn"}.get(method, "")
    try:
        return f"{name} {version(name)}" if name else ""
    except PackageNotFoundError:
        return name


def usual_perplexity(n_points: int, wanted: float = PERPLEXITY) -> float:
    """Return the perplexity that is used: at most a third of the other points, and a whole one."""
    return float(max(min(wanted, (n_points - 1) // 3), 1))


def usual_neighbours(n_points: int) -> int:
    """Return how many neighbours UMAP looks at."""
    return min(NEIGHBOURS, n_points - 1)


def check_points(points: npt.ArrayLike) -> Float:
    """Return points as float64, (N, d).

    Raises
    ------
    InputError
        Where they hold NaN or infinity, or are all equal.
    """
    found = np.asarray(points, dtype=np.float64)
    if not np.isfinite(found).all():
        raise InputError("The queries or keys hold NaN or infinity, so they have no projection.")
    spread = float(np.ptp(found, axis=0).max(initial=0.0))
    if spread <= ROUNDING * float(np.abs(found).max(initial=0.0)):
        raise InputError("All queries and keys are equal here, so there is nothing to project.")
    return found


def pca3(points: npt.ArrayLike, near: Float | None = None) -> tuple[Float, Float, Float]:
    """Project onto the first three principal components.

    Parameters
    ----------
    points : (N, d)
    near : (d, 3), optional
        Earlier axes, to which these point alike; without them (or where d has changed) the
        largest coordinate of each axis is positive.

    Returns
    -------
    positions : (N, 3)
        About their mean. Where d is less than 3, the rest is zero.
    share : (3,)
        Of the variance.
    axes : (d, 3)

    Raises
    ------
    InputError
        As `check_points`.

    Notes
    -----
    Pearson (1901); the eigenvectors of the scatter matrix.
    """
    found = check_points(points)
    centred = found - found.mean(axis=0)
    values, vectors = np.linalg.eigh(centred.T @ centred)
    n = min(3, len(values))
    axes, share = np.zeros((len(values), 3)), np.zeros(3)
    axes[:, :n] = vectors[:, ::-1][:, :n]
    share[:n] = np.maximum(values[::-1][:n], 0) / np.einsum("nd,nd->", centred, centred)
    if near is not None and near.shape == axes.shape:
        sign = np.einsum("di,di->i", near, axes)
    else:
        sign = np.take_along_axis(axes, np.abs(axes).argmax(axis=0)[None], axis=0)[0]
    axes = axes * np.where(sign < 0, -1.0, 1.0)
    return centred @ axes, share, axes


def turning(azimuth: float, elevation: float) -> Float:
    """Return the rotation that looks at points in space from a direction, (3, 3).

    Parameters
    ----------
    azimuth, elevation
        Radians: about the upright axis, then about the horizontal one. Zeros look along the third
        component.

    Returns
    -------
    (3, 3)
        ``points @ turning(...).T`` are to the right, up, and towards the viewer.
    """
    ca, sa, ce, se = np.cos(azimuth), np.sin(azimuth), np.cos(elevation), np.sin(elevation)
    about = np.array([[ca, 0, sa], [0, 1, 0], [-sa, 0, ca]])
    across = np.array([[1, 0, 0], [0, ce, -se], [0, se, ce]])
    turn: Float = across @ about
    return turn


def tsne(
    points: npt.ArrayLike,
    *,
    perplexity: float = PERPLEXITY,
    seed: int = 0,
    step: Step | None = None,
    cancel: threading.Event | None = None,
) -> Float:
    """Embed by t-SNE, step by step; the same seed gives the same picture.

    Parameters
    ----------
    points : (N, d)
    perplexity
        Capped by `usual_perplexity`.
    seed
        Of the small noise that is added to the start, which is a PCA.
    step : callable (done, of, positions (N, 2)), optional
        Called every 25 iterations, every 10 where points are many.
    cancel
        When set, the positions reached so far are returned.

    Returns
    -------
    (N, 2)

    Raises
    ------
    InputError
        As `check_points`; and where all points fall into one, as no point has nearer neighbours
        than the others have.
    Cancelled
        When it is cancelled before the first iteration.

    Notes
    -----
    van der Maaten & Hinton (2008); openTSNE (Poličar, Stražar & Zupan 2024) from a start by PCA
    (Kobak & Berens 2019). One thread, so that sums have one order.
    """
    found = check_points(points)
    if _all_as_far(found, cancel):
        raise InputError(IN_ONE_PLACE)
    from openTSNE import TSNEEmbedding
    from openTSNE.affinity import PerplexityBasedNN

    _stop_if(cancel)
    n, total = len(found), EARLY + LATE
    affinities = PerplexityBasedNN(
        found,
        perplexity=usual_perplexity(n, perplexity),
        method="exact",
        n_jobs=1,
        random_state=seed,
    )
    _stop_if(cancel)
    embedding = TSNEEmbedding(
        _start(found, seed), affinities, n_jobs=1, random_state=seed, dof=1,
        negative_gradient_method="bh",
    )  # fmt: skip
    early = EXAGGERATION if n >= FEW else OF_FEW
    every = EVERY if n < MANY else OF_MANY
    # Momentum and gains live on in the embedding: pieces of a phase are the phase.
    for done in range(every, total + 1, every):
        first = done <= EARLY
        embedding.optimize(
            every,
            inplace=True,
            exaggeration=early if first else 1.0,
            momentum=0.5 if first else 0.8,
        )
        made = np.array(embedding, dtype=np.float64)
        if step is not None:
            step(done, total, made)
        if cancel is not None and cancel.is_set():
            return made
    if not np.ptp(made, axis=0).max() > ONE_PLACE:
        raise InputError(IN_ONE_PLACE)
    return made


def _all_as_far(points: Float, cancel: threading.Event | None) -> bool:
    """Return whether every point is as far from every other: one row of distances tells most."""
    for i, point in enumerate(points):
        _stop_if(cancel)
        apart = np.delete(np.linalg.norm(points - point, axis=1), i)
        if np.ptp(apart) > ROUNDING * apart.max():
            return False
    return True


def _start(points: Float, seed: int) -> Float:
    """Return where t-SNE begins: the first two components, and a little noise, (N, 2)."""
    flat = pca3(points)[0][:, :2]
    flat *= START / flat[:, 0].std()
    return flat + np.random.default_rng(seed).normal(scale=JITTER * START, size=flat.shape)


def _stop_if(cancel: threading.Event | None) -> None:
    if cancel is not None and cancel.is_set():
        raise Cancelled("cancelled")


def umap(points: npt.ArrayLike, *, seed: int = 0, cancel: threading.Event | None = None) -> Float:
    """Embed by UMAP; the same seed gives the same picture.

    Parameters
    ----------
    points : (N, d)
    cancel
        Asked for each block of neighbours and before each epoch.

    Returns
    -------
    (N, 2)

    Raises
    ------
    InputError
        As `check_points`, and where UMAP is not installed.
    Cancelled
        When `cancel` is set.

    Notes
    -----
    McInnes, Healy & Melville (2018). Neighbours are exact: umap-learn has its own found by sixteen
    million calls at 4,000 points, and nothing stops it meanwhile.
    """
    found = check_points(points)
    n = len(found)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # about its own threads and seeds
        try:
            from umap import UMAP
        except ImportError as error:
            raise InputError(NO_UMAP) from error
        k = usual_neighbours(n)
        made = UMAP(
            n_neighbors=k,
            precomputed_knn=nearest_of(found, k, cancel),
            tqdm_kwds={"file": _Epochs(cancel), "disable": False, "mininterval": 0.0},
            min_dist=LEAST_DISTANCE,
            random_state=seed,
            n_jobs=1,
            init="spectral" if n >= SPECTRAL else "random",
        ).fit_transform(found)
    return np.asarray(made, dtype=np.float64)


def nearest_of(
    points: Float, k: int, cancel: threading.Event | None = None
) -> tuple[npt.NDArray[np.int32], npt.NDArray[np.float32]]:
    """Return the `k` points nearest to each, itself first, and how far they are, (N, k) each."""
    n = len(points)
    centred = points - points.mean(axis=0)
    size = np.einsum("nd,nd->n", centred, centred)
    near, far = np.empty((n, k), dtype=np.int32), np.empty((n, k), dtype=np.float32)
    for start in range(0, n, BLOCK):
        _stop_if(cancel)
        own = np.arange(start, min(start + BLOCK, n))
        # |p - q|² without |p|², which changes no order.
        apart = size - 2 * centred[own] @ centred.T
        apart[np.arange(len(own)), own] = -np.inf
        some = np.argpartition(apart, k - 1, axis=1)[:, :k]
        exact = np.linalg.norm(points[own][:, None] - points[some], axis=2)
        exact[some == own[:, None]] = -1.0
        order = np.argsort(exact, axis=1, kind="stable")
        near[own] = np.take_along_axis(some, order, axis=1)
        far[own] = np.maximum(np.take_along_axis(exact, order, axis=1), 0.0)
    return near, far


class _Epochs:
    """Where UMAP writes after each epoch how far it is: only there can it be stopped."""

    def __init__(self, cancel: threading.Event | None) -> None:
        self._cancel = cancel

    def write(self, _words: str) -> None:
        cancel, self._cancel = self._cancel, None  # closing the bar writes once more
        _stop_if(cancel)
        self._cancel = cancel

    def flush(self) -> None:
        pass
