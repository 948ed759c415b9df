"""docs/quotas.md says what the code does: its examples load, and its numbers are the code's."""

from __future__ import annotations

import re
from pathlib import Path

import pytest
import yaml

from firnline.connectors.limits import Limits
from firnline.settings import Settings
from firnline.spec.model import TenantSpec
from firnline.sync.extract import PAUSE_MAX_S
from firnline.transport.quota.books import ALONE_S
from firnline.transport.quota.errors import QuotaReservedError, QuotaWaitError
from firnline.transport.quota.ledger import LATELY_S
from firnline.transport.quota.shares import SHARE_TTL_S
from firnline.transport.quota.terms import WRITE_RESERVE
from firnline.transport.retry import RETRY_AFTER_MAX_S, RETRY_AFTER_MIN_S

TEXT = (Path(__file__).resolve().parents[2] / "docs" / "quotas.md").read_text("utf-8")
PLAIN = " ".join(TEXT.split())


def test_examples_load_and_mean_what_they_say() -> None:
    declared, tenant = (
        yaml.safe_load(text) for text in re.findall(r"```yaml\n(.*?)```", TEXT, re.DOTALL)
    )
    limits = Limits.model_validate(declared["limits"])
    spec = TenantSpec.model_validate({"tenant": "acme", **tenant})
    concurrency, budgets = limits.narrowed(spec.connections["zendesk"].limits)

    assert concurrency == 10
    assert {each.name: each.calls for each in budgets} == {
        "account": 700,
        "exports": 30,
        "daily": 100_000,
    }


@pytest.mark.parametrize(
    "said",
    [
        f"Of each rate {Settings.model_fields['quota_interactive_reserve'].default} %",
        f"Another {WRITE_RESERVE} %",
        f"when {Settings.model_fields['quota_sync_daily_max'].default} %",
        f"between {RETRY_AFTER_MIN_S:.0f} s and {RETRY_AFTER_MAX_S / 60:.0f} minutes",
        f"after {SHARE_TTL_S:.0f} seconds",
        f"once in {ALONE_S:.0f} seconds",
        f"`{QuotaWaitError.code}`",
        f"`{QuotaReservedError.code}`",
        "FIRNLINE_QUOTA_PACING",
    ],
)
def test_text_holds_the_code_s_numbers_and_names(said: str) -> None:
    assert said in PLAIN


def test_minutes_are_the_code_s() -> None:
    assert PAUSE_MAX_S == 5 * 60
    assert LATELY_S == 60
