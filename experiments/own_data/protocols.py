"""The protocols: what is fitted, and what is measured."""

import time
from collections.abc import Callable, Iterator
from functools import partial
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from benchmarks.environments import PYOD, SCVI
from experiments.own_data import peers
from experiments.own_data.cases import Case, Figures
from experiments.own_data.generation import generation
from reparam.estimators import VAE, VAEClassifier, VAECluster, VAEImputer, VAEOutlier
from reparam.estimators.scores import SCORES, scored


def imputation(data_dir: Path, seed: int) -> Iterator[Case]:
    """Half of all cells of standardized tables missing: squared errors and coverage.

    Mattei & Frellsen, ICML 2019, section 4.3, with the masks of ``numpy.random.RandomState(seed)``.
    """
    from sklearn.datasets import load_breast_cancer

    folder = data_dir / "imputation"
    tables: dict[str, Callable[[], NDArray[np.float64]]] = {
        "banknote": lambda: np.loadtxt(folder / "banknote.csv", delimiter=",")[:, :-1],
        "breast-cancer": lambda: np.asarray(load_breast_cancer().data),
        "concrete": lambda: np.loadtxt(folder / "concrete.txt"),
        "wine-red": lambda: np.loadtxt(folder / "wine-red.txt"),
    }
    for name, read in tables.items():
        for contender, make in IMPUTERS.items():
            measure = partial(_imputed, read, make, seed)
            is_ours = contender.startswith("VAEImputer")
            yield Case(name, contender, measure, dict if is_ours else peers.of_scikit_learn)


def _mean(seed: int) -> Any:
    from sklearn.impute import SimpleImputer

    return SimpleImputer()


def _neighbors(seed: int) -> Any:
    from sklearn.impute import KNNImputer

    return KNNImputer(n_neighbors=5)


def _ridge(seed: int) -> Any:
    """Return the default of scikit-learn: Bayesian ridge regressions of a column on the others."""
    from sklearn.experimental import enable_iterative_imputer  # noqa: F401
    from sklearn.impute import IterativeImputer

    return IterativeImputer(random_state=seed)


def _forests(seed: int) -> Any:
    """Return an imputer with the defaults of missForest (Stekhoven & Bühlmann, 2012)."""
    from sklearn.ensemble import RandomForestRegressor
    from sklearn.experimental import enable_iterative_imputer  # noqa: F401
    from sklearn.impute import IterativeImputer

    forest = RandomForestRegressor(n_estimators=100, max_features="sqrt", random_state=seed)
    return IterativeImputer(forest, max_iter=10, random_state=seed)


IMPUTERS: dict[str, Callable[[int], Any]] = {
    "VAEImputer": lambda seed: VAEImputer(random_state=seed),
    "VAEImputer, 55 s": lambda seed: VAEImputer(budget="55s", random_state=seed),
    "mean": _mean,
    "5 neighbors": _neighbors,
    "iterative, Bayesian ridge": _ridge,
    "iterative, random forests": _forests,
}
"""The imputers, by their names in the rows."""


def _imputed(
    read: Callable[[], NDArray[np.float64]], make: Callable[[int], Any], seed: int
) -> Figures:
    x, imputer = read(), make(seed)
    x = (x - x.mean(0)) / x.std(0)
    n, n_missing = x.size, x.size // 2
    missing = np.zeros(n, bool)
    missing[np.random.RandomState(seed).choice(n, n_missing, replace=False)] = True
    missing = missing.reshape(x.shape)
    lacking = np.where(missing, np.nan, x)
    began = time.perf_counter()
    imputer.fit(lacking)
    fitted = time.perf_counter() - began
    figures = {"mse": float(np.square(imputer.transform(lacking) - x)[missing].mean())}
    if isinstance(imputer, VAEImputer):
        found = imputer.impute(lacking)
        inside = (found.low.numpy() <= x) & (x <= found.high.numpy())
        figures["coverage"] = float(inside[missing].mean())
    return {**figures, "fit_s": fitted, "seconds": time.perf_counter() - began}


def outliers(data_dir: Path, seed: int) -> Iterator[Case]:
    """Areas under the ROC curve on sets of ADBench, fitted to all rows, or to normal rows alone.

    With normal rows alone, half of them are fitted and the others are scored with the outliers.
    """
    places = sorted(
        [*(data_dir / "tabular").glob("*.npz"), *(data_dir / "outliers").glob("*.npz")],
        key=lambda place: place.stat().st_size,
    )
    for place in places:
        for measure, prefix, versions in (
            (_outliers, "", dict),
            (_outliers_of_pyod, "PyOD's VAE, ", partial(peers.versions, PYOD)),
        ):
            for rows, is_clean in (("all rows", False), ("normal rows", True)):
                measured = partial(measure, place, seed, is_clean=is_clean)
                yield Case(place.stem, prefix + rows, measured, versions)


