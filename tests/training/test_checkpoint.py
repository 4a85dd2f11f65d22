"""Checkpoints: what is saved comes back, what is damaged is passed over, nothing is executed."""

import json
import pickle
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import load_file
from torch import Tensor

from reparam.errors import CheckpointError, RunError
from reparam.training.checkpoint import (
    FORMAT,
    Checkpoint,
    flatten,
    load_checkpoint,
    load_tensors,
    load_weights,
    save_checkpoint,
    save_tensors,
    unflatten,
)
from reparam.utils.files import write_array, write_atomic, write_json
from tests.support import Bomb, flip


def tensors(value: float = 1.0) -> dict[str, Tensor]:
    return {
        "weight": torch.full((3, 2), value),
        "count": torch.tensor(7),
        "bytes": torch.arange(5, dtype=torch.uint8),
        "half": torch.full((2,), value, dtype=torch.bfloat16),
    }


def three_saved(folder: Path) -> list[str]:
    """Save steps 10, 20 and 30, and return what the folder's sound loads would warn of."""
    for step in (10, 20, 30):
        save_checkpoint(folder, Checkpoint(step, tensors(step), {"epoch": step, "best": None}))
    return []


class TestTensors:
    def test_come_back_exactly(self, tmp_path: Path) -> None:
        path = tmp_path / "new" / "a.safetensors"
        save_tensors(path, tensors(0.1), {"epoch": 3, "seconds": 0.1})
        found, values, _ = load_tensors(path)
        assert values == {"epoch": 3, "seconds": 0.1}
        for name, value in tensors(0.1).items():
            assert found[name].dtype == value.dtype
            assert torch.equal(found[name], value)

    def test_are_a_plain_safetensors_file(self, tmp_path: Path) -> None:
        path = tmp_path / "a.safetensors"
        save_tensors(path, tensors(), {})
        assert torch.equal(load_file(path)["weight"], torch.ones(3, 2))

    def test_tied_and_transposed_ones_are_saved(self, tmp_path: Path) -> None:
        path = tmp_path / "a.safetensors"
        weight = torch.arange(6.0).reshape(2, 3)
        save_tensors(path, {"a": weight, "b": weight, "c": weight.T, "d": weight[0]}, {})
        found = load_tensors(path).tensors
        assert torch.equal(found["b"], weight)
        assert torch.equal(found["c"], weight.T)
        assert torch.equal(found["d"], weight[0])

    def test_prefixes_do_not_mix(self) -> None:
        both = flatten("optimizer.1", {"a": torch.zeros(1)})
        both |= flatten("optimizer.10", {"a": torch.ones(1)})
        assert unflatten("optimizer.1", both) == {"a": torch.zeros(1)}

    def test_of_another_model_are_refused_in_one_sentence(self) -> None:
        with pytest.raises(CheckpointError, match="another model") as caught:
            load_weights(torch.nn.Linear(2, 2), tensors(), "the file")
        assert "\n" not in str(caught.value)


class TestDamage:
    @pytest.mark.parametrize("at", [0, 9, 100, -1])
    def test_of_any_byte_falls_back(self, tmp_path: Path, at: int) -> None:
        warned = three_saved(tmp_path)
        flip(tmp_path / "step-000000030.safetensors", at)
        found = load_checkpoint(tmp_path, warned.append)
        assert found is not None
        assert found.step == found.values["epoch"] == 20
        assert torch.equal(found.tensors["weight"], torch.full((3, 2), 20.0))
        (said,) = warned
        assert "step-000000030.safetensors is damaged" in said
        assert "falling back to the checkpoint before it" in said

    @pytest.mark.parametrize(
        "record", ["", "{", "[]", "null", '{"format": 1}', '{"format": 1, "values": 3}']
    )
    def test_of_the_record_falls_back(self, tmp_path: Path, record: str) -> None:
        warned = three_saved(tmp_path)
        (tmp_path / "step-000000030.json").write_text(record)
        found = load_checkpoint(tmp_path, warned.append)
        assert found is not None
        assert found.step == 20
        assert len(warned) == 1

    def test_of_a_value_in_the_record_falls_back(self, tmp_path: Path) -> None:
        warned = three_saved(tmp_path)
        path = tmp_path / "step-000000030.json"
        path.write_text(path.read_text().replace('"epoch": 30', '"epoch": 31'))
        found = load_checkpoint(tmp_path, warned.append)
        assert found is not None
        assert found.step == 20

    def test_a_missing_or_short_file_falls_back(self, tmp_path: Path) -> None:
        warned = three_saved(tmp_path)
        path = tmp_path / "step-000000030.safetensors"
        path.write_bytes(path.read_bytes()[:50])
        found = load_checkpoint(tmp_path, warned.append)
        assert found is not None
        assert found.step == 20
        path.unlink()
        again = load_checkpoint(tmp_path, warned.append)
        assert again is not None
        assert again.step == 20

    def test_of_all_is_one_sentence(self, tmp_path: Path) -> None:
        warned = three_saved(tmp_path)
        for path in tmp_path.glob("*.safetensors"):
            flip(path, -5)
        with pytest.raises(CheckpointError, match=r"every checkpoint in .* is damaged: delete"):
            load_checkpoint(tmp_path, warned.append)
        assert len(warned) == 2

    def test_newer_format_is_refused(self, tmp_path: Path) -> None:
        path = tmp_path / "a.safetensors"
        save_tensors(path, tensors(), {})
        record = json.loads(path.with_suffix(".json").read_text())
        for newer in (FORMAT + 1, "2", None):
            path.with_suffix(".json").write_text(json.dumps({**record, "format": newer}))
            with pytest.raises(CheckpointError, match="upgrade reparam"):
                load_tensors(path)

    def test_a_pickle_is_not_executed(self, tmp_path: Path) -> None:
        path = tmp_path / "a.safetensors"
        save_tensors(path, {}, {})
        path.write_bytes(pickle.dumps(Bomb(tmp_path / "executed")))
        with pytest.raises(CheckpointError, match="damaged"):
            load_tensors(path)
        # Nor with a checksum that fits.
        from hashlib import sha256

        record = {"format": FORMAT, "values": {}}
        record["sha256"] = sha256(path.read_bytes() + b"{}").hexdigest()
        path.with_suffix(".json").write_text(json.dumps(record))
        with pytest.raises(CheckpointError, match="damaged"):
            load_tensors(path)
        assert not (tmp_path / "executed").exists()


