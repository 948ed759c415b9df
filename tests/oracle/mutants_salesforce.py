"""The rules of Salesforce's mirrored permissions, each with a change that breaks it.

`test_noticing` takes them: every one must show in some generated structure.
"""

from __future__ import annotations

from tests.oracle.mutants import Mutant

SALESFORCE = (
    Mutant(
        "lapsed assignments give nothing",
        "grants",
        'row.get("IsActive") is not False and row.get("PermissionSetId")',
        'row.get("PermissionSetId")',
    ),
    Mutant(
        "an object needs its read permission",
        "grants",
        "return self.views_all or name in self.readable",
        "return True",
    ),
    Mutant(
        "View All Data opens every object",
        "grants",
        "return self.views_all or name in self.readable",
        "return name in self.readable",
    ),
    Mutant("activities need a permission", "grants", "return self.activities", "return True"),
    Mutant(
        "View All Data is above sharing",
        "grants",
        "return self.views_all or name in self.all_records",
        "return name in self.all_records",
    ),
    Mutant(
        "View All on an object is above sharing",
        "grants",
        "return self.views_all or name in self.all_records",
        "return self.views_all",
    ),
    Mutant(
        "View All Users shows every user",
        "grants",
        "return self.views_all or self.views_all_users",
        "return self.views_all",
    ),
    Mutant(
        "Modify All shows as View All does",
        "grants",
        'objects, "PermissionsViewAllRecords", "PermissionsModifyAllRecords"',
        'objects, "PermissionsViewAllRecords"',
    ),
    Mutant(
        "Modify All Data shows as View All Data does",
        "grants",
        '_any(sets, "PermissionsViewAllData", "PermissionsModifyAllData")',
        '_any(sets, "PermissionsViewAllData")',
    ),
    Mutant(
        "View All Fields is above field permissions",
        "grants",
        "if found.name in self.all_fields:",
        "if False:",
    ),
    Mutant(
        "a secured field needs its permission",
        "grants",
        'if f"{found.name}.{governing}" not in self.fields',
        "if False",
    ),
    Mutant(
        "the role says whether owners of accounts read their records",
        "hierarchy",
        'role.get(column) in ("Read", "Edit")',
        "True",
    ),
    Mutant(
        "Read is enough for owners of accounts",
        "hierarchy",
        'role.get(column) in ("Read", "Edit")',
        'role.get(column) == "Edit"',
    ),
    Mutant(
        "Edit includes Read for owners of accounts",
        "hierarchy",
        'role.get(column) in ("Read", "Edit")',
        'role.get(column) == "Read"',
    ),
    Mutant("equals in a role share nothing", "hierarchy", "found - {top}", "found | {top}"),
    Mutant(
        "the hierarchy goes all the way down",
        "hierarchy",
        "found.add(child)\n                waiting.append(child)",
        "found.add(child)",
    ),
    Mutant(
        "groups reach those above their members",
        "hierarchy",
        "groups |= {key for key in memberships.of(reports) if memberships.rolls_up(key)}",
        "pass",
    ),
    Mutant(
        "a group may keep those above its members out",
        "hierarchy",
        'return group is not None and group.get("DoesIncludeBosses") is not False',
        "return True",
    ),
    Mutant("groups hold groups", "hierarchy", "waiting.extend(self._holders[key])", "continue"),
    Mutant(
        "a group of everyone holds everyone",
        "hierarchy",
        'yield from self._by_role["Organization", "None"]',
        "pass",
    ),
    Mutant("role groups hold the role", "hierarchy", '_ROLE_ONLY = ("Role",)', "_ROLE_ONLY = ()"),
    Mutant(
        "role groups hold no lower role",
        "hierarchy",
        "kinds = ()  # a plain role group holds that role alone",
        "pass",
    ),
    Mutant(
        "groups of role and subordinates hold both",
        "hierarchy",
        '("RoleAndSubordinates", "RoleAndSubordinatesInternal")',
        '("RoleAndSubordinatesInternal",)',
    ),
    Mutant(
        "groups of role and internal subordinates hold both",
        "hierarchy",
        '("RoleAndSubordinates", "RoleAndSubordinatesInternal")',
        '("RoleAndSubordinates",)',
    ),
    Mutant(
        "inactive users have no rights",
        "sharing",
        'active = [row for row in named if row.get("IsActive")]',
        "active = named",
    ),
    Mutant(
        "public read opens",
        "sharing",
        '_PUBLIC = ("Read", "ReadWrite",',
        '_PUBLIC = ("ReadWrite",',
    ),
    Mutant(
        "public read and write opens",
        "sharing",
        '_PUBLIC = ("Read", "ReadWrite",',
        '_PUBLIC = ("Read",',
    ),
    Mutant(
        "private users show to themselves and above",
        "sharing",
        'return FieldIn("Id", self._reach.people, ',
        'return Everything() or FieldIn("Id", self._reach.people, ',
    ),
    Mutant(
        "a user sees those below, not themselves alone",
        "sharing",
        'return FieldIn("Id", self._reach.people, ',
        'return FieldIn("Id", frozenset({self._reach.user_key}), ',
    ),
    Mutant(
        "a parent counts only where its object may be read",
        "sharing",
        "if found is None or not self._grants.may_read(name):",
        "if found is None:",
    ),
    Mutant(
        "an object may do without the hierarchy",
        "sharing",
        "grantees = self._reach.grantees if rolls_up else self._reach.own",
        "grantees = self._reach.grantees",
    ),
    Mutant(
        "most objects share up the hierarchy",
        "sharing",
        "grantees = self._reach.grantees if rolls_up else self._reach.own",
        "grantees = self._reach.own",
    ),
    Mutant(
        "owners see what they own",
        "sharing",
        '[FieldIn("OwnerId", grantees, why=_OWNER if rolls_up else _FLAT)]',
        "[]",
    ),
    Mutant("share rows open", "sharing", "if shares in self._catalog.by_name:", "if False:"),
    Mutant(
        "records imply their account",
        "sharing",
        "rules += self._implied_by_children()",
        "pass",
    ),
    Mutant(
        "only private records imply their account",
        "sharing",
        'and self._models.get(child.name) == "Private"\n',
        "",
    ),
    Mutant(
        "accounts imply their records",
        "sharing",
        "rules += self._implied_by_account(found.name)",
        "pass",
    ),
    Mutant(
        "owned accounts imply their records",
        "sharing",
        'rules.append(Via("AccountId", "Account", owned, why=why))',
        "pass",
    ),
    Mutant(
        "shared accounts imply their records",
        "sharing",
        "if shares is not None and level in shares.by_name:",
        "if False:",
    ),
    Mutant(
        "a share says which records it implies",
        "sharing",
        'where=((level, _LEVELS),),\n                    match="AccountId",',
        'match="AccountId",',
    ),
    Mutant(
        "every master must be readable",
        "sharing",
        'else AllOf(tuple(rules), why="every parent record")',
        "else AnyOf(tuple(rules))",
    ),
    Mutant(
        "a contact without an account is its owner's",
        "sharing",
        "return AnyOf((followed, alone))",
        "return followed",
    ),
    Mutant(
        "a contact with an account is not its owner's",
        "sharing",
        '(FieldIsNull("AccountId"), FieldIn("OwnerId", frozenset({self._reach.user_key})))',
        '(FieldIn("OwnerId", frozenset({self._reach.user_key})),)',
    ),
    Mutant(
        "a contact without an account is its owner's alone",
        "sharing",
        'FieldIn("OwnerId", frozenset({self._reach.user_key})))',
        'FieldIn("OwnerId", self._reach.grantees))',
    ),
    Mutant(
        "activities show to their owner and above",
        "sharing",
        '[FieldIn("OwnerId", self._reach.grantees, why=_OWNER)]',
        "[]",
    ),
    Mutant(
        "activities show with the record that they are about",
        "sharing",
        'for name in ("WhatId", "WhoId"):',
        'for name in ("WhoId",):',
    ),
    Mutant(
        "activities show with their person",
        "sharing",
        'for name in ("WhatId", "WhoId"):',
        'for name in ("WhatId",):',
    ),
)
