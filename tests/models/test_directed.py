"""Fully observed directed models, against enumeration, frequencies and logistic regression."""

from collections.abc import Callable
from itertools import product

import numpy as np
import pytest
import torch
from sklearn.linear_model import LogisticRegression
from torch import Tensor

from reparam.batch import Batch
from reparam.errors import OptionError, ShapeError
from reparam.families import Bernoulli, Categorical
from reparam.models.conditional import Conditional, Unconditional
from reparam.models.directed import DirectedModel, Node
from reparam.nn import MLP
from reparam.objectives import MaximumLikelihood


def coins() -> DirectedModel:
    """Return p(y) p(a | y) p(b | y, a): a label of three classes and two and one coins."""
    model = DirectedModel(
        {
            "y": Node(Unconditional(Categorical(3))),
            "a": Node(Conditional(MLP(3, 8), Bernoulli(2)), ("y",)),
            "b": Node(Conditional(MLP(5, 8), Bernoulli(1)), ("y", "a")),
        },
        {"a": [0, 1], "b": [2]},
    )
    with torch.no_grad():
        for parameter in model.parameters():
            parameter.copy_(torch.randn_like(parameter) * 0.5)
    return model.double().requires_grad_(False)


def states() -> dict[str, Tensor]:
    """Return all 24 states of ``coins``."""
    table = torch.tensor(list(product(range(3), (0, 1), (0, 1), (0, 1))))
    coins = table[:, 1:].double()
    return {"y": table[:, 0], "a": coins[:, :2], "b": coins[:, 2:]}


def test_masses_of_all_states_sum_to_one() -> None:
    total = coins().log_prob(states()).exp().sum()
    assert float(total) == pytest.approx(1, abs=1e-12)


def test_given_the_label_the_rest_sums_to_one() -> None:
    model, values = coins(), states()
    joint = model.log_prob(values).exp()
    labels = model.conditionals["y"].raw.softmax(0)
    for k in range(3):
        assert float(joint[values["y"] == k].sum()) == pytest.approx(float(labels[k]))


def test_draws_have_the_enumerated_frequencies() -> None:
    model, n = coins(), 40_000
    p = model.log_prob(states()).exp().numpy()
    draws = model.sample(n)
    index = draws["y"] * 8 + (draws["a"] @ torch.tensor([4.0, 2.0]).double()).long()
    index += draws["b"][:, 0].long()
    frequencies = torch.bincount(index, minlength=24).numpy() / n
    assert (np.abs(frequencies - p) <= 4 * np.sqrt(p * (1 - p) / n) + 1 / n).all()


def test_given_values_are_held_fixed() -> None:
    model, n = coins(), 20_000
    values = states()
    joint = model.log_prob(values).exp()
    held = values["y"] == 2
    expected = float((joint * values["b"][:, 0])[held].sum() / joint[held].sum())
    draws = model.sample(n, {"y": torch.full((n,), 2)})
    assert (draws["y"] == 2).all()
    error = (expected * (1 - expected) / n) ** 0.5
    assert abs(float(draws["b"].mean()) - expected) < 4 * error


def test_batch_is_split_into_its_variables_and_put_together_again() -> None:
    model = coins()
    x, y = torch.rand(5, 1, 3, 1).round().double(), torch.tensor([0, 1, 2, 0, 1])
    values = model.values(Batch(x, y))
    assert {name: tuple(value.shape) for name, value in values.items()} == {
        "a": (5, 2),
        "b": (5, 1),
        "x": (5, 1, 3, 1),
        "y": (5,),
    }
    assert torch.equal(model.assemble(values, (1, 3, 1)), x)
    expected = MaximumLikelihood()(model, Batch(x, y)).bound
    assert torch.equal(expected, model.log_prob(values))


