/** Python for tests of accelerated connections: who sends, who answers, and who looks whether every byte arrived. */

const common = `
import hashlib, os, random, select, time

def listener(port):
    s = socket.create_server(('', port), family=socket.AF_INET, backlog=512)
    return s

def ready(s, events, seconds=5 * patience):
    p = select.poll()
    p.register(s, events)
    if not p.poll(seconds * 1000): raise TimeoutError('nothing for %d s' % seconds)

def send_all(s, data):
    view = memoryview(data)
    while view:
        try: view = view[s.send(view):]
        except BlockingIOError: ready(s, select.POLLOUT)

def receive(s, size=65536):
    while True:
        try: return s.recv(size)
        except BlockingIOError: ready(s, select.POLLIN)

def receive_exactly(s, size):
    parts = []
    while size > 0:
        part = receive(s, min(size, 65536))
        if not part: raise EOFError('the end, %d bytes too early' % size)
        parts.append(part)
        size -= len(part)
    return b''.join(parts)

def receive_rest(s):
    return b''.join(iter(lambda: receive(s), b''))

# The bytes of a seed: no piece looks like another one.
def body(seed, size):
    return random.Random(seed).randbytes(size)

def pieces(seed, data):
    r = random.Random(seed)
    while data:
        size = r.choice((1, 64, 300, 1460, 4096, 20000))
        yield data[:size]
        data = data[size:]
`;

/**
 * Answers on `[port, lateSeconds]` until its standard input ends. The first byte of a connection says how: "e" gives back every
 * byte at once; "h" waits for the end of what is sent, then sends its hash and what the eight bytes after the first ask for
 * (seed and size); "c" closes; "u" reads nothing. A port that is late makes its sockets when the first bytes are there (TCP_DEFER_ACCEPT).
 */
export const answer = `${common}
import threading

def echo(s):
    while data := receive(s): send_all(s, data)

def reply(s):
    seed, size = (int.from_bytes(receive_exactly(s, 4), 'big') for _ in range(2))
    send_all(s, hashlib.sha256(receive_rest(s)).digest())
    for piece in pieces(seed, body(seed, size)): send_all(s, piece)

def serve(s):
    with s:
        s.setblocking(False)
        try: {b'e': echo, b'h': reply, b'c': lambda s: None, b'u': lambda s: ready(s, select.POLLRDHUP, 5), b'': lambda s: None}[receive(s, 1)](s)
        except (ConnectionError, TimeoutError, PermissionError): pass

def accept(l):
    while True: threading.Thread(target=serve, args=(l.accept()[0],), daemon=True).start()

port, late = arg
l = listener(port)
if late: l.setsockopt(socket.IPPROTO_TCP, socket.TCP_DEFER_ACCEPT, late)
threading.Thread(target=accept, args=(l,), daemon=True).start()
print(json.dumps('listening'), flush=True)
sys.stdin.read()
`;

/**
 * Makes `count` connections to `[ip, ports, count, seed]` with eight of them at a time, of every kind that `answer` knows: short ones, long
 * ones, those that send at once and those that wait. Prints how many came back as they should, and what was wrong with the others.
 */
export const load = `${common}
from concurrent.futures import ThreadPoolExecutor

ip, ports, count, first = arg

def dial(r):
    s = socket.socket()
    s.setblocking(False)
    try: s.connect((ip, r.choice(ports)))
    except BlockingIOError: pass
    ready(s, select.POLLOUT)
    error = s.getsockopt(socket.SOL_SOCKET, socket.SO_ERROR)
    if error: raise OSError(error, os.strerror(error))
    if r.random() < 0.3: time.sleep(r.random() / 200)
    return s

def size_of(r):
    return r.choice((0, 1, 64, 64, 2000, 2000, 30000, 30000, 30000, 700000 if r.random() < 0.2 else 9000))

def half_closed(s, seed, r):
    data, size = body(seed + 1, size_of(r)), size_of(r)
    send_all(s, b'h' + seed.to_bytes(4, 'big') + size.to_bytes(4, 'big'))
    for piece in pieces(seed, data): send_all(s, piece)
    s.shutdown(socket.SHUT_WR)
    got = receive_rest(s)
    if got[:32] != hashlib.sha256(data).digest(): return 'what was sent differs'
    if got[32:] != body(seed, size): return 'what came back differs'

def echoed(s, seed, r):
    data = body(seed, min(size_of(r), 30000))
    send_all(s, b'e')
    sent, got = 0, b''
    for piece in pieces(seed, data):
        send_all(s, piece)
        sent += len(piece)
        if r.random() < 0.8: got += receive_exactly(s, sent - len(got))
    s.shutdown(socket.SHUT_WR)
    if got + receive_rest(s) != data: return 'an echo differs'

def one(seed):
    r = random.Random(seed)
    try:
        with dial(r) as s: return (half_closed if seed % 2 else echoed)(s, seed, r)
    except Exception as e: return repr(e)

with ThreadPoolExecutor(8) as pool:
    wrong = [w for w in pool.map(one, range(first, first + count)) if w]
print(json.dumps({'right': count - len(wrong), 'wrong': wrong[:5]}))
`;

