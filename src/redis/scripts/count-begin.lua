-- Tells the windows of a deployment and of its account what requests really were, and reserves up to so many requests of so many
-- tokens each on both, all or nothing each.
--
-- KEYS: window, queue, waits, processes; then, if the account has limits or requests in flight are limited, account, account's
--   queue, account's waits, held and until when, account's held and until when; then, if all of the last minute is told, who has told it
--   to the window, and to the account's.
-- ARGV: ledger, process, and as doubles: how many it has use for (0 reserves nothing), how many it may have at once, tokens of each;
--   rpm, tpm and maxConcurrent of the deployment, the same of the account (0 is unlimited); how many it holds, lease in ms, how soon
--   it comes again at the latest and how much later than it said it may be, in ms; 1 if its process is to be counted, if it waits no
--   longer; what follows (0 is ticks, 1 ages, 2 the ages of all that it was charged with in the last minute); epochs of the windows
--   that are meant by what follows (0 for any); the clock in ms (0 but in tests); the last moment at which it may run, in microseconds.
--   Then threes of doubles: when, how many requests more, how many tokens more. When is a tick of the window's, or milliseconds ago.
--   Then, if it is all of the last minute, as doubles: a number that tells it from what else this ledger told, and the epochs of the
--   windows that the ledger knew.
-- Returns, as doubles: granted (-1 if it is too late, and nothing was done), tick, ms until there may be room, processes (-1 if not
--   counted), ms until it is to ask again; then of the window and of the account's, each: epoch, number, and how many have told it all of
--   their last minute (0 unless something is told, or it waits no longer); and the bucket in which the clock stands.
--
-- A bucket of a window is WIDTH ms, and SPAN buckets after it was begun it leaves: when its whole content is older than 60.25 s, so that
-- what was reserved may be sent a quarter of a second later.
local WIDTH, SPAN, HEAD, CELL, VERSION = 250, 242, 72, 12, 1

local want, most, tokens, rpm, tpm, slots, account_rpm, account_tpm, account_slots, holds, lease, again, grace, counts, leaves, is_age,
  epoch, account_epoch, given, latest = struct.unpack('<dddddddddddddddddddd', ARGV[3])
local changes = ARGV[4]
local has_account = account_rpm + account_tpm + account_slots > 0
local now = given * 1000
if given == 0 then
  local time = redis.call('TIME')
  now = time[1] * 1000000 + time[2]
end
-- Nobody waits for it any more, and what was said since may have run.
local at_now = math.floor(now / 1000 / WIDTH)
if now > latest then return struct.pack('<dddddddddddd', -1, 0, 0, -1, 0, 0, 0, 0, 0, 0, 0, at_now) end
local id = ARGV[1]

