// Mercurius with graphql-jit and its loaders, over PostgreSQL: the fast way in Node.
// Run as `node mercurius.js PORT POSTGRES_PORT` from a directory whose node_modules hold it.
import { createRequire } from 'node:module'
import { join } from 'node:path'

const require = createRequire(join(process.cwd(), 'package.json'))
const fastify = require('fastify')
const mercurius = require('mercurius')
const pg = require('pg')

const [port, postgresPort] = process.argv.slice(2).map(Number)
// Dates and times as the database's text: parsing them into Date only to print them costs time.
for (const oid of [1082, 1114]) pg.types.setTypeParser(oid, (text) => text)
const pool = new pg.Pool({
  host: '127.0.0.1', port: postgresPort, user: 'postgres', database: 'postgres', max: 8,
})

const schema = `
  type Opportunity {
    id: ID! name: String stage: String amount: String closesOn: String account: Account
  }
  type Ticket { id: ID! subject: String status: String priority: String createdAt: String }
  type Invoice { id: ID! number: String amount: String status: String dueOn: String }
  type Account {
    id: ID! name: String segment: String region: String revenue: String createdAt: String
    overdue: Overdue
    opportunities: [Opportunity!]! tickets: [Ticket!]! invoices: [Invoice!]!
  }
  type Sum { effort: Int }
  type Aggregate { count: Int sum: Sum min: Sum max: Sum }
  type Key { status: String priority: String }
  type Group { key: Key aggregate: Aggregate }
  type Tickets { aggregate: Aggregate groupBy: [Group!]! }
  type Amount { amount: String }
  type OverdueAggregate { count: Int sum: Amount }
  type Overdue { aggregate: OverdueAggregate }
  type Query {
    accounts(segment: String!, floor: Int!): [Account!]!
    accountsFrom(floor: Int!): [Account!]!
    account(id: ID!): Account
    assets(floor: Int!): [Asset!]!
    tickets(floor: Int!): Tickets
    opportunities(floor: Int!): [Opportunity!]!
  }
  type Asset {
    id: ID! position: Int
    ${names('text', 20).map((name) => `${name}: String`).join(' ')}
    ${names('whole', 10).map((name) => `${name}: Int`).join(' ')}
    ${[...names('day', 4), ...names('price', 4)].map((name) => `${name}: String`).join(' ')}
  }
`
function names (kind, count) {
  return Array.from({ length: count }, (_, at) => kind + String(at + 1).padStart(2, '0'))
}

async function rows (name, text, values) {
  return (await pool.query({ name, text, values })).rows
}

const account = 'id, name, segment, revenue, created_at AS "createdAt"'
function below (name, columns, order, where = '') {
  const text = `SELECT k.id AS parent, found.* FROM unnest($1::text[]) AS k(id)
    CROSS JOIN LATERAL (SELECT ${columns} FROM ${name} WHERE account_id = k.id${where}
      ORDER BY ${order} DESC LIMIT 5) AS found`
  return async (queries) => {
    const found = new Map(queries.map(({ obj }) => [obj.id, []]))
    for (const row of await rows(name, text, [[...found.keys()]])) found.get(row.parent).push(row)
    return queries.map(({ obj }) => found.get(obj.id))
  }
}

const atRisk = `SELECT p.id, p.account_id, p.name, p.stage, p.amount, p.closes_on AS "closesOn"
  FROM opportunities AS p WHERE p.stage = 'offered' AND p.closes_on <= '2027-06-30'
    AND (SELECT count(*) FROM tickets AS t
         WHERE t.account_id = p.account_id AND t.status = 'open') > 10
    AND (SELECT max(i.due_on) FROM invoices AS i
         WHERE i.account_id = p.account_id AND i.status = 'paid') < '2026-08-24'
    AND (SELECT a.employees FROM accounts AS a WHERE a.id = p.account_id) >= $1
  ORDER BY p.amount DESC LIMIT 20`

const app = fastify()
app.register(mercurius, {
  schema,
  jit: 1,
  resolvers: {
    Query: {
      accounts: (_, { segment, floor }) => rows('accounts',
        `SELECT ${account} FROM accounts WHERE segment = $1 AND employees >= $2
         ORDER BY revenue DESC LIMIT 50`, [segment, floor]),
      accountsFrom: (_, { floor }) => rows('accounts-from',
        `SELECT ${account} FROM accounts WHERE employees >= $1
         ORDER BY employees, id LIMIT 50`, [floor]),
      account: async (_, { id }) =>
        (await rows('account', `SELECT ${account} FROM accounts WHERE id = $1`, [id]))[0],
      assets: (_, { floor }) => rows('assets',
        'SELECT * FROM assets WHERE position >= $1 ORDER BY position LIMIT 200', [floor]),
      tickets: (_, { floor }) => ({ floor }),
      opportunities: (_, { floor }) => rows('at-risk', atRisk, [floor]),
    },
    Tickets: {
      aggregate: async ({ floor }) => {
        const [{ count, sum, min, max }] = await rows('aggregate',
          `SELECT count(*)::int, sum(effort)::int, min(effort), max(effort)
           FROM tickets WHERE effort >= $1`, [floor])
        return { count, sum: { effort: sum }, min: { effort: min }, max: { effort: max } }
      },
      groupBy: async ({ floor }) => (await rows('groups',
        `SELECT status, priority, count(*)::int, sum(effort)::int FROM tickets WHERE effort >= $1
         GROUP BY status, priority ORDER BY status, priority`, [floor]))
        .map(({ status, priority, count, sum }) =>
          ({ key: { status, priority }, aggregate: { count, sum: { effort: sum } } })),
    },
  },
  loaders: {
    Opportunity: {
      account: async (queries) => {
        const found = new Map((await rows('accounts-of',
          `SELECT ${account}, region FROM accounts WHERE id = ANY($1)`,
          [queries.map(({ obj }) => obj.account_id)])).map((row) => [row.id, row]))
        return queries.map(({ obj }) => found.get(obj.account_id))
      },
    },
    Account: {
      overdue: async (queries) => {
        const found = new Map((await rows('overdue',
          `SELECT account_id, count(*)::int, sum(amount)::text AS amount FROM invoices
           WHERE status = 'overdue' AND account_id = ANY($1) GROUP BY account_id`,
          [queries.map(({ obj }) => obj.id)])).map((row) => [row.account_id, row]))
        return queries.map(({ obj }) => {
          const { count, amount } = found.get(obj.id) ?? { count: 0, amount: null }
          return { aggregate: { count, sum: { amount } } }
        })
      },
      opportunities: below('opportunities',
        'id, name, stage, amount, closes_on AS "closesOn"', 'amount'),
      tickets: below('tickets',
        'id, subject, status, priority, created_at AS "createdAt"', 'created_at', " AND status = 'open'"),
      invoices: below('invoices', 'id, number, amount, status, due_on AS "dueOn"', 'amount'),
    },
  },
})
await app.listen({ host: '127.0.0.1', port })
