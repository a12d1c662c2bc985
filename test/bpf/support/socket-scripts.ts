/** Python for servers and clients that use sockets as few do (run as `scripts.ts`' are). */

const common = `
import errno, json, os, select, socket, struct, sys, threading, time
def family(ip): return socket.AF_INET6 if ':' in ip else socket.AF_INET
def told(action):
    try:
        print(json.dumps(action()))
    except socket.timeout:
        print(json.dumps({'error': 'timeout'}))
    except OSError as e:
        print(json.dumps({'error': errno.errorcode[e.errno]}))
def new(ip, protocol=0):
    s = socket.socket(family(ip), socket.SOCK_STREAM, protocol)
    s.settimeout(25)
    return s
def ends(s):
    return {'peer': list(s.getpeername()[:2]), 'own': list(s.getsockname()[:2])}
`;

/**
 * Servers on one port until standard input ends: each says its number to whom it accepts, and what came with the
 * connection before, if it reads; and answers once more, if it holds.
 * `{port, count?, protocol?, backlog?, options?: [level, option, value][], reads?, holds?, after?}`
 */
export const serve = `${common}
port, options = arg['port'], arg.get('options', [])
def server(number):
    s = socket.socket(socket.AF_INET6, socket.SOCK_STREAM, arg.get('protocol', 0))
    s.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    if arg.get('count', 1) > 1: s.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEPORT, 1)
    s.bind(('::', port))
    for level, option, value in options: s.setsockopt(level, option, value)
    s.listen(arg.get('backlog', 64))
    def accept():
        time.sleep(arg.get('after', 0))
        while True:
            c, _ = s.accept()
            early = ''
            if arg.get('reads'):
                c.settimeout(5 * patience)
                early = c.recv(100).decode()
            c.sendall(f'listener {number} {early}'.strip().encode())
            try:
                if arg.get('holds'):
                    c.settimeout(25)
                    c.sendall(f'listener {number} {c.recv(100).decode()}'.encode())
            except OSError:
                pass
            c.close()
    threading.Thread(target=accept, daemon=True).start()
for number in range(arg.get('count', 1)): server(number)
print(json.dumps('listening'), flush=True)
sys.stdin.read()
`;

/** A server on `{port}` that sends back as many bytes as it got, when it has got all; until standard input ends. */
export const echoAll = `${common}
s = socket.socket(socket.AF_INET6, socket.SOCK_STREAM)
s.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
s.bind(('::', arg['port']))
s.listen(8)
def accept():
    while True:
        c, _ = s.accept()
        count = 0
        while chunk := c.recv(1 << 16): count += len(chunk)
        c.sendall(bytes(count))
        c.close()
threading.Thread(target=accept, daemon=True).start()
print(json.dumps('listening'), flush=True)
sys.stdin.read()
`;

/** Sends `count` bytes to `[ip, port, count]` and tells how many come back. */
export const pour = `${common}
def main():
    s = new(arg[0])
    s.connect((arg[0], arg[1]))
    s.sendall(bytes(arg[2]))
    s.shutdown(socket.SHUT_WR)
    count = 0
    while chunk := s.recv(1 << 16): count += len(chunk)
    return count
told(main)
`;

/** Speaks to `[ip, port, protocol, patience]`, and once more when standard input ends: tells both answers. */
export const holdOpen = `${common}
s = new(arg[0], arg[2])
s.connect((arg[0], arg[1]))
s.sendall(b'hello')
heard = s.recv(100).decode()
print(json.dumps('there'), flush=True)
sys.stdin.read()
s.settimeout(arg[3])
try:
    s.sendall(b'hello again')
    again = s.recv(100).decode() or None
except OSError:
    again = None
print(json.dumps([heard, again]))
`;

/** Connects to `[ip, port, protocol?]`, speaks first, and tells what it hears. */
export const speak = `${common}
def main():
    s = new(arg[0], arg[2] if len(arg) > 2 else 0)
    s.connect((arg[0], arg[1]))
    s.sendall(b'hello')
    return {**ends(s), 'data': s.recv(100).decode()}
told(main)
`;

