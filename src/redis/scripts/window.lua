-- A usage window in one string: what was charged lately, in SPAN buckets of WIDTH ms, by the server's clock.
--
-- Header, HEAD bytes: "thryd", a byte of version, one that is 1 if somebody may be waiting, one of nothing; then as doubles: epoch
-- (when it was made, in microseconds), tick (the bucket in which the clock stands), requests and tokens of the whole window,
-- requests and tokens of that bucket, number (how often it was charged: a server that was started from a copy has a smaller one), told (who has
-- told it all that they were charged with in the last minute, because it had forgotten).
-- Then the buckets, CELL bytes each (requests as a 32-bit number, tokens as a double), tick after tick, round and round. That of
-- the tick itself is written when the clock moves on.

-- Reads a window's head. Gives an error if the key holds something else, and raises one if it is of another type.
local function load(w)
  local head = redis.call('GETRANGE', w.key, 0, HEAD - 1)
  w.at = at_now
  if head == '' then
    w.is_new, w.epoch, w.tick, w.r, w.t, w.cr, w.ct, w.number, w.told, w.flag = true, now, w.at, 0, 0, 0, 0, 0, 0, 0
    return
  end
  local version = string.sub(head, 1, 5) == 'thryd' and string.byte(head, 6)
  if version and version ~= VERSION then
    return redis.error_reply('LAYOUT the key ' .. w.key .. ' has layout ' .. version .. ' of a newer thryd, and this one knows ' .. VERSION)
  end
  if not version or #head < HEAD then
    return redis.error_reply('FOREIGN the key ' .. w.key .. ' holds something that is not a window of thryd')
  end
  w.epoch, w.tick, w.r, w.t, w.cr, w.ct, w.number, w.told = struct.unpack('<dddddddd', head, 9)
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
    local cells, nothing = redis.call('GETRANGE', w.key, HEAD + from * CELL, HEAD + (from + count) * CELL - 1), string.rep('\0', count * CELL)
    if cells ~= nothing then
      local at, r, t = 1, 0, 0
      for _ = 1, count do
        r, t, at = struct.unpack('<I4d', cells, at)
        w.r, w.t = w.r - r, w.t - t
      end
      redis.call('SETRANGE', w.key, HEAD + from * CELL, nothing)
    end
    from, left = 0, left - count
  end
  w.tick, w.cr, w.ct = w.at, 0, 0
end

-- How many have told it their last minute lately. Kept along with the tick of whoever did last, of which there are 2^12 times as many as
-- that may be.
local MOST_TOLD, TOLD_FOR = 4096, 60

local function told_by(w)
  local count = w.told % MOST_TOLD
  return w.tick - (w.told - count) / MOST_TOLD <= TOLD_FOR and count or 0
end

-- Lets a key last at least so long: others may have reasons to let it last longer.
local function lengthen(key, ms)
  if redis.call('PTTL', key) < ms then redis.call('PEXPIRE', key, ms) end
end

-- Who has told a window its last minute: by its ledger what it told, and under '' the epoch of the window that was told.
--
-- Whether it is news what this one tells, who knew the window by that epoch: not if it was heard before, and the answer was not. Who finds
-- that a window of the same epoch has forgotten something is the first to do so, and lets all others find it too.
local function hears(w, id, telling, known)
  local epoch, heard = unpack(redis.call('HMGET', w.tellers, '', id))
  local is_new = epoch ~= string.format('%.17g', w.epoch)
  telling = string.format('%.17g', telling)
  local is_news = is_new or heard ~= telling
  if known == w.epoch and is_news then w.epoch, is_new = math.max(now, w.epoch + 1), true end
  -- Who tells something else than before tells it to one that has forgotten the others, too.
  if is_new or (heard and is_news) then redis.call('DEL', w.tellers) end
  redis.call('HSET', w.tellers, '', string.format('%.17g', w.epoch), id, telling)
  lengthen(w.tellers, WIDTH * (SPAN + 8))
  w.told = w.tick * MOST_TOLD + math.min(redis.call('HLEN', w.tellers) - 1, MOST_TOLD - 1)
  return is_news
end

