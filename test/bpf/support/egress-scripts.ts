/** Python for tests of egress: what applications do with datagrams, and what a hostile one would try. Each prints JSON. */

const common = `
import ctypes, os, struct, time

def family(ip): return socket.AF_INET6 if ':' in ip else socket.AF_INET

def outcome(action):
    try:
        return action()
    except socket.timeout:
        return 'timeout'
    except OSError as e:
        return errno.errorcode[e.errno]

def datagrams(ip, protocol=0):
    s = socket.socket(family(ip), socket.SOCK_DGRAM, protocol)
    s.settimeout(2)
    return s

def ask(s, ip, port):
    s.sendto(b'hello', (ip, port))
    return s.recv(100).decode()

def say(value): print(json.dumps(value), flush=True)
`;

/** Answers each datagram with how many it has got; until standard input ends. */
export const udpServer = `${common}
import threading
s = socket.socket(socket.AF_INET6, socket.SOCK_DGRAM)
s.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_V6ONLY, 0)
s.bind(('::', arg))
def serve():
    count = 0
    while True:
        _, peer = s.recvfrom(100)
        count += 1
        outcome(lambda: s.sendto(f'datagram {count}'.encode(), peer))
threading.Thread(target=serve, daemon=True).start()
say('listening')
sys.stdin.read()
`;

/** Sends a datagram to each \`[ip, port]\` and prints the answers. */
export const udpAsk = `${common}
say([outcome(lambda: ask(datagrams(ip), ip, port)) for ip, port in arg])
`;

/** The same as UDP-Lite, which some kernels do not have. */
export const udpLiteSend = `${common}
ip, port = arg
say(outcome(lambda: datagrams(ip, 136).sendto(b'hello', (ip, port))))
`;

/** Connects UDP sockets: what connect() says of each \`[ip, port]\`. */
export const udpConnect = `${common}
say([outcome(lambda: datagrams(ip).connect((ip, port)) or 'connected') for ip, port in arg])
`;

/** Connects to the first, sends there without and to the second with an address, then by sendmsg(). */
export const udpConnectAndSendElsewhere = `${common}
(ip, port), elsewhere = arg
s = datagrams(ip)
s.connect((ip, port))
def connected():
    s.send(b'hello')
    return s.recv(100).decode()
say([
    outcome(connected),
    outcome(lambda: ask(s, *elsewhere)),
    outcome(lambda: s.sendmsg([b'hello'], [], 0, tuple(elsewhere))),
    outcome(connected),
])
`;

/** An IPv4 address, as such, on an IPv6 socket: Python would not do it. */
export const udpIpv4OnIpv6Socket = `${common}
ip, port = arg
s = socket.socket(socket.AF_INET6, socket.SOCK_DGRAM)
libc = ctypes.CDLL(None, use_errno=True)
address = struct.pack('=HH4s8x', socket.AF_INET, socket.htons(port), socket.inet_aton(ip))
sent = libc.sendto(s.fileno(), b'hello', 5, 0, address, len(address))
connected = libc.connect(s.fileno(), address, len(address))
say([sent if sent >= 0 else errno.errorcode[ctypes.get_errno()], connected])
`;

/** Goes over to another cgroup and sends from there. */
export const udpFromCgroup = `${common}
ip, port, cgroup = arg
with open(cgroup + '/cgroup.procs', 'w') as f: f.write(str(os.getpid()))
say(outcome(lambda: ask(datagrams(ip), ip, port)))
`;

/** Opens its socket in another network namespace and comes back before it sends. */
export const udpFromNamespace = `${common}
ip, port, netns = arg
libc = ctypes.CDLL(None, use_errno=True)
own, other = os.open('/proc/self/ns/net', os.O_RDONLY), os.open(netns, os.O_RDONLY)
if libc.setns(other, 0x40000000) != 0: raise OSError(ctypes.get_errno(), 'setns')
s = datagrams(ip)
if libc.setns(own, 0x40000000) != 0: raise OSError(ctypes.get_errno(), 'setns')
say(outcome(lambda: ask(s, ip, port)))
`;

/** Opens sockets, says so by a file, and uses them when there is another one. */
export const udpLater = `${common}
ip, port, ready, go = arg
unconnected, connected = datagrams(ip), datagrams(ip)
connected.connect((ip, port))
open(ready, 'w').close()
while not os.path.exists(go): time.sleep(0.02)
def again():
    connected.send(b'hello')
    return connected.recv(100).decode()
say([outcome(lambda: ask(unconnected, ip, port)), outcome(again)])
`;

/** Sends \`count\` datagrams and prints how many were refused. */
export const udpFlood = `${common}
ip, port, count = arg
s = datagrams(ip)
say(sum(outcome(lambda: s.sendto(b'x', (ip, port))) == 'EPERM' for _ in range(count)))
`;

/** Of each \`[ip, port, protocol]\`: whether connect() is refused. */
export const refusals = `${common}
def refused(ip, port, protocol):
    with socket.socket(family(ip), socket.SOCK_DGRAM if protocol == 'udp' else socket.SOCK_STREAM) as s:
        s.setblocking(False)
        return s.connect_ex((ip, port)) == errno.EPERM
say([refused(*question) for question in arg])
`;
