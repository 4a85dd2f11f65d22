"""The judge of generated digits: a classifier of real ones."""

from pathlib import Path

import torch

import reparam as rp
from experiments.common.judge import class_probabilities, confidence, digit_classifier, read_as
from experiments.ledger.options import Options
from experiments.ledger.protocol import Protocol


def test_the_judge_reads_digits_and_is_kept(tmp_path: Path) -> None:
    data = rp.data.load("digits", binarize="threshold")
    options = Options(device="cpu", runs=tmp_path, progress=False)
    protocol = Protocol(options, epochs=1, n_samples=2)
    judge = digit_classifier(protocol, data)
    test = data.examples("test")
    told = class_probabilities(judge, test.x)
    torch.testing.assert_close(told.sum(-1), torch.ones(len(test)))
    assert torch.equal(confidence(judge, test.x), told.max(-1).values)
    assert (read_as(judge, test.x) == test.y).float().mean() > 0.8
    # Of noise it is less sure than of digits.
    noise = torch.rand(200, 1, 8, 8, generator=torch.Generator().manual_seed(0)).round()
    assert confidence(judge, noise).mean() < confidence(judge, test.x).mean()
    again = digit_classifier(protocol, data)
    assert torch.equal(class_probabilities(again, test.x), told)
