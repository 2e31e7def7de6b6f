-- The store in Redis: the same as emulator/state/memory_store.py, line for line, in one step on the server.
--
-- KEYS  1 values  2 3 attempts  4 5 prefixes  6 7 tallies (each with the generation before it)  8 names of leases
--       9 … leases; for `change` the stored responses (responses.lua)
-- ARGV  1 the operation  2 its argument as JSON  3 milliseconds to keep the namespace  4 whether to renew all its keys
--       5 … the quotas of the leases
--
-- Lua's numbers are floats: integers stay below 2^53, money is two of them, and floats are written so that they are
-- read back exactly.

local BASE, MAX_RECENT, MAX_TALLIES, MINUTE, LEASE_MS = 1e15, 20000, 10000, 60.0, 15000
local VALUES, LEASES = KEYS[1], KEYS[8]
local ATTEMPTS, PREFIXES, TALLIES = {KEYS[2], KEYS[3], MAX_RECENT}, {KEYS[4], KEYS[5], MAX_RECENT}, {KEYS[6], KEYS[7], MAX_TALLIES}
local call = redis.call
local argument, ttl = cjson.decode(ARGV[2]), ARGV[3]

local function is_table(value) return type(value) == 'table' end
local function exact(number) return string.format('%.17g', number) end
local function whole(number) return string.format('%.0f', number) end

local function get(kept, field)
  return call('HGET', kept[1], field) or call('HGET', kept[2], field)
end

local function put(kept, field, value)
  call('HSET', kept[1], field, value)
  if call('HLEN', kept[1]) > kept[3] then call('RENAME', kept[1], kept[2]) end
end