/** The same with the first words in the first packet. Whether the kernel sent them there is in \`early\` (TCP_INFO). */
export const speakEarly = `${common}
def main():
    s = new(arg[0])
    s.settimeout(None)
    s.sendto(b'hello', socket.MSG_FASTOPEN, (arg[0], arg[1]))
    answer = s.recv(100).decode()
    info = s.getsockopt(socket.IPPROTO_TCP, socket.TCP_INFO, 8)
    return {**ends(s), 'data': answer, 'early': bool(info[5] & 32)}
told(main)
`;

/** Connects to `[ip, port]` \`count\` times, one after another, and tells what it heard, each kind once. */
export const listeners = `${common}
ip, port, count = arg
heard = {}
for _ in range(count):
    s = new(ip)
    s.connect((ip, port))
    words = s.recv(100).decode()
    heard[words] = heard.get(words, 0) + 1
    s.close()
print(json.dumps(heard))
`;

/** \`count\` connections at once, each from a thread of its own. */
export const crowd = `${common}
ip, port, count = arg
answers = [None] * count
def one(i):
    try:
        s = new(ip)
        s.connect((ip, port))
        answers[i] = s.recv(100).decode()
    except OSError as e:
        answers[i] = errno.errorcode.get(e.errno, str(e))
threads = [threading.Thread(target=one, args=(i,)) for i in range(count)]
for t in threads: t.start()
for t in threads: t.join()
print(json.dumps(answers))
`;

/** Connects to `[ip, port, protocol]` and speaks only once the file `[…, file]` is there: tells what it hears. */
export const speakLater = `${common}
def main():
    s = new(arg[0], arg[2])
    s.connect((arg[0], arg[1]))
    while not os.path.exists(arg[3]): time.sleep(0.02)
    s.settimeout(1.5)
    s.sendall(b'hello')
    return {'data': s.recv(100).decode()}
told(main)
`;

/** Begins \`count\` connections to `[ip, port]` and closes each before it is there. */
export const giveUpAtOnce = `${common}
ip, port, count = arg
for _ in range(count):
    s = new(ip)
    s.setblocking(False)
    s.connect_ex((ip, port))
    s.close()
print(json.dumps(count))
`;

/** Connects to `[ip, port]` from `[…, ownIp, ownPort]`, where another one may have been before. */
export const bindAndConnectAgain = `${common}
def main():
    s = new(arg[0])
    s.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    s.bind((arg[2], arg[3]))
    s.connect((arg[0], arg[1]))
    return {**ends(s), 'data': s.recv(100).decode()}
told(main)
`;

/**
 * The same twice, one socket after the other: the first one closes first, so that it stays for a while as one that the
 * kernel remembers (TIME_WAIT); the second one is there until standard input ends.
 */
export const succeed = `${common}
def one():
    s = new(arg[0])
    s.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    s.bind((arg[2], arg[3]))
    s.connect((arg[0], arg[1]))
    return s
first = one()
first.shutdown(socket.SHUT_WR)
first.recv(1)
first.close()
second = one()
print(json.dumps('there'), flush=True)
sys.stdin.read()
second.close()
`;

/** Connects to `[ip, port]` again and again until standard input ends, and tells how often it heard what. */
export const knock = `${common}
ip, port = arg
heard = {}
print(json.dumps('knocking'), flush=True)
while not select.select([sys.stdin], [], [], 0)[0]:
    s = new(ip)
    s.settimeout(3)
    try:
        s.connect((ip, port))
        words = s.recv(100).decode()
    except OSError as e:
        words = errno.errorcode.get(e.errno, 'timeout')
    heard[words] = heard.get(words, 0) + 1
    s.close()
print(json.dumps(heard))
`;

/** Dials `[ip, port]`, waits in vain for a moment, and gives up. */
export const giveUp = `${common}
s = new(arg[0])
s.settimeout(0.2)
try:
    s.connect((arg[0], arg[1]))
    print(json.dumps('connected'))
except socket.timeout:
    print(json.dumps('gave up'))
`;

/** Connects to `[ip, port]` `count` times, one after another, whatever comes of each. */
export const tryAll = `${common}
ip, port, count = arg
for _ in range(count):
    s = new(ip)
    try:
        s.connect((ip, port))
        s.settimeout(0.2)
        s.recv(100)
    except OSError:
        pass
    s.close()
print(json.dumps(count))
`;
