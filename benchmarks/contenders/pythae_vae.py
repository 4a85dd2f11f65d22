"""Train with pythae's pipeline, until a test ELBO is reached or for so many epochs.

    python pythae_vae.py --data-dir DIR --epochs 25 --until -104.2
    python pythae_vae.py --data-dir DIR --budgets 5,15 --folder FOLDER

Its own VAE, trainer and checkpoints; encoder and decoder are the tutorial's, Adam at 1e-3, batches
of 128. The time of the search for the number of epochs, an evaluation after each epoch, is
reported separately, so that it can be subtracted. With ``--budgets`` it trains for the longest of
these times, and the weights after the last epoch within each are written.
"""

import os
import tempfile
import time

import numpy as np
import torch
from elbo import elbo, images
from mnist import LAYERS, Snapshots, arguments, read_images, save_weights, tell
from pythae.models import VAE, VAEConfig
from pythae.models.base.base_utils import ModelOutput
from pythae.models.nn import BaseDecoder, BaseEncoder
from pythae.pipelines import TrainingPipeline
from pythae.trainers import BaseTrainerConfig
from pythae.trainers.training_callbacks import TrainingCallback
from torch import Tensor, nn

MANY = 100_000
"""A number of epochs that no time suffices for."""


class Encoder(BaseEncoder):
    """From pixels to means and logarithms of variances."""

    def __init__(self, hidden: int = 400, latent: int = 20) -> None:
        super().__init__()
        self.hidden = nn.Sequential(nn.Flatten(), nn.Linear(784, hidden), nn.ReLU())
        self.mean = nn.Linear(hidden, latent)
        self.log_variance = nn.Linear(hidden, latent)

    def forward(self, x: Tensor) -> ModelOutput:
        """Return both under the names that pythae looks for."""
        hidden = self.hidden(x)
        return ModelOutput(embedding=self.mean(hidden), log_covariance=self.log_variance(hidden))


class Decoder(BaseDecoder):
    """From z to probabilities of pixels."""

    def __init__(self, hidden: int = 400, latent: int = 20) -> None:
        super().__init__()
        self.hidden = nn.Sequential(nn.Linear(latent, hidden), nn.ReLU())
        self.pixels = nn.Sequential(nn.Linear(hidden, 784), nn.Sigmoid())

    def forward(self, z: Tensor) -> ModelOutput:
        """Return probabilities under the name that pythae looks for."""
        return ModelOutput(reconstruction=self.pixels(self.hidden(z)).reshape(-1, 1, 28, 28))


def make_model() -> VAE:
    """Return pythae's VAE with the tutorial's network."""
    config = VAEConfig(input_dim=(1, 28, 28), latent_dim=20, reconstruction_loss="bce")
    return VAE(config, encoder=Encoder(), decoder=Decoder())


def weights_of(model: VAE) -> dict[str, Tensor]:
    """Return the weights in the common form."""
    found = {}
    for kind in ("weight", "bias"):
        heads = (model.encoder.mean, model.encoder.log_variance)
        parts = (
            getattr(model.encoder.hidden[1], kind),
            torch.cat([getattr(head, kind) for head in heads]),
            getattr(model.decoder.hidden[0], kind),
            getattr(model.decoder.pixels[0], kind),
        )
        found |= {f"{n}.{kind}": p.detach() for n, p in zip(LAYERS, parts, strict=True)}
    return found


def as_arrays(model: VAE) -> dict[str, np.ndarray]:
    """Return the weights in the common form, as arrays."""
    return {name: tensor.numpy() for name, tensor in weights_of(model).items()}


class Reached(Exception):
    """The target ELBO, or the end of the time, was reached."""


class Watch(TrainingCallback):
    """Time epochs, and stop once the test ELBO, or the end of the time, is reached."""

    def __init__(self, model: VAE, x: Tensor | None, until: float, snapshots: Snapshots) -> None:
        self.model, self.x, self.until, self.snapshots = model, x, until, snapshots
        self.seconds: list[float] = []
        self.elbos: list[float] = []
        self.searching = 0.0
        self.began = 0.0

    def on_epoch_begin(self, training_config: BaseTrainerConfig, **_: object) -> None:
        """Note the time."""
        self.began = time.perf_counter()

    def on_epoch_end(self, training_config: BaseTrainerConfig, **_: object) -> None:
        """Note the time, then measure the ELBO."""
        ended = time.perf_counter()
        self.seconds.append(ended - self.began)
        if self.snapshots.save(as_arrays(self.model)):
            raise Reached
        if self.x is None:
            return
        random = torch.get_rng_state()
        self.elbos.append(float(elbo(weights_of(self.model), self.x, draws=10).mean()))
        torch.set_rng_state(random)
        self.searching += time.perf_counter() - ended
        if self.elbos[-1] >= self.until:
            raise Reached


def main() -> None:
    """Train, and print the seconds of every epoch and of the search."""
    options = arguments(__doc__, epochs=25, until=0.0, weights="", budgets="", folder="")
    snapshots = Snapshots(options.budgets, options.folder)
    stored = read_images(options.data_dir, "train")[: options.limit or None]
    x = stored[:, None].astype(np.float32) / 255
    model = make_model()
    wanted = images(options.data_dir, options.limit) if options.until else None
    watch = Watch(model, wanted, options.until, snapshots)
    with tempfile.TemporaryDirectory() as folder:
        config = BaseTrainerConfig(
            output_dir=os.path.join(folder, "run"),
            num_epochs=MANY if options.budgets else options.epochs,
            learning_rate=1e-3,
            per_device_train_batch_size=128,
            seed=options.seed,
            no_cuda=True,
        )
        pipeline = TrainingPipeline(training_config=config, model=model)
        try:
            pipeline(train_data=x, callbacks=[watch])
        except Reached:
            # What the pipeline does after its last epoch.
            model.save(os.path.join(folder, "final"))
    if options.weights:
        save_weights(options.weights, as_arrays(model))
    tell(
        seconds=watch.seconds,
        n_images=len(x),
        searching=watch.searching,
        elbos=watch.elbos,
        reached=bool(watch.elbos) and watch.elbos[-1] >= options.until,
    )


if __name__ == "__main__":
    main()
