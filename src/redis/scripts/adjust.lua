-- Tells the windows of a deployment and of its account what requests really were, or what was admitted without asking.
--
-- KEYS: as for reserving.
-- ARGV: ledger, clock ('' but in tests), process, 1 if the account has limits, 1 if requests in flight are limited and 1 if
--   those of the account are, how many it holds, lease in ms, 1 if it waits no longer, 'tick' or 'age', then threes: when, how
--   many requests more, how many tokens more. When is a tick of the window's, which has to be of the epoch that is given as
--   the last two (window's, account's; '' for any), or milliseconds ago.
-- Returns: epoch, account's epoch, processes.
local now = clock(ARGV[2])
local id, lease = ARGV[1], tonumber(ARGV[8])
local is_age = ARGV[10] == 'age'
local last = #ARGV - 2
local epochs = { ARGV[#ARGV - 1], ARGV[#ARGV] }

local windows, fault = {}, nil
windows[1], fault = load(KEYS[1], now)
if not windows[1] then return fault end
if ARGV[4] == '1' then
  windows[2], fault = load(KEYS[2], now)
  if not windows[2] then return fault end
end
redis.call('ZCARD', KEYS[3])
for place, w in ipairs(windows) do
  local is_meant = epochs[place] == '' or epochs[place] == string.format('%.0f', w.epoch)
  -- A window that is not there has nothing to be corrected, but may be told what was.
  if is_meant and (is_age or not w.is_new) then
    advance(w)
    for i = 11, last, 3 do
      local at, r, t = tonumber(ARGV[i]), tonumber(ARGV[i + 1]), tonumber(ARGV[i + 2])
      add(w, is_age and math.min(math.floor((now / 1000 - at) / WIDTH), w.tick) or at, r, t)
    end
    save(w)
  end
end
if ARGV[5] == '1' then hold(KEYS[5], id, tonumber(ARGV[7]), now, lease) end
if ARGV[6] == '1' then hold(KEYS[6], id, tonumber(ARGV[7]), now, lease) end
if ARGV[9] == '1' then
  redis.call('ZREM', KEYS[3], id)
  redis.call('HDEL', KEYS[4], id)
end
local processes = present(KEYS[7], ARGV[3], now, lease)
return { string.format('%.0f', windows[1].epoch), windows[2] and string.format('%.0f', windows[2].epoch) or '0', processes }
