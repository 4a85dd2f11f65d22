"""
A first VAE: digits and the map of their codes
==============================================

A variational autoencoder (VAE) with two latent dimensions is trained on 1,437 images of digits, of
8 × 8 pixels. Each image then has a place in the plane, and each place in the plane has an image.
"""

# %%
# The digits are embedded, so that nothing is downloaded. ``fit`` trains the model; the labels are
# not used.

import matplotlib.pyplot as plt
import torch
from torch.nn import functional as F

import reparam as rp

data = rp.data.load("digits")
run = rp.fit(rp.variants.vae, data, latent_dim=2, epochs=60, lr=4e-3, seed=0, progress=False)

# %%
# How good is it? Figures are means over test images, in nats, with their standard errors.

figures = run.evaluate(n_samples=100)
print(figures["elbo"])
print(figures["log_likelihood"])

# %%
# **The map.** A point for the code of each image, colored by its label. Digits that look alike are
# near each other, although the model has seen no label.

codes = run.encode(split="train").numpy()
labels = data.examples("train").y

figure, (left, right) = plt.subplots(1, 2, figsize=(10, 4.8), layout="constrained")
points = left.scatter(*codes.T, c=labels, cmap="tab10", vmin=-0.5, vmax=9.5, s=7)
left.set(title="codes of the images", xlabel="$z_1$", ylabel="$z_2$", aspect="equal")
figure.colorbar(points, ax=left, ticks=range(10), label="digit")

# The other way round: decode the places of a grid.
n = 14
axis = torch.linspace(-2.3, 2.3, n)
places = torch.cartesian_prod(axis.flip(0), axis).flip(1)
images = F.pad(run.decode(places), (1, 1, 1, 1)).reshape(n, n, 10, 10)
picture = images.permute(0, 2, 1, 3).reshape(10 * n, 10 * n)
right.imshow(picture, cmap="gray_r", extent=(-2.5, 2.5, -2.5, 2.5))
right.set(title="what the decoder makes of a place", xlabel="$z_1$", ylabel="$z_2$")
plt.show()
