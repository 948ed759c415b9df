"""Published operations over the served project: dialects, registers, persisted only, reports."""

from __future__ import annotations

import asyncio
import hashlib
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import httpx2
import orjson
import pytest
from tests.end_to_end.conftest import PROJECT, TENANTS, Synced
from tests.end_to_end.test_http import Served, served
from typer.testing import CliRunner

from firnline.cli.operations import operations as command
from firnline.graph.plan import Planner
from firnline.sandbox.seed import DEMO_PEOPLE
from firnline.spec.model import GraphSpec
from firnline.state.rows import AskerRow, OperationRow

__all__ = ["served"]  # the fixture
pytestmark = pytest.mark.asyncio(loop_scope="session")

TEXT = "query Counted { accounts { totalCount } }"
REP = DEMO_PEOPLE["acme"]["rep"]


def apollo(text: str) -> dict[str, Any]:
    digest = hashlib.sha256(text.encode()).hexdigest()
    return {"persistedQuery": {"version": 1, "sha256Hash": digest}}


def error_of(answer: httpx2.Response) -> dict[str, Any]:
    (error,) = answer.json()["errors"]
    return {**error, "code": error["extensions"]["code"], "status": answer.status_code}


@pytest.fixture
def graph(synced: Synced) -> Iterator[Any]:
    """Return what changes the rules of acme's graph for one test."""
    tenants = synced.app.project.tenants
    before = tenants["acme"]

    def change(**rules: bool) -> None:
        tenants["acme"] = before.model_copy(update={"graph": GraphSpec.model_validate(rules)})

    yield change
    tenants["acme"] = before


async def test_manifest_ids_of_every_dialect_answer_alike(synced: Synced, served: Served) -> None:
    text = "query EveryDialect { accounts { totalCount } }"
    digest = hashlib.sha256(text.encode()).hexdigest()
    await synced.app.publish("acme", text)
    await synced.app.publish("acme", text, operation_id="0123456789abcdef0123456789abcdef")
    expected = (await served.ask("acme", REP, query=text)).json()["data"]

    for body in (
        {"documentId": f"sha256:{digest}"},
        {"documentId": digest},
        {"doc_id": "0123456789abcdef0123456789abcdef"},
        {"extensions": apollo(text)},
    ):
        assert (await served.ask("acme", REP, **body)).json()["data"] == expected


async def test_unknown_hash_is_not_supported_where_nothing_is_registered(served: Served) -> None:
    text = "query Unregistered { accounts { totalCount } }"
    for _ in range(2):
        error = error_of(await served.ask("acme", REP, extensions=apollo(text)))
        assert error["message"] == "PersistedQueryNotSupported"
        assert (error["code"], error["status"]) == ("PERSISTED_QUERY_NOT_SUPPORTED", 200)
        both = await served.ask("acme", REP, query=text, extensions=apollo(text))
        assert both.json()["data"]["accounts"]["totalCount"]


async def test_registered_text_answers_by_its_hash_at_its_tenant_only(
    served: Served, graph: Any
) -> None:
    graph(automaticPersistedQueries=True)
    text = "query Registered { accounts { totalCount } }"

    error = error_of(await served.ask("acme", REP, extensions=apollo(text)))
    assert error["message"] == "PersistedQueryNotFound"
    assert (error["code"], error["status"]) == ("PERSISTED_QUERY_NOT_FOUND", 200)
    first = await served.ask("acme", REP, query=text, extensions=apollo(text))
    again = await served.ask("acme", REP, extensions=apollo(text))

    assert again.json()["data"] == first.json()["data"]
    globex = await served.ask("globex", DEMO_PEOPLE["globex"]["rep"], extensions=apollo(text))
    assert error_of(globex)["code"] == "PERSISTED_QUERY_NOT_SUPPORTED"


async def test_text_that_does_not_run_is_not_registered(served: Served, graph: Any) -> None:
    graph(automaticPersistedQueries=True)
    text = "query Wrong { nothingOfThatName }"
    await served.ask("acme", REP, query=text, extensions=apollo(text))
    error = error_of(await served.ask("acme", REP, extensions=apollo(text)))
    assert error["code"] == "PERSISTED_QUERY_NOT_FOUND"


