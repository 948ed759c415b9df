"""Set-wise answers are, byte for byte, those of an ordinary Strawberry schema over the same rows.

FIRNLINE_TESTS=long asks thousands of documents instead of a few hundred. Each document is asked
three times with other variables, so that what was prepared for the first is used for the others.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import orjson
import pytest
from graphql import GraphQLNonNull, print_schema
from graphql.utilities import build_schema, find_breaking_changes
from hypothesis import HealthCheck, Phase, given, settings
from hypothesis import strategies as st
from strawberry import Schema
from tests.graph.documents import Document, documents
from tests.graph.plain import PlainError, View, plain_schema
from tests.graph.runs import IS_LONG, PATIENCE
from tests.graph.world import PEOPLE, World, seeded

pytestmark = PATIENCE
ROWS = seeded()
# Weighted: refusals should not crowd out answers.
ASKING = ["all@x.test"] * 6 + ["rep@x.test", "shared@x.test"] * 3 + sorted(PEOPLE)
REFUSED = {"field_not_readable", "object_not_readable"}


@pytest.fixture(scope="module", params=[True, False], ids=["resident", "duckdb"])
def is_resident(request: pytest.FixtureRequest) -> bool:
    return bool(request.param)


@pytest.fixture(scope="module")
def schema() -> Schema:
    return plain_schema()


@pytest.fixture(scope="module")
def views() -> dict[tuple[str, bool], View]:
    found = {(email, haunted): View(ROWS, email) for email in PEOPLE for haunted in (False, True)}
    for (_, haunted), view in found.items():
        view.is_haunted = haunted
    return found


def test_plain_schema_offers_what_the_gateway_offers(world: World, schema: Schema) -> None:
    """Every document over the plain schema means the same on the gateway's."""
    graph = world.runner.run(world.graphs.graph("acme"))
    ours = build_schema(print_schema(world.graphs.schema(graph)._schema))
    assert find_breaking_changes(build_schema(schema.as_str()), ours) == []


@settings(
    max_examples=2_000 if IS_LONG else 100,
    deadline=None,
    derandomize=not IS_LONG,
    phases=[Phase.explicit, Phase.reuse, Phase.generate],  # a smaller seed is no smaller document
    suppress_health_check=list(HealthCheck),
)
@given(document=documents(), email=st.sampled_from(ASKING))
def test_any_document_answers_as_the_plain_schema_does(
    world: World,
    schema: Schema,
    views: dict[tuple[str, bool], View],
    document: Document,
    email: str,
) -> None:
    for variables in document.variables:
        got = world.ask(document.text, email, variables=variables)
        expected = plain_answer(schema, views[email, False], document, variables)
        refused = plain_answer(schema, views[email, True], document, variables)[1]
        told = f"{email} {orjson.dumps(variables).decode()}\n{document.text}"
        assert_answer(schema, document, got, expected[0], refused, told)


def plain_answer(
    schema: Schema, view: View, document: Document, variables: Mapping[str, Any]
) -> tuple[Any, list[tuple[str, str]]]:
    """Return data, and (root key, code) of every error."""
    result = schema.execute_sync(document.text, variable_values=dict(variables), context_value=view)
    errors = []
    for error in result.errors or ():
        assert isinstance(error.original_error, PlainError), (error, document.text)
        assert error.path
        errors.append((str(error.path[0]), error.original_error.code))
    return result.data, errors


def assert_answer(
    schema: Schema,
    document: Document,
    got: Mapping[str, Any],
    data: Any,
    refused: list[tuple[str, str]],
    told: str,
) -> None:
    """Compare an answer with the plain one.

    A mistake anywhere below a root field refuses that field as a whole, whether or not a record
    leads to it; all the rest is equal to the byte.
    """
    errors = got.get("errors", [])
    assert {bool(errors)} == {bool(refused)}, (errors, refused, told)
    keys = {key for key, _ in refused}
    # A root field that may not be null ends the plain execution before it comes to later ones.
    is_ended = bool(keys & non_null_roots(schema, document))
    for error in errors:
        (key,) = error["path"]
        if is_ended and key not in keys:
            continue
        code = error["extensions"]["code"]
        plain_code = "not_readable" if code in REFUSED else code
        assert (key, plain_code) in refused, (error, refused, told)
    if data is not None:
        data = {key: None if key in keys else value for key, value in data.items()}
    if is_ended:
        data = None
    elif refused:
        assert data is not None
        assert {str(error["path"][0]) for error in errors} == keys, told
    assert orjson.dumps(got["data"]) == orjson.dumps(data), (got["data"], data, told)


def non_null_roots(schema: Schema, document: Document) -> set[str]:
    query = schema._schema.query_type
    assert query
    return {
        key
        for key, name in document.roots.items()
        if isinstance(query.fields[name].type, GraphQLNonNull)
    }
