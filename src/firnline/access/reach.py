"""How far a principal's agent and scopes let it reach, within the person's own rights.

Takes a verified principal and the agents that the spec declares; respond asks whether an operation
may run, scans ask whether an object may be read. A reach only ever narrows: what the person may not
read in the source stays out of reach for every agent.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping
from dataclasses import dataclass
from typing import Protocol

from firnline.access.principal import Principal
from firnline.errors import FirnlineError

# The words that this gateway understands in a token's `scope`; all others are for somebody else.
READ = "read"  # and read:OBJECT
WRITE = "write"
OPERATIONS = "operations"  # published ones alone
OPERATION = "operation:"  # and operation:NAME
ANY = "*"


class DeclaredAgent(Protocol):
    """What the project lets an agent do (`spec.agents.AgentSpec`); None: no limit of that kind."""

    @property
    def operations(self) -> tuple[str, ...] | None:
        """Return names or ids of published operations."""
        ...

    @property
    def objects(self) -> tuple[str, ...] | None:
        """Return types of the graph."""
        ...

    @property
    def purposes(self) -> tuple[str, ...] | None:
        """Return purposes, one of which the token must name."""
        ...

    @property
    def read_only(self) -> bool:
        """Say whether it may never write."""
        ...


class TokenLimit(Protocol):
    """Which tokens may do something (`spec.policy.OnlyFor`)."""

    def allows(self, agent: str, purpose: str, operation: Collection[str] = ()) -> bool:
        """Say whether a token with this agent, empty for nobody's, and purpose may, asking that."""
        ...


class OperationRule(Protocol):
    """Who may run an operation (`spec.verbs.OperationPolicy`); None: everybody."""

    @property
    def only_for(self) -> TokenLimit | None:
        """Return which tokens may."""
        ...


class AgentRefusedError(FirnlineError):
    """The project declares its agents, and this one is not among them."""

    code = "agent_refused"
    status = 403

    def __init__(self, agent: str) -> None:
        super().__init__(
            f"the agent {agent!r} is not declared here",
            hint="Declare it under `agents:` in firnline.yaml, or send a token without an agent.",
        )


class PurposeRefusedError(FirnlineError):
    """The agent may not read for the purpose that the token names."""

    code = "purpose_refused"
    status = 403

    def __init__(self, agent: str, purpose: str) -> None:
        named = f"for {purpose!r}" if purpose else "without a stated purpose"
        super().__init__(
            f"the agent {agent!r} may not read {named}",
            hint="Send one of the purposes that `agents:` lists for it, as the claim `purpose`.",
        )


class OperationNotAllowedError(FirnlineError):
    """The token or its agent is limited to certain published operations."""

    code = "operation_not_allowed"
    status = 403

    def __init__(self, reason: str) -> None:
        super().__init__(
            f"this operation may not be run: {reason}",
            hint="Ask by the documentId of a published operation that is on the list.",
        )


@dataclass(frozen=True, slots=True)
class Limit:
    """Some names alone, the reason, and where it stands: `scope` or `agents`.

    A name that ends in `*` stands for all that begin alike.
    """

    names: tuple[str, ...]
    reason: str
    source: str

    def admits(self, name: str) -> bool:
        """Say whether a name is among them."""
        return any(
            name.startswith(each[:-1]) if each.endswith(ANY) else name == each
            for each in self.names
        )


@dataclass(frozen=True, slots=True)
class OperationRules:
    """What the builder's policy says to one principal of operations, by name or id.

    `may_others` is about those that it does not name, and about texts that nobody published.
    """

    admitted: frozenset[str] = frozenset()
    barred: frozenset[str] = frozenset()
    may_others: bool = True

    @classmethod
    def of(cls, principal: Principal, rules: Mapping[str, OperationRule]) -> OperationRules:
        """Return the rules as they hold for a principal."""
        allowed = {
            name: rule.only_for is None
            or rule.only_for.allows(principal.agent, principal.purpose, (name,))
            for name, rule in rules.items()
        }
        others = allowed.pop(ANY, True)
        return cls(
            frozenset(name for name, may in allowed.items() if may),
            frozenset(name for name, may in allowed.items() if not may),
            others,
        )

    def admit(self, names: Iterable[str]) -> bool:
        """Say whether an operation of these names may run."""
        known = frozenset(names)
        if known & self.barred:
            return False
        return self.may_others or bool(known & self.admitted)


