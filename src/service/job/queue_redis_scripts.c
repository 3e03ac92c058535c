/* SPDX-License-Identifier: Apache-2.0 */
/*
 * See queue_redis_scripts.h. The text between LUA( and ) is Lua as it stands, put on one line by the preprocessor: no comments
 * of Lua's, no backslashes, and "" for an empty text. Errors do not undo what a script has written: what may fail (the type of
 * the stream, adding to it) comes first.
 */
#include "service/job/queue_redis_scripts.h"

#define LUA(...) #__VA_ARGS__ "\n"

/* clang-format off */

/* Names, and what the scripts share. A job stands in exactly one of the sets queued, claimed, done, dead, cancelled. */
#define COMMON LUA(                                                                                \
local S = KEYS[1]                                                                                  \
local G = ARGV[1]                                                                                  \
local P = '{' .. S .. '}:'                                                                         \
local call = redis.call                                                                            \
local kind = call('TYPE', S).ok                                                                    \
if kind ~= 'none' and kind ~= 'stream' then                                                        \
  return redis.error_reply('WRONGTYPE the key ' .. S .. ' is a ' .. kind .. ' and no stream')      \
end                                                                                                \
local clock = call('TIME')                                                                         \
local now = clock[1] * 1000 + math.floor(clock[2] / 1000)                                          \
local function job(id) return P .. 'job:' .. id end                                                \
local function field(id, name) return call('HGET', job(id), name) or "" end                        \
local function wake() call('XADD', P .. 'wake', 'MAXLEN', 1, '*', 'w', 1) end                      \
local function add(id, target)                                                                     \
  if target == "" then return S, call('XADD', S, '*', 'id', id) end                                \
  local s = P .. 'for:' .. target                                                                  \
  local sid = call('XADD', s, '*', 'id', id)                                                       \
  call('SADD', P .. 'workers', target)                                                             \
  wake()                                                                                           \
  return s, sid                                                                                    \
end                                                                                                \
local function push(id)                                                                            \
  local target = field(id, 'target')                                                               \
  if target ~= "" and call('SISMEMBER', P .. 'gone', target) == 1 then target = "" end             \
  local s, sid = add(id, target)                                                                   \
  call('HSET', job(id), 'stream', s, 'sid', sid, 'target', target)                                 \
end                                                                                                \
local function take(id)                                                                            \
  local h = call('HMGET', job(id), 'stream', 'sid')                                                \
  if h[1] and h[2] and h[2] ~= "" then                                                             \
    call('XACK', h[1], G, h[2])                                                                    \
    call('XDEL', h[1], h[2])                                                                       \
  end                                                                                              \
  call('ZREM', P .. 'leases', id)                                                                  \
  call('ZREM', P .. 'delayed', id)                                                                 \
end                                                                                                \
local function move(id, to)                                                                        \
  local h = call('HMGET', job(id), 'state', 'seq')                                                 \
  call('ZREM', P .. h[1], id)                                                                      \
  call('ZADD', P .. to, h[2], id)                                                                  \
  call('HSET', job(id), 'state', to)                                                               \
end                                                                                                \
local function queue(id, delay)                                                                    \
  move(id, 'queued')                                                                               \
  if delay > 0 then                                                                                \
    call('ZADD', P .. 'delayed', now + delay, id)                                                  \
    wake()                                                                                         \
  else                                                                                             \
    push(id)                                                                                       \
  end                                                                                              \
end                                                                                                \
local function finish(id, to, keep)                                                                \
  move(id, to)                                                                                     \
  call('HSET', job(id), 'ended', now)                                                              \
  while call('ZCARD', P .. to) > keep do                                                           \
    call('DEL', job(call('ZPOPMIN', P .. to)[1]))                                                  \
  end                                                                                              \
