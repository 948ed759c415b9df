"""Tests of the policy in the spec itself, and what policies let through in all combinations."""

from __future__ import annotations

import itertools
import json
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from typer.testing import CliRunner

from firnline.cli.main import cli
from firnline.graph.policy.tests_of_policies import policy_problems, shown_by_policy
from firnline.spec.load import load_project
from firnline.spec.model import Project
from firnline.spec.policy import PolicyTest

NOW = datetime(2026, 11, 22, 12, 0, tzinfo=UTC)
SPEC = """\
version: 1
name: tests
objects:
  Account:
    fields:
      id: {type: id}
      name: {type: string}
      region: {type: enum, values: [north, south]}
      size: {type: int}
      born: {type: date}
      memo: {type: string}
      ownerEmail: {type: string}
      parentId: {type: id}
    relations:
      parent: {to: Account, on: {parentId: id}}
    sources:
      salesforce:
        object: Account
        fields: {id: Id, name: Name, region: Region__c, size: Size__c, born: Born__c,
                 memo: Memo__c, ownerEmail: Owner__c, parentId: ParentId}
"""
TENANT = "tenant: acme\nconnections:\n  crm: {provider: salesforce, settings: {domain: acme}}\n"


def written(home: Path, access: str, tenant_access: str = "") -> Path:
    project = home / "project"
    (project / "tenants").mkdir(parents=True, exist_ok=True)
    (project / "firnline.yaml").write_text(SPEC + access)
    (project / "tenants" / "acme.yaml").write_text(TENANT + tenant_access)
    return project


ACCESS = """\
access:
  objects:
    Account:
      mode: mirror
      rows: {or: [{ownerEmail: {eq: {principal: email}}}, {parent: {region: {eq: north}}}]}
      mask: {name: last4, born: year, size: null}
      hide: [memo]
  tests:
    - name: owners see their accounts in part
      person: kim@example.com
      object: Account
      record: {ownerEmail: kim@example.com, name: Firnline, born: "2020-05-06", size: 7}
      expect: {visible: true, hidden: [memo],
               fields: {name: "****line", born: "2020-01-01", size: null, region: null}}
    - person: kim@example.com
      object: Account
      record: {ownerEmail: lee@example.com, parent: {region: south}}
      expect: {visible: false}
    - person: kim@example.com
      object: Account
      record: {ownerEmail: lee@example.com, parent: {region: north}}
      expect: {visible: true}
"""


def test_policy_that_does_what_its_tests_expect_passes(tmp_path: Path) -> None:
    project = written(tmp_path, ACCESS)

    assert policy_problems(project, load_project(project), now=NOW) == []
    assert CliRunner().invoke(cli, ["check", str(project)]).exit_code == 0


@pytest.mark.parametrize(
    ("right", "wrong", "line", "message"),
    [
        ("visible: true, hidden", "visible: false, hidden", 33, "the Account is visible"),
        ('fields: {name: "****line"', 'fields: {name: "Firnline"', 34, "is '****line', not 'Firnl"),
        ("size: null, region", "size: 7, region", 34, "Account.size is null, not '7'"),
        ("hidden: [memo]", "hidden: [region]", 33, "Account.region is not hidden"),
        ("region: null}}\n", "memo: null}}\n", 34, "Account.memo is hidden"),
        ("parent: {region: south}", "parent: {region: north}", 38, "the Account is visible"),
        ("parent: {region: north}}\n      exp", "parent: {region: south}}\n      exp", 42,
         "is not visible: no condition of `rows`"),
    ],
)  # fmt: skip
def test_failing_test_is_told_with_its_line(
    tmp_path: Path, right: str, wrong: str, line: int, message: str
) -> None:
    before, found, after = ACCESS.rpartition(right)
    assert found
    text = before + wrong + after
    if "visible: false, hidden" in wrong:
        shown = 'fields: {name: "****line", born: "2020-01-01", size: null, region: null}'
        text = text.replace(shown, "fields: {}")
    project = written(tmp_path, text)

    outcome = CliRunner().invoke(cli, ["check", str(project), "--json"])

    assert outcome.exit_code == 2
    (problem,) = json.loads(outcome.stdout)["problems"]
    assert problem["code"] == "policy_test_failed"
    assert message in problem["message"]
    assert (problem["file"], problem["line"]) == ("firnline.yaml", line)


def test_tenants_tests_run_against_the_narrowed_policy(tmp_path: Path) -> None:
    access = """\
access:
  objects: {Account: {mode: mirror, rows: {region: {eq: north}}}}
  tests:
    - {person: kim@example.com, object: Account, record: {region: north}, expect: {visible: %s}}
"""
    whole = "access: {objects: {Account: {mode: mirror}}}\n"
    project = written(tmp_path, whole, access % "true")
    assert not policy_problems(project, load_project(project), now=NOW)
    project = written(
        tmp_path, whole, (access % "true").replace("record: {region: north}", "record: {}")
    )
    (problem,) = policy_problems(project, load_project(project), now=NOW)
    assert (problem.file, problem.line) == ("tenants/acme.yaml", 7)


