"""What every record of an object says the same in the sandbox, and the account's field definitions.

`sandbox_shape` lays the company's facts over these.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from .sandbox_store import Row

TICKET: Mapping[str, Any] = {
    "external_id": None,
    "via": {"channel": "web", "source": {"from": {}, "to": {}, "rel": None}},
    "type": None,
    "recipient": None,
    "collaborator_ids": [],
    "follower_ids": [],
    "email_cc_ids": [],
    "forum_topic_id": None,
    "problem_id": None,
    "has_incidents": False,
    "is_public": True,
    "due_at": None,
    "satisfaction_rating": {"score": "unoffered"},
    "sharing_agreement_ids": [],
    "followup_ids": [],
    "allow_channelback": False,
    "allow_attachments": True,
    "from_messaging_channel": False,
}
USER: Mapping[str, Any] = {
    "external_id": None,
    "alias": None,
    "time_zone": "UTC",
    "iana_time_zone": "Etc/UTC",
    "phone": None,
    "shared_phone_number": None,
    "photo": None,
    "locale_id": 1,
    "locale": "en-US",
    "organization_id": None,
    "verified": True,
    "tags": [],
    "active": True,
    "shared": False,
    "shared_agent": False,
    "last_login_at": None,
    "two_factor_auth_enabled": None,
    "signature": None,
    "details": None,
    "notes": None,
    "moderator": False,
    "only_private_comments": False,
    "suspended": False,
    "default_group_id": None,
    "report_csv": False,
    "chat_only": False,
}
END_USER: Mapping[str, Any] = {
    "role": "end-user",
    "role_type": None,
    "custom_role_id": None,
    "ticket_restriction": "requested",
    "restricted_agent": True,
}
ORGANIZATION: Mapping[str, Any] = {
    "shared_tickets": False,
    "shared_comments": False,
    "external_id": None,
    "details": None,
    "notes": None,
    "group_id": None,
    "tags": [],
    "deleted_at": None,
}
GROUP: Mapping[str, Any] = {
    "description": "",
    "default": False,
    "deleted": False,
    "is_public": True,
}
ROLE_CONFIGURATION: Mapping[str, Any] = {
    "chat_access": False,
    "end_user_list_access": "full",
    "end_user_profile_access": "readonly",
    "explore_access": "readonly",
    "macro_access": "readonly",
    "ticket_comment_access": "public",
    "ticket_deletion": False,
    "ticket_editing": True,
    "user_view_access": "readonly",
    "view_access": "readonly",
}
# (title, role of users who hold it, role_type, ticket_access, may read custom objects)
ROLES: Mapping[str, tuple[str, str, int, str, bool]] = {
    "admin": ("Administrator", "admin", 4, "all", True),
    "agent": ("Support agent", "agent", 0, "all", True),
    "group_agent": ("Group agent", "agent", 0, "within-groups", True),
    "assigned_agent": ("Case owner", "agent", 0, "assigned-only", False),
}
RESTRICTIONS: Mapping[str, str | None] = {
    "admin": None,
    "agent": None,
    "group_agent": "groups",
    "assigned_agent": "assigned",
}
SYSTEM_TICKET_FIELDS: Sequence[tuple[str, str, Sequence[str]]] = (
    ("subject", "Subject", ()),
    ("description", "Description", ()),
    ("status", "Status", ("open", "pending", "hold", "solved")),
    ("tickettype", "Type", ("question", "incident", "problem", "task")),
    ("priority", "Priority", ("low", "normal", "high", "urgent")),
    ("group", "Group", ()),
    ("assignee", "Assignee", ()),
)
STATUSES = ("new", "open", "pending", "hold", "solved", "closed")


def options(values: Mapping[str, str], first_id: int) -> list[Row]:
    """Return the options of a drop-down from value -> name."""
    return [
        {"id": first_id + at, "name": name, "raw_name": name, "value": value, "default": False}
        for at, (value, name) in enumerate(values.items())
    ]


def definition(number: int, kind: str, title: str, at: str, **more: Any) -> Row:
    """Return one field definition as ticket_fields, user_fields and their kin show it."""
    return {
        "id": number,
        "type": kind,
        "title": title,
        "raw_title": title,
        "description": "",
        "raw_description": "",
        "position": number % 1000,
        "active": True,
        "regexp_for_validation": None,
        "created_at": at,
        "updated_at": at,
        **more,
    }


def ticket_definition(number: int, kind: str, title: str, at: str, **more: Any) -> Row:
    """Return one ticket field, with the switches that only ticket fields have."""
    return definition(
        number,
        kind,
        title,
        at,
        **{
            "required": False,
            "collapsed_for_agents": False,
            "title_in_portal": title,
            "raw_title_in_portal": title,
            "visible_in_portal": True,
            "editable_in_portal": False,
            "required_in_portal": False,
            "tag": None,
            "removable": True,
            "key": None,
            "agent_description": None,
            **more,
        },
    )


def blank(object_name: str, ticket_fields: Sequence[int]) -> Row:
    """Return a new record of an object before its creator has said anything."""
    if object_name == "tickets":
        text = {"subject": "", "raw_subject": "", "description": "", "status": "new", "tags": []}
        references = ("requester_id", "submitter_id", "assignee_id", "organization_id", "group_id")
        ids = (*references, "custom_status_id", "ticket_form_id", "brand_id", "priority")
        return {**text, **dict.fromkeys(ids), "fields": dict.fromkeys(ticket_fields)}
    if object_name == "users":
        return {**END_USER, "name": "", "email": None, "user_fields": {}}
    if object_name == "organizations":
        return {"name": "", "domain_names": [], "organization_fields": {}}
    if object_name == "groups":
        return {"name": ""}
    if object_name == "group_memberships":
        return {"user_id": None, "group_id": None}
    if object_name == "organization_memberships":
        return {"user_id": None, "organization_id": None}
    if object_name == "brand_agents":
        return {"user_id": None, "brand_id": None}
    if object_name == "custom_roles":
        return {"name": "", "description": "", "role_type": 0, "configuration": {}}
    authors = dict.fromkeys(("created_by_user_id", "updated_by_user_id", "photo", "external_id"))
    key = object_name.removeprefix("custom_object_")
    return {"custom_object_key": key, "name": "", **authors, "custom_object_fields": {}}