end                                                                                                \
local function create(id, target, delay, body)                                                     \
  local s = S                                                                                      \
  local sid = ""                                                                                   \
  if delay == 0 then s, sid = add(id, target) end                                                  \
  local seq = call('INCR', P .. 'seq')                                                             \
  call('HSET', job(id), 'body', body, 'state', 'queued', 'seq', seq, 'target', target, 'tries', 0, \
       'stream', s, 'sid', sid)                                                                    \
  call('ZADD', P .. 'queued', seq, id)                                                             \
  if delay > 0 then                                                                                \
    call('ZADD', P .. 'delayed', now + delay, id)                                                  \
    wake()                                                                                         \
  end                                                                                              \
end                                                                                                \
local function held(id, sid)                                                                       \
  local h = call('HMGET', job(id), 'state', 'sid')                                                 \
  return h[1] == 'claimed' and h[2] == sid                                                         \
end                                                                                                \
local function group_of(s)                                                                         \
  if call('EXISTS', s) == 0 then return nil end                                                    \
  for _, g in ipairs(call('XINFO', 'GROUPS', s)) do                                                \
    local t = {}                                                                                   \
    for i = 1, #g, 2 do t[g[i]] = g[i + 1] end                                                     \
    if t.name == G then return t end                                                               \
  end                                                                                              \
end                                                                                                \
local function about(broadcast) return call('HGET', P .. 'about', broadcast) or "" end             \
local function own(broadcast, worker, ttl, payload)                                              \
  local cur = call('HGET', P .. 'owners', broadcast)                                               \
  local till = tonumber(call('ZSCORE', P .. 'expiry', broadcast) or 0)                             \
  if cur and cur ~= worker and till > now then                       \
    return {'busy', cur, till - now, about(broadcast)}                                             \
  end                                                                                              \
  if payload ~= "" then call('HSET', P .. 'about', broadcast, payload) end                         \
  call('HSET', P .. 'owners', broadcast, worker)                                                   \
  call('ZADD', P .. 'expiry', now + ttl, broadcast)                                                \
end                                                                                                \
local function entry(id)                                                                           \
  local h = call('HMGET', job(id), 'body', 'state', 'consumer', 'ended', 'seq', 'sid')             \
  if not h[1] then return nil end                                                                  \
  for i = 1, 6 do h[i] = h[i] or "" end                                                            \
  return h                                                                                         \
end                                                                                                \
)

struct redis_script queue_redis_enqueue = {.text = COMMON LUA(
if call('EXISTS', job(ARGV[2])) == 1 then return {'exists'} end
if call('ZCARD', P .. 'queued') >= tonumber(ARGV[5]) then return {'full'} end
create(ARGV[2], ARGV[3], tonumber(ARGV[4]), ARGV[6])
return {'ok'}
)};

/*
 * First what is due: delayed jobs, and those whose leases ended, which stand at the end of the stream as new entries. Then the
 * worker's own stream, then the one for all. Entries that are not ours become dead jobs, for people to look at.
 */
