"""The sandbox's SOQL against answers computed in plain Python from its store."""

from __future__ import annotations

from collections import Counter
from datetime import timedelta
from typing import Any

import pytest
from tests.connectors.salesforce.conftest import World
from tests.connectors.salesforce.driver import NOW

QUARTER = (NOW + timedelta(days=60)).date().isoformat()


def deals(world: World) -> list[dict[str, Any]]:
    return [row for row in world.sandbox.org.rows["Opportunity"].values() if not row["IsDeleted"]]


CONDITIONS = {
    "Amount > 50000 AND IsClosed = false": lambda row: (
        row["Amount"] > 50000 and not row["IsClosed"]
    ),
    "Amount <= 10000.5 OR StageName = 'closed won'": lambda row: (
        row["Amount"] <= 10000.5 or row["StageName"] == "Closed Won"
    ),
    "NOT (Type = 'Renewal')": lambda row: row["Type"] != "Renewal",
    "(NOT Type IN ('Renewal','Expansion')) AND (IsWon = true OR Amount < 20000)": lambda row: (
        row["Type"] == "New Business" and (row["IsWon"] or row["Amount"] < 20000)
    ),
    "Type NOT IN ('Renewal')": lambda row: row["Type"] != "Renewal",
    "Name LIKE '%renewal%'": lambda row: "renewal" in row["Name"].lower(),
    "NextStep = null": lambda row: row["NextStep"] is None,
    "NextStep != null": lambda row: row["NextStep"] is not None,
    f"CloseDate <= {QUARTER}": lambda row: row["CloseDate"] <= QUARTER,
    "CloseDate = LAST_N_DAYS:90": lambda row: (
        (NOW - timedelta(days=90)).date().isoformat() <= row["CloseDate"] <= NOW.date().isoformat()
    ),
    "CreatedDate < LAST_N_DAYS:90": lambda row: (
        row["CreatedDate"][:10] < (NOW - timedelta(days=90)).date().isoformat()
    ),
    "SystemModstamp >= 2026-01-01T00:00:00Z": lambda row: row["SystemModstamp"] >= "2026-01-01",
    "SystemModstamp < 2026-01-01T01:00:00+01:00": lambda row: row["SystemModstamp"] < "2026-01-01",
}


@pytest.mark.parametrize("condition", CONDITIONS)
async def test_conditions_select_what_they_say(acme: World, condition: str) -> None:
    answer = await acme.query(f"SELECT Id FROM Opportunity WHERE {condition}")
    wanted = {row["Id"] for row in deals(acme) if CONDITIONS[condition](row)}

    assert {record["Id"] for record in answer["records"]} == wanted
    assert 0 < len(wanted) < len(deals(acme))


async def test_parent_paths_semi_joins_and_short_ids_work(acme: World) -> None:
    org = acme.sandbox.org
    account = deals(acme)[0]["AccountId"]
    name = org.rows["Account"][account]["Name"].replace("'", "\\'")
    by_name = await acme.query(
        f"SELECT Id, account.owner.name FROM Opportunity WHERE Account.Name = '{name}'"
    )
    by_short = await acme.query(f"SELECT Id FROM Opportunity WHERE AccountId = '{account[:15]}'")
    joined = await acme.query(
        "SELECT Id FROM Account WHERE Id IN (SELECT AccountId FROM Opportunity WHERE IsWon = true)"
    )

    wanted = {row["Id"] for row in deals(acme) if row["AccountId"] == account}
    assert {record["Id"] for record in by_name["records"]} >= wanted
    assert {record["Id"] for record in by_short["records"]} == wanted
    owner = org.rows["User"][org.rows["Account"][account]["OwnerId"]]["Name"]
    assert by_name["records"][0]["Account"]["Owner"]["Name"] == owner
    won = {row["AccountId"] for row in deals(acme) if row["IsWon"]}
    assert {record["Id"] for record in joined["records"]} == won


async def test_order_limit_and_offset(acme: World) -> None:
    answer = await acme.query(
        "SELECT Id, Type, Amount FROM Opportunity ORDER BY Type DESC, Amount, Id LIMIT 7 OFFSET 3"
    )
    ordered = sorted(deals(acme), key=lambda row: (row["Amount"], row["Id"]))
    ordered.sort(key=lambda row: row["Type"], reverse=True)

    assert [record["Id"] for record in answer["records"]] == [row["Id"] for row in ordered[3:10]]


async def test_nulls_come_first_unless_asked_otherwise(acme: World) -> None:
    soql = "SELECT NextStep FROM Opportunity ORDER BY NextStep"
    first = (await acme.query(soql))["records"][0]["NextStep"]
    last = (await acme.query(f"{soql} DESC NULLS LAST"))["records"][-1]["NextStep"]

    assert first is None
    assert last is None


async def test_counts_and_groups(acme: World) -> None:
    total = await acme.query("SELECT COUNT() FROM Opportunity")
    grouped = await acme.query(
        "SELECT StageName, COUNT(Id) n, SUM(Amount) total, MAX(CloseDate) FROM Opportunity "
        "GROUP BY StageName HAVING COUNT(Id) > 1 ORDER BY COUNT(Id) DESC"
    )
    sizes = Counter(row["StageName"] for row in deals(acme))
    sums = Counter()
    for row in deals(acme):
        sums[row["StageName"]] += row["Amount"]

    assert (total["totalSize"], total["records"]) == (len(deals(acme)), [])
    assert {each["StageName"]: each["n"] for each in grouped["records"]} == {
        stage: size for stage, size in sizes.items() if size > 1
    }
    assert all(
        each["total"] == pytest.approx(sums[each["StageName"]]) for each in grouped["records"]
    )
    assert all("expr0" in each for each in grouped["records"])
    counts = [each["n"] for each in grouped["records"]]
    assert counts == sorted(counts, reverse=True)


