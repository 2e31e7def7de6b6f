-- The only part of the store that most requests need: the number of their attempt. It does the same as `decide` of
-- store.lua for a plan with nothing else in it.
--
-- KEYS  1 … 8  as in store.lua, without leases
-- ARGV  1 milliseconds to keep the namespace  2 whether to renew all keys, or only those that this script uses
--       3 the limit of a generation  then, for each kind of request: its identity, the counter of its rule, the account
--       whose balance must not have been set at run time (each may be empty), the number of requests
--
-- Replies with the state and, for each kind, the attempt before the first of them; -1: it needs a plan.

local call = redis.call
local VALUES, NEW, OLD, ttl, limit = KEYS[1], KEYS[2], KEYS[3], ARGV[1], tonumber(ARGV[3])
local reply, uses = {call('HGET', VALUES, 'state') or 'start'}, {}

for place = 4, #ARGV, 4 do
  local identity, rule, given, count = ARGV[place], ARGV[place + 1], ARGV[place + 2], ARGV[place + 3]
  if given ~= '' and call('HEXISTS', VALUES, given) == 1 then
    reply[#reply + 1] = -1
  else
    local before = call('HINCRBY', NEW, identity, count) - count
    if before == 0 then
      local older = call('HGET', OLD, identity)
      if older then
        before = tonumber(older)
        call('HINCRBY', NEW, identity, older)
      end
      if call('HLEN', NEW) > limit then call('RENAME', NEW, OLD) end
    end
    reply[#reply + 1] = before
    if rule ~= '' then uses[rule] = (uses[rule] or 0) + count end
  end
end
for rule, count in pairs(uses) do call('HINCRBY', VALUES, rule, count) end

if ARGV[2] == '1' then
  for place = 1, 8 do call('PEXPIRE', KEYS[place], ttl) end
else
  for place = 1, 2 do
    if call('PTTL', KEYS[place]) == -1 then call('PEXPIRE', KEYS[place], ttl) end
  end
end
return reply
