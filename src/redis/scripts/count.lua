-- All else.
--
-- Who waits for a window is in its queue, by what it was given while it was in it: who was given least goes first, then who has waited
-- longest. Whoever asks leaves as much room as those who go before it have use for, as long as they come when they said. So
-- nobody is overtaken by more than one request, and whatever nobody else has use for is given at once.
--
-- A score is what was given, and behind the point since when it waits: in ms since the window was begun, of 2^32.
local windows = {
  {
    key = KEYS[1], queue = KEYS[2], waits = KEYS[3], held = slots > 0 and KEYS[8], held_until = KEYS[9],
    rpm = rpm, tpm = tpm, slots = slots, meant = epoch, tellers = KEYS[12],
  },
}
if has_account then
  windows[2] = {
    key = KEYS[5], queue = KEYS[6], waits = KEYS[7], held = account_slots > 0 and KEYS[10], held_until = KEYS[11],
    rpm = account_rpm, tpm = account_tpm, slots = account_slots, meant = account_epoch, tellers = KEYS[13],
  }
end

-- Whatever holds something else is found before anything is written.
for _, w in ipairs(windows) do
  local fault = load(w)
  if fault then return fault end
  w.waiting = redis.call('ZCARD', w.queue)
  redis.call('HLEN', w.waits)
  if is_age == 2 then redis.call('HLEN', w.tellers) end
  if w.held then
    redis.call('HLEN', w.held)
    w.holders = redis.call('ZCARD', w.held_until)
  end
end
redis.call('ZCARD', KEYS[4])
for _, w in ipairs(windows) do
  if w.held then w.others_hold = held_by_others(w, id) end
end

local telling, known = nil, {}
if is_age == 2 then telling, known[1], known[2] = struct.unpack('<ddd', ARGV[5]) end
for i, w in ipairs(windows) do
  -- A window that is not there has nothing to be corrected, but may be told what was.
  w.is_used = want > 0 or not w.is_new or is_age > 0
  if w.is_used then
    advance(w)
    w.is_charged = #changes > 0 or is_age > 0
    local is_meant = (w.meant == 0 or w.meant == w.epoch) and (is_age > 0 or not w.is_new)
    if is_meant and (is_age < 2 or hears(w, id, telling, known[i])) then
      for i = 1, #changes, 24 do
        local at, r, t = struct.unpack('<ddd', changes, i)
        add(w, is_age > 0 and math.min(math.floor((now / 1000 - at) / WIDTH), w.tick) or at, r, t)
      end
    end
  end
end

local function score(w, served)
  local since = math.min(math.max((w.arrived - w.epoch) / 1000, 0), 4294967295) / 4294967296
  return string.format('%.17g', served + since)
end

-- So many of those in front are looked at one by one.
local FRONT = 8

-- Nobody who waits stays away for longer, in ms, however many they are.
local AWAY = 60000

