"""Row conditions, masks and tests of policies are checked where they stand in the file."""

from __future__ import annotations

from pathlib import Path

import pytest

from firnline.spec.load import load_project
from firnline.spec.problems import SpecError

SPEC = """\
version: 1
name: tests
objects:
  Account:
    fields:
      id: {type: id}
      region: {type: enum, values: [north, south]}
      size: {type: int}
      parentId: {type: id}
    relations:
      parent: {to: Account, on: {parentId: id}}
      children: {to: Account, many: true, on: {id: parentId}}
    sources:
      salesforce: {object: Account, fields: {id: Id}}
access:
  objects:
    Account:
      mode: mirror
"""


@pytest.mark.parametrize(
    ("policy", "code", "message"),
    [
        ("rows: {}", "empty_condition", "no condition"),
        ("rows: {regoin: {eq: north}}", "unknown_field", "regoin"),
        ("rows: {region: {like: north, gtx: 1}}", "unknown_operator", "gtx"),
        ("rows: {size: {contains: a}}", "unknown_operator", "contains"),
        ("rows: {size: {gte: many}}", "bad_literal", "many"),
        ("rows: {region: {eq: nort}}", "unknown_word", "nort"),
        ("rows: {region: {in: [north, est]}}", "unknown_word", "est"),
        ("rows: {region: {eq: {principal: password}}}", "unknown_fact", "one fact of the token"),
        ("rows: {region: {eq: {principal: attributes.}}}", "unknown_fact", "one fact"),
        ("rows: {region: {eq: {record: size}}}", "unknown_fact", "one fact"),
        ("rows: {region: north}", "empty_condition", "region"),
        ("rows: {or: []}", "empty_condition", "or"),
        ("rows: {and: [{parent: {size: {eq: x}}}]}", "bad_literal", "x"),
        ("rows: {children: {size: {eq: 1}}}", "rows_relation", "many records"),
        ("mask: {id: hash}", "key_hidden", "key"),
        ("mask: {size: last4}", "mask_type", "int"),
        ("mask: {region: year}", "mask_type", "enum"),
        ("mask: {region: {redact: '('}}", "bad_pattern", "regular expression"),
        ("mask: {regoin: hash}", "unknown_field", "regoin"),
    ],
)
def test_wrong_policy_is_refused_at_its_line(
    tmp_path: Path, policy: str, code: str, message: str
) -> None:
    (tmp_path / "firnline.yaml").write_text(f"{SPEC}      {policy}\n")

    with pytest.raises(SpecError) as caught:
        load_project(tmp_path)

    (problem,) = caught.value.problems
    assert (problem.code, problem.file, problem.line) == (code, "firnline.yaml", 19)
    assert message in problem.message


@pytest.mark.parametrize(
    ("test", "code"),
    [
        ("{object: Account, expect: {visible: true}}", "policy_test_invalid"),
        ("{person: a@x, object: Acount, expect: {visible: true}}", "unknown_object"),
        ("{person: a@x, object: Account, record: {sise: 1}, expect: {visible: true}}",
         "unknown_field"),
        ("{person: a@x, object: Account, record: {size: x}, expect: {visible: true}}",
         "bad_literal"),
        ("{person: a@x, object: Account, expect: {visible: true, fields: {sise: 1}}}",
         "unknown_field"),
        ("{person: a@x, object: Account, expect: {visible: true, hidden: [sise]}}",
         "unknown_field"),
        ("{person: a@x, object: Account, expect: {visible: false, fields: {size: 1}}}",
         "policy_test_invalid"),
    ],
)  # fmt: skip
def test_wrong_test_is_refused_at_its_line(tmp_path: Path, test: str, code: str) -> None:
    (tmp_path / "firnline.yaml").write_text(f"{SPEC}  tests:\n    - {test}\n")

    with pytest.raises(SpecError) as caught:
        load_project(tmp_path)

    (problem,) = caught.value.problems
    assert (problem.code, problem.line) == (code, 20)


def test_conditions_on_a_providers_object_are_checked_as_far_as_they_can_be(
    tmp_path: Path,
) -> None:
    text = "  providers: {salesforce: {Lead: {mode: mirror, rows: {%s}}}}\n"
    (tmp_path / "firnline.yaml").write_text(
        SPEC + text % "Owner: {Email: {eq: {principal: email}}}"
    )
    assert load_project(tmp_path)
    for wrong in ("Email: x", "Email: {eq: {principal: x}}", "Email: {in: x}", "or: x"):
        (tmp_path / "firnline.yaml").write_text(SPEC + text % wrong)
        with pytest.raises(SpecError):
            load_project(tmp_path)
