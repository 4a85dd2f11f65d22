"""
Samples of what you ask for
===========================

A conditional VAE gives the label to encoder and decoder. It draws digits of the class that is asked
for; the code describes the rest, such as slant and stroke.
"""

# %%

import matplotlib.pyplot as plt
import torch
from torch.nn import functional as F

import reparam as rp

data = rp.data.load("digits")
run = rp.fit(rp.variants.cvae, data, latent_dim=2, epochs=60, lr=4e-3, seed=0)

# %%
# A row for each digit that is asked for.

rows = [run.sample(12, label=digit, mean=True) for digit in range(10)]
images = F.pad(torch.stack(rows), (1, 1, 1, 1)).reshape(10, 12, 10, 10)
picture = images.permute(0, 2, 1, 3).reshape(100, 120)

figure, (left, right) = plt.subplots(1, 2, figsize=(10, 4.6), layout="constrained")
left.imshow(picture, cmap="gray_r")
left.set(title="a digit in each row", xticks=[], yticks=range(5, 100, 10), yticklabels=range(10))

# %%
# The same codes under each label: a column keeps its style. Here a code is decoded with all labels.

labels = torch.eye(10)
z = 1.3 * torch.tensor([[1.0, 0], [0.5, 0.9], [-0.5, 0.9], [-1.0, 0], [-0.5, -0.9], [0.5, -0.9]])
styles = [F.pad(run.decode(code.expand(10, 2), labels), (1, 1, 1, 1)) for code in z]
images = torch.stack(styles, dim=1).reshape(10, 6, 10, 10)
picture = images.permute(0, 2, 1, 3).reshape(100, 60)
right.imshow(picture, cmap="gray_r")
right.set(title="a code in each column", xticks=[], yticks=[])
plt.show()
