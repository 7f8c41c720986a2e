#!lua
-- One bucket, one batch: everything or nothing.
-- Redis does not roll back: a script that fails midway leaves its earlier writes. So every check (epoch, token,
-- commit number, fences, versions, types, arguments) comes before the first write, and fences and number last.
-- The shebang makes Redis refuse the whole script when memory is short, before it runs.
-- Offsets and numbers stay strings: they are compared and stored, never computed with.
--
-- KEYS fence, outbox, due, tally, dirty, hours, then one per profile, per `seen` hour, per dropped hour
-- ARGV epoch, token, number, next number, eight packed counts, then the items in this order:
--      fences      field, expected offset ('-1' absent), new offset ('-1' removes it)
--      versions    customer, new version (one above the stored one; 1 for a customer not stored)
--      profiles    due ('' none), state, traits: in the order of `versions`
--      outbox      position, message
--      trimmed     position
--      published   customer, version
--      tally       field, increment
--      seen        hour, entries
--      dropped     hour
local call, pcall, find, tonumber = redis.call, redis.pcall, string.find, tonumber
local KEYS, ARGV = KEYS, ARGV
local fence, outbox, due, tally, dirty, hours = KEYS[1], KEYS[2], KEYS[3], KEYS[4], KEYS[5], KEYS[6]

local n_fences, n_profiles, n_outbox, n_trimmed, n_published, n_tally, n_seen, n_dropped =
  struct.unpack('>I4I4I4I4I4I4I4I4', ARGV[5])
local fences = 5
local versions = fences + 3 * n_fences
local profiles = versions + 2 * n_profiles
local messages = profiles + 3 * n_profiles
local trimmed = messages + 2 * n_outbox
local published = trimmed + n_trimmed
local tallies = published + 2 * n_published
local seen = tallies + 2 * n_tally
local dropped = seen + 2 * n_seen

local function refuse(what)
  return redis.error_reply('ARGUMENTS ' .. what)
end

local function fits(length_command, key) -- answers a number for its own type and for no key at all
  return type(pcall(length_command, key)) == 'number'
end

-- checks ------------------------------------------------------------------------------------------------------
if #ARGV ~= dropped + n_dropped or #KEYS ~= 6 + n_profiles + n_seen + n_dropped then
  return refuse('do not match their counts')
end
local owner = pcall('HMGET', fence, 'epoch', 'token', 'number')
if owner.err then return 'wrong_type' end
if owner[1] ~= ARGV[1] or owner[2] ~= ARGV[2] then return 'stale_epoch' end
if owner[3] ~= ARGV[3] then return 'stale_number' end

for i = fences + 1, versions, 3 do
  if not find(ARGV[i + 2], '^%d+$') and ARGV[i + 2] ~= '-1' then return refuse('a fence is no offset') end
  if (call('HGET', fence, ARGV[i]) or '-1') ~= ARGV[i + 1] then return 'stale_fence' end
end

local key, version, instant = 6, versions + 2, profiles + 1
for _ = 1, n_profiles do
  key = key + 1
  local stored = pcall('HGET', KEYS[key], 'version') or 0
  local known = tonumber(stored)
  if not known then return 'wrong_type' end
  if known + 1 ~= tonumber(ARGV[version]) then return 'stale_version' end
  if ARGV[instant] ~= '' then
    local at = tonumber(ARGV[instant])
    if not at or at ~= at then return refuse('a due instant is no number') end
  end
  version, instant = version + 2, instant + 3
end

if n_profiles > 0 and not fits('ZCARD', due) then return 'wrong_type' end
if n_profiles + n_published > 0 and not fits('HLEN', dirty) then return 'wrong_type' end
if n_outbox + n_trimmed > 0 and not fits('HLEN', outbox) then return 'wrong_type' end
if n_seen + n_dropped > 0 and not fits('SCARD', hours) then return 'wrong_type' end
for i = key + 1, key + n_seen do
  if not fits('STRLEN', KEYS[i]) then return 'wrong_type' end
  if call('STRLEN', KEYS[i]) > 500000000 then return refuse('one hour has more event ids than a string holds') end
end
for i = tallies + 1, seen, 2 do
  if not find(ARGV[i + 1], '^%-?%d+$') or #ARGV[i + 1] > 15 then return refuse('an increment is no integer') end
  local stored = pcall('HGET', tally, ARGV[i]) or '0'
  if stored.err or not find(stored, '^%-?%d+$') or #stored > 18 then return 'wrong_type' end
end

-- writes ------------------------------------------------------------------------------------------------------
local function write(command, target, items, first, last)
  for i = first, last, 1000 do -- Lua's stack holds about 8 000 arguments
    call(command, target, unpack(items, i, math.min(i + 999, last)))
  end
end

local waking, n_waking, asleep, n_asleep = {}, 0, {}, 0
key, version, instant = 6, versions + 2, profiles + 1
for _ = 1, n_profiles do
  key = key + 1
  call('HSET', KEYS[key], 'state', ARGV[instant + 1], 'traits', ARGV[instant + 2], 'version', ARGV[version])
  if ARGV[instant] == '' then
    n_asleep = n_asleep + 1
    asleep[n_asleep] = ARGV[version - 1]
  else
    waking[n_waking + 1] = ARGV[instant]
    n_waking = n_waking + 2
    waking[n_waking] = ARGV[version - 1]
  end
  version, instant = version + 2, instant + 3
end
write('ZADD', due, waking, 1, n_waking)
write('ZREM', due, asleep, 1, n_asleep)
for i = published + 1, tallies, 2 do -- before this commit's own versions, which nobody has published yet
  if call('HGET', dirty, ARGV[i]) == ARGV[i + 1] then call('HDEL', dirty, ARGV[i]) end
end
write('HSET', dirty, ARGV, versions + 1, profiles)
write('HSET', outbox, ARGV, messages + 1, trimmed)
write('HDEL', outbox, ARGV, trimmed + 1, published)
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
for i = fences + 1, versions, 3 do
  if ARGV[i + 2] == '-1' then
    call('HDEL', fence, ARGV[i])
  else
    call('HSET', fence, ARGV[i], ARGV[i + 2])
  end
end
call('HSET', fence, 'number', ARGV[4])
return 'applied'
