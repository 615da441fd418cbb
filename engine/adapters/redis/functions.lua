#!lua name=touchpoint2

-- The calls that own a partition (PROTOCOL.md 1.3). All keys carry one hash tag; each call is
-- atomic. Only commands of Redis 7.0. A refusal changes nothing. A library that was released is
-- never changed: what takes or gives other arguments gets the next number, so that workers of two
-- releases find theirs beside each other.

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

-- Where a partition is: its offset, and how many timers of the tick behind it have fired.
local function place(off, sub)
  off = off or '-1'
  if sub and string.sub(sub, 1, #off + 1) == off .. '.' then return sub end
  return off .. '.0'
end

-- KEYS: m tm ob mv; ARGV: token, the token that this owner had before ('' = it is new), how many of
-- its own notes it has survived. Returns all that a new owner must know, and how often others have
-- died here.
local function acquire(keys, args)
  local m = keys[1]
  local held = redis.call('HMGET', m, 'ep', 'off', 'sub', 'tried', 'tries', 'alone')
  local here = place(held[2], held[3])
  local tries, alone = 0, 0
  if held[4] == here then tries, alone = tonumber(held[5]), tonumber(held[6]) end
  alone = math.max(0, alone - tonumber(args[3]))
  if args[2] == '' or args[2] ~= held[1] then tries = tries + 1 end
  redis.call('HSET', m, 'ep', args[1], 'tried', here, 'tries', tries, 'alone', alone)
  return {
    redis.call('HGETALL', keys[1]),
    redis.call('ZRANGE', keys[2], 0, -1, 'WITHSCORES'),
    redis.call('ZRANGE', keys[3], 0, -1, 'WITHSCORES'),
    redis.call('ZRANGE', keys[4], 0, -1, 'WITHSCORES'),
    tries,
    alone,
  }
end

-- KEYS: m; ARGV: token. What comes next is tried alone: known before it is, for whoever comes after.
local function try_alone(keys, args)
  local m = keys[1]
  local held = redis.call('HMGET', m, 'ep', 'off', 'sub', 'tried', 'tries', 'alone')
  if held[1] ~= args[1] then return 'FENCED' end
  local here = place(held[2], held[3])
  local tries, alone = 0, 0
  if held[4] == here then tries, alone = held[5], tonumber(held[6]) end
  redis.call('HSET', m, 'tried', here, 'tries', tries, 'alone', alone + 1)
  return 'OK'
end

-- KEYS: m tm ob mv, then one a state. ARGV: token, expected place, trim_ob, trim_mv,
-- n meta (field, value), n states ('' removes), n timers set (score, member), n timers removed,
-- n outbox (oseq, bytes), n moves (mseq, bytes).
local function apply(keys, args)
  local m = keys[1]
  local held = redis.call('HMGET', m, 'ep', 'off', 'sub')
  if held[1] ~= args[1] then return 'FENCED' end
  if place(held[2], held[3]) ~= args[2] then return 'STALE' end
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

redis.register_function('touchpoint2_acquire', acquire)
redis.register_function('touchpoint2_alone', try_alone)
redis.register_function('touchpoint2_apply', apply)
