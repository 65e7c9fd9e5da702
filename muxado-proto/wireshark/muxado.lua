-- A Wireshark dissector for muxado (PROTOCOL.md beside this folder).
--
--   wireshark -X lua_script:muxado.lua capture.pcapng
--   tshark -X lua_script:muxado.lua -r capture.pcapng -Y muxado
--
-- A session is recognised by its first frame on any TCP port. Where that fails, use "Decode As", or
-- name the port in the preferences. Copy the file into the folder of personal Lua plugins to have it
-- loaded always.

local muxado = Proto("muxado", "muxado stream multiplexing")

local HEADER = 8
local DEFAULT_WINDOW = 262144
local HEARTBEAT = 0xffffffff

local TYPES = { [0] = "RST", [1] = "DATA", [2] = "WNDINC", [3] = "GOAWAY" }

local CODES = {
    [0] = "no error", [1] = "protocol error", [2] = "internal error", [3] = "flow control error",
    [4] = "stream closed", [5] = "stream refused", [6] = "stream cancelled", [7] = "stream reset",
    [8] = "frame size error", [9] = "accept queue full", [10] = "enhance your calm",
    [11] = "remote gone away", [12] = "streams exhausted", [13] = "write timeout",
    [14] = "session closed", [15] = "peer EOF",
}

local f = {
    length = ProtoField.uint24("muxado.length", "Length", base.DEC),
    kind = ProtoField.uint8("muxado.type", "Type", base.DEC, TYPES, 0xf0),
    flags = ProtoField.uint8("muxado.flags", "Flags", base.HEX, nil, 0x0f),
    syn = ProtoField.bool("muxado.flags.syn", "SYN", 8, nil, 0x02),
    fin = ProtoField.bool("muxado.flags.fin", "FIN", 8, nil, 0x01),
    stream = ProtoField.uint32("muxado.stream", "Stream", base.DEC, nil, 0x7fffffff),
    data = ProtoField.bytes("muxado.data", "Payload"),
    code = ProtoField.uint32("muxado.code", "Error code", base.DEC, CODES),
    increment = ProtoField.uint32("muxado.increment", "Window increment", base.DEC, nil, 0x7fffffff),
    last = ProtoField.uint32("muxado.last", "Last stream", base.DEC, nil, 0x7fffffff),
    text = ProtoField.string("muxado.text", "Text"),
    stream_type = ProtoField.uint32("muxado.stream_type", "Stream type", base.HEX),
    beat = ProtoField.bytes("muxado.beat", "Heartbeat"),
    beat_sent_in = ProtoField.framenum("muxado.beat.sent_in", "Sent in", base.NONE,
        frametype.REQUEST),
    rtt = ProtoField.relative_time("muxado.beat.rtt", "Round-trip time"),
    opened_in = ProtoField.framenum("muxado.stream.opened_in", "Stream opened in"),
    offset = ProtoField.uint64("muxado.stream.offset", "Bytes before in this direction"),
}
muxado.fields = f

local function note(name, text, severity)
    return ProtoExpert.new("muxado.note." .. name, text, expert.group.PROTOCOL, severity)
end

