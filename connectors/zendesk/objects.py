"""The fixed part of Zendesk's catalog: standard objects, their fields and how each is read.

Zendesk has no describe call; discovery lays custom fields and custom objects over these.
"""

from __future__ import annotations

from collections.abc import Mapping

from firnline.catalog.model import FieldInfo, ObjectInfo, ObjectSupports, Reference, ScalarName

KINDS: Mapping[str, ScalarName] = {
    "id": "id",
    "text": "string",
    "long": "long",
    "bool": "bool",
    "time": "timestamp",
    "list": "strings",
    "json": "json",
}
CHANGES = ObjectSupports(changes=True, deletes=True)

# One line a field: name, kind, label, and for references: target/relation/inverse.
TICKETS = """
id id ID
external_id text External ID
type text Type
subject text Subject
raw_subject text Raw subject
description text Description
priority text Priority
status text Status
recipient text Recipient
requester_id id Requester > users/requester/requested_tickets
submitter_id id Submitter > users/submitter/submitted_tickets
assignee_id id Assignee > users/assignee/assigned_tickets
organization_id id Organization > organizations/organization/tickets
group_id id Group > groups/group/tickets
collaborator_ids list Collaborators
follower_ids list Followers
email_cc_ids list Email CCs
problem_id id Problem > tickets/problem/incidents
has_incidents bool Has incidents
is_public bool Is public
due_at time Due at
tags list Tags
via_channel text Channel
satisfaction_rating_score text Satisfaction score
custom_status_id id Custom status
ticket_form_id id Ticket form
brand_id id Brand
created_at time Created at
updated_at time Updated at
"""
USERS = """
id id ID
name text Name
email text Email
alias text Alias
external_id text External ID
role text Role
role_type long Role type
custom_role_id id Custom role
active bool Active
suspended bool Suspended
verified bool Verified
moderator bool Moderator
ticket_restriction text Ticket restriction
restricted_agent bool Restricted agent
only_private_comments bool Only private comments
shared bool Shared
shared_agent bool Shared agent
chat_only bool Chat only
default_group_id id Default group > groups/default_group/default_users
organization_id id Organization > organizations/organization/users
phone text Phone
time_zone text Time zone
iana_time_zone text IANA time zone
locale text Locale
tags list Tags
details text Details
notes text Notes
signature text Signature
last_login_at time Last login at
created_at time Created at
updated_at time Updated at
"""
ORGANIZATIONS = """
id id ID
name text Name
external_id text External ID
details text Details
notes text Notes
shared_tickets bool Shared tickets
shared_comments bool Shared comments
domain_names list Domain names
tags list Tags
group_id id Group > groups/group/organizations
created_at time Created at
updated_at time Updated at
"""
GROUPS = """
id id ID
name text Name
description text Description
default bool Default
is_public bool Is public
created_at time Created at
updated_at time Updated at
"""
CUSTOM_ROLES = """
id id ID
name text Name
role_type long Role type
configuration json Configuration
updated_at time Updated at
"""
GROUP_MEMBERSHIPS = """
id id ID
user_id id User
group_id id Group
default bool Default
updated_at time Updated at
"""
ORGANIZATION_MEMBERSHIPS = """
id id ID
user_id id User
organization_id id Organization
default bool Default
updated_at time Updated at
"""
BRAND_AGENTS = """
id id ID
user_id id User
brand_id id Brand
updated_at time Updated at
"""
CUSTOM_OBJECT = """
id id ID
name text Name
external_id text External ID
created_by_user_id id Created by > users/created_by/
updated_by_user_id id Updated by > users/updated_by/
created_at time Created at
updated_at time Updated at
"""


def fields(lines: str, *, inverse_of: str = "") -> list[FieldInfo]:
    """Return the fields that a table above lists; `inverse_of` names inverses left empty there."""
    return [_field(line, inverse_of) for line in lines.strip().splitlines()]


def _field(line: str, inverse_of: str) -> FieldInfo:
    described, _, target = line.partition(" > ")
    name, kind, label = described.split(" ", 2)
    reference = None
    if target:
        target_object, relation, inverse = target.split("/")
        inverse = inverse or f"{inverse_of}_by_{relation}"
        reference = Reference(targets=(target_object,), relation=relation, inverse=inverse)
    return FieldInfo(
        name=name,
        type=KINDS[kind],
        label=label,
        source_type=kind,
        nullable=name != "id",
        unique=name == "id",
        external_id=name == "external_id",
        reference=reference,
    )


def standard(
    name: str,
    lines: str,
    *,
    read: str,
    path: str,
    cursor: str = "",
    exposed: bool = True,
    custom: tuple[FieldInfo, ...] = (),
) -> ObjectInfo:
    """Return a standard object. `read` is how it is read: cursor, time or list."""
    label = name.replace("_", " ").capitalize()
    return ObjectInfo(
        name=name,
        key="id",
        label=label[:-1],
        label_plural=label,
        cursor=cursor,
        exposed=exposed,
        fields=(*fields(lines), *custom),
        supports=CHANGES if cursor else ObjectSupports(),
        extra={"read": read, "path": path, "rows": name},
    )
