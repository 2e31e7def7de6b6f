-- What replicas have to write down, once each: totals, and exchanges that are over.
-- KEYS: batches, totals, sizes, bytes, word, spools, the replica's spool, its open answers, what others have counted for
-- it. ARGV: the replica, the number of its batch, the beginning and the end of a journal's key, seconds to keep it, the
-- most exchanges of a journal, the most bytes of all, the word of the store that this is for, how far the spool was
-- known to be written down, how far it will be, the first entry of the spool to keep, whether another replica does this
-- for it, how many totals; then for each total its field and what to add, and for each exchange its namespace, number,
-- arrival, row and details.
if redis.call('GET', KEYS[5]) ~= ARGV[8] then return -1 end
if redis.call('HGET', KEYS[1], ARGV[1]) == ARGV[2] then return 0 end
local known = redis.call('HGET', KEYS[6], ARGV[1])
if known and known ~= ARGV[9] then return -2 end
redis.call('HSET', KEYS[1], ARGV[1], ARGV[2])
redis.call('HSET', KEYS[6], ARGV[1], ARGV[10])
redis.call('XTRIM', KEYS[7], 'MINID', ARGV[11])
local ttl, most, most_bytes, totals = ARGV[5], tonumber(ARGV[6]), tonumber(ARGV[7]), tonumber(ARGV[13])
local at, is_for_another = 14, ARGV[12] == '1'
if is_for_another then redis.call('DEL', KEYS[8]) end
for _ = 1, totals do
  if is_for_another then redis.call('HINCRBYFLOAT', KEYS[9], ARGV[at], ARGV[at + 1]) end
  if string.find(ARGV[at + 1], '.', 1, true) then
    redis.call('HINCRBYFLOAT', KEYS[2], ARGV[at], ARGV[at + 1])
  else
    redis.call('HINCRBY', KEYS[2], ARGV[at], ARGV[at + 1])
  end
  at = at + 2
end

local function journal(namespace) return ARGV[3] .. namespace .. ARGV[4] end

-- Drops the oldest exchanges; returns how many bytes they had.
local function drop(namespace, count)
  local key, dropped, last = journal(namespace), 0, nil
  for _, entry in ipairs(redis.call('XRANGE', key, '-', '+', 'COUNT', count)) do
    dropped = dropped + 64 + #entry[2][6] + #entry[2][8]
    redis.call('HDEL', key .. ':acknowledged', entry[2][2])
    redis.call('XDEL', key, entry[1])
  end
  return dropped
end

local grown = {}
while at <= #ARGV do
  local namespace = ARGV[at]
  redis.call('XADD', journal(namespace), '*', 'n', ARGV[at + 1], 'a', ARGV[at + 2], 'r', ARGV[at + 3], 'd', ARGV[at + 4])
  grown[namespace] = (grown[namespace] or 0) + 64 + #ARGV[at + 3] + #ARGV[at + 4]
  at = at + 5
end
local all = 0
for namespace, bytes in pairs(grown) do
  local over = redis.call('XLEN', journal(namespace)) - most
  if over > 0 then bytes = bytes - drop(namespace, over) end
  redis.call('EXPIRE', journal(namespace), ttl)
  redis.call('EXPIRE', journal(namespace) .. ':acknowledged', ttl)
  redis.call('ZINCRBY', KEYS[3], bytes, namespace)
  all = all + bytes
end
local total = redis.call('INCRBY', KEYS[4], all)
while total > most_bytes do
  local fullest = redis.call('ZREVRANGE', KEYS[3], 0, 0, 'WITHSCORES')
  if not fullest[1] then
    redis.call('SET', KEYS[4], 0)
    break
  end
  local dropped = drop(fullest[1], 16)
  if dropped == 0 then
    dropped = tonumber(fullest[2])
    redis.call('ZREM', KEYS[3], fullest[1])
  else
    redis.call('ZINCRBY', KEYS[3], -dropped, fullest[1])
  end
  total = redis.call('DECRBY', KEYS[4], dropped)
end
return 1
