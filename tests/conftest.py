import os
import shutil

os.environ["HF_HUB_OFFLINE"] = "1"
os.environ["TOKENIZERS_PARALLELISM"] = "false"
if "PYTEST_XDIST_WORKER" in os.environ:
    os.environ.setdefault("OMP_NUM_THREADS", "1")

import pytest
import tiny
import torch

from shiftlens.config import SweepConfig
from shiftlens.loading import load_model
from shiftlens.models import LanguageModel
from shiftlens.runs import run_sweep


@pytest.fixture
def one_thread():
    """Tiny models gain nothing from more, and lose much where the cores are shared."""
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(threads)


@pytest.fixture(params=tiny.ARCHITECTURES)
def architecture(request) -> str:
    """Each architecture in turn."""
    return request.param


@pytest.fixture
def model(architecture) -> LanguageModel:
    """A fresh tiny model of each architecture in turn."""
    tokenizer = tiny.tiny_tokenizer(eos=architecture in tiny.ENCODERS)
    return load_model(tiny.tiny_model(architecture), tokenizer)


@pytest.fixture
def llama() -> LanguageModel:
    """A fresh tiny Llama."""
    return load_model(tiny.tiny_model("llama"), tiny.tiny_tokenizer())


@pytest.fixture(scope="session")
def swept(tmp_path_factory):
    """The folder of a finished sweep of the demo's first sentences, for reading only."""
    out = tmp_path_factory.mktemp("swept") / "run"
    run_sweep(SweepConfig("demo", "demo", str(out), sentences=60, device="cpu"), lambda _: None)
    return out


@pytest.fixture(scope="module")
def browser():
    """The system's Chromium."""
    sync_api = pytest.importorskip("playwright.sync_api")
    chromium = shutil.which("chromium")
    if chromium is None:
        pytest.skip("no chromium on the path")
    options = ["--no-sandbox", "--disable-gpu", "--disable-dev-shm-usage"]
    with sync_api.sync_playwright() as playwright:
        opened = playwright.chromium.launch(executable_path=chromium, args=options)
        yield opened
        opened.close()
