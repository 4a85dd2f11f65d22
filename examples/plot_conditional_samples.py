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
run = rp.fit(rp.variants.cvae, data, latent_dim=2, epochs=60, lr=4e-3, seed=0, progress=False)

# %%
# Left: a row for each digit that is asked for. Right: the same codes under each label, so that a
# column keeps its style.

rows = [run.sample(12, label=digit, mean=True) for digit in range(10)]
z = 1.3 * torch.tensor([[1.0, 0], [0.5, 0.9], [-0.5, 0.9], [-1.0, 0], [-0.5, -0.9], [0.5, -0.9]])
styles = [run.decode(code.expand(10, 2), torch.eye(10)) for code in z]


def picture(images: torch.Tensor) -> torch.Tensor:
    """Return images with shape (rows, columns, 1, 8, 8) as one, with a margin around each."""
    n, m = images.shape[:2]
    framed = F.pad(images, (1, 1, 1, 1)).reshape(n, m, 10, 10)
    return framed.permute(0, 2, 1, 3).reshape(10 * n, 10 * m)


figure, (left, right) = plt.subplots(1, 2, figsize=(10, 4.6), layout="constrained")
left.imshow(picture(torch.stack(rows)), cmap="gray_r")
left.set(title="a digit in each row", xticks=[], yticks=range(5, 100, 10), yticklabels=range(10))
right.imshow(picture(torch.stack(styles, dim=1)), cmap="gray_r")
right.set(title="a code in each column", xticks=[], yticks=[])
plt.show()
