"""Documents made to cost are refused with a code, in about the time a plain one takes."""

from __future__ import annotations

import time
from collections.abc import Callable

import pytest
from graphql import build_schema, get_introspection_query, parse, validate
from tests.graph.world import World

from firnline.errors import FirnlineError
from firnline.graph.guard import (
    DocumentError,
    DocumentLimits,
    DocumentTooLargeError,
    VariablesError,
    guard_variables,
    guarded,
)

LIMITS = DocumentLimits()
SCHEMA = build_schema("type Query { a: Query, b(x: Int): Int }")


def chain(count: int) -> str:
    spreads = "".join(f"fragment F{n} on Query{{...F{n + 1}}}" for n in range(count))
    return f"{{...F0}}{spreads}fragment F{count} on Query{{b}}"


def bomb(count: int) -> str:
    spreads = "".join(f"fragment F{n} on Query{{...F{n + 1} ...F{n + 1}}}" for n in range(count))
    return f"{{...F0}}{spreads}fragment F{count} on Query{{b}}"


ATTACKS = {
    "deep selections": "{a" * 300 + "}" * 300,
    "deep without an end": "{a" * 5000,
    "deep behind closing brackets in a comment": "#" + "}" * 400 + "\n" + "{a" * 300 + "}" * 300,
    "deep with a comment per level": "{a#}\n" * 400 + "}" * 400,
    "deep behind closing brackets in a string": '{b(x:"' + "}" * 400 + '")' + "{a" * 300,
    "deep inline fragments": "{" + "...{" * 300 + "b" + "}" * 300 + "}",
    "deep lists": "{b(x:" + "[" * 300 + "]" * 300 + ")}",
    "deep objects": "{b(x:" + "{a:" * 300 + "1" + "}" * 300 + ")}",
    "deep types of variables": "query($a:" + "[" * 300 + "Int" + "]" * 300 + "){b}",
    "deep by a chain of fragments": chain(150),
    "too deep for the plan": "{a" * 13 + "{b}" + "}" * 13,
    "one field 4000 times": "{" + "b " * 4000 + "}",
    "one field 900 times": "{" + "b " * 900 + "}",
    "one field in many inline fragments": "{a{" + ("...{" + "b " * 10 + "}") * 50 + "}}",
    "one field in nested merges": "{" + ("a{" + ("a{" + "b " * 8 + "}") * 10 + "}") * 10 + "}",
    "one field in unused fragments": "{b}fragment F on Query{" + ("a{" + "b " * 9 + "}") * 9 + "}",
    "many spreads": "{a{" + "...F " * 500 + "}}fragment F on Query{b}",
    "fragment bomb": bomb(20),
    "unused fragment bomb": bomb(20).replace("{...F0}", "{b}", 1),
    "many root fields": "{" + " ".join(f"k{n}:b" for n in range(400)) + "}",
    "many root fields in a fragment": "{...{" + " ".join(f"k{n}:b" for n in range(400)) + "}}",
    "comments as padding": "{b}" + "#\n" * 40_000,
    "tokens as padding": "{b " + "," * 100 + "c " * 2_000 + "}",
    "names without an end": "{" + "b" * 70_000 + "}",
    "directive flood": "{b " + "@foo " * 900 + "}",
    "endless introspection": "{__schema{types" + "{fields{type" * 20 + "{name}" + "}}" * 20 + "}}",
}


def seconds(work: Callable[[], object]) -> float:
    """Return the best of three times."""
    times = []
    for _ in range(3):
        start = time.perf_counter()
        work()
        times.append(time.perf_counter() - start)
    return min(times)


def refusal(text: str) -> FirnlineError | None:
    try:
        guarded(text, LIMITS)
    except FirnlineError as error:
        return error
    return None


def plain_document() -> str:
    groups = (f"g{n}: a {{ {' '.join(f'k{n}x{m}: b' for m in range(15))} }}" for n in range(15))
    return "{ a { " + " ".join(groups) + " } }"


@pytest.mark.parametrize("name", ATTACKS)
def test_attack_is_refused_in_about_the_time_of_a_plain_document(name: str) -> None:
    plain = plain_document()

    def ordinary() -> None:
        assert not validate(SCHEMA, guarded(plain, LIMITS))

    found = refusal(ATTACKS[name])

    assert isinstance(found, DocumentTooLargeError | DocumentError)
    assert found.code in ("document_too_large", "document_invalid")
    assert found.hint
    assert seconds(lambda: refusal(ATTACKS[name])) < 3 * seconds(ordinary)


