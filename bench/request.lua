-- Sends a request again and again; NUMBER in its body becomes another text each time.
-- Arguments: method, path, headers (a line each), body, tag.
local method, path, template, tag, n = nil, nil, nil, nil, 0
local headers = {}

function init(args)
  method, path, template, tag = args[1], args[2], args[4], args[5]
  for name, value in args[3]:gmatch("([^:\n]+): ([^\n]*)") do
    headers[name] = value
  end
end

function request()
  n = n + 1
  local body = nil
  if template ~= "" then
    body = template:gsub("NUMBER", tag .. n)
  end
  return wrk.format(method, path, headers, body)
end

function done(summary, latency)
  io.write(string.format("FIGURES %d %d %f %f %d\n", summary.requests, summary.duration,
    latency:percentile(50), latency:percentile(95), summary.errors.status))
end
