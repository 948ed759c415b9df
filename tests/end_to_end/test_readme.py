"""The README's questions run, and the commands it names exist."""

from __future__ import annotations

import re

import pytest
from tests.end_to_end.conftest import TENANTS, Synced
from tests.project.test_tidy import ROOT
from typer.main import get_command

from firnline.access.principal import Principal
from firnline.cli.main import cli
from firnline.sandbox.seed import DEMO_PEOPLE

README = (ROOT / "README.md").read_text("utf-8")
QUESTIONS = re.findall(r"```graphql\n(.*?)```", README, re.DOTALL)


@pytest.mark.parametrize("question", QUESTIONS)
@pytest.mark.asyncio(loop_scope="session")
async def test_question_of_the_readme_is_answered_for_both_tenants(
    synced: Synced, question: str
) -> None:
    for tenant in TENANTS:
        principal = Principal(tenant=tenant, email=DEMO_PEOPLE[tenant]["rep"])
        answer = await synced.app.ask(principal, question)
        assert not answer.errors
        assert answer.data


def test_readme_has_questions() -> None:
    assert len(QUESTIONS) >= 2


def test_commands_of_the_readme_exist() -> None:
    known = set(get_command(cli).commands)  # type: ignore[attr-defined]
    named = set(re.findall(r"^\s{4}firnline ([a-z]+)", README, re.MULTILINE))
    assert named
    assert named <= known


def test_paths_of_the_readme_exist() -> None:
    for path in re.findall(r"\]\(([^)#:]+)\)", README):
        assert (ROOT / path).exists(), path