def fit(model: DirectedModel, batches: Callable[[int], Batch], steps: int, lr: float) -> None:
    """Climb the likelihood by minibatch gradient ascent, with a step that decays to zero."""
    optimizer = torch.optim.Adam(model.parameters(), lr=lr)
    schedule = torch.optim.lr_scheduler.LinearLR(optimizer, 1.0, 0.0, steps)
    for step in range(steps):
        optimizer.zero_grad()
        MaximumLikelihood()(model, batches(step)).loss.backward()
        optimizer.step()
        schedule.step()


def test_root_categorical_learns_the_frequencies() -> None:
    counts = torch.tensor([500, 300, 150, 50])
    labels = torch.repeat_interleave(torch.arange(4), counts)[torch.randperm(1000)]
    model = DirectedModel({"y": Node(Unconditional(Categorical(4)))})

    def batch(step: int) -> Batch:
        at = 100 * (step % 10)
        return Batch(torch.zeros(100, 1), y=labels[at : at + 100])

    fit(model, batch, steps=400, lr=0.1)
    probs = model.distribution("y", {}).probs.detach()
    torch.testing.assert_close(probs, counts / 1000, atol=0.01, rtol=0)


def labeled(n: int = 300) -> tuple[Tensor, Tensor]:
    """Return points of three overlapping classes, so that the likelihood has its maximum."""
    x = torch.randn(n, 2)
    scores = x @ torch.tensor([[1.0, -0.5, 0.0], [0.3, 1.0, -1.0]]) + torch.tensor([0.2, 0.0, -0.1])
    return x, torch.distributions.Categorical(logits=scores).sample()


def test_classifier_without_layers_is_logistic_regression() -> None:
    x, y = labeled()
    model = DirectedModel({"y": Node(Conditional(MLP(2), Categorical(3)), ("x",))})
    optimizer = torch.optim.LBFGS(
        model.parameters(), max_iter=200, tolerance_grad=1e-7, line_search_fn="strong_wolfe"
    )

    def closure() -> Tensor:
        optimizer.zero_grad()
        loss = MaximumLikelihood()(model, Batch(x, y)).loss
        loss.backward()
        return loss

    optimizer.step(closure)
    oracle = LogisticRegression(C=1e8, tol=1e-8, max_iter=1000).fit(x.numpy(), y.numpy())
    probs = model.distribution("y", {"x": x}).probs.detach().numpy()
    np.testing.assert_allclose(probs, oracle.predict_proba(x.numpy()), atol=1e-3)


def test_classifier_by_minibatches_reaches_logistic_regression() -> None:
    x, y = labeled()
    model = DirectedModel({"y": Node(Conditional(MLP(2), Categorical(3)), ("x",))})

    def batch(step: int) -> Batch:
        at = 50 * (step % 6)
        return Batch(x[at : at + 50], y[at : at + 50])

    fit(model, batch, steps=400, lr=0.1)
    oracle = LogisticRegression(C=1e8).fit(x.numpy(), y.numpy())
    best = np.log(oracle.predict_proba(x.numpy())[np.arange(len(y)), y.numpy()]).mean()
    found = model.log_prob({"x": x, "y": y}).mean().item()
    assert best - 2e-3 < found <= best + 1e-6


def test_network_of_parents_learns_its_table() -> None:
    # p(b = 1 | a) of the counts is what maximum likelihood gives, whatever the network.
    a = torch.tensor([0.0] * 60 + [1.0] * 40)[:, None]
    b = torch.tensor([1.0] * 15 + [0.0] * 45 + [1.0] * 30 + [0.0] * 10)[:, None]
    model = DirectedModel(
        {
            "a": Node(Unconditional(Bernoulli(1))),
            "b": Node(Conditional(MLP(1, 8), Bernoulli(1)), ("a",)),
        },
        {"a": [0], "b": [1]},
    )
    fit(model, lambda step: Batch(torch.cat([a, b], dim=1)), steps=300, lr=0.05)
    assert model.distribution("a", {}).mean.item() == pytest.approx(0.4, abs=0.01)
    found = model.distribution("b", {"a": torch.tensor([[0.0], [1.0]])}).mean[:, 0].tolist()
    assert found == pytest.approx([0.25, 0.75], abs=0.01)


