// Hive Gateway in front of Firnline and a second subgraph, all on loopback. Takes the endpoint in
// FIRNLINE_URL, the file of its SDL in FIRNLINE_SDL, and the keys of deals in DEALS; prints its own
// address as JSON when it listens, and ends with its standard input.
import { readFileSync } from "node:fs";
import { createServer } from "node:http";
import { composeServices } from "@apollo/composition";
import { createGatewayRuntime } from "@graphql-hive/gateway-runtime";
import httpTransport from "@graphql-mesh/transport-http";
import { buildSchema, graphql, parse } from "graphql";

const deals = process.env.DEALS.split(" ");
const sdl = `
  extend schema @link(url: "https://specs.apollo.dev/federation/v2.3", import: ["@key"])
  type Query { forecasts: [Forecast!]! }
  type Forecast { note: String! deal: Deal }
  type Deal @key(fields: "id") { id: ID! risk: String }
`;
const schema = buildSchema(`
  scalar _Any
  union _Entity = Deal
  type _Service { sdl: String! }
  type Query {
    forecasts: [Forecast!]!
    _entities(representations: [_Any!]!): [_Entity]!
    _service: _Service!
  }
  type Forecast { note: String! deal: Deal }
  type Deal { id: ID! risk: String }
`);
const risk = (id) => `risk of ${id}`;
const rootValue = {
  _service: { sdl },
  _entities: ({ representations }) =>
    representations.map(({ id }) => ({ __typename: "Deal", id, risk: risk(id) })),
  forecasts: deals.map((id) => ({ note: `note on ${id}`, deal: { id, risk: risk(id) } })),
};
const batches = []; // how many entities each request asked for

async function forecast(request, response) {
  let body = "";
  for await (const chunk of request) body += chunk;
  const { query, variables } = JSON.parse(body);
  const asked = Object.values(variables ?? {}).find(Array.isArray);
  if (asked) batches.push(asked.length);
  const answer = await graphql({ schema, source: query, rootValue, variableValues: variables });
  response.setHeader("content-type", "application/json");
  response.end(JSON.stringify(answer));
}

const listen = (server) =>
  new Promise((done) =>
    server.listen(0, "127.0.0.1", () => done(`http://127.0.0.1:${server.address().port}`)),
  );
const other = await listen(createServer(forecast));
const composed = composeServices([
  {
    name: "firnline",
    url: process.env.FIRNLINE_URL,
    typeDefs: parse(readFileSync(process.env.FIRNLINE_SDL, "utf8")),
  },
  { name: "forecast", url: `${other}/graphql`, typeDefs: parse(sdl) },
]);
if (composed.errors?.length) throw new AggregateError(composed.errors, String(composed.errors));
const gateway = createGatewayRuntime({
  supergraph: composed.supergraphSdl,
  transports: { http: httpTransport },
  logging: false,
  maskedErrors: false,
  propagateHeaders: {
    fromClientToSubgraphs({ request, subgraphName }) {
      const authorization = request.headers.get("authorization");
      return subgraphName === "firnline" && authorization ? { authorization } : {};
    },
  },
});
const address = await listen(
  createServer((request, response) => {
    if (request.url !== "/batches") return gateway(request, response);
    response.end(JSON.stringify(batches.splice(0)));
  }),
);
console.log(JSON.stringify({ address }));
process.stdin.on("end", () => process.exit(0)).resume();
