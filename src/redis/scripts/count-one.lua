-- Tells the windows of a deployment and of its account what requests really were, and reserves up to so many requests of so many
-- tokens each on both, all or nothing each.
--
-- KEYS: window, queue, waits, processes; then, if the account has limits or requests in flight are limited, account, account's
--   queue, account's waits, held and until when, account's held and until when.
-- ARGV: ledger, process, and as doubles: how many it has use for (0 reserves nothing), how many it may have at once, tokens of each;
--   rpm, tpm and maxConcurrent of the deployment, the same of the account (0 is unlimited); how many it holds, lease in ms, how soon
--   it comes again at the latest and how much later than it said it may be, in ms; 1 if its process is to be counted, if it waits no
--   longer; what follows (0 is ticks, 1 ages, 2 the ages of all that it was charged with in the last minute); epochs of the windows that are meant by what follows (0 for any); the clock in ms (0 but in
--   tests). Then threes of doubles: when, how many requests more, how many tokens more. When is a tick of the window's, or
--   milliseconds ago.
-- Returns, as doubles: granted, tick, ms until there may be room, processes (-1 if not counted), ms until it is to ask again; then of
--   the window and of the account's, each: epoch, number, and how many have told it all of their last minute (0 unless something is
--   told, or it waits no longer).
--
-- A bucket of a window is WIDTH ms, and SPAN buckets after it was begun it leaves: when its whole content is older than 60.25 s, so that
-- what was reserved may be sent a quarter of a second later.
local WIDTH, SPAN, HEAD, CELL, VERSION = 250, 242, 72, 12, 1

local want, most, tokens, rpm, tpm, slots, account_rpm, account_tpm, account_slots, holds, lease, again, grace, counts, leaves, is_age,
  epoch, account_epoch, given = struct.unpack('<ddddddddddddddddddd', ARGV[3])
local changes = ARGV[4]
local has_account = account_rpm + account_tpm + account_slots > 0
local now = given * 1000
if given == 0 then
  local time = redis.call('TIME')
  now = time[1] * 1000000 + time[2]
end

-- First what most are: there is room for all, in the bucket of whoever came before, and nobody waits. Nothing is written before that is
-- known of all windows.
if want <= most and slots + account_slots + counts + leaves + is_age == 0 then
  local call, at_now, last = redis.call, math.floor(now / 1000 / WIDTH), has_account and 5 or 1
  local writes, own, own_number, own_tick, rpm, tpm, meant = nil, 0, 0, 0, rpm, tpm, epoch
  for window = 1, last, 4 do
    local key = KEYS[window]
    local head = call('GETRANGE', key, 0, HEAD - 1)
    if #head ~= HEAD or string.sub(head, 1, 6) ~= 'thryd\1' or (want > 0 and string.byte(head, 7) ~= 0) then break end
    local made, tick, r, t, cr, ct, number = struct.unpack('<ddddddd', head, 9)
    if tick ~= at_now then break end
    if meant == 0 or meant == made then
      for i = 1, #changes, 24 do
        local at, more_r, more_t = struct.unpack('<ddd', changes, i)
        if at == tick then
          local new_r, new_t = math.max(cr + more_r, 0), math.max(ct + more_t, 0)
          r, t, cr, ct = r + new_r - cr, t + new_t - ct, new_r, new_t
        elseif at < tick and at > tick - SPAN then
          local place = HEAD + at % SPAN * CELL
          local had_r, had_t = struct.unpack('<I4d', call('GETRANGE', key, place, place + CELL - 1))
          local new_r, new_t = math.max(had_r + more_r, 0), math.max(had_t + more_t, 0)
          r, t = r + new_r - had_r, t + new_t - had_t
          writes = writes or {}
          writes[#writes + 1] = { key, place, struct.pack('<I4d', new_r, new_t) }
        end
      end
    end
    if want > 0 then
      local all = want * tokens
      if (rpm > 0 and r + want > rpm) or (tpm > 0 and t + all > tpm) then break end
      r, t, cr, ct = r + want, t + all, cr + want, ct + all
    end
    number = number + 1
    local counted = struct.pack('<ddddd', r, t, cr, ct, number)
    if window == last then
      for _, write in ipairs(writes or {}) do call('SETRANGE', write[1], write[2], write[3]) end
      call('SETRANGE', key, 24, counted)
      if last == 1 then return struct.pack('<ddddddddddd', want, tick, 0, -1, 0, made, number, 0, 0, 0, 0) end
      return struct.pack('<ddddddddddd', want, own_tick, 0, -1, 0, own, own_number, 0, made, number, 0)
    end
    writes = writes or {}
    writes[#writes + 1] = { key, 24, counted }
    own, own_number, own_tick = made, number, tick
    rpm, tpm, meant = account_rpm, account_tpm, account_epoch
  end
end

