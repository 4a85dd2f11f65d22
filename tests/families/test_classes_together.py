"""Columns of classes that are computed together have the probabilities of columns alone."""

from itertools import product

import pytest
import torch
from torch import Tensor
from torch.distributions import Categorical as TorchCategorical

from reparam.families import Mixed
from reparam.families.mixed import joined
from reparam.schema import Column, Schema

SIZES = (3, 2, 7, 2, 40, 5, 3)


def family(sizes: tuple[int, ...] = SIZES, dtype: torch.dtype = torch.float32) -> Mixed:
    torch.manual_seed(0)
    columns = [Column("number", "real")]
    for i, size in enumerate(sizes):
        kind = "binary" if size == 2 else "categorical"
        columns.append(Column(f"class {i}", kind, tuple(map(str, range(size)))))  # type: ignore[arg-type]
    return Mixed(Schema(tuple(columns))).attach((6,)).to(dtype)


def rows(n: int, sizes: tuple[int, ...] = SIZES) -> Tensor:
    draw = torch.Generator().manual_seed(1)
    classes = [torch.randint(size, (n, 1), generator=draw) for size in sizes]
    x = torch.cat([torch.randn(n, 1, generator=draw), *classes], 1)
    x[0, 2], x[1, 5] = torch.nan, torch.nan
    return x


def log_prob_of_classes(mixed: Mixed, features: Tensor, x: Tensor) -> Tensor:
    """Return the sum of log p over the classes, each by the softmax of its own logits."""
    total = torch.zeros(())
    for part, places in mixed.groups[1:]:
        raw = part.head(features)  # type: ignore[operator]
        for j, place in enumerate(places.tolist()):
            known = ~x[:, place].isnan()
            p = TorchCategorical(logits=raw[..., :, j])
            codes = torch.where(known, x[:, place], 0.0)
            total = total + torch.where(known, p.log_prob(codes), 0.0)
    return total


@pytest.mark.parametrize("shape", [(), (4,)])
def test_log_probabilities_and_gradients_are_those_of_each_column(shape: tuple[int, ...]) -> None:
    mixed, x = family(), rows(9)
    features = torch.randn(*shape, 9, 6, requires_grad=True)
    found = mixed(features).log_prob_of_columns(x)[..., 1:].sum(-1)
    expected = log_prob_of_classes(mixed, features, x)
    torch.testing.assert_close(found, expected)
    inputs = [features, *(p for k, p in mixed.named_parameters() if not k.startswith("families.0"))]
    pairs = zip(
        torch.autograd.grad(found.sum(), inputs),
        torch.autograd.grad(expected.sum(), inputs),
        strict=True,
    )
    for one, other in pairs:
        torch.testing.assert_close(one, other)


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
def test_parts_have_the_probabilities_of_each_size(dtype: torch.dtype) -> None:
    mixed = family(dtype=dtype)
    features = torch.randn(5, 6, dtype=dtype)
    row = mixed(features)
    assert [part.distribution.batch_shape[-1] for part in row.parts] == [1, 2, 2, 1, 1, 1]
    for (one, places), part in zip(mixed.groups[1:], row.parts[1:], strict=True):
        expected = one.head(features).softmax(-2)  # type: ignore[operator]
        torch.testing.assert_close(part.distribution.probs.transpose(-1, -2), expected)
        assert part.places.tolist() == places.tolist()
    # The same from the raw parameters side by side.
    families = [mixed._family(i) for i in range(len(mixed.families))]
    raw = torch.cat([f.head(features).flatten(1) for f in families], -1)  # type: ignore[misc]
    x = rows(5).to(dtype)
    torch.testing.assert_close(mixed.distribution(raw).log_prob(x), row.log_prob(x))
    assert bool((row.expand(torch.Size([2, 5])).log_prob(x) == row.log_prob(x)).all())


def test_draws_have_classes_that_exist() -> None:
    torch.manual_seed(0)
    x = family()(torch.randn(500, 6)).sample()
    for place, size in enumerate(SIZES, start=1):
        assert x[:, place].unique().tolist() == list(range(size))


def test_one_hot_codes_are_those_of_each_column() -> None:
    mixed, x = family(), rows(9)
    found = mixed.as_input(x)[:, 1:]
    order = sorted(range(len(SIZES)), key=lambda i: SIZES[i])
    expected = [
        torch.nn.functional.one_hot(x[:, 1 + i].nan_to_num().long(), SIZES[i])
        * ~x[:, 1 + i, None].isnan()
        for i in order
    ]
    assert torch.equal(found, torch.cat(expected, 1).float())


@pytest.mark.parametrize("sizes", [(2,) * 40 + (100,), (2, 2, 2, 2, 1000), SIZES, (2, 3) * 30])
def test_padding_is_bounded(sizes: tuple[int, ...]) -> None:
    groups = [(k, [i for i, n in enumerate(sizes) if n == k]) for k in sorted(set(sizes))]
    padded = sum(
        max(k for k, _ in several) * sum(len(places) for _, places in several)
        for several in joined(groups)
    )
    assert padded <= 1.5 * sum(sizes) + 16 * len(joined(groups))
    assert sorted(i for several in joined(groups) for _, at in several for i in at) == list(
        range(len(sizes))
    )
    assert len(joined(groups)) < len(groups) or tuple(set(sizes)) == (2, 100) or 1000 in sizes


def test_columns_of_one_size_are_one_part() -> None:
    for first, second in product((2, 3), repeat=2):
        p = family((first, second))(torch.zeros(1, 6))
        assert p.log_prob(torch.tensor([[torch.nan, 0.0, 1.0]])).isfinite().all()
