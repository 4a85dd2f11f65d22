"""Train a recipe on data, and come back to it: ``fit``, ``load`` and the ``Run`` of both."""

from collections.abc import Callable, Mapping, Sequence
from contextlib import ExitStack
from dataclasses import dataclass, field
from dataclasses import replace as with_changes
from pathlib import Path
from typing import TYPE_CHECKING, Any

import torch
from safetensors import SafetensorError
from torch import Tensor, nn

from reparam import data as data_sets
from reparam.batch import Batch, in_chunks, to_device
from reparam.data import Batches, Dataset, Stream, StreamBatches, as_dataset
from reparam.data.condition import condition_of, conditions
from reparam.data.text import Vocabulary, vocabulary_of
from reparam.errors import CheckpointError, OptionError, RunError
from reparam.files import remove_unfinished
from reparam.isolation import isolated
from reparam.memory import allocating, require_memory, without_training
from reparam.model import LatentModel
from reparam.objectives import ELBO, Objective
from reparam.report.pictures import is_picturable
from reparam.seeding import rng_state, set_rng_state
from reparam.semi_supervised import infers_label
from reparam.spec import DataSpec
from reparam.terminal import stderr
from reparam.training import callbacks as watch
from reparam.training.checkpoint import (
    load_checkpoint,
    load_tensors,
    load_weights,
    save_tensors,
    unflatten,
)
from reparam.training.config import (
    checked_options,
    differences,
    flat,
    recipe_of,
    recorded,
    warmed_up,
)
from reparam.training.events import Callback, Event
from reparam.training.options import TrainingOptions
from reparam.training.run_folder import RunFolder
from reparam.training.runtime import Runtime, make_runtime, resolve_device, resolve_precision
from reparam.training.schema import checked_config
from reparam.training.trainer import Trainer
from reparam.variants import Recipe, replace

