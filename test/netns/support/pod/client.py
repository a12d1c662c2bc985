"""One use of a socket, the way applications use them, and what came of it as one JSON object on standard output.
Usage: client.py NAME JSON-ARGUMENTS. A failed system call is an answer: {"error": "ECONNREFUSED", "after": SECONDS}."""
import asyncio, ctypes, errno, hashlib, json, os, select, socket, struct, sys, threading, time

patience = 15
started = time.monotonic()


def address(host, port):
    """The first address of a name, or of an address itself; `host` may be [NAME, 6] to ask for one family."""
    host, version = (host, 0) if isinstance(host, str) else host
    family = {0: socket.AF_UNSPEC, 4: socket.AF_INET, 6: socket.AF_INET6}[version]
    return socket.getaddrinfo(host, port, family, socket.SOCK_STREAM)[0]


def new(host, port):
    family, kind, protocol, _, target = address(host, port)
    s = socket.socket(family, kind, protocol)
    s.settimeout(patience)
    return s, target


def dial(host, port):
    s, target = new(host, port)
    s.connect(target)
    return s


def line(s):
    data = b''
    while not data.endswith(b'\n'):
        part = s.recv(4096)
        if not part:
            break
        data += part
    return data.decode()


def ends(s):
    return {'peer': list(s.getpeername()[:2]), 'own': list(s.getsockname()[:2])}


def said(s):
    text = line(s)
    return {**ends(s), 'greeting': json.loads(text) if text else None}


def rest(s):
    parts = []
    while part := s.recv(262144):
        parts.append(part)
    return b''.join(parts).decode(errors='replace')


def greet(host, port=7001):
    """What a connection looks like from both ends."""
    return said(dial(host, port))


def datagram(host, port, text):
    """Sends one datagram and returns the one that comes back."""
    family, _, _, _, target = socket.getaddrinfo(host, port, 0, socket.SOCK_DGRAM)[0]
    s = socket.socket(family, socket.SOCK_DGRAM)
    s.settimeout(5)
    s.sendto(text.encode(), target)
    return {'answer': s.recv(65536).decode()}


def exchange(host, port, text):
    """Sends a text, ends its own direction, and returns everything that came back."""
    s = dial(host, port)
    s.sendall(text.encode())
    s.shutdown(socket.SHUT_WR)
    return {'answer': rest(s)}


def patient(host, port, text):
    """As `exchange`, and waits for a minute."""
    s = dial(host, port)
    s.settimeout(60)
    s.sendall(text.encode())
    return {'answer': rest(s)}


def half_close(host, port, count):
    """Writes `count` bytes, half-closes, and only then hears the answer."""
    s = dial(host, port)
    data = os.urandom(count)
    s.sendall(data)
    s.shutdown(socket.SHUT_WR)
    return {'answer': rest(s).strip(), 'expected': f'{count} {hashlib.sha256(data).hexdigest()}'}


def drain(host, port):
    """Reads to the end."""
    s = dial(host, port)
    return {'bytes': len(rest(s))}


def be_reset(host, port=7004):
    """Provokes a server that resets, and tells how that looks here."""
    s = dial(host, port)
    s.sendall(b'x')
    return {'answer': rest(s)}


def reset(host, port):
    """Talks, then resets the connection itself."""
    s = dial(host, port)
    s.sendall(b'ping')
    s.recv(4)
    own = s.getsockname()[1]
    s.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack('ii', 1, 0))
    s.close()
    return {'own': own}


def idle(host, port, seconds):
    """Connects and neither sends nor closes for a while; the connection must still be there."""
    s = dial(host, port)
    s.setblocking(False)
    time.sleep(seconds)
    try:
        return {'read': s.recv(1).decode()}
    except BlockingIOError:
        return {'read': None, **ends(s)}


def nonblocking(host, port):
    s, target = new(host, port)
    s.setblocking(False)
    first = s.connect_ex(target)
    select.select([], [s], [], patience)
    outcome = s.getsockopt(socket.SOL_SOCKET, socket.SO_ERROR)
    again = [s.connect_ex(target), s.connect_ex(target)]
    s.settimeout(patience)
    names = [errno.errorcode.get(code, code) for code in (first, outcome, *again)]
    return {'codes': names, **said(s)}


def twice(host, port, other):
    """One socket connected, disconnected with AF_UNSPEC, and connected to another host."""
    s, target = new(host, port)
    s.connect(target)
    first = said(s)
    ctypes.CDLL(None).connect(s.fileno(), (ctypes.c_char * 16)(), 16)
    s.connect(address(other, port)[4])
    return {'first': first, 'second': said(s)}


