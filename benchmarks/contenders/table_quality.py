"""Measure drawn rows of a table beside real ones, in an environment with sdmetrics and xgboost.

``python table_quality.py --real TRAIN.csv --test TEST.csv --drawn DRAWN.csv --schema SCHEMA.json``
prints one line of JSON. The schema has ``numbers``, ``classes`` (names of columns) and ``target``.

- ``shape`` and ``trend``: the two parts of the quality report of sdmetrics.
- ``c2st_lr`` and ``c2st_xgb``: 1 where a classifier cannot tell drawn from real rows, 0 where it
  always can: 2 - 2 max(AUC, 1/2), the AUC by cross-validation with 3 folds.
- ``auc``: the area under the ROC curve, on test rows, of XGBoost that is trained on drawn rows.
- ``closer_to_train``: the share of drawn rows whose nearest real row is a training row, of as many
  training and test rows: 0.5 where nothing is memorized.
"""

import argparse
import json
import warnings
from typing import Any, NamedTuple

import numpy as np
import pandas as pd
from sklearn.compose import make_column_transformer
from sklearn.linear_model import LogisticRegression
from sklearn.metrics import roc_auc_score
from sklearn.model_selection import StratifiedKFold, cross_val_predict
from sklearn.neighbors import NearestNeighbors
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import OneHotEncoder, StandardScaler
from xgboost import XGBClassifier

warnings.filterwarnings("ignore")

ROUNDS: dict[str, Any] = {"n_estimators": 100, "max_depth": 6, "n_jobs": 1, "random_state": 0}

N_NEAREST = 2000
"""The number of drawn rows whose nearest real rows are found."""


class Rows(NamedTuple):
    """Training, test and drawn rows, and the names of their columns."""

    real: pd.DataFrame
    test: pd.DataFrame
    drawn: pd.DataFrame
    numbers: list[str]
    classes: list[str]
    target: str

    def encoder(self) -> Any:
        """Return a transformer from rows to standardized numbers and one-hot classes."""
        return make_column_transformer(
            (StandardScaler(), self.numbers),
            (OneHotEncoder(handle_unknown="ignore", sparse_output=False), self.classes),
        )


def main() -> None:
    """Print the figures."""
    parser = argparse.ArgumentParser()
    for name in ("real", "test", "drawn", "schema"):
        parser.add_argument(f"--{name}", required=True)
    rows = read(parser.parse_args())
    figures = quality(rows)
    figures["c2st_lr"] = two_samples(rows, LogisticRegression(max_iter=2000))
    figures["c2st_xgb"] = two_samples(rows, XGBClassifier(**ROUNDS))
    figures["auc"] = usefulness(rows)
    figures["closer_to_train"] = closer_to_train(rows)
    print(json.dumps(figures))


def read(options: argparse.Namespace) -> Rows:
    """Return the rows of the files, at most as many drawn ones as training rows."""
    with open(options.schema, encoding="utf-8") as stream:
        schema = json.load(stream)
    numbers, classes = schema["numbers"], schema["classes"]
    tables = []
    for path in (options.real, options.test, options.drawn):
        table = pd.read_csv(path, dtype=dict.fromkeys(classes, str), keep_default_na=False)
        tables.append(table[numbers + classes].astype(dict.fromkeys(numbers, float)))
    real, test, drawn = tables
    return Rows(real, test, drawn.iloc[: len(real)], numbers, classes, schema["target"])


def quality(rows: Rows) -> dict[str, float]:
    """Return the two parts of the quality report."""
    from sdmetrics.reports.single_table import QualityReport

    columns = {name: {"sdtype": "numerical"} for name in rows.numbers}
    columns |= {name: {"sdtype": "categorical"} for name in rows.classes}
    report = QualityReport()
    report.generate(rows.real, rows.drawn, {"columns": columns}, verbose=False)
    scores = report.get_properties().set_index("Property")["Score"]
    return {"shape": float(scores["Column Shapes"]), "trend": float(scores["Column Pair Trends"])}


def two_samples(rows: Rows, classifier: Any) -> float:
    """Return how little a classifier can tell drawn rows from training rows."""
    both = pd.concat([rows.real, rows.drawn], ignore_index=True)
    is_real = np.r_[np.ones(len(rows.real)), np.zeros(len(rows.drawn))]
    scores = cross_val_predict(
        make_pipeline(rows.encoder(), classifier),
        both,
        is_real,
        cv=StratifiedKFold(3, shuffle=True, random_state=0),
        method="predict_proba",
    )[:, 1]
    return 2 - 2 * max(float(roc_auc_score(is_real, scores)), 0.5)


def usefulness(rows: Rows) -> float:
    """Return the AUC on test rows of a classifier of the target that is trained on drawn rows."""
    others = [name for name in rows.classes if name != rows.target]
    encoder = make_column_transformer(
        ("passthrough", rows.numbers), (OneHotEncoder(handle_unknown="ignore"), others)
    )
    positive = sorted(rows.test[rows.target].unique())[-1]
    y = rows.drawn[rows.target] == positive
    if y.nunique() < 2:
        return 0.5
    model = make_pipeline(encoder, XGBClassifier(**ROUNDS)).fit(rows.drawn, y)
    scores = model.predict_proba(rows.test)[:, 1]
    return float(roc_auc_score(rows.test[rows.target] == positive, scores))


def closer_to_train(rows: Rows) -> float:
    """Return the share of drawn rows that are closer to training rows than to test rows."""
    encoder = rows.encoder().fit(rows.real)
    n = min(len(rows.real), len(rows.test))
    drawn = encoder.transform(rows.drawn.iloc[:N_NEAREST])
    to_train, to_test = (
        NearestNeighbors(n_neighbors=1)
        .fit(encoder.transform(part.sample(n, random_state=0)))
        .kneighbors(drawn)[0][:, 0]
        for part in (rows.real, rows.test)
    )
    return float(np.mean(to_train < to_test) + 0.5 * np.mean(to_train == to_test))


if __name__ == "__main__":
    main()
