-- Looks for an answer, and takes the lease of its question if there is none and nobody has it.
--
-- KEYS: the answer's place, the lease. ARGV: a token, the lease in ms.
-- Returns: {'answer', it}, {'taken'}, {'held', whose token}, or {'unfit'} if something else has one of the keys.
local answer = redis.pcall('GET', KEYS[1])
if type(answer) == 'string' then return { 'answer', answer } end
if type(answer) == 'table' then return { 'unfit' } end
local taken = redis.pcall('SET', KEYS[2], ARGV[1], 'NX', 'PX', ARGV[2])
if taken and taken.err then return taken end
if taken then return { 'taken' } end
local holder = redis.pcall('GET', KEYS[2])
-- A lease ends.
if type(holder) ~= 'string' or redis.call('PTTL', KEYS[2]) < 0 then return { 'unfit' } end
return { 'held', holder }
