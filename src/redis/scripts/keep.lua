-- Keeps a record, unless a newer one or something else is there, and ends the lease under which it was asked for.
--
-- KEYS: its place, the lease of its question.
-- ARGV: the record, for how many ms, when it was asked for, now (both in ms since 1970), the lease's token or ''.
-- Returns: 1 if it was kept, 0 if a newer one was there, -1 if something that is not ours to replace was.
local asked, now, token = tonumber(ARGV[3]), tonumber(ARGV[4]), ARGV[5]
local holds = token ~= '' and redis.pcall('GET', KEYS[2]) == token

local function ended(answer)
  if holds then redis.call('DEL', KEYS[2]) end
  return answer
end

-- When the record with this head was made; nothing if that cannot be read.
local function created(head)
  local number, scale = 0, 1
  for place = 6, #head do
    local byte = head:byte(place)
    number = number + (byte % 128) * scale
    if byte < 128 then return number end
    scale = scale * 128
  end
end

local kind = redis.call('TYPE', KEYS[1]).ok
if kind ~= 'none' and kind ~= 'string' then return ended(-1) end
if kind == 'string' then
  local head = redis.call('GETRANGE', KEYS[1], 0, 14)
  local version, own = head:byte(4), ARGV[1]:byte(4)
  if head:sub(1, 3) ~= 'thR' or not version or version > own then return ended(-1) end
  if version == own then
    local made = created(head)
    -- A minute for clocks that differ; what is from later than that is damaged.
    local stands = made and made <= now + 60000
    if stands and (made > asked or (token ~= '' and not holds)) then return ended(0) end
  end
end
local done = redis.pcall('SET', KEYS[1], ARGV[1], 'PX', ARGV[2])
if done.err then return ended(done) end
return ended(1)
