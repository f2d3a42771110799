"""Who may talk to the page: this machine's own browser, under this machine's own names."""

from typing import Any

from flask import Flask, Response, abort, request

LARGEST_REQUEST = 4 * 1024 * 1024
NAMES = ("127.0.0.1", "localhost", "[::1]")


def protect(server: Flask, port: int, script_hashes: list[str]) -> None:
    """Refuse requests under other names, and tell the browser what the page may load.

    A name that somebody else's DNS points here (rebinding) is refused with 403, and so is a
    request that another site's page sends.

    Args:
        server: The page's server.
        port: Where it listens.
        script_hashes: Of the inline scripts that may run, as a Content-Security-Policy has them.
    """
    hosts = {f"{name}:{port}" for name in NAMES} | (set(NAMES) if port == 80 else set())
    origins = {f"http://{host}" for host in hosts}
    headers = {
        "Content-Security-Policy": _policy(script_hashes),
        "Referrer-Policy": "no-referrer",
        "X-Content-Type-Options": "nosniff",
        "X-Frame-Options": "DENY",
    }
    server.config["MAX_CONTENT_LENGTH"] = LARGEST_REQUEST

    def refuse() -> Any:
        own = request.headers.get("Host", "") in hosts
        if not own or request.headers.get("Origin") not in {None, *origins}:
            abort(403)

    def add(response: Response) -> Response:
        response.headers.update(headers)
        return response

    server.before_request_funcs.setdefault(None, []).insert(0, refuse)
    server.after_request(add)


def _policy(script_hashes: list[str]) -> str:
    rules = {
        "default-src": "'self'",
        "script-src": " ".join(["'self'", *script_hashes]),
        "style-src": "'self' 'unsafe-inline'",
        "img-src": "'self' data: blob:",
        "font-src": "'self' data:",
        "object-src": "'none'",
        "base-uri": "'none'",
        "form-action": "'none'",
        "frame-ancestors": "'none'",
    }
    return "; ".join(f"{name} {value}" for name, value in rules.items())
