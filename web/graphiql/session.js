// Sends operations as the signed-in person: fetches a short-lived token when there is none.

import { Kind, parse } from 'graphql';
import { meros } from 'meros/browser';

const RENEW_BEFORE_MS = 30_000;
// Operations with @defer are answered in parts where the client takes them, subscriptions as events.
const ACCEPT =
  'multipart/mixed, application/graphql-response+json;q=0.9, application/json;q=0.8, ' +
  'text/event-stream;q=0.7';
const BEARER = /^Bearer\s+[\w-]+\.[\w-]+\.[\w-]+$/i;

export const HEADERS_PLACEHOLDER = '{\n  "Authorization": "Bearer (the signed-in person)"\n}';

export function createFetcher({ tenant, tokenHeader }) {
  let held = null;

  async function bearer() {
    if (held === null || held.renewAt < Date.now()) held = await fetchToken();
    return `Bearer ${held.token}`;
  }

  async function fetchToken() {
    const response = await fetch(`/graphiql/${tenant}/token`, {
      method: 'POST',
      headers: { [tokenHeader]: '1' },
    });
    if (response.status === 401) {
      window.location.assign(`/signin?tenant=${encodeURIComponent(tenant)}`);
    }
    if (!response.ok) throw new Error(`No token for ${tenant}: HTTP ${response.status}`);
    const { token, expires_in_s: lifetime } = await response.json();
    return { token, renewAt: Date.now() + lifetime * 1000 - RENEW_BEFORE_MS };
  }

  return async function fetcher(operation, options = {}) {
    const { Authorization: written = '', ...headers } = options.headers ?? {};
    const leaving = new AbortController();
    const response = await fetch('/graphql', {
      method: 'POST',
      signal: leaving.signal,
      credentials: 'omit',
      headers: {
        ...headers,
        'Content-Type': 'application/json',
        Accept: ACCEPT,
        Authorization: BEARER.test(written) ? written : await bearer(),
      },
      body: JSON.stringify(withCurrentName(operation)),
    });
    if (response.status === 401) held = null;
    if (response.headers.get('Content-Type')?.startsWith('text/event-stream')) {
      return live(response, leaving);
    }
    const answer = await meros(response);
    return answer === response ? response.json() : bodies(answer);
  };
}

async function* bodies(parts) {
  for await (const { body } of parts) yield body;
}

// The answers of a subscription. Whoever stops listening closes the connection at once, also while
// the next answer is awaited: a generator's own return would wait for that.
function live(response, leaving) {
  const answers = events(response, leaving.signal);
  return {
    [Symbol.asyncIterator]() {
      return this;
    },
    next: () => answers.next(),
    return() {
      leaving.abort();
      return Promise.resolve({ done: true, value: undefined });
    },
  };
}

async function* events(response, signal) {
  const reader = response.body.pipeThrough(new TextDecoderStream()).getReader();
  let rest = '';
  try {
    for (;;) {
      const { value, done } = await reader.read();
      if (done) return;
      const texts = (rest + value).split('\n\n');
      rest = texts.pop();
      for (const text of texts) {
        const [kind, data] = text.split('\n');
        if (kind === 'event: complete') return;
        if (kind === 'event: next') yield JSON.parse(data.slice('data: '.length));
      }
    }
  } catch (error) {
    if (!signal.aborted) throw error;
  }
}

// GraphiQL learns an operation's name a moment after it is typed: a quick Ctrl-Enter would ask for
// the name of the operation that stood there before.
function withCurrentName({ operationName, ...operation }) {
  if (!operationName) return operation;
  try {
    const { definitions } = parse(operation.query);
    const isThere = definitions.some(
      ({ kind, name }) => kind === Kind.OPERATION_DEFINITION && name?.value === operationName,
    );
    return isThere ? { ...operation, operationName } : operation;
  } catch {
    return operation; // not GraphQL: the server says what is wrong with it
  }
}