ROWS: list[dict[str, Any]] = [
    {},
    {"region": {"eq": "north"}},
    {"region": {"in": {"principal": "attributes.regions"}}},
    {"ownerEmail": {"eq": {"principal": "email"}}},
    {"not": {"region": {"eq": "north"}}},
    {"or": [{"size": {"gte": 5}}, {"region": {"isNull": True}}]},
    {"parent": {"region": {"eq": "south"}}},
    {"not": {"ownerEmail": {"eq": {"principal": "attributes.boss"}}}},
]
MASKS: list[dict[str, Any]] = [
    {},
    {"name": "hash"},
    {"name": "last4", "born": "year"},
    {"name": {"redact": "[a-m]"}, "size": None},
    {"name": None},
]
ONLY_FOR: list[Any] = [
    None,
    {"agents": [], "people": True},
    {"purposes": ["support"]},
    {"purposes": ["support", "sales"], "people": True},
    {"agents": ["helper"]},
    {"agents": [], "purposes": ["sales"]},
]


def policy(draw: st.DrawFn) -> dict[str, Any]:
    found: dict[str, Any] = {"mode": draw(st.sampled_from(["mirror"] * 9 + ["deny"]))}
    if found["mode"] == "deny":
        return found
    rows, masks = draw(st.sampled_from(ROWS)), draw(st.sampled_from(MASKS))
    limits, hidden = (
        draw(st.sampled_from(ONLY_FOR)),
        draw(st.sampled_from([[], ["memo"], ["name"]])),
    )
    found |= {"rows": rows} if rows else {}
    found |= {"only_for": limits} if limits else {}
    return found | {"mask": masks, "hide": hidden}


POLICIES = st.composite(policy)()
PEOPLE: list[dict[str, Any]] = [
    {"email": "kim@example.com"},
    {"email": "lee@example.com", "attributes": {"regions": ["north", "south"]}},
    {"email": "kim@example.com", "agent": "helper", "purpose": "support"},
    {"email": "lee@example.com", "agent": "other", "purpose": "sales",
     "attributes": {"regions": "south", "boss": "kim@example.com"}},
]  # fmt: skip
RECORDS: list[dict[str, Any]] = [
    {"name": "Firnline", "region": "north", "size": 3, "memo": "m", "born": "2020-05-06"},
    {"name": "abc", "ownerEmail": "kim@example.com", "size": 9, "parent": {"region": "south"}},
    {"region": "south", "ownerEmail": "lee@example.com", "parent": {"region": "north"}},
]


def shown(home: Path, outer: Any, inner: Any, person: Any, record: Any) -> Any:
    access = f"access: {json.dumps({'objects': {'Account': outer}})}\n"
    own = f"access: {json.dumps({'objects': {'Account': inner}})}\n" if inner else ""
    project = load_project(written(home, access, own))
    return told(project, person, record)


def told(project: Project, person: Any, record: Any) -> Any:
    person = {**person, "attributes": {
        key: tuple(each) if isinstance(each, list) else each
        for key, each in person.get("attributes", {}).items()
    }}  # fmt: skip
    test = PolicyTest.model_validate(
        {"principal": person, "object": "Account", "record": record, "expect": {"visible": True}}
    )
    return shown_by_policy(project, "acme", test, now=NOW)


@settings(max_examples=25, deadline=None, suppress_health_check=list(HealthCheck))
@given(
    outer=POLICIES,
    inner=POLICIES,
    person=st.sampled_from(PEOPLE),
    record=st.sampled_from(RECORDS),
)
def test_narrowed_policy_shows_no_more_than_either_policy(
    tmp_path_factory: pytest.TempPathFactory, outer: Any, inner: Any, person: Any, record: Any
) -> None:
    if outer["mode"] == "deny":
        inner = {"mode": "deny"}  # anything else is refused when the project is loaded
    home = tmp_path_factory.getbasetemp() / "narrowed"
    both = shown(home, outer, inner, person, record)
    for alone in (outer, inner):
        one = shown(home, alone, None, person, record)
        if both is None:
            continue
        assert one is not None
        assert set(both) <= set(one)
        masked = {name for name in both if name in alone["mask"]}
        assert all(both[name] in (None, one[name]) for name in masked)
        free = set(both) - {*outer["mask"], *inner["mask"]}
        assert all(both[name] == one[name] for name in free)


def test_matrix_of_people_records_and_fields_is_what_the_policy_says(tmp_path: Path) -> None:
    """Every person x record x field under a policy of all kinds of rules, told by other code."""
    policy = {
        "mode": "mirror",
        "rows": {"region": {"in": {"principal": "attributes.regions"}}},
        "mask": {"name": "last4", "born": "year"},
        "hide": ["memo"],
        "only_for": {"purposes": ["sales"], "people": True},
    }
    project = load_project(
        written(tmp_path, f"access: {json.dumps({'objects': {'Account': policy}})}\n")
    )
    seen = 0
    for person, record in itertools.product(PEOPLE, RECORDS):
        given_regions = person.get("attributes", {}).get("regions", [])
        regions = given_regions if isinstance(given_regions, list) else [given_regions]
        may_ask = "agent" not in person or person["purpose"] == "sales"
        expected = may_ask and record.get("region") in regions and bool(record.get("region"))
        found = told(project, person, record)
        assert (found is not None) == expected, (person, record)
        if found is None:
            continue
        seen += 1
        assert "memo" not in found
        name, born = record.get("name"), record.get("born")
        half = min(4, len(name or "") // 2)
        assert found["name"] == (name and "****" + name[len(name) - half :])
        assert found["born"] == (born and f"{born[:4]}-01-01")
        assert found["size"] == (str(record["size"]) if "size" in record else None)
    assert seen == 3
