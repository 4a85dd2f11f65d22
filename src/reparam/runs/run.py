"""Train a recipe on data, and come back to it: ``fit``, ``load`` and the ``Run`` of both."""

import threading
from collections.abc import Callable, Mapping, Sequence
from contextlib import ExitStack
from dataclasses import dataclass, field
from dataclasses import replace as with_changes
from pathlib import Path
from typing import TYPE_CHECKING, Any

import torch
from torch import Tensor, nn
from torch.utils.data import DataLoader

from reparam import data as data_sets
from reparam.batch import Batch, in_chunks, to_device, weights_type
from reparam.data import Batches, Dataset, Stream, StreamBatches, as_dataset
from reparam.data.arrays import as_tensor
from reparam.data.checks import (
    as_labels,
    as_numbers,
    as_rows,
    check_finite,
    check_values,
    fitted,
)
from reparam.data.condition import condition_of, conditions
from reparam.data.in_memory import read
from reparam.data.preparation import (
    Preparation,
    far_from,
    fingerprint,
    holding,
    preparation_of,
    spec_mismatch,
)
from reparam.data.registry import OWN_FILES
from reparam.data.text import Vocabulary, vocabulary_of
from reparam.errors import (
    CheckpointError,
    DataError,
    OptionError,
    RunError,
    ShapeError,
    SupportError,
    WriteError,
)
from reparam.families import Family
from reparam.isolation import isolated, make_trainable, plain_modes
from reparam.models.directed import DirectedModel
from reparam.models.label_inference import infers_label
from reparam.models.latent import Generates, LatentModel, as_latent, is_latent
from reparam.objectives import ELBO, Objective
from reparam.pictures import is_picturable
from reparam.runs.config import (
    OF_OLD_IMAGES,
    checked_options,
    config_sha256,
    differences,
    flat,
    recipe_of,
    recorded,
    warmed_up,
)
from reparam.runs.folder import RunFolder
from reparam.runs.schema import checked_config
from reparam.spec import DataSpec
from reparam.training import callbacks as watch
from reparam.training.checkpoint import (
    load_checkpoint,
    load_stored,
    load_tensors,
    load_weights,
    save_tensors,
    unflatten,
)
from reparam.training.events import Callback, Event
from reparam.training.options import TrainingOptions
from reparam.training.runtime import Runtime, make_runtime, resolve_device, resolve_precision
from reparam.training.trainer import Progress, Trainer
from reparam.utils.arguments import numbers
from reparam.utils.equality import by_value
from reparam.utils.files import as_path, stored_path
from reparam.utils.memory import allocating, require_memory, without_training
from reparam.utils.seeding import rng_state, seeded, set_rng_state
from reparam.utils.terminal import note
from reparam.variants import Recipe, replace

if TYPE_CHECKING:
    from reparam.evaluation import Evaluation


