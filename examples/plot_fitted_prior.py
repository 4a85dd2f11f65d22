"""
A prior that is fitted after training
=====================================

Samples are as good as the codes that they are decoded from. The codes of real examples do not fill
a standard normal distribution: a draw from it may be a place that no example has. A prior that is
fitted to the codes draws where they are.
"""

# %%
# A VAE of digits, with the standard normal prior.

import matplotlib.pyplot as plt
from torch.nn import functional as F

import reparam as rp

data = rp.data.load("digits")
run = rp.fit(rp.variants.vae, data, latent_dim=2, epochs=60, lr=4e-3, seed=0, progress=False)

# %%
# Encoder and decoder stay as they are. A mixture of Gaussians is fitted to the codes of the
# training images.

fitted = run.with_prior("mixture", n_components=20)
for name, one in (("standard normal", run), ("mixture", fitted)):
    print(f"{name:16} {one.evaluate(n_samples=100)['elbo']}")

# %%
# Codes, and draws from both priors with the images that they are decoded to.

codes = run.encode(split="train").numpy()
figure, axes = plt.subplots(2, 2, figsize=(9, 8), layout="constrained")
for column, (name, one) in enumerate((("standard normal", run), ("mixture", fitted))):
    z = one.latent_model.draw_prior(1000).numpy()
    above, below = axes[0, column], axes[1, column]
    above.scatter(*codes.T, s=4, color="lightgray", label="codes of images")
    above.scatter(*z.T, s=4, color="tab:purple", label="draws of the prior")
    above.set(title=name, xlabel="$z_1$", ylabel="$z_2$", xlim=(-4, 4), ylim=(-4, 4))
    images = F.pad(one.sample(100, mean=True), (1, 1, 1, 1)).reshape(10, 10, 10, 10)
    below.imshow(images.permute(0, 2, 1, 3).reshape(100, 100), cmap="gray_r")
    below.set(title=f"samples: {name}", xticks=[], yticks=[])
axes[0, 0].legend(loc="upper left")
plt.show()