local e = {
    pad = note("pad", "Empty frame of unknown type behind a GOAWAY: the pad that repairs the Go reference, "
        .. "which reads 8 bytes too many", expert.severity.CHAT),
    unknown = note("unknown_type", "Unknown frame type: skipped by Go, fatal to ngrok's crate",
        expert.severity.NOTE),
    syn_fin = note("syn_fin", "SYN and FIN in one frame: the Go reference cannot answer on this stream",
        expert.severity.WARN),
    zero_increment = note("zero_increment", "WNDINC of 0: ends the session with the Go implementations",
        expert.severity.WARN),
    rst_zero = note("rst_no_error", "RST with code 0: does not stop the writer of ngrok's crate",
        expert.severity.WARN),
    goaway_length = note("goaway_length", "Not a frame: ngrok's crate leaves the 8 fixed bytes out of the "
        .. "length of its GOAWAY, so these are the last 8 bytes of its text", expert.severity.NOTE),
    bad_length = note("bad_length", "This type of frame cannot have this length", expert.severity.ERROR),
    stream_zero = note("stream_zero", "No stream has the id 0", expert.severity.ERROR),
    big_frame = note("big_frame", "Payload above the first window of 262144 bytes",
        expert.severity.WARN),
    late_fin = note("repeated_fin", "FIN again: Go's Close() sends one behind CloseWrite()",
        expert.severity.CHAT),
    late_data = note("late_data", "DATA behind the FIN of this direction", expert.severity.WARN),
    no_syn = note("no_syn", "First DATA of a stream without SYN: Go may send DATA before its SYN, ngrok's "
        .. "crate ends an unwritten stream with a bare FIN", expert.severity.NOTE),
    top_bit = note("top_bit", "The top bit of the word is set; it is ignored", expert.severity.WARN),
}
muxado.experts = {}
for _, expert_note in pairs(e) do table.insert(muxado.experts, expert_note) end

muxado.prefs.typed = Pref.enum("Typed session", 0, "Whether streams carry a type of four bytes", {
    { 1, "Detect: a SYN frame of exactly four bytes", 0 },
    { 2, "Yes", 1 },
    { 3, "No", 2 },
}, false)
muxado.prefs.ports = Pref.range("TCP ports", "", "Ports that always carry muxado", 65535)

-- The state of each TCP connection, and the results of the first pass for each frame.
local sessions = {}
local facts = {}

local tcp_stream = Field.new("tcp.stream")

function muxado.init()
    sessions, facts = {}, {}
end

local function word(tvb, at) return tvb(at, 4):uint() % 0x80000000 end

local function direction(pinfo)
    return tostring(pinfo.src) .. ":" .. pinfo.src_port
end

local function session_of(pinfo)
    local number = tcp_stream()
    local key = number and number.value or 0
    sessions[key] = sessions[key] or { streams = {}, beats = {}, gone = {} }
    return sessions[key]
end

local function stream_of(session, id)
    local stream = session.streams[id]
    if not stream then
        stream = { bytes = {}, fin = {} }
        session.streams[id] = stream
    end
    return stream
end

-- The payload of a typed stream or a heartbeat.
local function learn_payload(session, stream, fact, tvb, length, syn, from, pinfo)
    local typed = muxado.prefs.typed
    if syn and length >= 4 and (typed == 1 or (typed == 0 and length == 4)) then
        fact.stream_type = tvb(HEADER, 4):uint()
        stream.is_beat = fact.stream_type == HEARTBEAT
        return
    end
    if stream.is_beat and length > 0 and length % 4 == 0 then
        fact.beats = {}
        for at = HEADER, HEADER + length - 4, 4 do
            local value = tvb(at, 4):bytes():tohex()
            local sent = session.beats[value]
            local beat = { at = at }
            if sent and sent.from ~= from then
                beat.sent_in = sent.number
                beat.rtt = pinfo.rel_ts - sent.at
                session.beats[value] = nil
            else
                session.beats[value] = { from = from, number = pinfo.number, at = pinfo.rel_ts }
            end
            table.insert(fact.beats, beat)
        end
    end
end