-- Who goes before it there, and how much is free.
local function look(w)
  w.free_r = w.rpm > 0 and w.rpm - w.r or math.huge
  w.free_t = w.tpm > 0 and w.tpm - w.t or math.huge
  w.free_slots = w.held and w.slots - w.others_hold - holds or math.huge
  -- Of the others, one after the other: what they were given, since when they wait, what they have use for, of how many tokens.
  w.others, w.served, w.arrived = {}, 0, now
  if w.flag == 0 or w.waiting == 0 then return end
  local own = redis.call('ZSCORE', w.queue, id)
  local entry = own and redis.call('HGET', w.waits, id)
  if entry and #entry == 32 then
    local _, _, _, since = struct.unpack('<dddd', entry)
    w.is_queued, w.served, w.arrived = true, math.floor(own), since
  end
  local front = redis.call('ZRANGE', w.queue, 0, FRONT - 1, 'WITHSCORES')
  local names, least, others = {}, w.is_queued and w.served, w.others
  for i = 1, #front, 2 do names[#names + 1] = front[i] end
  local waits = redis.call('HMGET', w.waits, unpack(names))
  for i, name in ipairs(names) do
    local due, has_use, size, since = 0, 0, 0, 0
    if waits[i] and #waits[i] == 32 then due, has_use, size, since = struct.unpack('<dddd', waits[i]) end
    -- Late, or of a clock that went back.
    if name ~= id and (due * 1000 < now or due * 1000 > now + (grace + AWAY) * 1000) then
      redis.call('ZREM', w.queue, name)
      redis.call('HDEL', w.waits, name)
    elseif name ~= id then
      local served = math.floor(front[i * 2])
      least = math.min(least or served, served)
      if w.tpm > 0 then size = math.min(size, w.tpm) end
      local n = #others
      others[n + 1], others[n + 2], others[n + 3], others[n + 4] = served, since, has_use, size
    end
  end
  if not w.is_queued then w.served = least or 0 end
  -- Of those further behind: how many go before it, how many do not, and what they were given at least.
  local unseen = w.waiting - #names
  if unseen > 0 and #others > 0 then
    local before = redis.call('ZCOUNT', w.queue, '-inf', '(' .. score(w, w.served)) - #names
    w.before = math.min(math.max(before, 0), unseen)
    w.after, w.last = unseen - w.before, math.floor(front[#front])
  end
end

-- What is to be left for those who go before it, if it is given so many.
local function kept(w, count)
  local r, t, others = 0, 0, w.others
  for i = 1, #others, 4 do
    local behind, is_before = w.served + count - 1 - others[i], others[i + 1] < w.arrived
    if behind >= 0 and (is_before or behind > 0) then
      local use = math.min(is_before and behind + 1 or behind, others[i + 2])
      r, t = r + use, t + use * others[i + 3]
    end
  end
  if w.before then
    local behind = math.max(w.served + count - 1 - w.last, 0)
    local use = (w.before + w.after) * behind + w.before
    r, t = r + use, t + use * others[#others]
  end
  return r, t
end

local function fits(w, count)
  local r, t = kept(w, count)
  local all = count * tokens
  if count == 1 and w.tpm > 0 then all = math.min(all, w.tpm) end
  return count + r <= w.free_r and all + t <= w.free_t and count + r <= w.free_slots
end

local function all_fit(count)
  for _, w in ipairs(windows) do
    if not fits(w, count) then return false end
  end
  return true
end

local granted, until_then, pause = 0, 0, 0
if want > 0 then
  local waiting = 0
  for _, w in ipairs(windows) do
    look(w)
    if w.flag == 1 then waiting = math.max(waiting, w.waiting) end
  end
  granted = math.min(want, most)
  while granted > 0 and not all_fit(granted) do
    -- The largest that fits is looked for by halves: what fits does so with fewer.
    granted = math.floor(granted / 2)
  end
  local left = want - granted
  if granted == 0 then
    -- The more wait, the less often each of them looks whether something was given back.
    local stretch = math.max(math.floor(waiting / 64), 1)
    local alone = 0
    for _, w in ipairs(windows) do
      local one, all = wait(w, tokens, kept(w, 1))
      alone, until_then = math.max(alone, one), math.max(until_then, all)
    end
    again = math.min(again * stretch, AWAY)
    -- There is room, which is kept for those who go before it, or no slot: neither says when.
    if alone == 0 then until_then = math.min(again, 50 * stretch) end
    pause = math.min(until_then, again)
  end
  for _, w in ipairs(windows) do
    -- Who was given a part asks for the rest at once; of others, a window that is not in the way is not waited for.
    local is_short = left > 0 and (granted > 0 or not fits(w, 1))
    w.flag = (is_short or #w.others > 0 or w.waiting > FRONT) and 1 or 0
    if is_short then
      if granted > 0 then w.arrived = now end
      local due = math.floor(now / 1000) + grace + pause
      redis.call('ZADD', w.queue, score(w, w.served + granted), id)
      redis.call('HSET', w.waits, id, struct.pack('<dddd', due, left, tokens, w.arrived))
      lengthen(w.queue, lease + grace + pause)
      lengthen(w.waits, lease + grace + pause)
    elseif w.is_queued then
      redis.call('ZREM', w.queue, id)
      redis.call('HDEL', w.waits, id)
    end
    w.r, w.t, w.cr, w.ct = w.r + granted, w.t + granted * tokens, w.cr + granted, w.ct + granted * tokens
  end
end

for _, w in ipairs(windows) do
  w.is_charged = w.is_charged or granted > 0
  if w.is_used then save(w) end
  if w.held and (w.had or holds + granted > 0) then hold(w, id, holds + granted) end
  if leaves == 1 then
    redis.call('ZREM', w.queue, id)
    redis.call('HDEL', w.waits, id)
  end
end
local processes = -1
if counts == 1 then processes = present(KEYS[4], ARGV[2]) end
local own, below = windows[1], windows[2] or { epoch = 0, number = 0, told = 0, tick = 0 }
return struct.pack('<dddddddddddd', granted, own.tick, until_then, processes, pause, own.epoch, own.number, told_by(own), below.epoch,
  below.number, told_by(below), at_now)
