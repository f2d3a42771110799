"""The logit lens over one text, for the screen."""

from html import escape
from typing import TYPE_CHECKING, Any
from unicodedata import east_asian_width

import numpy as np
import pandas as pd
import plotly.graph_objects as go

from shiftlens.errors import ShiftlensError
from shiftlens.languages import language_name
from shiftlens.lens.token_languages import AMBIGUOUS
from shiftlens.plots.labels import LAYER_AXIS, layer_step
from shiftlens.plots.page import lay_out
from shiftlens.plots.style import FLOOR_COLOUR, language_styles

if TYPE_CHECKING:
    from shiftlens.lens import TextLens

COLOURS = {
    "probability": "probability of the likeliest next token",
    "entropy": "entropy of the next token, in nats",
    "rank": "rank of the token that the text goes on with",
}
"""What a cell's colour can be, beside the mass of a group of tokens."""

POSITION_AXIS = "token of the text, in reading order"
MASS_AXIS = "probability mass of the next token"
_LONGEST = 8
_COLUMN, _ROW, _MARGINS = 60, 26, 170
_MASSES = 3


def text_lens_heatmap(
    lens: "TextLens", colour: str = "probability", title: str | None = None
) -> go.Figure:
    """Draw what every layer would say after every token of a text.

    In each cell stands the likeliest next token, in its own script; the pointer shows the others.

    Args:
        lens: From :func:`shiftlens.lens.text_lens`.
        colour: ``probability`` of that token, ``entropy`` (nats), ``rank`` of the token that the
            text goes on with (1 is the first choice), or a group of tokens, such as ``fi``, for
            its probability mass.
        title: Text above the axes.

    Returns:
        The figure: x is the position, y the layer. Its ``layout.height``, and the ``minwidth`` in
        its ``layout.meta``, are the pixels at which the cells' text has room.

    Raises:
        ShiftlensError: There is no such colour, or no masses were measured.
    """
    table, positions = lens.table, len(lens.prompt)
    shape = (-1, positions)
    values, look = _coloured(lens, colour)
    texts = [escape(_short(top[0], _LONGEST)) for top in table["top"]]
    facts = [_facts(row, _groups(lens)) for row in table.to_dict("records")]
    heatmap = go.Heatmap(
        z=values.reshape(shape),
        x=list(range(positions)),
        y=list(range(len(table) // positions)),
        text=np.array(texts, dtype=object).reshape(shape),
        texttemplate="%{text}",
        textfont_size=11,
        hovertext=np.array(facts, dtype=object).reshape(shape),
        hovertemplate="%{hovertext}<extra></extra>",
        hoverongaps=True,
        xgap=1,
        ygap=1,
        **look,
    )
    figure = go.Figure(heatmap)
    layers = len(table) // positions
    wide = _MARGINS + _COLUMN * positions
    words = title or "What every layer would say next"
    lay_out(figure, escape(words), height=_MARGINS + _ROW * layers, meta={"minwidth": wide})
    names = [escape(_short(token, _LONGEST)) for token in lens.prompt.tokens]
    figure.update_xaxes(
        title_text=POSITION_AXIS, tickvals=list(range(positions)), ticktext=names, showgrid=False
    )
    ticks = list(range(0, layers, layer_step(layers - 1)))
    figure.update_yaxes(title_text=LAYER_AXIS, tickvals=ticks, showgrid=False)
    return figure


def language_mass_lines(
    lens: "TextLens", position: int = -1, title: str | None = None
) -> go.Figure:
    """Draw in which language the next token is, layer by layer, after one token of a text.

    Args:
        lens: From :func:`shiftlens.lens.text_lens`, with its tokens' languages.
        position: After which token; negative numbers count from the end.
        title: Text above the axes; by default it names the token.

    Returns:
        The figure, one line a group of tokens; at every layer the masses sum to 1.

    Raises:
        ShiftlensError: There is no such position, or no masses were measured.
    """
    positions = len(lens.prompt)
    if not -positions <= position < positions:
        raise ShiftlensError(f"there is no position {position}; the text has 0..{positions - 1}")
    if not _groups(lens):
        raise ShiftlensError(NO_MASSES)
    position %= positions
    rows = lens.table[lens.table["position"] == position]
    figure = go.Figure([_line(rows, group, lens) for group in _groups(lens)])
    token = escape(_short(lens.prompt.tokens[position], 24))
    words = title or f"Languages of the next token after “{token}” (position {position})"
    lay_out(figure, words)
    layers = len(rows)
    figure.update_xaxes(title_text=LAYER_AXIS, dtick=layer_step(layers - 1), tick0=0)
    figure.update_yaxes(title_text=MASS_AXIS, range=[-0.03, 1.03])
    return figure


NO_MASSES = "the lens has no masses; give text_lens the languages of the tokens (TokenLanguages)"


def group_name(group: str, languages: tuple[str, ...]) -> str:
    """A group of tokens in words: its language's name, or what it is."""
    return language_name(group) if group in languages else f"{group} tokens"


def _groups(lens: "TextLens") -> tuple[str, ...]:
    return lens.tokens.groups if lens.tokens else ()


def _coloured(lens: "TextLens", colour: str) -> tuple[np.ndarray, dict[str, Any]]:
    """The values of the cells, and how they are coloured."""
    table, bar = lens.table, {"side": "right"}
    if colour == "probability":
        values = np.array([likely[0] for likely in table["probabilities"]])
        look: dict[str, Any] = {"colorscale": "Blues", "zmin": 0, "zmax": 1}
    elif colour == "entropy":
        values = table["entropy"].to_numpy(float)
        look = {"colorscale": "Oranges", "zmin": 0, "zmax": float(values.max())}
    elif colour == "rank":
        values = np.log10(table["next_rank"].to_numpy(float))
        top = 1 if np.isnan(values).all() else max(1, int(np.ceil(np.nanmax(values))))
        ticks = list(range(top + 1))
        look = {"colorscale": "Blues", "reversescale": True, "zmin": 0, "zmax": top}
        look["colorbar"] = {"tickvals": ticks, "ticktext": [f"{10**tick:,}" for tick in ticks]}
    elif lens.tokens and colour in lens.tokens.groups:
        values = table[colour].to_numpy(float)
        styles = language_styles(lens.tokens.languages)
        full = styles[colour].colour if colour in styles else FLOOR_COLOUR
        look = {"colorscale": [[0, "#FFFFFF"], [1, full]], "zmin": 0, "zmax": 1}
    elif not lens.tokens:
        raise ShiftlensError(f"cannot colour by {colour!r}: {NO_MASSES}")
    else:
        there = ", ".join([*COLOURS, *lens.tokens.groups])
        raise ShiftlensError(f"cannot colour by {colour!r}; choose {there}")
    languages = lens.tokens.languages if lens.tokens else ()
    words = COLOURS.get(colour) or f"mass of {group_name(colour, languages)}"
    return values, {
        **look,
        "colorbar": {**look.get("colorbar", {}), "title": {"text": words, **bar}},
    }


def _line(rows: pd.DataFrame, group: str, lens: "TextLens") -> go.Scatter:
    languages = lens.tokens.languages if lens.tokens else ()
    name = group_name(group, languages)
    dash = "dash" if group == AMBIGUOUS else "dot"
    look: dict[str, Any] = {"line": {"color": FLOOR_COLOUR, "dash": dash, "width": 2}}
    if group in languages:
        style = language_styles(languages)[group]
        look = {"line": {"color": style.colour, "width": 2}, "marker_symbol": style.symbol}
    return go.Scatter(
        x=rows["layer"].tolist(),
        y=rows[group].tolist(),
        mode="lines+markers",
        marker_size=7,
        name=name,
        hovertemplate="layer %{x}: %{y:.3f}<extra>" + name + "</extra>",
        **look,
    )


def _facts(row: dict[Any, Any], groups: tuple[str, ...]) -> str:
    """What the pointer shows of a cell; numbers stand before words, which may run leftward."""
    lines = [f"<b>layer {row['layer']}</b>, position {row['position']}, after “{_word(row)}”"]
    pairs = zip(row["probabilities"], row["top"], strict=True)
    lines += [f"{likely:.3f}  {escape(_short(token, 40))}" for likely, token in pairs]
    lines.append(f"entropy {row['entropy']:.3f} nats")
    if isinstance(row["next"], str):
        lines.append(
            f"rank {row['next_rank']:.0f}, {row['next_probability']:.3g}: "
            f"the text's next, “{escape(_short(row['next'], 40))}”"
        )
    masses = sorted(groups, key=lambda group: -row[group])[:_MASSES]
    if masses:
        lines.append("mass " + ", ".join(f"{row[group]:.3f} {group}" for group in masses))
    return "<br>".join(lines)


def _word(row: dict[Any, Any]) -> str:
    return escape(_short(row["token"], 40))


def _short(text: str, places: int) -> str:
    """A text cut to the room of so many letters; Chinese characters, kana and hangul take two."""
    room = np.cumsum([2 if east_asian_width(char) in "WF" else 1 for char in text])
    if not len(room) or room[-1] <= places:
        return text
    return text[: int(np.searchsorted(room, places - 1, side="right"))] + "…"
