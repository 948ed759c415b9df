"""Scheduling: what is read, and in which order it starts."""

from __future__ import annotations

import pytest

from firnline.catalog.model import Catalog, FieldInfo, ObjectInfo, ObjectSupports, Reference
from firnline.spec.model import SyncObjects, SyncSpec
from firnline.sync.schedule import scheduled_objects


def object_of(name: str, *targets: str, exposed: bool = True, query: bool = True) -> ObjectInfo:
    references = tuple(
        FieldInfo(name=f"to_{to}", type="id", reference=Reference(targets=(to,), relation=to))
        for to in targets
    )
    return ObjectInfo(
        name=name,
        key="id",
        exposed=exposed,
        supports=ObjectSupports(query=query),
        fields=(FieldInfo(name="id", type="id"), *references),
    )


CATALOG = Catalog(
    provider="fake",
    objects=(
        object_of("Contact", "Account", "User"),
        object_of("Account", "User", "Account"),
        object_of("User", "Contact"),
        object_of("ContactShare", "Contact", exposed=False),
        object_of("Report", query=False),
    ),
)


def names(spec: SyncSpec, **options: object) -> list[str]:
    return [found.name for found in scheduled_objects(CATALOG, spec, **options)]


def spec(**chosen: tuple[str, ...]) -> SyncSpec:
    return SyncSpec(objects={"fake": SyncObjects(**chosen)})


def test_permission_records_start_first_then_what_others_refer_to() -> None:
    order = names(SyncSpec())

    assert order[0] == "ContactShare"
    assert order.index("User") < order.index("Account") < order.index("Contact")
    assert "Report" not in order, "it cannot be listed"


@pytest.mark.parametrize(
    ("chosen", "wanted"),
    [
        ({"include": ("Acc*",)}, {"Account"}),
        ({"exclude": ("*t",)}, {"User"}),
        ({"include": ("Account", "User"), "exclude": ("U?er",)}, {"Account"}),
        ({"include": ("account",)}, set()),
    ],
)
def test_globs_choose_but_never_leave_out_permission_records(
    chosen: dict[str, tuple[str, ...]], wanted: set[str]
) -> None:
    assert set(names(spec(**chosen))) == wanted | {"ContactShare"}


def test_named_objects_are_exactly_those() -> None:
    assert names(spec(exclude=("*",)), only=["Account"]) == ["Account"]


def test_a_long_chain_of_references_needs_no_recursion() -> None:
    chain = [object_of(f"O{n}", f"O{n + 1}") for n in range(3000)]

    order = scheduled_objects(Catalog(provider="fake", objects=tuple(chain)), SyncSpec())

    assert [order[0].name, order[-1].name] == ["O2999", "O0"]
