-- All else.
local id = ARGV[1]
local epochs = { epoch, account_epoch }
local windows, fault = {}, nil
windows[1], fault = load(KEYS[1], now)
if not windows[1] then return fault end
if has_account == 1 then
  windows[2], fault = load(KEYS[5], now)
  if not windows[2] then return fault end
end
redis.call('ZCARD', KEYS[2])
for place, w in ipairs(windows) do
  local is_meant = epochs[place] == 0 or epochs[place] == w.epoch
  -- A window that is not there has nothing to be corrected, but may be told what was.
  if is_meant and (is_age == 1 or not w.is_new) then
    advance(w)
    for i = 1, #changes, 24 do
      local at, r, t = struct.unpack('<ddd', changes, i)
      add(w, is_age == 1 and math.min(math.floor((now / 1000 - at) / WIDTH), w.tick) or at, r, t)
    end
    save(w)
  end
end
if has_slots == 1 then hold(KEYS[6], id, holds, now, lease) end
if has_account_slots == 1 then hold(KEYS[7], id, holds, now, lease) end
if leaves == 1 then
  redis.call('ZREM', KEYS[2], id)
  redis.call('HDEL', KEYS[3], id)
end
local processes = -1
if counts == 1 then processes = present(KEYS[4], ARGV[2], now, lease) end
return struct.pack('<ddd', windows[1].epoch, windows[2] and windows[2].epoch or 0, processes)
