#!lua
-- Takes one bucket for its new owner and answers all it holds besides profiles; with an empty token only reads.
-- KEYS fence, outbox, due, tally, dirty, hours
-- ARGV token ('' reads without claiming)
local kinds = { 'hash', 'hash', 'zset', 'hash', 'hash', 'set' }
for i = 1, 6 do
  local found = redis.call('TYPE', KEYS[i]).ok
  if found ~= 'none' and found ~= kinds[i] then
    return redis.error_reply('WRONGTYPE ' .. KEYS[i] .. ' holds a ' .. found .. ', not a ' .. kinds[i])
  end
end
if ARGV[1] ~= '' then
  local epoch = redis.call('HGET', KEYS[1], 'epoch') or '0'
  if not string.find(epoch, '^%d+$') then
    return redis.error_reply('WRONGTYPE ' .. KEYS[1] .. ' has an epoch that is no number')
  end
  redis.call('HINCRBY', KEYS[1], 'epoch', 1)
  redis.call('HSETNX', KEYS[1], 'number', '0')
  redis.call('HSET', KEYS[1], 'token', ARGV[1])
end
return {
  redis.call('HGETALL', KEYS[1]),
  redis.call('HGETALL', KEYS[2]),
  redis.call('ZRANGE', KEYS[3], 0, 0, 'WITHSCORES'),
  redis.call('HGETALL', KEYS[4]),
  redis.call('HGETALL', KEYS[5]),
  redis.call('SMEMBERS', KEYS[6]),
}
