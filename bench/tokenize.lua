-- The load of `POST /tokenize`: what a browser sends, with a security code. In the environment: BENCH_RATE, BENCH_SEED.

local load = dofile((os.getenv("BENCH_DIRECTORY") or "bench") .. "/load.lua")

local HEADERS = {["Content-Type"] = "application/json", ["X-Requested-With"] = "XMLHttpRequest"}
local CARDS = {"4024007179366348", "4111111111111111", "4000006966642547", "5555555555554444", "2223003122003222"}
local FORM = [[{"number":"%s","expirationMonth":"%02d","expirationYear":"30","cvv":"%03d","cardHolder":"Jane Smith","zip":"10001"}]]

function init(args)
  load.start()
end

function request()
  local body = string.format(FORM, CARDS[math.random(#CARDS)], math.random(12), math.random(0, 999))
  return wrk.format("POST", "/tokenize", HEADERS, body)
end

setup = load.setup
delay = load.delay
done = load.done
