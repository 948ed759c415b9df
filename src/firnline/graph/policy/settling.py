"""Settles what only the source can decide about a query: the records of verified objects.

Takes a query whose scans hold marks (`cache.query.Verified`) and what the source said so far;
the loader receives a query that ranges over confirmed records alone, or is told which records to
ask about first. What no answer could depend on is not asked: a page asks about its own records, a
count about those that meet its conditions.

Inner queries come before those that they decide about, and records that fields are read through
before those that are chosen by such a field: each is a candidate only where all that is settled
already lets it be one. A condition that ties a query to an outer one makes fewer candidates and is
left aside.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from dataclasses import replace
from itertools import islice
from typing import Any, Protocol

from firnline.access.at_source import UncheckedError
from firnline.cache.query import (
    FALSE,
    TRUE,
    Bound,
    Call,
    Column,
    Expression,
    Join,
    Select,
    Table,
    Verified,
    all_of,
    texts,
)
from firnline.cache.render import render
from firnline.cache.rewriting import (
    conjuncts,
    foreign_aliases,
    holds_marker,
    markers,
    with_condition,
    with_selects,
    without,
)
from firnline.graph.statements import NUMBER, PARENT

Slot = tuple[str, str]  # connection, object


class Word(Protocol):
    """What the source said so far (`graph.policy.checks.Checks`)."""

    candidates_max: int

    def heard(self, slot: Slot, keys: Sequence[str]) -> Mapping[str, bool]:
        """Return, of candidates, what is known already; raises TooManyToVerifyError."""
        ...

    def seen(self, slot: Slot) -> Collection[str]:
        """Return every key that the source showed."""
        ...

    def hidden(self, slot: Slot) -> Collection[str]:
        """Return every key that the source did not show."""
        ...

    def rests_on(self, slot: Slot, keys: Iterable[str]) -> None:
        """Note that the answer rests on the word about these records, all of them shown."""
        ...

    def spread(self, slot: Slot) -> int:
        """Return how far to look beyond a page: farther the more of it was not shown."""
        ...


class Fetch(Protocol):
    """Reads from one snapshot."""

    def __call__(self, sql: str, parameters: Sequence[Any]) -> Any:
        """Return the rows as a pyarrow.Table."""
        ...


def settled(select: Select, word: Word, fetch: Fetch) -> Select:
    """Return a query over confirmed records; raises UncheckedError or TooManyToVerifyError."""
    if not holds_marker(select):
        return select
    return _Settling(word, fetch).root(select)


class _Settling:
    def __init__(self, word: Word, fetch: Fetch) -> None:
        self._word = word
        self._fetch = fetch

    def root(self, select: Select) -> Select:
        """Settle a whole statement, whose page may end it early."""
        inner = select.source
        if isinstance(inner, Select) and markers(conjuncts(inner.where)) and _page_of(select):
            return self._one(_Page(inner, select))
        return self._one(_Page(select))

    def _query(self, select: Select) -> Select:
        return self._one(_Whole(select))

    def _one(self, form: _Form) -> Select:
        inner = form.inner
        source = inner.source
        inner = inner.but(
            columns=tuple((name, self._within(each)) for name, each in inner.columns),
            source=source if isinstance(source, Table) else self._query(source),
            joins=tuple(self._joined(join) for join in inner.joins),
            where=None if inner.where is None else self._within(inner.where),
            group_by=tuple(map(self._within, inner.group_by)),
            order_by=tuple(replace(each, by=self._within(each.by)) for each in inner.order_by),
        )
        form = form.with_inner(inner)
        for alias in [join.alias for join in inner.joins if form.decides(join.alias)]:
            form = self._join_settled(form, alias, form.candidates_of_join)
        for marker in markers(conjuncts(form.inner.where)):
            form = self._base_settled(form, marker)
        for alias in [join.alias for join in inner.joins]:
            form = self._join_settled(form, alias, form.shown_of_join)
        return form.select

    def _within(self, expression: Expression) -> Expression:
        return with_selects(expression, self._query)

    def _joined(self, join: Join) -> Join:
        source = join.source if isinstance(join.source, Table) else self._query(join.source)
        return replace(join, source=source, on=self._within(join.on))

    def _join_settled(self, form: _Form, alias: str, candidates: Any) -> _Form:
        (join,) = (each for each in form.inner.joins if each.alias == alias)
        for marker in markers(conjuncts(join.on)):
            keys = self._keys(candidates(form, marker))
            self._require(marker, keys)
            form = form.with_join(with_condition(join, self._among(join.on, marker, keys)))
            (join,) = (each for each in form.inner.joins if each.alias == alias)
        return form

    def _base_settled(self, form: _Form, marker: Verified) -> _Form:
        assert form.inner.where is not None
        if isinstance(form, _Page) and form.limit:
            keys = self._page(form, marker)
        else:
            keys = self._keys(form.candidates(marker))
            self._require(marker, keys)
        where = self._among(form.inner.where, marker, keys)
        return form.with_inner(form.inner.but(where=where))

    def _page(self, form: _Page, marker: Verified) -> Sequence[str]:
        """Return candidates of pages of which each is full of confirmed records, or ended."""
        slot = (marker.connection, marker.object)
        while True:  # each time without more that is hidden, of which there is a limited number
            reach = form.limit * self._word.spread(slot)
            looked = form.page_candidates(
                marker, self._word.hidden(slot), reach, self._word.candidates_max + 1
            )
            table = self._fetch(*render(looked))
            parents, keys = (column.to_pylist() for column in table.columns)
            known = self._word.heard(slot, keys)
            pages: dict[Any, list[str]] = {}
            for parent, key in zip(parents, keys, strict=True):
                pages.setdefault(parent, []).append(key)
            states = {_state(page, known, form.limit, reach) for page in pages.values()}
            if _OPEN in states:
                raise UncheckedError(slot, [key for key in keys if key not in known])
            if _CUT not in states:
                self._word.rests_on(slot, _on_pages(pages.values(), known, form.limit))
                return list(map(str, keys))

    def _require(self, marker: Verified, keys: Sequence[str]) -> None:
        slot = (marker.connection, marker.object)
        known = self._word.heard(slot, keys)
        unknown = [key for key in keys if key not in known]
        if unknown:
            raise UncheckedError(slot, unknown)
        self._word.rests_on(slot, [key for key in keys if known[key]])

    def _keys(self, query: Select) -> list[str]:
        most = self._word.candidates_max + 1
        limit = most if query.limit is None else min(query.limit, most)
        table = self._fetch(*render(query.but(limit=limit)))
        return [str(key) for key in table.column(0).to_pylist() if key is not None]

    def _among(self, condition: Expression, marker: Verified, keys: Sequence[str]) -> Expression:
        """Return a condition with the confirmed candidates in the mark's place."""
        seen = self._word.seen((marker.connection, marker.object))
        confirmed = frozenset(key for key in keys if key in seen)
        among = Call("in", (_text(marker.key), texts(confirmed))) if confirmed else FALSE
        return all_of([without(condition, marker), among])