if TYPE_CHECKING:
    from reparam.evaluation import Evaluation


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
        if not isinstance(self.model, LatentModel):
            name = self.config.get("variant") or type(self.model).__name__
            raise OptionError(f"{name!r} has no latent variables, so it does not encode or decode")
        return self.model

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
        asked = {**options, "name": name or options["name"]}
        if name is not None and name != options.get("name"):
            # Another data set keeps the way of binarizing, not the numbers that follow from size.
            asked = {k: v for k, v in asked.items() if k in ("name", "binarize", "dequantize")}
        if data_dir is not None:
            asked["data_dir"] = str(data_dir)
        if path is not None and str(Path(path).expanduser().absolute()) != asked.get("path"):
            # The number of validation windows is that of the other file.
            asked = {k: v for k, v in asked.items() if k != "validation"} | {"path": str(path)}
        found = data_sets.load(**asked)
        if (found.spec.shape, found.spec.support) != (self.spec.shape, self.spec.support):
            raise OptionError(
                f"the model was trained on {self.spec.support} data of shape {self.spec.shape}, "
                f"but {found.name!r} is {found.spec.support} of shape {found.spec.shape}: "
                "give data of the same kind"
            )
        return found.conditioned(self.spec.condition)

    def examples(
        self, data: object = None, split: str = "test", seed: int = 0, limit: int | None = None
    ) -> Batch:
        """Return examples under one frozen draw.

        Arguments:
            data: The run's own data when None, or any that ``fit`` takes; a batch is returned as
                it is.
            split: The split of it.
            seed: Of the draw.
            limit: How many, from the first; all when None.
        """
        if isinstance(data, Batch):
            return data
        source = self.dataset() if data is None else as_dataset(data)
        source = self._conditioned(source)
        if data is not None and not isinstance(data, Dataset):
            split = "train"  # plain arrays have no splits: all of what was given is meant
        if split not in source.splits:
            raise OptionError(
                f"{source.name!r} has no split {split!r}, only {', '.join(source.splits)}: name "
                "one of them (split), or give other data"
            )
        return source.examples(split, seed=seed, limit=limit)

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
        those of every example as ``evaluation.safetensors``.

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
        if isinstance(source, Dataset) and split != "train" and "train" not in options:
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
        result = with_changes(result, data=source.name, binarize=binarize)
        if keep and self.folder is not None:
            facts = {**result.to_dict(), "weights_sha256": self.folder.weights_sha256}
            save_evaluation(self.folder.evaluation_file, facts, result.per_example)
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
        return Evaluation.from_dict(values, per_example)

    def sample(
        self, n_samples: int, seed: int = 0, label: int | None = None, **options: Any
    ) -> Tensor:
        """Return generated examples, with shape (n, *shape).

        Arguments:
            n_samples: How many.
            seed: Of every draw.
            label: The label to generate, for a model under the condition ``label``, which has the
                classes in turn when None, or one that infers the label, which then draws it.
            options: Passed on to ``LatentModel.sample``: ``mean``, ``temperature``. Tokens are
                drawn unless ``mean`` asks for the likeliest.
        """
        if self.spec.support == "tokens":
            options = {"mean": False, **options}
        if n_samples < 1:
            raise OptionError(f"n_samples={n_samples}: give at least 1")
        inferred = label is not None and infers_label(self.model)
        spec = self.spec.conditioned("label") if inferred else self.spec
        c = conditions(spec, n_samples, label)
        if c is not None:
            options["c"] = c.to(self.device)
        # The draws, and the codes or means that they come from.
        require_memory(2 * 4 * n_samples * self.spec.dim, self.device, n_samples=n_samples)
        with allocating(n_samples=n_samples), isolated(self.model, seed=seed):
            if isinstance(self.model, LatentModel):
                return self.model.sample(n_samples, **options).reshape(-1, *self.spec.shape)
            images = watch.sample_images(self.model, n_samples, self.spec)
        if images is None:
            name = self.config.get("variant") or type(self.model).__name__
            raise OptionError(f"{name!r} does not generate examples: train a variant such as 'vae'")
        return images

    def encode(self, data: object = None, *, split: str = "test", seed: int = 0) -> Tensor:
        """Return the posterior means of the examples, with shape (N, D)."""
        batch = self.examples(data, split, seed)
        return self._in_chunks(self.latent_model.encode, batch.x, batch.c)

    def reconstruct(self, data: object = None, *, split: str = "test", seed: int = 0) -> Tensor:
        """Return the reconstructions of the examples, with shape (N, *shape)."""
        batch = self.examples(data, split, seed)
        return self._in_chunks(self.latent_model.reconstruct, batch.x, batch.c)

    def decode(self, z: Tensor, c: Tensor | None = None) -> Tensor:
        """Return the means of p(x | z, c) for codes z with shape (N, D), with shape (N, *shape)."""
        return self._in_chunks(self.latent_model.decode, z, c).reshape(-1, *self.spec.shape)

    def _conditioned(self, source: Dataset | Stream) -> Dataset | Stream:
        """Return data under the condition of the model, whose classes they need not all have."""
        n, known = self.spec.context, source.spec.n_classes
        if known is not None and known != n > 0:
            if known > n:
                raise OptionError(
                    f"{source.name!r} has labels up to {known - 1}, and the model was trained "
                    f"under those from 0 to {n - 1}: leave the others out"
                )
            spec = with_changes(source.spec, n_classes=n)
            source = with_changes(source, spec=spec)
        return source.conditioned(self.spec.condition)

    @property
    def device(self) -> torch.device:
        """Where the model is."""
        return next(self.model.parameters()).device

    def _in_chunks(
        self, function: Callable[..., Tensor], values: Tensor, c: Tensor | None
    ) -> Tensor:
        """Return what a function of the model makes of many values, on the CPU."""
        with allocating(n=len(values)), isolated(self.model), torch.inference_mode():
            chunks = in_chunks(Batch(values, c=c), 1000)
            moved = (to_device(chunk, self.device) for chunk in chunks)
            return torch.cat([function(chunk.x, chunk.c).cpu() for chunk in moved])


