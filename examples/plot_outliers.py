"""
Outliers, and what is unusual about them
========================================

Each value of an outlier may be ordinary: only together they are unusual. ``VAEOutlier`` finds such
rows, and ``explain`` names the value that does not fit the others.
"""

# %%
# Heights and weights of 500 people. Three rows are made by hand: all their values are possible.

import matplotlib.pyplot as plt
import numpy as np
import pandas as pd

from reparam.estimators import VAEOutlier

rng = np.random.default_rng(0)
height = rng.normal(1.7, 0.08, 500)
weight = 22.5 * height**2 * rng.lognormal(0, 0.08, 500)
people = pd.DataFrame({"height": height.round(2), "weight": weight.round(1)})
people.loc[:2] = [[1.53, 90.0], [1.90, 50.0], [1.60, 98.0]]

detector = VAEOutlier(contamination=0.006, steps=500, lr=3e-3, random_state=0).fit(people)

# %%
# The score is :math:`\log p(x)` in nats: the lower, the less usual. Rows below the threshold are
# outliers.

scores = detector.score_samples(people)
is_outlier = detector.predict(people) == -1
print(f"threshold {detector.offset_:.2f} nats, rows below it: {np.flatnonzero(is_outlier)}")

# %%
# How surprising is each value to one who knows the other?

surprise = pd.DataFrame(detector.explain(people), columns=people.columns)
print(surprise.loc[:2].round(1))
figure, (left, right) = plt.subplots(1, 2, figsize=(10, 4.2), layout="constrained")
points = left.scatter(people["height"], people["weight"], c=scores, s=14, cmap="viridis")
left.scatter(*people[is_outlier].to_numpy().T, s=90, facecolors="none", edgecolors="tab:red")
left.set(xlabel="height in m", ylabel="weight in kg", title="outliers are circled")
figure.colorbar(points, ax=left, label="log p(x) in nats")
surprise.loc[:2].plot.barh(ax=right)
right.set(xlabel="-log p(value | the other), in nats", ylabel="row", title="the rows made by hand")
plt.show()