MOST_ROWS = 10_000
"""The number of rows to which larger sets are reduced, as ADBench does."""


class Split(NamedTuple):
    """Rows to fit, and rows to score.

    Arguments:
        train: The rows of the fit.
        test: The rows that are scored.
        labels: 1 where a test row is an outlier.
    """

    train: NDArray[np.float64]
    test: NDArray[np.float64]
    labels: NDArray[Any]


def _split(place: Path, seed: int, is_clean: bool) -> Split:
    with np.load(place, allow_pickle=False) as stored:
        x, y = stored["X"].astype(np.float64), stored["y"]
    rng = np.random.default_rng(seed)
    if len(x) > MOST_ROWS:
        rows = np.sort(rng.choice(len(x), MOST_ROWS, replace=False))
        x, y = x[rows], y[rows]
    if not is_clean:
        return Split(x, x, y)
    normal = rng.permutation(np.flatnonzero(y == 0))
    train = np.sort(normal[: len(normal) // 2])
    test = np.setdiff1d(np.arange(len(x)), train)
    return Split(x[train], x[test], y[test])


def _outliers(place: Path, seed: int, is_clean: bool) -> Figures:
    from sklearn.ensemble import IsolationForest
    from sklearn.metrics import roc_auc_score
    from sklearn.neighbors import NearestNeighbors
    from sklearn.preprocessing import StandardScaler

    train, test, labels = _split(place, seed, is_clean)
    began = time.perf_counter()
    vae = VAEOutlier(novelty=is_clean, scoring="combined", random_state=seed).fit(train)
    seconds = time.perf_counter() - began
    seen = vae._rows(test)  # all scores of one fit
    noise = vae._noise()
    found = {
        name: roc_auc_score(labels, -scored(score, vae.latent_model, seen, noise).numpy())
        for name, score in SCORES.items()
    }
    found["combined"] = roc_auc_score(labels, -vae.score_samples(test))
    forest = IsolationForest(random_state=seed).fit(train)
    found["isolation forest"] = roc_auc_score(labels, -forest.score_samples(test))
    scaler = StandardScaler().fit(train)
    near = NearestNeighbors(n_neighbors=6 if not is_clean else 5).fit(scaler.transform(train))
    distance = near.kneighbors(scaler.transform(test))[0][:, -1]
    found["5 neighbors"] = roc_auc_score(labels, distance)
    return {**{name: 100 * float(value) for name, value in found.items()}, "seconds": seconds}


def _outliers_of_pyod(place: Path, seed: int, is_clean: bool) -> Figures:
    from sklearn.metrics import roc_auc_score

    train, test, labels = _split(place, seed, is_clean)
    scores, figures = peers.outlier_scores(train, test, seed)
    return {"PyOD's VAE": 100 * float(roc_auc_score(labels, scores)), "seconds": figures["fit_s"]}


def codes(data_dir: Path, seed: int) -> Iterator[Case]:
    """Codes of MNIST in 20 dimensions: a linear probe, neighbors, and few labels."""

    def read() -> Digits:
        import reparam as rp

        data = rp.data.load("mnist", data_dir=data_dir, binarize="none", validation=0)
        train, test = data.split("train"), data.split("test")
        x, new = (part.x.flatten(1).numpy() for part in (train, test))
        return Digits(x, np.asarray(train.y), new, np.asarray(test.y))

    images: dict[str, Any] = {"image_shape": (28, 28)}
    convolutions = {"variant": "conv-vae", **images}
    yield Case("mnist", "VAE", lambda: _codes(read(), seed, {}))
    yield Case("mnist", "conv-vae on images", lambda: _codes(read(), seed, convolutions))
    yield Case("mnist", "VAEClassifier, 100 labels", lambda: _few_labels(read(), seed, {}))
    yield Case(
        "mnist",
        "VAEClassifier on images, 100 labels",
        lambda: _few_labels(read(), seed, images),
    )


class Digits(NamedTuple):
    """Images as rows of bytes, and their labels.

    Arguments:
        x: The training images.
        y: Their labels.
        new: The test images.
        labels: Their labels.
    """

    x: NDArray[Any]
    y: NDArray[Any]
    new: NDArray[Any]
    labels: NDArray[Any]


def _codes(digits: Digits, seed: int, options: dict[str, Any]) -> Figures:
    from sklearn.linear_model import LogisticRegression
    from sklearn.neighbors import KNeighborsClassifier
    from sklearn.pipeline import make_pipeline
    from sklearn.preprocessing import StandardScaler

    x, y, new, labels = digits
    began = time.perf_counter()
    vae = VAE(latent_dim=20, random_state=seed, **options).fit(x)
    seconds = time.perf_counter() - began
    seen, other = vae.transform(x), vae.transform(new)
    probe = make_pipeline(StandardScaler(), LogisticRegression(max_iter=2000)).fit(seen, y)
    near = KNeighborsClassifier(5).fit(seen, y)
    return {
        "linear probe": 100 * float(probe.score(other, labels)),
        "5 neighbors": 100 * float(near.score(other, labels)),
        "seconds": seconds,
    }


def _few_labels(digits: Digits, seed: int, options: dict[str, Any]) -> Figures:
    x, y, new, labels = digits
    rng = np.random.default_rng(seed)
    few = np.full(len(y), -1)
    for k in range(10):
        kept = rng.choice(np.flatnonzero(y == k), 10, replace=False)
        few[kept] = k
    began = time.perf_counter()
    found = VAEClassifier(random_state=seed, **options).fit(x, few)
    seconds = time.perf_counter() - began
    return {"accuracy": 100 * float((found.predict(new) == labels).mean()), "seconds": seconds}


def counts(data_dir: Path, seed: int) -> Iterator[Case]:
    """Counts of genes: log-likelihood of the held-out cells, and clusters of all cells."""
    versions = partial(peers.versions, SCVI)
    yield Case("pbmc4k", "VAE", lambda: _counts(_cells(data_dir), seed))
    yield Case("pbmc4k", "VAE, given the total", lambda: _given_total(_cells(data_dir), seed))
    for contender, stops_early in (("SCVI", False), ("SCVI, early stopping", True)):
        measure = partial(_counts_of_scvi, data_dir, seed, stops_early)
        yield Case("pbmc4k", contender, measure, versions)


class Cells(NamedTuple):
    """Counts of genes.

    Arguments:
        x: The counts of all cells.
        y: Their types.
        held: The numbers of the held-out cells.
    """

    x: NDArray[Any]
    y: NDArray[Any]
    held: NDArray[Any]


def _cells(data_dir: Path) -> Cells:
    from reparam.data.sources.array import read_arrays

    x, y, _ = read_arrays(data_dir / "pbmc4k" / "pbmc4k.npz")
    held = np.load(data_dir / "pbmc4k" / "validation.npy", allow_pickle=False)
    return Cells(x, np.asarray(y), held)


def _counts(cells: Cells, seed: int) -> Figures:
    from sklearn.metrics import adjusted_rand_score

    figures = _fitted_to_counts(cells, seed, None)
    cluster = VAECluster(8, latent_dim=10, support="counts", random_state=seed)
    ari = adjusted_rand_score(cells.y, cluster.fit_predict(cells.x))
    return {**figures, "ARI of VAECluster": 100 * float(ari)}


def _given_total(cells: Cells, seed: int) -> Figures:
    """Return figures of counts given the total of their cell, as SCVI has them."""
    return _fitted_to_counts(cells, seed, "negative-binomial-given-total")


def _fitted_to_counts(cells: Cells, seed: int, likelihood: str | None) -> Figures:
    x, y, held = cells
    rest = np.setdiff1d(np.arange(len(x)), held)
    began = time.perf_counter()
    vae = VAE(latent_dim=10, likelihood=likelihood, support="counts", random_state=seed)
    vae.fit(x[rest])
    seconds = time.perf_counter() - began
    rows, noise = vae._rows(x[held]), vae._noise(200)
    return {
        "elbo": float(scored(SCORES["elbo"], vae.latent_model, rows, noise).mean()),
        "log_likelihood": float(
            scored(SCORES["log_likelihood"], vae.latent_model, rows, noise).mean()
        ),
        "ARI of k-means": _ari_of_codes(vae.transform(x), y, seed),
        "seconds": seconds,
    }


def _counts_of_scvi(data_dir: Path, seed: int, stops_early: bool) -> Figures:
    x, y, held = _cells(data_dir)
    codes_of_cells, figures = peers.cell_codes(x, held, seed, stops_early)
    return {**figures, "ARI of k-means": _ari_of_codes(codes_of_cells, y, seed)}


def _ari_of_codes(codes_of_cells: NDArray[Any], y: NDArray[Any], seed: int) -> float:
    from sklearn.cluster import KMeans
    from sklearn.metrics import adjusted_rand_score

    found = KMeans(8, n_init=10, random_state=seed).fit_predict(codes_of_cells)
    return 100 * float(adjusted_rand_score(y, found))


PROTOCOLS: dict[str, Callable[[Path, int], Iterator[Case]]] = {
    "imputation": imputation,
    "outliers": outliers,
    "codes": codes,
    "counts": counts,
    "generation": generation,
}
"""The protocols by name."""
