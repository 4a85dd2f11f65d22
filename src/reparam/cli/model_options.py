"""The options of ``reparam train``: those of a variant, and the groups that every variant has."""

from collections.abc import Mapping
from dataclasses import dataclass, fields, make_dataclass
from typing import Annotated, Any, get_type_hints

import tyro
from tyro.constructors import PrimitiveConstructorSpec

from reparam.errors import OptionError, unknown
from reparam.runs.options import DataOptions, ModelOptions
from reparam.runs.stored import among, option_types, plain_type, typed
from reparam.training.options import MachineOptions, TrainingOptions
from reparam.variants import Variant
from reparam.variants.options import Option, documented, options_of
from reparam.variants.parts import OBJECTIVES, POSTERIORS, PRIORS

# --resume alone means the folder of --out.
OPTIONAL_RUN = PrimitiveConstructorSpec[str | None](
    nargs=(0, 1),
    metavar="[RUN]",
    instance_from_str=lambda words: words[0] if words else "",
    is_instance=lambda value: value is None or isinstance(value, str),
    str_from_instance=lambda value: ["None"] if value is None else [value],
)

NAMES = {"posterior": POSTERIORS, "prior": PRIORS, "objective": OBJECTIVES}
"""The parts that are chosen by name."""


@dataclass(frozen=True)
class FolderOptions:
    """The folder of the run, and a file of options.

    Arguments:
        out: The folder of the run; runs/DATA-VARIANT-N by default.
        resume: Go on with the run in this folder, or in --out; a new one begins if there is none.
        config: A YAML file of options; the options on the command line replace them.
    """

    out: Annotated[str | None, tyro.conf.arg(metavar="DIR")] = None
    resume: Annotated[str | None, OPTIONAL_RUN] = None
    config: Annotated[str | None, tyro.conf.arg(metavar="FILE.yaml")] = None


GROUPS: Mapping[str, type[Any]] = {
    "data": DataOptions,
    "training": TrainingOptions,
    "machine": MachineOptions,
    "folder": FolderOptions,
}
"""The groups of options that every variant has, beside those of its model."""


def options_class(variant: Variant) -> type[Any]:
    """Return the dataclass of all options of a variant, in groups."""
    own = options_of(variant.name)
    helps, types = documented(ModelOptions), get_type_hints(ModelOptions)
    common = {
        f.name: Option(f.name, types[f.name], f.default, helps.get(f.name, ""))
        for f in fields(ModelOptions)
    }
    model = make_dataclass(
        "Model",
        [
            (o.name, Annotated[plain_type(o.type), tyro.conf.arg(help=_help(o))], o.default)
            for o in {**own, **{k: o for k, o in common.items() if k not in own}}.values()
        ],
        frozen=True,
        namespace={"__doc__": f"The options of {variant.name}, and of its parts."},
    )
    return make_dataclass("Options", [("model", model), *GROUPS.items()], frozen=True)


def _help(option: Option) -> str:
    if option.name not in NAMES:
        return option.help
    return f"{(option.help or option.name).rstrip('.')}: {', '.join(NAMES[option.name])}."


def with_values(cls: type[Any], variant: str, values: Mapping[str, Any], where: str) -> Any:
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
    groups = get_type_hints(cls)
    try:
        for name in values:
            if name not in types and name != "recorded":
                raise unknown(f"option of {variant!r}", name, types)
        found = typed(values, types)
        return cls(**{name: group(**among(found, group)) for name, group in groups.items()})
    except OptionError as error:
        raise OptionError(f"{where}: {error}") from error
