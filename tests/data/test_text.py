"""Text, end to end: windows of a file, the networks, the variant, n-grams and the command line."""

from collections import Counter
from itertools import product
from math import log, log2
from pathlib import Path

import numpy as np
import pytest
import torch
from torch import Tensor

import reparam as rp
from experiments.common.ngram import NGram
from experiments.ledger.options import Options
from experiments.ledger.run import reproduce
from reparam.batch import Batch
from reparam.cli.output import as_line
from reparam.data.sources.text import load_text
from reparam.data.vocabulary import UNKNOWN, Vocabulary, vocabulary_of
from reparam.distributions import Autoregressive, mean_or_mode
from reparam.errors import DataError, OptionError, ReparamError, ShapeError, SupportError
from reparam.evaluation.likelihood.decoder import inspect_decoder
from reparam.nn import TextDecoder, TextEncoder
from reparam.spec import DataSpec
from tests.support import quick_fit, reparam

SENTENCE = "the rain in spain stays mainly in the plain.\n"


def write(folder: Path, text: str | bytes = SENTENCE * 20) -> Path:
    path = folder / "some.txt"
    path.write_bytes(text.encode() if isinstance(text, str) else text)
    return path


# ---------------------------------------------------------------- data


@pytest.mark.parametrize("unit", ["characters", "bytes"])
def test_the_splits_are_the_file_in_order_and_do_not_overlap(tmp_path: Path, unit: str) -> None:
    text = "".join(chr(ord("a") + i % 26) + "é"[: i % 3 == 0] for i in range(1000))
    data = load_text(write(tmp_path, text), unit, window=10, validation=0.1, test_share=0.2)
    vocabulary = vocabulary_of(data.options)
    n_tokens = len(text) if unit == "characters" else len(text.encode())
    sizes = {name: 10 * len(split) for name, split in data.splits.items()}
    assert sizes["test"] == n_tokens // 5 // 10 * 10
    assert n_tokens - sum(sizes.values()) < 10
    parts = [data.split(name).x.flatten() for name in ("train", "validation", "test")]
    stored = text.encode() if unit == "bytes" else text
    shown = [bytes(p.tolist()) if unit == "bytes" else vocabulary.decode(p) for p in parts]
    # The few tokens that fill no window lie between training and what is held out.
    assert stored.startswith(shown[0])
    assert stored.endswith(shown[1] + shown[2])
    assert data.spec.support == "tokens"
    assert data.spec.levels == len(vocabulary)


def test_training_windows_begin_every_stride(tmp_path: Path) -> None:
    data = load_text(write(tmp_path), window=16, stride=5)
    x = data.split("train").x
    assert torch.equal(x[0, 5:], x[1, :-5])
    assert len(x) == (len(SENTENCE) * 20 - 16 * (len(data.split("test")) + 2) - 16) // 5 + 1
    test = vocabulary_of(data.options).decode(data.split("test").x.flatten())
    assert (SENTENCE * 20).endswith(test)


def test_the_options_make_the_same_data_again_with_the_old_vocabulary(tmp_path: Path) -> None:
    path = write(tmp_path)
    data = rp.data.load("text", path=path, window=16)
    again = rp.data.load(**data.options)
    assert again.spec == data.spec
    assert torch.equal(again.split("train").x, data.split("train").x)
    path.write_text("zz" + path.read_text()[2:])
    changed = rp.data.load(**data.options)
    assert changed.spec == data.spec
    assert vocabulary_of(data.options).decode(changed.split("train").x[0, :3]) == 2 * UNKNOWN + "e"


def test_characters_that_training_lacks_are_unknown(tmp_path: Path) -> None:
    data = load_text(write(tmp_path, "ab" * 500 + "c" * 100), window=10)
    vocabulary = vocabulary_of(data.options)
    assert vocabulary.symbols == "ab"
    assert vocabulary.decode(data.split("test").x[-1]) == 10 * UNKNOWN


def test_bytes_hold_any_text() -> None:
    vocabulary = Vocabulary("bytes")
    assert len(vocabulary) == 256
    assert vocabulary.decode(vocabulary.encode("é ∂")) == "é ∂"
    assert vocabulary.encode("é").tolist() == [0xC3, 0xA9]
    assert vocabulary.decode(torch.tensor([0xC3, 65])) == UNKNOWN + "A"


