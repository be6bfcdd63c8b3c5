-- Makes a lease last longer, or ends it, for whoever has it.
--
-- KEYS: the lease. ARGV: its token, for how many ms from now; 0 ends it.
-- Returns: 1, or 0 if somebody else has it or nobody.
if redis.pcall('GET', KEYS[1]) ~= ARGV[1] then return 0 end
if ARGV[2] == '0' then return redis.call('DEL', KEYS[1]) end
return redis.call('PEXPIRE', KEYS[1], ARGV[2])
