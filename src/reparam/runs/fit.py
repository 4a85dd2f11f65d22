"""Train a model on data: check both, prepare the machine, train, and keep the run in its folder."""

import threading
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import ExitStack
from dataclasses import asdict
from dataclasses import replace as with_changes
from functools import partial
from math import inf
from pathlib import Path
from typing import Any, cast

import torch
from torch import Tensor, nn

from reparam.batch import to_device, weights_type
from reparam.data import Dataset, Split, Stream, as_dataset
from reparam.data.condition import conditions
from reparam.data.given import recorded_data, training_batches
from reparam.data.in_memory import in_support
from reparam.data.preparation import holding, spec_mismatch
from reparam.errors import DataError, OptionError, SupportError, WriteError
from reparam.isolation import default_modes, make_trainable
from reparam.models.conditional import Conditional
from reparam.models.latent import LatentModel, as_latent
from reparam.objectives import ELBO, ModelObjective, Objective
from reparam.objectives.recipe import Recipe, replace
from reparam.pictures import is_picturable
from reparam.runs.budget import planned
from reparam.runs.chosen_prior import (
    choose_prior_together,
    chooses_prior,
    import_mixtures,
    seconds_of_prior,
)
from reparam.runs.config import (
    FITTED,
    checked_config,
    config_sha256,
    described,
    flat,
    recorded,
)
from reparam.runs.divergence import NO_BETTER, Diverged, begins_again, diverging, rate_is_free
from reparam.runs.folder import RunFolder
from reparam.runs.held_out import chooses_length, fitted_length, n_folds_of, with_held_out
from reparam.runs.load import load
from reparam.runs.resume import check_same, is_sound
from reparam.runs.run import Run
from reparam.runs.search import AUTO, Auto, Choice, chosen, with_options
from reparam.runs.summary import remarks, summary
from reparam.spec import DataSpec
from reparam.training.callbacks import N_SAMPLES, Pictures, TensorBoard, progress_on_terminal
from reparam.training.checkpoint import load_checkpoint, save_tensors
from reparam.training.events import Event, EventHandler
from reparam.training.length import Length, length_of, seconds_of
from reparam.training.metrics import MetricsFile
from reparam.training.optimizers import OptimizerFactory, SchedulerFactory
from reparam.training.options import (
    BATCH_SIZE,
    CLIP_NORM_OF_TEXT,
    EMA,
    HELD_OUT,
    LENGTHS,
    LR,
    EarlyStopping,
    MachineOptions,
    OptimizerName,
    PrecisionName,
    ScheduleName,
    TrainingOptions,
)
from reparam.training.range_test import (
    FEWEST,
    SAFETY,
    SAFETY_OF_TEXT,
    for_batches,
    found_lr,
    steps_of_test,
)
from reparam.training.runtime import Runtime, make_runtime, resolve_device, resolve_precision
from reparam.training.trainer import Trainer
from reparam.utils.arguments import known_options, numbers
from reparam.utils.files import as_path
from reparam.utils.launch import check_launch, is_first
from reparam.utils.memory import allocating, require_memory
from reparam.utils.seeding import rng_state, seeded, set_rng_state
from reparam.utils.terminal import note, say
from reparam.variants.start import started


