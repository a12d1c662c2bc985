/** Python for the pods' side of the tests: sockets used the way applications use them. Each prints JSON. */

/** Connects `[ip, port]` and prints the peer and own address it sees, and what it receives; or the errno's name. */
export const connect = `
ip, port = arg
family = socket.AF_INET6 if ':' in ip else socket.AF_INET
s = socket.socket(family, socket.SOCK_STREAM)
s.settimeout(3)
try:
    s.connect((ip, port))
    peer, own = s.getpeername()[:2], s.getsockname()[:2]
    print(json.dumps({'peer': peer, 'own': own, 'data': s.recv(100).decode()}))
except socket.timeout:
    print(json.dumps({'error': 'timeout'}))
except OSError as e:
    print(json.dumps({'error': errno.errorcode[e.errno]}))
`;
