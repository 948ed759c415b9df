"""YAML is read as YAML 1.2, with the place of everything, and hostile files are refused cheaply."""

from __future__ import annotations

import time
from pathlib import Path
from typing import Any

import pytest

from firnline.spec.document import BYTES_MAX, parse_document, read_document
from firnline.spec.problems import Problem, SpecError


def refusal(content: bytes | str) -> Problem:
    raw = content.encode() if isinstance(content, str) else content
    with pytest.raises(SpecError) as caught:
        parse_document(raw, "f.yaml")
    return caught.value.problems[0]


@pytest.mark.parametrize(
    ("written", "value"),
    [
        ("NO", "NO"),
        ("yes", "yes"),
        ("on", "on"),
        ("2026-01-01", "2026-01-01"),
        ("12:30:00", "12:30:00"),
        ("1_000", "1_000"),
        ("true", True),
        ("False", False),
        ("~", None),
        ("", None),
        ("12", 12),
        ("012", 12),
        ("0x1f", 31),
        ("0o17", 15),
        ("-3.5", -3.5),
        ("1e3", 1000.0),
        ("'12'", "12"),
        ('"true"', "true"),
        ("<<", "<<"),
        ("Vertragsverlängerung", "Vertragsverlängerung"),
    ],
)
def test_plain_scalar_means_what_yaml_1_2_says(written: str, value: Any) -> None:
    found = parse_document(f"a: {written}\n".encode(), "f.yaml").root["a"]
    assert found == value
    assert type(found) is type(value)


def test_keys_are_text_whatever_they_look_like() -> None:
    document = parse_document(b"1: a\ntrue: b\nnull: c\nNO: d\n", "f.yaml")
    assert document.root == {"1": "a", "true": "b", "null": "c", "NO": "d"}


def test_every_key_and_value_remembers_its_place() -> None:
    document = parse_document(b"a:\n  - x: 1\n    y: [2, 3]\n", "f.yaml")
    assert document.place(("a", 0, "y")) == (3, 5)
    assert document.place(("a", 0, "y"), value=True) == (3, 8)
    assert document.place(("a", 0, "y", 1), value=True) == (3, 12)
    assert document.place(("a", 0, "missing")) == (2, 5)


@pytest.mark.parametrize(
    ("content", "code", "line", "column"),
    [
        ("a: 1\nb: 2\na: 3\n", "duplicate_key", 3, 1),
        ("a:\n  b: {c: 1, c: 2}\n", "duplicate_key", 2, 13),
        ("a: &x 1\nb: *x\n", "alias", 1, 4),
        ("a: !!python/object/apply:os.system [ls]\n", "tag", 1, 4),
        ("a: !secret x\n", "tag", 1, 4),
        ("a:\n\tb: 1\n", "yaml_syntax", 2, 1),
        ("a: [1, 2\n", "yaml_syntax", 1, 1),
        ("a: 'x\n", "yaml_syntax", 1, 1),
        ('a: "\\UFFFFFFFF"\n', "yaml_syntax", 1, 7),
        ('a: "\\ud800"\n', "control_character", 1, 4),
        ('a: "\\0"\n', "control_character", 1, 4),
        ('"a\\e[31m": 1\n', "control_character", 1, 1),
        ("a: 1\nb: \x07\n", "yaml_syntax", 2, 4),
        (b"a: 1\nb: \xff\n", "not_utf8", 2, 4),
        ("a: 1".encode("utf-16"), "not_utf8", 1, 1),
        ("a: 1\n---\nb: 2\n", "several_documents", 3, 1),
        ("? [a, b]\n: 1\n", "key_not_text", 1, 3),
        ("a: .nan\n", "number", 1, 4),
        ("a: -.inf\n", "number", 1, 4),
        ("a: " + "9" * 5000 + "\n", "number", 1, 4),
        ("%YAML " + "9" * 5000 + ".1\n---\na: 1\n", "yaml_syntax", 1, 7),
        ("[" * 1000, "too_deep", 1, 33),
        ("- " * 1000, "too_deep", 1, 65),
        ("{a: " * 1000, "too_deep", 1, 129),
    ],
)
def test_file_that_is_no_plain_yaml_is_refused_with_its_place(
    content: bytes | str, code: str, line: int, column: int
) -> None:
    problem = refusal(content)
    assert (problem.code, problem.line, problem.column) == (code, line, column), str(problem)


def test_tabs_are_named_in_the_hint() -> None:
    assert refusal("a:\n\tb: 1\n").hint == "Indent with spaces, not tabs."


def test_unclosed_list_names_the_line_where_it_begins() -> None:
    assert "begins in line 2" in refusal("a: 1\nb: [1,\nc: 2\nd: 3\n").hint


def test_every_mistake_of_a_readable_file_is_reported() -> None:
    with pytest.raises(SpecError) as caught:
        parse_document(b"a: &x 1\na: 2\nb: !t 3\n", "f.yaml")
    assert [problem.code for problem in caught.value.problems] == ["alias", "duplicate_key", "tag"]


def test_aliases_cannot_multiply() -> None:
    laughs = "a: &a [x, x]\n" + "".join(
        f"{chr(98 + n)}: &{chr(98 + n)} [*{chr(97 + n)}, *{chr(97 + n)}]\n" for n in range(20)
    )
    assert refusal(laughs).code == "alias"


def test_file_over_the_limit_is_refused_unread(tmp_path: Path) -> None:
    path = tmp_path / "f.yaml"
    path.write_bytes(b"# padding\n" * (BYTES_MAX // 10 + 1))
    with pytest.raises(SpecError) as caught:
        read_document(path, "f.yaml")
    assert caught.value.problems[0].code == "file_too_large"


@pytest.mark.parametrize("content", [b"{" * BYTES_MAX, b"? " * (BYTES_MAX // 2), b"[a, " * 60_000])
def test_hostile_nesting_costs_little(content: bytes) -> None:
    began = time.perf_counter()
    refusal(content)
    assert time.perf_counter() - began < 5


def test_directory_in_place_of_a_file_is_refused(tmp_path: Path) -> None:
    with pytest.raises(SpecError) as caught:
        read_document(tmp_path, "f.yaml")
    assert caught.value.problems[0].code == "unreadable"


def test_byte_order_mark_is_no_part_of_the_first_key() -> None:
    assert parse_document(b"\xef\xbb\xbfa: 1\n", "f.yaml").root == {"a": 1}
