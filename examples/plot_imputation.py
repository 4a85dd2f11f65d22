"""
Missing values, with intervals
==============================

The imputer fills gaps with the mean of the missing value given the rest of its row, and says how
sure it is. Here a fifth of the blood pressures is hidden, so that we can look.
"""

# %%

import matplotlib.pyplot as plt
import numpy as np
import pandas as pd

from reparam.estimators import VAEImputer

rng = np.random.default_rng(0)
n = 600
age = rng.integers(18, 90, n)
smokes = rng.choice(["no", "yes"], n, p=[0.7, 0.3])
pressure = 95 + 0.5 * age + 15 * (smokes == "yes") + 7 * rng.normal(size=n)
whole = pd.DataFrame({"age": age, "smokes": smokes, "pressure": pressure.round()})
hidden = rng.random(n) < 0.2
people = whole.copy()
people.loc[hidden, "pressure"] = np.nan

imputer = VAEImputer(200, n_importance=5, steps=300, lr=3e-3, random_state=0).fit(people)
complete = imputer.transform(people)

# %%
# The error, beside that of the mean of the column.

truth = whole.loc[hidden, "pressure"]
for name, guess in (
    ("imputed", complete.loc[hidden, "pressure"]),
    ("mean of the column", people["pressure"].mean()),
):
    print(f"{name:20} {np.sqrt(((guess - truth) ** 2).mean()):.1f} mmHg")

# %%
# Each gap has an interval that holds the value with probability 0.9.

found = imputer.impute(people, interval=0.9)
low, high = found.low.numpy()[hidden, 2], found.high.numpy()[hidden, 2]
print(f"the intervals hold {100 * ((low <= truth) & (truth <= high)).mean():.0f} % of the values")

figure, axes = plt.subplots(figsize=(7, 4.4), layout="constrained")
guess = complete.loc[hidden, "pressure"]
colors = np.where(smokes[hidden] == "yes", "tab:red", "tab:blue")
axes.errorbar(truth, guess, yerr=[guess - low, high - guess], fmt="none", ecolor="lightgray")
axes.scatter(truth, guess, c=colors, s=14, zorder=3)
axes.axline((120, 120), slope=1, color="gray", linestyle="--", linewidth=1)
axes.set(xlabel="hidden pressure in mmHg", ylabel="imputed, with its interval")
axes.set_title("smokers in red, others in blue")
plt.show()