local function save(w)
  -- What charges nothing can be forgotten.
  if w.is_charged then w.number = w.number + 1 end
  local head = 'thryd' .. string.char(VERSION, w.flag, 0)
    .. struct.pack('<dddddddd', w.epoch, w.tick, w.r, w.t, w.cr, w.ct, w.number, w.told)
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

-- How much too much there is of each for this to fit; what is larger than a limit waits for an empty window.
local function over(w, requests, tokens)
  local r = w.rpm > 0 and w.r + math.min(requests, w.rpm) - w.rpm or 0
  local t = w.tpm > 0 and w.t + math.min(tokens, w.tpm) - w.tpm or 0
  return r, t
end

-- Milliseconds until so much has left that one such request fits, and until it fits beside what is kept; 0 is now.
local function wait(w, tokens, kept_r, kept_t)
  local one_r, one_t = over(w, 1, tokens)
  local all_r, all_t = over(w, 1 + kept_r, tokens + kept_t)
  if all_r <= 0 and all_t <= 0 then return 0, 0 end
  local first, one = w.tick - SPAN + 1, (one_r <= 0 and one_t <= 0) and 0 or nil
  local function moment(step) return math.max(math.ceil((first + step + SPAN) * WIDTH - now / 1000), 1) end
  local step, last, gone_r, gone_t = 0, SPAN - 1, 0, 0
  if not w.is_blank then
    local cells, from, nothing = redis.call('GETRANGE', w.key, HEAD, -1), first % SPAN, string.rep('\0', 16 * CELL)
    while step < last do
      local at = (from + step) % SPAN
      if step % 16 == 0 and step + 16 <= last and at + 16 <= SPAN and string.sub(cells, at * CELL + 1, (at + 16) * CELL) == nothing then
        step = step + 16
      else
        local r, t = struct.unpack('<I4d', cells, at * CELL + 1)
        gone_r, gone_t = gone_r + r, gone_t + t
        if not one and one_r <= gone_r and one_t <= gone_t then one = moment(step) end
        if all_r <= gone_r and all_t <= gone_t then return one, moment(step) end
        step = step + 1
      end
    end
  end
  return one or moment(last), moment(last)
end

-- No lease is longer: what is said to last longer is of a clock that went back.
local LONGEST = 600000

-- Says that this process is alive, and how many are.
local function present(key, id)
  local ms = math.floor(now / 1000)
  redis.call('ZADD', key, ms + lease, id)
  redis.call('ZREMRANGEBYSCORE', key, '-inf', ms)
  redis.call('ZREMRANGEBYSCORE', key, '(' .. ms + LONGEST, '+inf')
  lengthen(key, lease)
  return redis.call('ZCARD', key)
end

-- How many requests others hold, of those who have been heard of within their lease. A hash has each ledger's, and under '' all of them
-- together; a sorted set says until when they count.
local function held_by_others(w, id)
  local ms, gone = math.floor(now / 1000), {}
  if w.holders > 0 then
    gone = redis.call('ZRANGEBYSCORE', w.held_until, '-inf', ms)
    if counts == 1 then
      for _, name in ipairs(redis.call('ZRANGEBYSCORE', w.held_until, '(' .. ms + LONGEST, '+inf')) do gone[#gone + 1] = name end
    end
  elseif redis.call('HEXISTS', w.held, '') == 1 then
    -- What said the ends was evicted on its own: nobody would ever end it.
    redis.call('DEL', w.held)
  end
  local held = redis.call('HMGET', w.held, '', id)
  for _, name in ipairs(gone) do
    local count = tonumber(redis.call('HGET', w.held, name)) or 0
    if count > 0 then held[1] = redis.call('HINCRBY', w.held, '', -count) end
    if name == id then held[2] = false end
    redis.call('HDEL', w.held, name)
    redis.call('ZREM', w.held_until, name)
  end
  w.had = tonumber(held[2])
  return math.max((tonumber(held[1]) or 0) - (w.had or 0), 0)
end

-- It holds so many. What is said of nobody any more ends with its lease, so nothing is taken out here.
local function hold(w, id, count)
  if count ~= (w.had or 0) or not w.had then redis.call('HSET', w.held, '', w.others_hold + count, id, count) end
  if counts == 1 or not w.had then
    redis.call('ZADD', w.held_until, math.floor(now / 1000) + lease, id)
    lengthen(w.held, lease)
    lengthen(w.held_until, lease)
  end
end

