// Composes subgraphs: `node compose.mjs SUPERGRAPH SUBGRAPH.graphql...` prints {errors}.
import { readFileSync, writeFileSync } from "node:fs";
import { basename } from "node:path";
import { composeServices } from "@apollo/composition";
import { parse } from "graphql";

const [target, ...files] = process.argv.slice(2);
const composed = composeServices(
  files.map((file) => {
    const name = basename(file, ".graphql");
    const url = process.env[`URL_${name}`] ?? `http://127.0.0.1:1/${name}`;
    return { name, url, typeDefs: parse(readFileSync(file, "utf8")) };
  }),
);
if (composed.supergraphSdl) writeFileSync(target, composed.supergraphSdl);
console.log(JSON.stringify({ errors: (composed.errors ?? []).map((error) => error.message) }));