@by_value
@dataclass
class Run:
    """A trained model, with what is known of how it came about.

    Arguments:
        model: The model, in evaluation mode.
        spec: The shape and support of the data it was made for.
        config: The options of the run.
        data: The data it was trained on; None until they are needed again.
        folder: Its folder; None for a run that was not written.
        rows: The metrics, one mapping of scalars for each window of steps and each epoch.
        is_main: Whether this process speaks for the run, where several share it.
    """

    model: nn.Module
    spec: DataSpec
    config: dict[str, Any]
    data: Dataset | Stream | None = None
    folder: RunFolder | None = None
    rows: list[dict[str, Any]] = field(default_factory=list)
    is_main: bool = True

    def __repr__(self) -> str:
        what = self.config.get("variant") or type(self.model).__name__
        where = "in memory" if self.folder is None else f"in {self.folder.path}"
        return f"Run({what} on {self.spec.name}, {where})"

    def recipe(self) -> Recipe:
        """Build the recipe of the run again from its options."""
        return recipe_of(self.config, self.spec)

    @property
    def has_named_data(self) -> bool:
        """Whether the data of the run can be loaded by name; False for data that were in memory."""
        return bool(self.config.get("recorded", {}).get("data"))

    @property
    def vocabulary(self) -> Vocabulary | None:
        """What turns tokens into text and back, for a run on text; None for other data."""
        return vocabulary_of(self.config.get("recorded", {}).get("data"))

    @property
    def latent_model(self) -> LatentModel:
        """The model, where it has latent variables.

        Raises:
            OptionError: It has none.
        """
        if not is_latent(self.model):
            name = self.config.get("variant") or type(self.model).__name__
            raise OptionError(f"{name!r} has no latent variables, so it does not encode or decode")
        return as_latent(self.model)

    def dataset(
        self,
        name: str | None = None,
        data_dir: str | Path | None = None,
        path: str | Path | None = None,
    ) -> Dataset:
        """Return the data of the run, or other data prepared in the same way.

        Arguments:
            name: Another data set; None for the one the run was trained on.
            data_dir: Where to look for it now.
            path: Another file of the same kind, such as another text.

        Raises:
            RunError: The data came from memory, and are not there any more.
            OptionError: The other data set has another shape or support than the model.
        """
        elsewhere = data_dir is not None or path is not None
        if name is None and not elsewhere and isinstance(self.data, Dataset):
            return self.data
        options = self.config.get("recorded", {}).get("data") or {}
        if name is None and not options:
            raise RunError(
                "this run was trained on data in memory: name a data set of the same kind with "
                "--data or, in Python, give the data themselves as data="
            )
        if options.get("name") == "faces":
            options = OF_OLD_IMAGES | options
        asked = {**options, "name": name or options["name"]}
        if name in OWN_FILES and name != options.get("name"):
            asked = {"name": name}
        elif name is not None and name != options.get("name"):
            # Another data set keeps the way of binarizing, not the numbers that follow from size.
            asked = {k: v for k, v in asked.items() if k in ("name", "binarize", "dequantize")}
        if data_dir is not None:
            asked["data_dir"] = str(data_dir)
        if path is not None and stored_path(as_path(path).absolute()) != asked.get("path"):
            # The number of validation examples is that of the other file, as are the splits that
            # a folder has.
            own = ("validation", "test_share") if asked["name"] == "faces" else ("validation",)
            asked = {k: v for k, v in asked.items() if k not in own} | {"path": str(path)}
        found = data_sets.load(**asked)
        self.preparation.check_dataset(found)
        self._require_same_names(found)
        return found.conditioned(self.spec.condition)

    @property
    def preparation(self) -> Preparation:
        """What made x of the stored values of the training data, and makes it of others."""
        if self.data is not None:
            return Preparation(self.spec, self.data.transform)
        return preparation_of(self.spec, self.config.get("recorded", {}))

    def prepared(self, data: object) -> Dataset | Stream:
        """Return data prepared exactly as the training data were, and held to their spec.

        Arguments:
            data: Any that ``fit`` takes. Bytes are scaled, binarized or dequantized as the bytes
                of the training data were; floats are x itself.

        Raises:
            DataError: Values or labels that the training data could not have had.
            ShapeError: Examples of another shape, or with their axes in another order.
            OptionError: A data set that was prepared in another way.
        """
        if self.data is not None and data is self.data:
            return self.data
        known = self.preparation
        if isinstance(data, DataLoader | Stream):
            loader = data.loader if isinstance(data, Stream) else data
            spec = with_changes(self.spec, condition=None, n_classes=self._n_classes)
            found: Dataset | Stream = Stream(loader, spec, known.transform)
        elif isinstance(data, Dataset):
            known.check_dataset(data)
            self._require_same_names(data)
            found = data
        else:
            x, y = read(data)
            values = as_numbers(x)
            labels = None if y is None else as_labels(y, len(values))
            if labels is not None:
                self._require_classes("data", int(labels.max()) + 1)
            found = known.dataset(values, labels)
        return self._conditioned(found)

    def _require_same_names(self, data: Dataset) -> None:
        """Refuse data in which the numbers of characters or classes mean others than in training.

        Raises:
            OptionError: Another vocabulary, or other classes of a model that takes labels.
        """
        facts = self.config.get("recorded", {})
        symbols = (facts.get("data") or {}).get("symbols")
        if symbols is not None and (data.options or {}).get("symbols", symbols) != symbols:
            raise OptionError(
                f"{data.name!r} numbers its characters in another way than the text that the model "
                "was trained on: load it with the symbols of that text, or by run.dataset(path=...)"
            )
        names = facts.get("class_names") or []
        if self._n_classes and names and list(data.class_names or names) != list(names):
            raise OptionError(
                f"{data.name!r} has the classes {', '.join(data.class_names)}, and the model was "
                f"trained on {', '.join(names)}: give data with the same classes in the same order"
            )

    @property
    def _n_classes(self) -> int | None:
        """The number of classes that the model was given; None where it takes no labels."""
        is_observed = isinstance(self.model, DirectedModel) and "y" in self.model.parents
        takes_labels = self.spec.context or is_observed or infers_label(self.model)
        return self.spec.n_classes if takes_labels else None

    @plain_modes()
    @numbers()
    def examples(
        self, data: object = None, split: str = "test", seed: int = 0, limit: int | None = None
    ) -> Batch:
        """Return examples under one frozen draw.

        Arguments:
            data: The run's own data when None, or any that ``fit`` takes (see ``prepared``); a
                batch, whose x is what the model is given, is returned as it is.
            split: The split of it.
            seed: Of the draw.
            limit: How many, from the first; all when None.
        """
        if isinstance(data, Batch):
            return self._checked(data)
        source = self._conditioned(self.dataset()) if data is None else self.prepared(data)
        if data is not None and not isinstance(data, Dataset):
            split = "train"  # plain arrays have no splits: all of what was given is meant
        if split not in source.splits:
            raise OptionError(
                f"{source.name!r} has no split {split!r}, only {', '.join(source.splits)}: name "
                "one of them (split), or give other data"
            )
        batch = source.examples(split, seed=seed, limit=limit)
        if data is not None:
            if isinstance(data, Dataset):  # others were checked as they were prepared
                check_values(batch.x, self.spec)
            far = far_from(batch.x, self.config.get("recorded", {}).get("range"))
            if far and source is not self.data:
                note(far)
        return batch

    @plain_modes()
    @numbers()
    def evaluate(
        self,
        data: object = None,
        *,
        split: str = "test",
        n_samples: int | None = None,
        seed: int = 0,
        device: str = "auto",
        keep: bool = True,
        **options: Any,
    ) -> "Evaluation":
        """Measure the model: every figure in nats, with its standard error.

        A run with a folder keeps the figures of its data sets there, as ``evaluation.json``, and
        those of every example as ``evaluation.safetensors``; where that cannot be written to, it
        says so.

        Arguments:
            data: What to measure on; None for the run's own data.
            split: The split of it.
            n_samples: Importance samples for each example; None for as many as
                ``evaluation.evaluate`` takes by itself.
            seed: Of every draw.
            device: Where to compute.
            keep: Whether the folder keeps what was measured.
            options: Passed on to ``evaluation.evaluate``.
        """
        # Half of what the package would import, and training asks for none of it.
        from reparam.evaluation import evaluate
        from reparam.evaluation.latents.activity import N_FIRST
        from reparam.evaluation.latents.probes import training_rows
        from reparam.evaluation.per_example import save_evaluation

        source = self.dataset() if data is None else data
        place = str(resolve_device(device))
        with_train = options.pop("train", True)
        if isinstance(source, Dataset) and split != "train" and with_train:
            options["train"] = self.examples(source, "train", seed, limit=N_FIRST)
            train = source.split("train")
            if train.y is not None and bool((train.y >= 0).any()):
                some = train.take(training_rows(train.y, seed))
                chosen = with_changes(source, splits={"train": some})
                options["probe_train"] = self.examples(chosen, "train", seed)
        if n_samples is not None:
            options["n_samples"] = n_samples
        with allocating(**options):
            result = evaluate(
                self.model,
                self.examples(source, split, seed),
                self.spec,
                seed=seed,
                device=place,
                split=split if isinstance(source, Dataset) else "data given",
                **options,
            )
        if not isinstance(source, Dataset):
            return result
        binarize = (source.options or {}).get("binarize")
        result = result.with_facts(data=source.name, binarize=binarize)
        if keep and self.folder is not None:
            facts = {**result.to_dict(), "weights_sha256": self.folder.weights_sha256}
            try:
                save_evaluation(self.folder.evaluation_file, facts, result.per_example)
            except WriteError as error:
                note(f"{error}; what was measured is not kept")
        return result

    def kept_evaluation(self) -> "Evaluation | None":
        """Return what the last ``evaluate`` of the trained weights left in the folder, if any."""
        from reparam.evaluation import Evaluation
        from reparam.evaluation.per_example import load_evaluation

        found = None if self.folder is None else load_evaluation(self.folder.evaluation_file)
        if self.folder is None or found is None:
            return None
        values, per_example = found
        weights = self.folder.weights_sha256
        if weights is None or values.get("weights_sha256") != weights:
            return None
        try:
            return Evaluation.from_dict(values, per_example)
        except TypeError:  # damaged, as if there were none
            return None

    @plain_modes()
    @numbers()
    def sample(
        self, n_samples: int, seed: int = 0, label: int | None = None, **options: Any
    ) -> Tensor:
        """Draw examples from the model, with shape (n, *shape).

        Arguments:
            n_samples: How many.
            seed: Of every draw.
            label: The label to generate, for a model under the condition ``label``, which has the
                classes in turn when None, or one that infers the label, which then draws it.
            options: Passed on to ``LatentModel.sample``: ``mean`` for the means of p(x | z), as
                pictures show them, and ``temperature``.
        """
        if n_samples < 1:
            raise OptionError(f"n_samples={n_samples}: give at least 1")
        inferred = label is not None and infers_label(self.model)
        spec = self.spec.conditioned("label") if inferred else self.spec
        c = conditions(spec, n_samples, label)
        # The draws, and the codes or means that they come from.
        require_memory(2 * 4 * n_samples * self.spec.dim, self.device, n_samples=n_samples)
        with allocating(n_samples=n_samples), isolated(self.model, seed=seed) as device:
            if c is not None:
                options["c"] = c.to(device)
            draw = _sampler(self.model)
            images = (
                watch.sample_images(self.model, n_samples, self.spec)
                if draw is None
                else draw(n_samples, **options).reshape(-1, *self.spec.shape)
            )
            if images is not None:
                # A mean may be one row expanded, or a parameter itself.
                return images.clone(memory_format=torch.contiguous_format)
        name = self.config.get("variant") or type(self.model).__name__
        raise OptionError(f"{name!r} does not generate examples: train a variant such as 'vae'")

    @plain_modes()
    @numbers()
    def encode(self, data: object = None, *, split: str = "test", seed: int = 0) -> Tensor:
        """Return the posterior means of the examples, with shape (N, D)."""
        batch = self.examples(data, split, seed)
        return self._in_chunks(self.latent_model.encode, batch.x, batch.c, seed)

    @plain_modes()
    @numbers()
    def reconstruct(self, data: object = None, *, split: str = "test", seed: int = 0) -> Tensor:
        """Return the reconstructions of the examples, with shape (N, *shape)."""
        batch = self.examples(data, split, seed)
        return self._in_chunks(self.latent_model.reconstruct, batch.x, batch.c, seed)

    @plain_modes()
    def denoise(self, corrupted: object, c: object = None) -> Tensor:
        """Return what the model makes of corrupted examples, with shape (N, *shape).

        Unlike those of ``reconstruct``, the values may lie outside the support of the data.

        Arguments:
            corrupted: The examples as the model is given them, a tensor or an array with shape
                (N, *shape), or a batch with their condition.
            c: A condition for each of them, with shape (N, C), unless a batch has it.

        Raises:
            ShapeError: Examples of another shape.
            DataError: NaN or infinite values.
        """
        if isinstance(corrupted, Batch):
            c, corrupted = corrupted.c, corrupted.x
        x = fitted(as_tensor(corrupted, "x"), self.spec.shape)
        check_finite(x)
        given = None if c is None else as_rows(c, "c", len(x))
        x = x if x.is_floating_point() else x.float()
        return self._in_chunks(self.latent_model.reconstruct, x, given, seed=0)

    @plain_modes()
    def decode(self, z: object, c: object = None) -> Tensor:
        """Return the means of p(x | z, c), with shape (N, *shape).

        Arguments:
            z: Codes, a tensor, an array or a list with shape (N, D), or (D,) for a single one.
            c: A condition for each of them, with shape (N, C), or (C,).

        Raises:
            DataError: Codes or conditions that are no numbers.
            ShapeError: Codes of another size than the model's.
        """
        codes = as_rows(z, "z")
        given = None if c is None else as_rows(c, "c", len(codes))

        def decoded(z: Tensor, c: Tensor | None) -> Tensor:
            return self.latent_model.decode(z, c).reshape(-1, *self.spec.shape)

        return self._in_chunks(decoded, codes, given, seed=0)

    def _conditioned(self, source: Dataset | Stream) -> Dataset | Stream:
        """Return data under the condition of the model, whose classes they need not all have."""
        n, known = self._n_classes, source.spec.n_classes
        if n is not None and known is not None and known != n:
            self._require_classes(source.name, known)
            source = with_changes(source, spec=with_changes(source.spec, n_classes=n))
        return source.conditioned(self.spec.condition)

    def _checked(self, batch: Batch) -> Batch:
        """Return a batch, whose x is what the model is given, once it is seen to fit the model."""
        x = fitted(as_tensor(batch.x, "x"), self.spec.shape)
        check_values(x, self.spec)
        if self.spec.support == "tokens":
            x = x.long()
        elif not x.is_floating_point():
            x = x.float()
        y = None if batch.y is None else as_labels(batch.y, len(x), self._n_classes)
        c = None if batch.c is None else as_rows(batch.c, "c", len(x))
        if c is not None and c.shape[1:] != (self.spec.context,):
            raise ShapeError(
                f"c has the shape {tuple(c.shape)}: the condition of this model has "
                f"{self.spec.context} numbers for each example"
            )
        return with_changes(batch, x=x, y=y, c=c)

    def _require_classes(self, name: str, n_classes: int) -> None:
        """Refuse labels that the model was not trained under, where it takes labels."""
        n = self._n_classes
        if n is not None and n_classes > n:
            raise OptionError(
                f"{name!r} has labels up to {n_classes - 1}, and the model was trained under those "
                f"from 0 to {n - 1}: leave the others out"
            )

    @property
    def device(self) -> torch.device:
        """Where the model is."""
        return next(self.model.parameters()).device

    def _in_chunks(
        self, function: Callable[..., Tensor], values: Tensor, c: Tensor | None, seed: int
    ) -> Tensor:
        """Return what a function of the model makes of many values, on the CPU."""
        with allocating(n=len(values)), isolated(self.model, seed=seed) as device:
            chunks = in_chunks(Batch(values, c=c), 1000)
            moved = (to_device(chunk, device) for chunk in chunks)
            return torch.cat([function(chunk.x, chunk.c).cpu() for chunk in moved]).contiguous()


