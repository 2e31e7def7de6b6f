-- Stored responses in Redis: what `save` and `load` of emulator/state/memory_store.py do, line for line.
--
-- KEYS  1 documents by id, and their bytes in the field ''  2 ids, oldest first  3 the response of each item
-- ARGV  1 what to do  2 milliseconds until they are forgotten
--       save: 3 the most responses  4 their most bytes  then, for each: id, document (empty: deleted), whose first line has
--             the ids of its items
--       load: 3 … ids of responses or items

local call = redis.call
local DOCUMENTS, ORDER, ITEMS = KEYS[1], KEYS[2], KEYS[3]

local function items_of(document) return string.gmatch(string.match(document, '^[^\n]*'), '%S+') end

local function drop(id)
  local document = call('HGET', DOCUMENTS, id)
  if not document then return end
  call('HDEL', DOCUMENTS, id)
  call('HINCRBY', DOCUMENTS, '', -#document)
  for item in items_of(document) do
    if call('HGET', ITEMS, item) == id then call('HDEL', ITEMS, item) end
  end
end

local reply = {}
if ARGV[1] == 'save' then
  for place = 5, #ARGV, 2 do
    local id, document = ARGV[place], ARGV[place + 1]
    drop(id)
    call('LREM', ORDER, 0, id)
    if document ~= '' then
      call('RPUSH', ORDER, id)
      call('HSET', DOCUMENTS, id, document)
      call('HINCRBY', DOCUMENTS, '', #document)
      for item in items_of(document) do call('HSET', ITEMS, item, id) end
    end
  end
  while call('LLEN', ORDER) > tonumber(ARGV[3]) or tonumber(call('HGET', DOCUMENTS, '') or 0) > tonumber(ARGV[4]) do
    local oldest = call('LPOP', ORDER)
    if not oldest then break end
    drop(oldest)
  end
else
  for place = 3, #ARGV do
    local id = ARGV[place]
    local document = call('HGET', DOCUMENTS, id)
    if not document then
      local holder = call('HGET', ITEMS, id)
      document = holder and call('HGET', DOCUMENTS, holder)
    end
    reply[#reply + 1] = document or ''
  end
end
for place = 1, 3 do call('PEXPIRE', KEYS[place], ARGV[2]) end
return reply
