// Monaco's web workers, each a file of its own: the page's content policy admits no other kind.

import JsonWorker from 'monaco-editor/esm/vs/language/json/json.worker.js?worker';
import GraphQLWorker from 'monaco-graphql/esm/graphql.worker.js?worker';

// The JSON worker is also Monaco's general one: it is built on it, and a quarter of a megabyte less.
globalThis.MonacoEnvironment = {
  getWorker: (_moduleId, label) => (label === 'graphql' ? new GraphQLWorker() : new JsonWorker()),
};
