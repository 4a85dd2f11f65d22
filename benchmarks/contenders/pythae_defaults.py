"""Train pythae's VAE with its defaults on images for so many seconds, and draw samples.

    python pythae_defaults.py --images images.npy --samples samples.npy --n 1000 --seconds 60

Its own networks, loss, trainer, learning rate and sampler. Epochs follow from the time.
"""

import tempfile
import time
from pathlib import Path

import numpy as np
from mnist import arguments, tell
from pythae.models import VAE, VAEConfig
from pythae.pipelines import TrainingPipeline
from pythae.samplers import NormalSampler
from pythae.trainers import BaseTrainerConfig
from pythae.trainers.training_callbacks import TrainingCallback


class TimeIsUp(Exception):
    """The seconds have passed."""


class Clock(TrainingCallback):
    """Stop after so many seconds."""

    def __init__(self, seconds: float) -> None:
        self.until = time.perf_counter() + seconds
        self.steps = 0

    def on_train_step_end(self, training_config: BaseTrainerConfig, **_: object) -> None:
        """Count the step, and look at the clock."""
        self.steps += 1
        if time.perf_counter() > self.until:
            raise TimeIsUp


def main() -> None:
    """Train, store the samples, and print the number of steps."""
    options = arguments(__doc__, images=None, samples=None, n=1000, seconds=60.0)
    x = np.load(options.images, allow_pickle=False)
    model = VAE(VAEConfig(input_dim=x.shape[1:]))
    with tempfile.TemporaryDirectory() as folder:
        config = BaseTrainerConfig(
            output_dir=str(Path(folder) / "run"), num_epochs=10**6, seed=options.seed, no_cuda=True
        )
        pipeline = TrainingPipeline(training_config=config, model=model)
        clock = Clock(options.seconds)
        try:
            pipeline(train_data=x, callbacks=[clock])
        except TimeIsUp:
            model.eval()
    samples = NormalSampler(model).sample(num_samples=options.n, return_gen=True)
    np.save(options.samples, samples.detach().numpy().reshape(-1, *x.shape[1:]))
    tell(steps=clock.steps, n_images=len(x))


if __name__ == "__main__":
    main()
