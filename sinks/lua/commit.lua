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

local function every_second(first, last) -- the fields among (field, value) items
  local items, n = {}, 0
  for i = first, last, 2 do
    n = n + 1
    items[n] = ARGV[i]
  end
  return items, n
end

local function read(target, fields, n) -- the values of many fields with few calls, false for an absent one; nil when the key is no hash
  local values = {}
  for i = 1, n, 1000 do -- Lua's stack holds about 8 000 arguments
    local some = pcall('HMGET', target, unpack(fields, i, math.min(i + 999, n)))
    if some.err then return nil end
    for j = 1, #some do values[i + j - 1] = some[j] end
  end
  return values
end

local function fits(length_command, key) -- answers a number for its own type and for no key at all
  return type(pcall(length_command, key)) == 'number'
end

-- checks ------------------------------------------------------------------------------------------------------
if #ARGV ~= dropped + n_dropped or #KEYS ~= 6 + n_profiles + n_seen + n_dropped then
  return refuse('do not match their counts')
end
local asked = { 'epoch', 'token', 'number' }
for i = 1, n_fences do asked[3 + i] = ARGV[fences + 3 * i - 2] end
local owner = read(fence, asked, 3 + n_fences)
if not owner then return 'wrong_type' end
if owner[1] ~= ARGV[1] or owner[2] ~= ARGV[2] then return 'stale_epoch' end
if owner[3] ~= ARGV[3] then return 'stale_number' end

local moved, n_moved, gone, n_gone = { 'number', ARGV[4] }, 2, {}, 0
for i = 1, n_fences do
  local at = fences + 3 * i
  if not find(ARGV[at], '^%d+$') and ARGV[at] ~= '-1' then return refuse('a fence is no offset') end
  if (owner[3 + i] or '-1') ~= ARGV[at - 1] then return 'stale_fence' end
  if ARGV[at] == '-1' then
    n_gone = n_gone + 1
    gone[n_gone] = ARGV[at - 2]
  else
    moved[n_moved + 1], moved[n_moved + 2] = ARGV[at - 2], ARGV[at]
    n_moved = n_moved + 2
  end
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
local sent, n_sent = every_second(published + 1, tallies)
local unsent = read(dirty, sent, n_sent)
if not unsent or n_profiles > 0 and not fits('HLEN', dirty) then return 'wrong_type' end
if n_outbox + n_trimmed > 0 and not fits('HLEN', outbox) then return 'wrong_type' end
if n_seen + n_dropped > 0 and not fits('SCARD', hours) then return 'wrong_type' end
for i = key + 1, key + n_seen do
  if not fits('STRLEN', KEYS[i]) then return 'wrong_type' end
  if call('STRLEN', KEYS[i]) > 500000000 then return refuse('one hour has more event ids than a string holds') end
end
local counted, n_counted = every_second(tallies + 1, seen)
local sums = read(tally, counted, n_counted)
if not sums then return 'wrong_type' end
local totals = {}
for i = 1, n_counted do -- 15 digits: Lua's numbers hold the sum exactly
  local more, stored = ARGV[tallies + 2 * i], sums[i] or '0'
  if not find(more, '^%-?%d+$') or #more > 15 then return refuse('an increment is no integer') end
  if not find(stored, '^%-?%d+$') or #stored > 15 then return 'wrong_type' end
  totals[2 * i - 1], totals[2 * i] = counted[i], string.format('%.0f', tonumber(stored) + tonumber(more))
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
local clean, n_clean = {}, 0
for i = 1, n_sent do -- before this commit's own versions, which nobody has published yet
  if unsent[i] == ARGV[published + 2 * i] then
    n_clean = n_clean + 1
    clean[n_clean] = sent[i]
  end
end
write('HDEL', dirty, clean, 1, n_clean)
write('HSET', dirty, ARGV, versions + 1, profiles)
write('HSET', outbox, ARGV, messages + 1, trimmed)
write('HDEL', outbox, ARGV, trimmed + 1, published)
write('HSET', tally, totals, 1, 2 * n_counted)
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
write('HDEL', fence, gone, 1, n_gone)
write('HSET', fence, moved, 1, n_moved)
return 'applied'
