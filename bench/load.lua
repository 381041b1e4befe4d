-- What the load scripts share: the seed, the pace, and the result as one line of JSON.

local load = {}

local ffi = require("ffi")
ffi.cdef [[
  typedef struct { long seconds; long nanoseconds; } bench_moment;
  int clock_gettime(int clock, bench_moment *moment);
]]
local MONOTONIC = 1
local moment = ffi.new("bench_moment")

local function now()
  ffi.C.clock_gettime(MONOTONIC, moment)
  return tonumber(moment.seconds) + tonumber(moment.nanoseconds) / 1e9
end

local due
late = 0  -- of a thread; read in `done`, which runs in a state of its own
local threads = {}

function load.setup(thread)
  table.insert(threads, thread)
end

function load.start()
  math.randomseed(tonumber(os.getenv("BENCH_SEED") or "1"))
end

local rate = tonumber(os.getenv("BENCH_RATE") or "0")

-- Milliseconds until the connection may send its next request.
--
-- Connections that become free take the next place in one schedule with exponential gaps, as of customers who know nothing of
-- each other. As long as there is a free connection at every place, nobody waits for anybody's answer: an open loop. A place
-- whose time has passed when it is taken is sent late and counted, so that a run in which that happened can be told.
local function pace()
  due = (due or now()) - math.log(1 - math.random()) / rate
  local ahead = due - now()
  late = late + (ahead < 0 and 1 or 0)
  return math.max(0, math.floor(ahead * 1000 + 0.5))
end

-- wrk asks scripts that have this function before each request.
load.delay = rate > 0 and pace or nil

function load.done(summary, latency, requests)
  local errors, late_in_all = summary.errors, 0
  for _, thread in ipairs(threads) do
    late_in_all = late_in_all + (thread:get("late") or 0)
  end
  io.write(string.format(
    '\nBENCH {"requests":%d,"seconds":%.6f,"p50_ms":%.3f,"p99_ms":%.3f,"longest_ms":%.3f,'
      .. '"refused":%d,"connect_errors":%d,"read_errors":%d,"write_errors":%d,"timeouts":%d,"late":%d}\n',
    summary.requests, summary.duration / 1e6, latency:percentile(50) / 1e3, latency:percentile(99) / 1e3,
    latency.max / 1e3, errors.status, errors.connect, errors.read, errors.write, errors.timeout, late_in_all))
end

return load
