#!lua
-- Copies profiles of the live generation over those of a shadow, both of one bucket: state, traits, version and due.
-- Only the shadow's owner may. A customer whom the live generation holds no more under this version, or as no hash, is
-- left as it is.
-- KEYS shadow fence, shadow due, shadow dirty, then for every customer: live profile, shadow profile
-- ARGV epoch, token, then for every customer: id, version, due ('' none)
local owner = redis.call('HMGET', KEYS[1], 'epoch', 'token')
if owner[1] ~= ARGV[1] or owner[2] ~= ARGV[2] then return 'stale_epoch' end
for i = 2, 3 do
  local found = redis.call('TYPE', KEYS[i]).ok
  if found ~= 'none' and found ~= (i == 2 and 'zset' or 'hash') then return 'wrong_type' end
end
local copied, at = {}, 1
for i = 4, #KEYS, 2 do
  at = at + 3
  local held = redis.pcall('HMGET', KEYS[i], 'state', 'traits', 'version')
  local fits = redis.call('TYPE', KEYS[i + 1]).ok
  if not held.err and held[1] and held[2] and held[3] == ARGV[at] then
    if fits ~= 'hash' and fits ~= 'none' then return 'wrong_type' end
    copied[i] = { held, ARGV[at - 1], ARGV[at + 1] }
  end
end
for i, copy in pairs(copied) do
  local held, customer, due = copy[1], copy[2], copy[3]
  redis.call('HSET', KEYS[i + 1], 'state', held[1], 'traits', held[2], 'version', held[3])
  redis.call('HDEL', KEYS[3], customer)
  if due == '' then
    redis.call('ZREM', KEYS[2], customer)
  else
    redis.call('ZADD', KEYS[2], due, customer)
  end
end
return 'applied'