local function words(text)
  local found = {}
  for word in string.gmatch(text, '%S+') do found[#found + 1] = tonumber(word) end
  return found
end

local function written(amount) return whole(amount[1]) .. ' ' .. whole(amount[2]) end

local function plus(one, other)
  local high, low = one[1] + other[1], one[2] + other[2]
  if low >= BASE then high, low = high + 1, low - BASE end
  return {high, low}
end

local function minus(one, other)
  local high, low = one[1] - other[1], one[2] - other[2]
  if low < 0 then high, low = high - 1, low + BASE end
  return {high, low}
end

local function milliseconds()
  local time = call('TIME')
  return time[1] * 1000 + math.floor(time[2] / 1000)
end

local lease_key = {}
for place = 5, #ARGV do lease_key[ARGV[place]] = KEYS[place + 4] end

local function balance_of(account)
  if not is_table(account) then return nil end
  local given = call('HGET', VALUES, account.given)
  if given then
    if given == '-' then return nil end
    return words(given)
  end
  if not is_table(account.balance) then return nil end
  return minus(account.balance, words(call('HGET', VALUES, account.spent) or '0 0'))
end

local function reply_of(rule, used, place)
  if rule.times >= 0 and used >= rule.times then return -1 end
  if #rule.drawn > 0 then return rule.drawn[place + 1] end
  if used < rule.replies then return used end
  if rule['then'] == 'cycle' then return used % rule.replies end
  if rule['then'] == 'repeat_last' then return rule.replies - 1 end
  return -1
end

local function find(plan, state, place)
  for number, rule in ipairs(plan.rules) do
    local holds = true
    if next(rule.when) ~= nil then
      local mask = rule.when['=' .. state] or rule.when['*'] or ''
      holds = string.sub(mask, place + 1, place + 1) == '1'
    end
    if holds then
      local key = 'u:' .. rule.key
      local reply = reply_of(rule, tonumber(call('HGET', VALUES, key) or 0), place)
      if reply >= 0 then
        call('HINCRBY', VALUES, key, 1)
        local new = rule.sets[reply + 1]
        if type(new) == 'string' then call('HSET', VALUES, 'state', new) end
        return number - 1, reply, rule
      end
    end
  end
  return -1, 0, nil
end

local function is_windowed(quota) return quota.requests >= 0 or quota.tokens >= 0 end

local function tally_of(quota, now)
  local found = get(TALLIES, 'q:' .. quota.key)
  if found then
    found = words(found)
    if now < found[1] then return found end
  end
  return {quota['end'], 0, 0}
end

local function keep_tally(quota, tally)
  put(TALLIES, 'q:' .. quota.key, exact(tally[1]) .. ' ' .. whole(tally[2]) .. ' ' .. whole(tally[3]))
end

local function admit(plan, decision)
  local tallies = {}
  for number, quota in ipairs(plan.quotas) do
    local tally, refused = tally_of(quota, plan.now), ''
    tallies[number] = tally
    if quota.concurrency >= 0 then
      local key = lease_key[quota.key]
      call('ZREMRANGEBYSCORE', key, '-inf', milliseconds())
      decision.open = call('ZCARD', key)
      if decision.open >= quota.concurrency then refused = 'concurrency' end
    end
    if refused == '' and quota.requests >= 0 and tally[2] >= quota.requests then refused = 'requests' end
    if refused == '' and quota.tokens >= 0 and tally[3] >= quota.tokens then refused = 'tokens' end
    if refused ~= '' then
      decision.refused, decision.quota, decision['end'] = refused, number - 1, exact(tally[1])
      return
    end
  end
  for number, quota in ipairs(plan.quotas) do
    local tally = tallies[number]
    decision.tokens[number] = tally[3]
    if is_windowed(quota) then keep_tally(quota, {tally[1], tally[2] + 1, tally[3]}) end
    if quota.concurrency >= 0 then
      local key = lease_key[quota.key]
      call('ZADD', key, milliseconds() + LEASE_MS, plan.lease)
      call('PEXPIRE', key, ttl)
      call('SADD', LEASES, key)
    end
  end
end

local function drained(rate, now)
  local found = get(TALLIES, 'r:' .. rate.key)
  if not found then return {0.0, 0.0, 0.0} end
  found = words(found)
  local share = math.max(0.0, now - found[3]) / MINUTE
  return {
    math.max(0.0, found[1] - share * rate.requests),
    math.max(0.0, found[2] - share * rate.tokens),
    math.max(0.0, found[4] - share * math.max(0, rate.output)),
  }
end

local function exact_all(numbers)
  local texts = {}
  for place, number in ipairs(numbers) do texts[place] = exact(number) end
  return texts
end

local function take(rate, now, requests, tokens, output)
  local used = drained(rate, now)
  used = {
    math.min(used[1] + requests, rate.requests),
    math.min(used[2] + tokens, rate.tokens),
    math.min(used[3] + output, math.max(0, rate.output)),
  }
  local texts = exact_all(used)
  put(TALLIES, 'r:' .. rate.key, texts[1] .. ' ' .. texts[2] .. ' ' .. exact(now) .. ' ' .. texts[3])
  return texts
end

local function count_rate(rate, now, decision)
  local used, limits, is_used_up = drained(rate, now), {rate.requests, rate.tokens, rate.output}, false
  for place, limit in ipairs(limits) do
    if limit >= 0 and math.floor(limit - used[place] + 1e-6) < 1 then is_used_up = true end
  end
  if rate.is_enforced and is_used_up then
    decision.refused, decision.used = 'rate', exact_all(used)
  else
    decision.used = take(rate, now, 1.0, 0.0, 0.0)
  end
end

local function count_fault(fault, place, decision)
  local key = 'f:' .. fault.key
  local found
  if fault.is_loose then found = get(TALLIES, key) else found = call('HGET', VALUES, key) end
  local counts = words(found or '0 0')
  local seen, struck, strikes = counts[1], counts[2], 0
  if seen >= fault.skip and not (fault.times >= 0 and struck >= fault.times)
      and (fault.hits == '' or string.sub(fault.hits, place + 1, place + 1) == '1') then
    strikes = 1
  end
  seen, struck = seen + 1, struck + strikes
  local text = whole(seen) .. ' ' .. whole(struck)
  if fault.is_loose then put(TALLIES, key, text) else call('HSET', VALUES, key, text) end
  decision.faults[#decision.faults + 1] = {seen, struck, strikes}
  return strikes == 1 and fault.refuses
end

local function look_up(prefixes, now, keeps)
  local found = 0
  for number, mark in ipairs(prefixes.look) do
    local kept = get(PREFIXES, mark)
    if kept and tonumber(kept) > now then found = number end
  end
  if keeps then
    for _, each in ipairs(prefixes.keep) do
      put(PREFIXES, each[1], exact(math.max(each[2], tonumber(get(PREFIXES, each[1]) or 0))))
    end
  end
  return found
end

-- Sets the lifetime of new keys and, now and then, of all keys.
local function touch()
  for place = 1, 8 do
    if ARGV[4] == '1' or (place % 2 == 0 or place == 1) and call('PTTL', KEYS[place]) == -1 then
      call('PEXPIRE', KEYS[place], ttl)
    end
  end
end

local actions = {}

function actions.decide(plan)
  local attempt = tonumber(get(ATTEMPTS, plan.identity) or 0) + 1
  local state = call('HGET', VALUES, 'state') or 'start'
  local decision = {
    again = false, attempt = attempt, state = state, rule = -1, reply = 0, refused = '', quota = -1, open = 0,
    balance = '', tokens = {}, used = {}, faults = {}, prefix = 0,
  }
  decision['end'] = '0'
  if plan.first > 0 and (attempt < plan.first or attempt > plan.last) then
    decision.again = true
    return decision
  end
  local place = plan.first > 0 and attempt - plan.first or 0
  local rule
  decision.rule, decision.reply, rule = find(plan, state, place)
  local balance = balance_of(plan.account)
  if balance then
    decision.balance = written(balance)
    if plan.account.guards and (balance[1] < 0 or (balance[1] == 0 and balance[2] == 0)) then decision.refused = 'balance' end
  end
  if decision.refused == '' then admit(plan, decision) end
  if is_table(plan.rate) and decision.refused == '' then count_rate(plan.rate, plan.now, decision) end
  local breaks = false
  for _, fault in ipairs(plan.faults) do breaks = count_fault(fault, place, decision) or breaks end
  if rule then
    for _, fault in ipairs(rule.faults) do breaks = count_fault(fault, place, decision) or breaks end
  end
  if is_table(plan.prefixes) then
    local is_error = false
    if rule then
      for _, reply in ipairs(rule.errors) do is_error = is_error or reply == decision.reply end
    end
    decision.prefix = look_up(plan.prefixes, plan.now, decision.refused == '' and not is_error and not breaks)
  end
  if plan.identity ~= '' then put(ATTEMPTS, plan.identity, attempt) end
  touch()
  return decision
end

function actions.settle(settlement)
  local owner = 'x:' .. settlement.owner
  local last = get(TALLIES, owner)
  if last and settlement.number <= tonumber(last) then return 0 end
  put(TALLIES, owner, whole(settlement.number))
  local account = settlement.account
  if is_table(account) then
    local given = call('HGET', VALUES, account.given)
    if given and given ~= '-' then
      call('HSET', VALUES, account.given, written(minus(words(given), settlement.cost)))
    elseif account.spent ~= '' then
      local spent = words(call('HGET', VALUES, account.spent) or '0 0')
      call('HSET', VALUES, account.spent, written(plus(spent, settlement.cost)))
    end
  end
  if settlement.tokens > 0 then
    for _, quota in ipairs(settlement.quotas) do
      if is_windowed(quota) then
        local tally = tally_of(quota, settlement.now)
        keep_tally(quota, {tally[1], tally[2], tally[3] + settlement.tokens})
      end
    end
  end
  if is_table(settlement.rate) then
    take(settlement.rate, settlement.now, 0.0, settlement.used[1], settlement.used[2])
  end
  for _, key in ipairs(settlement.closes) do call('ZREM', lease_key[key], settlement.lease) end
  touch()
  return 1
end

-- Renews the leases of a live owner.
function actions.renew(leases)
  for _, each in ipairs(leases) do
    local key = lease_key[each[1]]
    call('ZADD', key, milliseconds() + LEASE_MS, each[2])
    call('SADD', LEASES, key)
    call('PEXPIRE', key, ttl)
  end
  touch()
  return 0
end

local function starts_with_any(text, beginnings)
  for _, beginning in ipairs(beginnings) do
    if string.sub(text, 1, #beginning) == beginning then return true end
  end
  return false
end

local function drop(key, is_dropped)
  for _, field in ipairs(call('HKEYS', key)) do
    if is_dropped(field) then call('HDEL', key, field) end
  end
end

local function restart(change)
  if change.token ~= '' and call('HGET', VALUES, 'scenario') == change.token then return end
  drop(VALUES, function(field)
    local kind = string.sub(field, 1, 2)
    return (kind == 'u:' or kind == 'f:') and not starts_with_any(field, change.keys)
  end)
  call('HSET', VALUES, 'scenario', change.token)
  if change.renews_quotas then
    for _, key in ipairs({TALLIES[1], TALLIES[2]}) do
      drop(key, function(field) return string.sub(field, 1, 2) == 'q:' end)
    end
    drop(VALUES, function(field) return string.sub(field, 1, 2) == 'g:' end)
  end
end

local function reset(order)
  for _, key in ipairs(call('SMEMBERS', LEASES)) do call('DEL', key) end
  for place = 1, #KEYS do call('DEL', KEYS[place]) end
  if order > 0 then call('HSET', VALUES, 'order', whole(order)) end
end

function actions.change(change)
  local kind, order = change.kind, change.order
  local last = tonumber(call('HGET', VALUES, 'order') or 0)
  if order == 0 or order > last then
    if order > last then call('HSET', VALUES, 'order', whole(order)) end
    if kind == 'reset' then
      reset(math.max(order, last))
    elseif kind == 'restart' then
      restart(change)
    elseif kind == 'give' then
      call('HSET', VALUES, change.account.given, is_table(change.amount) and written(change.amount) or '-')
    elseif kind == 'top_up' then
      local balance = balance_of(change.account)
      if balance then call('HSET', VALUES, change.account.given, written(plus(balance, change.amount))) end
    elseif kind == 'forget' then
      for _, key in ipairs(change.keys) do call('HDEL', VALUES, key) end
    end
  end
  touch()
  local balance = balance_of(change.account)
  return balance and written(balance) or ''
end

return cjson.encode(actions[ARGV[1]](argument))
