"""The rules of Zendesk's mirrored permissions, each with a change that breaks it.

`test_noticing` takes them: every one must show in some generated structure.
"""

from __future__ import annotations

from tests.oracle.mutants import Mutant

ZENDESK = (
    Mutant(
        "admins see everything",
        "access",
        'if user.get("role") == "admin":',
        "if False:",
    ),
    Mutant(
        "end users see nothing",
        "access",
        'if user.get("role") != "agent":',
        "if False:",
    ),
    Mutant(
        "agents of Chat only see nothing",
        "access",
        'if user.get("chat_only") or',
        "if",
    ),
    Mutant(
        "Chat agents by role see nothing",
        "access",
        'user.get("role_type") in (CHAT_ONLY, CONTRIBUTOR)',
        'user.get("role_type") == CONTRIBUTOR',
    ),
    Mutant(
        "contributors see nothing",
        "access",
        'user.get("role_type") in (CHAT_ONLY, CONTRIBUTOR)',
        'user.get("role_type") == CHAT_ONLY',
    ),
    Mutant("suspended users see nothing", "access", ' and not user.get("suspended")', ""),
    Mutant(
        "a role may not list users",
        "access",
        'if self._role and self._configuration.get("end_user_list_access", "full") != "full":',
        "if False:",
    ),
    Mutant(
        "custom objects need a role",
        "access",
        'if self._role is None:\n            return ObjectAccess(reason="the agent has no custom',
        "if self._role is None:\n            return EVERYTHING\n"
        '            return ObjectAccess(reason="the agent has no custom',
    ),
    Mutant(
        "a role grants custom objects one by one",
        "access",
        'if "read" in (granted.get("scopes") or ()):',
        "if True:",
    ),
    Mutant(
        "a role's grant of a custom object counts",
        "access",
        'if "read" in (granted.get("scopes") or ()):',
        "if False:",
    ),
    Mutant(
        "the agent's own restriction narrows",
        "access",
        'rules = [self._ticket_rule(restriction_of(self._user), "the agent\'s own setting")]',
        "rules = [Everything()]",
    ),
    Mutant("brands narrow", "access", "if self._has_brands:", "if False:"),
    Mutant(
        "brands are the agent's own",
        "access",
        "self._rows.rows(BRAND_AGENTS, user_id=self._key)",
        "self._rows.rows(BRAND_AGENTS)",
    ),
    Mutant(
        "a restriction that is not understood denies",
        "access",
        "if len(known) < len(rules):",
        "known = known or [Everything()]\n        if False:",
    ),
    Mutant(
        "the role's ticket access narrows",
        "access",
        "rules.append(self._ticket_rule(self.ticket_access, by))",
        "pass",
    ),
    Mutant(
        "assigned tickets show to the assignee",
        "access",
        'return FieldIn("assignee_id", frozenset({self._key}), why=why)',
        "return Nothing()",
    ),
    Mutant(
        "tickets assigned to others do not show",
        "access",
        'return FieldIn("assignee_id", frozenset({self._key}), why=why)',
        "return Everything()",
    ),
    Mutant(
        "tickets of the agent's groups show",
        "access",
        'return {str(row["group_id"]) for row in memberships if row.get("group_id")}',
        "return set()",
    ),
    Mutant(
        "groups are the agent's own",
        "access",
        'self._rows.rows("group_memberships", user_id=self._key)',
        'self._rows.rows("group_memberships")',
    ),
    Mutant(
        "tickets of public groups show where the role says so",
        "access",
        '(_one_of("group_id", self._groups(), groups), public)',
        '(_one_of("group_id", self._groups(), groups),)',
    ),
    Mutant(
        "private groups are not public",
        "access",
        ' if row.get("is_public") is True}',
        "}",
    ),
    Mutant(
        "tickets of the agent's organizations show",
        "access",
        'return _one_of("organization_id", self._organizations(), why)',
        "return Nothing()",
    ),
    Mutant(
        "organizations are the agent's own",
        "access",
        'self._rows.rows("organization_memberships", user_id=self._key)',
        'self._rows.rows("organization_memberships")',
    ),
    Mutant(
        "further organizations count",
        "access",
        "return found | ({str(own)} if own else set())",
        "return {str(own)} if own else set()",
    ),
    Mutant(
        "the agent's first organization counts",
        "access",
        "return found | ({str(own)} if own else set())",
        "return found",
    ),
)