NO_RULES = OperationRules()


@dataclass(frozen=True, slots=True)
class Reach:
    """What is left to a principal: an object or operation must be admitted by every limit."""

    objects: tuple[Limit, ...] = ()
    operations: tuple[Limit, ...] = ()
    is_read_only: bool = False
    rules: OperationRules = NO_RULES

    def denial(self, type_name: str) -> Limit | None:
        """Return the limit that keeps an object out of reach."""
        for limit in self.objects:
            if not limit.admits(type_name):
                return limit
        return None

    def require_operation(self, *names: str) -> None:
        """Raise OperationNotAllowedError unless a published operation of these names may run.

        Without names: a text that nobody published.
        """
        for limit in self.operations:
            if not any(limit.admits(name) for name in names if name):
                raise OperationNotAllowedError(limit.reason)
        if not self.rules.admit(names):
            raise OperationNotAllowedError(
                "the builder's policy gives it to other agents or purposes only"
            )


UNLIMITED = Reach()


def reach_of(
    principal: Principal,
    agents: Mapping[str, DeclaredAgent],
    operations_ruled: Mapping[str, OperationRule] | None = None,
) -> Reach:
    """Return how far the principal reaches; `operations_ruled` are the policy's rules by name.

    Raises AgentRefusedError or PurposeRefusedError. Where no agents are declared an agent has what
    its token's scopes say; where some are, all others are refused.
    """
    rules = OperationRules.of(principal, operations_ruled) if operations_ruled else NO_RULES
    if not principal.scopes and not principal.agent:
        return UNLIMITED if rules == NO_RULES else Reach(rules=rules)
    objects, operations = list(_scoped_objects(principal)), list(_scoped_operations(principal))
    is_read_only = WRITE not in principal.scopes and any(map(_is_reading, principal.scopes))
    if principal.agent and agents:
        declared = agents.get(principal.agent)
        if declared is None:
            raise AgentRefusedError(principal.agent)
        if declared.purposes is not None and principal.purpose not in declared.purposes:
            raise PurposeRefusedError(principal.agent, principal.purpose)
        who = f"agent {principal.agent}"
        if declared.objects is not None:
            objects.append(Limit(declared.objects, f"{who} may not read it", "agents"))
        if declared.operations is not None:
            reason = f"{who} is limited to certain published operations"
            operations.append(Limit(declared.operations, reason, "agents"))
        is_read_only = is_read_only or declared.read_only
    return Reach(tuple(objects), tuple(operations), is_read_only, rules)


def _is_reading(word: str) -> bool:
    return word == READ or word.startswith(f"{READ}:")


def _scoped_objects(principal: Principal) -> Iterable[Limit]:
    words = sorted(filter(_is_reading, principal.scopes))
    if READ in words:
        return
    if words:
        names = tuple(word.partition(":")[2] for word in words)
        yield Limit(names, "outside of the token's scope", "scope")
    elif principal.agent and principal.scopes:
        # A person's own token may carry words for others alone, such as openid. An agent's scope
        # is what it was given: nothing of it is a right to read.
        yield Limit((), "the agent's scope holds no `read`", "scope")


def _scoped_operations(principal: Principal) -> Iterable[Limit]:
    names = sorted(
        word.removeprefix(OPERATION) for word in principal.scopes if word.startswith(OPERATION)
    )
    if names:
        reason = "the token's scope is limited to certain published operations"
        yield Limit(tuple(names), reason, "scope")
    elif OPERATIONS in principal.scopes:
        yield Limit((ANY,), "the token's scope is limited to published operations", "scope")
