#!lua name=touchpoint

-- The two calls that own a partition (PROTOCOL.md 1.3). All keys carry one hash tag; each call is
-- atomic. Only commands of Redis 7.0. A refusal changes nothing.

local CHUNK = 1000 -- values per call: Lua cannot spread more than some thousands

local function each_chunk(args, first, count, width, call)
  local last = first + count * width
  local i = first
  while i < last do
    local till = math.min(i + CHUNK * width, last) - 1
    call(unpack(args, i, till))
    i = till + 1
  end
  return last
end

-- KEYS: m tm ob mv; ARGV: token. Returns all that a new owner must know.
local function acquire(keys, args)
  redis.call('HSET', keys[1], 'ep', args[1])
  return {
    redis.call('HGETALL', keys[1]),
    redis.call('ZRANGE', keys[2], 0, -1, 'WITHSCORES'),
    redis.call('ZRANGE', keys[3], 0, -1, 'WITHSCORES'),
    redis.call('ZRANGE', keys[4], 0, -1, 'WITHSCORES'),
  }
end

-- KEYS: m tm ob mv, then one a state. ARGV: token, expected offset, trim_ob, trim_mv,
-- n meta (field, value), n states ('' removes), n timers set (score, member), n timers removed,
-- n outbox (oseq, bytes), n moves (mseq, bytes).
local function apply(keys, args)
  local m = keys[1]
  local held = redis.call('HMGET', m, 'ep', 'off')
  if held[1] ~= args[1] then return 'FENCED' end
  if (held[2] or '-1') ~= args[2] then return 'STALE' end
  local at = 5
  local n = tonumber(args[at])
  redis.call('HSET', m, unpack(args, at + 1, at + n * 2))
  at = at + 1 + n * 2
  n = tonumber(args[at])
  for i = 1, n do
    local value = args[at + i]
    if value == '' then
      redis.call('DEL', keys[4 + i])
    else
      redis.call('SET', keys[4 + i], value)
    end
  end
  at = at + 1 + n
  n = tonumber(args[at])
  at = each_chunk(args, at + 1, n, 2, function(...) redis.call('ZADD', keys[2], ...) end)
  n = tonumber(args[at])
  at = each_chunk(args, at + 1, n, 1, function(...) redis.call('ZREM', keys[2], ...) end)
  n = tonumber(args[at])
  at = each_chunk(args, at + 1, n, 2, function(...) redis.call('ZADD', keys[3], ...) end)
  n = tonumber(args[at])
  at = each_chunk(args, at + 1, n, 2, function(...) redis.call('ZADD', keys[4], ...) end)
  if args[3] ~= '0' then redis.call('ZREMRANGEBYSCORE', keys[3], '-inf', args[3]) end
  if args[4] ~= '0' then redis.call('ZREMRANGEBYSCORE', keys[4], '-inf', args[4]) end
  return 'OK'
end

redis.register_function('touchpoint_acquire', acquire)
redis.register_function('touchpoint_apply', apply)
