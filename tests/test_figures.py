import json
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
SIDECARS = sorted((ROOT / "figures").glob("*.json"))
ANALYSES = sorted((ROOT / "analyses").glob("*.py"))


@pytest.mark.parametrize("sidecar", SIDECARS, ids=lambda path: path.stem)
def test_a_figure_names_its_analysis_command_model_corpus_and_versions(sidecar):
    facts = json.loads(sidecar.read_text(encoding="utf-8"))
    assert (ROOT / facts["analysis"]).is_file()
    assert facts["command"].startswith(f"python {facts['analysis']}")
    assert facts["command"].endswith(f"--figure {sidecar.stem}")
    if not facts.get("synthetic"):
        assert len(facts["model"]["sha256"]) == len(facts["corpus"]["sha256"]) == 64
    assert {"seed", "versions"} <= facts.keys()
    assert {path.suffix for path in ROOT.glob(f"figures/{sidecar.stem}.*")} == {
        ".json",
        ".png",
        ".svg",
    }


def test_every_image_has_a_sidecar_and_every_analysis_a_figure():
    images = {path.stem for path in (ROOT / "figures").iterdir() if path.suffix != ".json"}
    assert images == {path.stem for path in SIDECARS}
    analyses = {json.loads(path.read_text(encoding="utf-8"))["analysis"] for path in SIDECARS}
    assert analyses == {f"analyses/{path.name}" for path in ANALYSES}