def fit(
    model: Recipe | nn.Module | Callable[[DataSpec], Recipe],
    data: object,
    *,
    objective: Objective | None = None,
    out: str | Path | None = None,
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
            ``DataSpec`` to a recipe; a ``LatentModel``; or any module that has an encoder, a
            decoder and a prior, which are modules too.
        data: A data set of ours, a tensor or array, a pair (x, y) of them, a torch ``Dataset`` or
            ``DataLoader``.
        objective: Instead of the recipe's; the ELBO for a bare model.
        out: The folder of the run. Without it nothing is written.
        resume: Go on with the run in ``out`` if there is one.
        device: ``auto``, ``cpu``, ``cuda``, ``cuda:1`` …
        precision: ``auto`` (bfloat16 where the machine computes in it), ``float32``, ``bfloat16``.
        devices: Devices of each node, a process each.
        nodes: Nodes.
        capture: Whether each step is one CUDA graph, the same step without the host's share of the
            time; None for yes where there is a GPU. What no graph can hold trains without.
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
    source = as_dataset(data)
    if not isinstance(model, Recipe | nn.Module):
        model = model(source.spec)
    recipe = as_recipe(model, objective)
    if recipe.spec is not None:
        source = source.conditioned(recipe.spec.condition)
    precision = resolve_precision(precision, resolve_device(device))
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
        class_names=list(getattr(source, "class_names", ())),
        n_train=batches.n_examples,
        device_used=str(runtime.device),
    )
    recipe = warmed_up(recipe, settings.kl_warmup, len(batches))
    sizes = recipe.source.options if recipe.source else {}
    weights = sum(p.nbytes for p in recipe.model.parameters() if p.requires_grad)
    # The gradient, and two moments of the optimizer.
    require_memory(3 * weights, runtime.device, **sizes)
    recipe.model.to(runtime.device)
    folder = None if out is None else RunFolder(out)
    run = Run(recipe.model, source.spec, config, source, folder, is_main=runtime.rank == 0)
    # Whatever is wrong with the options is found before the folder is begun.
    trainer = Trainer(
        recipe,
        batches,
        settings,
        runtime,
        validation=_validation(source, runtime),
        checkpoints=None if folder is None else folder.checkpoints,
        capture=capture,
    )
    with ExitStack() as stack:
        stack.enter_context(allocating(batch_size=settings.batch_size, **sizes))
        if folder is not None and runtime.rank == 0:
            stack.enter_context(folder.locked())
            if resume and folder.holds_run:
                _require_same(folder, config)
                remove_unfinished(folder.path)
            else:
                folder.begin(config)
        if folder is not None and folder.is_finished:
            run = load(folder.path, model=recipe.model, device=str(runtime.device))
            run.data = source
            if progress:
                _warn(f"{folder.path} is finished already: nothing is left to train")
            return run
        watchers = [*callbacks, lambda event: _remember(run, event)]
        if runtime.rank == 0:
            watchers += _watchers(stack, source, settings, runtime, folder, len(batches), progress)
        trainer.callbacks = watchers
        if folder is not None and resume:
            checkpoint = load_checkpoint(folder.checkpoints, _warn)
            if checkpoint is not None:
                trainer.restore(checkpoint)
                if progress:
                    _warn(f"going on from epoch {trainer.progress.epoch + 1} of {settings.epochs}")
        random = rng_state(runtime.device)
        try:
            trainer.fit()
        finally:
            set_rng_state(random, runtime.device)
        if progress and trainer.stopped_early:
            _warn(trainer.stopped_early)
        if folder is not None and runtime.rank == 0:
            finished = {"step": trainer.progress.step, "seconds": trainer.progress.seconds}
            save_tensors(folder.model_file, recipe.model.state_dict(), finished)
            run.rows = folder.metrics()
    return run


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
    config = checked_config(folder.config(), str(folder.config_file))
    spec = DataSpec.from_dict(config["recorded"]["spec"])
    if model is None:
        with torch.random.fork_rng(devices=[]), without_training():
            model = recipe_of(config, spec).model
    module = model.model if isinstance(model, Recipe) else model
    weights = _weights(folder, config)
    load_weights(module, weights, str(folder.path))
    module.to(resolve_device(device)).eval()
    return Run(module, spec, config, None, folder, folder.metrics())


