// PostGraphile 5 as it comes, over the same PostgreSQL.
// Run as `node postgraphile.js PORT POSTGRES_PORT` from a directory whose node_modules hold it.
import { createServer } from 'node:http'
import { createRequire } from 'node:module'
import { join } from 'node:path'

const require = createRequire(join(process.cwd(), 'package.json'))
const { postgraphile } = require('postgraphile')
const { PostGraphileAmberPreset } = require('postgraphile/presets/amber')
const { makePgService } = require('postgraphile/adaptors/pg')
const { grafserv } = require('postgraphile/grafserv/node')

const [port, postgresPort] = process.argv.slice(2).map(Number)
const preset = {
  extends: [PostGraphileAmberPreset],
  pgServices: [makePgService({
    connectionString: `postgres://postgres@127.0.0.1:${postgresPort}/postgres`,
    schemas: ['public'],
    poolConfig: { max: 8 },
  })],
  grafserv: { port, watch: false, graphiql: false },
}
const site = postgraphile(preset).createServ(grafserv)
const server = createServer()
await site.addTo(server)
server.listen(port, '127.0.0.1')
