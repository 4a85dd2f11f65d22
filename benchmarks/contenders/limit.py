"""Measure the time of the matrix products of a job alone: the limit of any implementation.

    python limit.py --job training
    python limit.py --job likelihood

Every product is timed at the shape that the job gives it, with everything in place: no data, no
nonlinearity, no optimizer. For training those of the forward pass, of the gradients of the weights
and of the gradients of the inputs, but none for the pixels; for the likelihood those of the
decoder, at the best of some numbers of rows.
"""

import time
from collections.abc import Callable, Sequence
from itertools import pairwise
from statistics import median
from typing import NamedTuple

import torch
from mnist import arguments, tell

SIZES = (784, 400, 20)
PRECISIONS = {"float32": torch.float32, "bfloat16": torch.bfloat16}
ROWS = (256, 512, 1024, 2048, 4096)
"""Rows that the likelihood's products are tried with."""


class Product(NamedTuple):
    """(n, k) times (k, m): what for, and the sizes."""

    what: str
    n: int
    k: int
    m: int

    @property
    def multiply_adds(self) -> int:
        """The multiply-adds of the product."""
        return self.n * self.k * self.m


def training_products(batch: int, sizes: Sequence[int] = SIZES) -> list[Product]:
    """Return the products of a training step of the network sizes[0] - ... - sizes[-1] and back.

    The last layer of the encoder has twice the outputs: means and logarithms of variances.
    """
    down = list(pairwise(sizes))
    down[-1] = (down[-1][0], 2 * down[-1][1])
    up = list(pairwise(sizes[::-1]))
    products = []
    for number, (n_in, n_out) in enumerate([*down, *up]):
        products.append(Product("forward", batch, n_in, n_out))
        products.append(Product("weight gradient", n_out, batch, n_in))
        if number > 0:
            products.append(Product("input gradient", batch, n_out, n_in))
    return products


def likelihood_products(rows: int, sizes: Sequence[int] = SIZES) -> list[Product]:
    """Return the products of decoding so many z."""
    up = pairwise(sizes[::-1])
    return [Product("forward", rows, n_in, n_out) for n_in, n_out in up]


def operands(product: Product, dtype: torch.dtype) -> tuple[torch.Tensor, torch.Tensor]:
    """Return two factors, laid out in memory as a linear layer and its gradients have them."""
    _, n, k, m = product
    if product.what == "forward":
        return torch.rand(n, k).to(dtype), torch.rand(m, k).to(dtype).t()
    if product.what == "weight gradient":
        return torch.rand(k, n).to(dtype).t(), torch.rand(k, m).to(dtype)
    return torch.rand(n, k).to(dtype), torch.rand(k, m).to(dtype)


def seconds_of(work: Callable[[], object], budget: float) -> float:
    """Return the median time of a call over some blocks of calls that take the budget together."""
    for _ in range(3):
        work()
    began = time.perf_counter()
    work()
    once = time.perf_counter() - began
    n_calls = max(1, int(budget / 7 / max(once, 1e-7)))
    blocks = []
    for _ in range(7):
        began = time.perf_counter()
        for _ in range(n_calls):
            work()
        blocks.append((time.perf_counter() - began) / n_calls)
    return median(blocks)


def measured(product: Product, dtype: torch.dtype, budget: float) -> float:
    """Return the seconds of one product."""
    a, b = operands(product, dtype)
    out = torch.empty(product.n, product.m, dtype=dtype)
    return seconds_of(lambda: torch.mm(a, b, out=out), budget)


@torch.no_grad()
def main() -> None:
    """Print, for each precision, images or draws a second and the rate in multiply-adds."""
    options = arguments(__doc__, job="training", batch=128, budget=0.4)
    found = {}
    for name, dtype in PRECISIONS.items():
        tried = {}
        for rows in (options.batch,) if options.job == "training" else ROWS:
            make = training_products if options.job == "training" else likelihood_products
            products = make(rows)
            times = [measured(product, dtype, options.budget) for product in products]
            tried[rows] = {
                "per_second": rows / sum(times),
                "rows": rows,
                "gigaflops": 2 * sum(p.multiply_adds for p in products) / sum(times) / 1e9,
                "products": [[*p, t] for p, t in zip(products, times, strict=True)],
            }
        found[name] = max(tried.values(), key=lambda entry: entry["per_second"])
    tell(job=options.job, **found)


if __name__ == "__main__":
    main()
