"""Write what another 3-D Secure server found for a JSON column, and read it back. Pure."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from tollhouse.payments.model import Endorsement


def endorsement_to_json(endorsement: Endorsement) -> dict[str, Any]:
    """Write down what was said, without the proof: the acquirer has it, and nobody needs it again."""
    facts = {"status": endorsement.status, "eci": endorsement.eci, "exemption": endorsement.exemption}
    return {name: value for name, value in facts.items() if value is not None}


def read_endorsement(facts: Mapping[str, Any] | None) -> Endorsement | None:
    """Read it back; None where there was none."""
    return Endorsement(**facts) if facts is not None else None
