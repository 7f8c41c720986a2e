#!lua
-- Renews a lease, gives it back, or ends it by moving the pointer to the live generation; all only for its holder.
-- KEYS lease, and for 'switch' the pointer
-- ARGV holder's token, 'renew' | 'release' | 'switch', milliseconds or generation
if redis.call('GET', KEYS[1]) ~= ARGV[1] then return 0 end
if ARGV[2] == 'renew' then
  redis.call('PEXPIRE', KEYS[1], ARGV[3])
else
  if ARGV[2] == 'switch' then redis.call('SET', KEYS[2], ARGV[3]) end
  redis.call('DEL', KEYS[1])
end
return 1