@plain_modes()
@numbers()
def fit(
    model: Recipe | nn.Module | Callable[[DataSpec], Recipe],
    data: object,
    *,
    objective: Objective | None = None,
    out: str | Path | Callable[[], Path] | None = None,
    resume: bool = False,
    device: str = "auto",
    precision: str = "auto",
    devices: int = 1,
    nodes: int = 1,
    capture: bool | None = None,
    progress: bool = True,
    callbacks: Sequence[Callback] = (),
    **options: Any,
) -> Run:
    """Train a model on data.

    Arguments:
        model: A recipe, as variants return it; a variant itself, or any function from a
            ``DataSpec`` to a recipe, which draws its weights under the seed of the run; a
            ``LatentModel``; or any module that has an encoder, a decoder and a prior, which are
            modules too. Such a module is trained as it is, with all that is in it: objectives and
            figures see a ``LatentModel`` of its parts, and where it has a ``sample`` of its own,
            ``Run.sample`` calls that.
        data: A data set of ours, a tensor or array, a pair (x, y) of them, a torch ``Dataset`` or
            ``DataLoader``.
        objective: Instead of the recipe's; the ELBO for a bare model.
        out: The folder of the run, or a function that makes it, which is called when all else is
            in order. Without it nothing is written.
        resume: Go on with the run in ``out`` if there is one.
        device: ``auto``, ``cpu``, ``cuda``, ``cuda:1`` …
        precision: ``auto`` (bfloat16 where the machine computes in it, and float64 for weights in
            float64), ``float32``, ``bfloat16``, ``float64``.
        devices: Devices of each node, a process each.
        nodes: Nodes.
        capture: Whether each step is one CUDA graph, the same step without the host's share of the
            time; None for yes where there is a GPU. A model that no graph can hold trains without.
        progress: Show progress on standard error.
        callbacks: Told of every event of training.
        options: Those of ``TrainingOptions``: epochs, batch_size, lr, kl_warmup, ema, seed …

    Raises:
        OptionError: An option that is unknown or out of range.
        DataError: Data that are damaged or not what the model can learn from.
        RunError: The folder holds another run, or a run with other options.
        NonFiniteError: A loss became infinite or not a number.
        Interrupted: Ctrl-C or SIGTERM came; the run can be resumed.

    Example:
        >>> from reparam import data, variants
        >>> digits = data.load("digits")
        >>> recipe = variants.vae(digits.spec, latent_dim=2, hidden=[32])
        >>> run = fit(recipe, digits, epochs=1, progress=False)
        >>> run.sample(3).shape
        torch.Size([3, 1, 8, 8])
    """
    settings = checked_options(options)
    if isinstance(model, Run):
        raise OptionError(
            "model is a Run, which holds a trained model: give run.model to train that one further"
        )
    if not callable(model) and not isinstance(model, Recipe):
        raise OptionError(
            f"model of type {type(model).__name__}: give a recipe, such as "
            "variants.vae(data.spec), a variant itself or a torch module"
        )
    source = as_dataset(data)
    if not isinstance(model, Recipe | nn.Module):
        with seeded(torch.device("cpu"), settings.seed):
            model = model(source.spec)
    recipe = as_recipe(model, objective)
    _require_fit(recipe, source.spec)
    make_trainable(recipe.model)
    if recipe.spec is not None:
        # What the model was built for is what it is built for again: the data may hold less.
        source = with_changes(source, spec=with_changes(recipe.spec, name=source.spec.name))
    precision = resolve_precision(precision, resolve_device(device), weights_type(recipe.model))
    if recipe.milestones and devices * nodes > 1:
        raise OptionError(
            f"devices={devices}, nodes={nodes}: this model starts a part of itself (a prior, a "
            "codebook, or the decoder with --start-at-mean) from training examples, which one "
            "process does; use one device"
        )
    if settings.batch_size < devices * nodes:
        raise OptionError(
            f"batch_size={settings.batch_size}: {devices * nodes} devices share a batch, so it "
            "needs at least one example for each"
        )
    runtime = make_runtime(device, precision, devices, nodes, bool(recipe.players))
    repeats = bool(getattr(recipe.objective, "repeats_labeled", False))
    batches = _batches(source, settings, runtime, repeats)
    data_options = source.options if isinstance(source, Dataset) else None
    config = flat(recipe, data_options, settings)
    beta = getattr(recipe.objective, "beta", None)
    config |= {"beta": beta} if isinstance(beta, int | float) and "beta" not in config else {}
    config |= {"device": str(device), "precision": precision, "devices": devices, "nodes": nodes}
    config["recorded"] = recorded(
        source.spec,
        recipe,
        data=None if data_options is None else dict(data_options),
        transform=Preparation(source.spec, source.transform).to_dict(),
        class_names=list(source.class_names),
        n_train=batches.n_examples,
        is_stream=isinstance(source, Stream),
        n_batches=len(batches),
        range=_range(source),
        # What is not kept is never resumed.
        train_sha256=None if out is None else _fingerprint(source),
        device_used=str(runtime.device),
    )
    recipe = warmed_up(recipe, settings.kl_warmup, len(batches))
    sizes = recipe.source.options if recipe.source else {}
    n_bytes = sum(p.nbytes for p in recipe.model.parameters() if p.requires_grad)
    # The gradient, and two moments of the optimizer.
    require_memory(3 * n_bytes, runtime.device, **sizes)
    recipe.model.to(runtime.device, torch.float64 if precision == "float64" else None)
    # Whatever is wrong with the options is found before the folder is begun.
    trainer = Trainer(
        recipe,
        batches,
        settings,
        runtime,
        validation=_validation(source, runtime),
        capture=capture,
    )
    folder = _folder(out, runtime)
    run = Run(recipe.model, source.spec, config, source, folder, is_main=runtime.rank == 0)
    with ExitStack() as stack:
        stack.enter_context(allocating(batch_size=settings.batch_size, **sizes))
        goes_on = folder is not None and resume and folder.holds_run
        is_done = folder is not None and goes_on and folder.is_finished and _is_sound(folder)
        if folder is not None and runtime.rank == 0:
            try:
                _begin(stack, folder, config, goes_on)
            except WriteError:
                if not is_done:  # else there is nothing to write
                    raise
                _require_same(folder, config)
        if folder is not None:
            trainer.checkpoints = folder.checkpoints
            trainer.config_sha256 = config_sha256(folder.config()) if runtime.rank == 0 else None
        if folder is not None and is_done:
            run = load(folder.path, model=recipe.model, device=str(runtime.device))
            run.data = source
            if progress:
                note(f"{folder.path} is finished already: nothing is left to train")
            return run
        watchers = [*callbacks, lambda event: _remember(run, event)]
        if runtime.rank == 0:
            watchers += _watchers(stack, source, settings, runtime, folder, len(batches), progress)
        trainer.callbacks = watchers
        # Training draws from torch's global state, which is put back: activation checkpointing,
        # compiled functions, graphs and a user's torch.manual_seed know no other. Only a thread
        # beside the main one draws from a generator of its own.
        if threading.current_thread() is not threading.main_thread():
            stack.enter_context(seeded(torch.device("cpu"), settings.seed))
        stack.callback(set_rng_state, rng_state(runtime.device), runtime.device)
        if folder is not None and resume:
            checkpoint = load_checkpoint(folder.checkpoints, note, trainer.config_sha256)
            if checkpoint is not None:
                trainer.restore(checkpoint)
                if progress and trainer.progress.epoch < settings.epochs:
                    note(f"going on from epoch {trainer.progress.epoch + 1} of {settings.epochs}")
        trainer.fit()
        if progress and trainer.stopped_early:
            note(trainer.stopped_early)
        if folder is not None and runtime.rank == 0:
            finished = {"step": trainer.progress.step, "seconds": trainer.progress.seconds}
            weights = recipe.model.state_dict()
            save_tensors(folder.model_file, weights, finished, trainer.config_sha256)
            run.rows = folder.metrics(note)
    return run


