"""What no single value shows: each mistake made in the demo project, and where it is reported."""

from __future__ import annotations

from pathlib import Path

import pytest
from tests.spec.conftest import Copy, listed

from firnline.catalog import conditions
from firnline.connectors.registry import load_manifest
from firnline.spec.check import notes_on
from firnline.spec.literals import OPERATORS
from firnline.spec.load import load_project
from firnline.spec.problems import SpecError

INTEGRATION = "firnline.yaml"
ACME = "tenants/acme.yaml"
GLOBEX = "tenants/globex.yaml"
POLICY = '    "*": {mode: mirror}\n  providers'  # of the integration's objects


def expect(copy: Copy, code: str, points_at: str, says: str) -> None:
    """Find exactly one problem of `code`, at `points_at`, whose words hold `says`."""
    found = [problem for problem in copy.problems() if problem.code == code]
    assert len(found) == 1, listed(copy.problems())
    assert copy.pointed_at(found[0]).startswith(points_at), str(found[0])
    assert says in f"{found[0].message} | {found[0].hint}"


@pytest.mark.parametrize(
    ("old", "new", "code", "points_at", "says"),
    [
        # Relations.
        ("{to: User,", "{to: Usr,", "unknown_object", "Usr", "Did you mean 'User'?"),
        ("on: {ownerId: id}", "on: {ownerIdd: id}", "unknown_field", "ownerIdd", "'ownerId'"),
        ("on: {ownerId: id}", "on: {ownerId: idd}", "unknown_field", "idd", "'id'"),
        (
            "on: {ownerId: id}",
            "on: {annualRevenue: id}",
            "types_not_comparable",
            "annualRevenue",
            "Account.annualRevenue is a decimal and User.id a id",
        ),
        (
            "owner: {to: User, on: {ownerId: id}}",
            "owner: {to: Account, on: {id: id}}",
            "relation_cycle",
            "owner:",
            "Account.owner -> Account",
        ),
        ("      owner: {", "      name: {", "name_clash", "name:", "already a field"),
        ("      owner: {", "      ownerid: {", "name_clash", "ownerid:", "clashes with ownerId"),
        # Fields and keys.
        ("    fields:\n      id: {type: id}\n", "    key: nr\n    fields:\n      id: {type: id}\n",
         "unknown_field", "nr", "the key of User must be one of its fields"),
        ("    fields:\n      id: {type: id}\n", "    fields:\n      id: {type: bool}\n",
         "key_type", "User", "the key 'id' of User is a bool"),
        ("        values: [enterprise, mid_market, small_business]\n", "",
         "enum_without_values", "segment:", "enum Account.segment has no values"),
        ("industry: {type: string}", "industry: {type: string, values: [a]}",
         "values_without_enum", "values:", "only an enum has values"),
        ("[enterprise, mid_market,", "[enterprise, enterprise, mid_market,",
         "duplicate_value", "enterprise, mid", "listed twice"),
        ("[enterprise, mid_market,", "[enterprise, keep, mid_market,",
         "reserved_name", "keep", "cannot be a word"),
        # Names of the graph.
        ("      website: {type", "      not: {type", "reserved_name", "not:", "reserved"),
        ("      website: {type", "      aggregate: {type", "reserved_name", "aggregate:", ""),
        ("  Contact:\n", "  Query:\n", "reserved_name", "Query:", "a type of every graph"),
        ("  Contact:\n", "  DealWhere:\n", "reserved_name", "DealWhere:", "that Deal brings"),
        ("  Contact:\n", "  AccountListWhere:\n", "reserved_name", "AccountListWhere:", "Account"),
        ("  Contact:\n", "  Node:\n", "reserved_name", "Node:", "node, nodes"),
        ("  Contact:\n", "  Deals:\n", "plural_clash", "Deal:", "'deals'"),
        ("  Contact:\n", "  DEAL:\n", "name_clash", "DEAL:", "differ in case only"),
        ("    description: A person at an account.\n", "    plural: deals\n",
         "plural_clash", "deals", "also a field of object Deal"),
        # Default mappings.
        ("      salesforce:\n        object: Account", "      salesfroce:\n        object: Account",
         "unknown_provider", "salesfroce:", "Did you mean 'salesforce'?"),
        ("          website: Website", "          web: Website", "unknown_field", "web:", "site"),
        ("          id: Id\n          name: Name\n          industry", "          name: Name\n"
         "          industry", "key_not_mapped", "fields:", "Map it: `id:"),
        ("Closed Won: won", "Closed Won: wun", "unknown_word", "wun", "Did you mean 'won'?"),
        ("Closed Won: won", "Closed Won: 7", "bad_literal", "7", "not fit a field of type enum"),
        ("{A: open,", "{A: NO,", "unknown_word", "NO", "not a word of this enum"),
        ("website: Website", "website: {from: Website, otherwise: none}",
         "otherwise_without_values", "otherwise:", "Use `constant`"),
        ("website: Website", "website: {constant: 1}", "bad_literal", "1}", "Quote it"),
        ("amount: Amount", "amount: {constant: many}", "bad_literal", "many", "type decimal"),
        ("closeDate: CloseDate", "closeDate: {constant: 31.12.2026}", "bad_literal", "31", "date"),
        ("closeDate: CloseDate", "closeDate: {when: {A: {eq: 1}}}", "mapping_type", "when:",
         "gives true or false, but 'closeDate' is a date"),
        ("minutes: DurationInMinutes", "minutes: {from: D, values: {a: 1.5}}",
         "bad_literal", "1.5", "type int"),
        ("minutes: DurationInMinutes", "minutes: {from: D, values: {a: 3000000000}}",
         "bad_literal", "3000000000", "type int"),
        ("isActive: IsActive", "isActive: {from: S, values: {A: true}, otherwise: 'no'}",
         "bad_literal", "'no'", "type bool"),
        # Conditions.
        ("{eq: false}", "{equals: false}", "unknown_operator", "equals:", "Known operators"),
        ("{eq: false}", "{neQ: false}", "unknown_operator", "neQ:", "'neq'"),
        ("{eq: false}", "{}", "empty_condition", "IsClosed:", "has no condition"),
        ("{eq: false}", "{eq: [a]}", "bad_literal", "[a]", "takes text, a number"),
        ("{eq: false}", "{eq: ~}", "bad_literal", "~", "takes text, a number"),
        ("{eq: false}", "{in: a}", "bad_literal", "a}", "takes a list"),
        ("{eq: false}", "{in: []}", "bad_literal", "[]", "at least one"),
        ("{eq: false}", "{isNull: 1}", "bad_literal", "1}", "takes true or false"),
        ("{eq: false}", "{contains: 1}", "bad_literal", "1}", "takes text"),
        ("{lt: today}", "{lt: now-90days}", "bad_literal", "now-90days", "such as now-90d"),
        ("{lt: today}", "{lt: startOfQuater-1q}", "bad_literal", "startOfQuater", "relative time"),
        # Sync and access.
        ("  every: 15m", "  every: 15m\n  objects: {zendes: {}}",
         "unknown_provider", "zendes:", "Did you mean 'zendesk'?"),
        ("  every: 15m", "  every: 15m\n  objects: {zendesk: {exclude: ['']}}",
         "empty_pattern", "''", "matches nothing"),
        (POLICY, '    Acount: {mode: mirror}\n  providers',
         "unknown_object", "Acount:", "Did you mean 'Account'"),
        (POLICY, '    Deal: {mode: mirror, hide: [amout]}\n  providers',
         "unknown_field", "amout", "Did you mean 'amount'?"),
        (POLICY, '    "*": {mode: mirror, hide: [nope]}\n  providers',
         "unknown_field", "nope", "no field 'nope'"),
        (POLICY, '    Deal: {mode: mirror, hide: [id]}\n  providers',
         "key_hidden", "id]", "is a key"),
        (POLICY, '    Deal: {hide: [amount]}\n  providers',
         "hide_without_mirror", "hide:", "Add `mode: mirror`"),
        ("    netsuite:\n      \"*\"", "    netsuit:\n      \"*\"",
         "unknown_provider", "netsuit:", "'netsuite'"),
    ],
)  # fmt: skip
def test_mistake_in_the_integration_is_reported_where_it_stands(
    copy: Copy, old: str, new: str, code: str, points_at: str, says: str
) -> None:
    for tenant in (ACME, GLOBEX):  # so that only the integration is judged
        (copy.directory / tenant).unlink()
    copy.replace(INTEGRATION, old, new)
    expect(copy, code, points_at, says)


