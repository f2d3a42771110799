import shutil
import threading
from contextlib import contextmanager

import pytest

from shiftlens.app import serve
from shiftlens.app.worker import Worker
from shiftlens.config import ServeConfig


@contextmanager
def served(**settings):
    """A page that answers, in a thread of this process, with its worker at hand."""
    worker = Worker()
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(serve, "Worker", lambda: worker)
        with serve.opened(ServeConfig(port=0, device="cpu", **settings)) as server:
            server.worker = worker
            thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.02})
            thread.start()
            try:
                yield server
            finally:
                server.shutdown()
                thread.join()


@pytest.fixture(scope="module")
def page():
    """The demo's page, for all tests of a file."""
    pytest.importorskip("dash")
    with served(model="demo") as server:
        yield server


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
