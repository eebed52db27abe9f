-- Sends the requests of the file BENCH_REQUESTS in turn, over and over, for bench/load.ts. A line is headers (name:value,
-- separated by semicolons), a path and a body, with tabs between; every @ in the body becomes the number of the request.
-- Each answer must hold BENCH_EXPECT.
wrk.method = "POST"
wrk.headers["content-type"] = "application/json"
wrk.headers["accept"] = "application/json, text/event-stream"

local expect = os.getenv("BENCH_EXPECT")
local requests = {}
for line in io.lines(os.getenv("BENCH_REQUESTS")) do
  local header, path, body = line:match("^([^\t]*)\t([^\t]+)\t(.+)$")
  local headers = {}
  for name, value in pairs(wrk.headers) do headers[name] = value end
  for name, value in header:gmatch("([^:;]+):([^;]+)") do headers[name] = value end
  requests[#requests + 1] = { path = path, headers = headers, body = body }
end

local sent = 0
function request()
  sent = sent + 1
  local next = requests[sent % #requests + 1]
  return wrk.format(nil, next.path, next.headers, (next.body:gsub("@", sent)))
end

-- Globals, because `done` asks the threads for them.
refused = 0
said = ""
function response(status, _, body)
  if status ~= 200 or not body:find(expect, 1, true) then
    refused = refused + 1
    said = status .. " " .. body:sub(1, 200)
  end
end

local threads = {}
function setup(thread) threads[#threads + 1] = thread end

function done(summary, latency)
  local e = summary.errors
  local errors, failed = e.connect + e.read + e.write + e.timeout, ""
  for _, thread in ipairs(threads) do
    errors = errors + thread:get("refused")
    failed = failed .. thread:get("said")
  end
  io.write(string.format(
    'result {"p50":%d,"p99":%d,"requests":%d,"micros":%d,"errors":%d,"failed":"%s"}\n',
    latency:percentile(50), latency:percentile(99), summary.requests, summary.duration, errors,
    (failed:gsub('[%c"\\]', " "))))
end
