"""The commands that read finished runs; everything heavy is imported late."""

from dataclasses import dataclass
from typing import Annotated

import tyro


@dataclass
class PlotConfig:
    """Settings of `shiftlens plot`.

    Attributes:
        run: The folder of a sweep, a training or a demo.
        out: Where to; by default figures/ in the run folder.
        only: Figures, comma-separated: layer_distance, pairs, geometry, alignment,
            geometry_before_after, layer_distance_before_after, training_curves, scores. By
            default all that the run gives.
        format: What to write for paper, comma-separated: png, svg, pdf.
        pages: Write HTML pages for the screen too.
        metric: Metric of distances (a swept one) and of language pairs (any); by default the
            sweep's first.
        layer: Layer of the geometry and of the pairs on paper; by default those that tell most.
        labels: File with a label a sentence, such as its topic (.txt by line; .tsv or .jsonl by
            id), for an LDA with the labels as classes.
    """

    run: Annotated[str, tyro.conf.Positional, tyro.conf.arg(metavar="RUN")]
    out: str | None = None
    only: str | None = None
    format: str = "png,svg"
    pages: bool = True
    metric: str | None = None
    layer: int | None = None
    labels: str | None = None


@dataclass
class ReportConfig:
    """Settings of `shiftlens report`.

    Attributes:
        run: The folder of a sweep, a training or a demo.
        out: The page; by default report.html in the run folder (index.html in a demo's).
        labels: File with a label a sentence, for an LDA with the labels as classes.
    """

    run: Annotated[str, tyro.conf.Positional, tyro.conf.arg(metavar="RUN")]
    out: str | None = None
    labels: str | None = None


@dataclass
class CompareConfig:
    """Settings of `shiftlens compare`.

    Attributes:
        first: The folder of a sweep or a training.
        second: Another.
        out: The page; by default compare-RUN1-RUN2.html, by the folders' names, which replaces no
            page of other runs.
    """

    first: Annotated[str, tyro.conf.Positional, tyro.conf.arg(metavar="RUN1")]
    second: Annotated[str, tyro.conf.Positional, tyro.conf.arg(metavar="RUN2")]
    out: str | None = None


def plot(config: PlotConfig) -> int:
    """Draw every figure of a run, for paper and for the screen.

    Prints each file. What this run cannot give is listed with the reason. Nothing is measured
    again but pairs of languages and projections of sentences, from the states in the run.

    Examples:
      shiftlens plot runs/first
      shiftlens plot runs/first --only layer_distance,pairs --format pdf --metric mexa --out paper/
      shiftlens plot runs/first --only geometry --labels topics.tsv
    """
    from shiftlens.whose import check_opens

    check_opens(config.run)
    from shiftlens.drawing.draw import draw_run

    files = draw_run(
        config.run,
        config.out,
        None if config.only is None else _listed(config.only),
        _listed(config.format),
        config.pages,
        config.metric,
        config.layer,
        config.labels,
    )
    print("\n".join(map(str, files)))
    return 0


def report(config: ReportConfig) -> int:
    """Write one page about a run: what was run, what was found, and what to beware of.

    The page is one file that opens from disk and asks no host for anything.

    Examples:
      shiftlens report runs/first
      shiftlens report runs/first --labels topics.tsv --out first.html
    """
    from pathlib import Path

    from shiftlens.files import check_file, make_folder
    from shiftlens.whose import check_opens

    check_opens(config.run)
    path = None if config.out is None else Path(config.out)
    if path is not None:
        check_file(path)
    from shiftlens.folders.opening import open_run_folder
    from shiftlens.folders.runs import DemoFolder

    run = open_run_folder(config.run)
    if path is not None:
        make_folder(path.parent)
    if isinstance(run, DemoFolder):
        from shiftlens.showcase import write_demo_page

        print(write_demo_page(run, path))
    else:
        from shiftlens.reports.run import write_run_report

        print(write_run_report(run, path, config.labels))
    return 0


def compare(config: CompareConfig) -> int:
    """Say what differs between two runs: settings, layer areas, curves and scores.

    Curves and scores are compared in the languages that both runs have; the others are named.
    Warns where distances are not comparable, as where n or the shrinkage differ. The page has
    the curves of both on the same axes.

    Examples:
      shiftlens compare runs/first runs/second
      shiftlens compare runs/first runs/second --out compare.html
    """
    from pathlib import Path

    from shiftlens.files import check_file, make_folder
    from shiftlens.whose import check_opens

    check_opens(config.first)
    check_opens(config.second)
    if config.out is not None:
        check_file(Path(config.out))
    from shiftlens.reports.compare import compare_runs, open_comparable
    from shiftlens.reports.compare_page import comparison_text, page_of, write_comparison

    found = compare_runs(open_comparable(config.first), open_comparable(config.second))
    print(comparison_text(found))
    path = page_of(found) if config.out is None else Path(config.out)
    make_folder(path.parent)
    print(f"\n{write_comparison(found, path)}")
    return 0


def _listed(text: str) -> list[str]:
    return [name.strip() for name in text.split(",") if name.strip()]