def _folder(out: str | Path | Callable[[], Path] | None, runtime: Runtime) -> RunFolder | None:
    """Return the folder of a run, the same in all its processes, of which the first makes it."""
    if out is None:
        return None
    if callable(out):
        out = runtime.broadcast(str(as_path(out(), "out")) if runtime.rank == 0 else "")
    return RunFolder(as_path(out, "out"))


def _begin(stack: ExitStack, folder: RunFolder, config: dict[str, Any], goes_on: bool) -> None:
    """Hold the folder of a run until the stack is left, and begin the run or go on with it."""
    if not goes_on:
        folder.require_free()  # before the lock is put into somebody's folder
    stack.enter_context(folder.locked(note))
    if goes_on:
        _require_same(folder, config)
        folder.remove_unfinished()
    else:
        folder.begin(config)


def _is_sound(folder: RunFolder) -> bool:
    """Whether the weights of a finished run can be read; if not, training makes them again."""
    try:
        load_tensors(folder.model_file)
    except CheckpointError as error:
        note(f"{error}; making the weights again from the newest checkpoint")
        return False
    return True


@plain_modes()
def load(run: str | Path, model: nn.Module | Recipe | None = None, device: str = "cpu") -> Run:
    """Return a run from its folder. Nothing in the folder is executed.

    Arguments:
        run: The folder.
        model: The model, for a run that was composed by hand; its weights are replaced.
        device: Where to put it.

    Raises:
        RunError: There is no run, or it has no weights yet, or its model is not known.
        CheckpointError: Its weights are damaged, or of another model.
    """
    folder = RunFolder(run)
    stored = folder.config()
    config = checked_config(stored, str(folder.config_file))
    spec = DataSpec.from_dict(config["recorded"]["spec"])
    if model is None:
        with without_training():
            model = recipe_of(config, spec).model
    module = model.model if isinstance(model, Recipe) else model
    if config.get("precision") == "float64":
        module.double()
    weights = _weights(folder, stored)
    load_weights(module, weights, str(folder.path))
    module.to(resolve_device(device)).eval()
    return Run(module, spec, config, None, folder, folder.metrics(note))


