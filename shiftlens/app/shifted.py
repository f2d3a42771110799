"""What a model says with its shift on, beside what it says without."""

from collections.abc import Mapping
from dataclasses import dataclass, replace

import pandas as pd
import plotly.graph_objects as go
import torch
from plotly.subplots import make_subplots

from shiftlens.answers import generate_answers
from shiftlens.errors import ShiftlensError
from shiftlens.languages import language_name
from shiftlens.models import LanguageModel
from shiftlens.plots.page import lay_out
from shiftlens.plots.style import FLOOR_COLOUR, language_styles
from shiftlens.sft import SftRecord, encode_completions, encode_prompts
from shiftlens.shift import Shift

_ROW = 34
_JOIN = "#C8C8C8"


@dataclass(frozen=True)
class ShiftComparison:
    """Answers with and without a shift.

    Attributes:
        table: One row a prompt: ``language``, ``prompt``, ``expected`` (empty where it is not
            known), ``answer`` and ``shifted_answer`` (greedy), ``token`` (the first of the
            expected answer, else the likeliest without the shift), and its ``probability`` and
            ``shifted_probability`` as the next token.
        tokens: The likeliest next tokens of either, tidy: ``language``, ``token``,
            ``probability``, ``shifted_probability``.
    """

    table: pd.DataFrame
    tokens: pd.DataFrame


def scaled(shift: Shift, strength: float) -> Shift:
    r"""The shift with all its vectors times a strength: 0 moves nothing, 1 is the shift itself.

    .. math:: h_a \leftarrow h_a + s\,(v(D, a) - v(k, a)), \qquad
              h_b \leftarrow h_b - s\,(v(D, b) - v(k, b))

    Args:
        shift: The shift.
        strength: The factor s.

    Returns:
        The scaled shift.
    """
    vectors = {code: strength * vector for code, vector in shift.vectors.vectors.items()}
    return replace(shift, vectors=replace(shift.vectors, vectors=vectors))


def compare_shift(
    model: LanguageModel,
    shift: Shift,
    prompts: Mapping[str, str],
    expected: Mapping[str, str] | None = None,
    strength: float = 1.0,
    max_new_tokens: int = 12,
    top: int = 5,
) -> ShiftComparison:
    """Answer prompts without the shift and with it.

    Args:
        model: A causal language model.
        shift: Its shift.
        prompts: Language to a prompt in it.
        expected: Language to the right answer, the space before it included, where it is known.
        strength: What the shift's vectors are multiplied by.
        max_new_tokens: Longest answer.
        top: How many of the likeliest next tokens to keep of either.

    Returns:
        The answers and the next tokens.

    Raises:
        ShiftlensError: No prompts, a model that cannot generate, a language without vectors, or
            a prompt too long for the model.
    """
    expected = expected or {}
    languages = list(prompts)
    records = [SftRecord(code, code, prompts[code], expected.get(code, "")) for code in languages]
    moved = scaled(shift, strength)
    answers = generate_answers(model, records, None, max_new_tokens=max_new_tokens)
    shifted = generate_answers(model, records, moved, max_new_tokens=max_new_tokens)
    before, after = (_next_token(model, records, each) for each in (None, moved))
    watched = [
        encode_completions(model, [expected[code]])[0][0] if code in expected else int(row.argmax())
        for code, row in zip(languages, before, strict=True)
    ]
    rows = range(len(languages))
    table = pd.DataFrame(
        {
            "language": languages,
            "prompt": [prompts[code] for code in languages],
            "expected": [expected.get(code, "").strip() for code in languages],
            "answer": answers,
            "shifted_answer": shifted,
            "token": [_shown(model, token) for token in watched],
            "probability": [float(before[n, watched[n]]) for n in rows],
            "shifted_probability": [float(after[n, watched[n]]) for n in rows],
        }
    )
    tokens = [_top(model, code, before[n], after[n], top) for n, code in enumerate(languages)]
    return ShiftComparison(table, pd.concat(tokens, ignore_index=True))


def _next_token(
    model: LanguageModel, records: list[SftRecord], shift: Shift | None
) -> torch.Tensor:
    """Probabilities of the next token, ``(prompts, vocabulary)``, float64."""
    inputs = model.pad(encode_prompts(model, [record.prompt for record in records]), side="left")
    with torch.no_grad():
        if shift is None:
            logits = model.hf(**inputs, logits_to_keep=1).logits
        else:
            with shift.applied(model, [record.language for record in records]):
                logits = model.hf(**inputs, logits_to_keep=1).logits
    return logits[:, -1].cpu().double().softmax(-1)


