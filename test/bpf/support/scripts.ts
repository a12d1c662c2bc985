/**
 * Python for the pods' side of the tests: sockets used the way applications use them. Each prints JSON. `patience` is that of
 * `test/netns/support/wait.ts`; with it a socket waits no longer than it takes to send its first packet four times.
 */

const common = `
def families(ip): return socket.AF_INET6 if ':' in ip else socket.AF_INET

def guarded(action):
    try:
        print(json.dumps(action()))
    except socket.timeout:
        print(json.dumps({'error': 'timeout'}))
    except OSError as e:
        print(json.dumps({'error': errno.errorcode[e.errno]}))

def story(s):
    return {'peer': list(s.getpeername()[:2]), 'own': list(s.getsockname()[:2]), 'data': s.recv(100).decode()}

def new(ip, protocol=0):
    s = socket.socket(families(ip), socket.SOCK_STREAM, protocol)
    s.settimeout(min(3 * patience, 12))
    return s
`;

/** Connects to `[ip, port]` and prints the peer and own address it sees, and what it receives; or the errno's name. */
export const connect = `${common}
def main():
    s = new(arg[0])
    s.connect((arg[0], arg[1]))
    return story(s)
guarded(main)
`;

/** The same with a Multipath TCP socket. */
export const connectMultipath = `${common}
def main():
    s = new(arg[0], 262)
    s.connect((arg[0], arg[1]))
    return story(s)
guarded(main)
`;

/** The same with TCP Fast Open: sendto() instead of connect(). */
export const connectFastOpen = `${common}
def main():
    s = new(arg[0])
    s.settimeout(None)
    s.sendto(b'hello', 0x20000000, (arg[0], arg[1]))
    return story(s)
guarded(main)
`;

/** The same from `[ip, port, ownIp, ownPort]`, bound before. */
export const bindAndConnect = `${common}
def main():
    s = new(arg[0])
    s.bind((arg[2], arg[3]))
    s.connect((arg[0], arg[1]))
    return story(s)
guarded(main)
`;

/** The same, non-blocking, calling connect() until it says that the socket is connected. */
export const connectNonBlocking = `${common}
import select
def main():
    s = new(arg[0])
    s.setblocking(False)
    codes = [s.connect_ex((arg[0], arg[1]))]
    select.select([], [s], [], 3 * patience)
    codes.append(s.connect_ex((arg[0], arg[1])))
    codes.append(s.connect_ex((arg[0], arg[1])))
    s.settimeout(3 * patience)
    return {'codes': [errno.errorcode.get(c, c) for c in codes], **story(s)}
guarded(main)
`;

/** Connects one socket to the first address, disconnects it (AF_UNSPEC), and connects it to the second. */
export const connectTwice = `${common}
import ctypes
def main():
    s = new(arg[0][0])
    s.connect(tuple(arg[0]))
    first = story(s)
    unspec = (ctypes.c_char * 16)()
    ctypes.CDLL(None).connect(s.fileno(), unspec, 16)
    s.connect(tuple(arg[1]))
    return [first, story(s)]
guarded(main)
`;

/** Connects to `[ip, port]` the way ztunnel delivers: from `from`, an address that is not local. */
export const connectTransparent = `${common}
def main():
    ip, port, source = arg
    s = new(ip)
    s.setsockopt(socket.SOL_SOCKET, 36, 0x53a)
    if ':' in ip: s.setsockopt(socket.IPPROTO_IPV6, 75, 1)
    else: s.setsockopt(socket.IPPROTO_IP, 19, 1)
    s.bind((source, 0))
    s.connect((ip, port))
    return story(s)
guarded(main)
`;

/** Opens `count` connections to `[ip, port]`, prints how many, and holds them until its standard input ends. */
export const holdConnections = `${common}
ip, port, count = arg
held = []
for _ in range(count):
    s = new(ip)
    s.connect((ip, port))
    held.append(s)
print(json.dumps(len(held)), flush=True)
sys.stdin.read()
`;

/** Opens connections to `[ip, port]` until one fails, prints how many there are and the errno's name, and holds them. */
export const holdUntilRefused = `${common}
ip, port = arg
held = []
try:
    while len(held) < 1000:
        s = new(ip)
        s.connect((ip, port))
        held.append(s)
    print(json.dumps([len(held), 'never']), flush=True)
except OSError as e:
    print(json.dumps([len(held), errno.errorcode[e.errno]]), flush=True)
sys.stdin.read()
`;

/**
 * Opens `count` connections to `[ip, port]` and sends `rounds` messages of 100 bytes over each, which come back. Prints how
 * many connections there are; after the last round and the end of its standard input, how many answers were wrong or missing.
 */
export const exchange = `${common}
import time
ip, port, count, rounds = arg
held = []
for _ in range(count):
    s = new(ip)
    s.connect((ip, port))
    held.append(s)
print(json.dumps(len(held)), flush=True)
def answered(s):
    message = b'x' * 100
    try:
        s.sendall(message)
        got = b''
        while len(got) < 100:
            more = s.recv(100 - len(got))
            if not more: return False
            got += more
        return got == message
    except OSError:
        return False
bad = 0
for _ in range(rounds):
    bad += sum(not answered(s) for s in held)
    time.sleep(0.02)
sys.stdin.read()
for s in held: s.close()
print(json.dumps({'bad': bad}))
`;

/** Opens `count` connections to `ip` at once, each to its own port, and prints what each was told. */
export const connectMany = `${common}
ip, first, count = arg
sockets = []
for i in range(count):
    s = new(ip)
    s.setblocking(False)
    s.connect_ex((ip, first + i))
    sockets.append(s)
answers = []
for s in sockets:
    s.settimeout(5 * patience)
    answers.append(s.recv(100).decode())
print(json.dumps(answers))
`;

/** The same as `connect` from another cgroup: `[ip, port, cgroup]`. */
export const connectFromCgroup = `${common}
import os
def main():
    with open(arg[2] + '/cgroup.procs', 'w') as f: f.write(str(os.getpid()))
    s = new(arg[0])
    s.connect((arg[0], arg[1]))
    return story(s)
guarded(main)
`;

/** The same with a socket that was opened in another network namespace: `[ip, port, netns]`. */
export const connectFromNamespace = `${common}
import ctypes, os
def enter(netns):
    if libc.setns(netns, 0x40000000) != 0: raise OSError(ctypes.get_errno(), 'setns')
libc = ctypes.CDLL(None, use_errno=True)
def main():
    own, other = os.open('/proc/self/ns/net', os.O_RDONLY), os.open(arg[2], os.O_RDONLY)
    enter(other)
    s = new(arg[0])
    enter(own)
    s.connect((arg[0], arg[1]))
    return story(s)
guarded(main)
`;

/** Connects to `[ip, port]` `count` times, one after the other, and prints how often it got which answer and saw which peer. */
export const connectAgain = `${common}
import collections
ip, port, count = arg
answers, peers = collections.Counter(), collections.Counter()
for _ in range(count):
    s = new(ip)
    try:
        s.connect((ip, port))
        told = story(s)
        answers[told['data']] += 1
        peers[' '.join(map(str, told['peer']))] += 1
    except OSError as e:
        answers[errno.errorcode.get(e.errno, 'timeout')] += 1
    s.close()
print(json.dumps({'answers': answers, 'peers': peers}))
`;