def as_recipe(model: Recipe | nn.Module, objective: Objective | None = None) -> Recipe:
    """Return the recipe that a model and an objective make.

    Raises:
        OptionError: A module without an objective that has not the three parts of a latent model.

    Example:
        >>> as_recipe(nn.Linear(1, 1))
        Traceback (most recent call last):
        reparam.errors.OptionError: Linear has no encoder: give a recipe, or a module with an ...
    """
    if isinstance(model, Recipe):
        return model if objective is None else replace(model, objective=objective)
    if objective is None:
        as_latent(model)  # which says what is missing; an objective of one's own may need less
    return Recipe(model, ELBO() if objective is None else objective)


def _sampler(model: nn.Module) -> Callable[..., Tensor] | None:
    """Return what draws examples from a model with latent variables, or as the model itself does.

    A directed model has no such function: it draws all of its variables.
    """
    if isinstance(model, DirectedModel):
        return None
    if isinstance(model, Generates):
        return model.sample
    return as_latent(model).sample if is_latent(model) else None


def _weights(folder: RunFolder, config: dict[str, Any]) -> Mapping[str, Tensor]:
    """Return the final weights; failing those, the ones of the newest checkpoint."""
    if folder.is_finished:
        try:
            stored = load_stored(folder.model_file)
        except CheckpointError as error:
            note(f"{error}; using the newest checkpoint instead")
        else:
            _warn_of_another(folder.model_file, stored.config_sha256, config)
            return stored.tensors
    checkpoint = load_checkpoint(folder.checkpoints, note)
    if checkpoint is None:
        raise RunError(
            f"{folder.path} has no weights yet: go on with reparam train --resume {folder.path}"
        )
    _warn_of_another(folder.checkpoints, checkpoint.config_sha256, config)
    if not folder.is_finished:
        epoch = Progress.from_values(checkpoint.values).epoch
        note(
            f"{folder.path} is not finished: these are its weights after step {checkpoint.step} "
            f"(epoch {epoch} of {config.get('epochs')}); "
            f"reparam train --resume {folder.path} goes on"
        )
    for name in ("best", "average.module", "model"):  # as the end of training chooses among them
        weights = unflatten(name, checkpoint.tensors)
        if weights:
            return weights
    raise CheckpointError(
        f"the newest checkpoint in {folder.checkpoints} holds no weights: delete it to go on from "
        "the one before it"
    )


