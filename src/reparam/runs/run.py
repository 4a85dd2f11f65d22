"""A trained model, with its data, its configuration and its folder: measure it and use it."""

from collections.abc import Callable, Mapping
from copy import deepcopy
from dataclasses import dataclass, field
from dataclasses import replace as with_changes
from pathlib import Path
from typing import TYPE_CHECKING, Any, cast

import torch
from torch import Tensor, nn

from reparam import data as data_sets
from reparam.batch import Batch
from reparam.data import Dataset, Stream
from reparam.data.arrays import Array, as_tensor
from reparam.data.checks import as_rows, check_finite, check_values, fitted
from reparam.data.condition import conditions, label_number
from reparam.data.files import kind_of_file
from reparam.data.frames import FrameType, to_arrow
from reparam.data.given import checked_batch, options_like, prepared, renumbered
from reparam.data.mixed import decoded, table_of_array
from reparam.data.preparation import Preparation, far_from, preparation_of
from reparam.data.sources.anndata import given_cells
from reparam.data.sources.array import labels_of, read_arrays
from reparam.data.tables import READING, Table, read_table
from reparam.data.vocabulary import Vocabulary, vocabulary_of
from reparam.distributions.queries import sample_in_range
from reparam.errors import OptionError, RunError, WriteError
from reparam.isolation import Progress, default_modes, isolated
from reparam.models.directed import DirectedModel
from reparam.models.label_inference import infers_label
from reparam.models.latent import Generates, LatentModel, as_latent, is_latent
from reparam.objectives.recipe import Recipe
from reparam.runs.config import FITTED, recipe_of
from reparam.runs.folder import RunFolder
from reparam.runs.options import EvaluationOptions, Proposal
from reparam.runs.refit import refit
from reparam.sharing import each_chunk
from reparam.spec import DataSpec
from reparam.training.callbacks import sample_images
from reparam.training.runtime import make_runtime
from reparam.utils.arguments import numbers
from reparam.utils.equality import by_value
from reparam.utils.files import as_path, stored_path
from reparam.utils.memory import allocating, require_memory
from reparam.utils.terminal import note
from reparam.variants.fitted_prior import FittedKind

if TYPE_CHECKING:
    from reparam.evaluation import Evaluation
    from reparam.evaluation.conditionals import Imputation
    from reparam.evaluation.samples import Features
    from reparam.export import Export, Format
    from reparam.report import Report


FEW_DRAWS = 10
"""The effective number of draws of an imputation below which its intervals are too narrow."""

CHUNK = 500
"""The number of examples that are encoded at once, and that one of several processes takes."""


