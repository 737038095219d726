"""The official API: `colaboratory.googleapis.com`."""

from __future__ import annotations

import asyncio
import json
import re
import secrets
from typing import Any

from handler import Handler
from machine import ACCELERATORS, HIGH_RAM_ONLY, TPUS, Machine

PACKAGE = "type.googleapis.com/google.colab.v1beta."
RUNTIME_ID = re.compile(r"[a-z]([a-z0-9-]{0,61}[a-z0-9])?")
REQUEST_ID = re.compile(r"[0-9a-f]{8}-[0-9a-f]{4}-4[0-9a-f]{3}-[89ab][0-9a-f]{3}-[0-9a-f]{12}")
VARIANTS = ("VARIANT_CPU", "VARIANT_GPU", "VARIANT_TPU")
SHAPES = ("SHAPE_STANDARD", "SHAPE_HIGHMEM")
TIERS = ("SUBSCRIPTION_TIER_FREE", "SUBSCRIPTION_TIER_PRO", "SUBSCRIPTION_TIER_PRO_PLUS")
# Codes of google.rpc.
ALREADY_EXISTS = 6
FAILED_PRECONDITION = 9
REASONS = {
    "412": "TOO_MANY_ACTIVE_RUNTIMES",
    "denylisted": "DENYLISTED",
    "quota_2": "QUOTA_EXCEEDED_USAGE_TIME",
}
MAX_WAIT_SEC = 60.0
POLL_SEC = 0.02


class Api(Handler):
    """A request of a signed-in client."""

    def prepare(self) -> None:
        """Check the sign-in."""
        super().prepare()
        is_signed_in = self.is_signed_in("ACCESS_TOKEN_SCOPE_INSUFFICIENT", needs_email=False)
        if is_signed_in and self.state.knobs.official_fails:
            self.refuse(500, "Internal error.")
        elif is_signed_in and not self.state.knobs.is_allowlisted:
            self.refuse(403, "Colab API has not been used in this project, or it is disabled.", "SERVICE_DISABLED")

    def machine(self, runtime_id: str) -> Machine | None:
        """Return the machine."""
        machines = self.state.machines.values()
        return next((machine for machine in machines if machine.runtime_id == runtime_id), None)


def described(machine: Machine) -> dict[str, Any]:
    """Return a runtime without its connection."""
    spec = {
        "variant": VARIANTS[machine.variant],
        "accelerator": machine.state.knobs.accelerator_name or machine.accelerator,
        "shape": SHAPES[machine.is_high_ram],
    }
    return {"name": f"runtimes/{machine.runtime_id}", "runtimeSpec": spec}


class Runtimes(Api):
    """The account's runtimes."""

    def get(self) -> None:
        """List them."""
        listed = [described(machine) for machine in self.state.machines.values()]
        self.answer({"runtimes": listed} if listed else {})

    async def post(self) -> None:
        """Create one; the same `requestId` gives the same operation."""
        request_id = self.get_query_argument("requestId", "")
        runtime_id = self.get_query_argument("runtimeId", "")
        try:
            spec = json.loads(self.request.body)["runtimeSpec"]
            accelerator, shape, variant = spec["accelerator"], SHAPES.index(spec["shape"]), spec["variant"]
        except (ValueError, KeyError, TypeError):
            return self.refuse(400, "runtime.runtime_spec is not valid.")
        wanted = VARIANTS[0 if accelerator == "NONE" else 2 if accelerator in TPUS else 1]
        if variant != wanted or (request_id and not REQUEST_ID.fullmatch(request_id)):
            return self.refuse(400, "Request contains an invalid argument.")
        if runtime_id and not RUNTIME_ID.fullmatch(runtime_id):
            return self.refuse(400, "runtime_id is not valid.")

        known = self.state.operations.values()
        operation = next((one for one in known if request_id and one["request_id"] == request_id), None)
        outcome = None
        if operation is None:
            outcome = self.state.knobs.assign.pop(0) if self.state.knobs.assign else None
            if outcome in ("502", "503"):
                return self.refuse(int(outcome), "The service is currently unavailable.")
            operation = self.create(runtime_id, accelerator, outcome, is_high_ram=bool(shape))
            operation["request_id"] = request_id
            self.state.operations[operation["id"]] = operation
        if outcome == "lost":
            return self.drop()
        if outcome == "hangs":
            return await self.hang()
        return self.answer(shown(operation))

    def create(self, runtime_id: str, accelerator: str, outcome: str | None, *, is_high_ram: bool) -> dict[str, Any]:
        """Start a machine, or find why not."""
        state = self.state
        operation: dict[str, Any] = {"id": secrets.token_hex(8), "machine": None, "error": None}
        if self.machine(runtime_id):
            operation["error"] = failure(ALREADY_EXISTS, "Resource already exists.", None)
        elif outcome not in (None, "lost", "hangs"):
            operation["error"] = failure(FAILED_PRECONDITION, "Precondition check failed.", REASONS.get(outcome))
        elif len(state.machines) >= state.knobs.max_sessions:
            operation["error"] = failure(FAILED_PRECONDITION, "Precondition check failed.", REASONS["412"])
        elif not state.is_eligible(accelerator):
            operation["error"] = failure(FAILED_PRECONDITION, "Precondition check failed.", None)
        else:
            machine = Machine.start(state, None, accelerator, is_high_ram=is_high_ram, runtime_id=runtime_id)
            operation["machine"] = machine
            runtime_id = machine.runtime_id
        operation["runtime_id"] = runtime_id
        return operation