def as_recipe(model: Recipe | nn.Module, objective: Objective | None = None) -> Recipe:
    """Return the recipe that a model and an objective make.

    Raises:
        OptionError: A module without an objective that has not the three parts of a latent model.

    Example:
        >>> as_recipe(nn.Linear(1, 1))
        Traceback (most recent call last):
        reparam.errors.OptionError: Linear has no encoder: fit takes a recipe, or a module with ...
    """
    if isinstance(model, Recipe):
        return model if objective is None else replace(model, objective=objective)
    if isinstance(model, LatentModel) or (objective is not None and not hasattr(model, "encoder")):
        return Recipe(model, ELBO() if objective is None else objective)
    for part in ("encoder", "decoder", "prior"):
        if not isinstance(getattr(model, part, None), nn.Module):
            if hasattr(model, part):
                kind = type(getattr(model, part)).__name__
                raise OptionError(
                    f"the {part} of {type(model).__name__} is a {kind}: it must be a torch module "
                    "whose forward pass returns a distribution"
                )
            raise OptionError(
                f"{type(model).__name__} has no {part}: fit takes a recipe, or a module with an "
                "encoder, a decoder and a prior that return distributions"
            )
    parts = LatentModel(model.encoder, model.decoder, model.prior)  # type: ignore[arg-type]
    return Recipe(parts, ELBO() if objective is None else objective)


def _weights(folder: RunFolder, config: Mapping[str, Any]) -> dict[str, Tensor]:
    """Return the final weights; failing those, the ones of the newest checkpoint."""
    if folder.is_finished:
        try:
            return load_tensors(folder.model_file)[0]
        except (CheckpointError, SafetensorError) as error:
            _warn(f"{error}; using the newest checkpoint instead")
    checkpoint = load_checkpoint(folder.checkpoints, _warn)
    if checkpoint is not None and not folder.is_finished:
        _warn(
            f"{folder.path} is not finished: these are its weights after step {checkpoint.step} "
            f"(epoch {checkpoint.values['epoch']} of {config.get('epochs', '?')}); "
            f"reparam train --resume {folder.path} goes on"
        )
    if checkpoint is None:
        raise RunError(
            f"{folder.path} has no weights yet: go on with reparam train --resume {folder.path}"
        )
    kept = ("best", "average.module", "model")  # as the end of training chooses among them
    return next(filter(None, (unflatten(name, checkpoint.tensors) for name in kept)))


def _require_same(folder: RunFolder, config: dict[str, Any]) -> None:
    stored = checked_config(folder.config(), str(folder.config_file))
    changed = differences(stored, config)
    if stored["recorded"]["objective"] != config["recorded"]["objective"] and not changed:
        changed = [f"objective ({stored['recorded']['objective']} in the run)"]
    if stored["recorded"]["spec"] != config["recorded"]["spec"] and not changed:
        changed = [f"data of shape {tuple(stored['recorded']['spec']['shape'])} in the run"]
    if changed:
        raise RunError(
            f"{folder.path} cannot go on with other options: {'; '.join(changed)}; "
            "drop them, or train anew with another --out"
        )


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
    board = watch.TensorBoard(folder.events, stack)
    watchers += [watch.metrics_file(folder.metrics_file), board]
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


def _warn(message: str) -> None:
    print(f"reparam: {message}", file=stderr())
