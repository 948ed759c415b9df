"""The questions of docs/agents.md run for both tenants, and the commands it names exist."""

from __future__ import annotations

import re
import shlex

import pytest
from tests.end_to_end.conftest import TENANTS, Synced
from tests.project.test_tidy import ROOT
from typer.main import get_command

from firnline.access.principal import Principal
from firnline.cli.main import cli
from firnline.sandbox.seed import DEMO_PEOPLE

TEXT = (ROOT / "docs" / "agents.md").read_text("utf-8")
QUESTIONS = re.findall(r"```graphql\n(.*?)```", TEXT, re.DOTALL)
COMMANDS = re.findall(r"^    firnline (schema [^#\n]*)", TEXT, re.MULTILINE)


def test_page_has_questions_and_commands() -> None:
    assert len(QUESTIONS) == 3
    assert len(COMMANDS) == 5


@pytest.mark.parametrize("question", QUESTIONS)
@pytest.mark.parametrize("tenant", TENANTS)
@pytest.mark.asyncio(loop_scope="session")
async def test_question_of_the_page_is_answered(synced: Synced, tenant: str, question: str) -> None:
    principal = Principal(tenant=tenant, email=DEMO_PEOPLE[tenant]["rep"])
    answer = await synced.app.ask(principal, question)
    assert not answer.errors
    assert answer.data
    assert all(answer.data.values())


@pytest.mark.parametrize("tenant", TENANTS)
@pytest.mark.asyncio(loop_scope="session")
async def test_every_example_that_a_search_gives_runs(synced: Synced, tenant: str) -> None:
    principal = Principal(tenant=tenant, email=DEMO_PEOPLE[tenant]["rep"])
    for text in ("renewal amount", "ticket priority", "invoice", "owner"):
        found = await synced.app.ask(principal, f'{{ _search(text: "{text}") {{ example }} }}')
        assert found.data
        assert found.data["_search"], text
        for hit in found.data["_search"]:
            answer = await synced.app.ask(principal, hit["example"])
            assert not answer.errors, hit
            assert not answer.extensions["access"], hit


@pytest.mark.parametrize("command", COMMANDS)
def test_command_of_the_page_has_those_options(command: str) -> None:
    group = get_command(cli).commands["schema"]  # type: ignore[attr-defined]
    words = shlex.split(command)[1:]
    with group.make_context("schema", list(words)) as context:
        name = (*context._protected_args, *context.args)[0]
        rest = [*context._protected_args, *context.args][1:]
    assert name == ("diff" if words[0] == "diff" else "print")
    group.commands[name].make_context(name, rest).close()