@pytest.mark.parametrize(
    ("old", "new", "code", "points_at", "says"),
    [
        ("tenant: acme", "tenant: other", "tenant_file_name", "other", "tenants/other.yaml"),
        ("provider: salesforce", "provider: salesfarce", "unknown_provider", "salesfarce",
         "Did you mean 'salesforce'?"),
        ("{domain: acme}", "{domian: a, domain: acme}", "unknown_setting", "domian:", "domain"),
        (
            "settings: {domain: acme}",
            "settings: {domain: acme}\n    auth: basic",
            "unknown_auth_flow",
            "basic",
            "Its flows: authorization_code",
        ),
        (
            "settings: {domain: acme}",
            "settings: {domain: acme}\n    limits: {rates: {minutely: {calls: 5}}}",
            "unknown_limit",
            "minutely",
            "salesforce has no limit",
        ),
        ("{domain: acme}", "{}", "missing_setting", "settings:", "needs the setting 'domain'"),
        ("    settings: {domain: acme}\n", "", "missing_setting", "salesforce:", "'domain'"),
        ("{domain: acme}", "{domain: 'evil.example/'}", "bad_setting", "'evil", "for example"),
        ("{domain: acme}", '{domain: "acme\\n"}', "bad_setting", '"acme', "is not a domain"),
        ("  salesforce:\n    prov", "  deals:\n    prov", "name_clash", "deals:", "object Deal"),
        ("  salesforce:\n    prov", "  account:\n    prov", "name_clash", "account:", "Account"),
        ("  salesforce:\n    prov", "  Salesforce:\n    provider: salesforce\n"
         "    settings: {domain: a}\n  salesforce:\n    prov",
         "name_clash", "salesforce:", "differ in case only"),
        ("  salesforce:\n    prov", "  query:\n    prov", "reserved_name", "query:", "reserved"),
        ("mappings:\n  Account:", "mappings:\n  Acount:", "unknown_object", "Acount:", "'Account'"),
        ("      region: Region__c", "      regoin: Region__c", "unknown_field", "regoin:",
         "Did you mean 'region'?"),
        ("Tier 1: enterprise", "Tier 1: big", "unknown_word", "big", "Known words: enterprise"),
        ("mappings:\n  Account:\n", "mappings:\n  Account:\n    connection: crm\n",
         "unknown_connection", "crm", "Known connections: netsuite, salesforce, zendesk"),
        ("mappings:\n  Account:\n", "mappings:\n  Account:\n    connection: zendesk\n",
         "no_source", "Account:", "no default source at zendesk"),
        ("mappings:\n  Account:\n", "mappings:\n  Account:\n    object: Company__c\n",
         "key_not_mapped", "fields:", "leaves the default fields behind"),
        ("mappings:\n  Account:\n    fields:\n",
         "mappings:\n  Account:\n    fields:\n      id: ~\n",
         "key_not_mapped", "fields:", "the key 'id' of Account has no source"),
        ("mappings:\n  Account:\n", "mappings:\n  Account:\n    where: {Type: {is: x}}\n",
         "unknown_operator", "is:", "Known operators"),
        ("mappings:\n", "sync: {objects: {salesforce: {exclude: [Acc*]}}}\nmappings:\n",
         "source_not_synced", "Account:", "which the sync patterns leave out"),
        ("mappings:\n", "sync: {objects: {hubspot2: {}}}\nmappings:\n",
         "unknown_provider", "hubspot2:", "Known connectors"),
        ("mappings:\n", "access: {objects: {Nope: {mode: deny}}}\nmappings:\n",
         "unknown_object", "Nope:", "no object 'Nope'"),
        ("mappings:\n", "access: {objects: {Deal: {mode: mirror, hide: [x]}}}\nmappings:\n",
         "unknown_field", "x]", "no field of Deal 'x'"),
    ],
)  # fmt: skip
def test_mistake_in_a_tenant_is_reported_where_it_stands(
    copy: Copy, old: str, new: str, code: str, points_at: str, says: str
) -> None:
    copy.replace(ACME, old, new)
    expect(copy, code, points_at, says)


