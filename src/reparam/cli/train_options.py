"""The options of ``reparam train``: those of a variant, and the groups that every variant has.

Their defaults are those of the dataclasses, or the values of a YAML file or of the run to resume.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, fields, make_dataclass
from typing import Annotated, Any, get_type_hints

import tyro
from tyro.constructors import PrimitiveConstructorSpec

from reparam.errors import OptionError, folded, unknown
from reparam.families import default_likelihood
from reparam.runs.config import (
    FITTED,
    among,
    checked_config,
    option_types,
    plain_type,
    read_config,
    typed,
)
from reparam.runs.folder import RunFolder
from reparam.runs.options import DataOptions, ModelOptions
from reparam.runs.search import AUTO, Auto
from reparam.spec import DataSpec
from reparam.training.options import HELD_OUT, LENGTHS, MachineOptions, TrainingOptions
from reparam.variants import Variant, get, names
from reparam.variants.kinds import KINDS
from reparam.variants.options import Option, documented, options_of

# --resume alone means the folder of --out.
OPTIONAL_RUN = PrimitiveConstructorSpec[str | None](
    nargs=(0, 1),
    metavar="[RUN]",
    instance_from_str=lambda words: words[0] if words else "",
    is_instance=lambda value: value is None or isinstance(value, str),
    str_from_instance=lambda value: ["None"] if value is None else [value],
)


@dataclass(frozen=True)
class FolderOptions:
    """The folder of the run, and a file of options.

    Arguments:
        out: The folder of the run; runs/DATA-VARIANT-N by default.
        resume: Go on with the run in this folder, or in --out; a new one begins if there is none.
        config: A YAML file of options; the options on the command line replace them.
        no_report: Do not write report.html at the end, a page on the run: see reparam report.
    """

    out: Annotated[str | None, tyro.conf.arg(metavar="DIR")] = None
    resume: Annotated[str | None, OPTIONAL_RUN] = None
    config: Annotated[str | None, tyro.conf.arg(metavar="FILE.yaml")] = None
    no_report: bool = False


SEARCHED: Mapping[str, type[int] | type[float]] = {"latent_dim": int, "beta": float}
"""The options of a model that held-out rows can choose, and their types."""


def searchable(kind: type[int] | type[float]) -> PrimitiveConstructorSpec[Any]:
    """Return how a number is typed that may be the word auto, or None by default."""
    words: Mapping[str, Any] = {AUTO: AUTO, "None": None}
    return PrimitiveConstructorSpec(
        nargs=1,
        metavar=f"{kind.__name__.upper()}|{AUTO}",
        instance_from_str=lambda w: words[w[0]] if w[0] in words else kind(w[0]),
        is_instance=lambda value: value in words.values() or isinstance(value, int | float),
        str_from_instance=lambda value: [str(value)],
    )


GROUPS: Mapping[str, type[Any]] = {
    "data": DataOptions,
    "training": TrainingOptions,
    "machine": MachineOptions,
    "folder": FolderOptions,
}
"""The groups of options that every variant has, beside those of its model."""


def options_class(variant: Variant) -> type[Any]:
    """Return the dataclass of all options of a variant, in groups."""
    helps, types = documented(ModelOptions), get_type_hints(ModelOptions)
    options = options_of(variant.name)
    for f in fields(ModelOptions):
        options.setdefault(f.name, Option(f.name, types[f.name], f.default, helps.get(f.name, "")))
    model = make_dataclass(
        "Model",
        [(o.name, _with_help(o), o.default) for o in options.values()],
        frozen=True,
        namespace={"__doc__": f"The options of {variant.name}, and of its parts."},
    )
    return make_dataclass("Options", [("model", model), *GROUPS.items()], frozen=True)


def _with_help(option: Option) -> Any:
    """Return the type of an option with its help, and with the word auto where a search may be."""
    kind, text = plain_type(option.type), tyro.conf.arg(help=_help(option))
    if option.name in SEARCHED:
        return Annotated[kind | Auto, searchable(SEARCHED[option.name]), text]
    return Annotated[kind, text]


def _help(option: Option) -> str:
    if option.name not in KINDS:
        return option.help
    return f"{(option.help or option.name).rstrip('.')}: {', '.join(KINDS[option.name])}."


def with_values(cls: type[Any], variant: str, values: Mapping[str, object], where: str) -> Any:
    """Return options with values that were read from YAML.

    Arguments:
        cls: The dataclass of all options of the variant.
        variant: The name of the variant.
        values: Values by the names of options.
        where: The file of the values, for messages.

    Raises:
        OptionError: An option that the variant does not have, or a value of another type.
    """
    types = {**option_types(variant), "out": str | None}
    types |= {name: types[name] | Auto for name in SEARCHED if name in types}
    groups = get_type_hints(cls)
    try:
        for name in values:
            if name not in types and name not in ("recorded", FITTED):
                raise unknown(f"option of {variant!r}", name, types)
        found = typed(values, types)
        return cls(**{name: group(**among(found, group)) for name, group in groups.items()})
    except OptionError as error:
        raise OptionError(f"{where}: {error}") from error


def stored_options(folder: FolderOptions) -> dict[str, Any]:
    """Return the options of the run to resume, or of a file; the words replace them."""
    place = RunFolder(folder.resume or folder.out or ".")
    if folder.resume is None or not place.holds_run:
        if folder.config is None:
            return {}
        known = {option for name in names() for option in option_types(name)}
        return read_config(folder.config, sorted({"variant", "out", *known}))
    if folder.config is not None:
        raise OptionError("--config and --resume: a run goes on with its own options; drop one")
    config = checked_config(place.config(), str(place.config_file))
    for key, what in (("variant", "model was composed by hand"), ("data", "data were given")):
        if config[key] is None:
            raise OptionError(
                f"the {what} in Python, so {place.path} goes on there: "
                "fit(model, data, out=..., resume=True)"
            )
    # The words may name other data, whose default is another one: the data are then compared.
    default = default_likelihood(DataSpec.from_dict(config["recorded"]["spec"]))
    if config.get("likelihood") == default:
        config["likelihood"] = None
    return config


def typed_options(words: Sequence[str]) -> set[str]:
    """Return the names of the options that are typed in the words of a command line.

    >>> sorted(typed_options(["vae", "--latent-dim", "4", "--lr=1e-3", "--no-skip"]))
    ['latent_dim', 'lr', 'skip']
    """
    names = {word.partition("=")[0].removeprefix("--") for word in words if word.startswith("--")}
    return {name.removeprefix("no-").replace("-", "_") for name in names}


def drop_other_lengths(stored: dict[str, Any], words: Sequence[str]) -> None:
    """Remove a stored length where the words give another, and what ends a run of that length."""
    if typed_options(words).isdisjoint(LENGTHS):
        return
    for name in LENGTHS:
        stored.pop(name, None)
    if stored.get("early_stopping") == HELD_OUT:
        del stored["early_stopping"]


def chosen_variant(
    named: str | None, stored: str | None, folder: FolderOptions, words: Sequence[str]
) -> Variant:
    """Return the variant: the first word, or that of the stored options.

    Raises:
        OptionError: No variant, an unknown one, or another one than that of the run to resume.
    """
    if named is not None:
        variant = get(named)
        if folder.resume is not None and stored not in (None, variant.name):
            raise OptionError(
                f"the run's variant is {stored!r}, not {variant.name!r}: name its own"
            )
        return variant
    if stored is not None:
        return get(str(stored))
    late = [word for word in words if folded(word) in names()]
    if late:
        raise OptionError(f"name the variant first: reparam train {late[0]} ...")
    if folder.resume:
        raise OptionError(f"{folder.resume} holds no run: name a variant to begin one there")
    raise OptionError(f"which variant? Name one first: reparam train {'|'.join(names())}")