def _warn_of_another(place: Path, stored: str | None, config: dict[str, Any]) -> None:
    """Say where weights were trained under another configuration than that of their folder."""
    if stored is not None and stored != config_sha256(config):
        note(
            f"{place} was trained under another configuration than the config.yaml beside it: one "
            "of them is of another run, or was changed"
        )


def _require_same(folder: RunFolder, config: dict[str, Any]) -> None:
    stored = checked_config(folder.config(), str(folder.config_file))
    before, now = stored["recorded"], config["recorded"]
    changed = differences(stored, config)
    if before["objective"] != now["objective"] and not changed:
        changed = [f"objective ({before['objective']} in the run)"]
    if changed:
        raise RunError(
            f"{folder.path} cannot go on with other options: {'; '.join(changed)}; "
            "drop them, or train anew in another folder"
        )
    # The name may be that of a folder or a file, which may have moved.
    pairs = {key: (before["spec"].get(key), now["spec"][key]) for key in now["spec"]}
    apart = [
        f"data of {key} {_shown(old)} in the run, {_shown(new)} now"
        for key, (old, new) in pairs.items()
        if key != "name" and old != new
    ]
    if apart:
        raise RunError(
            f"{folder.path} cannot go on with other data ({'; '.join(apart)}): give those that it "
            "began with, or train anew in another folder"
        )
    _require_same_examples(folder, before, now)