@by_value
@dataclass
class Run:
    """A trained model, and the run that trained it.

    Arguments:
        model: The model, in evaluation mode.
        spec: The shape and support of its data.
        config: The options of the run.
        data: The data it was trained on; None until they are needed again.
        folder: Its folder; None for a run that was not written.
        rows: The metrics, one mapping of scalars for each window of steps and each epoch.
        is_main: Whether this process writes for the run; one of several processes does.
    """

    model: nn.Module
    spec: DataSpec
    config: dict[str, Any]
    data: Dataset | Stream | None = None
    folder: RunFolder | None = None
    rows: list[dict[str, Any]] = field(default_factory=list)
    is_main: bool = True

    def __repr__(self) -> str:
        where = "in memory" if self.folder is None else f"in {self.folder.path}"
        return f"Run({self._name} on {self.spec.name}, {where})"

    @property
    def _name(self) -> str:
        return self.config.get("variant") or type(self.model).__name__

    @property
    def _recorded(self) -> dict[str, Any]:
        return self.config.get("recorded", {})

    @property
    def _n_classes(self) -> int | None:
        """The number of classes of a model that takes labels; None for other models."""
        is_observed = isinstance(self.model, DirectedModel) and "y" in self.model.parents
        takes_labels = self.spec.given_label or is_observed or infers_label(self.model)
        return self.spec.n_classes if takes_labels else None

    @property
    def device(self) -> torch.device:
        """The device of the model."""
        return next(self.model.parameters()).device

    @property
    def has_named_data(self) -> bool:
        """Whether the data of the run can be loaded by name; False for data that were in memory."""
        return bool(self._recorded.get("data"))

    @property
    def vocabulary(self) -> Vocabulary | None:
        """The map from text to tokens and back, for a run on text; None for other data."""
        return vocabulary_of(self._recorded.get("data"))

    @property
    def latent_model(self) -> LatentModel:
        """The model, if it has latent variables.

        Raises:
            OptionError: It has none.
        """
        if not is_latent(self.model):
            raise OptionError(
                f"{self._name!r} has no latent variables, so it does not encode or decode"
            )
        return as_latent(self.model)

    def recipe(self) -> Recipe:
        """Build the recipe that the configuration describes, with its first weights.

        Raises:
            RunError: The model was composed by hand.
        """
        return recipe_of(self.config, self.spec)

    def dataset(
        self,
        name: str | None = None,
        data_dir: str | Path | None = None,
        path: str | Path | None = None,
    ) -> Dataset:
        """Return the data of the run, or other data prepared in the same way.

        Arguments:
            name: The name of another data set; None for the one that the run was trained on.
            data_dir: The folder that holds the data set's folder now.
            path: Another file of the same kind, such as another text.

        Raises:
            RunError: The data were in memory, and are not there any more.
            OptionError: The other data set has another shape or support than the model.
        """
        if name is data_dir is path is None and isinstance(self.data, Dataset):
            return self.data
        options = self._recorded.get("data") or {}
        if name is None and not options:
            raise RunError(
                "this run was trained on data in memory: give them, or the name of a data set of "
                "the same kind, as data=..."
            )
        if self.spec.schema is not None and name is None:
            # The columns of x are those of the model, whatever another table suggests.
            options = {**options, "schema": self.spec.schema}
        found = data_sets.load(**options_like(options, name, data_dir, path))
        has_own = self.spec.schema is not None or options.get("name") == "array"
        if has_own and self.class_names and found.class_names:
            found = renumbered(found, self.class_names)
        return cast(Dataset, self.prepared(found))

    @property
    def class_names(self) -> tuple[str, ...]:
        """The names of the classes of the training data in their order; () where they have none."""
        return tuple(self._recorded.get("class_names") or ())

    def read(self, path: str | Path) -> Dataset:
        """Return all examples in a file, prepared as the training data were.

        Arguments:
            path: A table, for a run on one; arrays; cells of AnnData; or a file or folder of the
                same kind as the run's own data.

        Raises:
            DataError: A file that cannot be read, or that the training data could not be.
        """
        kind = kind_of_file(path)
        if self.spec.schema is not None and kind == "table":
            return cast(Dataset, self.prepared(self.table(path)))
        if kind == "array":
            x, y, _ = read_arrays(path)
            names = self.class_names
            if y is None:
                values = x if self.spec.schema is None else self.table(path)
                return cast(Dataset, self.prepared(values))
            labels = labels_of(y, len(x), f"y of {path}", names)[0] if names else y
            return cast(Dataset, self.prepared((x, labels)))
        if kind == "anndata":
            options = self._recorded.get("data") or {}
            return cast(Dataset, self.prepared(given_cells(path, options, self.class_names)))
        return self.dataset(path=path)

    def table(self, path: str | Path) -> Table:
        """Return the table in a file, read with the options of the training data, and its cells.

        Arguments:
            path: The file: a table, or an array of NumPy for a run on columns of numbers.
        """
        schema, options = self.spec.schema, self._recorded.get("data") or {}
        if schema is not None and kind_of_file(path) == "array":
            return table_of_array(read_arrays(path)[0], schema, f"x of {path}")
        # Of other rows none is left out: results are in their order.
        known = {key: options[key] for key in READING if key in options and key != "skip_damaged"}
        # Another program may have written the file.
        known["usual_decimal"] = known.pop("decimal", None)
        texts = () if schema is None else schema.text_columns
        return read_table(path, text_columns=texts, keeps_cells=True, **known)

    @property
    def preparation(self) -> Preparation:
        """The map from the stored values of the training data, or of other data, to x."""
        if self.data is not None:
            return Preparation(self.spec, self.data.transform)
        return preparation_of(self.spec, self._recorded)

    def prepared(self, data: object) -> Dataset | Stream:
        """Return data prepared exactly as the training data were, and held to their spec.

        Arguments:
            data: Any data that ``fit`` takes. Bytes are scaled, binarized or dequantized as the
                bytes of the training data were; floats are x itself.

        Raises:
            DataError: Values or labels that the training data could not have had.
            ShapeError: Examples of another shape, or with their axes in another order.
            OptionError: A data set that was prepared in another way.
        """
        if self.data is not None and data is self.data:
            return self.data
        return prepared(data, self.preparation, self._recorded, self._n_classes)

    @default_modes()
    @numbers()
    def examples(
        self, data: object = None, split: str = "test", seed: int = 0, limit: int | None = None
    ) -> Batch:
        """Return examples under one frozen draw of x.

        Arguments:
            data: Any data that ``fit`` takes (see ``prepared``); None for the run's own. A batch,
                whose x is the input of the model, is checked and returned.
            split: The split of a data set.
            seed: The seed of the draw.
            limit: The number of examples, from the first; None for all.
        """
        if isinstance(data, Batch):
            return checked_batch(data, self.spec, self._n_classes)
        source = self.dataset() if data is None else self.prepared(data)
        if not isinstance(data, Dataset | None):
            split = "train"  # plain arrays have no splits: all of them are returned
        if split not in source.splits:
            raise OptionError(
                f"{source.name!r} has no split {split!r}, only {', '.join(source.splits)}: name "
                "one of them as split=..., or give other data"
            )
        batch = source.examples(split, seed=seed, limit=limit)
        if data is not None:
            if isinstance(data, Dataset):  # others were checked as they were prepared
                check_values(batch.x, self.spec)
            far = far_from(batch.x, self._recorded.get("range"))
            if far and source is not self.data:
                note(far)
        return batch

    @default_modes()
    @numbers()
    def evaluate(
        self,
        data: object = None,
        *,
        split: str = "test",
        n_samples: int = 500,
        proposal: Proposal = "posterior",
        annealed: int = 0,
        annealed_temperatures: int = 100,
        probe: bool = False,
        sample_quality: int = 0,
        sample_means: bool = False,
        features: "Features | None" = None,
        train: bool = True,
        seed: int = 0,
        device: str = "auto",
        max_memory_mb: int = 512,
        devices: int = 1,
        nodes: int = 1,
        keep: bool = True,
        progress: Progress | None = None,
        say: Callable[[str], None] | None = None,
    ) -> "Evaluation":
        """Measure the model: every figure in nats, with its standard error.

        A run with a folder keeps the figures of its data sets there, as ``evaluation.json``, and
        those of every example as ``evaluation.safetensors``. A note is printed if the folder cannot
        be written to.

        Arguments:
            data: The data to measure on; None for the run's own data.
            split: The split of a data set.
            n_samples: The number of importance samples for each example.
            proposal: Their distribution: ``posterior``; ``defensive``, mixed with the prior; or
                ``tuned`` to each example, most accurate and slowest.
            annealed: The number of examples for annealed importance sampling; 0 for none.
            annealed_temperatures: The number of its steps.
            probe: Whether to probe also codes of more than 256 dimensions, which takes minutes.
            sample_quality: The number of samples of the model to compare with as many examples; 0
                for none.
            sample_means: Whether to compare means of p(x | z), instead of draws.
            features: A function from examples with shape (B, *shape) to features with shape (B, F),
                for the Fréchet and the kernel distance of the samples.
            train: Whether to use the training split of a data set too, for active units and probes.
            seed: The seed of every draw.
            device: The device that computes.
            max_memory_mb: The approximate memory that the decoder may use, in MiB.
            devices: The number of devices of each node that share the examples, a process each.
            nodes: The number of nodes.
            keep: Whether the folder keeps the figures.
            progress: A function that is called with (examples done, examples in all).
            say: A function that is called with a sentence before a slow part.
        """
        options = EvaluationOptions(
            n_samples=n_samples,
            proposal=proposal,
            annealed=annealed,
            annealed_temperatures=annealed_temperatures,
            probe=probe,
            sample_quality=sample_quality,
            sample_means=sample_means,
        )
        # Imported here: slow, and not needed for training.
        from reparam.evaluation import evaluate
        from reparam.evaluation.latents.activity import N_FIRST
        from reparam.evaluation.latents.probes import training_rows
        from reparam.evaluation.per_example import save_evaluation

        source = self.dataset() if data is None else data
        runtime = make_runtime(device, "float32", devices, nodes)
        first = probed = None
        if isinstance(source, Dataset) and split != "train" and train:
            first = self.examples(source, "train", seed, limit=N_FIRST)
            labels = source.split("train").y
            if labels is not None and bool((labels >= 0).any()):
                some = source.split("train").take(training_rows(labels, seed))
                probed = self.examples(with_changes(source, splits={"train": some}), "train", seed)
        with allocating(max_memory_mb=max_memory_mb, **vars(options)):
            result = evaluate(
                self.model,
                self.examples(source, split, seed),
                self.spec,
                features=features,
                train=first,
                probe_train=probed,
                seed=seed,
                device=str(runtime.device),
                split=split if isinstance(source, Dataset) else "data given",
                max_memory_mb=max_memory_mb,
                progress=progress,
                say=say,
                processes=runtime,
                **vars(options),
            )
        if not isinstance(source, Dataset):
            return result
        binarize = (source.options or {}).get("binarize")
        result = result.with_facts(data=source.name, binarize=binarize)
        if keep and self.folder is not None and self.is_main:
            facts = {**result.to_dict(), "weights_sha256": self.folder.weights_sha256}
            try:
                save_evaluation(self.folder.evaluation_file, facts, result.per_example)
            except WriteError as error:
                note(f"{error}; the figures are not kept")
        return result

    def kept_evaluation(self) -> "Evaluation | None":
        """Return the stored result of the last ``evaluate`` of these weights; None without one."""
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
        except TypeError:  # a damaged file counts as none
            return None

    @default_modes()
    @numbers()
    def sample(
        self,
        n_samples: int,
        seed: int = 0,
        label: int | str | None = None,
        covariates: Array | Mapping[str, object] | None = None,
        *,
        mean: bool = False,
        temperature: float = 1.0,
    ) -> Tensor:
        """Draw examples from the model, with shape (n, *shape), on the CPU.

        Arguments:
            n_samples: The number of examples.
            seed: The seed of every draw.
            label: The label to generate, or the name of its class. None gives a model under the
                condition ``label`` the classes in turn, and lets a model that infers the label draw
                it.
            covariates: For a model under a condition on covariates: their values, with shape
                (n, C), or (C,) for the same in all examples, or a mapping from their names.
            mean: Return the means of p(x | z), as pictures show them, and no draws from it; for a
                model with latent variables.
            temperature: A factor on z; below one, more typical and less varied examples.

        Raises:
            OptionError: Fewer than one example, an unknown label, or a model that does not generate
                examples.
        """
        if n_samples < 1:
            raise OptionError(f"n_samples={n_samples}: give at least 1")
        label = None if label is None else label_number(label, self.class_names)
        inferred = label is not None and infers_label(self.model)
        spec = self.spec.conditioned("label") if inferred else self.spec
        # The draws, and the codes or means that they come from.
        require_memory(2 * 4 * n_samples * self.spec.dim, self.device, n_samples=n_samples)
        c = conditions(spec, n_samples, label, covariates)
        with allocating(n_samples=n_samples), isolated(self.model, seed=seed) as device:
            images = self._draw(n_samples, None if c is None else c.to(device), mean, temperature)
            # A mean may be one row expanded, or a parameter itself.
            return images.to("cpu", copy=True, memory_format=torch.contiguous_format)

    def _draw(self, n: int, c: Tensor | None, mean: bool, temperature: float) -> Tensor:
        """Return examples as the model, or its own ``sample``, draws them."""
        options: dict[str, Any] = {} if c is None else {"c": c}
        options |= {"mean": True} if mean else {}
        options |= {} if temperature == 1.0 else {"temperature": temperature}
        model = self.model
        if not isinstance(model, DirectedModel):
            if is_latent(model) and not isinstance(model, Generates):
                model = as_latent(model)
            if isinstance(model, Generates):
                return model.sample(n, **options).reshape(-1, *self.spec.shape)
        images = sample_images(model, n, self.spec.shape, c)
        if images is None:
            raise OptionError(
                f"{self._name!r} does not generate examples: train a variant such as 'vae'"
            )
        return images

    @default_modes()
    @numbers(n_samples=1, n_proposals=0)
    def sample_given(
        self,
        given: Mapping[str, object],
        n_samples: int,
        seed: int = 0,
        n_proposals: int = 10_000,
    ) -> Tensor:
        r"""Draw rows of a table that have given values in some columns, with shape (n, D).

        .. math:: x \sim p(x \mid x_{\mathrm{given}})

        Codes are drawn by importance resampling. A note says how many of the proposals count, if
        they are fewer than the rows.

        Arguments:
            given: The values by the names of their columns, such as ``{"age": 40, "sex": "F"}``.
                A time without a zone is one of the zone of its column. Durations are
                ``timedelta``, text such as ``1h30m``, or seconds.
            n_samples: The number of rows n.
            seed: The seed of every draw.
            n_proposals: The number of codes that the rows are drawn from.

        Raises:
            OptionError: A column that does not exist, no column, or data without a schema.
            DataError: A class that the training data do not have.
        """
        from reparam.evaluation.conditionals import weighted_draws, with_results

        if self.spec.schema is None:
            raise OptionError(
                f"given={dict(given)}: this run was trained on {self.spec.support} data without "
                "named columns of several kinds; train on a table"
            )
        row, results = self.spec.schema.encode_conditions(given)
        x = torch.from_numpy(row).float()[None]
        with allocating(n_samples=n_samples), isolated(self.model, seed=seed) as device:
            model, x = self.latent_model, x.to(device)
            draws = weighted_draws(model, x, None, n_proposals, from_prior=0.5)
            if results:
                draws = with_results(draws, x, self.spec.schema, results)
            if draws.x is None:
                p = model.likelihood(draws.resampled(draws.z, n_samples)[:, 0])
                # A column that is given has its value in every row, and is missing in none.
                found = sample_in_range(p, x).cpu()
            else:
                found = draws.resampled(draws.x, n_samples)[:, 0].cpu()
            size = float(draws.effective_sample_size)
        if size < n_samples:
            note(
                f"{size:,.0f} of {n_proposals:,} codes count for {n_samples:,} rows, so that some "
                "of the rows share a code: give fewer columns, or more proposals"
            )
        return found

    @default_modes()
    @numbers(n_samples=1)
    def log_likelihood(
        self,
        data: object = None,
        *,
        split: str = "test",
        n_samples: int = 100,
        seed: int = 0,
        devices: int = 1,
        nodes: int = 1,
        progress: Progress | None = None,
    ) -> Tensor:
        """Return estimates of log p(x) of the examples in nats, with shape (N,), in their order.

        Of a row that lacks values it is that of the others: see ``LatentModel.log_likelihood``.

        Arguments:
            data: Any data that ``fit`` takes; None for the run's own.
            split: The split of a data set.
            n_samples: The number of importance samples for each example.
            seed: The seed of every draw.
            devices: The number of devices of each node that share the examples, a process each.
            nodes: The number of nodes.
            progress: A function that is called with (examples done, examples in all).
        """
        batch = self.examples(data, split, seed)

        def estimated(x: Tensor, c: Tensor | None) -> Tensor:
            return self.latent_model.log_likelihood(x, c, n_samples, chunk=20)

        return self._in_chunks(estimated, batch.x, batch.c, seed, devices, nodes, progress)

    @default_modes()
    @numbers(n_samples=2)
    def log_conditionals(
        self,
        data: object = None,
        *,
        split: str = "test",
        n_samples: int = 200,
        seed: int = 0,
        devices: int = 1,
        nodes: int = 1,
    ) -> Tensor:
        """Return log p(x_j | all other entries) in nats, with shape (N, D): what is unusual.

        Arguments:
            data: Any data that ``fit`` takes; None for the run's own.
            split: The split of a data set.
            n_samples: The number of importance samples for each example.
            seed: The seed of every draw.
            devices: The number of devices of each node that share the examples, a process each.
            nodes: The number of nodes.

        Raises:
            SupportError: A likelihood whose entries are not independent given z.
        """
        from reparam.evaluation.conditionals import log_conditionals

        batch = self.examples(data, split, seed)

        def estimated(x: Tensor, c: Tensor | None) -> Tensor:
            return log_conditionals(self.latent_model, x, c, n_samples)

        return self._in_chunks(estimated, batch.x, batch.c, seed, devices, nodes)

    @default_modes()
    @numbers(n_samples=2, n_draws=0)
    def impute(
        self,
        data: object = None,
        *,
        split: str = "test",
        n_samples: int = 1000,
        n_draws: int = 0,
        interval: float = 0.9,
        seed: int = 0,
        devices: int = 1,
        nodes: int = 1,
        progress: Progress | None = None,
    ) -> "Imputation":
        """Return values for the missing entries of rows, given the others.

        Arguments:
            data: Rows of a table, NaN where a value is missing; None for the run's own.
            split: The split of a data set.
            n_samples: The number of importance samples for each row.
            n_draws: The number of draws of each whole row, for multiple imputation.
            interval: The probability of the interval of every missing value.
            seed: The seed of every draw.
            devices: The number of devices of each node that share the examples, a process each.
            nodes: The number of nodes.
            progress: A function that is called with (examples done, examples in all).

        Raises:
            OptionError: Data that are no rows of a table, or an interval outside (0, 1).
        """
        from reparam.evaluation.conditionals import Imputation, impute, rows_at_once

        if len(self.spec.shape) != 1:
            raise OptionError(
                f"impute: examples of shape {self.spec.shape} are no rows of a table; train on one"
            )
        batch = self.examples(data, split, seed)
        runtime = make_runtime(str(self.device), "float32", devices, nodes)

        def imputed(part: Batch) -> Imputation:
            return impute(
                self.latent_model,
                part.x,
                part.c,
                n_samples=n_samples,
                n_draws=n_draws,
                interval=interval,
            ).cpu()

        memory = allocating(n=len(batch), n_samples=n_samples)
        with memory, isolated(self.model, runtime.device) as device:
            size = rows_at_once(self.latent_model, batch.x, n_samples)
            parts = each_chunk(
                imputed, batch, size, device, seed=seed, processes=runtime, progress=progress
            )
        found = Imputation.joined(parts)
        few = found.effective_sample_size.cpu()[batch.x.isnan().any(1).cpu()]
        if len(few) and float(few.median()) < FEW_DRAWS:
            note(
                f"impute: in half of the rows with gaps at most {float(few.median()):.1f} of "
                f"n_samples={n_samples} draws count, so that intervals are too narrow; draw more, "
                "or use reparam.estimators.VAEImputer, which is trained to fill in"
            )
        return found

    def to_table(self, x: object, like: object = None) -> Any:
        """Return rows x as a table with the columns, types and classes of the training data.

        Arguments:
            x: The rows, with shape (N, D), such as ``sample`` returns.
            like: A DataFrame, whose library and types the table gets; a table of Arrow when None.

        Raises:
            OptionError: Data without columns.
        """
        schema, names = self.spec.schema, self.spec.columns
        if schema is None and not names:
            raise OptionError(
                f"to_table: this run was trained on {self.spec.words} without names of columns; "
                "train on a DataFrame or a file of a table"
            )
        rows, kept = fitted(as_tensor(x, "x"), self.spec.shape), FrameType.of(like)
        if schema is not None and kept is None:
            return decoded(rows, schema)
        values = rows.double().cpu().numpy()
        columns = (
            dict(zip(names, values.T, strict=True)) if schema is None else schema.decode(values)
        )
        written = {} if schema is None else schema.written
        return to_arrow(columns) if kept is None else kept.frame(columns, None, written)

    @default_modes()
    @numbers()
    def encode(
        self,
        data: object = None,
        *,
        split: str = "test",
        seed: int = 0,
        devices: int = 1,
        nodes: int = 1,
    ) -> Tensor:
        """Return the posterior means of the examples, with shape (N, D).

        Arguments:
            data: Any data that ``fit`` takes; None for the run's own.
            split: The split of a data set.
            seed: The seed of every draw.
            devices: The number of devices of each node that share the examples, a process each.
            nodes: The number of nodes.
        """
        batch = self.examples(data, split, seed)
        encode = self.latent_model.encode
        return self._in_chunks(encode, batch.x, batch.c, seed, devices, nodes)

    @default_modes()
    @numbers()
    def reconstruct(self, data: object = None, *, split: str = "test", seed: int = 0) -> Tensor:
        """Return the reconstructions of the examples, with shape (N, *shape)."""
        batch = self.examples(data, split, seed)
        return self._in_chunks(self.latent_model.reconstruct, batch.x, batch.c, seed)

    @default_modes()
    def denoise(self, corrupted: object, c: object = None) -> Tensor:
        """Return the reconstructions of corrupted examples, with shape (N, *shape).

        Unlike those of ``reconstruct``, the values may lie outside the support of the data.

        Arguments:
            corrupted: The corrupted input of the model, a tensor or an array with shape
                (N, *shape), or a batch with its condition.
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

    @default_modes()
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

    @default_modes()
    @numbers(steps=0, n_components=1)
    def report(self, data: object = None, *, n_samples: int = 100, seed: int = 0) -> "Report":
        """Return a report on the run: one page that opens offline, also in a notebook.

        Arguments:
            data: The data that the run was trained on, where they are not loaded by name.
            n_samples: The number of importance samples of figures that are not stored yet.
            seed: The seed of every draw.

        Raises:
            RunError: The data came from memory, and are not there any more.
        """
        # Imported here: slow, and not needed for training.
        from reparam.report import report

        return report(self, data=data, n_samples=n_samples, seed=seed)

    def save_card(
        self,
        folder: str | Path,
        *,
        license: str,
        repository: str | None = None,
        evaluation: "Evaluation | None" = None,
    ) -> Path:
        """Write a model card into a folder, and return the folder.

        The card is README.md, with samples.png beside it where samples are images. It says what the
        model is, how it was trained, its figures, what they do not say, and how to load it.
        ``reparam.hub.save`` also writes the model.

        Arguments:
            folder: The folder, which is made where it does not exist.
            license: The license of the model, such as ``apache-2.0``, ``cc-by-4.0`` or ``other``.
            repository: The repository that will hold the model; None for a folder.
            evaluation: The figures; by default those that the run's own folder keeps.

        Raises:
            OptionError: A license that is no identifier.
            WriteError: A file cannot be written.
        """
        # Imported here: slow, and not needed for training.
        from reparam.report.card import card

        made = card(self, license=license, repository=repository, evaluation=evaluation)
        return made.save(folder)

    def export(self, path: str | Path, to: "Format" = "onnx", overwrite: bool = False) -> "Export":
        """Write the model as files that run without this library, such as ``encoder.onnx``.

        The files are an encoder, a decoder and a sampler of the prior, and ``model.json``, which
        describes their inputs and outputs. Each is compared with the model before it is written.

        Arguments:
            path: The folder.
            to: ``onnx``, or ``torch`` for ``torch.export.load``.
            overwrite: Whether files of an earlier export in the folder are replaced.

        Raises:
            OptionError: Another format.
            SupportError: A model that cannot be exported.
            MissingPackageError: A package that is not installed.
            RunError: The folder holds another export, a file differs from the model, or one cannot
                be written. Nothing is left behind.

        Example:
            >>> from tempfile import TemporaryDirectory
            >>> from reparam import data, fit, variants
            >>> digits = data.load("digits")
            >>> run = fit(variants.vae, digits, epochs=1, progress=False)
            >>> with TemporaryDirectory() as folder:
            ...     exported = run.export(folder, to="torch")
            >>> exported.difference < 1e-4
            True
        """
        # Imported here: slow, and not needed for training.
        from reparam.export import export

        return export(self, path, to, overwrite)

    def with_prior(
        self,
        kind: FittedKind,
        *,
        data: object = None,
        steps: int | None = None,
        budget: str | float | None = None,
        n_components: int | None = None,
        out: str | Path | Callable[[], Path] | None = None,
        seed: int = 0,
    ) -> "Run":
        r"""Return a run with the same encoder and decoder, and a prior that is fitted to its codes.

        .. math:: \max_p \mathbb E_x \mathbb E_{q(z \mid x, c)} \log p(z \mid c)

        The mean KL is the mutual information of x and z, which stays, and the divergence of the
        aggregate posterior from the prior, which becomes as small as the prior allows. So the ELBO
        rises, and samples are decoded from codes such as those of the data. Weights with the best
        density of held-out codes are kept. Under a condition the prior is p(z | c).

        Of a hierarchy the prior of the top layer is replaced, and of a model that infers labels
        that of z. An autoencoder becomes a generator.

        Arguments:
            kind: ``flow``, masked autoregressive with splines; ``mixture`` of Gaussians; ``vamp``,
                a mixture of posteriors of learned inputs; or ``diffusion``.
            data: The data that the run was trained on, where they are not loaded by name.
            steps: The largest number of optimizer steps; None for a default. Fewer are taken where
                the density of held-out codes stops rising.
            budget: The largest wall-clock time, as ``fit`` takes it, in place of ``steps``.
            n_components: The number of components of ``mixture`` or ``vamp``; None for the best by
                held-out codes, and for 500.
            out: The folder of the new run, or a function that makes it, which is called after the
                fit. None writes nothing.
            seed: The seed of every draw.

        Raises:
            OptionError: An unknown kind, an option that it does not have, or a model without
                latent variables.
            SupportError: Codes that are no vectors of real numbers.
            RunError: The folder holds another run.

        References:
            Hoffman & Johnson, ELBO surgery, NIPS workshop 2016; Ghosh et al., From variational to
            deterministic autoencoders, ICLR 2020, section 4 (a density fitted afterwards).

        Example:
            >>> from reparam import data, fit, variants
            >>> digits = data.load("digits")
            >>> run = fit(variants.vae, digits, epochs=1, progress=False)
            >>> new = run.with_prior("mixture", n_components=5, steps=20)
            >>> new.sample(3).shape, new.config["fitted_prior"]["prior"]
            (torch.Size([3, 1, 8, 8]), 'mixture')
        """
        if isinstance(out, str | Path):
            RunFolder(as_path(out, "out")).require_free()
        trained = self.latent_model
        source = self.data if data is None else self.prepared(data)
        model, fitted = refit(
            trained,
            self.spec,
            self.dataset() if source is None else source,
            kind,
            steps=steps,
            budget=budget,
            n_components=n_components,
            seed=seed,
        )
        if self.folder is not None:
            fitted = with_changes(
                fitted,
                run=stored_path(self.folder.path),
                weights_sha256=self.folder.weights_sha256,
            )
        config = deepcopy(self.config)
        facts = {}
        if "recorded" in config:
            facts = {"recorded": config.pop("recorded") | {"chooses_prior": False}}
        config |= {FITTED: fitted.to_dict(), **facts}
        rows, folder = deepcopy(self.rows), None
        if out is not None:
            folder = RunFolder(as_path(out() if callable(out) else out, "out"))
        run = with_changes(self, model=model, config=config, folder=folder, rows=rows)
        if folder is not None:
            with folder.locked(note):
                folder.write_trained(config, rows, model.state_dict(), {"step": fitted.steps})
        return run

    def _in_chunks(
        self,
        function: Callable[..., Tensor],
        values: Tensor,
        c: Tensor | None,
        seed: int,
        devices: int = 1,
        nodes: int = 1,
        progress: Progress | None = None,
    ) -> Tensor:
        """Return a function of the model of many values, on the CPU."""
        runtime = make_runtime(str(self.device), "float32", devices, nodes)
        with allocating(n=len(values)), isolated(self.model, runtime.device) as device:
            found = each_chunk(
                lambda chunk: function(chunk.x, chunk.c).cpu(),
                Batch(values, c=c),
                CHUNK,
                device,
                seed=seed,
                processes=runtime,
                progress=progress,
            )
            return torch.cat(found).contiguous()