def failure(code: int, message: str, reason: str | None) -> dict[str, Any]:
    """Return a status of google.rpc."""
    kind = "type.googleapis.com/google.rpc.ErrorInfo"
    details = [{"@type": kind, "reason": reason, "domain": "colaboratory.googleapis.com"}] if reason else []
    return {"code": code, "message": message, "details": details}


def is_done(operation: dict[str, Any]) -> bool:
    """Return whether the operation has ended."""
    return operation["error"] is not None or operation["machine"].is_ready


def shown(operation: dict[str, Any]) -> dict[str, Any]:
    """Return the operation as the API has it."""
    metadata = {"@type": f"{PACKAGE}CreateRuntimeMetadata", "runtime": f"runtimes/{operation['runtime_id']}"}
    reply = {"name": f"operations/{operation['id']}", "metadata": metadata}
    if not is_done(operation):
        return reply
    if operation["error"] is not None:
        return reply | {"done": True, "error": operation["error"]}
    return reply | {"done": True, "response": {"@type": f"{PACKAGE}Runtime", **described(operation["machine"])}}


class Operation(Api):
    """What creates a runtime."""

    async def get(self, operation_id: str, wait: str | None) -> None:
        """Report it, after its end or a while if asked to wait."""
        operation = self.state.operations.get(operation_id)
        if operation is None:
            return self.refuse(404, "Requested entity was not found.")
        asked = re.fullmatch(r"(\d+(?:\.\d+)?)s", self.get_query_argument("timeout", f"{MAX_WAIT_SEC}s"))
        if asked is None:
            return self.refuse(400, "timeout is not valid.")
        end = self.state.now() + min(float(asked[1]), MAX_WAIT_SEC)
        # The clock may be set meanwhile.
        while wait and not is_done(operation) and self.state.now() < end and not self.closed().is_set():  # noqa: ASYNC110
            await asyncio.sleep(POLL_SEC)
        return self.answer(shown(operation))


class Runtime(Api):
    """One runtime."""

    def get(self, runtime_id: str) -> None:
        """Report it, with a new connection."""
        machine = self.machine(runtime_id)
        if machine is None:
            self.refuse(404, "Requested entity was not found.")
        else:
            self.answer(described(machine) | {"connectionInfo": machine.connection()})

    async def delete(self, runtime_id: str) -> None:
        """End it."""
        machine = self.machine(runtime_id)
        if machine is None:
            self.refuse(404, "Requested entity was not found.")
        else:
            await machine.end()
            self.answer({})


class RuntimeSpecs(Api):
    """What the account may create."""

    def get(self) -> None:
        """List it."""
        specs = []
        for name in ("NONE", *ACCELERATORS):
            variant = VARIANTS[0 if name == "NONE" else 2 if name in TPUS else 1]
            shapes = SHAPES[1:] if name in HIGH_RAM_ONLY else SHAPES
            for shape in shapes:
                key = {"variant": variant, "accelerator": name, "shape": shape}
                specs.append({"key": key, "eligible": self.state.is_eligible(name)})
        self.answer({"runtimeSpecs": specs})


class Subscription(Api):
    """What the account pays for."""

    def get(self) -> None:
        """Report it."""
        self.answer({"name": "subscription", "tier": TIERS[self.state.knobs.tier]})