def test_single_numbers_can_be_parents() -> None:
    model = DirectedModel(
        {
            "a": Node(Unconditional(Bernoulli(()))),
            "b": Node(Conditional(MLP(1, 4), Bernoulli(())), ("a",)),
            "c": Node(Conditional(MLP(2, 4), Bernoulli(())), ("a", "b")),
        }
    )
    table = torch.tensor(list(product((0.0, 1.0), repeat=3)))
    values = dict(zip("abc", table.unbind(1), strict=True))
    assert model.log_prob(values).exp().sum().item() == pytest.approx(1, abs=1e-5)
    assert model.sample(7)["c"].shape == (7,)


def test_several_categorical_parents_of_one_shape_are_joined() -> None:
    model = DirectedModel(
        {
            "a": Node(Unconditional(Categorical(3, 2))),
            "b": Node(Unconditional(Categorical(4))),
            "c": Node(Conditional(MLP(3 * 2 + 4, 4), Bernoulli(1)), ("a", "b")),
        }
    )
    assert model.sample(7)["c"].shape == (7, 1)
    table = torch.tensor(list(product(range(3), range(3), range(4), (0, 1))))
    values = {"a": table[:, :2], "b": table[:, 2], "c": table[:, 3:].float()}
    assert model.log_prob(values).exp().sum().item() == pytest.approx(1, abs=1e-5)


def test_images_reach_the_network_unflattened() -> None:
    classifier = Conditional(MLP((1, 4, 4), 8), Categorical(3))
    model = DirectedModel({"y": Node(classifier, ("x",))})
    x = torch.randn(5, 1, 4, 4)
    torch.testing.assert_close(model.distribution("y", {"x": x}).probs, classifier(x).probs)


def test_parents_come_first() -> None:
    nodes = {
        "b": Node(Conditional(MLP(1), Bernoulli(1)), ("a",)),
        "a": Node(Unconditional(Bernoulli(1))),
    }
    with pytest.raises(OptionError, match=r"'b' comes before its parent 'a'.*no cycles"):
        DirectedModel(nodes)


def test_own_parent_is_refused() -> None:
    with pytest.raises(OptionError, match="'a' comes before its parent 'a'"):
        DirectedModel({"a": Node(Conditional(MLP(1), Bernoulli(1)), ("a",))})


def test_missing_parent_is_named() -> None:
    with pytest.raises(OptionError, match="'y' has no value: give one"):
        coins().distribution("a", {})


def test_missing_variable_is_named() -> None:
    with pytest.raises(OptionError, match="'y' has no value: give one"):
        coins().log_prob({"a": torch.zeros(5, 2)})


def test_missing_labels_are_named() -> None:
    with pytest.raises(OptionError, match="labels, for 'y'"):
        MaximumLikelihood()(coins(), Batch(torch.zeros(5, 3)))


def test_unknown_variable_is_named() -> None:
    with pytest.raises(OptionError, match="unknown variable 'z'"):
        coins().distribution("z", {})


def test_integer_parent_without_classes_is_refused() -> None:
    model = DirectedModel({"a": Node(Conditional(MLP(3), Bernoulli(1)), ("y",))})
    with pytest.raises(OptionError, match="'y' has integer values"):
        model.log_prob({"y": torch.zeros(5, dtype=torch.long), "a": torch.zeros(5, 1)})


def test_model_without_nodes_is_refused() -> None:
    with pytest.raises(OptionError, match="add a node"):
        DirectedModel({}).log_prob({})


def test_columns_that_leave_a_gap_do_not_make_x() -> None:
    model = coins()
    with pytest.raises(ShapeError, match="3 of the 4 entries"):
        model.assemble(model.sample(2), (4,))
