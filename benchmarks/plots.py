"""How long does the slider of layers take to move its points, and `shiftlens plot` to draw a run?

A made-up projection is drawn with shiftlens.plots.layers_interactive, saved as one page and opened
from the disk in the system's Chromium, with no other work on the machine. The slider is clicked
from layer to layer; a step's time runs from the mouse to the browser's next frame after the one
with the new points in it. WebGL is drawn by the processor here: with a graphics card it is faster.

Then the folder of a made-up sweep (10 languages, 500 sentences, 13 layers, d = 384; the metrics are
the affine-invariant distance and MEXA) is drawn: every figure, as PNG, SVG and page.

Goals: the median step is under half a second on 2 cores, at 10,000 points a layer and 13 layers;
all figures of the run are there in under a minute.

Command: python benchmarks/plots.py [--points 10000] [--layers 13] [--dimensions 2] [--width 384]
Needs: pip install 'shiftlens[test]', and Chromium on the path.
Cost: about two minutes.
"""

import argparse
import json
import shutil
import tempfile
import time
from pathlib import Path
from statistics import median

import numpy as np
import pandas as pd
from playwright.sync_api import sync_playwright

from shiftlens.config import SweepConfig, to_yaml
from shiftlens.drawing.draw import draw_run
from shiftlens.plots import COMMON_LANGUAGES, layers_interactive, save_html
from shiftlens.store import ActivationStore
from shiftlens.sweep import sweep_layers
from shiftlens.sweep_results import area_facts

OPTIONS = [
    "--no-sandbox",
    "--disable-dev-shm-usage",
    "--use-angle=swiftshader",
    "--enable-unsafe-swiftshader",
]
LANGUAGES = ("en", *(code for code in COMMON_LANGUAGES if code != "en"))[:10]
WORDS = "as many words as the sentences of a parallel corpus commonly have, about a line and a half"
GRAPH = "document.querySelector('.js-plotly-plot')"
WATCH = f"""() => {{
    addEventListener("mousedown", () => {{ window.pressed = performance.now(); }}, true);
    {GRAPH}.on("plotly_restyle", () => requestAnimationFrame(() => requestAnimationFrame(() => {{
        window.took = performance.now() - window.pressed;
    }})));
}}"""


