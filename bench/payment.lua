-- The load of `POST /payment`: cards that approve, 30 % new consumers, 5 % of the requests a repeat of an earlier one.
--
-- Every request bears an X-Request-ID, so that the claim and the stored answer are part of what is measured. Amount and metadata
-- differ from one request to the next, so that no two are a double click. In the environment: BENCH_KEY (API key), BENCH_SITE
-- (site id), BENCH_IPN (where IPNs go), BENCH_RUN (a word that sets this run's ids apart), BENCH_RATE (requests a second; none:
-- as fast as the answers come), BENCH_SEED.

local load = dofile((os.getenv("BENCH_DIRECTORY") or "bench") .. "/load.lua")

local POOL = 2000  -- consumers who come again; each always with the same card
local NEW_SHARE = 0.30
local REPEATED_SHARE = 0.05
local REMEMBERED = 256

-- Published cards that approve (docs/reference/test-cards.md), by brand shares that are plausible.
local CARDS = {
  "4024007179366348", "4111111111111111", "4000006966642547", "4000000404793202",
  "5555555555554444", "2223003122003222", "6011111111111117", "3530111333300000",
}

local FORM = [[{"paymentSource":{"type":"card","number":"%s","expirationMonth":"12","expirationYear":"30","cvv":"009"},]]
  .. [["sku":{"siteId":"%s","title":"Benchmark","price":[{"offset":"0d","amount":%d.%02d,"currency":"USD","repeat":false}]},]]
  .. [["consumer":{"externalId":"%s","firstName":"Jane","lastName":"Smith","email":"%s@shop.example","ip":"203.0.113.45",]]
  .. [["country":"USA","zip":"10001"},"url":{"ipnUrl":"%s","redirectUrl":"https://shop.example/thanks"},]]
  .. [["metadata":{"cart":"%s","campaign":"winter"}}]]

local key, site, ipn, run
local sent, earlier = 0, {}

function init(args)
  key, site = os.getenv("BENCH_KEY"), os.getenv("BENCH_SITE")
  ipn, run = os.getenv("BENCH_IPN"), os.getenv("BENCH_RUN")
  load.start()
end

local function choose_consumer(number)
  if math.random() < NEW_SHARE then
    return "new-" .. run .. "-" .. number, CARDS[math.random(#CARDS)]
  end
  local known = math.random(POOL)
  return "pool-" .. known, CARDS[known % #CARDS + 1]
end

local function build(number)
  local consumer, card = choose_consumer(number)
  local id = run .. "-" .. number
  local body = string.format(
    FORM, card, site, math.random(1, 99), math.random(0, 99), consumer, consumer, ipn, id)
  local headers = {["Authorization"] = key, ["Content-Type"] = "application/json", ["X-Request-ID"] = id}
  return wrk.format("POST", "/payment", headers, body)
end

function request()
  if #earlier == REMEMBERED and math.random() < REPEATED_SHARE then
    return earlier[math.random(REMEMBERED)]
  end
  sent = sent + 1
  local text = build(sent)
  earlier[(sent - 1) % REMEMBERED + 1] = text
  return text
end

setup = load.setup
delay = load.delay
done = load.done