@pytest.mark.parametrize(
    ("content", "options", "says"),
    [
        (None, {}, "No such file"),
        (b"", {}, "is empty"),
        (b"short", {}, "a file of at least 192"),
        (b"\xff" * 999, {}, "use unit='bytes'"),
        (b"x" * 999, {"unit": "words"}, "unknown unit"),
        (b"x" * 999, {"window": 0}, "window=0"),
        (b"x" * 999, {"test_share": 1.0}, "test_share=1.0"),
        (b"x" * 999, {"binarize": "dynamic"}, "binarize='dynamic': .*and not of 'text'"),
        (b"x" * 999, {"size": 8}, "size=8: an option of data 'images', 'hub' and not of 'text'"),
    ],
)
def test_bad_files_and_options_are_refused_in_a_sentence(
    tmp_path: Path, content: bytes | None, options: dict[str, object], says: str
) -> None:
    path = tmp_path / "absent.txt" if content is None else write(tmp_path, content)
    with pytest.raises((DataError, OptionError), match=says) as error:
        rp.data.load("text", path=path, **options)
    assert "\n" not in str(error.value)


def test_text_needs_a_path_and_other_data_take_none() -> None:
    with pytest.raises(DataError, match="is a file of your own: give its place as path="):
        rp.data.load("text")
    with pytest.raises(OptionError, match=r"path='a\.txt'"):
        rp.data.load("digits", path="a.txt")


# ---------------------------------------------------------------- networks

V, T = 3, 4
EVERY = torch.tensor(list(product(range(V), repeat=T)))
"""All sequences of T classes, with shape (81, 4)."""


def decoder(**options: float) -> TextDecoder:
    return TextDecoder(2, V, T, width=16, **options).eval()


def test_the_decoder_is_a_distribution_over_sequences() -> None:
    p = decoder()(3 * torch.randn(5, 2))
    total = torch.stack([p.log_prob(x) for x in EVERY]).exp().sum(0)
    torch.testing.assert_close(total, torch.ones(5))


def test_draws_have_the_probabilities_that_log_prob_tells() -> None:
    p = decoder()(3 * torch.randn(2))
    drawn = Counter(map(tuple, p.sample((20_000,)).tolist()))
    expected = torch.stack([p.log_prob(x) for x in EVERY]).exp().detach().numpy()
    observed = np.array([drawn[tuple(x.tolist())] for x in EVERY]) / 20_000
    error = np.sqrt(expected * (1 - expected) / 20_000)
    assert (np.abs(observed - expected) < 5 * error + 1e-4).all()


def test_steps_give_the_logits_of_the_whole_sequence() -> None:
    p = decoder()(torch.randn(3, 5, 2))
    without = Autoregressive(p.logits, T, p.batch_shape)
    assert torch.equal(p.mode, without.mode)
    assert p.mode.shape == (3, 5, T)
    assert torch.equal(mean_or_mode(p), p.mode)
    x = torch.randint(V, (7, 3, 5, T))
    whole, state = p.logits(x), None
    for t in range(T):
        logits, state = p.step(x, t, state)
        torch.testing.assert_close(logits, whole[..., t, :], atol=1e-5, rtol=1e-4)


def test_a_logit_depends_on_earlier_tokens_only() -> None:
    p = decoder()(torch.randn(2))
    x = torch.randint(V, (6, T))
    for t in range(T):
        other = x.clone()
        other[:, t] = (x[:, t] + 1) % V
        changed = (p.logits(x) - p.logits(other)).abs().amax((0, 2)) > 1e-6
        assert changed.tolist() == [place > t for place in range(T)]


def test_dropout_hides_tokens_in_training_alone() -> None:
    network = decoder(dropout=1.0)
    z = torch.randn(1, 2)
    one, two = torch.zeros(1, T), torch.ones(1, T)
    assert not torch.equal(network(z).logits(one.long()), network(z).logits(two.long()))
    network.train()
    assert torch.equal(network(z).logits(one.long()), network(z).logits(two.long()))


