"""The demo question asked of the providers themselves, as a careful agent developer would.

Takes channels that carry one person's own tokens; gives the same JSON that the cache answers with.
Calls are batched as far as the vendors' APIs batch, and independent ones run at the same time:
deals and meetings together, then organizations and invoices together, then tickets.
"""

from __future__ import annotations

import asyncio
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import date, datetime, timedelta
from decimal import Decimal
from typing import Any

from firnline.connectors.protocol import Request, Response
from firnline.demo.wording import Wording, among, soql, suiteql
from firnline.sync.extract import Channel

_DEALS_MAX = 20
_TICKETS_MIN = 10
_TICKETS_SHOWN = 5
_STALE = timedelta(days=90)
_SOQL_PATH = "/services/data/v66.0/query"
_SUITEQL_PATH = "/services/rest/query/v1/suiteql"
_SUITEQL_ROWS_MAX = 1000
_SUITEQL_LIST_MAX = 1000
_SEARCH_PAGE = 100
_EXPORT_PAGE = 1000
_ORGANIZATIONS_PER_SEARCH = 40  # keeps the query's URL below 2,000 characters
_ORGANIZATION_FIELD = "organization_fields_"

Record = Mapping[str, Any]


@dataclass(slots=True)
class CountedChannel:
    """Counts the calls that go over a channel."""

    channel: Channel
    calls: int = 0

    async def json(self, request: Request) -> Any:
        """Return the parsed answer."""
        self.calls += 1
        response: Response = await self.channel.send(request)
        return response.json()


@dataclass(frozen=True, slots=True)
class Systems:
    """One person's ways to the three systems."""

    crm: CountedChannel
    helpdesk: CountedChannel
    erp: CountedChannel

    @property
    def calls(self) -> int:
        """Return the number of calls made so far."""
        return self.crm.calls + self.helpdesk.calls + self.erp.calls


async def ask_live(
    systems: Systems, words: Mapping[str, Wording], *, now: datetime, end: date
) -> Mapping[str, Any]:
    """Return the answer to the demo question in the shape of the graph's `data`."""
    crm = Crm(systems.crm, words, now=now, end=end)
    deals, stale = await asyncio.gather(crm.renewals(), crm.stale_accounts())
    deals = [deal for deal in deals if deal["AccountId"] in stale]
    accounts = sorted({deal["AccountId"] for deal in deals})
    tickets, invoices = await asyncio.gather(
        Helpdesk(systems.helpdesk, words["Ticket"]).tickets(accounts),
        Erp(systems.erp, words["Invoice"]).overdue(accounts),
    )
    at_risk = [deal for deal in deals if len(tickets.get(deal["AccountId"], ())) > _TICKETS_MIN]
    at_risk.sort(key=_by_amount)
    nodes = [
        crm.node(deal, _newest_open(tickets[deal["AccountId"]]), invoices.get(deal["AccountId"]))
        for deal in at_risk[:_DEALS_MAX]
    ]
    return {"deals": {"nodes": nodes}}


def _by_amount(deal: Record) -> tuple[bool, Decimal, str]:
    amount = deal["Amount"]
    return amount is None, -Decimal(str(amount or 0)), deal["Id"]


def _newest_open(tickets: Iterable[Record]) -> list[Record]:
    """Return the newest open tickets; equal times in order of the key's text, as the graph does."""
    opened = sorted((one for one in tickets if one["status"] == "open"), key=lambda t: t["id"])
    opened.sort(key=lambda one: one["created"], reverse=True)
    return [
        {"subject": one["subject"], "priority": one["priority"]} for one in opened[:_TICKETS_SHOWN]
    ]


