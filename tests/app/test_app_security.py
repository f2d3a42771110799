"""Who may talk to the page, told over plain HTTP; and how the command begins and ends."""

import http.client
import json
import os
import re
import signal
import socket
import subprocess
import sys
from pathlib import Path

import pytest
from test_architecture import imports, path_of

from shiftlens.app.security import LARGEST_REQUEST
from shiftlens.app.worker import QUEUED
from shiftlens.cli import main

SCRIPT = Path(sys.executable).with_name("shiftlens")


def ask(server, method="GET", path="/", body=None, **headers):
    connection = http.client.HTTPConnection("127.0.0.1", server.port, timeout=10)
    headers = {name.replace("_", "-"): value for name, value in headers.items()}
    connection.request(method, path, body, headers)
    answer = connection.getresponse()
    return answer.status, dict(answer.headers), answer.read().decode()


@pytest.mark.parametrize("name", ["127.0.0.1", "localhost", "[::1]"])
def test_its_own_names_are_answered(page, name):
    status, _, text = ask(page, Host=f"{name}:{page.port}")
    assert status == 200 and "shiftlens" in text


@pytest.mark.parametrize(
    "host",
    [
        "evil.example:{port}",
        "evil.example",
        "127.0.0.1",
        "127.0.0.1:{other}",
        "0.0.0.0:{port}",
        "",
        "localhost.evil.example:{port}",
        "127.0.0.1:{port}.evil.example",
        "user@127.0.0.1:{port}",
    ],
)
@pytest.mark.parametrize("path", ["/", "/_dash-layout", "/_dash-dependencies", "/assets/page.js"])
def test_other_names_are_refused(page, host, path):
    name = host.format(port=page.port, other=page.port + 1)
    status, _, text = ask(page, path=path, Host=name)
    assert status == 403 and "shiftlens" not in text


def test_other_sites_may_not_send_requests(page):
    call = json.dumps({"output": "view.value", "inputs": [], "changedPropIds": []})
    for origin in ("http://evil.example", "null", f"http://127.0.0.1:{page.port + 1}"):
        status, _, _ = ask(
            page,
            "POST",
            "/_dash-update-component",
            call,
            Origin=origin,
            Content_Type="application/json",
        )
        assert status == 403
    status, _, _ = ask(page, "POST", "/_dash-update-component", call, Content_Type="text/plain")
    assert status == 415
    own = f"http://127.0.0.1:{page.port}"
    assert ask(page, Origin=own)[0] == 200


def test_it_listens_on_this_machine_alone(page):
    assert page.socket.getsockname()[0] == "127.0.0.1"
    for address in ("127.0.0.2", "::1"):
        with pytest.raises(OSError):
            socket.create_connection((address, page.port), timeout=2)


def test_the_browser_is_told_what_the_page_may_load(page):
    _, headers, text = ask(page)
    policy = dict(rule.split(" ", 1) for rule in headers["Content-Security-Policy"].split("; "))
    assert policy["default-src"] == "'self'" and policy["object-src"] == "'none'"
    assert "unsafe" not in policy["script-src"] and "http" not in headers["Content-Security-Policy"]
    assert headers["X-Content-Type-Options"] == "nosniff"
    assert not re.search(r"(src|href)=\"(https?:)?//", text)


def test_debug_is_off_and_failures_tell_nothing(page):
    assert page.app.debug is False
    status, _, text = ask(
        page, "POST", "/_dash-update-component", "{", Content_Type="application/json"
    )
    assert status == 400 and "Traceback" not in text
    for path in ("/_reload-hash", "/_alive_nonsense", "/console", "/?__debugger__=yes&cmd=1"):
        assert "Werkzeug" not in ask(page, path=path)[2]


def test_requests_are_bounded(page):
    for path in ("/assets/../serve.py", "/assets/%2e%2e/serve.py", "/assets//etc/passwd"):
        assert "import" not in ask(page, path=path)[2] and "root:" not in ask(page, path=path)[2]
    status, _, _ = ask(
        page,
        "POST",
        "/_dash-update-component",
        "x",
        Content_Type="application/json",
        Content_Length=str(LARGEST_REQUEST + 1),
    )
    assert status == 413
    assert QUEUED == 8


@pytest.mark.parametrize(
    ("port", "message"),
    [("65536", "65536 does not exist"), ("-1", "does not exist"), ("99999", "does not exist")],
)
def test_a_port_that_cannot_be_is_one_line(port, message, capfd):
    assert main(["serve", "--model", "demo", "--port", port]) == 2
    [line] = capfd.readouterr().err.splitlines()
    assert line.startswith("shiftlens: port") and message in line


def test_a_port_in_use_is_one_line(page, capfd):
    assert main(["serve", "--model", "demo", "--port", str(page.port)]) == 2
    [line] = capfd.readouterr().err.splitlines()
    assert "in use" in line and "give another --port" in line


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["--model", "./nowhere"], "does not exist"),
        (["--model", "demo", "--run", "nowhere"], "run folder nowhere does not exist"),
        (["--model", "demo", "--run", "."], "holds no sentence states"),
    ],
)
def test_a_model_or_run_that_is_not_there_is_one_line(arguments, message, tmp_path, capfd):
    here = Path.cwd()
    os.chdir(tmp_path)
    try:
        assert main(["serve", "--port", "0", *arguments]) == 2
    finally:
        os.chdir(here)
    [line] = capfd.readouterr().err.splitlines()
    assert message in line


def test_without_dash_it_says_what_to_install(monkeypatch, capfd):
    for name in [name for name in sys.modules if name.split(".")[0] == "dash"]:
        monkeypatch.delitem(sys.modules, name)
    pages = re.compile(r"shiftlens\.app\.(page|\w+_view)$")
    for name in filter(pages.match, list(sys.modules)):
        monkeypatch.delitem(sys.modules, name)
    monkeypatch.setitem(sys.modules, "dash", None)
    assert main(["serve", "--model", "demo", "--port", "0"]) == 2
    [line] = capfd.readouterr().err.splitlines()
    assert (
        line
        == "shiftlens: the page needs Dash: pip install 'shiftlens[app]', or '.[app]' in a clone"
    )


def test_notebooks_do_not_need_dash():
    needed = without_dash("shiftlens.app")
    assert needed == {"shiftlens.app", "shiftlens.app.shifted"}


def without_dash(module):
    """A module of the page with those that it imports; none of them may import Dash."""
    source = path_of(module).read_text(encoding="utf-8")
    assert not re.search(r"^\s*(from|import) (dash|flask|werkzeug)", source, re.MULTILINE)
    inner = {name for name in imports(module, source) if name.startswith("shiftlens.app")}
    return {module}.union(*map(without_dash, inner))


def test_the_command_says_its_address_and_ends_with_ctrl_c():
    command = [SCRIPT, "serve", "--model", "demo", "--port", "0"]
    # A background job inherits an ignored SIGINT, which Python then leaves ignored.
    with subprocess.Popen(
        command,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        preexec_fn=lambda: signal.signal(signal.SIGINT, signal.SIG_DFL),
    ) as process:
        try:
            line = process.stdout.readline()
            port = int(re.fullmatch(r"shiftlens: http://127\.0\.0\.1:(\d+) .*\n", line)[1])
            connection = http.client.HTTPConnection("127.0.0.1", port, timeout=10)
            connection.request("GET", "/")
            assert connection.getresponse().status == 200
            process.send_signal(signal.SIGINT)
            output, errors = process.communicate(timeout=20)
        finally:
            process.kill()
    assert (process.returncode, output, errors) == (0, "", "")
