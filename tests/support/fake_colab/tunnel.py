"""The control plane of Colab's web page: `colab.research.google.com/tun/m`."""

from __future__ import annotations

import json
import re
from typing import Any

from handler import HTML_400, PREFIX, Handler
from machine import ACCELERATORS, HIGH_RAM_ONLY, RATES, TPUS, Machine

# A UUID with `_`, filled up to 44 characters.
HASH = re.compile(r"[0-9a-f]{8}(_[0-9a-f]{4}){3}_[0-9a-f]{12}\.{8}")
ASSIGN_ARGUMENTS = {"authuser", "nbh", "variant", "accelerator", "shape", "runtime_version_label"}


class Tunnel(Handler):
    """A request of a signed-in client."""

    def prepare(self) -> None:
        """Check what every request has to bring."""
        super().prepare()
        headers = self.request.headers
        name = f"{self.request.method} {self.request.path}"
        if self.get_query_argument("authuser", None) != "0":
            self.state.fault(f"{name}: no authuser=0")
        if headers.get("Accept") != "application/json":
            self.state.fault(f"{name}: Accept is not application/json")
        if "X-Colab-Client-Agent" not in headers:
            self.state.fault(f"{name}: no X-Colab-Client-Agent")
        self.is_signed_in("SCOPE_NOT_PERMITTED", needs_email=True)

    def answer(self, body: Any, status: int = 200) -> None:
        """Answer with JSON that is no script, errors too."""
        self.set_status(status)
        self.set_header("Content-Type", "application/json; charset=utf-8")
        self.finish(PREFIX + json.dumps(body))

    def html_400(self) -> None:
        """Answer as Google's front end does."""
        self.set_status(400)
        self.set_header("Content-Type", "text/html; charset=UTF-8")
        self.finish(HTML_400)

    def is_form(self, purpose: str) -> bool:
        """Return whether the POST brings the token of its GET; else it was answered."""
        token = self.request.headers.get("X-Goog-Colab-Token", "")
        if self.state.forms.get(token) == purpose:
            return True
        self.state.fault(f"{self.request.path}: POST without the token of its GET")
        self.refuse(403, "XSRF check failed.")
        return False

    def machine(self, endpoint: str) -> Machine | None:
        """Return the machine, or None after an answer."""
        machine = self.state.machines.get(endpoint)
        if machine is None:
            self.refuse(404, "Requested entity was not found.")
        return machine


class Assign(Tunnel):
    """A machine for the hash of a notebook."""

    def prepare(self) -> None:
        """Check the arguments."""
        super().prepare()
        if self._finished:
            return
        for name in self.request.query_arguments.keys() - ASSIGN_ARGUMENTS:
            self.state.fault(f"assign: argument {name} is unknown")
        self.nbh = self.get_query_argument("nbh", "")
        self.accelerator = self.get_query_argument("accelerator", "NONE")
        self.variant = self.get_query_argument("variant", "DEFAULT")
        self.shape = self.get_query_argument("shape", None)
        if self.shape not in (None, "hm") or (self.shape and self.accelerator in HIGH_RAM_ONLY):
            self.state.fault(f"assign: shape {self.shape} for {self.accelerator}")
        wanted = "DEFAULT" if self.accelerator == "NONE" else "TPU" if self.accelerator in TPUS else "GPU"
        if self.variant.replace("NONE", "DEFAULT") != wanted:
            self.state.fault(f"assign: variant {self.variant} for {self.accelerator}")
        if not HASH.fullmatch(self.nbh):
            self.html_400()

    def assigned(self) -> Machine | None:
        """Return the machine that the hash has."""
        return next((machine for machine in self.state.machines.values() if machine.nbh == self.nbh), None)

    async def get(self) -> None:
        """Answer with the hash's machine, or with the token for a POST."""
        if await self.is_refused("assign_get"):
            return
        machine = self.assigned()
        if machine is not None:
            self.answer(machine.assignment())
            return
        form = self.state.form(self.request.query)
        captcha = self.state.knobs.captcha
        reply = {"acc": self.accelerator, "nbh": self.nbh, "p": captcha, "token": form, "variant": self.variant}
        self.answer(reply)

    async def post(self) -> None:
        """Assign a machine."""
        if not self.is_form(self.request.query):
            return
        knobs = self.state.knobs
        reply = knobs.assign[0] if knobs.assign else None
        if reply in ("lost", "hangs"):
            del knobs.assign[0]
            self.assigned() or self.start()
            if reply == "hangs":
                await self.hang()
            else:
                self.drop()
            return
        if await self.is_refused("assign"):
            return
        if not self.state.is_eligible(self.accelerator):
            self.html_400()
            return
        machine = self.assigned()
        if machine is None and len(self.state.machines) >= knobs.max_sessions:
            self.refuse(412, "Precondition check failed.")
            return
        body = (machine or self.start()).assignment()
        if knobs.sparse:
            body = {name: body[name] for name in ("endpoint", "runtimeProxyInfo")}
        else:
            body |= {"fit": 3600, "sub": 2 if knobs.tier else 1, "subTier": knobs.tier, "outcome": 4}
        self.answer(body)

    def start(self) -> Machine:
        """Start the machine."""
        return Machine.start(self.state, self.nbh, self.accelerator, is_high_ram=self.shape == "hm")

    async def is_refused(self, knob: str) -> bool:
        """Answer as the knob says, if it says so."""
        outcomes: list[str] = getattr(self.state.knobs, knob)
        outcome = outcomes.pop(0) if outcomes else None
        match outcome:
            case None:
                return False
            case "lost":
                self.drop()
            case "hangs":
                await self.hang()
            case "html_400":
                self.html_400()
            case "412":
                self.refuse(412, "Precondition check failed.")
            case "502" | "503":
                self.refuse(int(outcome), "The service is currently unavailable.")
            case "quota_1" | "quota_2" | "denylisted" | "quota_503":
                number = {"quota_1": 1, "denylisted": 5}.get(outcome, 2)
                empty = {"accelerator": "", "endpoint": "", "machineShape": 0, "sub": 0, "subTier": 0, "variant": 0}
                self.answer(empty | {"outcome": number}, 503 if outcome == "quota_503" else 200)
        return True


