import threading
from contextlib import contextmanager

import pytest
from hands import own

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


@pytest.fixture
def tab(page, browser):
    """A fresh tab; at the end nothing must have gone wrong or left the machine."""
    context = browser.new_context(viewport={"width": 1280, "height": 1000}, accept_downloads=True)
    tab = context.new_page()
    home = f"http://127.0.0.1:{page.port}/"
    complaints, strangers = [], []
    tab.on("console", lambda m: complaints.append(m.text) if m.type == "error" else None)
    tab.on("pageerror", lambda error: complaints.append(str(error)))
    tab.on("dialog", lambda dialog: complaints.append(dialog.message))
    tab.on("request", lambda r: strangers.append(r.url) if not own(r.url, home) else None)
    tab.home = home
    tab.set_default_timeout(90_000)
    yield tab
    hacked = tab.evaluate("window.hacked")
    context.close()
    assert complaints == [] and strangers == [] and hacked is None