@known_options
@default_modes()
@numbers()
@begins_again
def fit(
    model: Recipe | nn.Module | Callable[[DataSpec], Recipe],
    data: object,
    objective: Objective | None = None,
    *,
    latent_dim: int | Auto | None = None,
    beta: float | Auto | None = None,
    epochs: int | None = None,
    steps: int | None = None,
    budget: str | float | None = None,
    batch_size: int | None = None,
    optimizer: OptimizerName | OptimizerFactory = "adam",
    scheduler: SchedulerFactory | None = None,
    lr: float | None = None,
    lr_warmup: float = 0.2,
    lr_schedule: ScheduleName | None = None,
    weight_decay: float = 0.0,
    clip_norm: float | None = None,
    kl_warmup: float = 0.0,
    ema: float | None = None,
    early_stopping: EarlyStopping | None = None,
    seed: int = 0,
    log_every: int = 50,
    checkpoint_every: float = 5.0,
    pictures_every: int = 1,
    device: str = "auto",
    precision: PrecisionName = "auto",
    devices: int = 1,
    nodes: int = 1,
    capture: bool | None = None,
    out: str | Path | Callable[[], Path] | None = None,
    resume: bool = False,
    progress: bool = True,
    callbacks: Sequence[EventHandler] = (),
) -> Run:
    """Train a model on data.

    Arguments:
        model: A recipe, as variants return it; a variant itself, or any function from a
            ``DataSpec`` to a recipe, whose weights are drawn under the seed of the run; a
            ``LatentModel``; or any module that has an encoder, a decoder and a prior, which are
            modules too. All parameters of such a module are trained. Objectives and figures get a
            ``LatentModel`` of its parts, and ``Run.sample`` calls the ``sample`` of the module
            where it has one.
        data: A ``Dataset``, the path of a file, a DataFrame, a tensor or array x, a pair (x, y) of
            them, a torch ``Dataset`` or ``DataLoader``. A variant learns a DataFrame as the table
            that it is, column by column; a model that was built for an array learns its numbers.
        objective: The objective; None for the recipe's, and the ELBO for a bare model.
        latent_dim: The number of dimensions of z of a variant that is given itself; ``auto`` for
            the smallest with the best likelihood of held-out rows: see ``runs.search``. None for
            the default of the variant.
        beta: The weight of the KL of such a variant; ``auto`` to choose it in the same way.
        epochs: The number of passes over the training split.
        steps: The number of optimizer steps; None for 7,000 (up to 28,000 for small networks), or
            for one pass over the training split where that is more. Give at most one of ``epochs``,
            ``steps`` and ``budget``.
        budget: The wall-clock time of the run, such as ``30s``, ``5m`` or ``1h30m``, or a number of
            seconds, in which the learning rate rises and falls.
        batch_size: The number of examples of each step, 128 by default; a budget chooses it where
            it is not given.
        optimizer: ``adam`` or ``muon``; or a function from parameters to a torch optimizer, which
            replaces ``lr``, ``lr_schedule``, ``lr_warmup`` and ``weight_decay``.
        scheduler: A function from the optimizer to a torch scheduler of its learning rate; None for
            the warm-up and schedule below.
        lr: The highest learning rate; None for the one that a range test on a copy of a variant
            finds in at most 3 % of the steps, and for 0.005 for other models and for short runs.
        lr_warmup: The share of all steps in which the learning rate rises to it.
        lr_schedule: ``linear``, which is the default, ``cosine``, ``constant`` or ``stages``: see
            ``TrainingOptions``.
        weight_decay: The decoupled weight decay of the optimizer; 0 for none.
        clip_norm: The largest norm of the gradient; 0 for no limit. None for 100, and for 1 on
            text.
        kl_warmup: The number of epochs in which the weight of the KL rises from 0.
        ema: The decay of a moving average of the weights, which becomes the model; 0 for none. None
            is 0.99 where held-out examples choose the number of steps, and 0 in other runs.
        early_stopping: Stop after this number of validations without a better ELBO, and keep the
            best weights; 0 to train to the end; ``held-out`` to choose the number of steps by the
            loss on held-out examples: see ``runs.held_out``. None is 0 where ``epochs`` is given or
            20,000 examples or more are in memory, and ``held-out`` otherwise.
        seed: The seed of the order of the data, of every draw, and of the weights of a model that
            is built here.
        log_every: The number of steps between two rows of metrics.
        checkpoint_every: The smallest number of seconds between two checkpoints.
        pictures_every: The number of epochs between two pictures, or of tenths of the run where
            ``epochs`` is not given; 0 for none.
        device: ``auto``, ``cpu``, ``cuda``, ``cuda:1`` …
        precision: ``auto`` (bfloat16 where the machine computes in it, and float64 for weights in
            float64), ``float32``, ``bfloat16``, ``float64``.
        devices: The number of devices of each node, a process each.
        nodes: The number of nodes.
        capture: Whether each step is one CUDA graph, which takes the same step without the time of
            the host; None for yes on a GPU. A model that cannot be captured trains without a graph.
        out: The folder of the run, or a function that makes it, which is called after all checks.
            None writes nothing.
        resume: Go on with the run in ``out`` if there is one.
        progress: Show progress on standard error.
        callbacks: Functions of a ``training.Event``, or objects of a subclass of
            ``training.Callback``.

    Raises:
        OptionError: An option that is unknown or out of range, or another number of processes than
            torchrun or SLURM has started.
        DataError: Data that are damaged, or that the model cannot learn from.
        RunError: The folder holds another run, or a run with other options.
        LostError: Another process of the run has ended, or does not answer for a minute.
        NonFiniteError: A loss became infinite or not a number.
        Interrupted: Ctrl-C or SIGTERM stopped the run, which can go on.

    Example:
        >>> from reparam import data, variants
        >>> digits = data.load("digits")
        >>> recipe = variants.vae(digits.spec, latent_dim=2, hidden=[32])
        >>> run = fit(recipe, digits, epochs=1, progress=False)
        >>> run.sample(3).shape
        torch.Size([3, 1, 8, 8])
    """
    if not isinstance(callbacks, Sequence) or not all(map(callable, callbacks)):
        raise OptionError(
            f"callbacks={callbacks!r}: must be a list of functions of an event, or of objects of "
            "subclasses of training.Callback"
        )
    if scheduler is not None and not callable(scheduler):
        raise OptionError(
            f"scheduler={scheduler!r}: must be a function from an optimizer to a torch scheduler; "
            "schedules by name are options of lr_schedule="
        )
    began = time.perf_counter()
    check_launch(devices, nodes)
    stored = _stored(out, resume)
    if epochs is None and steps is None and budget is None:
        # A run goes on with its own length.
        epochs, steps, budget = (stored.get(name) for name in LENGTHS)
    # So does it with options whose defaults were others when it began.
    lr = stored.get("lr") if lr is None else lr
    lr_schedule = stored.get("lr_schedule") if lr_schedule is None else lr_schedule
    clip_norm = stored.get("clip_norm") if clip_norm is None else clip_norm
    has_usual_clip_norm = clip_norm is None
    ema = stored.get("ema") if ema is None else ema
    if budget is not None and batch_size is None:
        batch_size = stored.get("batch_size")
    # The configuration has the name of an optimizer; a function is recorded beside it.
    own_optimizer = None if isinstance(optimizer, str) else optimizer
    options = TrainingOptions(
        optimizer=optimizer if isinstance(optimizer, str) else "adam",
        epochs=epochs,
        steps=steps,
        budget=budget,
        batch_size=batch_size,
        lr=lr,
        lr_warmup=lr_warmup,
        lr_schedule=lr_schedule,
        weight_decay=weight_decay,
        clip_norm=clip_norm,
        kl_warmup=kl_warmup,
        ema=ema,
        early_stopping=early_stopping,
        seed=seed,
        log_every=log_every,
        checkpoint_every=checkpoint_every,
        pictures_every=pictures_every,
    )
    asked = {k: v for k, v in (("latent_dim", latent_dim), ("beta", beta)) if v is not None}
    if beta is not None and objective is not None:
        raise OptionError(f"beta={beta!r}: the objective that is given has its own; drop one")
    searched = [name for name, value in asked.items() if value == AUTO]
    trials: Sequence[Choice] = stored.get("recorded", {}).get("search", ())
    if searched and stored:
        before = stored["recorded"].get("chosen", stored)
        asked |= {name: before[name] for name in searched}
    elif searched:
        with_options(model, asked)  # raises where it is not possible
        data = as_dataset(data)

        def train(choice: Choice, part: Dataset, length: Mapping[str, Any]) -> LatentModel:
            how: dict[str, Any] = {**asdict(options), **length, **choice, "optimizer": optimizer}
            how |= {"scheduler": scheduler, "device": device, "precision": precision}
            how |= {"devices": devices, "nodes": nodes, "clip_norm": clip_norm}
            run = fit(model, part, objective, capture=capture, progress=False, **how)
            return run.latent_model

        def agreed(scores: Tensor) -> Tensor:
            return make_runtime(device, "float32", devices, nodes).first(scores)

        show = say if progress and is_first() else lambda text: None
        asked, trials = chosen(asked, data, options, train, show, agreed)
    if asked:
        model = with_options(model, asked)
    reasons = dict.fromkeys(searched, "by held-out log p(x)")
    recipe, source = _recipe_and_data(model, data, objective, options.seed)
    type_of_weights = weights_type(recipe.model)
    if precision == "auto" and source.spec.is_table and type_of_weights == torch.float32:
        precision = "float32"  # bfloat16 has three digits, and the values of a table have more
    resolved = resolve_precision(precision, resolve_device(device), type_of_weights)
    if resolved == "float64":
        recipe.model.double()
    if isinstance(source, Dataset):
        recipe = started(recipe, source, options.seed)
    is_chosen = chooses_length(recipe, source, options)
    if is_chosen and isinstance(source, Dataset) and "validation" not in source.splits:
        source = with_held_out(source, options.seed)
        is_chosen = "validation" in source.splits or n_folds_of(source) > 0
        if options.early_stopping == HELD_OUT and not is_chosen:
            raise DataError(
                f"early_stopping={HELD_OUT!r}: {source.name!r} was loaded without a validation "
                "split; load it with one, such as validation=0.1 for a tenth of the training data"
            )
    if has_usual_clip_norm and source.spec.support == "tokens":
        options = with_changes(options, clip_norm=CLIP_NORM_OF_TEXT)
    if options.ema is None:
        options = with_changes(options, ema=EMA if is_chosen else 0.0)
    machine = MachineOptions(str(device), cast(PrecisionName, resolved), devices, nodes)
    runtime = _runtime(machine, batch_size or BATCH_SIZE)
    progress = progress and runtime.rank == 0
    # An objective of the user's own is of the model as it is.
    may_choose_prior = objective is None and chooses_prior(recipe, source, options)
    length, n_small = _recorded_length(stored), 0
    if length is None and options.budget is not None:
        recipe.model.to(runtime.device)
        for_prior = 0.0
        if may_choose_prior:
            import_mixtures()
            for_prior = seconds_of_prior(seconds_of(options.budget))
        batch_size, length, n_small = planned(
            options.budget,
            lambda: time.perf_counter() - began + for_prior,
            recipe,
            source,
            options,
            runtime,
            1 + n_folds_of(source) if is_chosen else 1,
            own_optimizer,
            scheduler,
        )
    batch_size = batch_size or BATCH_SIZE
    own = recipe.objective if isinstance(recipe.objective, ModelObjective) else None
    batches_of = partial(
        training_batches,
        source,
        device=runtime.device,
        seed=options.seed,
        repeat_labeled=own is not None and own.repeats_labeled,
        rank=runtime.rank,
        world_size=runtime.world_size,
    )
    batches = batches_of(batch_size)
    held = source.splits.get("validation")
    n_held = len(held) if isinstance(held, Split) else 0
    options = with_changes(options, batch_size=batch_size)
    n_weights = sum(parameter.numel() for parameter in recipe.model.parameters())
    length = length or length_of(options, len(batches), 0 if is_chosen else n_held, n_weights)
    sizes = recipe.source.options if recipe.source else {}
    n_bytes = sum(p.nbytes for p in recipe.model.parameters() if p.requires_grad)
    # The gradient, and two moments of the optimizer.
    require_memory(3 * n_bytes, runtime.device, **sizes)
    n_draws = (1 if own is None else own.n_draws) * min(batch_size, batches.n_examples)
    require_memory(4 * n_draws * source.spec.dim, runtime.device, **sizes)
    recipe.model.to(runtime.device)
    # The parts and loaders of a user may count calls, or fail to be copied.
    is_own = recipe.source is None or isinstance(source, Stream) or own_optimizer or scheduler
    n_tested = steps_of_test(n_small, FEWEST) if n_small else steps_of_test(length.steps)
    if lr is None and not is_own and n_tested:
        before = time.perf_counter()
        with allocating(batch_size=batch_size, **sizes):
            # Each process tests the same steps, and the first one decides.
            few = batches_of(min(batch_size, BATCH_SIZE), rank=0, world_size=1)
            safety = SAFETY_OF_TEXT if source.spec.support == "tokens" else SAFETY
            lr = found_lr(recipe, few, options, runtime.alone(), length.steps, n_tested, safety)
        if lr is not None:
            lr = for_batches(lr, batch_size, length.steps)
            reasons["lr"] = f"found by a range test of {n_tested} steps"
        if length.seconds is not None:
            left = length.seconds - (time.perf_counter() - before)
            length = with_changes(length, seconds=left)
        lr, length = runtime.first((lr, length))
    options = with_changes(
        options,
        lr=lr or LR,
        steps=length.steps if epochs is budget is None else None,
        early_stopping=HELD_OUT if is_chosen else options.early_stopping or 0,
    )
    config = flat(recipe, source.options, options, machine)
    config["recorded"] = {
        **recorded(source.spec, recipe.objective),
        "n_train": batches.n_examples,
        "n_validation": n_held,
        "n_batches": len(batches),
        "device_used": str(runtime.device),
        # A run without a folder cannot be resumed.
        **recorded_data(source, with_fingerprint=out is not None),
        "optimizer": None if own_optimizer is None else described(own_optimizer),
        "scheduler": None if scheduler is None else described(scheduler),
        **({"search": list(trials)} if trials else {}),
        **({"chosen": {name: asked[name] for name in searched}} if searched else {}),
    }
    validation = None
    if "validation" in source.splits:
        validation = to_device(source.examples("validation"), runtime.device)
    # All options are checked before the folder is begun.
    trainer = Trainer(
        recipe,
        batches,
        options,
        runtime,
        validation=validation,
        capture=capture,
        optimizer=own_optimizer,
        scheduler=scheduler,
        length=length,
        chooses_length=is_chosen,
    )
    folder = _folder(out, runtime)
    run = Run(recipe.model, source.spec, config, source, folder, is_main=runtime.rank == 0)
    keeping = trainer.checkpointing
    keeping.how_to_resume = "nothing was saved: give out= to keep checkpoints"
    is_found = "lr" in reasons and runtime.world_size == 1
    is_free = rate_is_free(is_found)
    with diverging(options.lr if is_free else None, folder), ExitStack() as stack:
        stack.enter_context(allocating(batch_size=batch_size, **sizes))
        # Training draws from torch's global state, which is put back: activation checkpointing,
        # compiled functions, graphs and a user's torch.manual_seed use no other. Other threads use
        # a generator of their own.
        if threading.current_thread() is not threading.main_thread():
            stack.enter_context(seeded(torch.device("cpu"), options.seed))
        stack.callback(set_rng_state, rng_state(runtime.device), runtime.device)
        if not stored and run.is_main:
            if folder is not None:
                folder.require_free()
            users = [config["recorded"][name] for name in ("optimizer", "scheduler")]
            if progress:
                for line in summary(recipe, source, trainer, resolved, reasons, *users):
                    say(line)
        if is_chosen and isinstance(source, Dataset) and not stored:
            trainer.length = fitted_length(
                trainer, recipe, source, own_optimizer, scheduler, say if progress else None
            )
            if progress and trainer.length.stop is not None:
                note(trainer.length.reason)
        config["recorded"] |= {
            "length": asdict(trainer.length),
            "chooses_length": is_chosen,
            "chooses_prior": may_choose_prior,
        }
        if folder is not None:
            runtime.gather(None)  # no process still reads what the first one writes
            is_done = run.is_main and _begin(stack, folder, config, resume)
            if runtime.first(is_done):
                run = load(folder.path, model=recipe.model, device=str(runtime.device))
                run.data = source
                if progress:
                    note(f"{folder.path} is finished already: nothing is left to train")
                return run
            keeping.folder = folder.checkpoints
            keeping.config_sha256 = config_sha256(folder.config()) if run.is_main else None
            keeping.how_to_resume = f"go on with fit(..., out='{folder.path}', resume=True)"
            if resume:
                _restore(trainer, folder, progress)

        def remember(event: Event) -> None:
            if event.row:
                run.rows.append(dict(event.row))

        watchers = _watchers(stack, source, trainer, folder, progress) if run.is_main else ()
        trainer.callbacks = [*callbacks, remember, *watchers]
        trainer.fit()
        has_time = budget is None or 2 * trainer.progress.seconds < seconds_of(budget)
        has_default = steps is epochs is None and has_time
        if is_free and has_default and trainer.validation.kept_first:
            raise Diverged(cast(float, options.lr), folder, NO_BETTER)
        if trainer.validation.kept_first:
            config["recorded"]["kept_first"] = True
        if progress and trainer.validation.summary:
            note(trainer.validation.summary)
        prior = None
        if may_choose_prior:
            prior = choose_prior_together(
                cast(LatentModel, recipe.model),
                cast(Dataset, source),
                runtime,
                seed,
                trainer.progress.step,
                inf if options.budget is None else seconds_of(options.budget),
            )
        if prior is not None:
            config[FITTED] = prior.fitted.to_dict()
        # A run that was ended before its weights were kept may have stored another choice.
        is_new = prior is not None or FITTED in stored or trainer.validation.kept_first
        if folder is not None and run.is_main and is_new:
            folder.write_config(config)
        if folder is not None and run.is_main:
            finished = {"step": trainer.progress.step, "seconds": trainer.progress.seconds}
            weights = recipe.model.state_dict()
            save_tensors(folder.model_file, weights, finished, keeping.config_sha256)
            run.rows = folder.metrics(note)
        if progress and run.is_main:
            for text in remarks(recipe, source, options.seed, prior):
                note(text)
    return run


