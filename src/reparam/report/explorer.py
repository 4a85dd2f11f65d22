"""The latent map, which the script of the page explores: points, examples, and a small decoder."""

import json
from collections.abc import Iterator, Sequence
from html import escape
from typing import Any

import numpy as np
import torch
from PIL import Image
from scipy.stats import rankdata
from torch import Tensor

from reparam.families import Family
from reparam.models.conditional import family_of
from reparam.pictures import is_picturable
from reparam.plots.figure import class_colors
from reparam.report.columns import (
    MOST_SHOWN,
    ShownColumn,
    Values,
    explained_columns,
    shown_columns,
)
from reparam.report.decoder import MOST_WEIGHTS, plain_decoder
from reparam.report.projections import Projection, neighborhoods, principal
from reparam.report.section import Section, data_uri, sentence
from reparam.report.steps import half
from reparam.report.view import View

N_POINTS = 600
"""The number of points of the map."""

N_SLIDERS, REACH = 8, 3.0
"""The number of dimensions with a slider, and its reach in standard deviations of codes."""

MOST_CODES = 300_000
"""The largest number of entries of codes that a page holds: 0.8 MB of text."""

PALETTE = (
    *("#4c78ff", "#e4572e", "#17a673", "#d6a300", "#39b6d8"),
    *("#b5418f", "#7a8c00", "#8f6bff", "#c98a6b", "#8a8f98"),
)
"""The colors of few classes, which can be seen on white and on black."""

SIDE, N_SPRITE_COLUMNS = 28, 40
"""The largest height and width of a thumbnail, and the number of them in a row."""

FULL = 0.5
"""The least share of known values of the column whose colors points have at first."""

N_NAMED_CLASSES = 20
"""The largest number of classes in the legend."""


def latent_map(view: View) -> Iterator[Section]:
    """Yield the map of codes, with what lies under the pointer."""
    codes = view.codes
    if codes is None or not view.reconstructs:
        return
    codes = codes[:N_POINTS]
    first, axes = principal(codes)
    has_codes = codes.numel() * view.n_runs <= MOST_CODES
    # A place of t-SNE is no code, so that the codes of the examples are decoded.
    second = neighborhoods(codes, view.seed) if has_codes else None
    maps = [first] if second is None else [first, second]
    known = _known(view, codes, maps, axes)
    data = json.dumps(known, allow_nan=False).replace("<", "\\u003c")
    choice = "".join(f'<option value="{i}">{escape(m.name)}</option>' for i, m in enumerate(maps))
    many = f'<label>map <select class="choice">{choice}</select></label>' if second else ""
    many += _color_choice(known)
    can = ", and the decoder computes what is there" if known["decoder"] else ""
    yield Section(
        "map",
        "The latent space",
        "A point for the posterior mean of each example. Near points are examples that the model "
        f"finds alike. A place under the pointer shows its nearest example{can}.",
        f'<div class="explorer"><div class="stage"><div class="bar">{many}'
        '<button type="button" class="reset">mean code</button></div>'
        '<canvas class="map" width="960" height="780" tabindex="0" role="application" '
        'aria-label="Map of the codes. The arrow keys move the place, Enter holds it.">'
        "A map of the codes of examples, which needs a script.</canvas>"
        f'<p class="hint">{escape(sentence(first.meaning))}</p>'
        f"{_legend(known['classes'])}</div>"
        f"{_under(known)}"
        f'<script type="application/json">{data}</script></div>'
        "<noscript><p>The map needs JavaScript, which is in this page.</p></noscript>",
    )


def _known(view: View, codes: Tensor, maps: Sequence[Projection], axes: Tensor) -> dict[str, Any]:
    """Return what the script gets."""
    examples, spec = view.shown, view.run.spec
    n, dim = codes.shape
    y = None if examples.y is None else examples.y[:n].tolist()
    shows = is_picturable(spec)
    known: dict[str, Any] = {
        "maps": [one.to_dict() for one in maps],
        "labels": y,
        "classes": view.class_names,
        "colors": class_colors(len(view.class_names), PALETTE),
        "mean": codes.mean(0).tolist(),
        "axes": axes.tolist(),
        "codes": half(codes) if n * dim * view.n_runs <= MOST_CODES else None,
        "shape": list(spec.shape) if shows else None,
        "sliders": _sliders(view, codes),
        "condition": _condition(view, n),
        "spriteColumns": N_SPRITE_COLUMNS,
        "thumbnails": _sprite(examples.x[:n]) if shows else None,
        "decoder": None,
        "isCode": _is_code(view),
        **_rows(view, codes),
    }
    if (shows or known["columns"]) and (known["isCode"] or known["codes"]):
        known["decoder"] = _decoder(view, dim)
    return known