def test_object_that_no_connection_provides_needs_one_to_be_mapped(copy: Copy) -> None:
    copy.replace(ACME, "  zendesk:\n    provider: zendesk\n    settings: {subdomain: acme}\n", "")
    copy.append(ACME, "  Ticket:\n    fields: {subject: title}\n")
    expect(copy, "no_source", "Ticket:", "Name the `connection`")


@pytest.mark.parametrize(
    ("granted", "asked", "widens"),
    [
        ('"*": {mode: mirror}', "Deal: {mode: mirror}", False),
        ('"*": {mode: mirror}', '"*": {mode: deny}', False),
        ("Deal: {mode: mirror}", "Deal: {mode: mirror, hide: [amount]}", False),
        ("Deal: {mode: mirror}", '"*": {mode: mirror}', False),
        ("Deal: {mode: deny}", "Deal: {mode: deny}", False),
        ("Deal: {mode: deny}", "Deal: {mode: mirror}", True),
        ("Account: {mode: mirror}", "Deal: {mode: mirror}", True),
        ('{"*": {mode: mirror}, Deal: {mode: deny}}', "Deal: {mode: mirror}", True),
        ('"*": {mode: deny}', '"*": {mode: mirror}', True),
        ("", '"*": {mode: mirror}', True),
        ("", "Deal: {mode: deny}", False),
    ],
)
def test_override_is_refused_exactly_when_it_widens(
    copy: Copy, granted: str, asked: str, widens: bool
) -> None:
    (copy.directory / GLOBEX).unlink()
    block = granted if granted.startswith("{") else f"{{{granted}}}"
    copy.replace(INTEGRATION, '  objects:\n    "*": {mode: mirror}', f"  objects: {block}")
    copy.append(ACME, f"access:\n  objects:\n    {asked}\n")
    if widens:
        expect(copy, "override_widens", "mirror", "never widen")
    else:
        copy.load()