class Crm:
    """Salesforce: two queries, with parent fields and a group by."""

    def __init__(
        self, channel: CountedChannel, words: Mapping[str, Wording], *, now: datetime, end: date
    ) -> None:
        self._channel = channel
        self._deal, self._account, self._meeting = (
            words[name] for name in ("Deal", "Account", "Meeting")
        )
        self._before = now - _STALE
        kinds = among(self._deal.path("type"), self._deal.stored("type", "Renewal"), soql)
        close = f"{self._deal.path('closeDate')} <= {soql(end)}"
        self._wanted = f"{kinds} AND {close} AND {self._deal.holds('isOpen', soql)}"

    async def renewals(self) -> list[dict[str, Any]]:
        """Return the open renewals that the person sees, with their accounts."""
        columns = ", ".join(
            (
                "Id, Name, Amount, CloseDate, AccountId, Account.Name, Account.Owner.Name",
                self._deal.path("stage"),
                f"Account.{self._account.path('segment')}",
            )
        )
        return await self._query(
            f"SELECT {columns} FROM {self._deal.source} WHERE {self._wanted}"  # noqa: S608
        )

    async def stale_accounts(self) -> set[str]:
        """Return the accounts of these deals whose last QBR was too long ago."""
        meeting = self._meeting
        account, start = meeting.path("accountId"), meeting.path("startedAt")
        kinds = among(meeting.path("type"), meeting.stored("type", "QBR"), soql)
        rows = await self._query(
            f"SELECT {account} account FROM {meeting.source} WHERE {kinds}"  # noqa: S608
            f" AND {account} IN (SELECT AccountId FROM {self._deal.source} WHERE {self._wanted})"
            f" GROUP BY {account} HAVING MAX({start}) < {soql(self._before)}"
        )
        return {row["account"] for row in rows}

    def node(
        self, deal: Record, tickets: Sequence[Record], overdue: Record | None
    ) -> dict[str, Any]:
        """Return a deal as the graph answers it."""
        account = deal["Account"]
        owner = account["Owner"]
        segment = account[self._account.path("segment")]
        return {
            "name": deal["Name"],
            "stage": self._deal.word("stage", deal[self._deal.path("stage")]),
            "amount": _money(deal["Amount"]),
            "closeDate": deal["CloseDate"],
            "account": {
                "name": account["Name"],
                "segment": self._account.word("segment", segment),
                "owner": owner and {"name": owner["Name"]},
                "tickets": {"nodes": list(tickets)},
                "invoices": {"aggregate": overdue or {"count": 0, "sum": {"total": None}}},
            },
        }

    async def _query(self, text: str) -> list[dict[str, Any]]:
        answer = await self._channel.json(Request.get(_SOQL_PATH, q=text))
        rows: list[dict[str, Any]] = answer["records"]
        while not answer["done"]:
            answer = await self._channel.json(Request.get(answer["nextRecordsUrl"]))
            rows += answer["records"]
        return rows