def _decoder(view: View, dim: int) -> dict[str, Any] | None:
    """Return the decoder for the script; None for one that is too large, or not known to it."""
    model = view.latent
    step = None if model is None else plain_decoder(model, dim, view.run.spec.context)
    if step is None or step.n_weights * view.n_runs > MOST_WEIGHTS:
        return None
    return step.to_dict()


def _is_code(view: View) -> bool:
    """Return whether every place between codes is one too, as of real vectors and directions."""
    family: Family | None = None if view.latent is None else family_of(view.latent.encoder)
    return family is None or family.space in ("real vectors", "the unit sphere")


def _sliders(view: View, codes: Tensor) -> list[dict[str, Any]]:
    """Return the dimensions with a slider, and their ends."""
    found = []
    for j in view.active[:N_SLIDERS]:
        middle, reach = float(codes[:, j].mean()), REACH * float(codes[:, j].std())
        if reach > 0:
            found.append({"index": j, "low": middle - reach, "high": middle + reach})
    return found


def _condition(view: View, n: int) -> dict[str, Any] | None:
    """Return the fields of the condition c, and the conditions of the examples."""
    spec, examples = view.run.spec, view.shown
    if examples.c is None or not spec.context:
        return None
    fields: list[dict[str, Any]] = []
    if spec.given_label:
        names = list(view.data.class_names) or [str(k) for k in range(spec.n_classes or 0)]
        fields.append({"name": "class", "first": 0, "classes": names})
    if spec.given_covariates:
        for i, name in enumerate(spec.covariates, spec.label_context):
            column, has_classes, value = name.partition("=")
            values = examples.c[:, i]
            if not has_classes:
                ends = {"low": float(values.min()), "high": float(values.max())}
                fields.append({"name": name, "first": i, **ends})
            elif fields and fields[-1]["name"] == column:
                fields[-1]["classes"].append(value)
            else:
                fields.append({"name": column, "first": i, "classes": [value]})
    rows = examples.c[:n].double().round(decimals=4).tolist()
    return {"fields": fields, "rows": rows}


def _rows(view: View, codes: Tensor) -> dict[str, Any]:
    """Return the columns that are shown, and the rows or texts of the examples."""
    examples, n, words = view.shown, len(codes), view.vocabulary
    texts = words.texts(examples.x[:n]) if words is not None else None
    if not view.run.spec.has_rows:
        return {"columns": [], "rows": None, "texts": texts}
    c = None if examples.c is None else examples.c[:n]
    order = explained_columns(view, codes, c)
    columns = shown_columns(view, sorted(order[:MOST_SHOWN]))
    rows = [[one.text(float(row[one.place])) for one in columns] for row in examples.x[:n]]
    shades = [_shades(one, examples.x[:n, one.place].double().numpy()) for one in columns]
    return {
        "columns": [one.to_dict() for one in columns],
        "rows": rows,
        "texts": texts,
        "shades": shades,
        "shaded": _first_shaded(columns, shades, order),
    }


def _first_shaded(
    columns: Sequence[ShownColumn], shades: Sequence[dict[str, Any]], order: Sequence[int]
) -> int:
    """Return the number of the column that depends most on the code, of those with few gaps."""
    share = [sum(value >= 0 for value in one["values"]) / len(one["values"]) for one in shades]
    full = [i for i in range(len(columns)) if share[i] >= min(FULL, max(share))]
    return min(full, key=lambda i: order.index(columns[i].place))