async def test_persisted_only_runs_what_is_published_and_nothing_else(
    synced: Synced, served: Served, graph: Any
) -> None:
    graph(persistedOnly=True, automaticPersistedQueries=True)
    row = await synced.app.publish("acme", TEXT)
    other = "query Other { deals { totalCount } }"

    by_id = await served.ask("acme", REP, documentId=row.operation_id)
    by_both = await served.ask("acme", REP, query=TEXT, extensions=apollo(TEXT))
    assert by_id.json()["data"] == by_both.json()["data"]
    for body in (
        {"query": other},
        {"query": TEXT},
        {"query": other, "extensions": apollo(other)},
    ):
        error = error_of(await served.ask("acme", REP, **body))
        assert (error["code"], error["status"]) == ("persisted_only", 403)
        assert error["extensions"]["hint"]
    unknown = error_of(await served.ask("acme", REP, extensions=apollo(other)))
    assert (unknown["code"], unknown["status"]) == ("unknown_operation", 404)
    globex = await served.ask("globex", DEMO_PEOPLE["globex"]["rep"], query=other)
    assert globex.json()["data"]


async def test_persisted_only_of_the_installation_holds_at_every_tenant(
    synced: Synced, served: Served, monkeypatch: pytest.MonkeyPatch
) -> None:
    strict = synced.app.settings.model_copy(update={"persisted_only": True})
    monkeypatch.setattr(synced.app, "settings", strict)
    for tenant in ("acme", "globex"):
        answer = await served.ask(tenant, DEMO_PEOPLE[tenant]["rep"], query=TEXT)
        assert error_of(answer)["code"] == "persisted_only"


async def test_unchanged_answer_by_get_is_confirmed_and_changed_rights_are_not(
    synced: Synced, served: Served
) -> None:
    row = await synced.app.publish("acme", "query Kept { accounts { totalCount } }")

    async def get(email: str, **headers: str) -> httpx2.Response:
        token = served.signer.issue_token("acme", email, 60)
        return await served.http.get(
            "/graphql",
            params={"documentId": row.operation_id},
            headers={"authorization": f"Bearer {token}", **headers},
        )

    first = await get(REP)
    assert first.headers["cache-control"] == "private, max-age=0, must-revalidate"
    known = {"if-none-match": first.headers["etag"]}
    assert (await get(REP, **known)).status_code == 304
    stranger = await get("stranger@elsewhere.example", **known)
    assert stranger.json()["data"] == {"accounts": {"totalCount": 0}}


async def test_retired_operation_answers_no_more(synced: Synced, served: Served) -> None:
    row = await synced.app.publish("acme", "query Gone { accounts { totalCount } }")
    now = synced.app.clock.now()
    assert await synced.app.state.retire_operation("acme", row.operation_id, at=now)
    error = error_of(await served.ask("acme", REP, documentId=row.operation_id))
    assert (error["code"], error["status"]) == ("unknown_operation", 404)


async def run(synced: Synced, monkeypatch: pytest.MonkeyPatch, *arguments: str) -> tuple[int, Any]:
    """Run the command beside the server, on the same home; return its exit code and JSON."""
    monkeypatch.setenv("FIRNLINE_HOME", str(synced.app.settings.home))
    line = [*arguments, "--json", "--dir", str(PROJECT)]
    done = await asyncio.to_thread(CliRunner().invoke, command, line)
    assert done.exception is None or isinstance(done.exception, SystemExit), done.exception
    return done.exit_code, orjson.loads(done.stdout)


