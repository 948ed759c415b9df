"""What is asked: each case as GraphQL, as SQL and as the variables that a load draws.

Every target answers a POST. GraphQL targets take `{"query", "variables"}`, the hand-written ones
`{"case", "variables"}`; both give `{"data": ...}` with equal members.
"""

from __future__ import annotations

import random
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from benchmarks.read.dataset import COUNTS, SEGMENTS

FLOOR_MAX = 4_000  # of employees: high enough to vary, low enough to leave 50 accounts
# The demo question, on this data set: what is offered to noisy accounts that have long not paid.
CLOSES_UNTIL, PAID_BEFORE, TICKETS_OVER = "2027-06-30", "2026-08-24", 10


@dataclass(frozen=True, slots=True)
class Case:
    """One question. `variables` maps a name to how it is drawn: "segment", or whole numbers."""

    name: str
    graphql: str
    postgraphile: str
    flat: str  # for schemas written by hand, whose lists are plain lists
    variables: Mapping[str, tuple[int, int] | None]  # None: one of the segments
    is_key: bool = False  # the drawn number stands for an account's key

    def draw(self, chance: random.Random) -> dict[str, Any]:
        """Return random variables."""
        return {
            name: chance.choice(SEGMENTS) if span is None else self._number(chance.randint(*span))
            for name, span in self.variables.items()
        }

    def _number(self, drawn: int) -> int | str:
        return f"a{drawn:07d}" if self.is_key else drawn

    def template(self) -> str:
        """Return the variables as JSON; the load script fills `%segment%`, `%number%`."""
        parts = []
        for name, span in self.variables.items():
            value = '"%segment%"' if span is None else '"a%number%"' if self.is_key else "%number%"
            parts.append(f'"{name}":{value}')
        return "{" + ",".join(parts) + "}"

    @property
    def span(self) -> tuple[int, int]:
        """Return between which numbers the load draws."""
        return next(span for span in self.variables.values() if span is not None)


_ACCOUNT = "id name segment revenue createdAt"
_OPPORTUNITY = "id name stage amount closesOn"
_TICKET = "id subject status priority createdAt"
_INVOICE = "id number amount status dueOn"
WIDE_FIELDS = (
    "id",
    "position",
    *(f"text{n:02d}" for n in range(1, 21)),
    *(f"whole{n:02d}" for n in range(1, 11)),
    *(f"day{n:02d}" for n in range(1, 5)),
    *(f"price{n:02d}" for n in range(1, 5)),
)

_BELOW = f"""{_ACCOUNT}
      opportunities(orderBy: [{{amount: DESC}}], first: 5) {{ nodes {{ {_OPPORTUNITY} }} }}
      tickets(
        where: {{status: {{eq: "open"}}}}, orderBy: [{{createdAt: DESC}}], first: 5
      ) {{ nodes {{ {_TICKET} }} }}
      invoices(orderBy: [{{amount: DESC}}], first: 5) {{ nodes {{ {_INVOICE} }} }}"""
_BELOW_FLAT = f"""{_ACCOUNT}
    opportunities {{ {_OPPORTUNITY} }}
    tickets {{ {_TICKET} }}
    invoices {{ {_INVOICE} }}"""

