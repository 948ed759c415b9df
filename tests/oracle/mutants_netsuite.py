"""The rules of NetSuite's mirrored permissions, each with a change that breaks it.

`test_noticing` takes them: every one must show in some generated structure.
"""

from __future__ import annotations

from tests.oracle.mutants import Mutant

NETSUITE = (
    Mutant(
        "inactive employees see nothing",
        "permissions",
        'row for row in employees if not row.get("isinactive") and row',
        "row for row in employees if row",
    ),
    Mutant(
        "employees without a login see nothing",
        "permissions",
        'not row.get("isinactive") and row.get("giveaccess") is not False',
        'not row.get("isinactive")',
    ),
    Mutant(
        "a permission of level none grants nothing",
        "permissions",
        'return self.is_administrator or self.levels.get(permission, "") in _GRANTING',
        "return self.is_administrator or permission in self.levels",
    ),
    Mutant(
        "an object needs its permission",
        "permissions",
        'return self.is_administrator or self.levels.get(permission, "") in _GRANTING',
        "return True",
    ),
    Mutant(
        "administrators hold every permission",
        "permissions",
        "return self.is_administrator or self.levels",
        "return self.levels",
    ),
    Mutant(
        "administrators are in no subsidiary",
        "permissions",
        'str(role["id"]) == ADMINISTRATOR_ROLE or option == "ALL"',
        'option == "ALL_OF_THEM"',
    ),
    Mutant(
        "viewing across subsidiaries may be allowed",
        "permissions",
        'if role.get("subsidiaryviewingallowed") is True:',
        "if False:",
    ),
    Mutant(
        "viewing across subsidiaries must be allowed",
        "permissions",
        'if role.get("subsidiaryviewingallowed") is True:',
        "if True:",
    ),
    Mutant(
        "the own subsidiary shows",
        "permissions",
        "return frozenset() if own is None else frozenset({str(own)})",
        "return frozenset()",
    ),
    Mutant(
        "inactive subsidiaries are not active",
        "permissions",
        'return frozenset(str(row["id"]) for row in listed if not row.get("isinactive"))',
        'return frozenset(str(row["id"]) for row in listed)',
    ),
    Mutant(
        "active subsidiaries show",
        "permissions",
        'return frozenset(str(row["id"]) for row in listed if not row.get("isinactive"))',
        "return frozenset()",
    ),
    Mutant(
        "selected subsidiaries show",
        "permissions",
        'return frozenset(str(key) for key in role.get("subsidiaryrestriction") or ())',
        "return frozenset()",
    ),
    Mutant(
        "custom records have a permission for all of them",
        "permissions",
        "(described.name.upper(), _EVERY_CUSTOM_RECORD)",
        "(described.name.upper(),)",
    ),
    Mutant(
        "custom records are in no subsidiary",
        "permissions",
        "if role.subsidiaries is None or described.custom:",
        "if role.subsidiaries is None:",
    ),
    Mutant(
        "no subsidiary, no record",
        "permissions",
        "if not role.subsidiaries:\n        return Nothing()",
        "if not role.subsidiaries:\n        return Everything()",
    ),
    Mutant(
        "subsidiaries show themselves alone",
        "permissions",
        'return FieldIn("id", role.subsidiaries)',
        "return Everything()",
    ),
    Mutant(
        "a contact shows with its customer",
        "permissions",
        'if described.name == "contact":',
        "if False:",
    ),
    Mutant(
        "records of other subsidiaries do not show",
        "permissions",
        'return Nothing()\n    return FieldIn("subsidiary", role.subsidiaries)',
        "return Nothing()\n    return Everything()",
    ),
    Mutant(
        "restrictions narrow",
        "permissions",
        'rules += [replace(each.rule(described), why=f"{each.field} {by}") for each in',
        "rules += [Everything() for each in",
    ),
    Mutant(
        "every restriction must let a record through",
        "permissions",
        "return AllOf(narrowing, ",
        "return AnyOf(narrowing, ",
    ),
    Mutant(
        "a column of level none is hidden",
        "permissions",
        "return not self.is_administrator and level not in _GRANTING",
        "return False",
    ),
    Mutant(
        "segments do not restrict customers",
        "restrictions",
        '_BY_SEGMENT = frozenset({"invoice", "employee"})',
        '_BY_SEGMENT = frozenset({"invoice"})',
    ),
    Mutant(
        "segments restrict invoices",
        "restrictions",
        '_BY_SEGMENT = frozenset({"invoice", "employee"})',
        '_BY_SEGMENT = frozenset({"employee"})',
    ),
    Mutant(
        "employees restrict invoices",
        "restrictions",
        '    "invoice": "employee",\n',
        "",
    ),
    Mutant(
        "sales representatives restrict customers",
        "restrictions",
        '    "customer": "salesrep",\n',
        "",
    ),
    Mutant(
        "supervisors restrict employees",
        "restrictions",
        '    "employee": "supervisor",\n',
        "",
    ),
    Mutant(
        "unassigned records show where the option says so",
        "restrictions",
        "if self.unassigned:",
        "if False:",
    ),
    Mutant(
        "unassigned records show only where the option says so",
        "restrictions",
        "if self.unassigned:",
        "if True:",
    ),
    Mutant(
        "employees see themselves",
        "restrictions",
        'if by_employee and described.name == "employee":',
        "if False:",
    ),
    Mutant(
        "viewing others' records may be allowed",
        "restrictions",
        'elif role.get("employeeviewingallowed") is not True:',
        "else:",
    ),
    Mutant(
        "own records show",
        "restrictions",
        'role.get("employeerestriction"), below | {key})',
        'role.get("employeerestriction"), below)',
    ),
    Mutant(
        "subordinates' records show",
        "restrictions",
        'role.get("employeerestriction"), below | {key})',
        'role.get("employeerestriction"), {key})',
    ),
    Mutant(
        "viewing other segments may be allowed",
        "restrictions",
        'if segment is None or row.get("viewingallowed") is True:',
        "if segment is None:",
    ),
    Mutant(
        "the own segment shows",
        "restrictions",
        "allowed = set() if own is None else {str(own)}",
        "allowed = set()",
    ),
    Mutant(
        "segments below the own show",
        "restrictions",
        'allowed |= _below(rows.rows(table), "parent", str(own))',
        "pass",
    ),
    Mutant(
        "a default does not restrict",
        "restrictions",
        'if letters.startswith(("NONE", "DEFAULT")):',
        'if letters.startswith("NONE"):',
    ),
    Mutant(
        "trees go all the way down",
        "restrictions",
        "found.add(child)\n                waiting.append(child)",
        "found.add(child)",
    ),
)
