"""``shiftlens serve``: load the model, open the port, serve until interrupted."""

import contextlib
import logging
import socket
from collections.abc import Callable, Iterator
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import TYPE_CHECKING

from shiftlens.app.measured import open_run
from shiftlens.app.session import Session
from shiftlens.app.worker import Worker
from shiftlens.config import ServeConfig
from shiftlens.errors import ShiftlensError
from shiftlens.loading import load_model

if TYPE_CHECKING:
    from werkzeug.serving import BaseWSGIServer

HOST = "127.0.0.1"


def _say(line: str) -> None:
    print(line, flush=True)


def run_serve(config: ServeConfig, say: Callable[[str], None] = _say) -> None:
    """Serve the page on this machine until interrupted.

    Args:
        config: The settings.
        say: Receives the line with the address.

    Raises:
        ShiftlensError: As :func:`opened`.
    """
    with opened(config) as server:
        logging.getLogger("werkzeug").setLevel(logging.ERROR)
        say(f"shiftlens: http://{HOST}:{server.port} (ends with Ctrl-C)")
        server.serve_forever()


@contextlib.contextmanager
def opened(config: ServeConfig) -> "Iterator[BaseWSGIServer]":
    """Load the model, build the page and hold the port.

    Args:
        config: The settings.

    Yields:
        The server, which does not answer before its ``serve_forever`` is called.

    Raises:
        ShiftlensError: Dash is not installed, the port cannot be had, or the model or run cannot
            be used.
    """
    try:
        from shiftlens.app.page import build
    except ModuleNotFoundError as error:
        if error.name != "dash":
            raise
        raise ShiftlensError(
            "the page needs Dash: pip install 'shiftlens[app]', or '.[app]' in a clone"
        ) from error
    from werkzeug.serving import make_server

    with open_port(config.port) as listening, TemporaryDirectory() as folder:
        model = load_model(config.model, dtype=config.dtype, device=config.device)
        measured = open_run(Path(config.run), model) if config.run else None
        session = Session(model, config.dtype, measured, Path(folder), Worker())
        app = build(session, listening.getsockname()[1])
        server = make_server(HOST, 0, app.server, threaded=True, fd=listening.fileno())
        try:
            yield server
        finally:
            server.server_close()


def open_port(port: int) -> socket.socket:
    """Listen on this machine's own address.

    Args:
        port: Which port; 0 for any that is free.

    Raises:
        ShiftlensError: There is no such port, or it is taken.
    """
    if not 0 <= port <= 65535:
        raise ShiftlensError(f"port {port} does not exist; give 1 to 65535, or 0 for any free one")
    try:
        return socket.create_server((HOST, port))
    except OSError as error:
        reason = (error.strerror or str(error)).lower()
        raise ShiftlensError(
            f"cannot listen on port {port}: {reason}; give another --port"
        ) from error