def made_up(points: int, layers: int, dimensions: int) -> tuple[pd.DataFrame, dict[str, list[str]]]:
    """A projection of so many points a layer, and its sentences."""
    rng = np.random.default_rng(0)
    sentences = 2 * (points // len(LANGUAGES))
    index = pd.MultiIndex.from_product(
        [["lda"], range(layers), LANGUAGES, range(1, sentences, 2)],
        names=["method", "layer", "language", "sentence"],
    )
    table = index.to_frame(index=False)
    centres = 4 * rng.normal(size=(layers, len(LANGUAGES), 1, dimensions))
    noise = rng.normal(size=(layers, len(LANGUAGES), sentences // 2, dimensions))
    table[list("xyz"[:dimensions])] = (centres + noise).reshape(-1, dimensions)
    texts = {code: [f"{code} {n}: {WORDS}" for n in range(sentences)] for code in LANGUAGES}
    return table, texts


def step_times(page: Path, layers: int) -> list[float]:
    """Milliseconds of each step of the slider, from the mouse to the new points."""
    with sync_playwright() as playwright:
        chromium = shutil.which("chromium")
        browser = playwright.chromium.launch(executable_path=chromium, args=OPTIONS)
        tab = browser.new_page(viewport={"width": 1280, "height": 800})
        tab.goto(page.as_uri())
        tab.wait_for_selector(".slider-rail-touch-rect")
        tab.wait_for_timeout(2000)
        tab.evaluate(WATCH)
        rail = tab.locator(".slider-rail-touch-rect").bounding_box()
        times = []
        for layer in range(layers):
            tab.evaluate("window.took = null")
            share = 0.01 + 0.98 * layer / (layers - 1)
            tab.mouse.click(rail["x"] + share * rail["width"], rail["y"] + rail["height"] / 2)
            for _ in range(1000):
                if (took := tab.evaluate("window.took")) is not None:
                    break
                tab.wait_for_timeout(10)
            else:
                raise SystemExit(f"the step to layer {layer} was not drawn in ten seconds")
            times.append(took)
            tab.wait_for_timeout(300)
        browser.close()
    return times[1:]


def measure_slider(points: int, layers: int, dimensions: int) -> bool:
    """Print the page's size and the slider's times; whether the goal was met."""
    table, texts = made_up(points, layers, dimensions)
    with tempfile.TemporaryDirectory() as folder:
        page = save_html(layers_interactive(table, texts), Path(folder) / "layers.html")
        size = page.stat().st_size / 1e6
        times = step_times(page, layers)
    print(f"{points:,} points a layer, {layers} layers, {dimensions} dimensions")
    print(f"page {size:.1f} MB, with plotly's own script")
    print(
        f"{len(times)} steps: median {median(times):.0f} ms, slowest {max(times):.0f} ms, goal 500"
    )
    return median(times) < 500


def made_up_run(folder: Path, layers: int, width: int, sentences: int = 500) -> Path:
    """The folder of a sweep whose states are drawn at random, translations near each other."""
    rng = np.random.default_rng(0)
    report = {"tokens_per_sentence": 20.0, "unknown_rate": 0.0, "truncated": 0}
    manifest = {
        "model": {
            **{"sha256": "made up", "architecture": "none", "dtype": "float32"},
            **{"n_layers": layers - 1, "d_model": width},
        },
        "corpus": {"sha256": "made up", "languages": list(LANGUAGES), "sentences": sentences},
        "layers": list(range(layers)),
        "pooling": {"special_tokens": False, "skip_first": False},
        "tokens": dict.fromkeys(LANGUAGES, report),
        "shards": [{"file": f"{c}.st", "language": c, "rows": sentences} for c in LANGUAGES],
    }
    store = ActivationStore.create(folder / "activations", manifest)
    meanings = rng.normal(size=(sentences, layers, width))
    for code in LANGUAGES:
        own = rng.normal(size=(layers, width)) + 0.7 * rng.normal(size=(sentences, layers, width))
        store.write(f"{code}.st", np.arange(sentences), meanings + own)
    config = SweepConfig("made-up", "none", str(folder), metric="affine_invariant,mexa")
    sweep = sweep_layers(store, metrics=config.metric, progress=False)
    sweep.table.to_csv(folder / "sweep.csv", index=False)
    (folder / "area.json").write_text(json.dumps(area_facts(sweep)))
    tokens = [{"language": code, "sentences": sentences, **report} for code in LANGUAGES]
    pd.DataFrame(tokens).to_csv(folder / "tokens.csv", index=False)
    texts = {code: [f"{code} {n}: {WORDS}" for n in range(sentences)] for code in LANGUAGES}
    ids = [str(n) for n in range(sentences)]
    pd.DataFrame({"sentence": ids, **texts}).to_parquet(folder / "sentences.parquet")
    (folder / "config.yaml").write_text(to_yaml(config))
    return folder


def measure_run(layers: int, width: int) -> bool:
    """Print how long all figures of a run take; whether the goal was met."""
    with tempfile.TemporaryDirectory() as folder:
        run = made_up_run(Path(folder), layers, width)
        start, processor = time.perf_counter(), time.process_time()
        files = draw_run(run, progress=False)
        seconds, processor = time.perf_counter() - start, time.process_time() - processor
        size = sum(file.stat().st_size for file in files) / 1e6
    print(f"a run of {len(LANGUAGES)} languages, {layers} layers, d = {width}")
    print(f"{len(files)} files, {size:.1f} MB")
    print(f"drawn in {seconds:.1f} s (processor {processor:.1f} s), goal 60")
    return seconds < 60


def main() -> None:
    """Draw, open, slide and print; then draw a run."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--points", type=int, default=10_000)
    parser.add_argument("--layers", type=int, default=13)
    parser.add_argument("--dimensions", type=int, choices=(2, 3), default=2)
    parser.add_argument("--width", type=int, default=384)
    options = parser.parse_args()
    met = [
        measure_slider(options.points, options.layers, options.dimensions),
        measure_run(options.layers, options.width),
    ]
    raise SystemExit(not all(met))


if __name__ == "__main__":
    main()