def bound(host, port, own, own_port):
    s, target = new(host, port)
    s.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    s.bind((own, own_port))
    s.connect(target)
    return said(s)


def multipath(host, port):
    """As `greet`, with Multipath TCP; 262 is IPPROTO_MPTCP."""
    family, kind, _, _, target = address(host, port)
    s = socket.socket(family, kind, 262)
    s.settimeout(patience)
    s.connect(target)
    return {'greeting': json.loads(line(s) or 'null')}


def fastopen(host, port):
    s, target = new(host, port)
    s.settimeout(None)
    s.sendto(b'early', socket.MSG_FASTOPEN, target)
    where = ends(s)
    s.shutdown(socket.SHUT_WR)
    return {**where, 'answer': rest(s)}


def marked(host, port, mark, source=None):
    """A socket with a firewall mark of its choice, and with an address that is not its own if `source` is given."""
    s, target = new(host, port)
    s.settimeout(4)
    s.setsockopt(socket.SOL_SOCKET, socket.SO_MARK, mark)
    if source is not None:
        s.setsockopt(socket.IPPROTO_IP, 19, 1)
        s.bind((source, 0))
    s.connect(target)
    return said(s)


def simultaneous(host, port, own_port, seconds=5):
    """Connects from a port of its choice, again and again, to somebody who does the same the other way round: nobody
    listens, and where both first packets meet there is a connection. Tells what came through it."""
    last = None
    while time.monotonic() - started < seconds:
        s, target = new(host, port)
        s.settimeout(0.3)
        s.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        s.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack('ii', 1, 0))
        try:
            s.bind(('', own_port))
            s.connect(target)
            s.sendall(b'inside')
            if data := s.recv(100):
                # The other one has to read it, too.
                time.sleep(0.5)
                return {'answer': data.decode()}
        except OSError as error:
            last = name_of(error)
        finally:
            s.close()
    return {'error': last}


def probe(host, port, text='', seconds=4):
    """Dials, sends a text in hexadecimal, and tells what came back until the other side ended it or time was up."""
    s, target = new(host, port)
    s.settimeout(seconds)
    s.connect(target)
    s.sendall(bytes.fromhex(text))
    data = b''
    while part := s.recv(65536):
        data += part
    return {'answer': data.hex()}


def hold(host, port, count):
    """Opens connections, proves each with a round trip, says how many, and holds them until standard input ends; then
    proves each of them again."""
    held = [None] * count
    problems = []

    def open_some(first, step):
        for i in range(first, count, step):
            try:
                held[i] = dial(host, port)
                round_trip(held[i], i)
            except OSError as error:
                problems.append(name_of(error))

    def again(first, step):
        for i in range(first, count, step):
            try:
                if held[i] is not None:
                    round_trip(held[i], i)
            except OSError as error:
                problems.append(name_of(error))

    in_threads(open_some)
    print(json.dumps({'open': sum(s is not None for s in held), 'problems': problems}), flush=True)
    sys.stdin.read()
    in_threads(again)
    return {'problems': problems}


def round_trip(s, i):
    message = f'message {i};'.encode()
    s.sendall(message)
    if exactly(s, len(message)) != message:
        raise OSError(errno.EBADMSG, 'another answer')


def exactly(s, count):
    data = b''
    while len(data) < count:
        part = s.recv(count - len(data))
        if not part:
            raise OSError(errno.EPIPE, 'ended')
        data += part
    return data


