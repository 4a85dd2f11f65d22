"""
A table from end to end
=======================

178 wines with 13 measurements and the grape that they were made from: a table with columns of
several kinds, and with gaps. A model of it draws new rows, and says which rows are unusual.
"""

# %%
# The table. Every ninth value of magnesium is missing.

import matplotlib.pyplot as plt
import pandas as pd
from sklearn.datasets import load_wine

import reparam as rp

wine = load_wine(as_frame=True)
table = wine.data.assign(grape=wine.target_names[wine.target])
table.loc[::9, "magnesium"] = None

# %%
# ``fit`` takes it as it is. What each column is has been found, and is a part of the run.

run = rp.fit(rp.variants.vae, table, steps=200, lr=5e-3, seed=0, progress=False)
columns = run.spec.schema.columns if run.spec.schema else ()
for column in (*columns[3:6], columns[-1]):
    print(f"{column.name:20} {column.kind:12} {column.values or (column.low, column.high)}")

# %%
# New rows have the columns, classes, ranges and decimals of the table.

drawn = run.to_table(run.sample(178, seed=1), like=table)
print(drawn[["alcohol", "magnesium", "proline", "grape"]].head())

# %%
# They should be distributed as the real ones: in each column, and in pairs of columns.

figure, axes = plt.subplots(1, 3, figsize=(11, 3.6), layout="constrained")
for axes_of_column, name in zip(axes, ["alcohol", "color_intensity"], strict=False):
    axes_of_column.hist([table[name], drawn[name]], bins=12, label=["real", "drawn"])
    axes_of_column.set(xlabel=name, ylabel="wines")
axes[0].legend(loc="upper left")
for rows, mark, name in ((table, "o", "real"), (drawn, "x", "drawn")):
    axes[2].scatter(rows["flavanoids"], rows["proline"], marker=mark, s=14, label=name)
axes[2].set(xlabel="flavanoids", ylabel="proline")
axes[2].legend()
plt.show()

# %%
# The logarithm of the probability of each row says how usual it is, and which value is unusual.

scores = pd.Series(run.log_likelihood(table, n_samples=50).numpy(), name="log p(x) in nats")
print(scores.nsmallest(3))
surprise = pd.DataFrame(
    -run.log_conditionals(table, n_samples=50).numpy(), columns=list(run.spec.columns)
)
print(surprise.loc[scores.idxmin()].nlargest(3))
