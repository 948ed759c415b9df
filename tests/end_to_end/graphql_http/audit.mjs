// Runs every audit of graphql-http against the endpoint in URL_TO_AUDIT, asking with the token in TOKEN.
import { auditServer } from 'graphql-http';

const fetchFn = (url, options = {}) =>
  fetch(url, {
    ...options,
    headers: { ...options.headers, authorization: `Bearer ${process.env.TOKEN}` },
  });
const results = await auditServer({ url: process.env.URL_TO_AUDIT, fetchFn });
console.log(
  JSON.stringify(results.map(({ id, name, status, reason }) => ({ id, name, status, reason }))),
);
