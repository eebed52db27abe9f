-- Sends the caller's token and prints one line of JSON for bench/load.ts.
wrk.headers["authorization"] = "Bearer " .. os.getenv("BENCH_TOKEN")
wrk.headers["origin"] = "http://localhost:5173"

function done(summary, latency)
  local e = summary.errors
  io.write(string.format(
    'result {"p50":%d,"p99":%d,"requests":%d,"micros":%d,"errors":%d}\n',
    latency:percentile(50), latency:percentile(99), summary.requests, summary.duration,
    e.connect + e.read + e.write + e.status + e.timeout))
end