def _shown(value: Any) -> str:
    return "none" if value is None else str(tuple(value) if isinstance(value, list) else value)


def _require_same_examples(
    folder: RunFolder, stored: Mapping[str, Any], now: Mapping[str, Any]
) -> None:
    """Refuse to go on with other training examples than the run began with."""
    n_batches = stored.get("n_batches", now["n_batches"])
    if now["is_stream"] and n_batches != now["n_batches"]:
        raise RunError(
            f"{folder.path} cannot go on with {now['n_batches']:,} batches in an epoch, where it "
            f"began with {n_batches:,}: give a loader with the same batch size"
        )
    n_before, n_now = stored.get("n_train", now["n_train"]), now["n_train"]
    # Runs from before it was recorded have no fingerprint.
    before = stored.get("train_sha256") or now["train_sha256"]
    if n_before == n_now and before != now["train_sha256"] and now["is_stream"]:
        # Some loaders draw from where no seed reaches.
        note(
            f"{folder.path} began with other batches of a loader: if its data or their order are "
            "others now, train anew in another folder"
        )
        return
    if n_before != n_now or before != now["train_sha256"]:
        differs = f"{n_before:,} in the run, {n_now:,} now" if n_before != n_now else "other values"
        raise RunError(
            f"{folder.path} cannot go on with other training examples ({differs}): give those that "
            "it began with, or train anew in another folder"
        )


