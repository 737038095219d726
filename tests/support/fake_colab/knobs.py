"""`/_fake`: what a test changes and sees.

POST takes an object of knobs: the settings of `Knobs`, and the actions below. GET returns the state.
"""

from __future__ import annotations

import json
from dataclasses import asdict, fields
from typing import TYPE_CHECKING, Any, cast, get_args

from state import Knobs, Outcome
from tornado.web import HTTPError, RequestHandler

if TYPE_CHECKING:
    from machine import Machine
    from state import State

OUTCOMES = set(get_args(Outcome))
SETTINGS = {setting.name for setting in fields(Knobs)}


class Fake(RequestHandler):
    """The test's own door."""

    @property
    def state(self) -> State:
        """Return what the fake knows."""
        return cast("State", self.settings["state"])

    def get(self) -> None:
        """Show the state."""
        state = self.state
        self.finish(
            {
                "clock": state.now(),
                "knobs": asdict(state.knobs),
                "is_revoked": state.is_revoked,
                "requests": state.requests,
                "faults": state.faults,
                "machines": [machine.shown() for machine in state.all_machines],
                "colab_requests": state.colab_requests,
            }
        )

    async def post(self) -> None:
        """Set knobs, in their order."""
        for name, value in json.loads(self.request.body).items():
            if name in ("assign", "assign_get") and not set(value) <= OUTCOMES:
                raise HTTPError(400, reason="no such outcome")
            if name in SETTINGS:
                setattr(self.state.knobs, name, value)
            else:
                await self.act(name, value)
        self.get()

    async def act(self, name: str, value: Any) -> None:
        """Do something now; machines are named by their endpoint, or `true` for all."""
        state = self.state
        match name:
            case "clock":
                state.clock_offset_sec += value
            case "revoke":
                state.is_revoked = value
                state.refresh_tokens.clear()
                state.access_tokens.clear()
            case "expire_access":
                state.access_tokens.clear()
            case "expire":
                for machine in self.named(value):
                    machine.tokens.clear()
            case "drop":
                for machine in self.named(value):
                    machine.drop_sockets()
            case "replace":
                for machine in self.named(value):
                    if machine.index + 1 == len(state.servers):
                        raise HTTPError(409, reason="no further --jupyter-url")
                    machine.replace()
            case "gone":
                for machine in self.named(value):
                    await machine.end()
            case "forget":
                state.requests.clear()
                state.faults.clear()
                state.colab_requests.clear()
            case _:
                raise HTTPError(400, reason="no such knob")

    def named(self, value: Any) -> list[Machine]:
        """Return machines."""
        if value is True:
            return list(self.state.machines.values())
        if value not in self.state.machines:
            raise HTTPError(404, reason="no such machine")
        return [self.state.machines[value]]
