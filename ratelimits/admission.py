"""The atomic admission: every bucket of a request is taken, or none is.

Runs inside Redis on Redis's clock. Levels are kept as (level, milliseconds); a bucket that has
not been used for as long as it takes to fill is dropped, since full is where it starts.
"""

SCRIPT = """
local clock = redis.call('TIME')
local now = clock[1] * 1000 + math.floor(clock[2] / 1000)
local forced = ARGV[1] == '1'
local levels, wait, refused = {}, 0, 0
for i = 1, #KEYS do
    local capacity, cost = tonumber(ARGV[2 * i]), tonumber(ARGV[2 * i + 1])
    local rate = capacity / 60000
    local state = redis.call('HMGET', KEYS[i], 'l', 't')
    local level = capacity
    if state[1] then
        local elapsed = math.max(0, now - tonumber(state[2]))
        level = math.min(capacity, tonumber(state[1]) + elapsed * rate)
    end
    levels[i] = level
    if not forced and cost > 0 and level < cost then
        local needed = capacity > 0 and (cost - level) / rate or 60000
        if needed > wait then wait, refused = needed, i end
    end
end
local reply = {refused, math.ceil(wait)}
for i = 1, #KEYS do
    local capacity, cost = tonumber(ARGV[2 * i]), tonumber(ARGV[2 * i + 1])
    local level = levels[i]
    if refused == 0 and cost ~= 0 then
        level = math.min(capacity, level - cost)
        local fill = capacity > 0 and math.ceil((capacity - level) * 60000 / capacity) or 60000
        redis.call('HSET', KEYS[i], 'l', string.format('%.6f', level), 't', now)
        redis.call('PEXPIRE', KEYS[i], fill + 60000)
    end
    reply[#reply + 1] = math.floor(math.max(0, level))
    reply[#reply + 1] = capacity > 0 and math.ceil((capacity - level) * 60000 / capacity) or 0
end
return reply
"""