def as_recipe(model: Recipe | nn.Module, objective: Objective | None = None) -> Recipe:
    """Return the recipe of a model and an objective.

    Raises:
        OptionError: A module without an objective that lacks a part of a latent-variable model.

    Example:
        >>> as_recipe(nn.Linear(1, 1))
        Traceback (most recent call last):
        reparam.errors.OptionError: Linear has no encoder: give a recipe, or a module with an ...
    """
    if objective is not None and not callable(objective):
        raise OptionError(
            f"objective={objective!r}: must be an objective, such as objectives.IWAE(); parts by "
            "name are options of variants.build"
        )
    if isinstance(model, Recipe):
        return model if objective is None else replace(model, objective=objective)
    if objective is None:
        as_latent(model)  # raises if a part is missing; an objective of the user may need fewer
    return Recipe(model, ELBO() if objective is None else objective)


def _recipe_and_data(
    model: Recipe | nn.Module | Callable[[DataSpec], Recipe],
    data: object,
    objective: Objective | None,
    seed: int,
) -> tuple[Recipe, Dataset | Stream]:
    """Return a recipe and data that fit each other, under one spec."""
    if isinstance(model, Run):
        raise OptionError(
            "model is a Run, which holds a trained model: give run.model to train that one further"
        )
    if not callable(model) and not isinstance(model, Recipe):
        raise OptionError(
            f"model of type {type(model).__name__}: give a recipe, such as "
            "variants.vae(data.spec), a variant itself or a torch module"
        )
    # A model that is built already says whether x is the rows of a table, and whether whole numbers
    # are counts, which could be categories or quantities.
    is_built = isinstance(model, Recipe | nn.Module)
    built_for = model.spec if isinstance(model, Recipe) else None
    is_of_counts = built_for is not None and built_for.support == "counts"
    is_of_rows = not is_built or (built_for is not None and built_for.schema is not None)
    source = as_dataset(data, "counts" if is_of_counts else None, numbers_as_table=is_of_rows)
    if not isinstance(model, Recipe | nn.Module):
        with seeded(torch.device("cpu"), seed):
            built = model(source.spec)
        if not isinstance(built, Recipe | nn.Module):
            raise OptionError(
                f"model returned a {type(built).__name__}: it must return a recipe, as variants do"
            )
        model = built
    recipe = as_recipe(model, objective)
    if isinstance(source, Dataset) and source is not data and recipe.spec is not None:
        source = in_support(source, recipe.spec.support)
    _check_fits(recipe, source.spec)
    make_trainable(recipe.model)
    if recipe.spec is not None:
        # The spec of the model builds it again; the data may have fewer classes or values.
        name, columns = source.spec.name, recipe.spec.columns or source.spec.columns
        spec = with_changes(recipe.spec, name=name, columns=columns)
        source = with_changes(source, spec=spec)
    return recipe, source


