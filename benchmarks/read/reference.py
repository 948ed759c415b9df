"""The independent answer: plain Python over the raw rows, and the form in which answers compare."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from datetime import date, datetime
from decimal import Decimal
from typing import Any

from benchmarks.read.cases import CLOSES_UNTIL, PAID_BEFORE, TICKETS_OVER, WIDE_FIELDS
from benchmarks.read.dataset import REP, REP_TEAM

Row = Mapping[str, Any]


class Reference:
    """Evaluates the cases row by row, as one person would see them."""

    def __init__(self, tables: Mapping[str, Any], email: str) -> None:
        self._rows = {name: table.to_pylist() for name, table in tables.items()}
        self._sees = self._visible() if email == REP else lambda _account: True

    def _visible(self) -> Callable[[Row], bool]:
        users = self._rows["users"]
        team = {row["id"] for row in users if row["team"] == REP_TEAM}
        (me,) = (row["id"] for row in users if row["email"] == REP)
        shared = {
            row["account_id"]
            for row in self._rows["shares"]
            if row["user_id"] == me and row["level"] in ("read", "edit")
        }
        return lambda account: account["owner_id"] in team or account["id"] in shared

    def answer(self, case: str, variables: Mapping[str, Any]) -> dict[str, Any]:
        """Return `data` in the comparable form."""
        return {
            "nested": self._nested,
            "spread": self._spread,
            "point": self._point,
            "wide": self._wide,
            "aggregate": self._aggregate,
            "group": self._group,
            "question": self._question,
        }[case](variables)

    def _nested(self, variables: Mapping[str, Any]) -> dict[str, Any]:
        found = [
            row
            for row in self._rows["accounts"]
            if row["segment"] == variables["segment"]
            and row["employees"] >= variables["floor"]
            and self._sees(row)
        ]
        return self._related(sorted(found, key=lambda row: row["revenue"], reverse=True)[:50])

    def _spread(self, variables: Mapping[str, Any]) -> dict[str, Any]:
        floor = variables["floor"]
        found = [
            row for row in self._rows["accounts"] if row["employees"] >= floor and self._sees(row)
        ]
        return self._related(sorted(found, key=lambda row: (row["employees"], row["id"]))[:50])

    def _related(self, top: list[Row]) -> dict[str, Any]:
        wanted = {row["id"] for row in top}
        below = {
            name: self._below(name, wanted, order, only)
            for name, order, only in (
                ("opportunities", "amount", {}),
                ("tickets", "created_at", {"status": "open"}),
                ("invoices", "amount", {}),
            )
        }
        return {
            "accounts": [
                _account(row) | {name: by.get(row["id"], []) for name, by in below.items()}
                for row in top
            ]
        }

    def _below(
        self, name: str, wanted: set[str], order: str, only: Mapping[str, str]
    ) -> dict[str, list[dict[str, Any]]]:
        grouped: dict[str, list[Row]] = {}
        for row in self._rows[name]:
            if row["account_id"] in wanted and only.items() <= row.items():
                grouped.setdefault(row["account_id"], []).append(row)
        return {
            key: [
                _named(row, _CHILDREN[name])
                for row in sorted(rows, key=lambda row: row[order], reverse=True)[:5]
            ]
            for key, rows in grouped.items()
        }

    def _point(self, variables: Mapping[str, Any]) -> dict[str, Any]:
        found = [row for row in self._rows["accounts"] if row["id"] == variables["id"]]
        return {"account": _account(found[0]) if found and self._sees(found[0]) else None}

    def _wide(self, variables: Mapping[str, Any]) -> dict[str, Any]:
        found = [row for row in self._rows["assets"] if row["position"] >= variables["floor"]]
        top = sorted(found, key=lambda row: row["position"])[:200]
        return {"assets": [_named(row, {name: name for name in WIDE_FIELDS}) for row in top]}

    def _aggregate(self, variables: Mapping[str, Any]) -> dict[str, Any]:
        efforts = [
            row["effort"] for row in self._rows["tickets"] if row["effort"] >= variables["floor"]
        ]
        return {
            "tickets": {
                "aggregate": {
                    "count": len(efforts),
                    "sum": {"effort": sum(efforts)},
                    "min": {"effort": min(efforts)},
                    "max": {"effort": max(efforts)},
                }
            }
        }

    def _group(self, variables: Mapping[str, Any]) -> dict[str, Any]:
        groups: dict[tuple[str, str], list[int]] = {}
        for row in self._rows["tickets"]:
            if row["effort"] >= variables["floor"]:
                groups.setdefault((row["status"], row["priority"]), []).append(row["effort"])
        return {
            "tickets": {
                "groupBy": [
                    {
                        "key": {"status": status, "priority": priority},
                        "aggregate": {"count": len(efforts), "sum": {"effort": sum(efforts)}},
                    }
                    for (status, priority), efforts in sorted(groups.items())
                ]
            }
        }

    def _question(self, variables: Mapping[str, Any]) -> dict[str, Any]:
        accounts = {
            row["id"]: row
            for row in self._rows["accounts"]
            if row["employees"] >= variables["floor"] and self._sees(row)
        }
        tickets = self._of("tickets", accounts, status="open")
        paid = self._of("invoices", accounts, status="paid")
        found = [
            row
            for row in self._rows["opportunities"]
            if row["stage"] == "offered"
            and row["closes_on"].isoformat() <= CLOSES_UNTIL
            and len(tickets.get(row["account_id"], ())) > TICKETS_OVER
            and (dues := [each["due_on"] for each in paid.get(row["account_id"], ())])
            and max(dues).isoformat() < PAID_BEFORE
        ]
        overdue = self._of("invoices", accounts, status="overdue")
        return {
            "opportunities": [
                {name: comparable(row[column]) for name, column in _ASKED.items()}
                | {
                    "account": _asked_account(
                        accounts[row["account_id"]],
                        tickets[row["account_id"]],
                        overdue.get(row["account_id"], []),
                    )
                }
                for row in sorted(found, key=lambda row: row["amount"], reverse=True)[:20]
            ]
        }

    def _of(self, name: str, accounts: Mapping[str, Row], *, status: str) -> dict[str, list[Row]]:
        found: dict[str, list[Row]] = {}
        for row in self._rows[name]:
            if row["status"] == status and row["account_id"] in accounts:
                found.setdefault(row["account_id"], []).append(row)
        return found


_ASKED = {"name": "name", "stage": "stage", "amount": "amount", "closesOn": "closes_on"}


def _asked_account(account: Row, tickets: list[Row], overdue: list[Row]) -> dict[str, Any]:
    latest = sorted(tickets, key=lambda row: row["created_at"], reverse=True)[:5]
    total = sum((row["amount"] for row in overdue), Decimal(0)) if overdue else None
    return {
        **{name: account[name] for name in ("name", "segment", "region")},
        "tickets": [{name: row[name] for name in ("subject", "priority")} for row in latest],
        "invoices": {"aggregate": {"count": len(overdue), "sum": {"amount": comparable(total)}}},
    }


_CHILDREN: Mapping[str, Mapping[str, str]] = {
    "opportunities": {
        "id": "id",
        "name": "name",
        "stage": "stage",
        "amount": "amount",
        "closesOn": "closes_on",
    },
    "tickets": {
        "id": "id",
        "subject": "subject",
        "status": "status",
        "priority": "priority",
        "createdAt": "created_at",
    },
    "invoices": {
        "id": "id",
        "number": "number",
        "amount": "amount",
        "status": "status",
        "dueOn": "due_on",
    },
}


def _account(row: Row) -> dict[str, Any]:
    names = {"id": "id", "name": "name", "segment": "segment", "revenue": "revenue"}
    return _named(row, names | {"createdAt": "created_at"})


def _named(row: Row, names: Mapping[str, str]) -> dict[str, Any]:
    return {name: comparable(row[column]) for name, column in names.items()}


def comparable(value: Any, name: str = "") -> Any:
    """Return a value in one form whatever target gave it.

    Connections become their nodes; a time loses what is written after its seconds, because
    targets differ in fraction and zone where nothing but zeros and UTC stand.
    """
    if isinstance(value, dict):
        if set(value) == {"nodes"}:
            return comparable(value["nodes"])
        return {key: comparable(each, key) for key, each in value.items()}
    if isinstance(value, list):
        return [comparable(each) for each in value]
    if isinstance(value, datetime):
        return value.isoformat(timespec="seconds")
    if isinstance(value, date | Decimal):
        return str(value)
    if name == "createdAt" and isinstance(value, str):
        seconds, rest = value[:19].replace(" ", "T"), value[19:]
        return seconds if not rest.strip(".0Z+:") else value
    return value
