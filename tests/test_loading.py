"""Loading executes nothing, and ends in a result or in one sentence, whatever the files hold.

Every file of every kind of folder is replaced by what executes code in careless readers, or takes
all memory and time. A folder that the code would make, the canary, must not appear.
"""

import hashlib
import io
import json
import os
import pickle
import shutil
import sys
from collections.abc import Callable, Iterator
from contextlib import suppress
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
import torch
import yaml

import reparam as rp
from reparam.errors import ReparamError, RunError
from reparam.estimators import VAECluster, VAEOutlier, VAESampler
from tests.support import Bomb, quick_fit

KINDS = ("run", "unfinished", "fitted", "model folder", "outlier", "cluster", "sampler")
"""The kinds of folders that are loaded."""

ESTIMATORS: dict[str, Any] = {"outlier": VAEOutlier, "cluster": VAECluster, "sampler": VAESampler}

X = np.random.default_rng(0).normal(size=(80, 3))

Payload = Callable[[Path], bytes]


@pytest.fixture(scope="module")
def originals(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A sound folder of each kind."""
    root = tmp_path_factory.mktemp("sound")
    small: dict[str, Any] = {"latent_dim": 2, "hidden": [4]}
    data = rp.data.from_arrays(X[:60], test=X[60:], name="rows")
    run = quick_fit(lambda spec: rp.variants.vae(spec, **small), data, out=root / "run")
    run.evaluate(data, n_samples=2)
    shutil.copytree(root / "run", root / "unfinished")
    (root / "unfinished" / "model.json").unlink()
    run.with_prior("mixture", n_components=2, steps=2, out=root / "fitted")
    rp.hub.save(run, root / "model folder", license="mit")
    options = {**small, "steps": 2, "lr": 0.001, "random_state": 0}
    VAEOutlier(**options).fit(X).save(root / "outlier")
    VAECluster(2, **options).fit(X).save(root / "cluster")
    VAESampler(steps=2, lr=0.001, random_state=0).fit(X).save(root / "sampler")
    return root


@pytest.fixture
def copied(originals: Path, tmp_path: Path) -> Callable[[str], Path]:
    """A function that copies the sound folder of a kind."""

    def copy(kind: str) -> Path:
        return Path(shutil.copytree(originals / kind, tmp_path / kind, dirs_exist_ok=True))

    return copy


@pytest.fixture
def canary(tmp_path: Path) -> Iterator[Path]:
    """The folder that code in a file would make."""
    place = tmp_path / "canary"
    yield place
    assert not place.exists()


def used(kind: str, folder: Path) -> None:
    """Load what the folder holds, and use it."""
    if kind in ESTIMATORS:
        found = ESTIMATORS[kind].load(folder)
        if kind == "sampler":
            found.sample(2)
        else:
            found.predict(X)
        return
    run = rp.load(folder)
    run.kept_evaluation()
    run.sample(2)
    run.recipe()


def outcome(kind: str, folder: Path) -> str | None:
    """Return the message of the error in which loading ends; None where it succeeds."""
    message = None
    try:
        used(kind, folder)
    except ReparamError as error:
        message = str(error)
    assert message is None or "\n" not in message
    assert len(message or "") < 1000, message
    return message


def files_of(folder: Path) -> list[Path]:
    """Return the files of a folder, without those of TensorBoard, which nothing reads."""
    return [p for p in sorted(folder.rglob("*")) if p.is_file() and "events" not in p.parts]


def saved_by_torch(canary: Path) -> bytes:
    stream = io.BytesIO()
    torch.save({"weight": Bomb(canary)}, stream)
    return stream.getvalue()


def array_of_objects(canary: Path) -> bytes:
    stream = io.BytesIO()
    np.save(stream, np.array([Bomb(canary)]), allow_pickle=True)
    return stream.getvalue()


def arrays_of_objects(canary: Path) -> bytes:
    stream = io.BytesIO()
    np.savez(stream, x=np.array([Bomb(canary)]), allow_pickle=True)
    return stream.getvalue()


def tagged(canary: Path) -> bytes:
    return f"!!python/object/apply:os.mkdir ['{canary}']\n".encode()


PICKLES: dict[str, Payload] = {
    "pickle": lambda canary: pickle.dumps(Bomb(canary)),
    "old pickle": lambda canary: pickle.dumps(Bomb(canary), protocol=0),
    "torch": saved_by_torch,
    "npy": array_of_objects,
    "npz": arrays_of_objects,
    "tag": tagged,
}


def test_the_payloads_would_be_seen(tmp_path: Path) -> None:
    for name, payload in PICKLES.items():
        canary, content = tmp_path / name, payload(tmp_path / name)
        if name == "tag":
            yaml.unsafe_load(content)
        elif name == "torch":
            torch.load(io.BytesIO(content), weights_only=False)
        elif name in ("npy", "npz"):
            found = np.load(io.BytesIO(content), allow_pickle=True)
            found["x"] if name == "npz" else found
        else:
            pickle.loads(content)  # noqa: S301
        assert canary.exists(), name


@pytest.mark.parametrize("payload", PICKLES)
@pytest.mark.parametrize("kind", KINDS)
def test_in_the_place_of_any_file(
    kind: str, payload: str, copied: Callable[[str], Path], canary: Path
) -> None:
    folder = copied(kind)
    assert outcome(kind, folder) is None
    needed = {"config.yaml", *(["estimator.json"] if kind in ESTIMATORS else [])}
    for path in files_of(folder):
        sound = path.read_bytes()
        path.write_bytes(PICKLES[payload](canary))
        assert (outcome(kind, folder) is not None) or path.name not in needed, path
        path.write_bytes(sound)
    for path in folder.rglob("*.safetensors"):
        path.write_bytes(PICKLES[payload](canary))
    assert outcome(kind, folder) is not None


@pytest.mark.parametrize("kind", ["run", "unfinished", "model folder"])
def test_with_a_checksum_that_fits(kind: str, copied: Callable[[str], Path], canary: Path) -> None:
    folder = copied(kind)
    for path in folder.rglob("*.safetensors"):
        for payload in PICKLES.values():
            content = payload(canary)
            record_file = path.with_suffix(".json")
            record = json.loads(record_file.read_bytes()) if record_file.exists() else {}
            values = json.dumps(record.get("values", {}), sort_keys=True).encode()
            record["sha256"] = hashlib.sha256(content + values).hexdigest()
            record["per_example_sha256"] = hashlib.sha256(content).hexdigest()
            path.write_bytes(content)
            record_file.write_text(json.dumps(record))
            outcome(kind, folder)
    assert outcome(kind, folder) is not None


def test_code_beside_the_files(copied: Callable[[str], Path], canary: Path) -> None:
    for kind in KINDS:
        folder = copied(kind)
        before = set(sys.modules)
        for name in ("conftest.py", "model.py", "config.py", "variant.py", "__init__.py", "run.sh"):
            (folder / name).write_text(f"import os\nos.mkdir({str(canary)!r})\n")
        (folder / "model.pt").write_bytes(PICKLES["torch"](canary))
        (folder / "model.pkl").write_bytes(PICKLES["pickle"](canary))
        assert outcome(kind, folder) is None
        places = {getattr(sys.modules[m], "__file__", "") or "" for m in {*sys.modules} - before}
        assert not any(place.startswith(str(folder)) for place in places)


TAGS = (
    "!!python/object/apply:os.mkdir ['{canary}']",
    "!!python/object/new:os.mkdir ['{canary}']",
    "!!python/object/apply:subprocess.run [['mkdir', '{canary}']]",
    "!!python/name:os.mkdir ''",
    "!!python/module:os ''",
    "!!python/tuple [1, 2]",
    "!own {{a: 1}}",
)


@pytest.mark.parametrize("tag", TAGS)
def test_a_tag_at_any_place_of_a_configuration(
    tag: str, copied: Callable[[str], Path], canary: Path
) -> None:
    folder = copied("fitted")
    place = folder / "config.yaml"
    sound = place.read_text()
    value = tag.format(canary=canary)
    for line in (
        "latent_dim: 2",
        "seed: 0",
        "  format: 1",
        "  prior: mixture",
        "    support: real",
    ):
        key = line.partition(":")[0]
        assert f"\n{line}\n" in sound
        place.write_text(sound.replace(f"\n{line}\n", f"\n{key}: {value}\n"))
        said = outcome("fitted", folder)
        assert said is not None
        assert "config.yaml cannot be read" in said
    place.write_text(f"{sound}? {value}\n: 1\n")  # as a key
    assert outcome("fitted", folder) is not None


TEXTS = (
    "__import__('os').mkdir('{canary}')",
    "os:mkdir",
    "os.mkdir",
    "../../../etc/passwd",
    "/etc/passwd",
    "file:///etc/passwd",
    "{{{{ 1 }}}}",
)


@pytest.mark.parametrize("text", TEXTS)
def test_names_in_a_configuration_are_looked_up_and_not_imported(
    text: str, copied: Callable[[str], Path], canary: Path
) -> None:
    folder = copied("fitted")
    place = folder / "config.yaml"
    config = yaml.safe_load(place.read_text())
    value = text.format(canary=canary)
    for keys in (
        ("variant",),
        ("likelihood",),
        ("activation",),
        ("condition",),
        ("optimizer",),
        ("lr_schedule",),
        ("precision",),
        ("fitted_prior", "prior"),
        ("recorded", "spec", "support"),
        ("recorded", "spec", "condition"),
    ):
        changed = json.loads(json.dumps(config))
        inner = changed
        for key in keys[:-1]:
            inner = inner[key]
        inner[keys[-1]] = value
        place.write_text(yaml.safe_dump(changed, sort_keys=False))
        assert outcome("fitted", folder) is not None, keys


@pytest.mark.parametrize("text", TEXTS)
def test_places_in_a_configuration_are_not_opened(
    text: str, copied: Callable[[str], Path], canary: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    # What a run records of its data, of its command and of the run before it stays text.
    folder = copied("fitted")
    place = folder / "config.yaml"
    config = yaml.safe_load(place.read_text())
    value = text.format(canary=canary)
    config["fitted_prior"]["run"] = config["data_dir"] = config["path"] = value
    config["recorded"] |= {"command": value, "objective": value, "optimizer": value}
    config["recorded"]["spec"]["name"] = value
    place.write_text(yaml.safe_dump(config, sort_keys=False))
    opened: list[str] = []

    def seen(event: str, arguments: tuple[Any, ...]) -> None:
        if event == "open":
            opened.append(str(arguments[0]))

    hooks.append(seen)
    try:
        used("fitted", folder)
    finally:
        hooks.remove(seen)
    assert opened
    assert not [p for p in opened if "passwd" in p or p == value]


hooks: list[Callable[[str, tuple[Any, ...]], None]] = []
"""What is called on every audit event of Python; an audit hook itself cannot be removed."""

sys.addaudithook(lambda event, arguments: [hook(event, arguments) for hook in hooks] and None)


def nested(opening: str, closing: str, n: int = 20_000) -> bytes:
    return (opening * n + closing * n).encode()


BOMBS: dict[str, Payload] = {
    "deep lists": lambda _: nested("[", "]"),
    "deep mappings": lambda _: nested('{"a":', "}"),
    "a number of a million digits": lambda _: b'{"step": ' + b"9" * 10**6 + b"}",
    "a number beyond floats": lambda _: b'{"step": 1e999999}',
    "a hexadecimal number": lambda _: b"step: 0x" + b"f" * 10**5,
    "many keys": lambda _: b"".join(b"k%d: 1\n" % i for i in range(10_000)),
    "a key of a megabyte": lambda _: b'{"' + b"k" * 10**6 + b'": 1}',
    "aliases": lambda _: (
        b"a: &a [x,x,x,x,x,x,x,x,x]\n"
        + b"".join(
            b"%c: &%c [%s]\n" % (98 + i, 98 + i, b",".join([b"*%c" % (97 + i)] * 9))
            for i in range(9)
        )
    ),
    "merges": lambda _: b"a: &a {x: 1}\nb: {<<: [" + b",".join([b"*a"] * 1000) + b"]}\n",
    "zeros": lambda _: bytes(10**6),
    "nothing": lambda _: b"",
    "another kind": lambda _: b"[1, 2]",
    "null": lambda _: b"null",
}


@pytest.mark.parametrize("bomb", BOMBS)
@pytest.mark.parametrize("kind", ["run", "fitted", "model folder", "outlier", "cluster"])
def test_bombs_end_soon(kind: str, bomb: str, copied: Callable[[str], Path], canary: Path) -> None:
    folder = copied(kind)
    for path in files_of(folder):
        if path.suffix in (".json", ".yaml", ".jsonl"):
            sound = path.read_bytes()
            path.write_bytes(BOMBS[bomb](canary))
            said = outcome(kind, folder)
            assert said is not None or path.name not in ("config.yaml", "estimator.json"), path
            path.write_bytes(sound)


def header(values: dict[str, Any], length: int | None = None) -> bytes:
    """Return a safetensors file that is a head alone."""
    text = json.dumps(values).encode()
    return (len(text) if length is None else length).to_bytes(8, "little") + text


@pytest.mark.parametrize(
    "content",
    [
        header({}, 2**62),
        header({"a": {"dtype": "F32", "shape": [2**62], "data_offsets": [0, 2**63]}}),
        header({"a": {"dtype": "F32", "shape": [2**40, 2**40], "data_offsets": [0, 0]}}),
        header({"a": {"dtype": "O", "shape": [1], "data_offsets": [0, 4]}}) + bytes(4),
        header({"../../a": {"dtype": "F32", "shape": [1], "data_offsets": [0, 4]}}) + bytes(4),
        header({"__class__": {"dtype": "F32", "shape": [1], "data_offsets": [0, 4]}}) + bytes(4),
    ],
)
@pytest.mark.parametrize("kind", ["run", "fitted", "outlier"])
def test_heads_of_weights(kind: str, content: bytes, copied: Callable[[str], Path]) -> None:
    folder = copied(kind)
    shutil.rmtree(folder / "checkpoints", ignore_errors=True)
    (folder / "model.safetensors").write_bytes(content)
    record = json.loads((folder / "model.json").read_bytes())
    values = json.dumps(record["values"], sort_keys=True).encode()
    record["sha256"] = hashlib.sha256(content + values).hexdigest()
    (folder / "model.json").write_text(json.dumps(record))
    said = outcome(kind, folder)
    assert said is not None
    assert "go on with" not in said  # training is not what mends them


@pytest.mark.parametrize(
    "change",
    [
        {"parameters": {"invented": 1}},
        {"parameters": {"latent_dim": {"__class__": "os"}}},
        {"parameters": {"schema": [{"name": "a", "kind": "real", "values": 3}]}},
        {"parameters": 3},
        {"parameters": None},
        {"attributes": {"predict": "os.mkdir"}},
        {"attributes": {"__class__": "os"}},
        {"attributes": {"__dict__": {}}},
        {"attributes": {"run_": 3}},
        {"attributes": {"offset_": "x"}},
        {"attributes": {"offset_": [1]}},
        {"attributes": {"n_features_in_": "x"}},
        {"attributes": {"_columns": 3}},
        {"attributes": {"classes_": {"a": 1}}},
        {"attributes": {"mixture": 3}},
        {"attributes": {"mixture": [[[["x"]]]]}},
        {"attributes": 3},
        {"attributes": None},
        {"types": 3},
        {"types": {"labels_": 3}},
        {"attributes": {"classes_": [1]}, "types": {"classes_": "V9"}},
        {"attributes": {"classes_": [300]}, "types": {"classes_": "int8"}},
        {"class": ["VAEOutlier"]},
        {"class": None},
    ],
)
@pytest.mark.parametrize("kind", ["outlier", "cluster", "sampler"])
def test_the_document_of_an_estimator(
    kind: str, change: dict[str, Any], copied: Callable[[str], Path], canary: Path
) -> None:
    folder = copied(kind)
    place = folder / "estimator.json"
    state = json.loads(place.read_bytes())
    for key, value in change.items():
        is_part = isinstance(value, dict) and isinstance(state[key], dict)
        state[key] = {**state[key], **value} if is_part else value
    place.write_text(json.dumps(state))
    assert outcome(kind, folder) is not None


@pytest.mark.parametrize(
    "options",
    [
        {"n_components": 10**15},
        {"n_components": "two"},
        {"n_components": [2]},
        {"n_components": {"a": 1}},
        {"n_components": None},
        {"n_components": True},
        {"dim": 3},
    ],
)
def test_the_description_of_a_fitted_prior(
    options: dict[str, Any], copied: Callable[[str], Path]
) -> None:
    folder = copied("fitted")
    place = folder / "config.yaml"
    config = yaml.safe_load(place.read_text())
    config["fitted_prior"]["options"] = options
    place.write_text(yaml.safe_dump(config, sort_keys=False))
    assert outcome("fitted", folder) is not None


@pytest.mark.parametrize(
    ("key", "value"),
    [
        ("latent_dim", 10**12),
        ("hidden", [10**12]),
        ("hidden", [10**6] * 3),
    ],
)
def test_sizes_without_measure(key: str, value: Any, copied: Callable[[str], Path]) -> None:
    folder = copied("run")
    place = folder / "config.yaml"
    config = yaml.safe_load(place.read_text())
    config[key] = value
    place.write_text(yaml.safe_dump(config, sort_keys=False))
    assert outcome("run", folder) is not None


def test_links_to_files_elsewhere_are_read_as_what_they_should_be(
    copied: Callable[[str], Path], tmp_path: Path
) -> None:
    secret = tmp_path / "secret"
    secret.write_text("user:hunter2:0:0\n")
    for kind in KINDS:
        for name in ("config.yaml", "model.json", "model.safetensors", "metrics.jsonl"):
            folder = copied(kind)
            (folder / name).unlink(missing_ok=True)
            (folder / name).symlink_to(secret)
            assert "hunter2" not in (outcome(kind, folder) or "")
            shutil.rmtree(folder)
    assert secret.read_text() == "user:hunter2:0:0\n"


def test_a_lock_that_is_a_link_empties_no_file(
    copied: Callable[[str], Path], tmp_path: Path
) -> None:
    folder, mine = copied("run"), tmp_path / "thesis.tex"
    mine.write_text("mine")
    (folder / "lock").unlink()
    (folder / "lock").symlink_to(mine)
    (folder / "model.json").unlink()
    data = rp.data.from_arrays(X[:60], test=X[60:], name="rows")
    with suppress(RunError):
        quick_fit(
            lambda spec: rp.variants.vae(spec, latent_dim=2, hidden=[4]),
            data,
            out=folder,
            resume=True,
        )
    assert mine.read_text() == "mine"


@pytest.mark.parametrize("ending", ["parquet", "arrow"])
def test_a_table_with_a_pickled_type(ending: str, tmp_path: Path, canary: Path) -> None:
    # Arrow files may name a type whose description is a pickle, which old readers have executed.
    pickled = pickle.dumps(Bomb(canary), protocol=0)
    extension = {
        b"ARROW:extension:name": b"arrow.py_extension_type",
        b"ARROW:extension:metadata": pickled,
    }
    field = pa.field("x", pa.int64(), metadata=extension)
    table = pa.table({"x": pa.array(range(50))}, schema=pa.schema([field]))
    place = tmp_path / f"a.{ending}"
    if ending == "parquet":
        pq.write_table(table, place)
    else:
        with pa.OSFile(str(place), "wb") as stream, pa.ipc.new_file(stream, table.schema) as writer:
            writer.write_table(table)
    with suppress(ReparamError):
        rp.data.read(place)


@pytest.mark.parametrize("name", ["x.npy", "x.npz", "x.pt", "x.pkl", "x.csv", "x.h5ad", "x.txt"])
def test_the_users_own_file(name: str, tmp_path: Path, canary: Path) -> None:
    place = tmp_path / name
    for payload in PICKLES.values():
        place.write_bytes(payload(canary))
        with suppress(ReparamError):
            rp.data.read(place)
    assert os.listdir(tmp_path) == [name]


def test_a_whole_number_beyond_all_digits(copied: Callable[[str], Path]) -> None:
    folder = copied("fitted")
    place = folder / "config.yaml"
    sound = place.read_text()
    huge = f"0x{'f' * 10_000}"  # Python refuses to write it in decimal digits
    for line in ("latent_dim: 2", "  format: 1", "  steps: 2", "    n_components: 2"):
        key = line.partition(":")[0]
        assert f"\n{line}\n" in sound
        place.write_text(sound.replace(f"\n{line}\n", f"\n{key}: {huge}\n", 1))
        assert outcome("fitted", folder) is not None
