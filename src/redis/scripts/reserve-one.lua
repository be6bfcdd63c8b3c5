-- Reserves up to so many requests of so many tokens each, on a deployment and on its account, all or nothing each.
--
-- KEYS: window, queue, waits, processes; then, if the account has limits or requests in flight are limited, account, held, account's
--   held.
-- ARGV: ledger, process, and as doubles: how many it has use for, how many it may have at once, tokens of each; rpm, tpm and
--   maxConcurrent of the deployment, the same of the account (0 is unlimited); how many it holds, lease in ms, how soon it comes
--   again at the latest and how much later than it said it may be, in ms; 1 if its process is to be counted; the clock in ms (0 but
--   in tests).
-- Returns, as doubles: granted, tick, ms until there may be room, epoch, account's epoch, processes (-1 if not counted), ms until it is
--   to ask again.
--
-- First what most asks are: there is room for all, in the bucket of the ask before, and nobody waits.
local want, most, tokens, rpm, tpm, slots, account_rpm, account_tpm, account_slots, holds, lease, again, grace, counts, given =
  struct.unpack('<ddddddddddddddd', ARGV[3])
local now = given * 1000
if given == 0 then
  local time = redis.call('TIME')
  now = time[1] * 1000000 + time[2]
end
local is_simple = want <= most and slots + account_rpm + account_tpm + account_slots + counts == 0
if is_simple then
  local head = redis.call('GETRANGE', KEYS[1], 0, 55)
  if #head == 56 and string.sub(head, 1, 7) == 'thryd\1\0' then
    local epoch, tick, r, t, cr, ct = struct.unpack('<dddddd', head, 9)
    local all = want * tokens
    if tick == math.floor(now / 250000) and (rpm == 0 or r + want <= rpm) and (tpm == 0 or t + all <= tpm) then
      redis.call('SETRANGE', KEYS[1], 24, struct.pack('<dddd', r + want, t + all, cr + want, ct + all))
      return struct.pack('<ddddddd', want, tick, 0, epoch, 0, -1, 0)
    end
  end
end

