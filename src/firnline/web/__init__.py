"""HTTP edges: graphql, GraphiQL, health."""
