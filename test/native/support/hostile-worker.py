"""A worker that attacks its keeper with everything the channel can carry, then says that it has."""
import json, os, socket, tempfile

channel, table, _restarts = map(int, os.environ['MESH_EBPF_KEEPER'].split())
keeper = socket.socket(fileno=channel)
keeper.setblocking(True)


def say(text, fds=()):
    socket.send_fds(keeper, [text], list(fds))


def memory(size, sealed=True):
    fd = os.memfd_create('x', os.MFD_ALLOW_SEALING)
    os.ftruncate(fd, size)
    if sealed:
        import fcntl
        fcntl.fcntl(fd, 1033, 0xf)
    return fd


listener = socket.create_server(('127.0.0.1', 0))
say(b'hold good', [listener.fileno()])
say(b'hold ' + b'x' * 600, [listener.fileno()])
say(b'hold ' + b'x' * 300, [listener.fileno()])
say(b'hold two', [listener.fileno()] * 2)
say(b'hold many', [listener.fileno()] * 200)
say(b'hold none')
say(b'hold ', [listener.fileno()])
say(b'hold a b', [listener.fileno()])
say(b'hold "quoted"', [listener.fileno()])
say(b'hold \xff\xfe\x00', [listener.fileno()])
say(b'drop good', [listener.fileno()])
say(b'launch missiles')
say(b'\n' * 20)
with tempfile.TemporaryFile() as file:
    say(b'hold file', [file.fileno()])
for kind in (socket.SOCK_DGRAM, socket.SOCK_STREAM):
    with socket.socket(socket.AF_INET, kind) as other:
        say(b'hold socket', [other.fileno()])
with tempfile.TemporaryDirectory() as directory:
    unix = socket.socket(socket.AF_UNIX)
    unix.bind(directory + '/s')
    unix.listen()
    say(b'hold unix', [unix.fileno()])
say(b'hold channel', [channel])
say(b'hold writable', [memory(10, sealed=False)])
say(b'hold large', [memory(65537)])
for i in range(300):
    say(b'hold memory%d' % i, [memory(65536)])
for i in range(5000):
    say(b'hold socket%d' % i, [listener.fileno()])
say(b'ready')
print(json.dumps({'started': os.getpid(), 'port': listener.getsockname()[1]}), flush=True)
try:
    input()
except EOFError:
    pass
