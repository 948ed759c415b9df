"""Permission structures of a small Zendesk account, drawn at random and loaded into the sandbox.

Every structure is a plain value: what Hypothesis prints of a counterexample is what a test keeps.
Numbers are positions; where a list is shorter, they wrap around.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import cache
from typing import Any

from hypothesis import strategies as st
from tests.oracle.mirror import NOW

from firnline.connectors.registry import load_module, load_sandbox_module
from firnline.sandbox.protocol import SandboxOptions
from firnline.sandbox.seed import company
from firnline.sandbox.world import Company

_templates = load_module("zendesk", "sandbox_templates")

ADMIN = "admin@desk.test"
ACCESS = (
    "all",
    "within-groups",
    "within-groups-and-public-groups",
    "within-organization",
    "assigned-only",
)
RESTRICTIONS = (None, "groups", "organization", "assigned", "requested")
_BY_ACCESS = {
    "all": None,
    "within-groups": "groups",
    "within-organization": "organization",
    "assigned-only": "assigned",
}
STAFF, CHAT, CONTRIBUTOR, LIGHT = 0, 2, 3, 1


@dataclass(frozen=True)
class Role:
    """A custom role; role_type 1 is the light agent's."""

    ticket_access: str = "all"
    role_type: int = STAFF
    lists_users: bool = True
    reads_assets: bool = True


@dataclass(frozen=True)
class Agent:
    """One of the staff; `kind` is the wire's role."""

    kind: str = "agent"
    role: int = 0
    restriction: str | None = None
    groups: tuple[int, ...] = ()
    organizations: tuple[int, ...] = ()
    organization: int | None = None
    suspended: bool = False
    chat_only: bool = False
    only_private_comments: bool = False
    brands: tuple[int, ...] = (0, 1, 2)


@dataclass(frozen=True)
class Ticket:
    """A ticket; None: nobody, no group, no organization."""

    group: int | None = None
    organization: int | None = None
    assignee: int | None = None
    requester: int = 0
    brand: int | None = 0


@dataclass(frozen=True)
class Structure:
    """A whole account; without roles or brands it is on a plan that has none."""

    roles: tuple[Role, ...] = ()
    groups: tuple[bool, ...] = (True,)
    organizations: int = 1
    agents: tuple[Agent, ...] = (Agent(),)
    tickets: tuple[Ticket, ...] = (Ticket(),)
    assets: int = 0
    has_brands: bool = False

    @property
    def emails(self) -> list[str]:
        """Return everyone's address, the administrator's first."""
        return [ADMIN, *(f"a{place}@desk.test" for place in range(len(self.agents)))]


_ints = st.integers(0, 4)
_optional = st.none() | _ints
# What shuts somebody out of everything is drawn seldom, or little else would be seen.
_seldom = st.sampled_from((*[False] * 9, True))


def _few(each: Any, most: int, least: int = 0) -> st.SearchStrategy[tuple[Any, ...]]:
    return st.lists(each, min_size=least, max_size=most).map(tuple)


_roles = st.builds(
    Role,
    ticket_access=st.sampled_from(ACCESS),
    role_type=st.sampled_from((*[STAFF] * 6, LIGHT, CHAT, CONTRIBUTOR)),
    lists_users=st.booleans(),
    reads_assets=st.booleans(),
)
_agents = st.builds(
    Agent,
    kind=st.sampled_from((*["agent"] * 8, "admin", "end-user")),
    role=_ints,
    restriction=st.sampled_from(RESTRICTIONS),
    groups=_few(_ints, 2),
    organizations=_few(_ints, 2),
    organization=_optional,
    suspended=_seldom,
    chat_only=_seldom,
    only_private_comments=st.booleans(),
    brands=_few(_ints, 3),
)
structures = st.builds(
    Structure,
    roles=_few(_roles, 3),
    groups=_few(st.booleans(), 3, 2),
    organizations=st.integers(2, 3),
    agents=_few(_agents, 5, 3),
    tickets=_few(
        st.builds(
            Ticket,
            group=_optional,
            organization=_optional,
            assignee=_optional,
            requester=_ints,
            brand=_optional,
        ),
        6,
        3,
    ),
    assets=st.integers(0, 2),
    has_brands=st.booleans(),
)


@cache
def _company() -> Company:
    return company("globex", scale=0.01, now=NOW)


