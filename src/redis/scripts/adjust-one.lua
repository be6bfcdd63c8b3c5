-- Tells the windows of a deployment and of its account what requests really were, or what was admitted without asking.
--
-- KEYS: as for reserving.
-- ARGV: ledger, process, and as doubles: how many it holds, lease in ms, 1 if the account has limits, if requests in flight are
--   limited, if those of the account are, if it waits no longer, if its process is to be counted, if what follows is of ages;
--   the clock in ms (0 but in tests), epochs of the windows that are meant (0 for any); then threes of doubles: when, how many
--   requests more, how many tokens more. When is a tick of the window's, or milliseconds ago.
-- Returns, as doubles: epoch, account's epoch, processes (-1 if not counted).
--
-- First what most corrections are: of one window, and nothing else.
local holds, lease, has_account, has_slots, has_account_slots, leaves, counts, is_age, given, epoch, account_epoch =
  struct.unpack('<ddddddddddd', ARGV[3])
local changes = ARGV[4]
if has_account + has_slots + has_account_slots + leaves + counts + is_age == 0 then
  local head = redis.call('GETRANGE', KEYS[1], 0, 55)
  if #head == 56 and string.sub(head, 1, 6) == 'thryd\1' then
    local made, tick, r, t, cr, ct = struct.unpack('<dddddd', head, 9)
    if epoch == 0 or epoch == made then
      for i = 1, #changes, 24 do
        local at, more_r, more_t = struct.unpack('<ddd', changes, i)
        if at == tick then
          local new_r, new_t = math.max(cr + more_r, 0), math.max(ct + more_t, 0)
          r, t, cr, ct = r + new_r - cr, t + new_t - ct, new_r, new_t
        elseif at < tick and at > tick - 241 then
          local place = 56 + at % 241 * 12
          local had_r, had_t = struct.unpack('<I4d', redis.call('GETRANGE', KEYS[1], place, place + 11))
          local new_r, new_t = math.max(had_r + more_r, 0), math.max(had_t + more_t, 0)
          redis.call('SETRANGE', KEYS[1], place, struct.pack('<I4d', new_r, new_t))
          r, t = r + new_r - had_r, t + new_t - had_t
        end
      end
      redis.call('SETRANGE', KEYS[1], 24, struct.pack('<dddd', r, t, cr, ct))
    end
    return struct.pack('<ddd', made, 0, -1)
  end
end
local now = given * 1000
if given == 0 then
  local time = redis.call('TIME')
  now = time[1] * 1000000 + time[2]
end