def _check_fits(recipe: Recipe, data: DataSpec) -> None:
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
    decoder = dict(recipe.model.named_children()).get("decoder")
    if not isinstance(decoder, Conditional):
        return
    supports = decoder.family.supports
    if supports and not any(data.support in holding(support) for support in supports):
        raise SupportError(
            f"the decoder's {type(decoder.family).__name__} describes {' or '.join(supports)} "
            f"data, and {data.name!r} is {data.support}: give another family, or data of that kind"
        )


def _runtime(machine: MachineOptions, batch_size: int) -> Runtime:
    """Return the runtime of the devices that share batches of a size."""
    n_devices = machine.devices * machine.nodes
    if batch_size < n_devices:
        raise OptionError(
            f"batch_size={batch_size}: {n_devices} devices share a batch, so it needs at least one "
            "example for each"
        )
    return make_runtime(**asdict(machine))


def _folder(out: str | Path | Callable[[], Path] | None, runtime: Runtime) -> RunFolder | None:
    """Return the folder of a run, the same in all its processes; the first one makes it."""
    if out is None:
        return None
    if callable(out):
        out = runtime.first(str(as_path(out(), "out")) if runtime.rank == 0 else "")
    return RunFolder(as_path(out, "out"))


def _stored(out: str | Path | Callable[[], Path] | None, resume: bool) -> Mapping[str, Any]:
    """Return the configuration of the run that goes on; empty where a new one begins."""
    if not resume or out is None or callable(out):
        return {}
    folder = RunFolder(as_path(out, "out"))
    return checked_config(folder.config(), str(folder.config_file)) if folder.holds_run else {}