NESTED = Case(
    "nested",
    graphql=f"""query nested($segment: String!, $floor: Int!) {{
  accounts(
    where: {{segment: {{eq: $segment}}, employees: {{gte: $floor}}}}
    orderBy: [{{revenue: DESC}}]
    first: 50
  ) {{
    nodes {{
      {_BELOW}
    }}
  }}
}}
""",
    postgraphile=f"""query nested($segment: String!, $floor: Int!) {{
  accounts: accountsOf(wanted: $segment, lowest: $floor, first: 50) {{
    nodes {{
      {_ACCOUNT.replace("id ", "id: rowId ")}
      opportunities: opportunitiesByAccountId(orderBy: [AMOUNT_DESC], first: 5) {{
        nodes {{ {_OPPORTUNITY.replace("id ", "id: rowId ")} }}
      }}
      tickets: ticketsByAccountId(
        condition: {{status: "open"}}, orderBy: [CREATED_AT_DESC], first: 5
      ) {{ nodes {{ {_TICKET.replace("id ", "id: rowId ")} }} }}
      invoices: invoicesByAccountId(orderBy: [AMOUNT_DESC], first: 5) {{
        nodes {{ {_INVOICE.replace("id ", "id: rowId ")} }}
      }}
    }}
  }}
}}
""",
    flat=f"""query nested($segment: String!, $floor: Int!) {{
  accounts(segment: $segment, floor: $floor) {{
    {_BELOW_FLAT}
  }}
}}
""",
    variables={"segment": None, "floor": (0, FLOOR_MAX)},
)
SPREAD = Case(  # the same below 50 accounts from anywhere, where NESTED asks for the top ones
    "spread",
    graphql=f"""query spread($floor: Int!) {{
  accounts(where: {{employees: {{gte: $floor}}}}, orderBy: [{{employees: ASC}}], first: 50) {{
    nodes {{
      {_BELOW}
    }}
  }}
}}
""",
    postgraphile="",
    flat=f"""query spread($floor: Int!) {{
  accounts: accountsFrom(floor: $floor) {{
    {_BELOW_FLAT}
  }}
}}
""",
    variables={"floor": (0, 9_900)},
)
POINT = Case(
    "point",
    graphql=f"query point($id: ID!) {{ account(id: $id) {{ {_ACCOUNT} }} }}\n",
    postgraphile="query point($id: String!) { account: accountByRowId(rowId: $id) { "
    + _ACCOUNT.replace("id ", "id: rowId ")
    + " } }\n",
    flat=f"query point($id: ID!) {{ account(id: $id) {{ {_ACCOUNT} }} }}\n",
    variables={"id": (0, COUNTS["accounts"] - 1)},
    is_key=True,
)
WIDE = Case(
    "wide",
    graphql=f"""query wide($floor: Int!) {{
  assets(where: {{position: {{gte: $floor}}}}, orderBy: [{{position: ASC}}], first: 200) {{
    nodes {{ {" ".join(WIDE_FIELDS)} }}
  }}
}}
""",
    postgraphile=f"""query wide($floor: Int!) {{
  assets: assetsFrom(lowest: $floor, first: 200) {{
    nodes {{ {" ".join(("id: rowId", *WIDE_FIELDS[1:]))} }}
  }}
}}
""",
    flat=f"query wide($floor: Int!) {{ assets(floor: $floor) {{ {' '.join(WIDE_FIELDS)} }} }}\n",
    variables={"floor": (0, 4_000)},
)
AGGREGATE = Case(
    "aggregate",
    graphql="""query aggregate($floor: Int!) {
  tickets(where: {effort: {gte: $floor}}) {
    aggregate { count sum { effort } min { effort } max { effort } }
  }
}
""",
    postgraphile="",  # has no aggregates of its own
    flat="""query aggregate($floor: Int!) {
  tickets(floor: $floor) {
    aggregate { count sum { effort } min { effort } max { effort } }
  }
}
""",
    variables={"floor": (1, 50)},
)
GROUP = Case(
    "group",
    graphql="""query group($floor: Int!) {
  tickets(where: {effort: {gte: $floor}}) {
    groupBy(
      by: [{status: VALUE}, {priority: VALUE}]
      orderBy: [{key: {status: ASC}}, {key: {priority: ASC}}]
    ) { key { status priority } aggregate { count sum { effort } } }
  }
}
""",
    postgraphile="",
    flat="""query group($floor: Int!) {
  tickets(floor: $floor) {
    groupBy { key { status priority } aggregate { count sum { effort } } }
  }
}
""",
    variables={"floor": (1, 50)},
)
QUESTION = Case(
    "question",
    graphql=f"""query question($floor: Int!) {{
  opportunities(
    where: {{
      stage: {{eq: "offered"}}
      closesOn: {{lte: "{CLOSES_UNTIL}"}}
      account: {{
        employees: {{gte: $floor}}
        tickets: {{where: {{status: {{eq: "open"}}}}, aggregate: {{count: {{gt: {TICKETS_OVER}}}}}}}
        invoices: {{
          where: {{status: {{eq: "paid"}}}}
          aggregate: {{max: {{dueOn: {{lt: "{PAID_BEFORE}"}}}}}}
        }}
      }}
    }}
    orderBy: [{{amount: DESC}}]
    first: 20
  ) {{
    nodes {{
      name stage amount closesOn
      account {{
        name segment region
        tickets(where: {{status: {{eq: "open"}}}}, orderBy: [{{createdAt: DESC}}], first: 5) {{
          nodes {{ subject priority }}
        }}
        invoices(where: {{status: {{eq: "overdue"}}}}) {{ aggregate {{ count sum {{ amount }} }} }}
      }}
    }}
  }}
}}
""",
    postgraphile="",
    flat="""query question($floor: Int!) {
  opportunities(floor: $floor) {
    name stage amount closesOn
    account {
      name segment region
      tickets { subject priority }
      invoices: overdue { aggregate { count sum { amount } } }
    }
  }
}
""",
    variables={"floor": (0, FLOOR_MAX)},
)
CASES: Mapping[str, Case] = {
    case.name: case for case in (NESTED, SPREAD, POINT, WIDE, AGGREGATE, GROUP, QUESTION)
}