def sandbox_of(structure: Structure) -> Any:
    """Return a sandbox that serves the structure's account."""
    whose = _company()
    switches = {
        "custom_roles": bool(structure.roles),
        "department_spaces": structure.has_brands,
    }
    options = SandboxOptions(seed=1, now=NOW, limits=False, switches=switches)
    sandbox = load_sandbox_module("zendesk").ZendeskSandbox(whose, options)
    store = sandbox.store
    for table in store.tables.values():
        for held in (table.rows, table.stamps, table.deleted, table.previous):
            held.clear()
    at = int(NOW.timestamp()) - 3600
    fields = [row["id"] for row in store.fields["ticket_fields"] if row["removable"]]

    def put(name: str, key: Any, /, **values: Any) -> None:
        moment = "2026-11-20T10:00:00Z"
        row = {**_templates.blank(name, fields), "created_at": moment, "updated_at": moment}
        store.table(name).put(key, {**row, **values}, at)

    (assets,) = [name for name in store.tables if name.startswith("custom_object_")]
    for place, role in enumerate(structure.roles):
        scopes = ["read"] if role.reads_assets else []
        configuration = {
            **_templates.ROLE_CONFIGURATION,
            "ticket_access": role.ticket_access,
            "end_user_list_access": "full" if role.lists_users else "none",
            "custom_objects": {assets.removeprefix("custom_object_"): {"scopes": scopes}},
        }
        put(
            "custom_roles",
            700 + place,
            name=f"Role {place}",
            role_type=role.role_type,
            configuration=configuration,
        )
    for place, public in enumerate(structure.groups):
        put("groups", 300 + place, name=f"Group {place}", is_public=public)
    for place in range(structure.organizations):
        put("organizations", 500 + place, name=f"Organization {place}")
    administrator = Agent("admin")
    numbers = iter(range(10_000, 20_000))
    for place, agent in enumerate((administrator, *structure.agents)):
        key = 100 + place
        put("users", key, name=f"Agent {place}", **_user(structure, place, agent))
        for group in {300 + each % len(structure.groups) for each in agent.groups}:
            put("group_memberships", next(numbers), user_id=key, group_id=group)
        for brand in {800 + each % 3 for each in agent.brands}:
            put("brand_agents", next(numbers), user_id=key, brand_id=brand)
        for each in {500 + each % structure.organizations for each in agent.organizations}:
            put("organization_memberships", next(numbers), user_id=key, organization_id=each)
    for place, ticket in enumerate(structure.tickets):
        requester = 100 + ticket.requester % (1 + len(structure.agents))
        put(
            "tickets",
            1 + place,
            subject=f"Ticket {place}",
            requester_id=requester,
            submitter_id=requester,
            assignee_id=_key(100, ticket.assignee, 1 + len(structure.agents)),
            group_id=_key(300, ticket.group, len(structure.groups)),
            organization_id=_key(500, ticket.organization, structure.organizations),
            brand_id=_key(800, ticket.brand, 3),
        )
    for place in range(structure.assets):
        put(assets, f"01JASSET{place:018d}", name=f"Asset {place}")
    store.version += 1
    sandbox.integration_email = ADMIN
    sandbox._emails = [  # what follows from the company's people follows from these
        email
        for email, agent in zip(structure.emails, (administrator, *structure.agents), strict=True)
        if not agent.suspended
    ]
    return sandbox


def _key(first: int, place: int | None, count: int) -> int | None:
    return None if place is None else first + place % count


def _user(structure: Structure, place: int, agent: Agent) -> dict[str, Any]:
    facts: dict[str, Any] = {
        "email": structure.emails[place],
        "role": agent.kind,
        "suspended": agent.suspended,
        "organization_id": _key(500, agent.organization, structure.organizations),
        "only_private_comments": agent.only_private_comments,
    }
    if agent.kind != "agent":
        return facts
    facts["chat_only"] = agent.chat_only
    facts["ticket_restriction"] = agent.restriction
    if structure.roles:
        at = agent.role % len(structure.roles)
        role = structure.roles[at]
        facts["custom_role_id"] = 700 + at
        facts["role_type"] = role.role_type
        # With custom roles, a user's own restriction only repeats the role's.
        facts["ticket_restriction"] = _BY_ACCESS.get(role.ticket_access)
    return facts
