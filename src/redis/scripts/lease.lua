-- Makes a lease last longer, or ends it, for whoever has it.
--
-- KEYS: the lease. ARGV: its token, for how many ms from now, 0 to end it; what those who wait for its end are told instead of that it
--   is free, or ''.
-- Returns: 1, or 0 if somebody else has it or nobody.
if redis.pcall('GET', KEYS[1]) ~= ARGV[1] then return 0 end
if ARGV[2] ~= '0' then return redis.call('PEXPIRE', KEYS[1], ARGV[2]) end
redis.call('DEL', KEYS[1])
-- Whoever waits looks again within a second; where there is no room for it they take turns.
if ARGV[3] ~= '' then redis.pcall('SET', KEYS[1], ARGV[3], 'PX', 2000) end
return 1