class Assignments(Tunnel):
    """The account's machines."""

    def get(self) -> None:
        """List them, each with a new proxy token."""
        machines = [] if self.state.used("lose_list") else self.state.machines.values()
        listed = [machine.assignment() for machine in machines]
        is_absent = not listed and self.state.knobs.no_assignments == "absent"
        self.answer({} if is_absent else {"assignments": listed})


class Unassign(Tunnel):
    """The end of a machine."""

    def get(self, endpoint: str) -> None:
        """Answer with the token for the POST."""
        if self.machine(endpoint):
            self.answer({"token": self.state.form(endpoint)})

    async def post(self, endpoint: str) -> None:
        """End it."""
        machine = self.machine(endpoint)
        if self.state.used("unassign_fails"):
            self.refuse(500, "Internal error.")
        elif machine and self.is_form(endpoint):
            await machine.end()
            self.set_status(204)
            self.finish()


class KeepAlive(Tunnel):
    """A sign of life, which usually is not answered."""

    async def get(self, endpoint: str) -> None:
        """Count it."""
        if self.request.headers.get("X-Colab-Tunnel") != "Google":
            self.html_400()
            return
        machine = self.machine(endpoint)
        if machine is None:
            return
        reply = self.state.knobs.keep_alive
        if isinstance(reply, int):
            self.refuse(reply, "Refused.")
            return
        machine.keep_alives += 1
        if reply == "answers":
            self.finish()
        else:
            await self.hang()


class Units(Tunnel):
    """The account's compute units."""

    def get(self) -> None:
        """Report them."""
        machines = self.state.machines.values()
        eligible, rate = self.state.knobs.eligible, self.state.knobs.rate
        if rate is None:
            rate = sum(RATES.get(machine.accelerator, 1.0) for machine in machines)
        reply: dict[str, Any] = {
            "currentBalance": self.state.knobs.balance,
            "consumptionRateHourly": rate,
            "assignmentsCount": len(machines),
        }
        if eligible is not None:
            gpus = [name for name in ACCELERATORS if name not in TPUS]
            reply["eligibleGpus"] = [name for name in gpus if name in eligible]
            reply["ineligibleGpus"] = [name for name in gpus if name not in eligible]
            reply["eligibleTpus"] = [name for name in TPUS if name in eligible]
        self.answer(reply)


class Credentials(Tunnel):
    """The person's credentials for a machine, as for Drive."""

    def get(self, endpoint: str) -> None:
        """Answer with the token for the POST."""
        if self.machine(endpoint):
            self.answer({"token": self.state.form(self.request.query)})

    def post(self, endpoint: str) -> None:
        """Grant them, if the person agreed."""
        if not self.machine(endpoint) or not self.is_form(self.request.query):
            return
        if self.state.knobs.has_drive_consent:
            self.answer({"success": True})
        else:
            self.answer({"success": False, "unauthorized_redirect_uri": f"{self.state.url}/drive-consent"})