def test_override_of_a_providers_object_is_refused_when_it_widens(copy: Copy) -> None:
    copy.replace(INTEGRATION, '    netsuite:\n      "*": {mode: mirror}\n', "")
    (found,) = copy.problems()
    assert (found.file, found.code) == (GLOBEX, "override_widens")
    assert copy.pointed_at(found).startswith("mirror, hide: [memo]")


def test_inverse_relations_are_no_cycle(demo: Path) -> None:
    """account.deals and deal.account lead in a circle, and so they should."""
    objects = load_project(demo).integration.objects
    assert objects["Account"].relations["deals"].to == "Deal"
    assert objects["Deal"].relations["account"].to == "Account"


@pytest.mark.parametrize(
    ("relations", "is_cycle"),
    [
        ({"A": "b: {to: B, on: {id: id}}", "B": "a: {to: A, on: {id: id}}"}, True),
        (
            {
                "A": "b: {to: B, on: {id: id}}",
                "B": "c: {to: C, on: {id: id}}",
                "C": "a: {to: A, on: {id: id}}",
            },
            True,
        ),
        ({"A": "b: {to: B, on: {id: id}}", "B": "a: {to: A, many: true, on: {id: id}}"}, False),
        ({"A": "b: {to: B, on: {ref: id}}", "B": "a: {to: A, on: {ref: id}}"}, False),
        ({"A": "parent: {to: A, on: {ref: id}}"}, False),
        ({"A": "b: {to: B, on: {id: id}}", "B": "c: {to: C, on: {id: id}}"}, False),
        ({"B": "c: {to: C, on: {id: id}}", "C": "b: {to: B, on: {id: id}}"}, True),
    ],
)
def test_cycle_is_a_circle_of_to_one_relations_from_key_to_key(
    tmp_path: Path, relations: dict[str, str], is_cycle: bool
) -> None:
    lines = ["version: 1", "name: circles", "access: {}", "objects:"]
    for name in "ABC":
        lines += [f"  {name}:", "    fields: {id: {type: id}, ref: {type: id}}"]
        lines += [f"    relations: {{{relations[name]}}}"] if name in relations else []
    (tmp_path / INTEGRATION).write_text("\n".join(lines), "utf-8")
    copy = Copy(tmp_path)
    if is_cycle:
        assert copy.problem().code == "relation_cycle"
    else:
        copy.load()


def test_null_leaves_a_field_without_a_source(copy: Copy) -> None:
    copy.replace(ACME, "region: Region__c", "region: Region__c\n      website: ~")
    assert copy.load().tenants["acme"].mappings["Account"].fields["website"] is None


def test_operators_of_the_spec_are_those_that_conditions_know() -> None:
    known = {operator for each in conditions.OPERATORS.values() for operator in each}
    assert set(OPERATORS) == known


def test_spec_may_only_name_connectors_it_is_given(demo: Path) -> None:
    providers = {name: load_manifest(name) for name in ("salesforce", "zendesk", "netsuite")}
    assert load_project(demo, providers=providers)
    del providers["netsuite"]
    with pytest.raises(SpecError) as caught:
        load_project(demo, providers=providers)
    assert {problem.code for problem in caught.value.problems} == {"unknown_provider"}


def test_notes_tell_what_a_tenant_lacks(copy: Copy) -> None:
    copy.replace(ACME, "      region: Region__c\n", "")
    copy.replace(ACME, "  zendesk:\n    provider: zendesk\n    settings: {subdomain: acme}\n", "")
    copy.append(ACME, "access: {objects: {Contact: {mode: deny}}}\n")
    notes = {note.code: note.message for note in notes_on(copy.load(), "acme")}
    assert notes == {
        "fields_absent": "Account has no source for: region",
        "object_absent": "Ticket is absent: no connection of this tenant provides it",
        "object_denied": "Contact is absent: the access policy denies it",
    }


def test_notes_tell_of_a_field_hidden_on_one_face_only(copy: Copy) -> None:
    copy.replace(
        GLOBEX, "      invoice: {mode: mirror, hide: [memo]}", "      invoice: {mode: mirror}"
    )
    (note,) = notes_on(copy.load(), "globex")
    assert note.code == "hidden_on_one_face"
    assert "invoice.memo" in note.message


def test_demo_needs_no_notes(demo: Path) -> None:
    project = load_project(demo)
    assert [note for name in project.tenants for note in notes_on(project, name)] == []
