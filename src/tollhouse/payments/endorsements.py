"""Convert an external authentication for a JSON column, and read it back. Pure."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from tollhouse.payments.model import ExternalAuthentication


def endorsement_to_json(endorsement: ExternalAuthentication) -> dict[str, Any]:
    """Convert an external authentication without its proof, which the acquirer got and which is not stored."""
    facts = {"status": endorsement.status, "eci": endorsement.eci, "exemption": endorsement.exemption}
    return {name: value for name, value in facts.items() if value is not None}


def read_endorsement(facts: Mapping[str, Any] | None) -> ExternalAuthentication | None:
    """Read an external authentication; None if there was none."""
    return ExternalAuthentication(**facts) if facts is not None else None