-- Looks at a frame once, in the order of the capture.
local function learn(tvb, pinfo, kind, flags, id, length)
    local session, from = session_of(pinfo), direction(pinfo)
    local fact = { notes = {} }
    local function say(what) table.insert(fact.notes, what) end
    local syn, fin = flags % 4 >= 2, flags % 2 == 1
    if kind > 3 then say(session.gone[from] and e.pad or e.unknown) end
    if kind == 1 then
        if id == 0 then say(e.stream_zero) end
        local stream = stream_of(session, id)
        if syn and stream.opened_in == nil then
            stream.opened_in = pinfo.number
        elseif not stream.seen and not syn then
            say(e.no_syn)
        end
        stream.seen = true
        fact.opened_in = stream.opened_in
        fact.offset = stream.bytes[from] or 0
        stream.bytes[from] = fact.offset + length
        if syn and fin then say(e.syn_fin) end
        if length > DEFAULT_WINDOW then say(e.big_frame) end
        if stream.fin[from] then say((fin and length == 0) and e.late_fin or e.late_data) end
        if fin then stream.fin[from] = true end
        learn_payload(session, stream, fact, tvb, length, syn, from, pinfo)
    elseif kind == 0 or kind == 2 then
        if id == 0 then say(e.stream_zero) end
        if length ~= 4 then
            say(e.bad_length)
        else
            local stream = session.streams[id]
            fact.opened_in = stream and stream.opened_in
            local value = tvb(HEADER, 4):uint()
            if kind == 0 and value == 0 then say(e.rst_zero) end
            if kind == 2 and value % 0x80000000 == 0 then say(e.zero_increment) end
            if kind == 2 and value >= 0x80000000 then say(e.top_bit) end
        end
    elseif kind == 3 then
        if length < 8 or id ~= 0 then say(e.bad_length) end
        session.gone[from] = true
    end
    return fact
end

local function describe(kind, flags, id, length, tvb, fact)
    if kind == 1 then
        local names = (flags % 4 >= 2 and " SYN" or "") .. (flags % 2 == 1 and " FIN" or "")
        local what = ""
        if fact.stream_type == HEARTBEAT then
            what = " heartbeat"
        elseif fact.stream_type then
            what = string.format(" type 0x%08x", fact.stream_type)
        elseif fact.beats then
            what = fact.beats[1].sent_in and " echo" or " beat"
        end
        return string.format("DATA%s %d len %d%s", names, id, length, what)
    elseif kind == 0 and length == 4 then
        local code = tvb(HEADER, 4):uint()
        return string.format("RST %d %s", id, CODES[code] or ("code " .. code))
    elseif kind == 2 and length == 4 then
        return string.format("WNDINC %d +%d", id, word(tvb, HEADER))
    elseif kind == 3 and length >= 8 then
        local code = tvb(HEADER + 4, 4):uint()
        return string.format("GOAWAY last %d %s", word(tvb, HEADER), CODES[code] or ("code " .. code))
    end
    return string.format("%s %d len %d", TYPES[kind] or ("type " .. kind), id, length)
end

local function show_payload(tree, tvb, kind, length, fact)
    if kind == 1 and length > 0 then
        if fact.stream_type then
            tree:add(f.stream_type, tvb(HEADER, 4))
            if length > 4 then tree:add(f.data, tvb(HEADER + 4, length - 4)) end
        elseif fact.beats then
            for _, beat in ipairs(fact.beats) do
                local item = tree:add(f.beat, tvb(beat.at, 4))
                if beat.sent_in then
                    item:add(f.beat_sent_in, beat.sent_in):set_generated()
                    local seconds = math.floor(beat.rtt)
                    local rtt = NSTime.new(seconds, math.floor((beat.rtt - seconds) * 1e9 + 0.5))
                    item:add(f.rtt, rtt):set_generated()
                end
            end
        else
            tree:add(f.data, tvb(HEADER, length))
        end
    elseif kind == 0 and length == 4 then
        tree:add(f.code, tvb(HEADER, 4))
    elseif kind == 2 and length == 4 then
        tree:add(f.increment, tvb(HEADER, 4))
    elseif kind == 3 and length >= 8 then
        tree:add(f.last, tvb(HEADER, 4))
        tree:add(f.code, tvb(HEADER + 4, 4))
        if length > 8 then tree:add(f.text, tvb(HEADER + 8, length - 8)) end
    elseif length > 0 then
        tree:add(f.data, tvb(HEADER, length))
    end
end

