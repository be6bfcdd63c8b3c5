-- What was cleared: a sorted set of names, each by when that was, in us of the server's clock and later than all before. In it are also
-- `all`, by when all were cleared, and `thryd 1`, the version of its layout, by when it was begun: what is of before these is of nobody.
--
-- KEYS: the set.
-- ARGV: up to when the asker knows it, or 0, or less: it has been at work for so many us and knows nothing; what is asked for, a name or `all`, or ''; '1' if that is cleared now; at most how many are told.
-- Returns: up to when it is told; from when on it holds for all; when what is asked for was cleared, or 0; then what was cleared since,
--   each with when, the earliest first. Who knows nothing is told of what was cleared while it was at work.
local set, name = KEYS[1], ARGV[2]
local seen, work, is_cleared = tonumber(ARGV[1]), 0, ARGV[3] == '1'
if seen < 0 then seen, work = 0, -seen end

local function at(member) return tonumber(redis.call('ZSCORE', set, member) or 0) end
local function text(number) return string.format('%.0f', number) end

local last = tonumber(redis.call('ZRANGE', set, -1, -1, 'WITHSCORES')[2] or 0)
local begun = at('thryd 1')
if last > 0 and begun == 0 then
  return redis.error_reply('ERR ' .. set .. ' is not a set of what was cleared, of layout 1')
end

if is_cleared or last == 0 or last < seen then
  local time = redis.call('TIME')
  local now = math.max(time[1] * 1000000 + time[2], last + 1, seen + 1)
  if last < seen or last == 0 then
    begun = now
    redis.call('ZADD', set, begun, 'thryd 1')
    -- It has lost what somebody knows: nobody can tell what, nor who else knows.
    if last > 0 then redis.call('ZADD', set, begun, 'all') end
    last, now = now, now + 1
  end
  if is_cleared then
    redis.call('ZADD', set, now, name)
    last = now
  end
  local edge = 0
  if is_cleared and name == 'all' then
    edge = now - 1
  elseif redis.call('ZCARD', set) > 65536 then
    -- Of the older half it is forgotten what it was, so it counts as all.
    edge = tonumber(redis.call('ZRANGE', set, 32768, 32768, 'WITHSCORES')[2])
  end
  if edge > 0 then
    redis.call('ZREMRANGEBYSCORE', set, '-inf', text(edge))
    redis.call('ZADD', set, begun, 'thryd 1')
    if name ~= 'all' then redis.call('ZADD', set, edge, 'all') end
  end
end

local told, since, from = last, {}, seen
if work > 0 then
  local time = redis.call('TIME')
  from = math.max(time[1] * 1000000 + time[2] - work, 1)
end
if from > 0 and last > from and ARGV[4] ~= '0' then
  since = redis.call('ZRANGEBYSCORE', set, '(' .. text(from), '+inf', 'WITHSCORES', 'LIMIT', 0, ARGV[4])
  told = tonumber(since[#since])
end
local own = name ~= '' and at(name) or 0
local answer = { text(told), text(math.max(begun, at('all'))), text(own) }
for index, part in ipairs(since) do answer[index + 3] = part end
return answer
