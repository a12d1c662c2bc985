"""A server of many habits for the pods of the tests: each port treats its clients differently. Every connection is
told on standard output, one JSON object a line, so that a test can read what the application really saw.

  7000 echo        sends back what it gets; a half-close is answered with a half-close
  7001 greet       speaks first: one line with both ends' addresses, then as 7000
  7002 silent      reads and never says a word
  7003 count       says how much it got, and its hash, after the client has finished writing
  7004 reset       resets the connection after the first bytes
  7005 flood       sends 16 MiB at once and ends, however fast the client reads
  7006 datagrams   UDP: sends back what it gets
"""
import asyncio, hashlib, json, socket, struct, sys


def tell(**event):
    print(json.dumps(event), flush=True)


def plain(address):
    return [address[0].replace('::ffff:', '') if '.' in address[0] else address[0], address[1]]


def reset(writer):
    raw = writer.get_extra_info('socket')
    raw.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack('ii', 1, 0))
    writer.transport.abort()


async def echo(reader, writer):
    count = 0
    while data := await reader.read(262144):
        count += len(data)
        writer.write(data)
        await writer.drain()
    return count


async def greet(reader, writer):
    ends = [plain(writer.get_extra_info(name)) for name in ('peername', 'sockname')]
    writer.write(json.dumps({'client': ends[0], 'local': ends[1]}).encode() + b'\n')
    return await echo(reader, writer)


async def silent(reader, writer):
    count = 0
    while data := await reader.read(262144):
        count += len(data)
    return count


async def count(reader, writer):
    got, digest = 0, hashlib.sha256()
    while data := await reader.read(262144):
        got += len(data)
        digest.update(data)
    writer.write(f'{got} {digest.hexdigest()}\n'.encode())
    return got


async def reset_client(reader, writer):
    got = len(await reader.read(1))
    reset(writer)
    return got


async def flood(reader, writer):
    writer.write(b'f' * (16 * 1024 * 1024))
    await writer.drain()
    return 0


def serving(port, habit):
    async def serve(reader, writer):
        client = plain(writer.get_extra_info('peername'))
        tell(event='accepted', port=port, client=client)
        how, got = 'end', 0
        try:
            got = await habit(reader, writer)
            if writer.can_write_eof():
                writer.write_eof()
        except OSError as error:
            how = 'reset' if isinstance(error, ConnectionError) else str(error)
        writer.close()
        tell(event='ended', port=port, client=client, how=how, bytes=got)

    return serve


class Datagrams(asyncio.DatagramProtocol):
    def connection_made(self, transport):
        self.transport = transport

    def datagram_received(self, data, client):
        tell(event='datagram', port=7006, client=plain(client), bytes=len(data))
        self.transport.sendto(data, client)

    def error_received(self, error):
        """A client may be gone, or not to be answered."""


async def main():
    habits = [echo, greet, silent, count, reset_client, flood]
    for port, habit in enumerate(habits, 7000):
        for family, host in ((socket.AF_INET6, '::'), (socket.AF_INET, '0.0.0.0')):
            await asyncio.start_server(serving(port, habit), host, port, family=family, backlog=4096)
    # Of both families: for datagrams, unlike for servers, asyncio leaves IPv6 sockets as they are.
    await asyncio.get_running_loop().create_datagram_endpoint(Datagrams, ('::', 7006))
    tell(event='listening')
    await asyncio.Event().wait()


asyncio.run(main())