struct redis_script queue_redis_claim = {.text = COMMON LUA(
local who = ARGV[2]
local max = tonumber(ARGV[3])
local lease = tonumber(ARGV[4])
local room = tonumber(ARGV[5])
local out = {}
call('SREM', P .. 'gone', who)
for _, id in ipairs(call('ZRANGEBYSCORE', P .. 'delayed', '-inf', now, 'LIMIT', 0, 256)) do
  if call('EXISTS', job(id)) == 1 then push(id) end
  call('ZREM', P .. 'delayed', id)
end
for _, id in ipairs(call('ZRANGEBYSCORE', P .. 'leases', '-inf', now, 'LIMIT', 0, 256)) do
  if field(id, 'state') == 'claimed' then
    take(id)
    queue(id, 0)
  else
    call('ZREM', P .. 'leases', id)
  end
end
local function foreign(s, sid, fields)
  local id = 'foreign-' .. sid
  local body = {id = id, kind = 'unknown', payload = fields, last_error = 'this entry was not put into the stream by enqueueing'}
  local seq = call('INCR', P .. 'seq')
  call('HSET', job(id), 'body', cjson.encode(body), 'state', 'queued', 'seq', seq, 'target', "", 'tries', 0, 'stream', s, 'sid', sid)
  take(id)
  finish(id, 'dead', tonumber(ARGV[6]))
end
local function hand(s, sid, fields)
  local id = fields and fields[1] == 'id' and fields[2]
  local h = id and call('HMGET', job(id), 'body', 'state', 'sid')
  if not h or not h[1] then
    if fields then foreign(s, sid, fields) end
  elseif h[2] ~= 'queued' or h[3] ~= sid then
    call('XACK', s, G, sid)
    call('XDEL', s, sid)
  else
    move(id, 'claimed')
    call('HSET', job(id), 'consumer', who)
    call('ZADD', P .. 'leases', now + lease, id)
    out[#out + 1] = {id, sid, call('HINCRBY', job(id), 'tries', 1), h[1]}
    room = room - #h[1]
  end
end
local function read(s)
  local made = false
  while #out < max and room > 0 do
    local r = redis.pcall('XREADGROUP', 'GROUP', G, who, 'COUNT', 1, 'STREAMS', s, '>')
    if not r then return nil end
    if not r.err then
      hand(s, r[1][2][1][1], r[1][2][1][2])
    elseif made or not r.err:find('NOGROUP', 1, true) then
      return r
    else
      made = true
      local c = redis.pcall('XGROUP', 'CREATE', s, G, '0', 'MKSTREAM')
      if c.err then return c end
    end
  end
end
local mine = P .. 'for:' .. who
local bad = call('EXISTS', mine) == 1 and read(mine) or read(S)
if bad and #out == 0 then return bad end
local due = -1
for _, set in ipairs({'delayed', 'leases'}) do
  local first = call('ZRANGE', P .. set, 0, 0, 'WITHSCORES')
  if first[2] then
    local left = math.max(first[2] - now, 0)
    if due < 0 or left < due then due = left end
  end
end
local function last(s)
  if call('EXISTS', s) == 0 then return '0-0' end
  local i = call('XINFO', 'STREAM', s)
  for k = 1, #i, 2 do if i[k] == 'last-generated-id' then return i[k + 1] end end
end
return {'ok', out, due, last(S), last(P .. 'wake')}
)};

struct redis_script queue_redis_extend = {.text = COMMON LUA(
local id = ARGV[3]
if not held(id, ARGV[4]) then return {'stale'} end
call('ZADD', P .. 'leases', now + tonumber(ARGV[5]), id)
redis.pcall('XCLAIM', field(id, 'stream'), G, ARGV[2], 0, ARGV[4], 'JUSTID')
return {'ok'}
)};

struct redis_script queue_redis_settle = {.text = COMMON LUA(
local id = ARGV[2]
local how = ARGV[4]
if not held(id, ARGV[3]) then return {'stale'} end
if ARGV[10] ~= "" then
  local busy = own(ARGV[10], ARGV[11], tonumber(ARGV[12]), ARGV[13])
  if busy then return busy end
end
if how == 'retry' or how == 'release' then
  local delay = tonumber(ARGV[5])
  local target = field(id, 'target')
  if how == 'retry' then
    target = ARGV[6]
    call('HSET', job(id), 'body', ARGV[7], 'target', target, 'tries', 0)
  else
    call('HINCRBY', job(id), 'tries', -1)
  end
  take(id)
  queue(id, delay)
  return {'ok'}
end
take(id)
if ARGV[7] ~= "" then call('HSET', job(id), 'body', ARGV[7]) end
finish(id, how, tonumber(how == 'dead' and ARGV[9] or ARGV[8]))
return {'ok'}
)};

/*
 * How many wait is counted, not taken from the group's own lag, which is unknown after XDEL and wrong after XTRIM: what was
 * acked is deleted, so before the group's place stands only what is in somebody's hands. -1: cannot be known.
 */
struct redis_script queue_redis_stats = {.text = COMMON LUA(
local most = 4096
local oldest = 0
local function waiting(s)
  if call('EXISTS', s) == 0 then return 0 end
  local g = group_of(s)
  local at = g and g['last-delivered-id'] or '0-0'
  local first = call('XRANGE', s, '(' .. at, '+', 'COUNT', 1)
  if first[1] then
    local ms = tonumber(first[1][1]:match('^%d+'))
    if oldest == 0 or ms < oldest then oldest = ms end
  end
  local before = #call('XRANGE', s, '-', at, 'COUNT', most + 1)
  if before <= most then return call('XLEN', s) - before end
  local after = #call('XRANGE', s, '(' .. at, '+', 'COUNT', most + 1)
  if after <= most then return after end
  return g and g.lag or -1
end
local ready = waiting(S)
local names = call('SMEMBERS', P .. 'workers')
for i = 1, math.min(#names, 1000) do
  local n = waiting(P .. 'for:' .. names[i])
  ready = (n < 0 or ready < 0) and -1 or ready + n
end
local due = call('ZCOUNT', P .. 'delayed', '-inf', now)
local first = call('ZRANGE', P .. 'delayed', 0, 0, 'WITHSCORES')
if due > 0 and (oldest == 0 or tonumber(first[2]) < oldest) then oldest = tonumber(first[2]) end
local out = {}
if group_of(S) then
  for i, c in ipairs(call('XINFO', 'CONSUMERS', S, G)) do
    if i > 1000 then break end
    local pending = c[4]
    local theirs = P .. 'for:' .. c[2]
    local g = group_of(theirs)
    if g then
      for _, own_c in ipairs(call('XINFO', 'CONSUMERS', theirs, G)) do pending = pending + own_c[4] end
    end
    out[#out + 1] = {c[2], pending, now - c[6]}
  end
end
return {'ok', ready, due, call('ZCARD', P .. 'delayed'), call('ZCARD', P .. 'claimed'),
        call('ZCOUNT', P .. 'leases', '-inf', now), call('ZCARD', P .. 'dead'), oldest, out}
)};

struct redis_script queue_redis_list = {.text = COMMON LUA(
local sets = {ARGV[2]}
if ARGV[2] == '*' then sets = {'queued', 'claimed', 'done', 'dead', 'cancelled'} end
local limit = tonumber(ARGV[4])
local room = tonumber(ARGV[5])
local found = {}
for _, set in ipairs(sets) do
  local r = call('ZRANGEBYSCORE', P .. set, '(' .. ARGV[3], '+inf', 'WITHSCORES', 'LIMIT', 0, limit + 1)
  for i = 1, #r, 2 do found[#found + 1] = {r[i], tonumber(r[i + 1])} end
end
table.sort(found, function(a, b) return a[2] < b[2] end)
local out = {}
local more = 0
for _, f in ipairs(found) do
  if #out >= limit or room <= 0 then
    more = 1
    break
  end
  local e = entry(f[1])
  if e then
    out[#out + 1] = e
    room = room - #e[1]
  end
end
return {'ok', out, more}
)};

struct redis_script queue_redis_get = {.text = COMMON LUA(
local e = entry(ARGV[2])
if not e then return {'missing'} end
return {'ok', {e}, 0}
)};

struct redis_script queue_redis_cancel = {.text = COMMON LUA(
local state = field(ARGV[2], 'state')
if state == "" then return {'missing'} end
if state == 'claimed' then return {'busy'} end
if state ~= 'queued' then return {'ended'} end
take(ARGV[2])
finish(ARGV[2], 'cancelled', tonumber(ARGV[3]))
return {'ok'}
)};

struct redis_script queue_redis_requeue = {.text = COMMON LUA(
local id = ARGV[2]
local state = field(id, 'state')
if state == "" then return {'missing'} end
if state ~= 'dead' and state ~= 'cancelled' or field(id, 'sid') ~= ARGV[3] then return {'busy'} end
call('HSET', job(id), 'body', ARGV[4], 'tries', 0)
call('HDEL', job(id), 'ended', 'consumer')
queue(id, 0)
return {'ok'}
)};

struct redis_script queue_redis_own = {.text = COMMON LUA(
return own(ARGV[2], ARGV[3], tonumber(ARGV[4]), ARGV[5]) or {'ok'}
)};

struct redis_script queue_redis_disown = {.text = COMMON LUA(
if call('HGET', P .. 'owners', ARGV[2]) == ARGV[3] then
  call('HDEL', P .. 'owners', ARGV[2])
  call('HDEL', P .. 'about', ARGV[2])
  call('ZREM', P .. 'expiry', ARGV[2])
end
return {'ok'}
)};

struct redis_script queue_redis_owner = {.text = COMMON LUA(
local worker = call('HGET', P .. 'owners', ARGV[2])
local till = tonumber(call('ZSCORE', P .. 'expiry', ARGV[2]) or 0)
if not worker or till <= now then return {'ok'} end
return {'ok', worker, till - now, about(ARGV[2])}
)};

/*
 * And what others did to the stream is mended: of the oldest that wait, those whose entries were deleted, or stand before the
 * place where somebody made the group, are put again. Consumers that hold nothing and were not seen for an hour go.
 */
struct redis_script queue_redis_reap = {.text = COMMON LUA(
local n = 0
local function quoted(s) return cjson.encode(s):sub(2, -2) end
local function gone(worker)
  call('SADD', P .. 'gone', worker)
  call('SREM', P .. 'workers', worker)
  local s = P .. 'for:' .. worker
  for _, e in ipairs(call('XRANGE', s, '-', '+', 'COUNT', 1000)) do
    local id = e[2][2]
    if field(id, 'state') == 'queued' and field(id, 'sid') == e[1] then
      take(id)
      push(id)
    end
  end
  if call('XLEN', s) == 0 then call('DEL', s) else call('SADD', P .. 'workers', worker) end
end
for i, broadcast in ipairs(call('ZRANGEBYSCORE', P .. 'expiry', '-inf', now, 'LIMIT', 0, #ARGV - 2)) do
  local worker = call('HGET', P .. 'owners', broadcast)
  local id = ARGV[2 + i]
  local text = ARGV[2]:gsub('@id@', function() return id end)
  text = text:gsub('@broadcast@', function() return quoted(broadcast) end)
  local payload = about(broadcast)
  if payload ~= "" then payload = '"payload":' .. payload .. ',' end
  text = text:gsub('"payload":"@payload@",', function() return payload end)
  create(id, "", 0, text)
  call('HDEL', P .. 'owners', broadcast)
  call('HDEL', P .. 'about', broadcast)
  call('ZREM', P .. 'expiry', broadcast)
  if worker then gone(worker) end
  n = n + 1
end
local function parts(id)
  local a, b = id:match('^(%d+)-(%d+)$')
  return tonumber(a), tonumber(b)
end
local function passed(s, sid)
  local g = group_of(s)
  if not g then return false end
  local a, b = parts(g['last-delivered-id'])
  local c, d = parts(sid)
  return c < a or (c == a and d <= b)
end
for _, id in ipairs(call('ZRANGE', P .. 'queued', 0, 99)) do
  local h = call('HMGET', job(id), 'stream', 'sid')
  if not call('ZSCORE', P .. 'delayed', id) and h[1] and h[2] then
    local there = h[2] ~= "" and #call('XRANGE', h[1], h[2], h[2]) > 0
    if not there or passed(h[1], h[2]) then
      take(id)
      push(id)
    end
  end
end
if group_of(S) then
  for _, c in ipairs(call('XINFO', 'CONSUMERS', S, G)) do
    if c[4] == 0 and c[6] > 3600000 then call('XGROUP', 'DELCONSUMER', S, G, c[2]) end
  end
end
return {'ok', n}
)};
/* clang-format on */
