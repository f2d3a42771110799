"""What a view shows of its job: that it waits, how far it is, and a button that stops it."""

from collections.abc import Callable
from typing import Any

from dash import Dash, Input, Output, State, dcc, html, no_update, set_props

from shiftlens.app.worker import Job, Worker
from shiftlens.errors import ShiftlensError

TICK = 250
"""Milliseconds between two looks at a job."""

PATIENCE = 0.2
"""Seconds that a look waits for a job which may be done at once."""

GONE = "this result is no longer kept; ask for it again"

Work = Callable[[Job], Any]


class Runner:
    """One line from the page to the worker.

    A view asks by putting what :meth:`ask` returns in the store ``NAME-asked``; when the job is
    done its id stands in the store ``NAME-done``.

    Args:
        name: Begins the ids of its parts on the page.
        worker: Does the jobs.
    """

    def __init__(self, name: str, worker: Worker):
        self.name = name
        self.worker = worker
        self.asked = f"{name}-asked"
        self.done = f"{name}-done"
        self.again = f"{name}-again"
        self.holder = f"{name}-held"

    def layout(self, hint: str = "", again: bool = False) -> html.Div:
        """The parts on the page.

        Args:
            hint: What to say before anything was asked.
            again: Whether there is a button, :attr:`again`, that shows when there is no result.
        """
        return html.Div(
            [
                dcc.Store(id=self.asked),
                dcc.Store(id=self.done),
                dcc.Interval(id=f"{self.name}-tick", interval=TICK, disabled=True),
                html.Div(html.Div(id=f"{self.name}-bar"), className="bar"),
                html.Span(hint, id=f"{self.name}-step", role="status"),
                html.Button("Cancel", id=f"{self.name}-cancel", className="quiet cancel"),
                *([html.Button("Run again", id=self.again, className="again")] if again else []),
            ],
            id=f"{self.name}-status",
            className="status hinted" if hint else "status idle",
        )

    def held(self, *parts: Any) -> html.Div:
        """Parts that show a result; they are dimmed while it is of an earlier request."""
        note = html.P("of the earlier request", className="note")
        return html.Div([note, *parts], id=self.holder, className="held")

    def ask(self, previous: dict[str, Any] | None, prepare: Callable[[], Work]) -> dict[str, Any]:
        """Put a job in the line, in place of the one that was asked before.

        Args:
            previous: What was in the store.
            prepare: Checks what was asked and returns the work; its result stays with the job.

        Returns:
            For the store: the job, or why it was refused.
        """
        try:
            work = prepare()
            if previous:
                self.worker.cancel(previous.get("job"))
            return {"job": self.worker.submit(work).id}
        except ShiftlensError as error:
            return {"refused": str(error)}

    def wait(self, previous: dict[str, Any] | None, hint: str = "") -> dict[str, Any] | None:
        """Stop what was asked before, and ask for nothing.

        Args:
            previous: What was in the store.
            hint: What is still missing.

        Returns:
            For the store.
        """
        if previous:
            self.worker.cancel(previous.get("job"))
        return {"hint": hint} if hint else None

    def lost(self) -> None:
        """Say on the page that a result is no longer kept; for a callback that misses it."""
        set_props(self.asked, {"data": {"refused": GONE}})

    def stopped(self, asked: dict[str, Any] | None) -> bool:
        """Whether what was asked ended without a result."""
        job = self.worker.get((asked or {}).get("job"))
        return job is None or job.cancelled or job.state == "failed"

    def result(self, done: str | None) -> Any:
        """What a job found; None where it is no longer kept."""
        job = self.worker.get(done)
        return None if job is None else job.result

    def connect(self, app: Dash) -> None:
        """Look at the job until it is over, and stop it on request."""
        name = self.name

        @app.callback(
            Output(f"{name}-status", "className"),
            Output(f"{name}-step", "children"),
            Output(f"{name}-bar", "style"),
            Output(f"{name}-tick", "disabled"),
            Output(self.done, "data"),
            Output(self.holder, "className"),
            Input(self.asked, "data"),
            Input(f"{name}-tick", "n_intervals"),
            State(self.done, "data"),
            prevent_initial_call=True,
        )
        def look(asked: dict[str, Any] | None, _: int, done: str | None) -> tuple[Any, ...]:
            state, words, share = self._look(asked)
            finished = asked["job"] if asked and state == "done" else None
            over = state not in ("waiting", "running")
            width = {"width": f"{100 * share:.0f}%"} if share is not None else {}
            mode = state if share is not None or over else f"{state} unknown"
            fresh = finished if finished and finished != done else no_update
            held = "held earlier" if done and state not in ("done", "idle") else "held"
            return f"status {mode}", words, width, over, fresh, held

        @app.callback(
            Output(f"{name}-cancel", "disabled"),
            Input(f"{name}-cancel", "n_clicks"),
            State(self.asked, "data"),
            prevent_initial_call=True,
        )
        def cancel(_: int, asked: dict[str, Any] | None) -> bool:
            if asked:
                self.worker.cancel(asked.get("job"))
            return False

    def _look(self, asked: dict[str, Any] | None) -> tuple[str, str, float | None]:
        """State, words and share done of what was asked."""
        if not asked:
            return "idle", "", None
        if "hint" in asked:
            return "hinted", str(asked["hint"]), None
        if "refused" in asked:
            return "refused", str(asked["refused"]), None
        job = self.worker.get(asked.get("job"))
        if job is None:
            return "failed", GONE, None
        job.finished.wait(PATIENCE)
        state, share = job.state, job.share
        if state == "waiting":
            ahead = self.worker.ahead(job)
            return state, f"waiting; {ahead} in the queue" if ahead > 1 else "waiting", None
        if state == "running":
            percent = f", {100 * share:.0f}%" if share is not None else ""
            return state, f"{job.step or 'working'}{percent}", share
        words = {"failed": job.error, "cancelled": "cancelled"}.get(state, "")
        return state, words, None
