"""How much a run draws: with FIRNLINE_TESTS=long thousands of questions instead of hundreds."""

from __future__ import annotations

import os

import pytest

IS_LONG = os.environ.get("FIRNLINE_TESTS") == "long"
# A long run takes most of an hour on one slow core; an ordinary one keeps the suite's own bound.
PATIENCE = pytest.mark.timeout(4 * 3600 if IS_LONG else 300)