async def test_people_count_what_they_may_see_only(acme: World) -> None:
    rep = "dana.whitfield@acme.example"
    mine = await acme.query("SELECT COUNT() FROM Opportunity", rep)
    truth = await acme.sandbox.read_as(acme.http, rep)

    assert mine["totalSize"] == len(truth["Opportunity"]) < len(deals(acme))


async def test_deleted_records_show_in_query_all_only(acme: World) -> None:
    key = deals(acme)[0]["Id"]
    acme.sandbox.delete("Opportunity", key)
    soql = f"SELECT Id, IsDeleted FROM Opportunity WHERE Id = '{key}'"

    assert (await acme.query(soql))["totalSize"] == 0
    assert (await acme.query(soql, resource="queryAll"))["records"][0]["IsDeleted"] is True


async def test_a_locator_is_its_users_own_and_keeps_its_snapshot(acme: World) -> None:
    for number in range(250):
        acme.sandbox.add("Account", Name=f"A{number}", OwnerId=deals(acme)[0]["OwnerId"])
    headers = {
        **acme.as_(acme.sandbox.integration_email),
        "Sforce-Query-Options": "batchSize=200",
    }
    first = await acme.http.get(
        "/services/data/v66.0/query", params={"q": "SELECT Id, Name FROM Account"}, headers=headers
    )
    page = first.json()
    later = list(acme.sandbox.org.rows["Account"])[-1]
    acme.sandbox.change("Account", later, Name="Renamed")
    stranger = await acme.http.get(
        page["nextRecordsUrl"], headers=acme.as_(acme.sandbox.emails()[1])
    )
    own = await acme.http.get(page["nextRecordsUrl"], headers=headers)

    assert (page["done"], len(page["records"])) == (False, 200)
    assert stranger.json()[0]["errorCode"] == "INVALID_QUERY_LOCATOR"
    assert own.json()["done"]
    assert "Renamed" not in {record["Name"] for record in own.json()["records"]}


BAD = {
    "": "MALFORMED_QUERY",
    "SELECT": "MALFORMED_QUERY",
    "SELECT Id FROM": "MALFORMED_QUERY",
    "SELECT Id FROM Account WHERE": "MALFORMED_QUERY",
    "SELECT Id FROM Account WHERE Name = 'open": "MALFORMED_QUERY",
    "SELECT Id FROM Account WHERE Name ~ 'x'": "MALFORMED_QUERY",
    "SELECT Id FROM Account WHERE Name != 'c' AND Name = 'a' OR Name = 'b'": "MALFORMED_QUERY",
    "SELECT Id FROM Account WHERE CreatedDate > SOMEDAY": "MALFORMED_QUERY",
    "SELECT Id FROM Account WHERE CreatedDate > 2026-13-45T00:00:00Z": "MALFORMED_QUERY",
    "SELECT Id FROM User WHERE CreatedDate > LAST_N_DAYS:9999999999": "NUMBER_OUTSIDE_VALID_RANGE",
    "SELECT SUM(Name) FROM Account": "MALFORMED_QUERY",
    "SELECT MIN(BillingAddress) FROM Account": "INVALID_FIELD",
    "SELECT Id FROM Account ORDER BY BillingAddress": "INVALID_FIELD",
    "SELECT Id FROM Account WHERE CreatedDate > 'yesterday'": "INVALID_FIELD",
    "SELECT Id FROM Account WHERE AnnualRevenue > '5'": "INVALID_FIELD",
    "SELECT Id, Nope.Name FROM Account": "INVALID_FIELD",
    "SELECT Name, COUNT(Id) FROM Account GROUP BY Region__c": "MALFORMED_QUERY",
    "SELECT Id FROM Account LIMIT x": "MALFORMED_QUERY",
    "SELECT Id FROM Account OFFSET 2001": "NUMBER_OUTSIDE_VALID_RANGE",
    "SELECT Id FROM Account WHERE BillingAddress = 'x'": "INVALID_FIELD",
}


@pytest.mark.parametrize("soql", BAD)
async def test_a_bad_query_is_refused_with_the_vendors_code(acme: World, soql: str) -> None:
    answer = await acme.query(soql)

    assert answer[0]["errorCode"] == BAD[soql], answer


async def test_old_and_unknown_versions_and_paths_are_refused(acme: World) -> None:
    headers = acme.as_(acme.sandbox.integration_email)

    async def status(path: str) -> tuple[int, str]:
        answer = await acme.http.get(f"/services/data{path}", headers=headers)
        return answer.status_code, answer.json()[0]["errorCode"]

    assert await status("/v30.0/sobjects") == (410, "UNSUPPORTED_API_VERSION")
    assert await status("/v66/sobjects") == (404, "NOT_FOUND")
    assert await status("/v66.0/nothing") == (404, "NOT_FOUND")
    listing = await acme.http.get("/services/data")
    assert "66.0" in {version["version"] for version in listing.json()}


async def test_a_query_longer_than_a_uri_may_be_is_refused(acme: World) -> None:
    names = ",".join(["Name"] * 6000)
    answer = await acme.http.get(
        "/services/data/v66.0/query",
        params={"q": f"SELECT {names} FROM Account"},
        headers=acme.as_(acme.sandbox.integration_email),
    )

    assert answer.status_code in (414, 431, 400)
