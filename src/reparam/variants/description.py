"""What the docstring of a variant says of it, part by part: its use, its formulas, its symbols."""

import inspect
import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass

from docstring_parser.google import DEFAULT_SECTIONS, GoogleParser, Section, SectionType

_FORMULAS = {
    "Generative process": "process",
    "Posterior": "posterior",
    "Objective": "objective",
}
_PARSER = GoogleParser(
    [
        *DEFAULT_SECTIONS,
        *(Section(title, key, SectionType.SINGULAR) for title, key in _FORMULAS.items()),
        Section("Symbols", "symbol", SectionType.MULTIPLE),
    ]
)


@dataclass(frozen=True)
class Symbol:
    """A symbol of the formulas of a variant.

    Arguments:
        name: The symbol, in Unicode.
        meaning: What it stands for.
        argument: The option of the variant that sets it; empty for none.
    """

    name: str
    meaning: str
    argument: str = ""


SHARED: Mapping[str, Symbol] = {
    r"\bx\b": Symbol("x", "An example, such as an image, or a row of a table."),
    r"\bz\b": Symbol(
        "z", "The latent variables, also called the code; their number.", "latent_dim"
    ),
    r"p\(x \\mid [yz]": Symbol(
        "p(x | z)", "The likelihood, whose parameters the decoder gives.", "likelihood"
    ),
    r"p\(z\)": Symbol("p(z)", "The prior, the distribution of z before x is seen.", "prior"),
    r"q\(z(_k)? \\mid x": Symbol(
        "q(z | x)", "The posterior, whose parameters the encoder gives for x.", "posterior"
    ),
    r"p\(x, z_k\)": Symbol("p(x, z)", "The joint density, p(x | z) p(z)."),
    r"\\mathcal L": Symbol("ℒ", "The objective in nats per example, which is maximized."),
    r"\\mathrm\{KL\}": Symbol(
        "KL", "The Kullback-Leibler divergence: how far one distribution is from another, in nats."
    ),
    r"\\mathrm\{ELBO\}": Symbol("ELBO", "The evidence lower bound: the objective of ``vae``."),
}
"""The symbols that mean the same in all variants, by a pattern of what stands for them."""


@dataclass(frozen=True)
class Description:
    """The description of a variant.

    Arguments:
        summary: What it is, in one line.
        use: When to use it.
        limits: Its limits.
        notes: What else there is to know; may be empty.
        process: The generative process, a formula in LaTeX.
        posterior: The posterior, where it differs from a diagonal Gaussian; may be empty.
        objective: What is maximized.
        symbols: The symbols of these formulas.
    """

    summary: str
    use: str
    limits: str
    notes: str
    process: str
    posterior: str
    objective: str
    symbols: tuple[Symbol, ...]


def description_of(function: Callable[..., object]) -> Description:
    r"""Return the description that the docstring of a variant's function has.

    The paragraph with "Use it" is its use, and the one that begins with "Limits:" its limits. Parts
    that are not there are empty.

    Arguments:
        function: The function.

    Example:
        >>> from reparam.variants import get
        >>> found = description_of(get("beta-vae").builder)
        >>> found.process
        'z \\sim \\mathcal N(0, I), \\qquad x \\sim p(x \\mid z)'
        >>> found.symbols[0]
        Symbol(name='β', meaning='The weight of the KL; 1 for the VAE.', argument='beta')
    """
    parsed = _PARSER.parse(inspect.getdoc(function))
    formulas = dict.fromkeys(_FORMULAS.values(), "")
    own = []
    for part in parsed.meta:
        key, *names = part.args
        text = " ".join((part.description or "").split())
        if key in formulas:
            formulas[key] = text.removeprefix(".. math::").strip()
        elif key == "symbol":
            name, _, argument = names[0].removesuffix(")").partition(" (")
            own.append(Symbol(name, text, argument))
    words = " ".join(formulas.values())
    shared = [symbol for pattern, symbol in SHARED.items() if re.search(pattern, words)]
    use, limits, notes = "", "", []
    for paragraph in (parsed.long_description or "").split("\n\n"):
        text = " ".join(paragraph.split())
        if text.startswith("Limits:"):
            limits = text.removeprefix("Limits:").strip()
        elif "Use it" in text:
            use = text
        else:
            notes.append(text)
    named = {symbol.name for symbol in own}
    return Description(
        parsed.short_description or "",
        use,
        limits,
        "\n\n".join(notes),
        symbols=(*own, *(symbol for symbol in shared if symbol.name not in named)),
        **formulas,
    )