def _top(
    model: LanguageModel, language: str, before: torch.Tensor, after: torch.Tensor, top: int
) -> pd.DataFrame:
    """The likeliest tokens of both, likeliest without the shift first."""
    top = min(top, len(before))
    either = {*before.topk(top).indices.tolist(), *after.topk(top).indices.tolist()}
    order = sorted(either, key=lambda token: -float(before[token]))
    return pd.DataFrame(
        {
            "language": language,
            "token": [_shown(model, token) for token in order],
            "probability": [float(before[token]) for token in order],
            "shifted_probability": [float(after[token]) for token in order],
        }
    )


def _shown(model: LanguageModel, token: int) -> str:
    """A token as text; its name where it shows nothing."""
    text = str(model.tokenizer.decode([token], clean_up_tokenization_spaces=False)).strip()
    return text or str(model.tokenizer.convert_ids_to_tokens(token))


def shift_figure(
    comparison: ShiftComparison, language: str | None = None, title: str | None = None
) -> go.Figure:
    """Draw how a shift moves the next token's probabilities.

    On the left, where there are several languages, the probability of the token that is watched
    in each; on the right the likeliest tokens of one language.

    Args:
        comparison: From :func:`compare_shift`.
        language: The language on the right; by default the one whose probability moves furthest.
        title: Text above the panels.

    Returns:
        The figure.

    Raises:
        ShiftlensError: The language is not among those compared.
    """
    table = comparison.table
    codes = table["language"].tolist()
    if language is None:
        moves = (table["shifted_probability"] - table["probability"]).abs()
        language = codes[int(moves.argmax())]
    if language not in codes:
        raise ShiftlensError(f"no language {language!r} was compared (there: {', '.join(codes)})")
    several, styles = len(codes) > 1, language_styles(codes)
    right = f"likeliest next tokens, {language_name(language)}"
    titles = ["the answer's first token, by language", right] if several else [right]
    figure = make_subplots(1, len(titles), subplot_titles=titles, horizontal_spacing=0.2)
    if several:
        names = [language_name(code) for code in codes]
        colours = [style.colour for style in styles.values()]
        _add_moves(figure, 1, names, table, colours, table["token"].tolist())
    tokens = comparison.tokens[comparison.tokens["language"] == language]
    colours = [styles[language].colour] * len(tokens)
    names = tokens["token"].tolist()
    _add_moves(figure, len(titles), names, tokens, colours, names)
    figure.update_xaxes(range=[-0.03, 1.03], title_text="probability as the next token")
    figure.update_yaxes(autorange="reversed", ticks="")
    rows = max(len(codes), len(tokens))
    lay_out(
        figure,
        title or "The next token, without the shift and with it",
        height=190 + _ROW * rows,
        legend={"orientation": "h", "x": 1, "xanchor": "right", "y": 1.12, "yanchor": "bottom"},
    )
    return figure


def _add_moves(
    figure: go.Figure,
    column: int,
    names: list[str],
    rows: pd.DataFrame,
    colours: list[str],
    tokens: list[str],
) -> None:
    """One line from the probability without the shift to that with it."""
    places = list(range(len(names)))
    before, after = rows["probability"].tolist(), rows["shifted_probability"].tolist()
    x = [value for pair in zip(before, after, strict=True) for value in (*pair, None)]
    y = [value for place in places for value in (place, place, None)]
    line = {"color": _JOIN, "width": 4}
    figure.add_trace(
        go.Scatter(x=x, y=y, mode="lines", line=line, hoverinfo="skip", showlegend=False),
        1,
        column,
    )
    for name, values, marker in (
        ("without", before, {"symbol": "circle-open", "color": FLOOR_COLOUR, "line": {"width": 2}}),
        ("with the shift", after, {"symbol": "circle", "color": colours}),
    ):
        figure.add_trace(
            go.Scatter(
                x=values,
                y=places,
                mode="markers",
                name=name,
                legendgroup=name,
                showlegend=column == 1,
                marker={"size": 12, **marker},
                text=tokens,
                hovertemplate="%{text}: %{x:.3f}<extra>" + name + "</extra>",
            ),
            1,
            column,
        )
    figure.update_yaxes(tickvals=places, ticktext=names, row=1, col=column)
