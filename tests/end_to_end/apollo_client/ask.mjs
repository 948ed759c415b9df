// Asks TEXT of the endpoint in ENDPOINT twice, through Apollo Client's persisted query link, and
// prints the answers and what went over the wire.
import { createHash } from 'node:crypto';
import { ApolloClient, HttpLink, InMemoryCache, gql } from '@apollo/client';
import { PersistedQueryLink } from '@apollo/client/link/persisted-queries';

const sent = [];
const watchedFetch = async (url, options) => {
  const response = await fetch(url, options);
  const text = options.body ?? decodeURIComponent(new URL(url).search);
  sent.push([options.method, text.includes('totalCount'), response.status]);
  return response;
};
const link = new PersistedQueryLink({
  sha256: (text) => createHash('sha256').update(text).digest('hex'),
  useGETForHashedQueries: process.env.METHOD === 'GET',
}).concat(
  new HttpLink({
    uri: process.env.ENDPOINT,
    fetch: watchedFetch,
    headers: { authorization: `Bearer ${process.env.TOKEN}` },
  }),
);
const client = new ApolloClient({ link, cache: new InMemoryCache() });
const answers = [];
for (let turn = 0; turn < 2; turn += 1) {
  const answer = await client.query({ query: gql(process.env.TEXT), fetchPolicy: 'no-cache' });
  answers.push(answer.data);
}
console.log(JSON.stringify({ answers, sent }));
process.exit(0);
