"""What every test has: a seed of its own, and random numbers that it cannot disturb."""

from collections.abc import Iterator

import pytest
import torch

# torch.manual_seed also walks the stack once for each accelerator that is absent, for every test.
SEED = torch.manual_seed if torch.cuda.is_available() else torch.default_generator.manual_seed


@pytest.fixture(autouse=True)
def _seeded() -> Iterator[None]:
    with torch.random.fork_rng(devices=[]):
        SEED(0)
        yield
