#!lua
-- Copies profiles of the live generation over those of a shadow, both of one bucket: state, traits, version and due.
-- Only the shadow's owner may. A customer the live generation does not hold, or holds as no hash, is left as it is.
-- KEYS shadow fence, shadow due, shadow dirty, then for every customer: live profile, shadow profile
-- ARGV epoch, token, then for every customer: id, due ('' none)
local owner = redis.call('HMGET', KEYS[1], 'epoch', 'token')
if owner[1] ~= ARGV[1] or owner[2] ~= ARGV[2] then return 'stale_epoch' end
for i = 2, 3 do
  local found = redis.call('TYPE', KEYS[i]).ok
  if found ~= 'none' and found ~= (i == 2 and 'zset' or 'hash') then return 'wrong_type' end
end
local copied = {}
for i = 4, #KEYS, 2 do
  local held = redis.pcall('HMGET', KEYS[i], 'state', 'traits', 'version')
  local fits = redis.call('TYPE', KEYS[i + 1]).ok
  if not held.err and held[1] and held[2] and held[3] then
    if fits ~= 'hash' and fits ~= 'none' then return 'wrong_type' end
    copied[i] = held
  end
end
for i, held in pairs(copied) do
  local customer, due = ARGV[i - 1], ARGV[i]
  redis.call('HSET', KEYS[i + 1], 'state', held[1], 'traits', held[2], 'version', held[3])
  redis.call('HDEL', KEYS[3], customer)
  if due == '' then
    redis.call('ZREM', KEYS[2], customer)
  else
    redis.call('ZADD', KEYS[2], due, customer)
  end
end
return 'applied'
