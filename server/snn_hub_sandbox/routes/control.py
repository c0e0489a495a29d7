"""The sandbox's own controls: faults, and the log of requests."""

from __future__ import annotations

from fastapi import APIRouter, Request, Response

from snn_hub_sandbox.faults import Fault
from snn_hub_sandbox.gate import CONTROL, Noted

router = APIRouter(prefix=CONTROL.rstrip("/"))


@router.post("/faults")
def add_fault(fault: Fault, request: Request) -> Fault:
    """Switch a fault on."""
    request.app.state.faults.put(fault)
    return fault


@router.get("/faults")
def list_faults(request: Request) -> list[Fault]:
    """All faults, and how often each one struck."""
    faults: list[Fault] = request.app.state.faults.all()
    return faults


@router.delete("/faults", status_code=204)
def clear_faults(request: Request) -> Response:
    """Switch all faults off."""
    request.app.state.faults.clear()
    return Response(status_code=204)


@router.get("/requests")
def list_requests(request: Request, path: str = "*", method: str | None = None) -> list[Noted]:
    """The latest requests, oldest first."""
    noted: list[Noted] = request.app.state.requests.find(path, method)
    return noted


@router.delete("/requests", status_code=204)
def clear_requests(request: Request) -> Response:
    """Forget the requests so far."""
    request.app.state.requests.clear()
    return Response(status_code=204)