-- ngrok's crate leaves the 8 fixed bytes out of the length of its GOAWAY. Read as a header, the last 8
-- bytes of the text would announce a frame that never comes.
local function is_rest_of_text(session, from, tvb, offset)
    local kind, length = math.floor(tvb(offset + 3, 1):uint() / 16), tvb(offset, 3):uint()
    local pad = kind == 15 and length == 0
    return session.gone[from] and not pad and (kind > 3 or length > 0xfffff)
end

local function dissect_frame(tvb, pinfo, root)
    if is_rest_of_text(session_of(pinfo), direction(pinfo), tvb, 0) then
        local tree = root:add(muxado, tvb(0, HEADER), "muxado, rest of a GOAWAY's text")
        tree:add(f.text, tvb(0, HEADER))
        tree:add_proto_expert_info(e.goaway_length)
        return HEADER
    end
    local length = tvb(0, 3):uint()
    local kind_flags = tvb(3, 1):uint()
    local kind, flags = math.floor(kind_flags / 16), kind_flags % 16
    local id = word(tvb, 4)
    -- A packet can hold many frames: where a frame begins is part of its name.
    local name = pinfo.number .. "/" .. tvb:offset()
    if not facts[name] then facts[name] = learn(tvb, pinfo, kind, flags, id, length) end
    local fact = facts[name]

    local text = describe(kind, flags, id, length, tvb, fact)
    local tree = root:add(muxado, tvb(0, HEADER + length), "muxado, " .. text)
    tree:add(f.length, tvb(0, 3))
    tree:add(f.kind, tvb(3, 1))
    local flags_tree = tree:add(f.flags, tvb(3, 1))
    if kind == 1 then
        flags_tree:add(f.syn, tvb(3, 1))
        flags_tree:add(f.fin, tvb(3, 1))
    end
    tree:add(f.stream, tvb(4, 4))
    if fact.opened_in then tree:add(f.opened_in, fact.opened_in):set_generated() end
    if fact.offset then tree:add(f.offset, UInt64(fact.offset)):set_generated() end
    show_payload(tree, tvb, kind, length, fact)
    for _, expert_note in ipairs(fact.notes) do tree:add_proto_expert_info(expert_note) end

    if tostring(pinfo.cols.protocol) == "muxado" then
        pinfo.cols.info:append("; " .. text)
    else
        pinfo.cols.protocol = "muxado"
        pinfo.cols.info = text
    end
    return HEADER + length
end

local function frame_length(tvb, pinfo, offset)
    if is_rest_of_text(session_of(pinfo), direction(pinfo), tvb, offset) then return HEADER end
    return HEADER + tvb(offset, 3):uint()
end

function muxado.dissector(tvb, pinfo, root)
    dissect_tcp_pdus(tvb, root, HEADER, frame_length, dissect_frame)
    return tvb:len()
end

-- The first frame of a session: a SYN of modest length on a low id, or a GOAWAY.
local function looks_like_a_session(tvb)
    if tvb:len() < HEADER then return false end
    local length, kind_flags, id = tvb(0, 3):uint(), tvb(3, 1):uint(), tvb(4, 4):uint()
    if kind_flags == 0x30 then return id == 0 and length >= 8 and length < 4096 end
    local opens = kind_flags == 0x12 or kind_flags == 0x13
    return opens and id > 0 and id < 4096 and length <= DEFAULT_WINDOW
end

muxado:register_heuristic("tcp", function(tvb, pinfo, root)
    if not looks_like_a_session(tvb) then return false end
    pinfo.conversation = muxado
    muxado.dissector(tvb, pinfo, root)
    return true
end)

local tcp_port = DissectorTable.get("tcp.port")
tcp_port:add_for_decode_as(muxado)
local ports = ""
function muxado.prefs_changed()
    if ports ~= "" then tcp_port:remove(ports, muxado) end
    ports = muxado.prefs.ports
    if ports ~= "" then tcp_port:add(ports, muxado) end
end