def test_draws_of_z_and_the_condition_broadcast() -> None:
    network = TextDecoder(2, V, T, width=16, context=3).eval()
    z, c, x = torch.randn(4, 5, 2), torch.randn(5, 3), torch.randint(V, (5, T))
    together = network(z, c).log_prob(x.float())
    assert together.shape == (4, 5)
    for k, b in product(range(4), range(5)):
        alone = network(z[k, b : b + 1], c[b : b + 1]).log_prob(x[b : b + 1])
        torch.testing.assert_close(together[k, b], alone[0])
    with pytest.raises(ShapeError, match="context=3"):
        network(z)


@pytest.mark.parametrize("kind", ["conv", "recurrent"])
@pytest.mark.parametrize("length", [1, 7, 64])
def test_the_encoder_reads_every_token_and_the_condition(kind: str, length: int) -> None:
    network = TextEncoder(V, length, 8, kind, context=2)  # type: ignore[arg-type]
    x, c = torch.randint(V, (5, length)), torch.randn(5, 2)
    features = network(x, c)
    assert features.shape == (5, *network.out_shape)
    torch.testing.assert_close(network(x.float().expand(2, -1, -1), c)[1], features)
    assert not torch.allclose(network(x, c + 1), features)
    other = x.clone()
    other[:, -1] = (x[:, -1] + 1) % V
    assert (network(other, c) - features).abs().amax(1).min() > 0
    with pytest.raises(ShapeError, match=rf"must be \({length},\)"):
        network(torch.zeros(5, length + 1), c)


def test_bad_sizes_are_refused() -> None:
    with pytest.raises(OptionError, match="did you mean 'recurrent'"):
        TextEncoder(V, T, kind="recurent")  # type: ignore[arg-type]
    with pytest.raises(OptionError, match=r"dropout=1\.5"):
        decoder(dropout=1.5)
    with pytest.raises(OptionError, match="width=0"):
        TextEncoder(V, T, 0)


def test_evaluation_knows_what_a_recurrent_decoder_costs() -> None:
    spec = DataSpec((64,), "tokens", levels=66)
    model = rp.variants.text_vae(spec, width=256).model
    assert inspect_decoder(model, torch.zeros(1, 1, 16)).floats > 64 * 256
    assert inspect_decoder(model, torch.zeros(1, 1, 16)).discrete


# ---------------------------------------------------------------- the variant


def test_the_variant_refuses_what_is_no_text() -> None:
    for spec in (DataSpec((1, 8, 8), "binary"), DataSpec((1, 8), "tokens", levels=3)):
        with pytest.raises(SupportError, match="data='text' with path="):
            rp.variants.text_vae(spec)


def test_the_bound_cannot_beat_the_entropy_and_comes_near_it() -> None:
    # Two words, drawn evenly: log 2 nats each, however long they are.
    words = torch.tensor([[0, 1, 2, 3], [3, 2, 1, 0]])
    x = words[torch.randint(2, (128,))]
    data = rp.data.from_arrays(x, support="tokens", test=words.repeat(64, 1))
    recipe = rp.variants.text_vae(data.spec, latent_dim=2, width=16, dropout=0.0, free_bits=0.0)
    run = quick_fit(recipe, data, epochs=40, lr=2e-2, batch_size=32)
    result = run.evaluate(n_samples=20)
    assert 0.97 * log(2) < -result.elbo < 1.1 * log(2)
    assert result.bits_per_dim == pytest.approx(-result.log_likelihood / log(2) / 4)
    assert result.mse is None


def test_a_label_as_condition_decides_what_is_written() -> None:
    y = torch.arange(128) % 2
    x = (y[:, None] + torch.arange(6)) % 4
    data = rp.data.from_arrays(x, y, support="tokens").conditioned("label")
    recipe = rp.variants.text_vae(data.spec, latent_dim=2, width=16, free_bits=0.0)
    run = quick_fit(recipe, data, epochs=20, lr=2e-2, batch_size=32)
    for label in (0, 1):
        drawn = run.sample(20, label=label)
        assert (drawn == x[label]).all(-1).float().mean() > 0.8


@pytest.mark.parametrize(("given", "found"), [(None, 1.0), (7.0, 7.0)])
def test_the_gradient_of_text_is_clipped_more(
    tmp_path: Path, given: float | None, found: float
) -> None:
    data = rp.data.load_text(write(tmp_path), window=12)
    recipe = rp.variants.text_vae(data.spec, latent_dim=2, width=8)
    assert quick_fit(recipe, data, epochs=1, clip_norm=given).config["clip_norm"] == found


