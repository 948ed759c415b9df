// Subscribes to TEXT at ENDPOINT with npm's graphql-sse, one connection for each operation, and
// prints what the client is told: an answer, the end or an error in each line. The input's end
// unsubscribes.
import { createClient } from 'graphql-sse';

const told = (facts) => console.log(JSON.stringify(facts));
const client = createClient({
  url: process.env.ENDPOINT,
  headers: { authorization: `Bearer ${process.env.TOKEN}` },
  retryAttempts: 0,
});
const unsubscribe = client.subscribe(
  { query: process.env.TEXT },
  {
    next: (answer) => told({ next: answer }),
    error: (error) => told({ error: error.message ?? String(error) }),
    complete: () => {
      told({ complete: true });
      process.exit(0);
    },
  },
);
process.stdin.on('end', unsubscribe).resume();