def _recorded_length(stored: Mapping[str, Any]) -> Length | None:
    """Return the length of the run that goes on; None where its options decide it."""
    length = stored.get("recorded", {}).get("length")
    return None if length is None else Length(**length)


def _begin(stack: ExitStack, folder: RunFolder, config: dict[str, Any], resume: bool) -> bool:
    """Begin the run of a folder or go on with it, and return whether it is finished already.

    The folder is locked until the stack is left.
    """
    goes_on = resume and folder.holds_run
    is_done = goes_on and folder.is_finished and is_sound(folder)
    if not goes_on:
        folder.require_free()  # before the lock is written into a folder with other files
    try:
        stack.enter_context(folder.locked(note))
        if goes_on:
            check_same(folder, config)
            folder.remove_unfinished()
        else:
            folder.begin(config)
    except WriteError:
        if not is_done:  # else there is nothing to write
            raise
        check_same(folder, config)
    return is_done


def _restore(trainer: Trainer, folder: RunFolder, progress: bool) -> None:
    """Go on from the newest checkpoint of a folder, if there is one."""
    checkpoint = load_checkpoint(folder.checkpoints, note, trainer.checkpointing.config_sha256)
    if checkpoint is not None:
        trainer.restore(checkpoint)
        done = trainer.progress
        if progress and done.step < trainer.length.last:
            place = trainer.length.place(done.epoch + 1, done.step, done.seconds)
            note(f"going on from {' '.join(place.split())}")


def _watchers(
    stack: ExitStack,
    source: Dataset | Stream,
    trainer: Trainer,
    folder: RunFolder | None,
    progress: bool,
) -> Iterator[EventHandler]:
    """Yield the callbacks that show progress and write metrics and pictures."""
    options, spec = trainer.options, source.spec
    if progress:
        yield progress_on_terminal(stack, trainer.length)
    if folder is None:
        return
    board = TensorBoard(folder.events, stack, note)
    yield MetricsFile(folder.metrics_file, note)
    yield board
    if options.pictures_every and is_picturable(spec):
        split = "validation" if "validation" in source.splits else "train"
        examples = to_device(source.examples(split, limit=32), trainer.runtime.device)
        if spec.given_covariates and examples.c is not None:
            c: Tensor | None = examples.c[torch.arange(N_SAMPLES) % len(examples.c)]
        else:
            c = conditions(spec, N_SAMPLES)  # the labels in turn
        yield Pictures(
            folder.pictures, examples, spec.shape, c, options, trainer.length, board.picture
        )