/** One connection to `[ip, port, size]` in mode "h", in the way most applications do it; prints its outcome. */
export const sendAndHalfClose = `${common}
ip, port, size = arg
s = socket.create_connection((ip, port))
s.setblocking(False)
data = body(1, size)
send_all(s, b'h' + (1).to_bytes(4, 'big') + (100).to_bytes(4, 'big') + data)
s.shutdown(socket.SHUT_WR)
got = receive_rest(s)
print(json.dumps(got == hashlib.sha256(data).digest() + body(1, 100)))
`;

/** The same with bytes that are given to TCP before there is a connection: TCP Fast Open without a cookie, in many pieces afterwards. */
export const sendBeforeConnected = `${common}
ip, port = arg
right = 0
for seed in range(20):
    s = socket.socket()
    data = body(seed, 50000)
    s.sendto(b'h' + seed.to_bytes(4, 'big') + (0).to_bytes(4, 'big') + data[:5000], 0x20000000, (ip, port))
    s.setblocking(False)
    for piece in pieces(seed, data[5000:]): send_all(s, piece)
    s.shutdown(socket.SHUT_WR)
    right += receive_rest(s) == hashlib.sha256(data).digest()
print(json.dumps(right))
`;

/**
 * Of `count` blocking sockets to `[ip, port, count]`: how many reads failed with EAGAIN because another thread of the same process said
 * meanwhile that it would send no more.
 */
export const halfCloseWhileReading = `${common}
import threading
ip, port, count = arg
outcomes = {'EAGAIN': 0, 'data': 0}
def read(s):
    try: outcomes['data' if s.recv(100) else 'end'] += 1
    except BlockingIOError: outcomes['EAGAIN'] += 1
for _ in range(count):
    with socket.create_connection((ip, port)) as s:
        s.setblocking(True)
        s.sendall(b'h' + (1).to_bytes(4, 'big') + (100).to_bytes(4, 'big'))
        reader = threading.Thread(target=read, args=(s,))
        reader.start()
        time.sleep(0.003)
        s.shutdown(socket.SHUT_WR)
        reader.join()
print(json.dumps(outcomes))
`;

/** Makes `count` connections to `[ip, port, count]`, has a byte come back on each, prints how many, and holds them. */
export const holdEchoes = `${common}
ip, port, count = arg
held = []
for _ in range(count):
    s = socket.create_connection((ip, port))
    s.setblocking(False)
    send_all(s, b'e!')
    receive_exactly(s, 1)
    held.append(s)
print(json.dumps(len(held)), flush=True)
sys.stdin.read()
`;

/** Sends to `[ip, port, seconds]` and hears its echo until that fails; then prints how, and what ten more attempts did. */
export const echoUntilCut = `${common}
ip, port, seconds = arg
s = socket.create_connection((ip, port))
s.settimeout(2 * patience)
def attempt():
    try:
        s.sendall(b'x' * 64)
        return len(s.recv(1000)) or 'end'
    except OSError as e: return errno.errorcode.get(e.errno, repr(e))
s.sendall(b'e')
until = time.monotonic() + seconds * patience
first = 64
while isinstance(first, int) and time.monotonic() < until: first = attempt()
print(json.dumps({'first': first, 'then': [attempt() for _ in range(10)]}))
`;

/** Has `[ip, port]` close the connection, waits until it is told of that, and prints how sending ends then. */
export const sendAfterClose = `${common}
ip, port = arg
s = socket.create_connection((ip, port))
s.sendall(b'c')
assert s.recv(1) == b''
def attempt():
    try: return s.send(b'x' * 64)
    except OSError as e: return errno.errorcode[e.errno]
outcomes = []
while not outcomes or isinstance(outcomes[-1], int) and len(outcomes) < 100:
    outcomes.append(attempt())
    time.sleep(0.005)
print(json.dumps(outcomes[-1]))
`;

/** Sends to `[ip, port]`, where nobody reads, until it is stopped, or has sent 64 MiB; prints how much. */
export const sendUnread = `${common}
ip, port = arg
s = socket.create_connection((ip, port))
s.sendall(b'u')
s.setblocking(False)
sent = 0
try:
    while sent < 1 << 26: sent += s.send(b'x' * 1000)
except BlockingIOError: pass
print(json.dumps(sent))
`;


