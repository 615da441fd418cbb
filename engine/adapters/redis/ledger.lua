#!lua name=touchpoint_ledger

-- The delivery ledger of one trigger partition, fenced like the state of an event partition.
-- All keys carry the hash tag {t:<p>}; each call is atomic; a refusal changes nothing.

-- KEYS: l due; ARGV: token
local function acquire(keys, args)
  redis.call('HSET', keys[1], 'ep', args[1])
  return {redis.call('HGETALL', keys[1]), redis.call('ZRANGE', keys[2], 0, -1, 'WITHSCORES')}
end

-- KEYS: l due, then one a job. ARGV: token, expected offset ('' = none), new offset, new oseq,
-- kept ms of settled jobs, n jobs (member, score or '' when settled, state, value),
-- n counts (name, by). With an expected offset, a job that is there already stays as it is.
local function apply(keys, args)
  local held = redis.call('HMGET', keys[1], 'ep', 'off')
  if held[1] ~= args[1] then return 'FENCED' end
  if args[2] ~= '' then
    if (held[2] or '-1') ~= args[2] then return 'STALE' end
    redis.call('HSET', keys[1], 'off', args[3], 'oseq', args[4])
  end
  local at = 6
  for i = 1, tonumber(args[at]) do
    local member, score, state, value = unpack(args, at + 1, at + 4)
    local key = keys[2 + i]
    at = at + 4
    if args[2] ~= '' and redis.call('EXISTS', key) == 1 then
      -- Known: its trigger was made again, under another number.
    elseif score == '' then
      -- Counted where it leaves the queue (or never was in it): an update that is sent again
      -- because its reply was lost counts nothing.
      if redis.call('ZREM', keys[2], member) == 1 or redis.call('EXISTS', key) == 0 then
        redis.call('HINCRBY', keys[1], state, 1)
      end
      redis.call('SET', key, value, 'PX', args[5])
    else
      redis.call('ZADD', keys[2], score, member)
      redis.call('SET', key, value)
    end
  end
  at = at + 1
  for _ = 1, tonumber(args[at]) do
    redis.call('HINCRBY', keys[1], args[at + 1], args[at + 2])
    at = at + 2
  end
  return 'OK'
end

redis.register_function('touchpoint_ledger_acquire', acquire)
redis.register_function('touchpoint_ledger_apply', apply)