@pytest.mark.parametrize(
    "text",
    [
        "{" + ("...{" + "a{b}" * 2 + "}") * 9 + "}",
        "{a{" + " ".join(f"k{n}:b" for n in range(600)) + "}}",
        "{a{" + " ".join(f"...F{n}" for n in range(55)) + "}}"
        + " ".join(f"fragment F{n} on Query{{k{n}:b l{n}:b}}" for n in range(55)),
        " ".join(f"query Q{n}{{b}}" for n in range(300)),
        "{b(x:$y)}" + " ".join("fragment A on Query{b}" for n in range(200)),
    ],
    ids=["merged", "aliases", "fragments", "operations", "duplicates"],
)  # fmt: skip
def test_worst_document_within_the_limits_validates_in_the_order_of_a_plain_one(text: str) -> None:
    plain = plain_document()

    def ordinary() -> None:
        validate(SCHEMA, guarded(plain, LIMITS))

    assert seconds(lambda: validate(SCHEMA, guarded(text, LIMITS))) < 10 * seconds(ordinary)


@pytest.mark.parametrize(
    "text",
    ["{...A}fragment A on Query{...B}fragment B on Query{a{...A}}", "{...A}fragment A on Query{...A}",  # noqa: E501
    ],
)  # fmt: skip
def test_fragments_that_contain_themselves_are_refused(text: str) -> None:
    with pytest.raises(DocumentError, match="contains itself"):
        guarded(text, LIMITS)


@pytest.mark.parametrize(
    "text", ["", "{", "}", "{a", "query", "{b(x:)}", '{b(x:"', "\ud800", "{é}"]
)
def test_text_that_is_no_document_is_refused_with_its_place(text: str) -> None:
    with pytest.raises(DocumentError) as caught:
        guarded(text, LIMITS)
    assert caught.value.hint


@pytest.mark.parametrize("depth", [7, 9])
def test_introspection_as_tools_send_it_passes(depth: int) -> None:
    type_ref = "name kind " + "ofType { name kind " * depth + "}" * depth
    fragment = f"fragment TypeRef on __Type {{ {type_ref} }}"
    query = get_introspection_query(specified_by_url=True, input_value_deprecation=True)
    head = query[: query.index("fragment TypeRef")]

    assert not validate(SCHEMA, guarded(head + fragment, LIMITS))


def test_brackets_in_strings_do_not_count_as_nesting() -> None:
    text = '{b(x:"' + "{" * 400 + '")}'
    assert guarded(text, LIMITS) == parse(text)


def test_deep_variables_are_refused_before_anything_walks_them(world: World) -> None:
    deep: object = {"id": {"eq": "a1"}}
    for _ in range(5_000):
        deep = {"and": [deep]}
    with pytest.raises(VariablesError):
        world.ask("query ($w: AccountWhere) { accounts(where: $w) { totalCount } }",
                  variables={"w": deep})  # fmt: skip


def test_half_a_surrogate_pair_in_a_variable_is_refused() -> None:
    for variables in ({"a": "\ud800"}, {"a": [{"b": "x\udfff"}]}, {"\ud800": 1}):
        with pytest.raises(VariablesError):
            guard_variables(variables, LIMITS)


def test_filter_nested_too_deeply_is_refused(world: World) -> None:
    where = "{not: " * 10 + "{}" + "}" * 10
    assert world.code(f"{{ accounts(where: {where}) {{ totalCount }} }}") == "filter_invalid"


def test_long_list_in_a_filter_is_refused(world: World) -> None:
    text = "query ($ids: [ID!]) { accounts(where: {id: {in: $ids}}) { totalCount } }"
    assert world.data(text, variables={"ids": ["a1"] * 500})["accounts"] == {"totalCount": 1}
    assert world.code(text, variables={"ids": ["a1"] * 501}) == "condition_invalid"


@pytest.mark.parametrize(
    ("opened", "closed"), [("nodes {", "}"), ("edges { node {", "} }"), ("k: nodes {", "}")]
)
def test_records_that_multiply_over_levels_are_counted_as_the_answer_writes_them(
    world: World, monkeypatch: pytest.MonkeyPatch, opened: str, closed: str
) -> None:
    """Each level leads back to the same few records: cheap to load, endless to write out."""
    inner = "id"
    for _ in range(2):
        inner = f"id peers(first: 200) {{ {opened} {inner} {closed} }}"
    text = f"{{ accounts(first: 200) {{ {opened} {inner} {closed} }} }}"
    records = world.answer(text).body().count(b'"id":')
    assert records > 500

    monkeypatch.setattr("firnline.graph.loader.RECORDS_MAX", records)
    assert "errors" not in world.ask(text)
    monkeypatch.setattr("firnline.graph.loader.RECORDS_MAX", records - 1)
    assert world.code(text) == "operation_too_costly"


def test_statements_of_one_operation_are_counted(world: World) -> None:
    fields = " ".join(f"k{n}: accounts {{ totalCount }}" for n in range(250))
    assert world.code(f"{{ crm {{ {fields} }} }}") == "operation_too_costly"