class _Form(ABC):
    """One query block while it is being settled; `inner` is the block that holds the marks."""

    def __init__(self, inner: Select) -> None:
        self.inner = inner

    @property
    def select(self) -> Select:
        """Return the whole."""
        return self.inner

    @abstractmethod
    def with_inner(self, inner: Select) -> _Form:
        """Return the form around another block."""

    def with_join(self, join: Join) -> _Form:
        """Return the form with another join in place of the one of its alias."""
        joins = tuple(join if each.alias == join.alias else each for each in self.inner.joins)
        return self.with_inner(self.inner.but(joins=joins))

    def decides(self, alias: str) -> bool:
        """Say whether a joined record decides which rows there are, or in which order."""
        others = [each.on for each in self.inner.joins if each.alias != alias]
        parts = (self.inner.where, self.inner.order_by, tuple(others), self._order_parts())
        return alias in foreign_aliases(parts)

    def _order_parts(self) -> Any:
        """Return what else orders the rows."""
        return ()

    def _kept(self, marker: Verified, open_aliases: Collection[str] = ()) -> list[Expression]:
        """Return conditions of the block that hold of every candidate."""
        own = {self.inner.alias, *(join.alias for join in self.inner.joins)} - set(open_aliases)
        return [
            each
            for each in conjuncts(self.inner.where)
            if not isinstance(each, Verified) and foreign_aliases(each) <= own
        ]

    def _joins_without_marks(self) -> tuple[Join, ...]:
        return tuple(
            with_condition(
                join, all_of([e for e in conjuncts(join.on) if not isinstance(e, Verified)])
            )
            for join in self.inner.joins
        )

    def _open(self) -> set[str]:
        return {join.alias for join in self.inner.joins if markers(conjuncts(join.on))}

    def candidates(self, marker: Verified) -> Select:
        """Return a query for every key that may count."""
        key = _text(marker.key)
        # Joins that are not settled yet decide nothing: see `decides`.
        return Select(
            columns=(("k", key),),
            source=self.inner.source,
            alias=self.inner.alias,
            joins=self._joins_without_marks(),
            where=_where(self._kept(marker, self._open())),
            group_by=(key,),
        )

    def candidates_of_join(self, form: _Form, marker: Verified) -> Select:
        """Return a query for every key that a field may be read through."""
        return form.candidates(marker)

    def shown_of_join(self, form: _Form, marker: Verified) -> Select:
        """Return a query for the keys that the block's rows are read through."""
        return form.candidates(marker)


