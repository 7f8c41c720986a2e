#!lua
-- One bucket, one batch: everything or nothing.
-- Redis does not roll back: a script that fails midway leaves its earlier writes. So every check (epoch, token,
-- commit number, fences, versions, types, arguments) comes before the first write, and fences and number last.
-- The shebang makes Redis refuse the whole script when memory is short, before it runs.
-- Offsets, versions and numbers stay strings: they are compared and stored, never computed with.
--
-- KEYS fence, outbox, due, tally, dirty, hours, then one per profile, per `seen` hour, per dropped hour
-- ARGV epoch, token, number, next number, then eight counts, then the items in this order:
--      fences      field, expected offset ('-1' absent), new offset ('-1' removes it)
--      profiles    customer, expected version ('0' absent), new version, due ('' none), state, traits
--      outbox      position, message
--      trimmed     position
--      published   customer, version
--      tally       field, increment
--      seen        hour, entries
--      dropped     hour
local call, pcall, find = redis.call, redis.pcall, string.find
local KEYS, ARGV = KEYS, ARGV
local fence, outbox, due, tally, dirty, hours = KEYS[1], KEYS[2], KEYS[3], KEYS[4], KEYS[5], KEYS[6]

local function is(kind, key)
  local found = call('TYPE', key).ok
  return found == kind or found == 'none'
end

local function refuse(what)
  return redis.error_reply('ARGUMENTS ' .. what)
end

local n = {}
for i = 1, 8 do
  n[i] = tonumber(ARGV[4 + i])
end
local n_fences, n_profiles, n_outbox, n_trimmed = n[1], n[2], n[3], n[4]
local n_published, n_tally, n_seen, n_dropped = n[5], n[6], n[7], n[8]
local fences = 12
local profiles = fences + 3 * n_fences
local messages = profiles + 6 * n_profiles
local trimmed = messages + 2 * n_outbox
local published = trimmed + n_trimmed
local tallies = published + 2 * n_published
local seen = tallies + 2 * n_tally
local dropped = seen + 2 * n_seen
if #ARGV ~= dropped + n_dropped or #KEYS ~= 6 + n_profiles + n_seen + n_dropped then
  return refuse('do not match their counts')
end

-- checks ------------------------------------------------------------------------------------------------------
local owner = pcall('HMGET', fence, 'epoch', 'token', 'number')
if owner.err then return 'wrong_type' end
if owner[1] ~= ARGV[1] or owner[2] ~= ARGV[2] then return 'stale_epoch' end
if owner[3] ~= ARGV[3] then return 'stale_number' end

for i = fences + 1, profiles, 3 do
  if not find(ARGV[i + 2], '^%d+$') and ARGV[i + 2] ~= '-1' then return refuse('a fence is no offset') end
  if (call('HGET', fence, ARGV[i]) or '-1') ~= ARGV[i + 1] then return 'stale_fence' end
end

local key = 6
for i = profiles + 1, messages, 6 do
  key = key + 1
  local version = pcall('HGET', KEYS[key], 'version') or '0'
  if version ~= ARGV[i + 1] then
    return version.err and 'wrong_type' or 'stale_version'
  end
  if not find(ARGV[i + 3], '^%-?%d*$') or ARGV[i + 3] == '-' then return refuse('a due instant is no integer') end
end

if n_profiles > 0 and not (is('zset', due) and is('hash', dirty)) then return 'wrong_type' end
if n_published > 0 and not is('hash', dirty) then return 'wrong_type' end
if n_outbox + n_trimmed > 0 and not is('hash', outbox) then return 'wrong_type' end
if n_seen + n_dropped > 0 and not is('set', hours) then return 'wrong_type' end
for i = key + 1, key + n_seen do
  if not is('string', KEYS[i]) then return 'wrong_type' end
  if call('STRLEN', KEYS[i]) > 500000000 then return refuse('more event ids in one hour than a string holds') end
end
if n_tally > 0 then
  if not is('hash', tally) then return 'wrong_type' end
  for i = tallies + 1, seen, 2 do
    if not find(ARGV[i + 1], '^%-?%d+$') or #ARGV[i + 1] > 15 then return refuse('an increment is no integer') end
    local stored = call('HGET', tally, ARGV[i])
    if stored and (not find(stored, '^%-?%d+$') or #stored > 18) then return 'wrong_type' end
  end
end

-- writes ------------------------------------------------------------------------------------------------------
local function write(command, target, items)
  for i = 1, #items, 1000 do -- Lua's stack holds about 8 000 arguments
    call(command, target, unpack(items, i, math.min(i + 999, #items)))
  end
end

key = 6
local versions, waking, asleep = {}, {}, {}
for i = profiles + 1, messages, 6 do
  key = key + 1
  local customer, version, instant = ARGV[i], ARGV[i + 2], ARGV[i + 3]
  call('HSET', KEYS[key], 'state', ARGV[i + 4], 'traits', ARGV[i + 5], 'version', version)
  versions[#versions + 1] = customer
  versions[#versions + 1] = version
  if instant == '' then
    asleep[#asleep + 1] = customer
  else
    waking[#waking + 1] = instant
    waking[#waking + 1] = customer
  end
end
for i = published + 1, tallies, 2 do -- before this commit's own versions: those are not published yet
  if call('HGET', dirty, ARGV[i]) == ARGV[i + 1] then call('HDEL', dirty, ARGV[i]) end
end
write('HSET', dirty, versions)
write('ZADD', due, waking)
write('ZREM', due, asleep)
for i = messages + 1, trimmed, 2 do
  call('HSET', outbox, ARGV[i], ARGV[i + 1])
end
for i = trimmed + 1, published do
  call('HDEL', outbox, ARGV[i])
end
for i = tallies + 1, seen, 2 do
  call('HINCRBY', tally, ARGV[i], ARGV[i + 1])
end
for i = seen + 1, dropped, 2 do
  key = key + 1
  call('APPEND', KEYS[key], ARGV[i + 1])
  call('SADD', hours, ARGV[i])
end
for i = dropped + 1, #ARGV do
  key = key + 1
  call('DEL', KEYS[key])
  call('SREM', hours, ARGV[i])
end
for i = fences + 1, profiles, 3 do
  if ARGV[i + 2] == '-1' then
    call('HDEL', fence, ARGV[i])
  else
    call('HSET', fence, ARGV[i], ARGV[i + 2])
  end
end
call('HSET', fence, 'number', ARGV[4])
return 'applied'
