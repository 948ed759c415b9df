"""Verbs, rules for single fields, presets and operations are checked where they stand."""

from __future__ import annotations

from datetime import UTC, datetime
from pathlib import Path

import pytest

from firnline.graph.policy.tests_of_policies import policy_problems
from firnline.spec.effective import effective_access, policy_for
from firnline.spec.load import load_project
from firnline.spec.model import AccessSpec, IntegrationSpec, Project
from firnline.spec.problems import Problem, SpecError

SPEC = """\
version: 1
name: tests
objects:
  Account:
    fields:
      id: {type: id}
      region: {type: enum, values: [north, south]}
      size: {type: int}
      labels: {type: strings}
      fixed: {type: string}
      ownerName: {type: string}
      born: {type: date}
    sources:
      salesforce:
        object: Account
        fields:
          id: Id
          region: {from: Region__c, values: {N: north, NN: north, S: south}}
          size: Size__c
          labels: Labels__c
          fixed: {constant: x}
          ownerName: OwnerId.Name
          born: Born__c
access:
  objects:
    Account:
      mode: mirror
"""
LINE = SPEC.count("\n") + 1
TENANT = "tenant: acme\nconnections:\n  crm: {provider: salesforce, settings: {domain: acme}}\n"
CREATE = "verbs: [read, create], "


def problems(home: Path, policy: str, tenant: str = "") -> tuple[Problem, ...]:
    """Return what is wrong with a policy, nothing where it loads."""
    (home / "firnline.yaml").write_text(f"{SPEC}{policy}\n")
    (home / "tenants").mkdir(exist_ok=True)
    (home / "tenants" / "acme.yaml").write_text(TENANT + tenant)
    try:
        load_project(home)
    except SpecError as error:
        return error.problems
    return ()


@pytest.mark.parametrize(
    ("policy", "code", "message"),
    [
        ("verbs: [read, erase]", "wrong_value", "must be"),
        ("verbs: {create: {people: maybe}}", "wrong_type", "true or false"),
        ("verbs: [filter]", "verb_without_effect", "may not be read"),
        ("verbs: {read: ~, filter: {people: true}}", "empty_rule", "limits nobody"),
        ("only_for: {people: true}", "empty_rule", "limits nobody"),
        ("fields: {sise: {verbs: [read]}}", "unknown_field", "sise"),
        ("fields: {size: {}}", "empty_rule", "says nothing"),
        ("fields: {size: {rows: {}}}", "empty_condition", "no condition"),
        ("fields: {size: {rows: {sise: {eq: 1}}}}", "unknown_field", "sise"),
        ("fields: {size: {rows: {size: {gte: many}}}}", "bad_literal", "many"),
        ("fields: {size: {verbs: [read, delete]}}", "wrong_value", "must be"),
        ("fields: {size: {verbs: [read, update]}}", "verb_without_effect", "the object does not"),
        ("fields: {id: {rows: {size: {gte: 1}}}}", "key_hidden", "is a key"),
        ("fields: {id: {verbs: [filter]}}", "key_hidden", "is a key"),
        ("fields: {id: {only_for: {purposes: [x]}}}", "key_hidden", "is a key"),
        ("presets: {create: {size: 1}}", "verb_without_effect", "nothing is set"),
        ("presets: {delete: {size: 1}}", "wrong_value", "must be"),
    ],
)
def test_wrong_rule_is_refused_at_its_line(
    tmp_path: Path, policy: str, code: str, message: str
) -> None:
    found = problems(tmp_path, f"      {policy}")

    assert code in {each.code for each in found}
    assert {(each.file, each.line) for each in found} == {("firnline.yaml", LINE)}
    assert any(message in each.message for each in found)


@pytest.mark.parametrize(
    ("preset", "code", "message"),
    [
        ("{sise: 1}", "unknown_field", "sise"),
        ("{size: many}", "bad_literal", "many"),
        ("{size: {principal: email}}", "bad_literal", "facts of the token are text"),
        ("{labels: a}", "bad_literal", "strings"),
        ("{labels: {principal: password}}", "unknown_fact", "one fact"),
        ("{born: someday}", "bad_literal", "someday"),
        ("{fixed: y}", "preset_not_writable", "worked out"),
        ("{ownerName: Kim}", "preset_not_writable", "another record"),
        ("{region: north}", "preset_not_writable", "stands for 2 stored values"),
        ("{region: {principal: attributes.region}}", "preset_not_writable", "other names"),
        ("{region: west}", "unknown_word", "west"),
    ],
)
def test_preset_that_cannot_be_written_is_refused(
    tmp_path: Path, preset: str, code: str, message: str
) -> None:
    policy = f"      verbs: [read, create]\n      presets:\n        create: {preset}"
    found = problems(tmp_path, policy)

    assert code in {each.code for each in found}
    assert {each.line for each in found} == {LINE + 2}
    assert any(message in each.message for each in found)


@pytest.mark.parametrize(
    "preset",
    ["{size: 1}", "{size: ~}", "{region: south}", "{labels: [a, b]}", "{born: today}",
     "{labels: {principal: attributes.labels}}"],
)  # fmt: skip
def test_preset_that_can_be_written_is_accepted(tmp_path: Path, preset: str) -> None:
    policy = f"      verbs: [read, create]\n      presets: {{create: {preset}}}"
    assert problems(tmp_path, policy) == ()


def test_operation_without_a_rule_is_refused(tmp_path: Path) -> None:
    policy = "  operations:\n    Renewals: {}\n    Other: {only_for: {people: true}}"
    found = problems(tmp_path, policy)
    assert [(each.code, each.line) for each in found] == [
        ("empty_rule", LINE + 1),
        ("empty_rule", LINE + 2),
    ]