def in_threads(action, step=16):
    threads = [threading.Thread(target=action, args=(first, step)) for first in range(step)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()


def knock(host, port, seconds=0):
    """One short connection after another, each proved by a greeting; until standard input ends, or for a time. Tells
    how many went well and every failure with its moment (Unix time)."""
    stop = threading.Event()
    if seconds == 0:
        threading.Thread(target=lambda: (sys.stdin.read(), stop.set()), daemon=True).start()
    target = address(host, port)[4][0]
    done, failures = 0, []
    print(json.dumps({'started': time.time()}), flush=True)
    while not stop.is_set() and (seconds == 0 or time.monotonic() - started < seconds):
        before = time.time()
        try:
            s, where = new(target, port)
            s.settimeout(10)
            s.connect(where)
            if not line(s):
                raise OSError(errno.EPIPE, 'ended before it spoke')
            s.close()
            done += 1
        except OSError as error:
            failures.append({'at': before, 'error': name_of(error), 'took': round(time.time() - before, 3)})
            stop.wait(0.02)
        stop.wait(0.005)
    return {'done': done, 'failures': failures}


def arrivals(host, port, rate, text):
    """New connections at a steady rate, whatever becomes of the ones before; each greeted, then asked for its own words.
    Until standard input ends; tells, while it goes on, how many are under way and how many went well, and in the end every
    failure too, and how long the slowest took."""
    return asyncio.run(arrive(address(host, port)[4][0], port, rate, text))


async def arrive(target, port, rate, text):
    stop = asyncio.Event()
    loop = asyncio.get_running_loop()
    threading.Thread(target=lambda: (sys.stdin.read(), loop.call_soon_threadsafe(stop.set)), daemon=True).start()
    print(json.dumps({'started': time.time()}), flush=True)
    took, failures, under_way = [], [], set()

    async def one(number):
        before, at = loop.time(), time.time()
        writer = None
        try:
            async with asyncio.timeout(30):
                reader, writer = await asyncio.open_connection(target, port)
                words = f'{text} {number}\n'.encode()
                if not await reader.readline():
                    raise OSError(errno.EPIPE, 'ended before it spoke')
                writer.write(words)
                answer = await reader.readline()
                if not answer:
                    raise OSError(errno.EPIPE, 'ended before it answered')
                if answer != words:
                    raise OSError(errno.EBADMSG, 'another answer')
            took.append(loop.time() - before)
        except TimeoutError:
            failures.append({'at': at, 'error': 'timeout', 'took': round(loop.time() - before, 3)})
        except OSError as error:
            failures.append({'at': at, 'error': name_of(error), 'took': round(loop.time() - before, 3)})
        finally:
            if writer is not None:
                writer.close()

    first = loop.time()
    number = 0
    while not stop.is_set():
        task = loop.create_task(one(number))
        under_way.add(task)
        task.add_done_callback(under_way.discard)
        number += 1
        if number % (rate // 20) == 0:
            print(json.dumps({'under_way': len(under_way), 'done': len(took)}), flush=True)
        await asyncio.sleep(max(0, first + number / rate - loop.time()))
    await asyncio.gather(*under_way)
    return {'done': len(took), 'failures': failures, 'slowest': round(max(took, default=0), 3)}


def bulk(host, port, connections, count):
    """The two-way transfer of `lab-app bulk`, on several connections at once; each proves itself whole."""
    block = os.urandom(256 * 1024)

    def write(s, digest):
        for at in range(0, count, len(block)):
            part = memoryview(block)[: min(len(block), count - at)]
            digest.update(part)
            s.sendall(part)
        s.sendall(digest.digest())
        s.shutdown(socket.SHUT_WR)

    def one(results, i):
        try:
            s = dial(host, port)
            s.settimeout(60)
            s.sendall(struct.pack('>Q', count))
            writer = threading.Thread(target=write, args=(s, hashlib.sha256()))
            writer.start()
            digest, left, buffer = hashlib.sha256(), count, bytearray(262144)
            while left > 0:
                got = s.recv_into(buffer, min(left, len(buffer)))
                if got == 0:
                    raise OSError(errno.EPIPE, 'ended')
                digest.update(memoryview(buffer)[:got])
                left -= got
            if exactly(s, 32) != digest.digest():
                raise OSError(errno.EBADMSG, 'received damaged')
            writer.join()
            results[i] = 'ok' if exactly(s, 1) == b'\x01' else 'sent damaged'
        except OSError as error:
            results[i] = name_of(error)

    results = [None] * connections
    threads = [threading.Thread(target=one, args=(results, i)) for i in range(connections)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    return {'results': results}


def stream(host, port):
    """Sends without end to an echo and reads what comes back; says when it has begun, and how it ended."""
    s = dial(host, port)
    s.settimeout(60)
    stop = threading.Event()
    threading.Thread(target=lambda: (sys.stdin.read(), stop.set()), daemon=True).start()
    block = b'marker-of-the-stream ' * 1000
    moved = 0
    print(json.dumps({'started': time.time()}), flush=True)
    while not stop.is_set():
        s.sendall(block)
        left = len(block)
        while left > 0:
            part = s.recv(left)
            if not part:
                return {'moved': moved, 'ended': 'end of stream'}
            left -= len(part)
            moved += len(part)
        stop.wait(0.002)
    return {'moved': moved, 'ended': 'by command'}


def name_of(error):
    if isinstance(error, socket.timeout):
        return 'timeout'
    return errno.errorcode.get(error.errno, str(error))


def guarded(action, arguments):
    try:
        return action(*arguments)
    except OSError as error:
        return {'error': name_of(error)}


action = globals()[sys.argv[1]]
result = guarded(action, json.loads(sys.argv[2]))
if isinstance(result, dict):
    result['seconds'] = round(time.monotonic() - started, 3)
print(json.dumps(result), flush=True)
