"""Runs scripts for tests, each in a process of its own, in the network namespace and cgroup it is to be in.

In an emulated kernel a new Python takes a second to start, and a fork of this one a hundredth. Listens on the Unix socket
that is its argument. Of each connection the first line is {"netns", "cgroup", "script", "arg"}; what follows is the script's
standard input, and the answer its standard output, with a line "!WHY" at its end if it failed. The connection is closed when
the script's process is gone. Ends with its own standard input.
"""
import ctypes, errno, json, os, select, signal, socket, sys, traceback
# For scripts, which would load it anew each time.
import threading

CLONE_NEWNET = 0x40000000
libc = ctypes.CDLL(None, use_errno=True)
# How many times as long scripts are to wait as on a usual machine.
patience = float(os.environ.get('MESH_EBPF_PATIENCE', '1'))


def enter(netns, cgroup):
    with open(f'{cgroup}/cgroup.procs', 'w') as processes:
        processes.write(str(os.getpid()))
    namespace = os.open(netns, os.O_RDONLY)
    if libc.setns(namespace, CLONE_NEWNET) != 0:
        raise OSError(ctypes.get_errno(), f'setns {netns}')
    os.close(namespace)


def run_script():
    try:
        request = json.loads(sys.stdin.readline())
        enter(request['netns'], request['cgroup'])
        names = {'arg': request['arg'], 'errno': errno, 'json': json, 'patience': patience, 'socket': socket, 'sys': sys}
        exec(request['script'], names)
    except BaseException:
        print(f'\n!{traceback.format_exc()}')
    sys.stdout.flush()
    os._exit(0)


def serve(connection):
    os.dup2(connection.fileno(), 0)
    os.dup2(connection.fileno(), 1)
    connection.close()
    script = os.fork()
    if script == 0:
        run_script()
    _, status = os.waitpid(script, 0)
    if status != 0:
        print(f'\n!it ended with {os.waitstatus_to_exitcode(status)}', flush=True)
    os._exit(0)


# Nobody waits for the processes that serve.
signal.signal(signal.SIGCHLD, signal.SIG_IGN)
listener = socket.socket(socket.AF_UNIX)
listener.bind(sys.argv[1])
listener.listen(64)
print('listening', flush=True)
while True:
    ready, _, _ = select.select([listener, sys.stdin], [], [])
    if sys.stdin in ready:
        break
    accepted, _ = listener.accept()
    if os.fork() == 0:
        signal.signal(signal.SIGCHLD, signal.SIG_DFL)
        listener.close()
        serve(accepted)
    accepted.close()