def test_free_bits_keep_the_code_in_use() -> None:
    x = torch.randint(4, (256, 8))
    data = rp.data.from_arrays(x, support="tokens")
    spent = {}
    for free_bits in (0.0, 0.5):
        torch.manual_seed(0)
        recipe = rp.variants.text_vae(data.spec, latent_dim=4, width=16, free_bits=free_bits)
        run = quick_fit(recipe, data, epochs=20, lr=1e-2, batch_size=32)
        spent[free_bits] = run.evaluate(Batch(x), n_samples=2).kl
    assert spent[0.0] < 0.5
    assert spent[0.5] > 1.5


# ---------------------------------------------------------------- n-grams


def chain(n: int) -> tuple[Tensor, float]:
    """Return a draw of a Markov chain of two states, and its entropy rate in bits."""
    random = np.random.default_rng(0)
    stay = 0.9
    moves = np.cumsum(random.random(n) > stay) % 2
    return torch.from_numpy(moves), -(stay * log2(stay) + (1 - stay) * log2(1 - stay))


def test_ngrams_approach_the_entropy_of_a_markov_chain() -> None:
    x, rate = chain(60_000)
    model = NGram(x[:40_000], 2, 3).fit(x[40_000:50_000].reshape(-1, 100))
    held_out = x[50_000:].reshape(-1, 100)
    bits = {n: -model.log_prob(held_out, n).mean().item() / 100 / log(2) for n in (1, 2, 3)}
    assert bits[1] == pytest.approx(1.0, abs=0.01)
    # The first token of a window costs a whole bit.
    assert bits[2] == pytest.approx(rate + (1 - rate) / 100, abs=0.02)
    assert bits[3] == pytest.approx(bits[2], abs=0.002)


def test_an_ngram_is_a_distribution() -> None:
    text = torch.randint(3, (60,))
    model = NGram(text, 4, 3).fit(torch.randint(4, (10, 6)))  # class 3 never occurs in the text
    windows = torch.tensor(list(product(range(4), repeat=5)))
    for n in (1, 2, 3):
        assert model.log_prob(windows, n).exp().sum().item() == pytest.approx(1.0)


def test_a_bigram_by_hand() -> None:
    text = [0, 1, 0, 2, 0, 1, 1]
    model = NGram(torch.tensor(text), 3, 2).fit(torch.tensor([[0, 1, 0, 2]]))
    model.weights[0] = {key: np.array([0.25, 0.75]) for key in [(1, 2)]}
    model.weights[1] = {key: np.array([0.2, 0.3, 0.5]) for key in [(2, 0), (2, 1)]}
    one = Counter(text)
    first = 0.25 / 3 + 0.75 * one[0] / 7
    then = 0.2 / 3 + 0.3 * one[1] / 7 + 0.5 * 2 / 3  # 0 is followed by 1, 2 and 1
    assert model.log_prob(torch.tensor([[0, 1]])).exp().item() == pytest.approx(first * then)


def test_the_weights_are_those_of_the_highest_likelihood() -> None:
    # 80 % of the text and 56 % of the windows are ones: λ / 2 + (1 - λ) 0.8 = 0.56 at λ = 0.8.
    text = torch.tensor([1, 1, 1, 1, 0] * 20)
    windows = torch.tensor([1] * 14 + [0] * 11).reshape(5, 5)
    model = NGram(text, 2, 1).fit(windows)
    (weights,) = model.weights[0].values()
    assert weights == pytest.approx([0.8, 0.2], abs=0.01)
    highest = 14 * log(0.56) + 11 * log(0.44)
    assert model.log_prob(windows).sum().item() == pytest.approx(highest, abs=1e-3)


def test_ngrams_refuse_what_they_cannot_count() -> None:
    with pytest.raises(OptionError, match="order=0"):
        NGram(torch.zeros(9), 2, 0)
    with pytest.raises(DataError, match="longer than order=2"):
        NGram(torch.zeros(2), 2, 2)
    with pytest.raises(OptionError, match="fit a model"):
        NGram(torch.zeros(9), 2, 2).log_prob(torch.zeros(1, 4))