def _require_fit(recipe: Recipe, data: DataSpec) -> None:
    """Refuse data that a recipe was not built for.

    Raises:
        DataError: Another shape, a wider support or other levels than the recipe's.
        SupportError: Values that the likelihood of a model composed by hand does not describe.
    """
    if recipe.spec is not None:
        said = spec_mismatch(recipe.spec, data)
        if said is not None:
            raise DataError(
                f"the recipe does not fit the data: {said}; build it for the spec of these data"
            )
        return
    family = getattr(getattr(recipe.model, "decoder", None), "family", None)
    supports = family.supports if isinstance(family, Family) else ()
    if supports and not any(data.support in holding(support) for support in supports):
        raise SupportError(
            f"the decoder's {type(family).__name__} describes {' or '.join(supports)} data, and "
            f"{data.name!r} is {data.support}: give another family, or data of that kind"
        )


def _range(source: Dataset | Stream) -> list[float] | None:
    """Return the least and the largest training value, of data whose support does not tell it."""
    if isinstance(source, Stream) or source.spec.support not in ("real", "counts"):
        return None
    return [float(value) for value in source.images.aminmax()]


def _fingerprint(source: Dataset | Stream) -> str | None:
    """Return what tells the training examples from others."""
    if isinstance(source, Stream):
        return source.first_sha256
    train = source.split("train")
    return fingerprint(train.x, train.y)


def _batches(
    source: Dataset | Stream, options: TrainingOptions, runtime: Runtime, repeat_labeled: bool
) -> Batches | StreamBatches:
    if isinstance(source, Stream):
        if runtime.world_size > 1:
            raise OptionError(
                f"devices={runtime.world_size}: the batches of a DataLoader cannot be shared among "
                "devices; give its data set instead"
            )
        return StreamBatches(
            source, device=runtime.device, seed=options.seed, condition=condition_of(source.spec)
        )
    return Batches(
        source.split("train"),
        source.transform,
        options.batch_size,
        device=runtime.device,
        seed=options.seed,
        condition=condition_of(source.spec),
        repeat_labeled=repeat_labeled,
        rank=runtime.rank,
        world_size=runtime.world_size,
    )


def _validation(source: Dataset | Stream, runtime: Runtime) -> Batch | None:
    if "validation" not in source.splits:
        return None
    return to_device(source.examples("validation"), runtime.device)


def _watchers(
    stack: ExitStack,
    source: Dataset | Stream,
    options: TrainingOptions,
    runtime: Runtime,
    folder: RunFolder | None,
    steps_per_epoch: int,
    progress: bool,
) -> list[Callback]:
    watchers: list[Callback] = []
    if progress:
        watchers.append(watch.progress_bar(stack, options, options.epochs * steps_per_epoch))
    if folder is None:
        return watchers
    board = watch.TensorBoard(folder.events, stack, note)
    watchers += [watch.metrics_file(folder.metrics_file, note), board]
    if options.pictures_every and is_picturable(source.spec):
        split = "validation" if "validation" in source.splits else "train"
        examples = to_device(source.examples(split, limit=32), runtime.device)
        watchers.append(
            watch.pictures(
                folder.pictures, source.spec, examples, options, runtime.device, board.picture
            )
        )
    return watchers


def _remember(run: Run, event: Event) -> None:
    if event.row:
        run.rows.append(dict(event.row))