def test_tenants_mapping_that_presets_cannot_be_written_through_is_refused(tmp_path: Path) -> None:
    policy = "      verbs: [read, create]\n      presets: {create: {size: 1}}"
    tenant = "mappings:\n  Account:\n    fields: {size: {constant: 3}}\n"
    (problem,) = problems(tmp_path, policy, tenant)
    assert (problem.code, problem.file, problem.line) == (
        "preset_not_writable",
        "tenants/acme.yaml",
        6,
    )


@pytest.mark.parametrize(
    ("tenant", "is_wider"),
    [
        ("verbs: [read]", False),
        ("verbs: [read, create]", False),
        ("verbs: [read, update]", True),
        ("verbs: [read, delete]", True),
        ("fields: {size: {verbs: [read]}}", False),
        ("fields: {size: {verbs: [read, filter]}}", True),
        ("verbs: [read, create], presets: {create: {size: 1}}", False),
        ("verbs: [read, create], presets: {create: {size: 2}}", True),
        ("verbs: [read, create], presets: {create: {born: today}}", False),
    ],
)
def test_tenant_that_allows_or_sets_more_than_the_integration_is_refused(
    tmp_path: Path, tenant: str, is_wider: bool
) -> None:
    outer = (
        "      verbs: [read, filter, create]\n      fields: {size: {verbs: [read]}}\n"
        "      presets: {create: {size: 1}}"
    )
    inner = f"access: {{objects: {{Account: {{mode: mirror, {tenant}}}}}}}\n"
    found = problems(tmp_path, outer, inner)
    assert {each.code for each in found} == ({"override_widens"} if is_wider else set())


def test_narrowed_policy_holds_what_both_sides_allow() -> None:
    """Whatever a tenant writes, also beside the check, it gets no more than the integration."""
    outer = {
        "mode": "mirror",
        "verbs": {"read": None, "update": {"purposes": ("a", "b"), "people": True}},
        "fields": {"size": {"rows": {"size": {"gte": 1}}}, "born": {"verbs": ["read"]}},
        "presets": {"update": {"size": 1}},
    }
    inner = {
        "mode": "mirror",
        "verbs": {"read": None, "delete": None, "update": {"purposes": ("b", "c")}},
        "fields": {
            "size": {"rows": {"size": {"lt": 9}}, "only_for": {"purposes": ("b",)}},
            "born": {"verbs": ["read", "update"]},
            "labels": {"verbs": []},
        },
        "presets": {"update": {"size": 2, "born": "today"}},
    }
    project = loaded(outer, inner)
    policy = policy_for(
        effective_access(project.integration, project.tenants["acme"]).objects, "Account"
    )

    assert policy is not None
    assert policy.verbs is not None
    assert policy.verbs.keys() == {"read", "update"}
    limit = policy.verbs["update"]
    assert limit is not None
    assert (limit.purposes, limit.people) == (("b",), False)
    assert policy.fields["size"].rows == {"and": ({"size": {"gte": 1}}, {"size": {"lt": 9}})}
    assert policy.fields["size"].only_for is not None
    assert set(policy.fields["born"].verbs or ()) == {"read"}
    assert policy.fields["labels"].verbs == {}
    assert policy.presets == {"update": {"size": 1, "born": "today"}}


@pytest.mark.parametrize(
    ("outer", "inner", "expected"),
    [
        (None, None, None),
        (None, ["read", "create"], {"read"}),
        (["read", "create"], None, {"read", "create"}),
        (["read", "create"], ["create", "delete"], {"create"}),
        ([], ["read"], set()),
    ],
)
def test_side_that_names_no_verbs_leaves_them_to_the_other(
    outer: list[str] | None, inner: list[str] | None, expected: set[str] | None
) -> None:
    project = loaded({"mode": "mirror", "verbs": outer}, {"mode": "mirror", "verbs": inner})
    policies = effective_access(project.integration, project.tenants["acme"]).objects
    verbs = policies["Account"].verbs
    assert (None if verbs is None else set(verbs)) == expected


def loaded(outer: dict[str, object], inner: dict[str, object]) -> Project:
    """Return a project without having checked that the tenant only narrows."""
    integration = IntegrationSpec.model_validate(
        {
            "version": 1,
            "name": "tests",
            "objects": {"Account": {"fields": {"id": {"type": "id"}}}},
            "access": {"objects": {"Account": outer}},
        }
    )
    return Project.model_validate(
        {
            "integration": integration,
            "tenants": {
                "acme": {
                    "tenant": "acme",
                    "connections": {"crm": {"provider": "salesforce"}},
                    "access": AccessSpec.model_validate({"objects": {"Account": inner}}),
                }
            },
        }
    )


def test_test_of_the_policy_names_the_operation_that_is_asked(tmp_path: Path) -> None:
    policy = """\
      only_for: {operations: [Renewals], people: true}
  tests:
    - principal: {email: kim@example.com, operation: Renewals}
      object: Account
      expect: {visible: true, allowed: [read, size.filter], refused: [update]}
    - {person: kim@example.com, object: Account, expect: {visible: false, refused: [read]}}
    - {person: kim@example.com, object: Account, expect: {visible: false, allowed: [size.filter]}}
"""
    assert problems(tmp_path, policy) == ()
    (problem,) = policy_problems(tmp_path, load_project(tmp_path), now=datetime.now(UTC))
    assert (problem.code, problem.line) == ("policy_test_failed", LINE + 6)
    assert "size.filter is refused" in problem.message
