// Asks TEXT of the endpoint in ENDPOINT through Apollo Client, in the form of parts that FORM names,
// and prints each state of the answer that an application is shown.
import { ApolloClient, HttpLink, InMemoryCache, NetworkStatus, gql } from '@apollo/client';
import { Defer20220824Handler, GraphQL17Alpha9Handler } from '@apollo/client/incremental';

const types = [];
// Each part arrives on its own, as over a slow network: otherwise only the last state is shown.
const oneByOne = (response) => {
  const parts = async function* () {
    for await (const chunk of response.body.pipeThrough(new TextDecoderStream())) {
      for (const part of chunk.split(/(?=\r\n---)/)) {
        yield part;
        await new Promise((resolve) => setTimeout(resolve, 30));
      }
    }
  };
  const body = ReadableStream.from(parts()).pipeThrough(new TextEncoderStream());
  return new Response(body, { status: response.status, headers: response.headers });
};
const watchedFetch = async (url, options) => {
  const response = await fetch(url, options);
  types.push(response.headers.get('content-type'));
  return oneByOne(response);
};
const client = new ApolloClient({
  link: new HttpLink({
    uri: process.env.ENDPOINT,
    fetch: watchedFetch,
    headers: { authorization: `Bearer ${process.env.TOKEN}` },
  }),
  cache: new InMemoryCache(),
  incrementalHandler:
    process.env.FORM === 'old' ? new Defer20220824Handler() : new GraphQL17Alpha9Handler(),
});
const states = [];
await new Promise((resolve, reject) => {
  client.watchQuery({ query: gql(process.env.TEXT), fetchPolicy: 'network-only' }).subscribe({
    next: ({ data, error, networkStatus }) => {
      if (error) reject(error);
      const isDone = networkStatus === NetworkStatus.ready;
      if (data) states.push({ isDone, data: structuredClone(data) });
      if (isDone) resolve();
    },
    error: reject,
  });
});
console.log(JSON.stringify({ states, types }));
process.exit(0);
