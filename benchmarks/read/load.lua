-- Sends one body with random variables per request; wrk gives the arguments after `--`:
-- the body's template file, the seed, the least and the greatest number, the token.
local template, low, high
local segments = {"a", "b", "c", "d", "e", "f", "g", "h"}
local threads = 0

function setup(thread)
  threads = threads + 1
  thread:set("number", threads)
end

function init(arguments)
  local file = assert(io.open(arguments[1], "r"))
  template = file:read("*a")
  file:close()
  math.randomseed(tonumber(arguments[2]) + number)
  low, high = tonumber(arguments[3]), tonumber(arguments[4])
  wrk.method = "POST"
  wrk.headers["Content-Type"] = "application/json"
  if arguments[5] then wrk.headers["Authorization"] = "Bearer " .. arguments[5] end
end

local function fill(name)
  if name == "segment" then return "segment-" .. segments[math.random(#segments)] end
  return (template:find('"a%%number%%"', 1) and "%07d" or "%d"):format(math.random(low, high))
end

function request()
  return wrk.format(nil, nil, nil, (template:gsub("%%(%a+)%%", fill)))
end

function done(summary, latency)
  local errors = summary.errors
  io.write(string.format("RESULT %d %d %d %d %d %d\n",
    summary.requests, summary.duration, latency:percentile(50), latency:percentile(99),
    errors.status, errors.connect + errors.read + errors.write + errors.timeout))
end
