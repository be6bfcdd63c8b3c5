-- First what most are: there is room for all, in the bucket of whoever came before, nobody waits, and no slot is of somebody who is not
-- heard of any more. Nothing is written before that is known of all windows.
if want <= most and counts + leaves + is_age == 0 then
  local call, ms = redis.call, math.floor(now / 1000)
  local last, adds = has_account and 5 or 1, (want > 0 or #changes > 0) and 1 or 0
  local writes, own, own_number, own_tick, rpm, tpm, slots, held, meant = nil, 0, 0, 0, rpm, tpm, slots, 8, epoch
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
          writes[#writes + 1] = { 'SETRANGE', key, place, struct.pack('<I4d', new_r, new_t) }
        end
      end
    end
    if want > 0 then
      local all = want * tokens
      if (rpm > 0 and r + want > rpm) or (tpm > 0 and t + all > tpm) then break end
      r, t, cr, ct = r + want, t + all, cr + want, ct + all
    end
    if slots > 0 then
      local first, known = call('ZRANGE', KEYS[held + 1], 0, 0, 'WITHSCORES'), call('HMGET', KEYS[held], '', id)
      local all, had, holds = tonumber(known[1]), tonumber(known[2]), holds + want
      if not all or not had or not first[2] or tonumber(first[2]) <= ms then break end
      local together = math.max(all - had, 0) + holds
      if want > 0 and together > slots then break end
      if holds ~= had then
        writes = writes or {}
        writes[#writes + 1] = { 'HSET', KEYS[held], '', together, id, holds }
      end
    end
    number = number + adds
    local counted = struct.pack('<ddddd', r, t, cr, ct, number)
    if window == last then
      for _, write in ipairs(writes or {}) do call(unpack(write)) end
      call('SETRANGE', key, 24, counted)
      if last == 1 then return struct.pack('<dddddddddddd', want, tick, 0, -1, 0, made, number, 0, 0, 0, 0, at_now) end
      return struct.pack('<dddddddddddd', want, own_tick, 0, -1, 0, own, own_number, 0, made, number, 0, at_now)
    end
    writes = writes or {}
    writes[#writes + 1] = { 'SETRANGE', key, 24, counted }
    own, own_number, own_tick = made, number, tick
    rpm, tpm, slots, held, meant = account_rpm, account_tpm, account_slots, 10, account_epoch
  end
end