async def test_report_tells_per_tenant_what_fits_and_why_the_rest_does_not(
    synced: Synced, served: Served, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A field of one tenant's own system fits that tenant alone; the others say what is missing."""
    everywhere = "query Everywhere { accounts { totalCount } }"
    nowhere = "query Nowhere { nothingOfThatName }"
    objects = {
        tenant: (await synced.app.schema(tenant))._schema.type_map["Salesforce"].fields
        for tenant in TENANTS
    }
    custom = sorted(name for name in objects["acme"] if name not in objects["globex"])[0]
    own = f"query Own {{ salesforce {{ {custom} {{ __typename }} }} }}"
    manifest = tmp_path / "manifest.json"
    documents = {"everywhere": everywhere, "nowhere": nowhere, "own": own}
    manifest.write_bytes(orjson.dumps(documents))
    publishing = ("publish", str(manifest), "--all-tenants")

    checked_code, checked = await run(synced, monkeypatch, *publishing, "--check")
    assert await synced.app.state.operation("acme", "everywhere") is None
    code, report = await run(synced, monkeypatch, *publishing)

    fits = {(one["tenant"], one["source"]): one["fits"] for one in report}
    assert fits == {(one["tenant"], one["source"]): one["fits"] for one in checked}
    assert (checked_code, code) == (1, 1)
    assert (fits["acme", "own"], fits["globex", "own"]) == (True, False)
    for tenant in TENANTS:
        assert fits[tenant, "everywhere"] is True
        assert fits[tenant, "nowhere"] is False
        rep = DEMO_PEOPLE[tenant]["rep"]
        assert (await served.ask(tenant, rep, documentId="everywhere")).json()["data"]
    errors = [one["error"] for one in report if one["source"] == "nowhere"]
    assert all("nothingOfThatName" in error["message"] and error["hint"] for error in errors)


async def test_versions_are_listed_and_retired_by_command(
    synced: Synced, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    file = tmp_path / "one.graphql"
    for text in ("query V { accounts { totalCount } }", "query V { deals { totalCount } }"):
        file.write_text(text)
        line = ("publish", str(file), "--tenant", "acme", "--id", "versioned")
        code, _ = await run(synced, monkeypatch, *line)
        assert code == 0

    code, retired = await run(synced, monkeypatch, "retire", "versioned", "--all-tenants")
    assert (code, retired) == (0, {"documentId": "versioned", "retired": ["acme"]})

    _, now = await run(synced, monkeypatch, "list", "--tenant", "acme")
    _, ever = await run(synced, monkeypatch, "list", "--tenant", "acme", "--versions")
    assert "versioned" not in {row["documentId"] for row in now}
    mine = [row for row in ever if row["documentId"] == "versioned"]
    assert [(row["version"], bool(row["retiredAt"])) for row in mine] == [(1, True), (2, True)]


async def test_report_tells_per_tenant_what_each_plan_costs(
    synced: Synced, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    text = "query Listed($n: Int!) { deals(first: $n) { nodes { name stage } } }"
    (tmp_path / "listed.graphql").write_text(text)

    code, report = await run(
        synced, monkeypatch, "publish", str(tmp_path), "--all-tenants", "--check"
    )

    assert code == 0
    for one in report:
        plan = one["plan"]
        assert (plan["compiled"], plan["answeredFrom"]) == (True, "memory")
        assert plan["costLimit"] == synced.app.settings.operation_cost_max
        # This process may write the caches, so that no other can look into them meanwhile.
        assert (plan["rowsCounted"], plan["cost"]) == (False, 2 * 200)
        counted = await synced.app.compiled(one["tenant"], text)
        assert counted.is_counted
        assert 0 < counted.cost <= plan["cost"]


async def test_an_operation_over_the_limit_of_cost_is_reported_and_not_published(
    synced: Synced, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("FIRNLINE_OPERATION_COST_MAX", "3")
    (tmp_path / "much.graphql").write_text("query Much { deals(first: 9) { nodes { name } } }")
    line = ("publish", str(tmp_path / "much.graphql"), "--tenant", "acme", "--id", "much")

    code, (told,) = await run(synced, monkeypatch, *line)
    shown = await asyncio.to_thread(
        CliRunner().invoke, command, [*line, "--dir", str(PROJECT)], env={"COLUMNS": "200"}
    )

    assert code == shown.exit_code == 1
    assert (told["fits"], told["error"]["code"]) == (False, "operation_cost")
    assert (told["error"]["cost"], told["error"]["limit"]) == (9, 3)
    assert (told["plan"]["compiled"], told["plan"]["cost"]) == (False, 9)
    assert "operation_cost" in shown.stdout and "the limit is 3" in shown.stdout
    assert await synced.app.state.operation("acme", "much") is None


async def test_a_running_server_compiles_what_another_process_publishes(
    synced: Synced, served: Served, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Nobody asked it yet: it is compiled for who asked another operation lately."""
    app, prepared = synced.app, asyncio.Event()
    planned: list[str] = []
    quick = app.settings.model_copy(update={"publications_every_s": 0.05})
    monkeypatch.setattr(app, "settings", quick)
    prepare, plan = app.responder.ahead.prepare, Planner.connection

    async def watched(operation: OperationRow, asker: AskerRow) -> bool:
        done = await prepare(operation, asker)
        if done and operation.name == "Fresh":
            prepared.set()
        return done

    def counted(self: Planner, found: Any, *more: Any) -> Any:
        planned.append(found.type_name)
        return plan(self, found, *more)

    monkeypatch.setattr(app.responder.ahead, "prepare", watched)
    monkeypatch.setattr(Planner, "connection", counted)
    before = await app.publish("acme", "query Before { deals(first: 3) { nodes { name } } }")
    async with app.serving():
        assert (await served.ask("acme", REP, documentId=before.operation_id)).status_code == 200
        await app.askers.write()
        file = tmp_path / "fresh.graphql"
        file.write_text("query Fresh { deals(first: 4) { nodes { name stage } } }")
        line = ("publish", str(file), "--tenant", "acme", "--id", "fresh")
        code, _ = await run(synced, monkeypatch, *line)
        await asyncio.wait_for(prepared.wait(), 60)
    planned.clear()

    answer = await served.ask("acme", REP, documentId="fresh")

    assert code == 0
    assert len(answer.json()["data"]["deals"]["nodes"]) == 4
    assert planned == []