class Helpdesk:
    """Zendesk: organizations by the CRM's id, then their tickets, both by search in batches."""

    def __init__(self, channel: CountedChannel, words: Wording) -> None:
        self._channel = channel
        self._words = words
        self._link = words.path("accountId").rpartition(".")[2]

    async def tickets(self, accounts: Sequence[str]) -> Mapping[str, Sequence[Record]]:
        """Return the tickets that the person sees, by account."""
        by_organization = await self._organizations(accounts)
        portions = _portions(list(by_organization), _ORGANIZATIONS_PER_SEARCH)
        found = await asyncio.gather(*(self._tickets_of(portion) for portion in portions))
        tickets: dict[str, list[Record]] = {}
        for ticket in (one for portion in found for one in portion):
            account = by_organization[ticket["organization_id"]]
            tickets.setdefault(account, []).append(self._ticket(ticket))
        return tickets

    def _ticket(self, ticket: Record) -> Record:
        priority = ticket[self._words.path("priority")]
        return {
            "id": str(ticket["id"]),
            "subject": ticket["subject"],
            "status": ticket["status"],
            "priority": self._words.word("priority", priority),
            "created": ticket["created_at"],
        }

    async def _organizations(self, accounts: Sequence[str]) -> Mapping[int, str]:
        """Return organization -> account, of those that stand for `accounts`."""
        if self._link.startswith(_ORGANIZATION_FIELD):
            every = await self._every_organization()
        else:
            portions = _portions(accounts, _ORGANIZATIONS_PER_SEARCH)
            found = await asyncio.gather(*(self._organizations_named(part) for part in portions))
            every = [one for portion in found for one in portion]
        wanted = set(accounts)
        linked = ((one["id"], self._account_of(one)) for one in every)
        return {key: account for key, account in linked if account in wanted}

    def _account_of(self, organization: Record) -> str | None:
        if self._link.startswith(_ORGANIZATION_FIELD):
            fields: Record = organization["organization_fields"]
            return fields.get(self._link.removeprefix(_ORGANIZATION_FIELD))
        account: str | None = organization[self._link]
        return account

    async def _organizations_named(self, accounts: Sequence[str]) -> list[Record]:
        terms = " ".join(f"{self._link}:{account}" for account in accounts)
        answer = await self._channel.json(
            Request.get(
                "/api/v2/search", query=f"type:organization {terms}", per_page=str(_SEARCH_PAGE)
            )
        )
        found: list[Record] = answer["results"]
        return found

    async def _every_organization(self) -> list[Record]:
        """Return all organizations, pages together: whether search finds custom fields is open."""
        first = await self._page_of_organizations(1)
        pages = range(2, -(-first["count"] // _SEARCH_PAGE) + 1)
        rest = await asyncio.gather(*(self._page_of_organizations(number) for number in pages))
        return [one for page in (first, *rest) for one in page["organizations"]]

    async def _page_of_organizations(self, number: int) -> Any:
        return await self._channel.json(
            Request.get("/api/v2/organizations", page=str(number), per_page=str(_SEARCH_PAGE))
        )

    async def _tickets_of(self, organizations: Sequence[int]) -> list[Record]:
        """Return every ticket of some organizations: a thousand a call is the fewest calls."""
        terms = " ".join(f"organization:{key}" for key in organizations)
        asked = {"query": terms, "filter[type]": "ticket", "page[size]": str(_EXPORT_PAGE)}
        tickets: list[Record] = []
        while True:
            answer = await self._channel.json(Request("GET", "/api/v2/search/export", params=asked))
            tickets += answer["results"]
            if not answer["meta"]["has_more"]:
                return tickets
            asked = {**asked, "page[after]": answer["meta"]["after_cursor"]}


class Erp:
    """NetSuite: one query that counts and sums, a thousand customers at a time."""

    def __init__(self, channel: CountedChannel, words: Wording) -> None:
        self._channel = channel
        self._words = words
        self._link = words.path("accountId").rpartition(".")[2]

    async def overdue(self, accounts: Sequence[str]) -> Mapping[str, Record]:
        """Return count and total of the overdue invoices that the person sees, by account."""
        portions = _portions(accounts, _SUITEQL_LIST_MAX)
        found = await asyncio.gather(*(self._overdue_of(portion) for portion in portions))
        return {account: facts for portion in found for account, facts in portion.items()}

    async def _overdue_of(self, accounts: Sequence[str]) -> Mapping[str, Record]:
        total, customer = self._words.path("total"), f"c.{self._link}"
        text = (
            f"SELECT {customer} AS account, COUNT(t.id) AS n, SUM(t.{total}) AS total"  # noqa: S608
            " FROM transaction t INNER JOIN customer c ON c.id = t.entity"
            f" WHERE t.type = 'CustInvc' AND {self._words.holds('isOverdue', suiteql, prefix='t.')}"
            f" AND {among(customer, accounts, suiteql)} GROUP BY {customer}"
        )
        answer = await self._channel.json(
            Request(
                "POST",
                _SUITEQL_PATH,
                params={"limit": str(_SUITEQL_ROWS_MAX), "offset": "0"},
                headers={"Prefer": "transient"},
                json={"q": text},
            )
        )
        return {
            row["account"]: {"count": int(row["n"]), "sum": {"total": _money(row["total"])}}
            for row in answer["items"]
        }


def _money(amount: Any) -> str | None:
    return None if amount is None else f"{Decimal(str(amount)):.2f}"


def _portions(values: Sequence[Any], size: int) -> list[Sequence[Any]]:
    return [values[at : at + size] for at in range(0, len(values), size)]
