"""The executor of tenants' schemas: lets completed subtrees pass, and what was put off follow.

Takes the values of root fields as execution completed them; Strawberry and graphql-core do the
rest, introspection and the fixed fields among it.
"""

from __future__ import annotations

from typing import Any

from graphql import SchemaMetaFieldDef, TypeMetaFieldDef
from graphql.execution.executor import Executor, StreamUsage
from strawberry.schema.schema import StrawberryGraphQLCoreExecutionContext

from firnline.graph.request import Completed, Rest
from firnline.graph.streaming import streamed


class SetwiseExecutor(StrawberryGraphQLCoreExecutionContext):
    """Strawberry's executor, which lets completed subtrees pass."""

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        # Resolvers get plain values from Strawberry; planning arguments needs the container.
        self.context_value.variables = self.variable_values

    def build_resolve_info(
        self, field_def: Any, field_nodes: Any, parent_type: Any, path: Any
    ) -> Any:
        """Let introspection see only what the principal may read."""
        info = super().build_resolve_info(field_def, field_nodes, parent_type, path)
        visible = self.context_value.visible
        if visible is not None and (
            field_def in (SchemaMetaFieldDef, TypeMetaFieldDef) or parent_type.name[:2] == "__"
        ):
            return info._replace(schema=visible.core_schema())
        return info

    def execute_collected_root_fields(self, *fields: Any) -> Any:
        """Put deferred fragments off where the client takes parts, else include them at once."""
        return self._executor.execute_collected_root_fields(self, *fields)

    def execute_collected_subfields(self, *fields: Any) -> Any:
        """Do so below the root, too."""
        return self._executor.execute_collected_subfields(self, *fields)

    def get_stream_usage(self, field_details_list: Any, path: Any) -> Any:
        """Stream lists only where the client takes parts; raises StreamCountError."""
        if not self.context_value.takes_parts:
            return None
        streamed(field_details_list[0].node, self.variable_values)
        return super().get_stream_usage(field_details_list, path)

    def handle_stream(self, index: int, path: Any, *stream: Any) -> bool:
        """Send the rest of a list after the answer."""
        self.context_value.offsets[tuple(path.as_list())] = index
        return super().handle_stream(index, path, *stream)

    @property
    def _executor(self) -> type[Executor[Any]]:
        # graphql-core's plain executor ignores @defer, its heir sends what was put off later.
        takes_parts = self.context_value.takes_parts
        return StrawberryGraphQLCoreExecutionContext if takes_parts else Executor

    def complete_value(
        self,
        return_type: Any,
        field_details_list: Any,
        info: Any,
        path: Any,
        result: Any,
        position_context: Any,
    ) -> Any:
        if type(result) is Completed:
            for rest in result.rests:
                self._follow(rest, field_details_list, info, path)
            return result.value
        return super().complete_value(
            return_type, field_details_list, info, path, result, position_context
        )

    def _follow(self, rest: Rest, field_details_list: Any, info: Any, path: Any) -> None:
        for step in rest.path:
            path = path.add_key(step, None)
        usage = StreamUsage(rest.label, rest.offset, field_details_list)
        items = map(Completed, rest.items)
        self.handle_stream(rest.offset, path, items, False, usage, info, info.return_type)
