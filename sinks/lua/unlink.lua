#!lua
-- Removes keys of generations that are not live: only for the holder of the replay's lease, and only while the
-- generation it takes for the live one is that.
-- KEYS lease, pointer, then the keys to remove
-- ARGV holder's token, live generation
if redis.call('GET', KEYS[1]) ~= ARGV[1] or (redis.call('GET', KEYS[2]) or '1') ~= ARGV[2] then return -1 end
local removed = 0
for i = 3, #KEYS do removed = removed + redis.call('UNLINK', KEYS[i]) end
return removed
