-- All else.
--
-- Who waits is in the queue, by what it was given while it was in it: who was given least goes first, then who has waited
-- longest. Whoever asks leaves as much room as those who go before it have use for, as long as they come when they said. So
-- nobody is overtaken by more than one request, and whatever nobody else has use for is given at once.
local id = ARGV[1]
local has_account = account_rpm > 0 or account_tpm > 0 or account_slots > 0

local w, fault = load(KEYS[1], now)
if not w then return fault end
local account
if has_account then
  account, fault = load(KEYS[5], now)
  if not account then return fault end
end
local waiting = w.queue == 1 and redis.call('ZCARD', KEYS[2]) or 0
-- The more wait, the less often each of them looks whether something was given back.
if waiting > 64 then again = again * math.floor(waiting / 64) end
advance(w)
if account then advance(account) end

-- What is free of each limit, and what is kept for others of it.
local free_r = rpm > 0 and rpm - w.r or math.huge
local free_t = tpm > 0 and tpm - w.t or math.huge
local others = {}
local served, arrived = 0, now
local is_queued = false
if waiting > 0 then
  local queue = redis.call('ZRANGE', KEYS[2], 0, 127, 'WITHSCORES')
  local names = {}
  for i = 1, #queue, 2 do names[#names + 1] = queue[i] end
  local waits = redis.call('HMGET', KEYS[3], unpack(names))
  local least
  for i, name in ipairs(names) do
    local score = tonumber(queue[i * 2])
    local due, has_use, size, since = string.match(waits[i] or '', '^(%d+):(%d+):(%d+):(%d+)$')
    if name == id and due then
      is_queued, served, arrived = true, score, tonumber(since)
      least = least or score
    elseif not due or tonumber(due) * 1000 < now then
      redis.call('ZREM', KEYS[2], name)
      redis.call('HDEL', KEYS[3], name)
    else
      least = least or score
      others[#others + 1] = { served = score, since = tonumber(since), want = tonumber(has_use), tokens = tonumber(size) }
    end
  end
  if not is_queued then served = least or 0 end
end

-- What is to be left for those who go before it, if it is given so many.
local function kept(count)
  local r, t = 0, 0
  for _, other in ipairs(others) do
    local behind = served + count - 1 - other.served
    if behind >= 0 and (other.since < arrived or behind > 0) then
      if other.since < arrived then behind = behind + 1 end
      local use = math.min(behind, other.want)
      r, t = r + use, t + use * other.tokens
    end
  end
  return r, t
end

local slots_free = math.huge
if slots > 0 then slots_free = slots - held_by_others(KEYS[6], id, now) - holds end
if account_slots > 0 then
  slots_free = math.min(slots_free, account_slots - held_by_others(KEYS[7], id, now) - holds)
end
local function fits(count)
  local r, t = kept(count)
  return count + r <= free_r and count * tokens + t <= free_t and count <= slots_free
    and (not account or ((account_rpm == 0 or account.r + count <= account_rpm)
      and (account_tpm == 0 or account.t + count * tokens <= account_tpm)))
end

local granted = math.min(want, most)
while granted > 0 and not fits(granted) do
  -- The largest that fits is looked for by halves: what fits does so with fewer.
  granted = granted > 1 and math.floor(granted / 2) or 0
end

local until_then = 0
if granted > 0 then
  w.r, w.t, w.cr, w.ct = w.r + granted, w.t + granted * tokens, w.cr + granted, w.ct + granted * tokens
  if account then
    account.r, account.t = account.r + granted, account.t + granted * tokens
    account.cr, account.ct = account.cr + granted, account.ct + granted * tokens
  end
else
  local r, t = kept(1)
  until_then = wait(w, rpm, tpm, 1 + r, tokens + t, now)
  local alone = wait(w, rpm, tpm, 1, tokens, now)
  if account then
    local other = wait(account, account_rpm, account_tpm, 1, tokens, now)
    until_then, alone = math.max(until_then, other), math.max(alone, other)
  end
  if alone == 0 then
    -- There is room, which is kept for those who go before it, or no slot: neither says when.
    until_then = math.min(again, 50)
  end
end
local left = want - granted
w.queue = (left > 0 or #others > 0) and 1 or 0
save(w)
if account then save(account) end

if left > 0 then
  local due = math.floor(now / 1000) + grace
  if granted == 0 then due = due + math.min(until_then, again) end
  if granted > 0 then arrived = now end
  redis.call('ZADD', KEYS[2], served + granted, id)
  redis.call('HSET', KEYS[3], id, string.format('%d:%d:%d:%d', due, left, tokens, arrived))
  redis.call('PEXPIRE', KEYS[2], lease)
  redis.call('PEXPIRE', KEYS[3], lease)
elseif is_queued then
  redis.call('ZREM', KEYS[2], id)
  redis.call('HDEL', KEYS[3], id)
end
if granted > 0 then
  if slots > 0 then hold(KEYS[6], id, holds + granted, now, lease) end
  if account_slots > 0 then hold(KEYS[7], id, holds + granted, now, lease) end
end
local processes = -1
if counts == 1 then processes = present(KEYS[4], ARGV[2], now, lease) end
return struct.pack('<ddddddd', granted, w.tick, until_then, w.epoch, account and account.epoch or 0, processes, math.min(until_then, again))