class _Whole(_Form):
    """A query all of whose rows count."""

    def with_inner(self, inner: Select) -> _Form:
        return _Whole(inner)


class _Page(_Form):
    """A statement that may be cut: by its own limit, or per parent by a query around it."""

    def __init__(self, inner: Select, around: Select | None = None) -> None:
        super().__init__(inner)
        self._around = around
        limit = inner.limit if around is None else _page_of(around)
        self.limit = 0 if inner.group_by else limit or 0  # 0: all rows count

    @property
    def select(self) -> Select:
        """Return the statement."""
        return self.inner if self._around is None else self._around.but(source=self.inner)

    def with_inner(self, inner: Select) -> _Form:
        return _Page(inner, self._around)

    def _order_parts(self) -> Any:
        return tuple(each for name, each in self.inner.columns if name == NUMBER)

    def shown_of_join(self, form: _Form, marker: Verified) -> Select:
        """Return a query for the keys that the records of the pages are read through."""
        if not self.limit:
            return form.candidates(marker)
        inner = form.inner.but(joins=form._joins_without_marks())
        found = ("k", _text(marker.key))
        if self._around is None:
            return inner.but(columns=(found,))
        key = Column(self._around.alias, "k")
        return self._around.but(
            columns=(("k", key),),
            source=inner.but(columns=(*inner.columns, found)),
            group_by=(key,),
            order_by=(),
        )

    def page_candidates(
        self, marker: Verified, hidden: Collection[str], reach: int, most: int
    ) -> Select:
        """Return a query for parent and key of what may stand on pages, in their order."""
        kept = [each for each in conjuncts(self.inner.where) if not isinstance(each, Verified)]
        key = _text(marker.key)
        if hidden:
            kept.append(Call("not", (Call("in", (key, texts(frozenset(hidden)))),)))
        inner = self.inner.but(where=_where(kept), joins=self._joins_without_marks())
        if self._around is None:
            columns = (("p", Bound("", "VARCHAR")), ("k", key))
            return inner.but(columns=columns, limit=min(reach, most))
        alias = self._around.alias
        names = dict(inner.columns)
        number = Column(alias, NUMBER)
        return self._around.but(
            columns=(("p", Column(alias, PARENT)), ("k", Column(alias, "k"))),
            source=inner.but(
                columns=((PARENT, names[PARENT]), ("k", key), (NUMBER, names[NUMBER]))
            ),
            where=Call("lte", (number, Bound(reach, "BIGINT"))),
            limit=most,
        )


def _state(page: Sequence[str], known: Mapping[str, bool], limit: int, reach: int) -> str:
    """Say whether a page is settled, has to be asked about, or ended before it was full."""
    confirmed = 0
    for key in page:
        if key not in known:
            return _OPEN
        confirmed += known[key]
        if confirmed == limit:
            return _SETTLED
    return _CUT if len(page) >= reach else _SETTLED


def _on_pages(
    pages: Iterable[Sequence[str]], known: Mapping[str, bool], limit: int
) -> Iterator[str]:
    """Yield the records that pages show; those behind them were looked at for what is hidden."""
    for page in pages:
        yield from islice((key for key in page if known[key]), limit)


_SETTLED, _OPEN, _CUT = "settled", "open", "cut"


def _page_of(select: Select) -> int | None:
    """Return how many rows per parent a query around another one lets through."""
    match select.where:
        case Call("lte", (Column(_, name), Bound(limit, _))) if name == NUMBER:
            return int(limit)
    return None


def _text(key: Expression) -> Expression:
    return Call("text", (key,))


def _where(conditions: Sequence[Expression]) -> Expression | None:
    condition = all_of(conditions)
    return None if condition == TRUE else condition
