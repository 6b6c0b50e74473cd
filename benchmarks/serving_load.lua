-- What wrk asks: each customer of a file in turn; what was counted goes to another file as JSON.
-- Environment: IDS, OUT, and PATH_BEFORE and PATH_AFTER around a customer, or BODY_BEFORE and
-- BODY_AFTER around one in what is posted to /invocations.
local ids, number = {}, 0
for line in io.lines(os.getenv("IDS")) do ids[#ids + 1] = line end
local before, after = os.getenv("BODY_BEFORE"), os.getenv("BODY_AFTER")
local path, rest = os.getenv("PATH_BEFORE"), os.getenv("PATH_AFTER")

request = function()
  number = number + 1
  local customer = ids[(number - 1) % #ids + 1]
  if before then
    return wrk.format("POST", "/invocations", nil, before .. customer .. after)
  end
  return wrk.format("GET", path .. customer .. rest)
end

done = function(summary, latency)
  local e = summary.errors
  local out = io.open(os.getenv("OUT"), "w")
  out:write(string.format(
    '{"requests": %d, "seconds": %.6f, "bytes": %d, "refused": %d, "broken": %d, ' ..
    '"p50": %.3f, "p99": %.3f, "p999": %.3f}',
    summary.requests, summary.duration / 1e6, summary.bytes, e.status,
    e.connect + e.read + e.write + e.timeout,
    latency:percentile(50) / 1e3, latency:percentile(99) / 1e3, latency:percentile(99.9) / 1e3))
  out:close()
end
