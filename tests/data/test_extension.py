"""A new part is one file: each test writes a small module of a user and uses it by its name."""

from collections.abc import Iterator
from importlib import import_module
from pathlib import Path

import pytest
import torch

import reparam as rp
from reparam.data.registry import SOURCES
from reparam.errors import OptionError
from tests.support import quick_fit

SOURCE = '''
"""Points on a circle."""

from pathlib import Path

import torch

from reparam.data import SOURCES, OwnFiles, from_arrays


def load_circle(path, size=10, validation=0):
    radius = float(Path(path).read_text(encoding="utf-8"))
    angle = torch.arange(size) * 2 * torch.pi / size
    x = radius * torch.stack([angle.cos(), angle.sin()], 1)
    return from_arrays(x, name="circle", validation=validation)


SOURCES.add("circle", OwnFiles("points on a circle", "FILE", load_circle))
'''


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """A folder on the path of imports; what its modules register is forgotten afterwards."""
    monkeypatch.syspath_prepend(tmp_path)
    before = dict(SOURCES._entries)
    yield tmp_path
    SOURCES._entries.clear()
    SOURCES._entries.update(before)


def test_a_kind_of_data_is_one_file(folder: Path) -> None:
    (folder / "circle_source.py").write_text(SOURCE, encoding="utf-8")
    (folder / "radius.txt").write_text("3.0", encoding="utf-8")
    import_module("circle_source")
    data = rp.data.load("circle", path=folder / "radius.txt", size=8, validation=2)
    torch.testing.assert_close(data.images.norm(dim=1), torch.full((6,), 3.0))
    with pytest.raises(OptionError, match=r"window=8: .* of data 'text' and not of 'circle'"):
        rp.data.load("circle", path=folder / "radius.txt", window=8)
    run = quick_fit(rp.variants.vae, data)
    assert run.sample(4).shape == (4, 2)
