-- A usage window in one string: what was charged lately, in SPAN buckets of WIDTH ms, by the server's clock.
--
-- Header, HEAD bytes: "thryd", a byte of version, one that is 1 if somebody may be waiting, one of nothing; then as doubles: epoch
-- (when it was made, in microseconds), tick (the bucket in which the clock stands), requests and tokens of the whole window,
-- requests and tokens of that bucket.
-- Then the buckets, CELL bytes each (requests as a 32-bit number, tokens as a double), tick after tick, round and round. That of
-- the tick itself is written when the clock moves on.

-- Reads a window's head. Gives an error if the key holds something else, and raises one if it is of another type.
local function load(w)
  local head = redis.call('GETRANGE', w.key, 0, HEAD - 1)
  w.at = math.floor(now / 1000 / WIDTH)
  if head == '' then
    w.is_new, w.epoch, w.tick, w.r, w.t, w.cr, w.ct, w.flag = true, now, w.at, 0, 0, 0, 0, 0
    return
  end
  if #head < HEAD or string.sub(head, 1, 5) ~= 'thryd' then
    return redis.error_reply('FOREIGN the key ' .. w.key .. ' holds something that is not a window of thryd')
  end
  local version = string.byte(head, 6)
  if version ~= VERSION then
    return redis.error_reply('LAYOUT the key ' .. w.key .. ' has layout ' .. version .. ' of a newer thryd, and this one knows ' .. VERSION)
  end
  w.epoch, w.tick, w.r, w.t, w.cr, w.ct = struct.unpack('<dddddd', head, 9)
  w.flag = string.byte(head, 7)
end

local function place(tick) return HEAD + (tick % SPAN) * CELL end

-- Lets the clock run to the moment of the load, and forgets the buckets that have left by then.
local function advance(w)
  local gap = w.at - w.tick
  if w.is_new or gap >= SPAN then
    if not w.is_new then w.r, w.t, w.cr, w.ct, w.tick = 0, 0, 0, 0, w.at end
    w.is_blank = true
    return
  end
  if gap < -4 then
    -- The clock went back, on another server perhaps: all of it counts for a whole window from now on.
    w.cr, w.ct, w.tick, w.is_blank = w.r, w.t, w.at, true
    return
  end
  if gap <= 0 then return end
  w.moved = true
  redis.call('SETRANGE', w.key, place(w.tick), struct.pack('<I4d', w.cr, w.ct))
  local from, left = (w.tick + 1) % SPAN, gap
  while left > 0 do
    local count = math.min(left, SPAN - from)
    local cells = redis.call('GETRANGE', w.key, HEAD + from * CELL, HEAD + (from + count) * CELL - 1)
    local at, r, t = 1, 0, 0
    for _ = 1, count do
      r, t, at = struct.unpack('<I4d', cells, at)
      w.r, w.t = w.r - r, w.t - t
    end
    redis.call('SETRANGE', w.key, HEAD + from * CELL, string.rep('\0', count * CELL))
    from, left = 0, left - count
  end
  w.tick, w.cr, w.ct = w.at, 0, 0
end

-- Lets a key last at least so long: others may have reasons to let it last longer.
local function lengthen(key, ms)
  if redis.call('PTTL', key) < ms then redis.call('PEXPIRE', key, ms) end
end

local function save(w)
  local head = 'thryd' .. string.char(VERSION, w.flag, 0) .. struct.pack('<dddddd', w.epoch, w.tick, w.r, w.t, w.cr, w.ct)
  if w.is_blank then
    redis.call('SET', w.key, head .. string.rep('\0', SPAN * CELL))
  else
    redis.call('SETRANGE', w.key, 0, head)
  end
  if w.is_blank or w.moved then redis.call('PEXPIRE', w.key, WIDTH * (SPAN + 8)) end
end

-- Adds to the bucket of a tick; to none that has left or is not there yet. Never below nothing.
local function add(w, tick, requests, tokens)
  if tick > w.tick or tick <= w.tick - SPAN then return end
  if tick == w.tick then
    local r, t = math.max(w.cr + requests, 0), math.max(w.ct + tokens, 0)
    w.r, w.t, w.cr, w.ct = w.r + r - w.cr, w.t + t - w.ct, r, t
    return
  end
  if w.is_blank then
    -- Written first, so that there is a bucket to write to.
    save(w)
    w.is_blank, w.moved = false, true
  end
  local at = place(tick)
  local had_r, had_t = struct.unpack('<I4d', redis.call('GETRANGE', w.key, at, at + CELL - 1))
  local r, t = math.max(had_r + requests, 0), math.max(had_t + tokens, 0)
  redis.call('SETRANGE', w.key, at, struct.pack('<I4d', r, t))
  w.r, w.t = w.r + r - had_r, w.t + t - had_t
end

-- Milliseconds until so much has left that this fits; 0 is now. What is larger than a limit waits for an empty window.
local function wait(w, requests, tokens)
  local over_r, over_t = 0, 0
  if w.rpm > 0 then over_r = w.r + math.min(requests, w.rpm) - w.rpm end
  if w.tpm > 0 then over_t = w.t + math.min(tokens, w.tpm) - w.tpm end
  if over_r <= 0 and over_t <= 0 then return 0 end
  local first = w.tick - SPAN + 1
  if not w.is_blank then
    local cells, from = redis.call('GETRANGE', w.key, HEAD, -1), first % SPAN
    for step = 0, SPAN - 2 do
      local r, t = struct.unpack('<I4d', cells, ((from + step) % SPAN) * CELL + 1)
      over_r, over_t = over_r - r, over_t - t
      if over_r <= 0 and over_t <= 0 then
        return math.max(math.ceil((first + step + SPAN) * WIDTH - now / 1000), 1)
      end
    end
  end
  return math.max(math.ceil((w.tick + SPAN) * WIDTH - now / 1000), 1)
end

-- Says that this process is alive, and how many are.
local function present(key, id)
  local ms = math.floor(now / 1000)
  redis.call('ZADD', key, ms + lease, id)
  redis.call('ZREMRANGEBYSCORE', key, '-inf', ms)
  lengthen(key, lease)
  return redis.call('ZCARD', key)
end

-- How many requests others hold, of those who have been heard of within their lease.
local function held_by_others(key, id)
  local all, sum = redis.call('HGETALL', key), 0
  for i = 1, #all, 2 do
    local count, ends = string.match(all[i + 1], '^(%d+):(%d+)$')
    if not count or tonumber(ends) * 1000 <= now then
      redis.call('HDEL', key, all[i])
    elseif all[i] ~= id then
      sum = sum + tonumber(count)
    end
  end
  return sum
end

local function hold(key, id, count)
  if count > 0 then
    redis.call('HSET', key, id, string.format('%d:%d', count, math.floor(now / 1000) + lease))
    lengthen(key, lease)
  else
    redis.call('HDEL', key, id)
  end
end