def test_the_entry_runs_on_a_small_text(tmp_path: Path) -> None:
    folder = tmp_path / "tinyshakespeare"
    folder.mkdir()
    (folder / "input.txt").write_text(SENTENCE * 40)
    options = Options(data_dir=str(tmp_path), epochs=1, n_samples=2, device="cpu", progress=False)
    result = reproduce("text-vae", options, out=tmp_path / "text-vae.json")
    figures = {row.what: row for row in result.rows}
    assert figures["-ELBO"].target == figures["4-gram, interpolated"].ours
    details = result.findings.details
    assert len(details["samples"][0]) == len(details["interpolations"][0][0]) == 64


# ---------------------------------------------------------------- the command line


def test_from_a_file_to_text_that_is_printed(tmp_path: Path) -> None:
    path, run = write(tmp_path, SENTENCE * 40), tmp_path / "run"
    training = "--window 8 --epochs 1 --batch-size 16 --kl-warmup 0.5 --device cpu"
    model = "--latent-dim 2 --width 8 --encoder recurrent --dropout 0.3"
    reparam("train text-vae --data text --path", path, training, model, "--out", run)
    told = reparam("evaluate", run, "--n-samples 2").out
    assert "an entry of x is a character" in told
    assert "kl" in told
    vocabulary = rp.load(run).vocabulary
    assert vocabulary.symbols == "".join(sorted(set(SENTENCE)))

    walk = reparam("interpolate", run, "--n 1 --steps 3").out.splitlines()
    assert [line[:6].strip() for line in walk] == ["from", "", "", "", "to", ""]
    ends = rp.load(run).examples(limit=2).x
    assert walk[0][6:] == as_line(vocabulary.decode(ends[0]))
    pairs = reparam("reconstruct", run, "--n 1").out.splitlines()
    assert pairs[0] == f"read: {walk[0][6:]}"

    path.unlink()  # samples need the run alone
    lines = reparam("sample", run, "-n 3").out.splitlines()
    assert [len(line) for line in lines] == [8, 8, 8]
    assert set("".join(lines)) <= {*SENTENCE.replace("\n", "⏎"), UNKNOWN}
    reparam("sample", run, "-n 3 --out", tmp_path / "s.txt")
    assert (tmp_path / "s.txt").read_text().splitlines() == lines
    reparam("sample", run, "-n 3 --out", tmp_path / "s.npy")
    assert np.load(tmp_path / "s.npy").shape == (3, 8)
    reparam("sample", run, "--out", tmp_path / "s.png", code=2)
    assert "cannot read" in reparam("evaluate", run, code=1).err


def test_another_file_and_bytes(tmp_path: Path) -> None:
    path, run = write(tmp_path, ("né " * 400).encode("latin-1")), tmp_path / "run"
    quick = "--window 8 --epochs 1 --width 8 --device cpu --out"
    train = ("train text-vae --data text --path", path, quick, run)
    assert "--unit bytes" in reparam(*train, code=1).err
    reparam(*train, "--unit bytes")
    other = tmp_path / "other.txt"
    other.write_bytes(b"some other text " * 20)
    told = reparam("evaluate", run, "--path", other, "--n-samples 2 --split train").out
    assert told.startswith(f"{rp.load(run).dataset(path=other).split('train').x.shape[0]} examples")
    reparam(*train, "--unit bytes --resume")


def test_signs_that_cannot_be_seen_are_spelt() -> None:
    assert as_line("a\nb\t\x00é") == "a⏎b\\t\\x00é"


def test_vocabularies_survive_the_configuration(tmp_path: Path) -> None:
    signs = "\x00\t\n\r\x7f\x85\u2028 'aé\ud7ff😀\"\\:#"
    path = write(tmp_path, signs * 40)
    data = load_text(path, window=8)
    recipe = rp.variants.text_vae(data.spec, latent_dim=2, width=4)
    quick_fit(recipe, data, out=tmp_path / "run")
    assert rp.load(tmp_path / "run").vocabulary.symbols == "".join(sorted(set(signs)))


def test_errors_are_of_the_package() -> None:
    with pytest.raises(ReparamError, match="only once"):
        Vocabulary("characters", "aa")