class TestKept:
    def test_are_the_newest_two(self, tmp_path: Path) -> None:
        three_saved(tmp_path)
        assert sorted(path.name for path in tmp_path.iterdir()) == [
            "step-000000020.json",
            "step-000000020.safetensors",
            "step-000000030.json",
            "step-000000030.safetensors",
        ]

    def test_order_is_by_number(self, tmp_path: Path) -> None:
        for step in (999_999_999, 1_000_000_000):
            save_checkpoint(tmp_path, Checkpoint(step, tensors(), {}))
        found = load_checkpoint(tmp_path, pytest.fail)
        assert found is not None
        assert found.step == 1_000_000_000

    def test_without_its_record_does_not_count(self, tmp_path: Path) -> None:
        three_saved(tmp_path)
        (tmp_path / "step-000000030.json").unlink()
        warned: list[str] = []
        found = load_checkpoint(tmp_path, warned.append)
        assert found is not None
        assert found.step == 20
        (said,) = warned
        assert "step-000000030.safetensors is ignored, since it has no .json file" in said

    def test_of_an_empty_folder_are_none(self, tmp_path: Path) -> None:
        assert load_checkpoint(tmp_path, pytest.fail) is None
        assert load_checkpoint(tmp_path / "missing", pytest.fail) is None

    def test_stray_files_are_left_alone(self, tmp_path: Path) -> None:
        three_saved(tmp_path)
        (tmp_path / "step-last.json").write_text("{}")
        (tmp_path / "notes.txt").write_text("mine")
        found = load_checkpoint(tmp_path, pytest.fail)
        assert found is not None
        assert found.step == 30
        save_checkpoint(tmp_path, Checkpoint(40, tensors(), {}))
        assert (tmp_path / "step-last.json").exists()

    def test_what_is_being_written_is_left_alone(self, tmp_path: Path) -> None:
        three_saved(tmp_path)
        (tmp_path / ".writing-abc").write_text("half")
        load_checkpoint(tmp_path, pytest.fail)
        assert (tmp_path / ".writing-abc").exists()


class TestFiles:
    """A full disk is imitated where Python asks the system to write."""

    @pytest.mark.parametrize("call", ["fsync", "replace"])
    def test_full_disk_leaves_the_old_file(
        self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, call: str
    ) -> None:
        path = write_atomic(tmp_path / "a.txt", "old")

        def full(*arguments: Any) -> None:
            raise OSError(28, "No space left on device")

        monkeypatch.setattr(f"reparam.utils.files.os.{call}", full)
        with pytest.raises(RunError, match=r"no space left on the disk for .*a\.txt: free some"):
            write_atomic(path, "new")
        assert path.read_text() == "old"
        assert list(tmp_path.iterdir()) == [path]

    def test_replaces_whole(self, tmp_path: Path) -> None:
        path = write_atomic(tmp_path / "deep" / "a.txt", "long text")
        write_atomic(path, "ü")
        assert path.read_bytes() == b"\xc3\xbc"
        assert path.stat().st_mode & 0o777 == 0o644
        assert list(path.parent.iterdir()) == [path]

    def test_a_file_in_the_way_is_said(self, tmp_path: Path) -> None:
        (tmp_path / "a").write_text("x")
        with pytest.raises(RunError, match="a file stands where a folder is needed"):
            write_atomic(tmp_path / "a" / "b.txt", "")
        with pytest.raises(RunError, match="a file stands where a folder is needed"):
            write_atomic(tmp_path / "a" / "b" / "c.txt", "")

    def test_json_refuses_nan(self, tmp_path: Path) -> None:
        with pytest.raises(RunError, match="as JSON"):
            write_json(tmp_path / "a.json", {"x": float("nan")})
        assert list(tmp_path.iterdir()) == []

    def test_arrays_refuse_pickles(self, tmp_path: Path) -> None:
        import numpy as np

        write_array(tmp_path / "a.npy", np.arange(3))
        assert np.load(tmp_path / "a.npy", allow_pickle=False).tolist() == [0, 1, 2]
        with pytest.raises(ValueError, match="allow_pickle"):
            write_array(tmp_path / "b.npy", np.array([object()]))
