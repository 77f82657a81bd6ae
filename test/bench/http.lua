-- http.lua
--	  What wrk sends: wrk ... -s http.lua URL -- KIND FILE
--
-- KIND is search, read or insert of the native API, or get, list, order or bulk of
-- PostgREST's grammar.  FILE has on each line what a request is about: a vector (of
-- order in base64), an id, a number of metadata, or for bulk the body.
-- Requests are composed before the clock starts, but for the id of an insert.
-- Prints requests a second and the times in milliseconds below which 50 and 99
-- of a hundred were answered.

local threads = 0

function setup(thread)
	threads = threads + 1
	thread:set("number", threads)
end

function init(args)
	kind = args[1]
	requests = {}
	at = number * 31
	for line in io.lines(args[2]) do
		if kind == "search" then
			table.insert(requests, wrk.format("POST", "/collections/bench/search",
				{ ["Content-Type"] = "application/json" }, '{"vector":' .. line .. ',"k":10}'))
		elseif kind == "read" then
			table.insert(requests, wrk.format("GET", "/vectors/" .. line .. "?collection=bench"))
		elseif kind == "get" then
			table.insert(requests, wrk.format("GET", "/rest/v1/bench?select=id,metadata&id=eq." .. line))
		elseif kind == "list" then
			table.insert(requests, wrk.format("GET", "/rest/v1/bench?select=id,metadata&limit=20&metadata-%3E%3En=eq." .. line))
		elseif kind == "order" then
			table.insert(requests, wrk.format("GET", "/rest/v1/bench?select=id,metadata&limit=10&order=data.cosine." .. line))
		elseif kind == "bulk" then
			table.insert(requests, wrk.format("POST", "/rest/v1/bulk_http",
				{ ["Content-Type"] = "application/json", ["Prefer"] = "resolution=merge-duplicates" }, line))
		else
			table.insert(requests, line)
		end
	end
	tag = string.format("h%d-%d-", os.time(), number)
end

function request()
	at = at + 1
	local r = requests[at % #requests + 1]
	if kind ~= "insert" then
		return r
	end
	return wrk.format("POST", "/vectors", { ["Content-Type"] = "application/json" },
		'{"vectors":[{"id":"' .. tag .. at .. '","collection":"bench_http","data":' .. r .. ',"metadata":{"n":1}}]}')
end

function done(summary, latency, requests)
	local e = summary.errors
	io.write(string.format("result %.1f %.3f %.3f %d\n", summary.requests / (summary.duration / 1e6),
		latency:percentile(50) / 1000, latency:percentile(99) / 1000,
		e.connect + e.read + e.write + e.status + e.timeout))
end