def _shades(column: ShownColumn, values: Values) -> dict[str, Any]:
    """Return the colors of points by a column: classes, or ranks of a quantity from 0 to 1.

    A missing value has the color -1.
    """
    is_known = ~np.isnan(values)
    known = values[is_known]
    if column.classes:
        shades = known
    else:
        shades = ((rankdata(known) - 1) / max(1, len(known) - 1)).round(2)
    found = np.full(len(values), -1.0)
    found[is_known] = shades
    ends = [column.text(float(v)) for v in (known.min(), known.max())] if len(known) else ["", ""]
    colors = class_colors(len(column.classes), PALETTE)
    return {"values": found.tolist(), "ends": ends, "colors": colors}


def _color_choice(known: dict[str, Any]) -> str:
    """Return the choice of what the colors of the points stand for; empty where there is none."""
    names = [column["name"] for column in known["columns"]]
    chosen = None if known["labels"] else known.get("shaded")
    parts = ['<option value="-1">class</option>'] if known["labels"] else []
    for i, name in enumerate(names):
        selected = " selected" if i == chosen else ""
        parts.append(f'<option value="{i}"{selected}>{escape(name)}</option>')
    options = "".join(parts)
    return f'<label>color <select class="shade">{options}</select></label>' if names else ""


def _under(known: dict[str, Any]) -> str:
    """Return what shows the example, and the code, under the pointer."""
    pictures = []
    if known["thumbnails"]:
        figure = (
            '<figure><canvas class="{0}" width="140" height="140" role="img" aria-label="{1}">'
            "</canvas><figcaption>{1}</figcaption></figure>"
        )
        pictures.append(figure.format("example", "nearest example"))
        if known["decoder"]:
            pictures.append(figure.format("decoded", "decoded code"))
    parts = [f'<div class="pair">{"".join(pictures)}</div>'] if pictures else []
    parts.append('<p class="said">Move the pointer over the map, or tap it. A click holds it.</p>')
    if known["texts"]:
        parts.append('<pre class="passage"></pre>')
    if known["columns"]:
        decoded = '<th scope="col">decoded</th>' if known["decoder"] else ""
        parts.append(
            '<div class="wide"><table class="row"><thead><tr><th scope="col">column</th>'
            f'<th scope="col">example</th>{decoded}</tr></thead><tbody></tbody></table></div>'
        )
    if known["decoder"] and known["condition"]:
        parts.append('<fieldset class="condition"><legend>given</legend></fieldset>')
    if known["decoder"] and known["sliders"]:
        legend = "dimensions whose codes vary most"
        parts.append(f'<fieldset class="sliders"><legend>{legend}</legend></fieldset>')
    return f'<div class="under">{"".join(parts)}</div>'


def _legend(classes: Sequence[str]) -> str:
    """Return the colors of the first classes."""
    return f'<div class="legend">{legend_entries(classes)}</div>'


def legend_entries(classes: Sequence[str]) -> str:
    """Return the colors and names of the first classes, and how many more there are, as HTML."""
    named = list(zip(classes, class_colors(len(classes), PALETTE), strict=True))[:N_NAMED_CLASSES]
    parts = [f'<span><i style="background:{c}"></i>{escape(name)}</span>' for name, c in named]
    n_more = len(classes) - len(named)
    return "".join([*parts, f"and {n_more} more" if n_more else ""])


def _sprite(x: Tensor) -> str:
    """Return small images side by side in one picture."""
    side = max(x.shape[-2:])
    if side > SIDE:
        factor = SIDE / side
        size = [max(1, round(n * factor)) for n in x.shape[-2:]]
        x = torch.nn.functional.interpolate(x.float(), size, mode="area")
    shades = (255 * x.float().clamp(0, 1)).round().to(torch.uint8).numpy()
    n, c, h, w = shades.shape
    whole = np.zeros((-(-n // N_SPRITE_COLUMNS) * h, N_SPRITE_COLUMNS * w, c), np.uint8)
    for i, image in enumerate(shades):
        top, left = i // N_SPRITE_COLUMNS * h, i % N_SPRITE_COLUMNS * w
        whole[top : top + h, left : left + w] = image.transpose(1, 2, 0)
    image = Image.fromarray(whole[..., 0] if c == 1 else whole)
    return data_uri(image, "PNG" if c == 1 else "JPEG")
