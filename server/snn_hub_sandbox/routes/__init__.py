"""The Hub's routes, one module a topic."""

from __future__ import annotations

from fastapi import APIRouter

from snn_hub_sandbox.routes import (
    accounts,
    control,
    discussions,
    files,
    models,
    pages,
    references,
    uploads,
)

router = APIRouter()
# The last one's routes match much, so they come last.
for _module in (control, accounts, models, files, references, uploads, discussions, pages):
    router.include_router(_module.router)
