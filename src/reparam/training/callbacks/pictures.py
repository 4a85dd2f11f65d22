"""Pictures of samples and reconstructions while a model trains."""

from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING

import torch
from torch import Tensor, nn

from reparam.batch import Batch
from reparam.errors import ReparamError
from reparam.models.directed import DirectedModel
from reparam.models.latent import as_latent, is_latent
from reparam.pictures import grid, save, side_by_side
from reparam.priors import NoPrior
from reparam.training.events import Callback, Event
from reparam.training.options import TrainingOptions
from reparam.utils.seeding import seeded

if TYPE_CHECKING:
    from PIL.Image import Image

N_SAMPLES = 64
"""The number of samples in a picture."""


class Pictures(Callback):
    """Save samples, and inputs beside their reconstructions, after every N-th epoch.

    All pictures have the same latent draws and inputs, so that they can be compared.

    Arguments:
        folder: The folder of the pictures.
        examples: The inputs to reconstruct, with shape (B, *shape), on the device of the model.
        shape: The shape of an image.
        c: The conditions of the samples, with shape (N_SAMPLES, C); None for an unconditional
            model.
        options: The options of training; N is ``pictures_every``.
        show: A function that receives every picture too: its name, the picture and the step.
    """

    def __init__(
        self,
        folder: Path,
        examples: Batch,
        shape: tuple[int, ...],
        c: Tensor | None,
        options: TrainingOptions,
        show: Callable[[str, "Image", int], None],
    ) -> None:
        self.folder, self.examples, self.shape, self.c = folder, examples, shape, c
        self.options, self.show = options, show

    def on_epoch(self, event: Event) -> None:
        """Save and show the pictures, after every N-th epoch and the last one."""
        every = self.options.pictures_every
        if not every or (event.epoch % every and event.epoch != self.options.epochs):
            return
        event.model.eval()
        with seeded(self.examples.x.device, self.options.seed), torch.no_grad():
            for name, image in self._pictures(event.model).items():
                save(image, self.folder / f"{name}-epoch-{event.epoch:03d}.png")
                self.show(name, image, event.step)

    def _pictures(self, model: nn.Module) -> dict[str, "Image"]:
        """Return the pictures that a model can make, by name."""
        made = {}
        samples = sample_images(model, N_SAMPLES, self.shape, self.c)
        if samples is not None:
            made["samples"] = grid(samples.cpu())
        if is_latent(model):
            latent = as_latent(model)
            x = latent.as_event(self.examples.x)
            reconstructed = latent.reconstruct(x, self.examples.c)
            made["reconstructions"] = side_by_side(x.cpu(), reconstructed.cpu())
        return made


def sample_images(
    model: nn.Module, n_samples: int, shape: tuple[int, ...], c: Tensor | None = None
) -> Tensor | None:
    """Return images as pictures show them, with shape (n, *shape); None where none are generated.

    They are the means of p(x | z) for z from the prior, and draws of a model without z.

    Arguments:
        model: The model.
        n_samples: The number of images.
        shape: The shape of an image.
        c: Their conditions, with shape (n, C); None for an unconditional model.
    """
    if is_latent(model):
        model = as_latent(model)
        if c is not None:
            c = c.to(next(model.parameters()).device)
        if isinstance(model.prior, NoPrior):
            return None
        return model.sample(n_samples, c, mean=True).reshape(-1, *shape)
    if isinstance(model, DirectedModel):
        try:
            return model.assemble(model.sample(n_samples), shape)
        except ReparamError:
            return None
    return None