/**
 * What an application that looks closely sees on blocking sockets to `[ip, port]`, by name. Whoever waits for more is given it two
 * seconds later, so that nobody has to be fast to be seen not waiting.
 */
export const lookClosely = `${common}
import fcntl, threading
ip, port = arg

def dial():
    s = socket.create_connection((ip, port))
    s.setblocking(True)
    s.sendall(b'e')
    return s

# Until so many bytes can be read.
def arrived(s, size):
    while True:
        try:
            if len(s.recv(100, socket.MSG_PEEK | socket.MSG_DONTWAIT)) >= size: return
        except BlockingIOError: pass
        time.sleep(0.001)

# What action() gives, when three bytes are there, and more only for who waits for them.
def given_three(s, action, more):
    s.sendall(b'abc')
    arrived(s, 3)
    done = threading.Event()
    later = threading.Thread(target=lambda: done.wait(2) or s.sendall(more))
    later.start()
    try: return action()
    except OSError as e: return errno.errorcode[e.errno]
    finally:
        done.set()
        later.join()

def waitall(s): return given_three(s, lambda: len(s.recv(6, socket.MSG_WAITALL)), b'def')

# Blocking, it would wait for what never comes.
def splice(s):
    ours, theirs = os.pipe()
    s.setblocking(False)
    return given_three(s, lambda: os.splice(s.fileno(), theirs, 100), b'')

def fionread(s):
    return given_three(s, lambda: int.from_bytes(fcntl.ioctl(s, 0x541B, b'....'), sys.byteorder), b'')

# tcpi_bytes_received
def tcp_info(s):
    def received(): return int.from_bytes(s.getsockopt(socket.IPPROTO_TCP, socket.TCP_INFO, 136)[128:], sys.byteorder)
    return given_three(s, received, b'')

def low_water(s, action):
    s.setsockopt(socket.SOL_SOCKET, socket.SO_RCVLOWAT, 10)
    return given_three(s, action, b'defghij')

def events(s, milliseconds):
    p = select.poll()
    p.register(s, select.POLLIN | select.POLLRDHUP | select.POLLOUT)
    found = dict(p.poll(milliseconds)).get(s.fileno(), 0)
    return [name for name in ('POLLIN', 'POLLOUT', 'POLLRDHUP', 'POLLHUP', 'POLLERR') if found & getattr(select, name)]

def poll(s):
    before = events(s, 0)
    there = given_three(s, lambda: events(s, 0), b'')
    s.recv(100)
    after = events(s, 0)
    s.shutdown(socket.SHUT_WR)
    while 'POLLIN' not in (end := events(s, 10)): pass
    return [before, there, after, end, len(s.recv(100))]

def peek(s):
    return given_three(s, lambda: [s.recv(2, socket.MSG_PEEK).decode(), s.recv(100).decode()], b'')

def truncate(s):
    return given_three(s, lambda: [s.recv(2, socket.MSG_TRUNC).decode('latin1'), s.recv(100).decode()], b'')

# Of some connections: what is sent before the other end is there goes by TCP.
def urgent(s):
    def got(s):
        s.sendall(b'ab')
        s.send(b'!', socket.MSG_OOB)
        s.sendall(b'cd')
        found = b''
        while b'd' not in found: found += s.recv(100)
        return found.decode()
    found = got(s)
    for _ in range(20):
        if '!' in found: break
        with dial() as another: found = got(another)
    return found

def timeout(s):
    s.setsockopt(socket.SOL_SOCKET, socket.SO_RCVTIMEO, (0).to_bytes(8, sys.byteorder) + (50000).to_bytes(8, sys.byteorder))
    began = time.monotonic()
    try: s.recv(1)
    except OSError as e: return [errno.errorcode[e.errno], time.monotonic() - began > 0.04]

def closed_for_reading(s):
    s.shutdown(socket.SHUT_RD)
    return len(s.recv(10))

looks = {
    'MSG_WAITALL': waitall,
    'splice': splice,
    'FIONREAD': fionread,
    'SO_RCVLOWAT, poll': lambda s: low_water(s, lambda: 'POLLIN' in events(s, 0)),
    'SO_RCVLOWAT, recv': lambda s: low_water(s, lambda: len(s.recv(100))),
    'poll': poll,
    'MSG_PEEK': peek,
    'MSG_TRUNC': truncate,
    'MSG_OOB': urgent,
    'TCP_INFO': tcp_info,
    'SO_RCVTIMEO': timeout,
    'SHUT_RD': closed_for_reading,
}
seen = {}
for name, look in looks.items():
    with dial() as s: seen[name] = look(s)
print(json.dumps(seen))
`;
