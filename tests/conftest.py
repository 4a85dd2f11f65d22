"""What every test has: a seed of its own, and random numbers that it cannot disturb.

Tests run on the CPU, so that figures and steps are the same everywhere. Those of ``tests/gpu`` run
where ``REPARAM_TEST_GPU`` is set: ``make test-gpu``.
"""

import os
from collections.abc import Iterator

import pytest
import torch

if not os.environ.get("REPARAM_TEST_GPU"):
    os.environ["CUDA_VISIBLE_DEVICES"] = ""  # read by torch when it first looks for a GPU

# torch.manual_seed also walks the stack once for each accelerator that is absent, for every test.
SEED = torch.manual_seed if torch.cuda.is_available() else torch.default_generator.manual_seed


@pytest.fixture(autouse=True)
def _seeded() -> Iterator[None]:
    with torch.random.fork_rng(devices=[]):
        SEED(0)
        yield
