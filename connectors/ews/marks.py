"""How important and how private an item is: what every kind of item says in the same words."""

from __future__ import annotations

from typing import Any

from connectors.contact import Importance, Sensitivity
from connectors.ews.answer import T

_IMPORTANCE: dict[str, Importance] = {"Low": "low", "High": "high"}
_SENSITIVITY: dict[str, Sensitivity] = {"Personal": "personal", "Private": "private", "Confidential": "confidential"}


def importance_of(element: Any) -> Importance:
    """How important an item is."""
    return _IMPORTANCE.get(element.findtext(f"{T}Importance") or "", "normal")


def sensitivity_of(element: Any) -> Sensitivity:
    """How private an item is."""
    return _SENSITIVITY.get(element.findtext(f"{T}Sensitivity") or "", "normal")
