-- Sends the form again and again, each time with another address. Arguments: path, cookie, body, tag.
local path, cookie, template, tag, n = nil, nil, nil, nil, 0

function init(args)
  path, cookie, template, tag = args[1], args[2], args[3], args[4]
end

function request()
  n = n + 1
  local body = template:gsub("ADDRESS", tag .. n .. "%%40partner.example")
  return wrk.format("POST", path, {
    ["Content-Type"] = "application/x-www-form-urlencoded",
    ["Cookie"] = cookie,
  }, body)
end

function done(summary, latency)
  io.write(string.format("FIGURES %d %d %f %f %d\n", summary.requests, summary.duration,
    latency:percentile(50), latency:percentile(95), summary.errors.status))
end
